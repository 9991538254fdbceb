"""Which training instances pull the parameters as an anchor does: alibi's GradientSimilarity."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from alibi.api.interfaces import Explanation
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent.base import LOCK, Floats, Serial
from pxgen_plugins.adapters.base import NotFittedError, roots, traceless
from pxgen_plugins.adapters.targets import Target, resolve
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, CapabilityError, short_repr
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_GRADIENT_SIMILARITY", "AlibiGradientSimilarity"]

SIMILARITIES = ("grad_dot", "grad_cos", "grad_asym_dot")
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
}
"""Default data of AlibiGradientSimilarity for n anchors and t training instances; deep-copy it.

- ``target``: the loss whose gradients are compared; ``similarity``: how.
- ``scores``: float64 (n, t), in the order of the training instances (alibi sorts each row);
  NaN for an anchor that cannot be explained.
- ``most_similar``, ``least_similar``: int64 (n, k), training indices by falling and rising score;
  -1 for an anchor that cannot be explained.
- ``n_train``: t; ``invalid``, ``reasons``: indices of the anchors left out, and why.
"""


@register("alibi_gradient_similarity")
class AlibiGradientSimilarity(Serial):
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
        >>> found = AlibiGradientSimilarity(model, "kld", n_similar=2).fit(X).explain(X[:2])
        >>> found.scores.shape, found.most_similar.shape
        ((2, 6), (2, 2))
    """

    evidence = "influence"
    access = "gradients"
    requires = frozenset({"layers"})
    library = "alibi"
    defaults = DEFAULT_DATA_GRADIENT_SIMILARITY

    def __init__(
        self,
        predictor: Any,
        target: Any = "elbo",
        similarity: str = "grad_dot",
        *,
        n_similar: int = 5,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = "AlibiGradientSimilarity"
        self.target = target
        self.similarity = validation.choice(similarity, "similarity", where, SIMILARITIES)
        self.n_similar = validation.integer(n_similar, "n_similar", where, minimum=1)
        self.training: NDArray[np.float32] | None = None
        params = {"similarity": similarity, "n_similar": n_similar}
        super().__init__(predictor, params, seed=seed, batch_size=batch_size, verbose=verbose)
        self._update_metadata({"target": self._target().spec}, params=True)

    def fit(self, X: Any = None) -> AlibiGradientSimilarity:
        """Keep the training instances; their gradients are computed anew by every ``explain``.

        Args:
            X: Training instances, t of them; they are kept in memory as float32.

        Raises:
            AnchorError: When ``X`` is None, does not fit the model, or holds NaN or infinity.
        """
        where = "AlibiGradientSimilarity.fit"
        if X is None:
            hint = "Call fit(X) with the instances the model was trained on."
            raise AnchorError("X", where, "the training instances", "None", hint)
        with LOCK, traceless(self.predictor):
            anchors = self._open(X, "fit")
            broken = self._broken(anchors)
            if broken or not len(anchors):
                got = f"instance {min(broken)}: {broken[min(broken)]}" if broken else "none"
                hint = "Leave such instances out."
                raise AnchorError("X", where, "readable, finite instances", got, hint)
            self.training = self._inputs(anchors, np.arange(len(anchors))).float().cpu().numpy()
        return self

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the present model; the training instances stay.

        Raises:
            ParameterError: When it is no model, or the target does not fit it.
            CapabilityError: When it has no trainable parameters.
        """
        if getattr(predictor, "capabilities", frozenset()) >= self.requires:
            where = type(self).__name__
            resolve(self.target, predictor, where)
            if not any(p.requires_grad for root in roots(predictor) for p in root.parameters()):
                hint = "Set requires_grad on the parameters whose gradients are to be compared."
                got = "no trainable parameter in its layers"
                raise CapabilityError("model", where, "trainable", got, hint)
        super().reset_predictor(predictor)

    def _target(self) -> Target:
        return resolve(self.target, self.predictor, type(self).__name__)

    def explain(  # type: ignore[override]  # this adapter takes no further arguments
        self, X: Any
    ) -> Explanation:
        """Return the scores of all training instances for every anchor.

        Args:
            X: Anchors, n of them: anything :func:`pxgen_plugins.anchors.open_anchors` reads.

        Raises:
            NotFittedError: Before :meth:`fit`.
            AnchorError: When the anchors do not fit the model.
        """
        return super().explain(X)

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        if self.training is None:
            raise NotFittedError(type(self).__name__)
        anchors = self._open(X)
        n, t = len(anchors), len(self.training)
        broken = self._broken(anchors)
        usable = np.array([i for i in range(n) if i not in broken], dtype=np.int64)
        scores = np.full((n, t), np.nan)
        scalar = _Scalar(self.predictor, self._target(), self.seed)
        size = sum(p.numel() for p in scalar.parameters())
        chunk = max(1, min(self.batch_size, _GRADIENT_ELEMENTS // max(size, 1)))
        steps = -(-len(usable) // chunk) * t
        with bar(steps, "gradients", "instance", self.verbose) as progress, _device():
            for low in range(0, len(usable), chunk):
                rows = usable[low : low + chunk]
                x = self._inputs(anchors, rows).float().cpu().numpy()
                for start in range(0, t, chunk):
                    some = slice(start, min(start + chunk, t))
                    scores[rows, some] = self._scores(scalar, x, self.training[some])
                    progress.update(some.stop - some.start)
        k = min(self.n_similar, t)
        order = np.argsort(-scores, axis=1, kind="stable")
        reverse = np.argsort(scores, axis=1, kind="stable")
        for table in (order, reverse):
            table[list(broken)] = -1
        return {
            "target": self._target().label,
            "similarity": self.similarity,
            "scores": scores,
            "most_similar": order[:, :k],
            "least_similar": reverse[:, :k],
            "n_train": t,
            "invalid": np.array(sorted(broken), dtype=np.int64),
            "reasons": [broken[i] for i in sorted(broken)],
        }

    def _scores(
        self, scalar: _Scalar, x: NDArray[np.float32], training: NDArray[np.float32]
    ) -> Floats:
        from alibi.explainers import GradientSimilarity

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
        found = explainer.explain(x, np.zeros((len(x), 1), dtype=np.float32))
        scores = np.empty((len(x), len(training)))
        np.put_along_axis(scores, found.ordered_indices, found.scores, axis=1)
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


def _total(values: Tensor, _: Tensor) -> Tensor:
    if not values.requires_grad:
        hint = "Use a target that is computed from the parameters by torch."
        got = short_repr(values.detach())
        where = "AlibiGradientSimilarity"
        raise CapabilityError("target", where, "differentiable", f"{got}, detached", hint)
    return values.sum()


@contextlib.contextmanager
def _device() -> Iterator[None]:
    """Restore the device of alibi's backend, which all its explainers share."""
    from alibi.explainers.similarity.backends.pytorch.base import _PytorchBackend

    before = _PytorchBackend.device
    try:
        yield
    finally:
        _PytorchBackend.device = before
