"""The page of what directions and units find in trained models: tables of inside.py."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from pxgen_plugins.utils.text import markdown_table

__all__ = ["markdown"]


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables."""
    lines = [
        "# Inside trained models",
        "",
        "Written by `python examples/inside.py`; its docstring says what is measured, and",
        "[docs/inside.md](../inside.md) how to read it.",
        "",
        "## Directions along which a number rises",
        "",
        "Slope in standard deviations of the number per step asked for (1 is what was asked),",
        "with the mean size of the slopes of 19 random directions; p: share of these and of the",
        "direction itself that are at least as steep, 0.05 at least; ends: share of codes for",
        "which the number is higher at the end than at the start; monotone: share for which it",
        "rises at every one of six steps; both with those of random directions; local: share of",
        "other codes for which it rises for a small step; straightest: the same along the",
        "direction found for the highest such share; leakage: steepest slope of the other",
        "numbers; realism: how much less real instances are at the last step, in standard",
        "deviations, with that of random directions.",
        "",
    ]
    rows = [
        [
            name, label, f"{one['slope']:.2f} ({one['random_slope']:.2f})",
            *(f"{one[key]:.2f}" for key in ("p_value", "r2")),
            *(f"{one[key]:.2f} ({one[f'random_{key}']:.2f})" for key in ("ends", "monotone")),
            *(f"{one[key]:.2f}" for key in ("local", "straightest")),
            "" if not np.isfinite(one["leakage"] or np.nan) else f"{one['leakage']:.2f}",
            ""
            if one["realism"] is None
            else f"{one['realism']:.2f} ({one['random_realism']:.2f}, {one['realism_name']})",
        ]
        for name, found in results["models"].items()
        for label, one in found["directions"].items()
    ]  # fmt: skip
    head = ["model", "number", "slope", "p", "R2", "ends", "monotone", "local", "straightest"]
    head += ["leakage", "realism"]
    lines += [*markdown_table(head, rows), "", *_bounds(results), "## Directions that change most"]
    lines += [""]
    lines += [
        "Change of the instance two steps away, over that along random directions.",
        "",
    ]
    rows = [
        [name, method, *(f"{one[key]:.2f}" for key in ("first_three", "last_two"))]
        if "reason" not in one
        else [name, method, one["reason"], ""]
        for name, found in results["models"].items()
        for method, one in found["amplified"].items()
    ]
    lines += [*markdown_table(["model", "method", "first three", "last two"], rows), ""]
    lines += ["## Units that match a concept", ""]
    rows = [
        [
            name, found["units"]["layer"], concept, f"{one['iou']:.2f}", f"{one['null_iou']:.2f}",
            f"{one['named']} of {found['units']['n_units']}", f"{one['largest_effect']:.2f}",
        ]
        for name, found in results["models"].items()
        for concept, one in found["units"]["concepts"].items()
    ]  # fmt: skip
    head = ["model", "layer", "concept", "best IoU", "by shuffled masks", "units named", "largest"]
    head[-1] += " effect"
    lines += [*markdown_table(head, rows), "", "## Sets of units", ""]
    lines += [
        "Share of the concept that goes when they are off, on other codes; and what comes at the",
        "middle of a patch of cells, where it was not, when they are set there: in brackets by",
        "random sets and by all units of the layer, beside which a 0 is to be read.",
        "",
    ]
    rows = []
    for name, found in results["models"].items():
        one = found["units"]["set"]
        interval, band = (
            " to ".join(f"{v:.2f}" for v in one[key]) for key in ("interval", "random_band")
        )
        rows.append([
            name, one["concept"], ", ".join(map(str, one["units"])),
            f"{one['removal']:.2f} ({interval})", f"{one['random_removal']:.2f} ({band})",
            "" if one["insertion"] is None
            else f"{one['insertion']:.2f} ({one['random_insertion']:.2f}, "
            f"{one['insertion_all']:.2f}; {one['patch']} x {one['patch']})",
            f"{found['units']['iou_and_effect']:.2f}",
        ])  # fmt: skip
    head = ["model", "concept", "units", "goes (95%)", "random sets (5 to 95%)"]
    head += ["comes (random, all; patch)", "rank correlation of IoU and effect"]
    lines += markdown_table(head, rows)
    if results.get("group"):
        one = results["group"]
        low, high = (f"{np.quantile(one['random'], q):.3f}" for q in (0.0, 1.0))
        lines += [
            "",
            "## HILE without its units",
            "",
            f"The shipped convolutional VAE of digits, layer {one['layer']}, units",
            f"{', '.join(map(str, one['units']))}, chosen on one half of 1,000 test digits",
            f"and measured on {one['n_anchors']} others: HILE {one['before']['HILE']:.3f} before, "
            f"{one['after']['HILE']:.3f} without them, {low} to {high} without random sets.",
            f"Of its own anchors {one['kept']:.2f} stay in it (random sets: "
            f"{np.mean(one['random_kept']):.2f}).",
        ]
    return "\n".join(lines) + "\n"


def _bounds(results: Mapping[str, Any]) -> list[str]:
    """Return why a position of dSprites does not rise at every step for nine of ten codes."""
    found = results["models"].get("dSprites VAE", {}).get("directions", {})
    if not {"right", "down"} <= found.keys():
        return []
    against = [
        [f"{1 - found[way][key]:.0%}" for way in ("right", "down")]
        for key in ("local", "straightest")
    ]
    text = (
        "A number that rises for a small step at few codes cannot rise at every one of six steps "
        "at more. The dSprites VAE codes position along curves: the gradients of "
        f"{against[0][0]} (right) and {against[0][1]} (down) of the codes point against the "
        f"direction found, those of {against[1][0]} and {against[1][1]} against the best one for "
        "small steps, and further away the shape falls into two. So position does not reach the "
        "nine of ten codes that area reaches."
    )
    return [*textwrap.wrap(text, 90), ""]
