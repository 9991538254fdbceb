"""The result of a removal experiment as Markdown."""

from __future__ import annotations

from typing import Any

from pxgen_plugins.utils.text import markdown_table, number

__all__ = ["markdown"]


def markdown(result: Any) -> str:
    """Return floor, curves, summary and contrasts of a ``RemovalResult`` as tables."""
    lines = []
    for distance in result.distances:
        lines += [f"## {distance}", "", *_floor(result, distance)]
        for schedule in result.schedules:
            lines += ["", f"Equal {schedule}, mean over seeds [95% interval]:", ""]
            lines += _curves(result, schedule, distance)
        lines += ["", "Whole curves: mean rise above amount 0, and slope per 100% removed:", ""]
        lines += markdown_table(
            ["schedule", "ranking", "mean rise", "slope"],
            [
                [r["schedule"], r["ranking"], _interval(r, "area_"), _interval(r, "slope_")]
                for r in result.summary()
                if r["distance"] == distance
            ],
        )
        lines += ["", "Pairs of rankings, first less second, seed by seed:", ""]
        lines += markdown_table(
            ["schedule", "first", "second", "mean rise", "at the largest amount"],
            [
                [
                    r["schedule"],
                    r["first"],
                    r["second"],
                    _interval(r, "area_"),
                    _interval(r, "end_"),
                ]
                for r in result.contrasts()
                if r["distance"] == distance
            ],
        )
        lines.append("")
    return "\n".join(lines)


def _floor(result: Any, distance: str) -> list[str]:
    floor = result.floor(distance)
    return [
        "All samples, another seed: " + _interval(floor["seed_to_seed"].row(), "") + ".",
        "The reference, other samples of it: " + _interval(floor["same_model"].row(), "") + ".",
    ]


def _curves(result: Any, schedule: str, distance: str) -> list[str]:
    rows = [r for r in result.table() if (r["schedule"], r["distance"]) == (schedule, distance)]
    cells = {(r["amount"], r["ranking"]): _interval(r, "") for r in rows}
    amounts = sorted({amount for amount, _ in cells})
    table = [
        [f"{amount} ({amount / result.whole:.0%})", *(cells[amount, r] for r in result.rankings)]
        for amount in amounts
    ]
    return markdown_table(["dropped", *result.rankings], table)


def _interval(row: Any, prefix: str) -> str:
    mean, low, high = (row[f"{prefix}{key}"] for key in ("mean", "low", "high"))
    return number(mean) if low is None else f"{number(mean)} [{number(low)}, {number(high)}]"
