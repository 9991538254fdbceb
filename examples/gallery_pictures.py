"""How the gallery draws what has no figure of its own: pictures, maps, bars and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

__all__ = ["show_bars", "show_curves", "show_maps", "show_rows"]


def show_maps(instances: Any, maps: Any) -> None:
    """Draw pictures, and below each its attribution: red raises the target, blue lowers it."""
    figure, axes = plt.subplots(
        2, len(instances), squeeze=False, figsize=(1.2 * len(instances), 2.5)
    )
    for column, (picture, one) in enumerate(zip(instances, maps, strict=True)):
        limit = float(np.nanmax(np.abs(one))) or 1.0
        axes[0, column].imshow(np.asarray(picture).squeeze(), cmap="gray")
        axes[1, column].imshow(np.asarray(one).squeeze(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    for ax in axes.flat:
        ax.set_axis_off()
    figure.tight_layout()


def show_rows(rows: Mapping[str, Any]) -> None:
    """Draw a row of pictures under each name."""
    columns = max(len(pictures) for pictures in rows.values())
    size = (max(1.1 * columns, 2.2), 1.35 * len(rows))
    figure, axes = plt.subplots(len(rows), columns, squeeze=False, figsize=size)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        line[0].set_title(name, fontsize=8, loc="left")
        for ax, picture in zip(line, pictures, strict=False):
            ax.imshow(np.asarray(picture).squeeze(), cmap="gray")
    figure.tight_layout()


def show_bars(values: Any, title: str = "") -> None:
    """Draw a bar for each dimension or channel, one panel an anchor."""
    figure, axes = plt.subplots(
        len(values), 1, squeeze=False, figsize=(4.0, 1.3 * len(values) + 0.4)
    )
    for number, (ax, row) in enumerate(zip(axes[:, 0], np.asarray(values), strict=True)):
        ax.bar(range(len(row)), row, color=np.where(np.asarray(row) > 0, "#b2182b", "#2166ac"))
        ax.axhline(0.0, color="black", linewidth=0.6)
        ax.set_ylabel(f"anchor {number}" if not title else "", fontsize=8)
        ax.tick_params(labelsize=7)
    axes[-1, 0].set_xlabel(title or "latent dimension", fontsize=8)
    figure.tight_layout()


def show_curves(grids: Sequence[Any], curves: Sequence[Any]) -> None:
    """Draw a curve for each latent dimension."""
    figure, ax = plt.subplots(figsize=(4.0, 2.4))
    for number, (grid, curve) in enumerate(zip(grids, curves, strict=True)):
        ax.plot(grid, curve, label=f"z{number}")
    ax.set_xlabel("code", fontsize=8)
    ax.set_ylabel("effect on the error", fontsize=8)
    ax.tick_params(labelsize=7)
    ax.legend(fontsize=7)
    figure.tight_layout()
