"""What a session explores: models, anchors, explainers, axes, units, and pictures of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters.base import has_prior
from pxgen_plugins.axes import keep_for
from pxgen_plugins.explorer.gallery import Gallery
from pxgen_plugins.explorer.history import Place
from pxgen_plugins.explorer.painter import Painter
from pxgen_plugins.explorer.placement import EMPTY, Placement
from pxgen_plugins.explorer.python_line import line_of_code, line_of_sample, line_of_text
from pxgen_plugins.explorer.sliders import axes_from, move, sentences_from, sliders
from pxgen_plugins.explorer.subject import Subject, subjects
from pxgen_plugins.explorer.walk import between
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import CapabilityError, ParameterError, PXGenError, short_repr

__all__ = ["Scene"]


class Scene:
    """Models with all that is known of them, and the pictures of places.

    Args:
        model: See :class:`~pxgen_plugins.explorer.Session`, as for the others.
        X: Anchors.
        explainer: Fitted explainers.
        axes: Axes.
        labels: Labels of the anchors.
        units: Dissected units.
    """

    def __init__(
        self, model: Any, X: Any, explainer: Any, axes: Any, labels: Any, units: Any
    ) -> None:
        self.subjects = subjects(model)
        first = self.first
        self.placements = _placements(explainer, self.subjects)
        self.gallery = None if X is None else Gallery(X, first, labels)
        self.result = self._explain()
        codes = None
        if self.gallery is not None and not has_prior(first.model):
            codes = self.gallery.codes(64)
        anchors = None if self.gallery is None else self.gallery.some(8)
        for subject in self.subjects:
            own = subject is first
            subject.prepare(codes if own else None, anchors if own else None)
        if self.gallery is not None:
            self.gallery.load()
        self.axes = axes_from(axes, first)
        self.sliders = sliders(self.axes, first, sentences_from(axes))
        self.painter = Painter.of(first, units)
        self._others: dict[int, Gallery] = {}  # the anchors as the other models take them
        self._X, self._labels = X, labels
        self._before: tuple[Any, Tensor, bytes | None] | None = None
        self._without_code: dict[int, dict[str, Any]] = {}  # what a model without codes showed

    @property
    def first(self) -> Subject:
        """The model that is explored."""
        return self.subjects[0]

    def subject(self, model: int) -> Subject:
        """Return a model by its position.

        Raises:
            ParameterError: When there is none.
        """
        if model >= len(self.subjects):
            hint = f"Choose out of 0 to {len(self.subjects) - 1}."
            raise ParameterError("model", f"below {len(self.subjects)}", str(model), hint)
        return self.subjects[model]

    def info(self) -> dict[str, Any]:
        """Return what of the first answer is about models, anchors and explainers."""
        first, placement, result = self.first, self.placements.get(0), self.result
        representatives: dict[str, list[int]] = {}
        if result is not None:
            for name in GROUPS:
                picks = result.groups[name].representatives.values()
                representatives[name] = list(dict.fromkeys(int(i) for p in picks for i in p))
        chosen = [index for some in representatives.values() for index in some]
        gallery = self.gallery
        return {
            "shape": list(first.shape),
            "data": first.view.describe(),
            "models": [subject.name for subject in self.subjects],
            "axes": [slider.to_data() for slider in self.sliders],
            "criteria": [] if placement is None else placement.criteria(),
            "plane": None if placement is None or result is None else placement.plane(result),
            "groups": list(GROUPS),
            "representatives": representatives,
            "anchors": {
                "n": 0 if gallery is None else len(gallery),
                "labels": None if gallery is None else gallery.labels,
                "thumbnails": None if gallery is None else gallery.thumbnails(chosen),
                "words": {} if gallery is None else gallery.words(chosen),
            },
            "paint": None if self.painter is None else self.painter.describe(),
            "slow": first.slow or (placement is not None and placement.costly),
        }

    def code(self, place: Place) -> Tensor:
        """Return the code of a place, with its amounts, (1, *latent_shape).

        Raises:
            ParameterError: When code, axes or amounts do not fit the model.
        """
        subject = self.subject(place.model)
        z = subject.code(place.z)
        if place.amounts and max(place.amounts) >= len(self.axes):
            hint = f"Choose out of 0 to {len(self.axes) - 1}."
            got = str(max(place.amounts))
            raise ParameterError("amounts", f"of axes below {len(self.axes)}", got, hint)
        if place.amounts and subject.shape != self.first.shape:
            hint = "Send the code itself."
            got = f"given, for {short_repr(subject.name)}"
            raise ParameterError("amounts", "left out for a model of other codes", got, hint)
        return move(z, self.axes, place.amounts)

    def instance(self, place: Place, z: Tensor | None = None) -> Tensor:
        """Return what a model makes at a place, (1, *sample_shape); ``z`` is its code if known."""
        z = self.code(place) if z is None else z
        if not place.strokes:
            return self.subject(place.model).decode(z)
        if self.painter is None or place.model:
            hint = "Leave strokes out."
            got = f"given, for {short_repr(self.subject(place.model).name)}"
            raise CapabilityError("strokes", "left out for this model", got, hint)
        return self.painter.paint(z, place.strokes)

    def picture(self, place: Place, *, alone: bool = False, small: bool = False) -> dict[str, Any]:
        """Return the picture of a place with all that is known of it.

        Args:
            place: The place.
            alone: The picture and nothing else.
            small: Likewise, of low resolution.
        """
        start = time.perf_counter()
        subject = self.subject(place.model)
        if not subject.size and not place.z:
            return {**self._last(place.model), "seconds": time.perf_counter() - start}
        z = self.code(place)
        x = self.instance(place, z)
        shown = subject.view.show(x, small=small)
        if not (alone or small):
            shown |= self._change(place, x)
            shown |= self.knowledge(x, place.model)
            shown["code"] = z.flatten().tolist()
            shown["python"] = line_of_code(self.variable(place.model), z, place.strokes)
        return {**shown, "seconds": time.perf_counter() - start}

    def _last(self, model: int) -> dict[str, Any]:
        """Return the instance that was shown last of a model that decodes no codes."""
        if model not in self._without_code:
            self.anchor(0, model) if self.gallery is not None else self.sample(0, model)
        return self._without_code[model]

    def _change(self, place: Place, x: Tensor) -> dict[str, Any]:
        """Return how a picture differs from that of the code alone."""
        view = self.subject(place.model).view
        if not place.amounts and not place.strokes:
            self._before = ((place.z, place.model), x, None)
            return {"before": None, "difference": None, "change": 0.0}
        key = (place.z, place.model)
        if self._before is None or self._before[0] != key:
            self._before = (key, self.instance(Place(place.z, model=place.model)), None)
        _, before, file = self._before
        if file is None and view.kind == "image":
            file = view.show(before)["image"]
            self._before = (key, before, file)
        change = {"difference": view.difference(x, before), "change": view.change(x, before)}
        return {"before": file if file is not None else view.show(before).get("row"), **change}

    def knowledge(self, x: Tensor, model: int = 0) -> dict[str, Any]:
        """Return group, values, distances and nearest anchors of an instance."""
        placement = self.placements.get(model)
        known = dict(EMPTY) if placement is None else placement.place(x)
        if self.gallery is None or model:
            return {**known, "nearest": []}
        nearest = []
        for index, distance in self.gallery.nearest(x):
            glance = self.gallery.glance(index)
            label = self.gallery.label(index)
            nearest.append({"index": index, "label": label, "distance": distance, **glance})
        return {**known, "nearest": nearest}

    def python(self, place: Place) -> str | None:
        """Return the line of Python that makes the instance of a place."""
        return line_of_code(self.variable(place.model), self.code(place), place.strokes)

    def variable(self, model: int) -> str:
        """Return how a line of Python calls a model."""
        if len(self.subjects) == 1:
            return "model"
        return f"models[{self.subject(model).name!r}]"

    def anchor(self, index: int, model: int = 0) -> dict[str, Any]:
        """Return an anchor: its code, its picture, what the model makes of it, its group."""
        gallery, subject = self._gallery(model), self.subject(model)
        x = gallery.instance(index)
        code, made = gallery.code(index), self._reconstruction(index, model)
        rebuilt = None if made is None else subject.view.show(made)
        group = None if self.result is None or model else str(self.result.group[index])
        answer: dict[str, Any] = {
            "index": index,
            "label": gallery.label(index),
            "z": [] if code is None else code.flatten().tolist(),
            **subject.view.show(x),
            "reconstruction": _glance(rebuilt),
            "group": group,
        }
        if not subject.size:
            answer |= self.knowledge(x, model)
            text, name = answer.get("text"), self.variable(model)
            named = text is not None and hasattr(subject.model, "rows")
            answer["python"] = line_of_text(name, str(text)) if named else None
            self._without_code[model] = answer
        return answer

    def sample(self, seed: int, model: int = 0) -> dict[str, Any]:
        """Return a code that the model draws; of one without codes, an instance."""
        subject = self.subject(model)
        if subject.size:
            return {"z": subject.draw(seed).flatten().tolist(), "seed": seed}
        x = subject.sample(seed)
        line = line_of_sample(self.variable(model), seed)
        shown = {**subject.view.show(x), **self.knowledge(x, model), "python": line}
        self._without_code[model] = answer = {"z": [], "seed": seed, **shown}
        return answer

    def walk(self, start: Any, end: Any, steps: int) -> Iterator[dict[str, Any]]:
        """Yield the pictures at equal steps from one code, or anchor, to another.

        Codes of a normal prior of many dimensions keep to the sphere that they lie near: their
        direction turns evenly, their norm changes evenly.

        Yields:
            ``frame``: what is shown; ``group``, ``value`` (of each criterion) and ``code``.
        """
        subject, placement = self.first, self.placements.get(0)
        sphere = keep_for(None, subject.model) == "shell"
        ends = [self._end(one, name) for one, name in ((start, "from"), (end, "to"))]
        for at in torch.linspace(0.0, 1.0, steps).tolist():
            z = between(ends[0], ends[1], at, sphere)
            x = subject.decode(z)
            known = EMPTY if placement is None else placement.place(x)
            yield {
                "frame": _glance(subject.view.show(x)),
                "group": known["group"],
                "value": known["values"],
                "code": z.flatten().tolist(),
            }

    def compare(self, z: Sequence[float] | None, anchor: int | None) -> dict[str, Any]:
        """Return what every model makes of one code, or of one anchor.

        Group and values are those of what is made of the code, or of the anchor itself.
        """
        answers = []
        for place, subject in enumerate(self.subjects):
            entry: dict[str, Any] = {"name": subject.name, "image": None}
            made: Tensor | None
            try:
                if z is not None:
                    hint = "Compare an anchor instead: choose one to start from."
                    x = made = subject.decode(subject.code(z, f"code of {subject.name}", hint))
                else:
                    x = self._gallery(place).instance(anchor or 0)
                    made = self._reconstruction(anchor or 0, place)
                if made is None:
                    hint = "Compare codes instead."
                    got = f"a {type(subject.model).__name__}"
                    raise CapabilityError("model", "able to reconstruct", got, hint)
                entry |= subject.view.show(made)
                scored = self.placements.get(place)
                entry |= dict(EMPTY) if scored is None else scored.place(x)
            except PXGenError as error:  # of this model; the others have an answer
                entry |= {**EMPTY, "error": str(error)[:500]}
            answers.append(entry)
        return {"models": answers}

    def _reconstruction(self, index: int, model: int) -> Tensor | None:
        """Return what a model makes of an anchor; None where it makes nothing."""
        gallery, subject = self._gallery(model), self.subject(model)
        code = gallery.code(index)
        return (
            subject.reconstruct(gallery.instance(index)) if code is None else subject.decode(code)
        )

    def _end(self, given: Any, name: str) -> Tensor:
        if not isinstance(given, int):
            return self.first.code(given, name)
        code = self._gallery(0).code(given)
        if code is None:
            hint = "Send codes instead."
            got = f"anchor {given}, of which the model finds no code"
            raise CapabilityError(name, "a code for this model", got, hint)
        return code

    def _gallery(self, model: int) -> Gallery:
        if self.gallery is None:
            hint = "Give the session anchors: Session(model, X)."
            raise ParameterError("anchors", "given", "none", hint)
        if model == 0:
            return self.gallery
        if model not in self._others:
            self._others[model] = Gallery(self._X, self.subject(model), self._labels)
        return self._others[model]

    def _explain(self) -> Result | None:
        placement = self.placements.get(0)
        if placement is None or self.gallery is None:
            return None
        return Result.of(placement.explainer.explain(self.gallery.anchors))


def _placements(explainer: Any, models: Sequence[Subject]) -> dict[int, Placement]:
    """Return the explainers by the position of their model."""
    if explainer is None:
        return {}
    names = [subject.name for subject in models]
    named = explainer if isinstance(explainer, Mapping) else {names[0]: explainer}
    placements = {}
    for name, one in named.items():
        if str(name) not in names:
            hint = f"Name it as the model: {names[0]!r}."
            raise ParameterError("explainer", "of one of the models", short_repr(name), hint)
        place = names.index(str(name))
        placements[place] = Placement(one)
        if one.predictor is not models[place].model:
            hint = "Pass the model that the explainer was made with."
            got = f"a PXGen of another {type(one.predictor).__name__}"
            raise ParameterError("explainer", "of the model that is explored", got, hint)
    return placements


def _glance(shown: Mapping[str, Any] | None) -> Any:
    """Return the one thing of what is shown that stands for it."""
    if shown is None:
        return None
    return shown.get("image", shown.get("row", shown.get("text")))
