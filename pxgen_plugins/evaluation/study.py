"""The result of a study, as rows, Markdown, JSON and a figure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.text import markdown_table, number, percent, percent_interval

__all__ = ["Study"]


@dataclass(frozen=True)
class Study:
    """How the groups move with a setting.

    Attributes:
        name: What was varied: ``"thresholds"``, ``"anchors"`` or ``"calibration"``.
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
        rows = [
            [
                str(row["case"]),
                *(_share(row, name) for name in GROUPS),
                *("" if row.get(name) is None else number(row[name], 3) for name in own),
            ]
            for row in self.rows
        ]
        return "\n".join(markdown_table(head, rows, n_left=1)) + "\n"

    def to_json(self) -> str:
        """Return the study as strict JSON; :meth:`from_json` reads it back."""
        content = {"name": self.name, "rows": self.rows, "about": self.about}
        return json.dumps(plain(content), allow_nan=False, indent=1)

    @classmethod
    @caller("Study.from_json")
    def from_json(cls, text: str) -> Study:
        """Return the study that :meth:`to_json` wrote.

        Raises:
            ParameterError: When ``text`` is something else.
        """
        try:
            content = json.loads(text)
            return cls(content["name"], list(content["rows"]), dict(content["about"]))
        except (ValueError, TypeError, KeyError) as error:
            hint = f"Give what Study.to_json returned ({type(error).__name__})."
            allowed, got = "a study's JSON", short_repr(text)
            raise ParameterError("text", allowed, got, hint) from error

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the study.

        A calibration study is drawn by :func:`~pxgen_plugins.plots.plot_calibration_noise`, others
        by :func:`~pxgen_plugins.plots.plot_study`.
        """
        from pxgen_plugins.plots import plot_calibration_noise, plot_study

        if self.name == "calibration":
            return plot_calibration_noise(self, **options)
        return plot_study(self, **options)


def _share(row: dict[str, Any], name: str) -> str:
    interval = row["intervals"][name]
    share = percent(row["fractions"][name])
    return share if interval is None else f"{share} ({percent_interval(*interval)})"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))
