"""Which training instances pull the parameters as an anchor does: alibi's GradientSimilarity."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.adapters._anchors import AnchorReader, Floats, Indices, ranked
from pxgen_plugins.adapters._isolation import roots
from pxgen_plugins.adapters.base import NotFittedError, TargetAdapter, register
from pxgen_plugins.adapters.targets import Target
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, CapabilityError, short_repr
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_GRADIENT_SIMILARITY", "AlibiGradientSimilarity"]

SIMILARITIES = ("grad_dot", "grad_cos", "grad_asym_dot")
_NOT_FINITE = "the gradient of its loss, or a similarity, is not finite"
_GRADIENT_ELEMENTS = 2**26  # float32 gradients held at a time: 256 MiB

DEFAULT_DATA_GRADIENT_SIMILARITY: dict[str, Any] = {
    "target": None,
    "similarity": None,
    "scores": None,
    "most_similar": None,
    "least_similar": None,
    "n_train": None,
    "invalid": None,
    "reasons": [],
    "invalid_train": None,
    "reasons_train": [],
}
"""Default data of AlibiGradientSimilarity, to be deep-copied; its docstring has the keys."""


@register("alibi_gradient_similarity")
@dataclass(repr=False, eq=False)
class AlibiGradientSimilarity(TargetAdapter):
    """Similarity of loss gradients of anchors and training instances, by alibi.

    With ``"grad_dot"`` it is the influence of a training step on the anchor's loss, to first
    order, at the present parameters: TracIn with one checkpoint and learning rate 1 (Pruthi et al.
    2020; Charpiat et al. 2019 for the similarities). The loss is the target. All parameters of the
    model's layers count, those without gradient excepted.

    Args:
        predictor: A torch model with ``layers``.
        target: The loss: a criterion, ``"elbo"``, ``Latent``, ``Pixel``, or a callable.
        similarity: ``"grad_dot"``, ``"grad_cos"`` (cosine) or ``"grad_asym_dot"`` (divided by
            the squared norm of the training gradient).
        n_similar: Training instances named per anchor, >= 1.
        seed: Seed of the target's own noise; training instances and anchors get the same.
        batch_size: Training instances whose gradients are held at a time, at most (fewer for
            large models); the model sees one instance at a time.
        verbose: Show a progress bar on stderr.

    Fields:
        target (str): Label of the loss whose gradients are compared.
        similarity (str): How they are compared.
        scores (float64 (n, t)): Similarity of each of n anchors and t training instances, in the
            order of the training instances (alibi sorts each row). Higher = a step on the instance
            lowers the loss of the anchor more; below 0 = it raises it. In squared units of the loss
            per parameter for ``"grad_dot"``, in [-1, 1] for ``"grad_cos"``, a ratio for
            ``"grad_asym_dot"``. NaN for anchors and training instances left out.
        most_similar (int64 (n, k)): Training instances by falling score; -1 where there is no
            further one with a finite score.
        least_similar (int64 (n, k)): Likewise by rising score.
        n_train (int): t, the training instances.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.
        invalid_train (int64 (j,)): Indices of the training instances left out.
        reasons_train (list of str): Why, j of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model has no trainable parameters, or the target needs more.

    Cost: t + n ceil(t / chunk) backward passes for chunks of at most 2^26 gradient elements,
    two of which are held at a time.

    Example:
        >>> net = torch.nn.Linear(4, 4)
        >>> from pxgen_plugins.models import VAE
        >>> model = VAE(encode=lambda x: (net(x), torch.zeros_like(x)),
        ...             decode=lambda z: z.sigmoid(), latent_shape=(4,),
        ...             sample_shape=(4,), modules=[torch.nn.Sequential(net)])
        >>> X = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)).numpy()
        >>> result = AlibiGradientSimilarity(model, "kld", n_similar=2).fit(X).explain(X[:2])
        >>> result.scores.shape, result.most_similar.shape
        ((2, 6), (2, 2))
    """

    evidence = "influence"
    access = "gradients"
    requires = frozenset({"layers"})
    library = "alibi"
    learns_from = "training"
    defaults = DEFAULT_DATA_GRADIENT_SIMILARITY

    target: Any = "elbo"
    similarity: str = "grad_dot"
    _: KW_ONLY
    n_similar: int = 5

    def _check(self) -> None:
        super()._check()
        self.similarity = validation.choice(self.similarity, "similarity", SIMILARITIES)
        self.n_similar = validation.integer(self.n_similar, "n_similar", minimum=1)
        self.training: NDArray[np.float32] | None = None

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        if not any(p.requires_grad for root in roots(model) for p in root.parameters()):
            hint = "Set requires_grad on the parameters whose gradients are to be compared."
            got = "no trainable parameter in its layers"
            raise CapabilityError("model", "trainable", got, hint)

    def fit(self, X: Any = None) -> AlibiGradientSimilarity:
        """Keep the training instances; their gradients are computed anew by every ``explain``.

        Args:
            X: Training instances, t of them; they are kept in memory as float32.

        Raises:
            AnchorError: When ``X`` is None, does not fit the model, or holds NaN or infinity.
        """
        with self._call("fit"):
            if X is None:
                hint = "Call fit(X) with the instances the model was trained on."
                raise AnchorError("X", "the training instances", "None", hint)
            reader = AnchorReader(X, self.predictor, self.batch_size)
            usable, errors = reader.usable(), reader.errors
            if errors or not len(usable):
                got = f"instance {min(errors)}: {errors[min(errors)]}" if errors else "none"
                hint = "Leave such instances out."
                raise AnchorError("X", "readable, finite instances", got, hint)
            self.training = reader.inputs(usable).float().cpu().numpy()
        return self

    def _explain(self, X: Any) -> dict[str, Any]:
        if self.training is None:
            raise NotFittedError(type(self).__name__)
        reader = AnchorReader(X, self.predictor, self.batch_size)
        n, t = len(reader), len(self.training)
        usable = reader.usable()
        scores = np.full((n, t), np.nan)
        scalar = _Scalar(self.predictor, self._target(), self.seed)
        size = sum(p.numel() for p in scalar.parameters())
        chunk = max(1, min(self.batch_size, _GRADIENT_ELEMENTS // max(size, 1)))
        steps = -(-len(usable) // chunk) * t
        with bar(steps, "gradients", "instance", self.verbose) as progress, _device():
            for low in range(0, len(usable), chunk):
                rows = usable[low : low + chunk]
                x = reader.inputs(rows).float().cpu().numpy()
                for start in range(0, t, chunk):
                    some = slice(start, min(start + chunk, t))
                    scores[rows, some] = self._scores(scalar, x, self.training[some])
                    progress.update(some.stop - some.start)
        k = min(self.n_similar, t)
        invalid_train = _name_not_finite(scores, reader)
        return {
            "target": self._target().label,
            "similarity": self.similarity,
            "scores": scores,
            "most_similar": ranked(-scores)[:, :k],
            "least_similar": ranked(scores)[:, :k],
            "n_train": t,
            **reader.exclusions(),
            "invalid_train": invalid_train,
            "reasons_train": [_NOT_FINITE] * len(invalid_train),
        }

    def _scores(
        self, scalar: _Scalar, x: NDArray[np.float32], training: NDArray[np.float32]
    ) -> Floats:
        GradientSimilarity = load("alibi.explainers", "alibi").GradientSimilarity

        with warnings.catch_warnings():  # frozen parameters are left out, as documented
            warnings.simplefilter("ignore", UserWarning)
            # a new one each time: alibi's keeps the gradients of a model that was replaced
            explainer = GradientSimilarity(
                scalar,
                _total,
                sim_fn=self.similarity,
                task="regression",
                precompute_grads=True,
                backend="pytorch",
                device=torch.device(self.predictor.device),
            )
        explainer.fit(training, np.zeros((len(training), 1), dtype=np.float32))
        result = explainer.explain(x, np.zeros((len(x), 1), dtype=np.float32))
        scores = np.empty((len(x), len(training)))
        np.put_along_axis(scores, result.ordered_indices, result.scores, axis=1)
        return scores


class _Scalar(nn.Module):
    """The target as a module that owns the model's layers, for a library that wants a module."""

    def __init__(self, model: Any, target: Target, seed: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(roots(model))
        self._model, self._target, self._seed = model, target, seed

    def forward(self, x: Tensor) -> Tensor:
        return self._target.value(self._model, x.to(self._model.dtype), seed=self._seed)

    def train(self, mode: bool = True) -> _Scalar:
        """Change nothing: the model sets its own flags, and alibi would overwrite those below."""
        return self


def _name_not_finite(scores: Floats, reader: AnchorReader) -> Indices:
    """Make scores that are not finite NaN, with all of the anchor or training instance to blame.

    Returns:
        The training instances; anchors are named in the reader.
    """
    usable = np.setdiff1d(np.arange(len(scores)), reader.invalid)
    for row in usable[~np.isfinite(scores[usable]).any(axis=1)]:
        reader.errors[int(row)] = _NOT_FINITE
    finite = np.isfinite(scores)
    finite[reader.invalid] = True
    train: Indices = np.flatnonzero(~finite.all(axis=0)).astype(np.int64)
    scores[reader.invalid] = np.nan
    scores[:, train] = np.nan
    return train


def _total(values: Tensor, _: Tensor) -> Tensor:
    if not values.requires_grad:
        hint = "Use a target that is computed from the parameters by torch."
        got = short_repr(values.detach())
        raise CapabilityError("target", "differentiable", f"{got}, detached", hint)
    return values.sum()


@contextlib.contextmanager
def _device() -> Iterator[None]:
    """Restore the device of alibi's backend, which all its explainers share."""
    backend = load("alibi.explainers.similarity.backends.pytorch.base", "alibi")._PytorchBackend
    before = backend.device
    try:
        yield
    finally:
        backend.device = before
