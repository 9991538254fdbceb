"""The cards of all weights that are shipped or kept with the examples, as one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["FOLDERS", "as_page"]

FOLDERS = {  # where cards lie, and how the weights are had
    "pxgen_plugins/datasets/files": "Shipped with the package: `pxgen_plugins.datasets`.",
    "examples/weights": "In the repository alone, for the examples: `family_models`.",
}
ABOUT = """# Model cards

Every file of weights has a card beside it (JSON), written by the script that trained it. This page
is made of the cards. All weights are safetensors, hold no code, and are under the licence that is
named; the models are small, made to explain and to test explanations with, and for nothing else:
none of them is fit to read digits or to make pictures that matter. What each knows and mistakes is
in [families](results/families.md). The seed gives the same bytes on the same processor, number of
threads and torch only ([weights that come again](dependencies.md#weights-that-come-again)).
"""
_ROWS = {
    "architecture": "architecture",
    "trained_on": "trained on",
    "trained_by": "trained by",
    "licence": "licence",
    "parameters": "parameters",
    "epochs_done": "epochs done",
    "test_accuracy": "accuracy on the test file",
    "held_out_accuracy": "accuracy on held-out pairs",
    "diffusers": "version of diffusers",
    "sha256": "SHA-256",
}


def as_page(root: Path) -> str:
    """Return the page, in Markdown.

    Args:
        root: The repository.
    """
    parts = [ABOUT]
    for folder, about in FOLDERS.items():
        parts.append(f"## {folder}\n\n{about}\n")
        for weights in sorted((root / folder).glob("*.safetensors")):
            card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
            parts.append(_section(weights, card))
    return "\n".join(parts)


def _section(weights: Path, card: dict[str, Any]) -> str:
    size = weights.stat().st_size / 1e6
    rows = {"file": f"`{weights.name}`, {size:.1f} MB"}
    rows |= {label: _text(key, card[key]) for key, label in _ROWS.items() if key in card}
    rows["recipe"] = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in card["recipe"].items()
    )
    rows |= {
        f"{name.replace('_', ' ')}, last": _text(name, values[-1])
        for name, values in card.items()
        if isinstance(values, list) and ("loss" in name or "error" in name)
    }
    machine = card.get("machine", {})
    kept = [f"{name} {value}" for name, value in machine.items() if value != "not recorded"]
    rows["machine"] = ", ".join(kept) or "not recorded"
    lines = [f"### {card['title']}", "", "| | |", "|---|---|"]
    lines += [f"| {label} | {text} |" for label, text in rows.items()]
    return "\n".join([*lines, ""])


def _text(name: str, value: Any) -> str:
    if name in {"trained_by", "sha256"}:
        return f"`{value}`"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_text("", one) for one in value)
    return str(value).replace("|", "\\|")
