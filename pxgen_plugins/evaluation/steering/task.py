"""The reconstruction task: move sliders until the picture matches a target."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.anchors import open_for
from pxgen_plugins.criteria import Batch
from pxgen_plugins.evaluation.steering.agreement import agreement_for, measure
from pxgen_plugins.evaluation.steering.hosts import HOSTS
from pxgen_plugins.evaluation.steering.log import TaskLog
from pxgen_plugins.evaluation.steering.question import Question, make_questions
from pxgen_plugins.evaluation.steering.rotation import posterior_draw
from pxgen_plugins.evaluation.steering.session import TaskSession
from pxgen_plugins.evaluation.steering.simulation import User, simulate
from pxgen_plugins.evaluation.steering.sliders import Floats, decode, make_sliders
from pxgen_plugins.models.base import capabilities, require
from pxgen_plugins.scoring.reader import Reader
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr, warn
from pxgen_plugins.utils.files import checksum
from pxgen_plugins.utils.html import rows_card
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["CONSENT", "ReconstructionTask"]

CONSENT = (
    "You will move sliders until a picture matches another one. What is recorded: positions of the "
    "sliders, times since the beginning, and your answers to the questions about the task. Not "
    "recorded: your name, address, device, or anything else about you. Everything stays in a file "
    "on this computer. You may stop at any time, and have the file deleted."
)
"""What a person agrees to before a session begins."""

_PAIRS = 64  # anchors whose posterior draws give the goal
_SHORT = 16  # characters of a target's checksum
_KINDS = ("overlap", "iou", "tolerance")


class ReconstructionTask:
    """Interactive reconstruction (Ross et al. 2021): can a person steer this representation?

    Each question shows a target that the model decoded from the code of an anchor, and a slider per
    axis. Whoever moves the sliders until the agreement reaches the goal has solved it; success,
    time, drags and the error over time say how well the axes are understood. Everything follows
    from the seed, so that two representations are asked for the same targets.

    Args:
        model: A model that can decode, and encode or embed.
        X: n anchors, anything :func:`~pxgen_plugins.anchors.open_anchors` reads; at least twice as
            many as questions. Limits, targets and starts come from their codes.
        n_questions: Questions, >= 1.
        agreement: How well a picture matches: ``"overlap"`` for bright objects on an empty ground,
            ``"iou"`` for strokes, ``"tolerance"`` for curves and dense data, or a callable
            ``(x, target) -> (n,)`` in [0, 1] that is given two batches (n, *sample_shape).
        goal: Agreement that solves a question, in (0, 1]. None takes what the model itself calls
            the same: the median agreement of two decoded posterior draws of one anchor.
        axes: :class:`~pxgen_plugins.axes.Axis` objects; a number, for as many latent dimensions,
            those that change the picture most; None for all dimensions, or the 12 most visible ones
            of a model with more than 32.
        limits: Quantiles of the anchors' positions at which sliders end. Targets beyond narrower
            ones are cut, by other amounts under other axes.
        skip_after: Seconds of active time after which a question may be skipped.
        label: Name of the representation in logs and figures.
        seed: Seed of targets, starts and goal, >= 0.
        batch_size: Codes per model call, >= 1.

    Raises:
        CapabilityError: When the model cannot decode, or gives no codes.
        ParameterError: When an argument is not allowed, or the model has no posterior and ``goal``
            is None.

    Attributes:
        sliders: :class:`~pxgen_plugins.evaluation.steering.sliders.Sliders`: axes, ends, and the
            change that each makes.
        questions: The questions.
        goal: The goal.
        consent: What a person agrees to first.

    Cost: n encoder passes, 32 k decoder passes for k axes, and 2 to 4 per question.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> model = LinearModel()
        >>> task = ReconstructionTask(model, model.sample(40, seed=0), n_questions=3, goal=0.97)
        >>> log = task.simulate("sweeper")
        >>> log.summary().value("solved")
        1.0
    """

    @caller("ReconstructionTask")
    def __init__(
        self,
        model: Any,
        X: Any,
        *,
        n_questions: int = 5,
        agreement: Any = "overlap",
        goal: float | None = None,
        axes: Any = None,
        limits: tuple[float, float] = (0.0, 1.0),
        skip_after: float = 30.0,
        label: str = "model",
        seed: int = 0,
        batch_size: int = 256,
    ) -> None:
        require(model, ["decode"], "Give a model with a decoder.")
        if not capabilities(model) & {"encode", "embed"}:
            require(model, ["embed"], "Give a model that has codes of instances.")
        self.model = model
        self.label = str(label)
        n = validation.integer(n_questions, "n_questions", minimum=1)
        self.skip_after = validation.real(skip_after, "skip_after", minimum=0.0)
        self.seed = validation.integer(seed, "seed", minimum=0)
        self.batch_size = validation.integer(batch_size, "batch_size", minimum=1)
        self.agreement = agreement_for(agreement, model)
        self.agreement_name = agreement if agreement in _KINDS else short_repr(agreement)
        ends = _limits(limits)
        if goal is not None:
            goal = validation.real(goal, "goal", above=0.0, maximum=1.0)
        reader = Reader(model, self.batch_size)
        anchors = open_for(model, X)
        codes, index = _codes(model, reader, anchors)
        if len(codes) < 2 * n:
            hint = f"Give {2 * n} anchors or more, or lower n_questions."
            raise ParameterError("X", f"at least {2 * n} usable anchors", str(len(codes)), hint)
        self.sliders = make_sliders(model, codes, axes, ends, self.batch_size)
        self.goal = self._own_goal(reader, anchors, index) if goal is None else goal
        of_order = derive(self.seed, "questions")
        self.questions: list[Question] = make_questions(
            model, self.sliders, codes, index, self.agreement, self.goal, n, of_order,
            self.batch_size,
        )  # fmt: skip
        # of the anchors as they were given: equal for every model and representation of the data
        rows, _ = anchors.read(np.array([question.anchor for question in self.questions]))
        self.targets = [checksum(np.ascontiguousarray(row).tobytes())[:_SHORT] for row in rows]

    consent = CONSENT

    def _own_goal(self, reader: Reader, anchors: Any, index: NDArray[np.int64]) -> float:
        """Return the median agreement of two decoded posterior draws of the same anchor."""
        rows = index[even_positions(len(index), _PAIRS)]
        x = torch.from_numpy(reader.inputs(anchors, rows)).to(self.model.device, self.model.dtype)
        with torch.no_grad():
            draws = [
                posterior_draw(self.model, x, derive(self.seed, "goal", side)) for side in (0, 1)
            ]
        pair = [_flat(draw) for draw in draws if draw is not None]
        if len(pair) < 2:
            hint = "Pass goal=0.9, say."
            got = f"None, and {type(self.model).__name__} has no posterior"
            raise ParameterError("goal", "a number", got, hint)
        one, other = (decode(self.model, draw, self.batch_size) for draw in pair)
        return float(np.median(measure(self.agreement, one, other)))

    @property
    def about(self) -> dict[str, Any]:
        """What identifies the task, of JSON types: the head of every log."""
        sliders = self.sliders
        return {
            "label": self.label,
            "seed": self.seed,
            "goal": self.goal,
            "agreement": self.agreement_name,
            "skip_after": self.skip_after,
            "axes": sliders.labels,
            "low": sliders.low.tolist(),
            "high": sliders.high.tolist(),
            "change": sliders.change.tolist(),
            "active": sliders.active.tolist(),
            "targets": self.targets,
        }

    @caller("ReconstructionTask.pictures")
    def pictures(self, positions: Any, question: int) -> torch.Tensor:
        """Return the instances at positions (n, k) of the sliders in a question.

        Raises:
            ParameterError: When positions are no such array, or there is no such question.
        """
        last = len(self.questions) - 1
        number = validation.integer(question, "question", minimum=0, maximum=last)
        given = np.asarray(positions, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.sliders.axes):
            allowed = f"of shape (n, {len(self.sliders.axes)})"
            hint = "Give a row for each picture, with a number for each slider."
            raise ParameterError("positions", allowed, short_repr(positions), hint)
        codes = self.sliders.codes(given, self.questions[number].base)
        return decode(self.model, codes, self.batch_size)

    def code(self, positions: Floats, question: int) -> NDArray[np.float32]:
        """Return the code at positions (k,) of the sliders, (*latent_shape)."""
        flat = self.sliders.codes(positions[None], self.questions[question].base)[0]
        code: NDArray[np.float32] = flat.astype(np.float32).reshape(self.sliders.latent_shape)
        return code

    @caller("ReconstructionTask.session")
    def session(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        participant: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> TaskSession:
        """Return a session of one person, step by step, for a page or a test.

        Args:
            path: A ``.jsonl`` file that the log is appended to, row by row; one that a killed
                session of the same task and participant left behind goes on where it was. None
                keeps the log in memory.
            participant: A number for the person: no name.
            clock: Returns seconds; only differences count.

        Raises:
            ParameterError: When the file is another task's, or is in use.
        """
        number = validation.integer(participant, "participant", minimum=0)
        return TaskSession(self, path, participant=number, clock=clock)

    @caller("ReconstructionTask.simulate")
    def simulate(
        self,
        user: str | User = "sweeper",
        *,
        noise: float = 0.02,
        budget: int = 200,
        seed: int | None = None,
    ) -> TaskLog:
        """Let a simulated user solve the questions; each picture seen counts as a second.

        A smoke test of the task, and no claim about people: a sweeper does not see that two like
        factors are mixed, which people find hard.

        Args:
            user: ``"sweeper"`` drags one slider after the other along its length and leaves it
                where the picture looked best; ``"random"`` puts random sliders anywhere;
                ``"gradient"`` knows how the agreement changes with every slider; or a callable that
                is given a :class:`~pxgen_plugins.evaluation.steering.simulation.Hand`.
            noise: Standard deviation of what the user misjudges the agreement by, >= 0.
            budget: Drags after which a question is given up, >= 1.
            seed: Seed of the user; None takes the task's.

        Raises:
            ParameterError: When an argument is not allowed.
        """
        number = self.seed if seed is None else validation.integer(seed, "seed", minimum=0)
        return simulate(
            self,
            user,
            noise=validation.real(noise, "noise", minimum=0.0),
            budget=validation.integer(budget, "budget", minimum=1),
            seed=number,
        )

    @caller("ReconstructionTask.play")
    def play(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        participant: int = 0,
        host: str | None = None,
        **options: Any,
    ) -> TaskLog:
        """Let a person solve the questions, in whatever host is there: a page or a notebook.

        Args:
            path: As for :meth:`session`.
            participant: As for :meth:`session`.
            host: Name of the host; None takes the first. ``import pxgen_plugins.explorer`` brings
                those of the package.
            options: Handed on to the host.

        Returns:
            The log, which grows while the person plays.

        Raises:
            ParameterError: When there is no host.
        """
        names = HOSTS.names()
        if not names:
            hint = "Write 'import pxgen_plugins.explorer' first, or use session() step by step."
            raise ParameterError("host", "there", "none", hint)
        show = HOSTS.get(names[0] if host is None else host)
        session = self.session(path, participant=participant)
        show(session, **options)
        return session.log

    @caller("ReconstructionTask.replay")
    def replay(self, log: TaskLog) -> Floats:
        """Return the agreement of every row of a log with positions, computed anew.

        Raises:
            ParameterError: When the log is of another task.
        """
        log.require_task(self.about)
        found = []
        for trial in log.trials:
            target = self.questions[trial.question].picture
            for start in range(0, len(trial.positions), self.batch_size):  # in bounded memory
                rows = trial.positions[start : start + self.batch_size]
                x = self.pictures(rows, trial.question)
                found.append(measure(self.agreement, x, target))
        return np.concatenate(found) if found else np.empty(0)

    def illustrate(self, log: TaskLog) -> TaskLog:
        """Return the log with the target, start and last picture of each question.

        Raises:
            ParameterError: When the log is of another task.
        """
        log.require_task(self.about)
        shown = []
        for trial in log.trials:
            ends = self.pictures(trial.positions[[0, -1]], trial.question)
            shown.append(torch.cat([self.questions[trial.question].picture[None], ends]).numpy())
        return replace(log, pictures=np.stack(shown) if shown else None)

    def table(self) -> list[dict[str, Any]]:
        """Return a row per slider: ``axis``, ``low``, ``high``, ``change``, ``active``."""
        sliders = self.sliders
        return [
            {"axis": name, "low": float(low), "high": float(high), "change": float(change),
             "active": bool(active)}
            for name, low, high, change, active in zip(
                sliders.labels, sliders.low, sliders.high, sliders.change, sliders.active,
                strict=True,
            )
        ]  # fmt: skip

    def __repr__(self) -> str:
        active = int(self.sliders.active.sum())
        return (
            f"ReconstructionTask({short_repr(self.label)}: {len(self.questions)} questions, "
            f"{len(self.sliders.axes)} sliders, {active} active, goal {self.goal:.3g})"
        )

    def _repr_html_(self) -> str:
        active = int(self.sliders.active.sum())
        words = (
            f"{len(self.questions)} questions, solved from an agreement of {self.goal:.3g} "
            f"({self.agreement_name}); {active} of {len(self.sliders.axes)} sliders change the "
            "picture by 1% or more between their ends."
        )
        return rows_card(f"Reconstruction task: {self.label}", self.table(), [words])


def _limits(limits: Any) -> tuple[float, float]:
    try:
        low, high = (validation.real(end, "limits", minimum=0.0, maximum=1.0) for end in limits)
    except (TypeError, ValueError) as error:
        if isinstance(error, ParameterError):
            raise
        low = high = 0.0
    if low >= high:
        hint = "Pass (0.0, 1.0) for all of the data, or (0.01, 0.99)."
        raise ParameterError("limits", "two rising quantiles", short_repr(limits), hint)
    return low, high


def _codes(model: Any, reader: Reader, anchors: Any) -> tuple[Floats, NDArray[np.int64]]:
    """Return the flat codes of the usable anchors, and which these are."""
    parts: list[Floats] = [np.empty((0, int(np.prod(model.latent_shape))))]
    reasons: dict[int, str] = {}
    for _, x in reader.batches(anchors, None, reasons):
        with torch.no_grad():
            parts.append(_flat(Batch(model, x).code))
    codes = np.concatenate(parts)
    good = np.isfinite(codes).all(axis=1)
    good[list(reasons)] = False
    if not good.all():
        warn(f"ReconstructionTask: {int((~good).sum())} anchors cannot be used and are left out")
    return codes[good], np.flatnonzero(good)


def _flat(codes: torch.Tensor) -> Floats:
    flat: Floats = torch.as_tensor(codes).flatten(1).double().cpu().numpy()
    return flat
