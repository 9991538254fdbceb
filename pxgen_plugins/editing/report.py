"""What an edit does: to the concept, to other concepts, and to pictures of neither."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.base import traceless
from pxgen_plugins.adapters.text_to_image.scores import scorer_of
from pxgen_plugins.adapters.units.change import half_width
from pxgen_plugins.editing.token_pairs import fill
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.text import MarkdownText, markdown_table, number

__all__ = ["EditReport", "Row", "make_report"]

Floats = NDArray[np.float64]
Scores = Callable[[Tensor], Floats]
_NONE = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Row:
    """One concept before and after an edit.

    Attributes:
        concept: Its name; ``target``: what it is read as, None for one that is not edited.
        target: See ``concept``.
        prompts: How many prompts.
        before: Mean score of the concept's own scorer before, NaN without one; ``after``: after.
        after: See ``before``.
        change: After less before: mean and the ends of its 95% interval over seeds.
        target_change: The same of the target's scorer, of an edited concept.
        drift: Mean absolute change of the pictures, in units of the data, and its interval.
        apart: The same between pictures of different seeds: how far apart pictures are anyway.
    """

    concept: str
    target: str | None
    prompts: int
    before: float
    after: float
    change: tuple[float, float, float]
    target_change: tuple[float, float, float]
    drift: tuple[float, float, float]
    apart: float


@dataclass(frozen=True, eq=False, repr=False)
class EditReport(MarkdownText):
    """What an edit does.

    Attributes:
        rows: A row for every concept, edited ones first.
        efficacy: Mean change of the scores of edited concepts under their prompts (they should
            fall), and the ends of its 95% interval over seeds; NaN without scorers.
        specificity: The same for the other concepts (they should stay).
        drift: Mean absolute change of the pictures of the other prompts, in units of the data, and
            its interval; NaN without such prompts. ``apart`` of the rows is the scale.
        images: By concept, the first pictures of its first prompt before and after, float32
            (2, a, *sample_shape).
        n_seeds: Seeds that the intervals are over; prompts are fixed.
    """

    rows: list[Row]
    efficacy: tuple[float, float, float]
    specificity: tuple[float, float, float]
    drift: tuple[float, float, float]
    images: dict[str, NDArray[np.float32]]
    n_seeds: int

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as strict JSON holds them."""
        content: dict[str, Any] = plain(
            {
                "rows": [vars(row) for row in self.rows],
                "efficacy": self.efficacy,
                "specificity": self.specificity,
                "drift": self.drift,
                "n_seeds": self.n_seeds,
            }
        )
        return content

    def to_markdown(self) -> str:
        """Return a table, a row for every concept."""
        head = ["concept", "read as", "score before", "after", "change", "target's change",
                "drift", "other seeds"]  # fmt: skip
        cells = [
            [
                row.concept,
                "" if row.target is None else row.target or "nothing",
                number(row.before, 3),
                number(row.after, 3),
                _text(row.change),
                _text(row.target_change),
                _text(row.drift),
                number(row.apart, 3),
            ]
            for row in self.rows
        ]
        lines = [
            f"Efficacy {_text(self.efficacy)}, specificity {_text(self.specificity)}, drift of "
            f"other prompts {_text(self.drift)}; 95% intervals over {self.n_seeds} seeds.",
            "",
            *markdown_table(head, cells, 2),
        ]
        return "\n".join(lines) + "\n"


def make_report(
    edit: Any, prompts: Any, scorer: Any, n_seeds: int, guidance: float | None, seed: int
) -> EditReport:
    """Return the report of an edit; see :meth:`ConceptEdit.report`."""
    n_seeds = validation.integer(n_seeds, "n_seeds", minimum=2)
    seed = validation.integer(seed, "seed", minimum=0)
    if guidance is not None:
        guidance = validation.real(guidance, "guidance", minimum=0.0)
    edits: dict[str, str] = edit.settings["edits"]
    groups = _groups(prompts, edits, edit.settings["templates"])
    scorers = _Scorers(scorer, edit.model, derive(seed, "score"))
    noise = derive(seed, "pictures")

    def pictures() -> dict[str, list[Tensor]]:
        with torch.no_grad():
            return {
                concept: [
                    edit.model.sample(n_seeds, noise, prompt=prompt, guidance=guidance)
                    for prompt in several
                ]
                for concept, several in groups.items()
            }

    with traceless(edit.model):
        before = pictures()
        with edit.applied():
            after = pictures()
        measured = {
            concept: _measure(concept, edits, several, before[concept], after[concept], scorers)
            for concept, several in groups.items()
        }
    rows = [row for row, _, _ in measured.values()]
    changes = {concept: change for concept, (_, change, _) in measured.items()}
    drifts = [drift for concept, (_, _, drift) in measured.items() if concept not in edits]
    return EditReport(
        rows,
        _mean([c for name, c in changes.items() if name in edits and c is not None]),
        _mean([c for name, c in changes.items() if name not in edits and c is not None]),
        _mean(drifts),
        {name: _shown(before[name][0], after[name][0]) for name in groups},
        n_seeds,
    )


class _Scorers:
    """The scorer of each concept: one for all, or by name."""

    def __init__(self, given: Any, model: Any, seed: int) -> None:
        self.given, self.model, self.seed = given, model, seed

    def of(self, concept: str, prompt: str) -> Scores | None:
        """Return the scorer of a concept under a prompt, None without one."""
        one = self.given.get(concept) if isinstance(self.given, Mapping) else self.given
        return None if one is None else scorer_of(one, self.model, prompt, self.seed)

    def of_target(self, target: str | None, prompt: str) -> Scores | None:
        """Return the scorer of an edit's target: one for all says nothing of it."""
        by_name = isinstance(self.given, Mapping) and target is not None
        return self.of(str(target), prompt) if by_name else None


def _measure(
    concept: str,
    edits: Mapping[str, str],
    prompts: Sequence[str],
    before: Sequence[Tensor],
    after: Sequence[Tensor],
    scorers: _Scorers,
) -> tuple[Row, Floats | None, Floats]:
    """Return a concept's row, and for every seed the change of its score and its drift."""
    target = edits.get(concept)
    own: list[tuple[Floats, Floats]] = []
    others: list[Floats] = []
    for prompt, old, new in zip(prompts, before, after, strict=True):
        if (score := scorers.of(concept, prompt)) is not None:
            own.append((score(old), score(new)))
        if (score := scorers.of_target(target, prompt)) is not None:
            others.append(score(new) - score(old))
    drift = np.mean([_apart(o, n) for o, n in zip(before, after, strict=True)], axis=0)
    apart = np.mean([_apart(old, old.roll(1, 0)) for old in before])
    change = np.mean([new - old for old, new in own], axis=0) if own else None
    row = Row(
        concept,
        target,
        len(prompts),
        float(np.mean([old for old, _ in own])) if own else math.nan,
        float(np.mean([new for _, new in own])) if own else math.nan,
        _NONE if change is None else _mean([change]),
        _mean([np.mean(others, axis=0)]) if others else _NONE,
        _mean([drift]),
        float(apart),
    )
    return row, change, np.asarray(drift)


def _groups(
    prompts: Any, edits: Mapping[str, str], templates: Sequence[str]
) -> dict[str, list[str]]:
    """Return prompts by concept, edited ones first."""
    if isinstance(prompts, Mapping):
        given = {str(name): _several(some) for name, some in prompts.items()}
    else:
        given = {one: [one] for one in _several(prompts)}
    own = {name: given.get(name) or [fill(t, name) for t in templates] for name in edits}
    return {**own, **{name: some for name, some in given.items() if name not in edits}}


def _several(prompts: Any) -> list[str]:
    several = [prompts] if isinstance(prompts, str) else prompts
    good = isinstance(several, (list, tuple)) and all(isinstance(one, str) for one in several)
    if not good:
        hint = "Pass prompts={'three': ['a three'], 'four': ['a four']}, say."
        allowed = "texts, or lists of them by concept"
        raise ParameterError("prompts", allowed, short_repr(prompts), hint)
    return list(several)


def _apart(one: Tensor, other: Tensor) -> Floats:
    """Return the mean absolute difference of pictures, (n,)."""
    gap = (one - other).abs().flatten(1).double().mean(1)
    return np.asarray(gap.cpu().numpy(), dtype=np.float64)


def _mean(rows: Sequence[Floats]) -> tuple[float, float, float]:
    """Return the mean over rows and seeds and its interval over seeds; NaN without rows."""
    if not rows:
        return _NONE
    values = np.mean(rows, axis=0)
    mean, reach = float(values.mean()), half_width(values)
    return mean, mean - reach, mean + reach


def _shown(before: Tensor, after: Tensor, most: int = 4) -> NDArray[np.float32]:
    pair = torch.stack([before[:most].float().cpu(), after[:most].float().cpu()])
    return np.asarray(pair.numpy(), dtype=np.float32)


def _text(value: tuple[float, float, float]) -> str:
    mean, low, high = value
    if not math.isfinite(mean):
        return ""
    return f"{number(mean, 2)} ({number(low, 2)} to {number(high, 2)})"
