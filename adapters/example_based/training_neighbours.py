"""The training instances nearest to an anchor, and whether they are nearer than to a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import AnchorReader, Floats, Indices, as_array, check_space
from pxgen_plugins.adapters.base import Adapter, NotFittedError, register
from pxgen_plugins.groups.p_values import control_p_values
from pxgen_plugins.host import Explanation
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError
from pxgen_plugins.utils.nearest import nearest_few

__all__ = ["DEFAULT_DATA_TRAINING_NEIGHBOURS", "TrainingNeighbours"]

_SPACES = ("latent", "pixel")
_LEAST = 2  # training instances

DEFAULT_DATA_TRAINING_NEIGHBOURS: dict[str, Any] = {
    "indices": np.empty((0, 0), dtype=np.int64),
    "distances": np.empty((0, 0)),
    "closeness": np.empty(0),
    "p_values": np.empty(0),
    "adjusted": np.empty(0),
    "labels": None,
    "source": "fit",
    "control": "training",
    "n_training": 0,
    "n_control": 0,
    "space": "pixel",
    "invalid": np.empty(0, dtype=np.int64),
    "reasons": [],
}
"""Default data of TrainingNeighbours, to be deep-copied; its docstring has the keys."""


@register("training_neighbours")
@dataclass(repr=False, eq=False)
class TrainingNeighbours(Adapter):
    """The nearest training instances of each anchor, with a p-value.

    Given samples of the model as anchors, it shows what each was copied from, if it was. The
    closeness of an anchor is its distance to the nearest training instance, over the distance of
    that one to its nearest other (Alaa et al. 2022 call a sample below 1 not authentic). Its rank
    among the closeness of held-out instances is a valid p-value (Vovk, Gammerman and Shafer 2005).
    Without held-out data the training instances themselves are the control, each against all
    others. Of training instances that are equal in the space the first counts.

    :func:`pxgen_plugins.evaluation.copies` asks the reverse, for each training instance, and is the
    stronger test of a model.

    Args:
        predictor: A model.
        n_neighbours: Training instances for each anchor, k >= 1; with fewer, all of them.
        space: ``"pixel"``, ``"latent"`` (posterior means, or embeddings), or a callable from
            anchors as the model takes them, a tensor (b, *sample_shape), to one row of features
            each.
        seed: Unused: nothing is drawn.
        batch_size: Instances per model call.
        verbose: Show progress bars on stderr.

    Fields:
        indices (int64 (n, k)): The k nearest training instances of each of n anchors, nearest
            first, as indices into what ``fit`` was given; -1 for anchors left out.
        distances (float64 (n, k)): How far they are, in units of the space; NaN for anchors left
            out.
        closeness (float64 (n,)): Distance to the nearest one, over that one's distance to its
            nearest other. Lower = closer; below 1 the anchor is nearer to it than any other
            training instance is; 0 for a copy. NaN for anchors left out.
        p_values (float64 (n,)): Of the hypothesis that the anchor is no nearer to training
            instances than a new one is. Lower = nearer than new ones usually are. NaN for anchors
            left out.
        adjusted (float64 (n,)): The same, adjusted for their number (Benjamini and Hochberg 1995);
            NaN for anchors left out.
        labels (str (n, k)): Labels of these training instances, "" for anchors left out; None where
            none were given.
        source (str): What ``indices`` count: always ``"fit"``, the instances given to it.
        control (str): Whose closeness gives the ranks: ``"held_out"`` or ``"training"``.
        n_training (int): Different training instances.
        n_control (int): Instances in the control.
        space (str): The space, or a callable in words.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what the space needs.

    Cost: O((n + m + t) t d) for t training and m held-out instances, exact, in blocks; memory
    their features. One embedding of each in the latent space.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> rows = np.random.default_rng(0).uniform(size=(200, 3)).astype("f4")
        >>> explainer = TrainingNeighbours(EchoModel((3,)), 1).fit(rows[:100], held_out=rows[100:])
        >>> found = explainer.explain(rows[5:7])
        >>> found.indices.tolist(), found.p_values.round(3).tolist()
        ([[5], [6]], [0.01, 0.01])
    """

    evidence = "prototypes"
    access = "black box"
    learns_from: ClassVar[str] = "training"
    defaults = DEFAULT_DATA_TRAINING_NEIGHBOURS
    example: ClassVar[Mapping[str, Any]] = {"space": "latent"}  # asks the model, as checks expect

    n_neighbours: int = 5
    _: KW_ONLY
    space: str | Callable[[Any], Any] = "pixel"

    def _check(self) -> None:
        super()._check()
        self.n_neighbours = validation.integer(self.n_neighbours, "n_neighbours", minimum=1)
        check_space(self.space, _SPACES)
        self._forget()

    def _check_model(self, model: Any) -> None:
        check_space(self.space, _SPACES, model)

    def _forget(self) -> None:
        self._rows: Floats | None = None  # of training instances that can be read
        self._origin: Indices = np.empty(0, dtype=np.int64)  # where they stood
        self._labels: NDArray[np.str_] | None = None
        self._control: Floats = np.empty(0)
        self._held_out = False

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors."""
        return {"embed": n} if self.space == "latent" else {}

    def fit(self, X: Any = None, held_out: Any = None, labels: Any = None) -> TrainingNeighbours:
        """Keep the features of training instances, and the closeness of the control.

        Args:
            X: The training set, t instances, at least two different ones that can be read.
            held_out: Instances of the same source that the model was not trained on; None takes
                the training instances, each against all others, as the control.
            labels: t labels of the training instances.

        Returns:
            The explainer itself.

        Raises:
            AnchorError: When a set does not fit the model, or has too few instances.
        """
        self._forget()
        with self._call("fit"):
            reader, rows, origin = self._read(X, labels)
            # of repeats the first: a gap of 0 between them would say nothing
            first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
            rows, origin = rows[first], origin[first]
            if len(rows) < _LEAST:
                hint = "Give the set that the model was trained on."
                allowed = f"at least {_LEAST} different instances"
                raise AnchorError("X", allowed, str(len(rows)), hint)
            new = None if held_out is None else self._read(held_out)[1]
            if new is not None and not len(new):
                hint = "Give instances that can be read, or none at all."
                raise AnchorError("held_out", "at least one instance", "0", hint)
            self._rows, self._origin, self._labels = rows, origin, reader.anchors.labels
            if self._labels is not None:
                self._labels = self._labels[origin]
            own = np.arange(len(rows), dtype=np.int64)
            self._control = self._closeness(rows, own) if new is None else self._closeness(new)
            self._held_out = new is not None
        return self

    def explain(self, X: Any) -> Explanation:  # type: ignore[override]  # takes nothing else
        """Return the nearest training instances of anchors, such as samples of the model.

        Args:
            X: Anchors, (n, *sample_shape).

        Returns:
            Alibi's Explanation.

        Raises:
            NotFittedError: Before :meth:`fit`.
            AnchorError: When the anchors do not fit the model.
        """
        return super().explain(X)

    def _explain(self, X: Any) -> dict[str, Any]:
        from scipy.stats import false_discovery_control

        if self._rows is None:
            raise NotFittedError(type(self).__name__)
        reader, rows, origin = self._read(X)
        n, k = len(reader), min(self.n_neighbours, len(self._rows))
        data: dict[str, Any] = {
            "indices": np.full((n, k), -1, dtype=np.int64),
            "distances": np.full((n, k), np.nan),
            "closeness": np.full(n, np.nan),
            "p_values": np.full(n, np.nan),
            "adjusted": np.full(n, np.nan),
            "control": "held_out" if self._held_out else "training",
            "n_training": len(self._rows),
            "n_control": len(self._control),
            "space": self._params()["space"],
            **reader.exclusions(),
        }
        distances, places = nearest_few(rows, self._rows, k)
        data["distances"][origin], data["indices"][origin] = distances, self._origin[places]
        closeness = self._closeness(rows)
        p_values = control_p_values(closeness, self._control)
        data["closeness"][origin], data["p_values"][origin] = closeness, p_values
        data["adjusted"][origin] = false_discovery_control(p_values)
        if self._labels is not None:
            labels = np.full((n, k), "", dtype=self._labels.dtype)
            labels[origin] = self._labels[places]
            data["labels"] = labels
        return data

    def _read(self, X: Any, labels: Any = None) -> tuple[AnchorReader, Floats, Indices]:
        """Return the reader of ``X``, the features that could be made, and where they stand."""
        reader = AnchorReader(X, self.predictor, self.batch_size, labels=as_array(labels))
        table = reader.features(self.space, verbose=self.verbose)
        good = np.flatnonzero(np.isfinite(table).all(axis=1))
        return reader, table[good], good

    def _closeness(self, rows: Floats, itself: Indices | None = None) -> Floats:
        """Return the distance of rows to the nearest training row, over its own to another.

        Args:
            rows: Features, (n, d).
            itself: Where each row stands among the training rows, which is left out then; None
                where they are none.
        """
        assert self._rows is not None
        distance, place = nearest_few(rows, self._rows, 1, itself)
        distance, place = distance[:, 0], place[:, 0]
        few, of_nearest = self._rows[place], min(2, len(self._rows) - 1)
        gaps, others = nearest_few(few, self._rows, of_nearest, place)
        gap = gaps[:, 0]
        if itself is not None and of_nearest > 1:  # the row itself is not there
            gap = np.where(others[:, 0] == itself, gaps[:, 1], gap)
        # rows with equal features are at 0 of each other: nothing is closer than that
        return np.where(distance > 0.0, distance / np.where(gap > 0.0, gap, np.nan), 0.0)
