"""The result of a study: rows that a table, a figure and JSON are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.errors import ParameterError, describe
from pxgen_plugins.groups import GROUPS

__all__ = ["Study", "plain"]


@dataclass(frozen=True)
class Study:
    """How the groups move with a setting.

    Attributes:
        name: What was varied: ``"thresholds"`` or ``"anchors"``.
        rows: One dict per setting; ``case`` says which, ``fractions`` and ``intervals`` hold the
            share of each group and its 95% interval, the rest is the study's own.
        about: Settings of the explainer and of the study.
    """

    name: str
    rows: list[dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)

    def table(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return self.rows

    def to_markdown(self) -> str:
        """Return a table of the group shares and of the study's numbers."""
        own = list(dict.fromkeys(k for row in self.rows for k in row if _is_number(row[k])))
        head = ["case", *GROUPS, *(name.replace("_", " ") for name in own)]
        lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
        for row in self.rows:
            cells = [str(row["case"]).replace("|", "\\|").replace("\n", " ")]
            cells += [_share(row, name) for name in GROUPS]
            cells += [_number(row.get(name)) for name in own]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Return the study as strict JSON; :meth:`from_json` reads it back."""
        content = {"name": self.name, "rows": self.rows, "about": self.about}
        return json.dumps(plain(content), allow_nan=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Study:
        """Return the study that :meth:`to_json` wrote.

        Raises:
            ParameterError: When ``text`` is something else.
        """
        try:
            content = json.loads(text)
            return cls(content["name"], list(content["rows"]), dict(content["about"]))
        except (ValueError, TypeError, KeyError) as error:
            do = f"Give what Study.to_json returned ({type(error).__name__})."
            allowed, came = "a study's JSON", describe(text)
            raise ParameterError("text", "Study.from_json", allowed, came, do) from error

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the study (see :func:`pxgen_plugins.plots.plot_study`)."""
        from pxgen_plugins.plots import plot_study

        return plot_study(self, **options)


def plain(value: Any) -> Any:
    """Return ``value`` as strict JSON holds it: no arrays, None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _share(row: dict[str, Any], name: str) -> str:
    interval = row["intervals"][name]
    shown = f"{row['fractions'][name]:.1%}"
    return shown if interval is None else f"{shown} ({interval[0]:.1%} to {interval[1]:.1%})"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _number(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3g}"
