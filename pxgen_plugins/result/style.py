"""Colours, markers and words of groups and criteria, the same in figures, tables and notebooks."""

from __future__ import annotations

from dataclasses import dataclass

from pxgen_plugins.utils.text import percent

__all__ = ["STYLES", "GroupStyle", "criterion_name", "criterion_text", "share_text"]


@dataclass(frozen=True)
class GroupStyle:
    """How one group looks.

    Attributes:
        colour: Fill colour.
        dark: The same hue, dark enough for text on white.
        on: Colour of text on ``colour``.
        marker: Marker of single points.
        words: What the group is, in a few words.
    """

    colour: str
    dark: str
    on: str
    marker: str
    words: str


# Okabe and Ito (2008), with HIHE darkened and LILE lightened: high and low extrinsic affinity are
# told apart by hue (blue, orange), high and low intrinsic affinity by lightness, and the four
# lightnesses rise in the order of the groups (L* = 32, 54, 70, 84), so they survive a
# black-and-white print and every common colour vision deficiency.
STYLES: dict[str, GroupStyle] = {
    "HIHE": GroupStyle("#004F80", "#004F80", "#FFFFFF", "o", "close in both"),
    "HILE": GroupStyle("#D55E00", "#A84A00", "#FFFFFF", "^", "model delusion"),
    "LIHE": GroupStyle("#56B4E9", "#1E6FA3", "#1A1A1A", "s", "aligned conception"),
    "LILE": GroupStyle("#F8CB73", "#8A6410", "#1A1A1A", "D", "far in both"),
}

_ACRONYMS = frozenset({"kld", "mse", "mae", "bce", "ssim", "dssim", "psnr", "elbo", "nll"})


def criterion_name(name: str) -> str:
    """Return how a criterion is written in a figure: acronyms in capitals, others as they are.

    Example:
        >>> criterion_name("kld"), criterion_name("mahalanobis")
        ('KLD', 'mahalanobis')
    """
    return name.upper() if name in _ACRONYMS else name


def criterion_text(name: str, unit: str) -> str:
    """Return the name of a criterion with its unit, where it has one.

    Example:
        >>> criterion_text("kld", "nats"), criterion_text("score", "")
        ('KLD (nats)', 'score')
        >>> criterion_text("ssim", "-SSIM"), criterion_text("dssim", "(1 - SSIM) / 2")
        ('-SSIM', 'DSSIM = (1 - SSIM) / 2')
    """
    text = criterion_name(name)
    if unit in ("", "1"):
        return text
    if unit.lstrip("-").lower() == name.lower():
        return unit
    return f"{text} = {unit}" if unit.startswith("(") else f"{text} ({unit})"


def share_text(count: int, fraction: float | None) -> str:
    """Return a count with its share.

    Example:
        >>> share_text(1234, 0.0523)
        '1,234 (5.2 %)'
    """
    return f"{count:,} ({percent(fraction)})"
