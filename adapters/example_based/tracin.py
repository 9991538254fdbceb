"""VAE-TracIn: which training samples made the model good or bad at an anchor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._anchors import AnchorReader, Floats, ranked
from pxgen_plugins.adapters.base import Adapter, NotFittedError, register
from pxgen_plugins.adapters.example_based._gradient_products import Sketch, Totals
from pxgen_plugins.adapters.example_based._loss_gradients import LossGradients
from pxgen_plugins.criteria import Batch
from pxgen_plugins.criteria.elementwise import cross_entropy, span
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import open_regular
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["DEFAULT_DATA_TRACIN", "VAETracIn"]

LOSSES = ("mse", "bce")
REDUCTIONS = ("sum", "mean")
Checkpoint = tuple[Any, float, float]

DEFAULT_DATA_TRACIN: dict[str, Any] = {
    "influence": np.empty((0, 0)),
    "self_influence": np.empty(0),
    "helpful": np.empty((0, 0), dtype=np.int64),
    "harmful": np.empty((0, 0), dtype=np.int64),
    "standard_error": None,
    "checkpoints": [],
    "n_parameters": 0,
    "n_draws": 0,
    "invalid": np.empty(0, dtype=np.int64),
    "reasons": [],
    "invalid_train": np.empty(0, dtype=np.int64),
    "reasons_train": [],
}
"""Default data of VAETracIn, to be deep-copied; its docstring has the keys."""


@register("vae_tracin")
@dataclass(repr=False, eq=False)
class VAETracIn(Adapter):
    """Influence of training samples on anchors (Kong and Chaudhuri 2021, after Pruthi et al. 2020).

    Influence(i, j) = sum over checkpoints of learning_rate * weight * <grad loss(i), grad loss(j)>,
    the gradients with respect to the model's weights at the checkpoint. The loss of a sample is its
    reconstruction error (sum of squared errors, or Bernoulli cross-entropy) plus ``beta`` times the
    KL divergence of its posterior from N(0, I), averaged over ``n_draws`` posterior draws. All
    samples share the seeded draws, so results depend neither on position nor on the batch size.

    Attributes:
        memory: Bytes for the anchors' gradients held at a time, of the class: 1 GiB.

    Args:
        predictor: A model whose ``layers`` reach the modules behind ``encode`` and ``decode``.
        checkpoints: ``(weights, learning_rate)`` or ``(weights, learning_rate, weight)`` each;
            the weights are the path of a safetensors file or a state dict, with the names of the
            module's own state dict. ``weight`` is the number of steps that the checkpoint stands
            for, 1 by default. None takes the model as it is, with learning rate 1.
        loss: ``"mse"`` or ``"bce"``.
        beta: Factor of the KL divergence, >= 0.
        reduction: ``"sum"``, or ``"mean"`` to divide the loss by the number of elements.
        n_draws: Posterior draws, >= 0; 0 decodes the posterior mean.
        parameters: Names, prefixes (a layer's name) or regular expressions of the parameters whose
            gradients count; None takes all.
        projection: Dimensions of a random projection of the gradients; None computes exactly.
        n_top: Training samples listed as most helpful and most harmful, >= 1.
        seed: Seed of draws and projection.
        batch_size: Samples per model call.
        verbose: Show a progress bar on stderr.

    Fields:
        influence (float64 (n, t)): By how much training on each of n samples lowered the loss of
            each of t anchors, to first order, in units of the loss. Positive = it helped, negative
            = it harmed. NaN for samples and anchors left out.
        self_influence (float64 (n,)): A training sample's influence on itself, >= 0. Higher = the
            model had to learn it by heart (outliers, wrong labels). NaN for samples left out; empty
            where there are no anchors.
        helpful (int64 (t, k)): Training samples by falling influence; -1 where there is no further
            one with a finite influence.
        harmful (int64 (t, k)): Likewise by rising influence.
        standard_error (float64 (n, t)): Upper bound of the standard deviation that the random
            projection adds to ``influence``; NaN where that is; None without projection.
        checkpoints (list of dict): ``learning_rate`` and ``weight`` of each checkpoint.
        n_parameters (int): Parameters in the gradients.
        n_draws (int): Posterior draws averaged over; 0 for the posterior mean.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.
        invalid_train (int64 (j,)): Indices of the training samples left out.
        reasons_train (list of str): Why, j of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks encode, decode or layers.

    Cost, per checkpoint: n_draws forward and backward passes of every anchor, and of every training
    sample once per block of anchors (memory / (4 n_parameters) in a block; with a projection all
    are one block), and O(n t p) for products. Memory: ``memory``, about 16 p bytes per sample of a
    batch, and O(n t).

    Example:
        >>> import numpy as np, torch
        >>> from pxgen_plugins.models import VAE
        >>> class Net(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.down, self.up = torch.nn.Linear(4, 4), torch.nn.Linear(2, 4)
        ...     def encode(self, x): return self.down(x).chunk(2, 1)
        ...     def decode(self, z): return self.up(z).sigmoid()
        >>> net = Net()
        >>> model = VAE(net, sample_shape=(4,))
        >>> X = np.eye(4, dtype=np.float32)
        >>> explanation = VAETracIn(model).fit(X).explain(X[:2])
        >>> explanation.influence.shape, explanation.n_parameters
        ((4, 2), 32)
    """

    evidence = "influence"
    access = "training checkpoints"
    requires = frozenset({"encode", "decode", "layers"})
    learns_from = "training"
    defaults = DEFAULT_DATA_TRACIN

    memory: ClassVar[int] = 2**30

    checkpoints: Any = None
    _: KW_ONLY
    loss: str = "mse"
    beta: float = 1.0
    reduction: str = "sum"
    n_draws: int = 4
    parameters: Sequence[str] | None = None
    projection: int | None = None
    n_top: int = 10
    batch_size: int = 32

    def _check(self) -> None:
        super()._check()
        self.checkpoints = _checkpoints(self.checkpoints)
        self.loss = validation.choice(self.loss, "loss", LOSSES)
        self.beta = validation.real(self.beta, "beta", minimum=0.0)
        self.reduction = validation.choice(self.reduction, "reduction", REDUCTIONS)
        self.n_draws = validation.integer(self.n_draws, "n_draws", minimum=0)
        self.parameters = None if self.parameters is None else _names(self.parameters)
        if self.projection is not None:
            self.projection = validation.integer(self.projection, "projection", minimum=1)
        self.n_top = validation.integer(self.n_top, "n_top", minimum=1)
        self._train: NDArray[Any] | None = None

    def _params(self) -> dict[str, Any]:
        shown = [_as_json(one) for one in self.checkpoints or ()]
        return {**super()._params(), "checkpoints": shown}

    def fit(self, X: Any = None) -> VAETracIn:
        """Take the training samples.

        Args:
            X: The n training samples, (n, *sample_shape); kept as they are given (uint8 as uint8).

        Returns:
            The explainer itself.

        Raises:
            ParameterError: When ``X`` is None.
            AnchorError: When it does not fit the model.
        """
        with self._call("fit"):
            if X is None:
                hint = "Call fit(X) with the samples the model was trained on, or some of them."
                raise ParameterError("X", "the training samples", "None", hint)
            self._train = AnchorReader(X, self.predictor, self.batch_size).raw()
        return self

    @property
    def training(self) -> NDArray[Any] | None:
        """The training samples given to ``fit``, (n, *sample_shape); None before."""
        return self._train

    def self_influence(self) -> Floats:
        """Return the influence of every training sample on itself, (n,), exact.

        Raises:
            NotFittedError: Before :meth:`fit`.

        Cost: one forward and backward pass per training sample, draw and checkpoint.
        """
        train = self._training_samples()
        with self._call("self_influence"):
            influence: Floats = self._explain(train[:1])["self_influence"]
        return influence

    def _training_samples(self) -> NDArray[Any]:
        if self._train is None:
            raise NotFittedError(type(self).__name__)
        return self._train

    def _explain(self, X: Any) -> dict[str, Any]:
        train = AnchorReader(self._training_samples(), self.predictor, self.batch_size)
        test = AnchorReader(X, self.predictor, self.batch_size)
        model = self.predictor
        if not len(train) or not len(test):
            return {"influence": np.empty((len(train), len(test)))}
        noise = self._noise()
        first = next(train.batches(np.zeros(1, dtype=np.int64)))[1][0].clone()
        gradients = LossGradients(model, self._values, self.parameters, (first, noise[0]))
        # about four gradients per sample live at a time inside the backward pass
        batch = max(1, min(self.batch_size, self.memory // (16 * gradients.size)))
        totals = Totals(train, test, noise, batch, self.memory)
        width = self.projection or gradients.size
        per = len(test) + len(train) * len(totals.blocks(width))
        with bar(len(self.checkpoints) * per, "tracin", "gradient", self.verbose) as progress:
            for number, (source, rate, weight) in enumerate(self.checkpoints):
                weights = gradients.weights(_state(source, number), f"checkpoint {number}")
                sketch = None
                if self.projection is not None:
                    seed = derive(self.seed, "projection", number)
                    sketch = Sketch(gradients.size, self.projection, seed)
                totals.add(gradients, weights, rate * weight, sketch, progress)
        influence = totals.influence
        totals.note_not_finite()
        influence[train.invalid] = np.nan
        influence[:, test.invalid] = np.nan
        totals.self_influence[train.invalid] = np.nan
        error = None
        if self.projection is not None:
            error = np.where(np.isnan(influence), np.nan, np.sqrt(totals.variance))
        k = min(self.n_top, len(train))
        return {
            "influence": influence,
            "self_influence": totals.self_influence,
            "helpful": ranked(-influence.T)[:, :k],
            "harmful": ranked(influence.T)[:, :k],
            "standard_error": error,
            "checkpoints": [
                {"learning_rate": rate, "weight": weight} for _, rate, weight in self.checkpoints
            ],
            "n_parameters": gradients.size,
            "n_draws": self.n_draws,
            **test.exclusions(),
            "invalid_train": train.invalid,
            "reasons_train": train.exclusions()["reasons"],
        }

    def _noise(self) -> Tensor:
        model = self.predictor
        shape = tuple(model.latent_shape)
        if self.n_draws == 0:
            return torch.zeros(1, *shape, device=model.device, dtype=model.dtype)
        rows = normal_rows(0, self.n_draws, shape, derive(self.seed, "tracin"))
        return rows.to(model.device, model.dtype)

    def _values(self, model: Any, x: Tensor, noise: Tensor) -> Tensor:
        mean, log_var = model.encode(x)
        decoded = model.decode(mean + (0.5 * log_var).exp() * noise)
        if self.loss == "bce":
            low, width = span(Batch(model, x))
            errors = cross_entropy(x, decoded, low, width)
        else:
            errors = (x - decoded).square()
        kld = 0.5 * (mean.square() + log_var.exp() - 1.0 - log_var)
        value: Tensor = errors.flatten(1).sum(1) + self.beta * kld.flatten(1).sum(1)
        return value / x[0].numel() if self.reduction == "mean" else value

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if state.get("_predictor") is None:  # saved: state dicts are the model, paths are not
            state["checkpoints"] = [
                (source if source is None or isinstance(source, str) else _UNSAVED, rate, weight)
                for source, rate, weight in self.checkpoints
            ]
        return state


_UNSAVED = {"not saved": 0}  # stands for a state dict in a saved explainer


def _checkpoints(given: Any) -> list[Checkpoint]:
    if given is None:
        return [(None, 1.0, 1.0)]
    hint = "Pass a list like [('epoch10.safetensors', 1e-3), ('epoch20.safetensors', 1e-3)]."
    allowed = "pairs (weights, learning_rate) or triples (weights, learning_rate, weight)"
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Sequence) or not given:
        raise ParameterError("checkpoints", allowed, short_repr(given), hint)
    checkpoints: list[Checkpoint] = []
    for one in given:
        if (
            isinstance(one, (str, Mapping))
            or not isinstance(one, Sequence)
            or len(one) not in (2, 3)
        ):
            raise ParameterError("checkpoints", allowed, short_repr(one), hint)
        source = one[0]
        if isinstance(source, os.PathLike):
            source = os.fspath(source)
        if source is not None and not isinstance(source, (str, Mapping)):
            raise ParameterError("checkpoints", allowed, short_repr(source), hint)
        rate = validation.real(one[1], "learning_rate", minimum=0.0)
        weight = validation.real(one[2], "weight", minimum=0.0) if len(one) == 3 else 1.0
        checkpoints.append((source, rate, weight))
    return checkpoints


def _state(source: Any, number: int) -> Mapping[str, Tensor] | None:
    what = f"checkpoint {number}"
    if source is _UNSAVED or source == _UNSAVED:
        hint = "State dicts are not saved with an explainer: build it again, or use paths."
        raise ParameterError(what, "a state dict", "one that was not saved", hint)
    if not isinstance(source, str):
        state: Mapping[str, Tensor] | None = source
        return state
    from safetensors.torch import load_file

    try:
        open_regular(source).close()  # a pipe would keep the reader waiting
        return dict(load_file(source))
    except Exception as error:  # missing, truncated, or another format: the reader's own types
        hint = f"Write it with safetensors.torch.save_file ({type(error).__name__}: {error})."
        raise ParameterError(
            what, "the path of a safetensors file", short_repr(source), hint
        ) from error


def _names(parameters: Any) -> list[str]:
    if isinstance(parameters, str) or not all(isinstance(one, str) for one in parameters):
        hint = "Pass a list of names, as in parameters=['decoder']."
        raise ParameterError("parameters", "a list of names", short_repr(parameters), hint)
    return list(parameters)


def _as_json(checkpoint: Checkpoint) -> list[Any]:
    source, rate, weight = checkpoint
    text = source if source is None or isinstance(source, str) else f"{len(source)} tensors"
    return [text, rate, weight]
