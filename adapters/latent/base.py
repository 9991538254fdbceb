"""What the adapters on latent codes share: codes, a target as a function of the code, groups."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from alibi.api.interfaces import Explanation
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.base import LOCK, Adapter, NotFittedError, traceless
from pxgen_plugins.adapters.targets import Target, resolve
from pxgen_plugins.anchors import Anchors, open_for
from pxgen_plugins.criteria import Batch
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, short_repr
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = [
    "LOCK",
    "Explained",
    "Held",
    "LatentAdapter",
    "Moved",
    "Serial",
    "by_group",
    "group_names",
    "ordered",
    "quiet",
    "seeded",
]

Floats = NDArray[np.float64]


class Serial(Adapter):
    """An adapter whose calls run one at a time, whichever thread they come from.

    Global random state and hooks belong to the process: two calls at once would restore each
    other's temporary state.
    """

    def explain(self, X: Any, **kwargs: Any) -> Explanation:
        """Return the evidence for ``X`` (see :meth:`Adapter.explain`), one call at a time."""
        with LOCK:
            return super().explain(X, **kwargs)

    def _open(self, X: Any, what: str = "explain") -> Anchors:
        where = f"{type(self).__name__}.{what}"
        return open_for(self.predictor, X, where=where)

    def _scorer(self) -> Scorer:
        return Scorer(self.predictor, [], batch_size=self.batch_size, seed=self.seed)

    def _inputs(self, anchors: Anchors, index: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Return the given anchors as the model takes them, on its device."""
        rows = self._scorer().inputs(anchors, np.asarray(index, dtype=np.int64))
        return torch.from_numpy(rows).to(self.predictor.device, self.predictor.dtype)

    def _broken(self, anchors: Anchors) -> dict[int, str]:
        """Return why, for every anchor that cannot be read or is not finite."""
        broken: dict[int, str] = {}
        for start in range(0, len(anchors), self.batch_size):
            stop = min(start + self.batch_size, len(anchors))
            rows, failed = anchors.read(slice(start, stop))
            broken.update({start + position: why for position, why in failed.items()})
            finite = np.isfinite(np.asarray(rows, dtype=np.float64)).reshape(len(rows), -1).all(1)
            for position in np.flatnonzero(~finite):
                broken.setdefault(start + int(position), "the anchor holds NaN or infinity")
        return broken


class Moved:
    """A target of one anchor as a function of its latent code; the anchor itself stays.

    The values are those of :meth:`Target.value_at`, but the anchor's log variance is computed once.

    Args:
        model: The model.
        target: What is explained.
        x: The anchor, (1, *sample_shape).
        seed: Seed of the target's own noise.
        batch_size: Codes per model call.
    """

    def __init__(self, model: Any, target: Target, x: Tensor, seed: int, batch_size: int) -> None:
        self._model = model
        self._target = target
        self._x = x
        self._seed = seed
        self._batch_size = batch_size
        with torch.no_grad():
            mean, self._log_var = model.encode(x)
        self.code: NDArray[np.float32] = mean.reshape(-1).float().cpu().numpy()

    def values(self, z: Tensor) -> Tensor:
        """Return the target (b,) at codes ``z`` (b, d), with gradient."""
        parts = [self._part(z, start) for start in range(0, len(z), self._batch_size)]
        return torch.cat(parts) if parts else z.new_zeros(0)

    def __call__(self, codes: NDArray[Any]) -> Floats:
        """Return the target (b,) at codes (b, d), as an ndarray."""
        z = torch.as_tensor(np.asarray(codes, dtype=np.float32))
        with torch.no_grad():
            found: Floats = self.values(z).double().cpu().numpy()
        return found

    def _part(self, z: Tensor, start: int) -> Tensor:
        some = z[start : start + self._batch_size].to(self._log_var.device, self._log_var.dtype)
        size = len(some)
        held = self._log_var.expand(size, *self._log_var.shape[1:])
        moved = some.reshape(size, *self._log_var.shape[1:])
        x = self._x.expand(size, *self._x.shape[1:])
        return self._target.of(Held(self._model, x, moved, held, start, self._seed))


class Held(Batch):
    """A batch with a given posterior in the place of the encoder's."""

    def __init__(
        self, model: Any, x: Tensor, mean: Tensor, log_var: Tensor, first: int, seed: int
    ) -> None:
        super().__init__(model, x, first=first, seed=seed)
        self.__dict__["posterior"] = (mean, log_var)  # in the place of the cached property's value


@dataclass(frozen=True)
class Explained:
    """One anchor to explain: its position and its target as a function of the code."""

    index: int
    function: Moved


class LatentAdapter(Serial):
    """Base of the adapters that move latent codes: a target, and codes to compare with.

    Args:
        predictor: A model that can encode and decode.
        target: What is explained (see :func:`~pxgen_plugins.adapters.targets.resolve`).
        n_background: Most codes that :meth:`fit` keeps, >= 2.
        params: Further arguments, for the metadata.
        seed: Seed of everything drawn.
        batch_size: Instances per model call, perturbed ones included.
        verbose: Show progress bars on stderr.
    """

    access = "latent"
    requires = frozenset({"encode", "decode"})

    def __init__(
        self,
        predictor: Any,
        target: Any,
        n_background: int,
        params: Mapping[str, Any],
        *,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        self.target = target
        self.background: NDArray[np.float32] | None = None
        name = type(self).__name__
        self.n_background = validation.integer(n_background, "n_background", name, minimum=2)
        shared = {"n_background": n_background, **params}
        super().__init__(predictor, shared, seed=seed, batch_size=batch_size, verbose=verbose)
        self._update_metadata({"target": self._target().spec}, params=True)

    def fit(self, X: Any = None) -> LatentAdapter:
        """Keep the codes that perturbations are drawn around or compared with.

        Args:
            X: Data of the kind the model was trained on: their posterior means are kept,
                ``n_background`` of them, drawn with the seed. None draws from the prior N(0, I).

        Raises:
            AnchorError: When ``X`` does not fit the model or holds fewer than 2 usable anchors.
        """
        with LOCK, traceless(self.predictor):
            self.background = self._prior() if X is None else self._codes(self._open(X, "fit"))
        return self

    def explain(  # type: ignore[override]  # the arguments of this adapter, by name
        self, X: Any, groups: Any = None
    ) -> Explanation:
        """Return weights of latent dimensions for every anchor.

        Args:
            X: Anchors, n of them: anything :func:`pxgen_plugins.anchors.open_anchors` reads.
            groups: Name of each anchor's group, n strings, to aggregate the weights by;
                None leaves the aggregate out.

        Raises:
            NotFittedError: Before :meth:`fit`, where there is one.
            AnchorError: When the anchors do not fit the model, or the groups the anchors.
        """
        return super().explain(X, groups=groups)

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the present model; fitted codes go with it.

        Raises:
            ParameterError: When it is no model, or the target does not fit it.
            CapabilityError: When it lacks a capability.
        """
        if getattr(predictor, "capabilities", frozenset()) >= self.requires:
            resolve(self.target, predictor, type(self).__name__)
        super().reset_predictor(predictor)

    def _forget(self) -> None:
        self.background = None

    def _target(self) -> Target:
        return resolve(self.target, self.predictor, type(self).__name__)

    @property
    def _dimension(self) -> int:
        return int(np.prod(self.predictor.latent_shape))

    def _names(self) -> list[str]:
        return [f"z{j}" for j in range(self._dimension)]

    def _fitted(self) -> NDArray[np.float32]:
        if self.background is None:
            raise NotFittedError(type(self).__name__)
        return self.background

    def _prior(self) -> NDArray[np.float32]:
        rows = normal_rows(0, self.n_background, (self._dimension,), derive(self.seed, "prior"))
        drawn: NDArray[np.float32] = rows.numpy()
        return drawn

    def _codes(self, anchors: Anchors) -> NDArray[np.float32]:
        broken = self._broken(anchors)
        usable = np.array([i for i in range(len(anchors)) if i not in broken], dtype=np.int64)
        if len(usable) < 2:
            hint = "Fit on data of the kind the model was trained on, or call fit() for the prior."
            where = f"{type(self).__name__}.fit"
            raise AnchorError("X", where, "at least 2 finite anchors", str(len(usable)), hint)
        if len(usable) > self.n_background:
            rng = np.random.default_rng(derive(self.seed, "background"))
            usable = np.sort(rng.choice(usable, self.n_background, replace=False))
        return self._scorer().features(anchors, usable, lambda batch: batch.mean)

    def _each(self, anchors: Anchors, broken: Mapping[int, str]) -> Iterator[Explained]:
        """Yield the usable anchors one by one; memory holds one at a time."""
        target = self._target()
        for index in range(len(anchors)):
            if index not in broken:
                x = self._inputs(anchors, [index])
                yield Explained(index, Moved(self.predictor, target, x, self.seed, self.batch_size))


def group_names(groups: Any, n: int, where: str) -> NDArray[np.str_] | None:
    """Return the n names of ``groups`` as an array of strings; None for None.

    Raises:
        AnchorError: When it is not a flat list of n names.
    """
    if groups is None:
        return None
    names = np.asarray(groups)
    if names.shape != (n,) or names.dtype.kind not in "US":
        hint = "Give one name per anchor, as in groups=pxgen_explanation.group."
        raise AnchorError("groups", where, f"{n} names", short_repr(groups), hint)
    return names.astype(str)


def ordered(names: NDArray[np.str_]) -> list[str]:
    """Return the distinct names: PXGen's groups in their order, then the others sorted."""
    found = set(names.tolist())
    return [g for g in GROUPS if g in found] + sorted(found - set(GROUPS))


def by_group(weights: Floats, names: NDArray[np.str_] | None) -> dict[str, dict[str, Any]]:
    """Return count, mean absolute weight and mean weight per dimension of each group.

    Args:
        weights: Array (n, d); rows of NaN belong to anchors without a result; left out.
        names: The group of each anchor; None gives no groups.

    Example:
        >>> found = by_group(np.array([[1.0, -2.0], [-3.0, 0.0]]), np.array(["HIHE", "HIHE"]))
        >>> found["HIHE"]["mean_abs_weight"].tolist()
        [2.0, 1.0]
    """
    found: dict[str, dict[str, Any]] = {}
    if names is None:
        return found
    usable = np.isfinite(weights).all(axis=1)
    for name in ordered(names):
        rows = weights[(names == name) & usable]
        empty = np.full(weights.shape[1], np.nan)
        found[name] = {
            "count": len(rows),
            "mean_abs_weight": np.abs(rows).mean(axis=0) if len(rows) else empty,
            "mean_weight": rows.mean(axis=0) if len(rows) else empty,
        }
    return found


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Switch the logger ``name`` off; to be used while :data:`LOCK` is held.

    Example:
        >>> with quiet("some.library"):
        ...     logging.getLogger("some.library").warning("not shown")
    """
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Have numpy's global generator start from ``seed`` inside, and go on as before afterwards.

    For libraries that draw from it; to be used while :data:`LOCK` is held.

    Example:
        >>> with seeded(0):
        ...     one = np.random.rand()
        >>> with seeded(0):
        ...     bool(np.random.rand() == one)
        True
    """
    before = np.random.get_state()  # noqa: NPY002
    np.random.set_state(np.random.RandomState(seed % 2**32).get_state())  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
