"""Several models under the same methods and anchors: one table, one figure."""

from __future__ import annotations

import html
import json
import os
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.comparison.migration import STATES, Migration
from pxgen_plugins.comparison.sample_distances import SampleDistance
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.text import html_page, html_table, markdown_table, number, percent, write

__all__ = ["ModelComparison"]

_COLUMNS = ("model", "method", "evidence", "access", "seconds")


class _Section(NamedTuple):
    """A table with its title and a sentence below it."""

    title: str
    head: list[str]
    rows: list[list[str]]
    n_left: int = 1
    note: str = ""


@dataclass(frozen=True)
class ModelComparison:
    """What several models make of the same anchors, under the same methods.

    Attributes:
        comparisons: A :class:`~pxgen_plugins.comparison.Comparison` of every model, by its name.
            All have the same ``indices``: local methods explain the same anchors.
        migration: Where the anchors of each group go from one model to another, by pair of names
            ("a / b").
        distances: Of the models' samples to the anchors ("a / anchors") and to each other.
        agreement: How far two models agree in the evidence of a method, by pair of names, then by
            method: rank correlation of attributions, Jaccard index of prototypes.
        samples: The first samples of every model, (10, *sample_shape) at most, scaled to the first
            model's range.
        representatives: The anchors that PXGen's first selector picked, by model, then by group.
        notes: What a reader of the numbers must know, in sentences.
    """

    comparisons: dict[str, Any]
    migration: dict[str, Migration]
    distances: dict[str, SampleDistance]
    agreement: dict[str, dict[str, float]]
    samples: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    representatives: dict[str, dict[str, NDArray[np.float32]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of the models, in the order they were given."""
        return list(self.comparisons)

    @property
    def groups(self) -> dict[str, Any]:
        """PXGen's explanation of all anchors under every model, by its name."""
        return {name: comparison.groups for name, comparison in self.comparisons.items()}

    @property
    def indices(self) -> NDArray[np.int64]:
        """The anchors that local methods explained, under every model the same, (a,)."""
        indices: NDArray[np.int64] = next(iter(self.comparisons.values())).indices
        return indices

    def table(self) -> list[dict[str, Any]]:
        """Return one row per model and method: what it is, what it cost, how good it is."""
        return [
            {"model": name, **row}
            for name, comparison in self.comparisons.items()
            for row in comparison.table()
        ]

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the models side by side (see :func:`pxgen_plugins.plots.plot_models`)."""
        from pxgen_plugins.plots import plot_models

        return plot_models(self, **options)

    def to_json(self) -> str:
        """Return everything but the pictures as strict JSON."""
        content = {
            "models": self.names,
            "indices": self.indices.tolist(),
            "groups": {name: self._shares(name) for name in self.names},
            "migration": {pair: one.to_dict() for pair, one in self.migration.items()},
            "distances": {pair: one.to_dict() for pair, one in self.distances.items()},
            "agreement": plain(self.agreement),
            "notes": self.notes,
            "table": plain(self.table()),
            "comparisons": {
                name: json.loads(comparison.to_json())
                for name, comparison in self.comparisons.items()
            },
        }
        return json.dumps(content, allow_nan=False)

    def to_markdown(self) -> str:
        """Return the tables as Markdown: groups, migration, distances, agreement, methods."""
        lines: list[str] = []
        for section in self._sections():
            lines += [f"### {section.title}", ""]
            lines += [*markdown_table(section.head, section.rows, section.n_left), ""]
            lines += [section.note, ""] if section.note else []
        return "\n".join([*lines, *self.notes]).rstrip() + "\n"

    def to_html(self) -> str:
        """Return the same as one self-contained page; names are escaped."""
        body = "".join(
            f"<h2>{html.escape(section.title)}</h2>"
            + html_table([html.escape(cell) for cell in section.head], section.rows)
            + f"<p>{html.escape(section.note)}</p>"
            for section in self._sections()
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return html_page("Models side by side", body + notes)

    @caller("ModelComparison.write")
    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``.json``, ``.md`` or ``.html``, by the suffix; the file appears whole.

        Raises:
            ParameterError: For another suffix.
        """
        writers = {".json": self.to_json, ".md": self.to_markdown, ".html": self.to_html}
        write(path, writers)

    def _shares(self, name: str) -> dict[str, Any]:
        """Return criteria, thresholds, and count, share and interval of each group of a model."""
        result = Result.of(self.groups[name])
        groups = {
            group: {"count": one.count, "fraction": one.fraction, "interval": one.interval}
            for group, one in result.groups.items()
        }
        thresholds = dict(zip(result.criteria, plain(result.thresholds), strict=True))
        return {"thresholds": thresholds, **groups, "invalid": len(result.invalid)}

    def _sections(self) -> list[_Section]:
        sections = [self._groups(), *map(_migration, self.migration.values())]
        if self.distances:
            sections.append(self._distances())
        if any(self.agreement.values()):
            sections.append(self._agreement())
        return [*sections, self._methods()]

    def _groups(self) -> _Section:
        rows = []
        for name, explanation in self.groups.items():
            result = Result.of(explanation)
            cells = [_share(result.groups[group]) for group in GROUPS]
            rows.append([name, ", ".join(result.criteria), *cells, f"{len(result.invalid):,}"])
        note = "Share of the anchors, and its 95% interval for other anchors and calibrations."
        return _Section("Groups", ["model", "criteria", *GROUPS, "invalid"], rows, 2, note)

    def _distances(self) -> _Section:
        rows = [
            [pair, number(one.frechet), f"{number(one.kernel, 3)} ± {number(one.kernel_error, 2)}"]
            for pair, one in self.distances.items()
        ]
        one = next(iter(self.distances.values()))
        note = f"Of {one.n:,} instances each, in {one.n_features:,} features."
        head = ["samples of", "Frechet distance", "kernel distance ± standard error"]
        return _Section("Distances of samples", head, rows, 1, note)

    def _agreement(self) -> _Section:
        pairs = list(self.agreement)
        methods = list(dict.fromkeys(m for pair in pairs for m in self.agreement[pair]))
        rows = [
            [method, *(number(self.agreement[pair].get(method), 2) for pair in pairs)]
            for method in methods
        ]
        note = (
            "Attributions: mean rank correlation of absolute values over the same anchors; "
            "prototypes and representatives: Jaccard index of the anchors picked."
        )
        return _Section("Agreement of the models, by method", ["method", *pairs], rows, 1, note)

    def _methods(self) -> _Section:
        rows = []
        for row in self.table():
            cells = ["" if row[key] is None else _cell(row[key]) for key in _COLUMNS]
            quality = ", ".join(
                f"{name} {_cell(value)}"
                for name, value in row["quality"].items()
                if value is not None
            )
            rows.append([*cells, f"failed: {row['error']}" if row["error"] else quality])
        return _Section("Methods", [*_COLUMNS, "quality"], rows, len(_COLUMNS) + 1)


def _migration(migration: Migration) -> _Section:
    before, after = migration.names
    matrix, states = migration.matrix, list(STATES)
    if not (matrix[-1].any() or matrix[:, -1].any()):
        states.pop()
    used = range(len(states))
    rows = [[states[i], *(f"{matrix[i, j]:,}" for j in used), f"{matrix[i].sum():,}"] for i in used]
    rows.append(["all", *(f"{matrix[:, j].sum():,}" for j in used), f"{matrix.sum():,}"])
    note = f"Same group under both: {percent(migration.same)}"
    if migration.interval is not None:
        low, high = (percent(end) for end in migration.interval)
        note += f" (95% interval for other anchors {low} to {high})"
    note += (
        f"; by chance {percent(migration.chance)}. Adjusted Rand index {number(migration.rand, 2)}."
    )
    head = [f"{before} \\ {after}", *states, "all"]
    return _Section(f"Migration from {before} to {after}", head, rows, 1, note)


def _share(group: Any) -> str:
    if group.fraction is None:
        return "n/a"
    low, high = group.share_interval
    return f"{percent(group.fraction)} ({percent(low)} to {percent(high)})"


def _cell(value: Any) -> str:
    return number(value, 3) if isinstance(value, float) else str(value)
