"""All logic of the explorer: messages in, answers out; no sockets, no notebook."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from pxgen_plugins import __version__
from pxgen_plugins.adapters.base import kept_generators, traceless
from pxgen_plugins.explorer import messages as schema
from pxgen_plugins.explorer.history import History, Place
from pxgen_plugins.explorer.messages import Answer
from pxgen_plugins.explorer.page import page_of, strips
from pxgen_plugins.explorer.scene import Scene
from pxgen_plugins.explorer.steering import task_of
from pxgen_plugins.explorer.turns import Turns
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, PXGenError, caller, short_repr
from pxgen_plugins.utils.invisible import escape_invisible
from pxgen_plugins.utils.redaction import redact, without_addresses

__all__ = ["THEMES", "TOOLS", "Session"]

T = TypeVar("T")
_log = logging.getLogger(__name__)
TOOLS = ("sliders", "groups", "paint", "walk", "compare", "task")
THEMES = ("auto", "light", "dark")
_LONGEST = 600  # characters of an error


class Session:
    r"""A model that is explored: its codes, axes, groups, anchors and units, by messages.

    Nothing of the model is changed, and no global random state; the same code gives the same bytes.
    Messages from several threads are answered one after the other; others are answered between two
    pictures of a walk, and of a page that is saved.

    Args:
        model: A model of :mod:`pxgen_plugins.models`, or several by name, as in
            ``{"VAE": vae, "DCGAN": gan}``: the first is explored, the others are compared with it.
            None takes the explainer's.
        X: Anchors, anything :meth:`pxgen_plugins.PXGen.explain` takes; None explores without.
        explainer: A fitted PXGen of the (first) model, or several by the model's name; None shows
            no groups.
        axes: What sliders move: :class:`~pxgen_plugins.axes.Axis` objects, a direction adapter that
            has found some, an explanation of one, or a list of these; None takes the model's latent
            dimensions.
        labels: Labels of the anchors.
        units: An explanation of :class:`~pxgen_plugins.adapters.UnitDissection`, whose concepts
            name the units of its layer; None offers the units of the usual layer by number.
        task: A :class:`~pxgen_plugins.evaluation.ReconstructionTask`, or a session of one; None
            offers none.
        tools: Which tools are offered, out of :data:`TOOLS`; None takes those that work.
        title: What the page is called.
        theme: ``"auto"``, ``"light"`` or ``"dark"``.

    Raises:
        ParameterError: When an argument is not allowed, or the explainer is of another model.
        NotFittedError: When the explainer is not fitted.
        AnchorError: When the anchors cannot be read.

    Cost: an explanation of the anchors, and two decoder passes for each axis and eight codes.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> session = Session(LinearModel())
        >>> answer = session.handle({"id": 1, "kind": "decode", "z": [0.0, 1.0, 0.0]})
        >>> answer.content["image"], answer.buffers[0][:4]
        ({'buffer': 0}, b'\x89PNG')
    """

    @caller("Session")
    def __init__(
        self,
        model: Any = None,
        X: Any = None,
        explainer: Any = None,
        axes: Any = None,
        *,
        labels: Any = None,
        units: Any = None,
        task: Any = None,
        tools: Any = None,
        title: str = "PXGen explorer",
        theme: str = "auto",
    ) -> None:
        if model is None and explainer is not None and not isinstance(explainer, Mapping):
            model = getattr(explainer, "predictor", None)
        if model is None and task is not None:
            model = getattr(task, "model", None)
        self.title, self.theme = str(title)[:200], validation.choice(theme, "theme", THEMES)
        self.task, self.history = task_of(task), History()
        self._models: list[Any] = list(model.values()) if isinstance(model, Mapping) else [model]
        self._turns = Turns()
        self._listeners: list[Callable[[], None]] = []
        self._told = self._now
        with self._alone():
            self.scene = Scene(model, X, explainer, axes, labels, units)
        self.tools = self._choose(tools)

    @classmethod
    def of(
        cls, model: Any, X: Any, axes: Any, explainer: Any, options: Mapping[str, Any]
    ) -> Session:
        """Return ``model`` if it is a session, else one of the arguments.

        Raises:
            ParameterError: When a session is given beside what belongs into one.
        """
        if not isinstance(model, Session):
            return cls(model, X, explainer, axes, **options)
        if X is not None or axes is not None or explainer is not None or options:
            hint = "Give them to the Session."
            got = "a Session beside anchors, axes, an explainer or options"
            raise ParameterError("model", "alone, where it is a Session", got, hint)
        return model

    def answer(self, kind: str, **entries: Any) -> Answer:
        """Return the answer to a message of a kind, for callers in Python.

        Raises:
            ParameterError: When the answer is an error.
        """
        answer = self.handle({"id": 0, "kind": kind, "client": "python", **entries})
        if "error" in answer.content:
            hint = "See the schema of messages."
            raise ParameterError(kind, "possible", str(answer.content["error"]), hint)
        return answer

    def handle(self, message: Any) -> Answer:
        """Return the answer to a message; never raises for what a message says.

        Args:
            message: A mapping as the schema (:func:`pxgen_plugins.explorer.messages.schema`) says.

        Returns:
            Content with the message's ``id`` and ``kind``, and pictures. ``{"error": ...}`` with
            one sentence where the message, or the model, is at fault; ``{"stale": True}`` to a
            decode that a newer one of the same client has superseded while it waited.
        """
        head = _head(message)
        try:
            with caller("explorer"):
                request = schema.parse(message)
                turn = self._turns.take(request)
                if isinstance(request, schema.Walk):
                    return Answer.of({**head, **self._walk(request)})
                if isinstance(request, schema.SavePage):
                    return Answer.of({**head, "html": self._page(request.axes)})
                with self._turns.alone():
                    if self._turns.is_over(request, turn):
                        return Answer({**head, "stale": True})
                    quick = isinstance(request, schema.Decode) and not request.strokes
                    with kept_generators() if quick else self._alone():
                        answer = Answer.of({**head, **self._answer(request)})
                    self._tell()
                    return answer
        except PXGenError as error:
            return Answer({**head, "error": _sentence(str(error))})
        except Exception as error:  # whatever a user's model raises
            _log.debug("a message of kind %s", head["kind"], exc_info=True)
            text = f"the model raised {type(error).__name__}: {error}"
            return Answer({**head, "error": _sentence(text)})

    def state(self) -> dict[str, Any]:
        """Return what is shown now, as JSON-able data: code, amounts, strokes, seed, selection."""
        with self._turns.alone():
            return self.history.state(self._labels)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` returned.

        Raises:
            ParameterError: When it is no state, or of another model.
        """
        with caller("Session.restore"), self._turns.alone():
            message: Any = schema.parse({"id": 0, "kind": "restore", "state": state})
            self._restore(message.state)
            self._tell()

    @property
    def selected(self) -> list[int]:
        """Positions of the selected anchors."""
        return list(self.history.selected)

    def select(self, indices: Any) -> None:
        """Select anchors, by their positions.

        Raises:
            ParameterError: When there are no such anchors.
        """
        with caller("Session.select"), self._turns.alone():
            self.history.selected = validation.positions(indices, "indices", self._n)
            self._tell()

    def show(self, code: Any) -> None:
        """Go to a code of the first model; what is shown already, sliders and all, stays.

        Raises:
            ParameterError: When it is not of the model's size, or not finite.
        """
        with caller("Session.show"), self._turns.alone():
            z = tuple(float(value) for value in code)
            if self.scene.first.code(z, "code").flatten().tolist() != self.code:
                self.history.go(Place(z))
                self._tell()

    def watch(self, listener: Callable[[], None]) -> None:
        """Call a function after every change of what is shown or selected, whoever made it."""
        self._listeners.append(listener)

    @property
    def code(self) -> list[float]:
        """The code of the picture that is shown, flattened: with all sliders where they are."""
        with self._turns.alone():
            place = self.history.present
            return self.scene.code(place).flatten().tolist() if place.z else []

    def __repr__(self) -> str:
        models = ", ".join(subject.name for subject in self.scene.subjects)
        return f"<Session of {models}: {len(self.scene.axes)} axes, {self._n:,} anchors>"

    def info(self) -> dict[str, Any]:
        """Return all that the page shows before anything is done; pictures are bytes."""
        with self._turns.alone(), self._alone():
            return {
                "version": __version__,
                "title": self.title,
                "theme": self.theme,
                "tools": list(self.tools),
                "consent": getattr(self.task, "consent", None),
                **self.scene.info(),
            }

    def save_page(self, axes: list[int] | None = None) -> str:
        """Return one HTML page that needs no server: a strip of pictures for each axis.

        Args:
            axes: Axes, by position; None takes those that are shown.

        Raises:
            ParameterError: When there is no such axis.
        """
        with caller("Session.save_page"):
            return self._page(axes)

    @property
    def _now(self) -> tuple[Place, list[int]]:
        return self.history.present, self.history.selected

    def _tell(self) -> None:
        """Call those who watch, unless nothing has changed."""
        if self._now != self._told:
            self._told = self._now
            for listener in self._listeners:
                listener()

    @property
    def _labels(self) -> list[str]:
        return [axis.label[:500] for axis in self.scene.axes]

    @property
    def _n(self) -> int:
        return 0 if self.scene.gallery is None else len(self.scene.gallery)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Leave modules and global generators as they are, whatever the models do."""
        with ExitStack() as stack:
            for model in self._models:
                stack.enter_context(traceless(model))
            yield

    def _answer(self, request: Any) -> dict[str, Any]:
        """Return the answer to a checked message."""
        scene = self.scene
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            "open": self.info,
            "decode": lambda: self._decode(request),
            "python": lambda: {"python": scene.python(Place.of(request))},
            "anchor": lambda: scene.anchor(request.index, request.model),
            "sample": lambda: self._sample(request),
            "compare": lambda: scene.compare(request.z, request.anchor),
            "select": lambda: self._select(request.indices),
            "undo": lambda: self.history.undo().to_data(),
            "reset": lambda: self.history.reset(request.axis).to_data(),
            "state": lambda: {"state": self.state()},
            "restore": lambda: self._restore(request.state),
            "task_start": lambda: self._ask_task("start"),
            "task_step": lambda: self._ask_task("step", request.z, request.axis),
            "task_skip": lambda: self._ask_task("skip"),
        }
        return answers[request.kind]()

    def _decode(self, request: Any) -> dict[str, Any]:
        place = Place.of(request)
        picture = self.scene.picture(place, alone=request.alone, small=request.small)
        if not (request.alone or request.small):  # a slider on its way is no step to undo
            self.history.go(place)
        return picture

    def _walk(self, request: Any) -> dict[str, Any]:
        frames = self._in_turns(self.scene.walk(request.start, request.to, request.steps))
        return {f"{name}s": [frame[name] for frame in frames] for name in frames[0]}

    def _page(self, axes: list[int] | None) -> str:
        place = self.history.present  # where it is now, wherever others go meanwhile
        return page_of(self._in_turns(strips(self.scene, place, axes)), self.title)

    def _in_turns(self, parts: Iterator[T]) -> list[T]:
        """Return what takes many passes, part by part; between two of them others are answered."""
        done: list[T] = []
        while True:
            with self._turns.alone(), self._alone():
                try:
                    done.append(next(parts))
                except StopIteration:
                    return done

    def _sample(self, request: Any) -> dict[str, Any]:
        answer = self.scene.sample(request.seed, request.model)
        self.history.seed = request.seed
        return answer

    def _select(self, indices: list[int]) -> dict[str, Any]:
        self.history.selected = validation.positions(indices, "indices", self._n)
        counts: dict[str, int] = {}
        if self.scene.result is not None:
            names, n = np.unique(self.scene.result.group[indices], return_counts=True)
            counts = {str(name): int(count) for name, count in zip(names, n, strict=True)}
        return {"n": len(indices), "groups": counts}

    def _restore(self, state: Any) -> dict[str, Any]:
        """Put a state back, unless it does not fit the models, axes or anchors."""
        place = Place.of(state)
        if state.axes and state.axes != self._labels:
            hint = "Open it with the axes that it was saved with."
            got = short_repr(", ".join(state.axes[:5]))
            raise ParameterError("state.axes", "those of this session", got, hint)
        if place.z:
            self.scene.code(place)
        validation.positions(state.selected, "state.selected", self._n)
        self.history.restore(state)
        return place.to_data()

    def _ask_task(self, method: str, *arguments: Any) -> dict[str, Any]:
        if self.task is None:
            hint = "Give the session one: Session(model, X, task=ReconstructionTask(model, X))."
            raise ParameterError("task", "given", "None", hint)
        view = self.scene.first.view
        answer = dict(getattr(self.task, method)(*arguments))
        for name, value in answer.items():
            if isinstance(value, (np.ndarray, torch.Tensor)) and name in ("target", "picture"):
                x = torch.as_tensor(value).reshape(1, *self.scene.first.model.sample_shape)
                shown = view.show(x)
                answer[name] = shown.get("image", shown.get("row", shown.get("text")))
        return answer

    def _choose(self, tools: Any) -> list[str]:
        """Return the tools that are asked for, or those that work."""
        scene = self.scene
        embeds = scene.gallery is not None and scene.first.embeds
        works = {
            "sliders": bool(scene.axes),
            "groups": 0 in scene.placements,
            "paint": scene.painter is not None,
            "walk": scene.first.size > 0 or embeds,
            "compare": len(scene.subjects) > 1,
            "task": self.task is not None,
        }
        if tools is None:
            return [name for name in TOOLS if works[name]]
        several: list[Any] = [tools] if isinstance(tools, str) else list(tools)
        for name in several:
            if not works[validation.choice(name, "tools", TOOLS)]:
                hint = "Leave it out, or see the docstring of Session for what it needs."
                raise ParameterError("tools", "of those that work here", short_repr(name), hint)
        return [name for name in TOOLS if name in several]


def _head(message: Any) -> dict[str, Any]:
    """Return number and kind of a message, as far as it has good ones."""
    known = message if isinstance(message, Mapping) else {}
    number, kind = known.get("id"), known.get("kind")
    return {
        "id": number if type(number) is int and 0 <= number < 2**53 else None,
        "kind": kind if isinstance(kind, str) and kind in schema.KINDS else None,
    }


def _sentence(text: str) -> str:
    """Return an error as one line that is safe to show."""
    return escape_invisible(without_addresses(redact(text)).replace("\n", " "))[:_LONGEST]
