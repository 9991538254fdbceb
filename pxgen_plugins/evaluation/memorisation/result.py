"""What was found out about a model's memory of its training data."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.memorisation.attraction import Attraction, Authenticity, CellTest
from pxgen_plugins.evaluation.memorisation.collapse import Collapse
from pxgen_plugins.evaluation.memorisation.completion import Completion
from pxgen_plugins.evaluation.memorisation.extraction import Extraction
from pxgen_plugins.evaluation.memorisation.membership import Membership
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.html import rows_card
from pxgen_plugins.utils.text import (
    MarkdownText,
    markdown_table,
    number,
    percent,
    percent_interval,
    write,
)

__all__ = ["SHOWN", "Copies", "Pair"]

SHOWN = ("training", "sample", "held_out")
"""Instances of a pair, as they are shown."""
_ARRAYS = ("positions", "p_values", "closeness", "control")


@dataclass(frozen=True)
class Pair:
    """A training instance that the model gives back, and the sample that shows it.

    Attributes:
        training: Position in the training set.
        sample: Position among the samples.
        held_out: Position of the held-out instance nearest to the sample.
        distance: Of sample and training instance.
        held_out_distance: Of sample and held-out instance.
        p_value: That the training instance is no more remembered than a held-out one.
        adjusted: The same, adjusted for the number of training instances.
        times: How often the instance stands in the training set.
        edits: Edits between the texts over the longer length; None for other instances.
        label: Label of the training instance, or None.
    """

    training: int
    sample: int
    held_out: int
    distance: float
    held_out_distance: float
    p_value: float
    adjusted: float
    times: int
    edits: float | None = None
    label: str | None = None


@dataclass(frozen=True, repr=False)
class Copies(MarkdownText):
    """What tests of memory found.

    A model that passes has withstood these attacks with this many samples, no others.

    Attributes:
        membership: By criterion, and ``"combined"``: how well it tells training from held-out.
        pairs: Training instances that the model gives back, the surest first.
        attraction: Whether samples are drawn to the training set.
        authenticity: Share of samples that are no closer to it than its own neighbours.
        cells: The three-sample test.
        extraction: By length of prompt, of language models.
        duplicates: Training instances that stand several times in the set, (position, times), the
            most frequent first.
        positions: Positions of the n distinct training instances, int64 (n,).
        p_values: Of each, float64 (n,).
        closeness: Distance of each to the nearest sample, over that to the nearest other real
            instance, (n,).
        control: The same of the held-out instances, (m,).
        notes: What a reader must know.
        about: Sizes, settings, seeds.
        instances: Pairs as pictures: arrays (k, *sample_shape) of the first pairs, under
            ``"training"``, ``"sample"`` and ``"held_out"``; empty without pairs.
        texts: The same as texts, where the model renders its instances.
        collapse: Clusters of samples around single training instances.
        completions: What the model made of captions and of parts of pictures, where that was tried.
    """

    membership: Mapping[str, Membership]
    pairs: Sequence[Pair]
    attraction: Attraction
    authenticity: Authenticity
    cells: CellTest
    extraction: Sequence[Extraction]
    duplicates: Sequence[tuple[int, int]]
    positions: NDArray[np.int64]
    p_values: NDArray[np.float64]
    closeness: NDArray[np.float64]
    control: NDArray[np.float64]
    notes: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    instances: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    collapse: Collapse | None = None
    completions: Sequence[Completion] = ()

    @property
    def count(self) -> int:
        """How many distinct training instances the model gives back, at ``about["fdr"]``."""
        return len(self.pairs)

    def table(self) -> list[dict[str, Any]]:
        """Return one dict per measure: name, value, interval or band without memory, p-value."""
        rows: list[dict[str, Any]] = [
            {
                "measure": f"membership by {name}: AUC",
                "value": found.auc,
                "low": found.interval[0],
                "high": found.interval[1],
                "without memory": 0.5,
                "p_value": found.p_value,
            }
            for name, found in self.membership.items()
        ]
        one, genuine = self.attraction, self.authenticity
        rows.append({
            "measure": "training instances given back", "value": self.count, "low": None,
            "high": None, "without memory": 0, "p_value": None,
        })  # fmt: skip
        rows.append({
            "measure": "samples nearest to training", "value": one.share, "low": None, "high": None,
            "without memory": list(one.null), "p_value": one.p_value,
        })  # fmt: skip
        rows.append({
            "measure": "authentic samples", "value": genuine.share, "low": genuine.interval[0],
            "high": genuine.interval[1], "without memory": genuine.control, "p_value": None,
        })  # fmt: skip
        rows.append({
            "measure": "three-sample statistic", "value": self.cells.statistic, "low": None,
            "high": None, "without memory": 0.0, "p_value": None,
        })  # fmt: skip
        if self.collapse is not None:
            rows.append({
                "measure": "samples collapsed", "value": self.collapse.share, "low": None,
                "high": None, "without memory": self.collapse.control,
                "p_value": self.collapse.p_value,
            })  # fmt: skip
        rows += [
            {
                "measure": f"pictures from {row.given}: error",
                "value": row.median,
                "low": None,
                "high": None,
                "without memory": row.control,
                "p_value": row.p_value,
            }
            for row in self.completions
        ]
        rows += [
            {
                "measure": f"texts continued from {row.prompt:.0%}",
                "value": row.close,
                "low": row.close_interval[0],
                "high": row.close_interval[1],
                "without memory": row.close_control,
                "p_value": row.p_value,
            }
            for row in self.extraction
        ]
        return rows

    @classmethod
    def of(cls, content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Copies:
        """Return what :meth:`to_data` gave, read from files.

        Raises:
            KeyError: When a part is missing.
            TypeError: When a part is something else than it must be.
            ValueError: Likewise.
        """
        measured = {
            name: Membership.from_dict(found) for name, found in content["membership"].items()
        }
        genuine, near = dict(content["authenticity"]), dict(content["attraction"])
        for key in ("interval", "control_interval"):
            genuine[key] = tuple(genuine[key])
        cells = [{k: _number(v) for k, v in cell.items()} for cell in content["cells"]["cells"]]
        return cls(
            membership=measured,
            pairs=[Pair(**pair) for pair in content["pairs"]],
            attraction=Attraction(**near | {"null": tuple(near["null"])}),
            authenticity=Authenticity(**genuine),
            cells=CellTest(_number(content["cells"]["statistic"]), cells),
            extraction=[Extraction.from_dict(row) for row in content["extraction"]],
            duplicates=[(int(at), int(times)) for at, times in content["duplicates"]],
            positions=arrays["positions"],
            p_values=arrays["p_values"],
            closeness=arrays["closeness"],
            control=arrays["control"],
            notes=[str(note) for note in content["notes"]],
            about=dict(content["about"]),
            instances={name: arrays[name] for name in SHOWN if name in arrays},
            texts={str(name): list(map(str, some)) for name, some in content["texts"].items()},
            collapse=Collapse.from_dict(content["collapse"]) if content["collapse"] else None,
            completions=[Completion.from_dict(row) for row in content["completions"]],
        )

    def to_data(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return all of it as JSON holds it, and as arrays; pictures of a known range as bytes."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        bounds = self.about.get("data_range")
        arrays |= {name: _bytes(some, bounds) for name, some in self.instances.items()}
        content = json.loads(self.to_json()) | {"texts": plain(self.texts)}
        return content, {name: np.ascontiguousarray(some) for name, some in arrays.items()}

    def to_json(self) -> str:
        """Return everything but instances and texts as strict JSON."""
        content = {
            "count": self.count,
            "membership": {name: found.to_dict() for name, found in self.membership.items()},
            "pairs": [asdict(pair) for pair in self.pairs],
            "attraction": self.attraction.to_dict(),
            "authenticity": self.authenticity.to_dict(),
            "cells": self.cells.to_dict(),
            "collapse": None if self.collapse is None else self.collapse.to_dict(),
            "extraction": [row.to_dict() for row in self.extraction],
            "completions": [row.to_dict() for row in self.completions],
            "duplicates": [list(pair) for pair in self.duplicates],
            "notes": list(self.notes),
            "about": dict(self.about),
        }
        return json.dumps(plain(content), allow_nan=False, indent=1)

    def to_markdown(self) -> str:
        """Return the measures, then the pairs, as Markdown tables."""
        head, *cells = self.measures()
        lines = [self.sentence(), "", *markdown_table(head, cells, n_left=1)]
        if self.pairs:
            head = ["training", "times", "sample", "distance", "held-out distance", "adjusted p"]
            lines += ["", f"The {min(len(self.pairs), 20)} surest of {self.count:,}:", ""]
            shown = [
                [
                    f"{pair.training:,}", f"{pair.times:,}", f"{pair.sample:,}",
                    number(pair.distance, 3), number(pair.held_out_distance, 3),
                    number(pair.adjusted, 2),
                ]
                for pair in self.pairs[:20]
            ]  # fmt: skip
            lines += markdown_table(head, shown)
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def measures(self) -> list[list[str]]:
        """Return the rows of :meth:`table` as texts, the head first."""
        head = ["measure", "value", "95% interval", "without memory", "p"]
        return [head] + [
            [row["measure"], _value(row), _interval(row), _null(row), _p_text(row["p_value"])]
            for row in self.table()
        ]

    def sentence(self) -> str:
        """Return what was found in a sentence."""
        n, m = self.about.get("n_training", 0), self.about.get("n_samples", 0)
        if not self.count:
            return (
                f"None of {n:,} training instances was found among {m:,} samples (false discovery "
                f"rate {percent(self.about.get('fdr'), 1)})."
            )
        return (
            f"The model gives {self.count:,} of {n:,} training instances back in {m:,} samples "
            f"(false discovery rate {percent(self.about.get('fdr'), 1)})."
        )

    def _repr_html_(self) -> str:
        rows = [
            (row["measure"], f"{_value(row)}, without memory {_null(row)}") for row in self.table()
        ]
        return rows_card("Copies", rows, [self.sentence(), *self.notes])

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the pairs and the values (see :func:`pxgen_plugins.plots.plot_copies`)."""
        from pxgen_plugins.plots import plot_copies

        return plot_copies(self, **options)

    @caller("Copies.write")
    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``.json`` or ``.md``, by the suffix; the file appears whole.

        Raises:
            ParameterError: For another suffix.
        """
        write(path, {".json": self.to_json, ".md": self.to_markdown})


def _bytes(values: NDArray[Any], bounds: Sequence[float] | None) -> NDArray[Any]:
    if bounds is None or values.dtype == np.uint8:
        return values
    unit = (np.nan_to_num(values, nan=bounds[0]) - bounds[0]) / (bounds[1] - bounds[0])
    pixels: NDArray[np.uint8] = np.rint(255.0 * np.clip(unit, 0.0, 1.0)).astype(np.uint8)
    return pixels


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _value(row: Mapping[str, Any]) -> str:
    value = row["value"]
    return number(value, 3) if row["measure"] not in _SHARES else percent(value)


_SHARES = ("samples nearest to training", "authentic samples", "samples collapsed")


def _interval(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return ""
    if row["measure"] in _SHARES:
        return percent_interval(row["low"], row["high"])
    return f"{number(row['low'], 3)} to {number(row['high'], 3)}"


def _null(row: Mapping[str, Any]) -> str:
    null = row["without memory"]
    if isinstance(null, list):
        return percent_interval(*null)
    return percent(null) if row["measure"] in _SHARES else number(null, 3)


def _p_text(value: float | None) -> str:
    return "" if value is None else ("< 0.0001" if value < 1e-4 else number(value, 2))
