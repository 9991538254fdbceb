"""The protocol of a model: it declares what it can do, and is asked for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from pxgen_plugins.utils.errors import CapabilityError
from pxgen_plugins.utils.registry import Registry

__all__ = [
    "CAPABILITIES",
    "CHEAP",
    "PROPERTIES",
    "REGISTRY",
    "GenerativeModel",
    "Model",
    "capabilities",
    "own_features",
    "passes",
    "properties",
    "register",
    "require",
]

CAPABILITIES: dict[str, str] = {
    "sample": "sample(n, seed) -> n instances drawn from the model",
    "encode": "encode(x) -> mean, log_var of the posterior",
    "decode": "decode(z) -> instances",
    "embed": "embed(x) -> one latent code per instance",
    "codes": "codes(x) -> indices of the codebook's entries used, (n, positions)",
    "reconstruct": "reconstruct(x) -> instances",
    "log_prob": "log_prob(x) -> log density, nats",
    "noise_loss": "noise_loss(x, t, seed) -> denoising loss at noise level t in [0, 1]",
    "score": "score(x) -> a discriminator's score, higher = more real",
    "token_loss": "token_loss(x) -> mean negative log-likelihood per token, nats",
    "continuation": "continuation(x) -> token ids of the instance's end and of the model's",
    "layers": "layers -> named modules, for attributions",
    "prompt": "prompt -> what samples show; sample(n, seed, prompt=...); bind(prompt) -> a model",
    "cross_attention": "cross_attention -> the named modules that read the states of a prompt",
    "values": "values(x) -> the criteria's values, computed outside",
}


PROPERTIES: dict[str, str] = {
    "bounded": "bounded, with a data_range (low, high)",
    "images": "one of images, with sample_shape (channels, height, width) or (height, width)",
    "normal prior": "one whose codes are drawn from N(0, I), not from another prior",
    "numbers": "of numbers, not of texts, unless a network makes features of them",
    "ranges": "with a data_range (low, high), or of a table",
}
"""What else a criterion may need of a model, beside what the model can do."""

CHEAP = 20
"""Passes of an instance up to which an answer is cheap: used by default, made for a picture."""


@runtime_checkable
class Model(Protocol):
    """What every model has; the methods behind its ``capabilities`` are listed in ``CAPABILITIES``.

    Attributes:
        capabilities: Names out of :data:`CAPABILITIES`.
        sample_shape: Shape of one instance, without the batch axis; None when it varies.
        latent_shape: Shape of one latent code; None without a latent space.
        data_range: Lowest and highest value of an instance; None when unbounded.
        device: Where the model wants its input.
        dtype: In which floating type the model wants its input.

    Nine more are read where a model has them. ``costs`` says how many passes of its network an
    instance takes, by capability: 50 for ``"sample"``, say, where that is a loop of 50 steps; 1
    where nothing is said, and a step with its gradient counts as 2. ``block`` is the number of
    instances that costly values take as long for as for one. ``features(x)``, of a model of
    a table, which has ``columns``, returns rows (n, f) whose distances do not depend on the units
    of columns. ``autoencodes``, True when ``reconstruct(x)`` is
    ``decode(embed(x))``, spares a second embedding. ``open_anchors(X)`` returns the
    :class:`~pxgen_plugins.anchors.Anchors` behind what users pass, for instances that are no arrays
    (texts, rows of a table); ``render(x)`` then returns n strings to show. ``origin`` says what the
    model was made of, where :func:`~pxgen_plugins.models.wrap` or a ``from_...`` function made it.
    ``probe(n)`` returns n instances to time a pass on, where noise would be none.
    ``portion(n, seed, learning)``, of a model with a finite number of samples, returns the function
    (n, seed) by which n of them are drawn part by part, none twice: of those that criteria learn
    from if ``learning``, else of the others. ``finite``, True where other seeds give the same
    samples again, has them counted once in the reference that p-values are taken from.
    ``remedies`` says, by a capability that the model lacks, which argument would give it: a full
    sentence for the error about it.
    """

    capabilities: frozenset[str]
    sample_shape: tuple[int, ...] | None
    latent_shape: tuple[int, ...] | None
    data_range: tuple[float, float] | None
    device: torch.device
    dtype: torch.dtype


class GenerativeModel:
    """Base class of the families: the attributes of :class:`Model`, every method refused.

    A family overrides the methods that it can serve and names them in ``capabilities``; by
    :meth:`example` the conformance suite gets an instance of it.
    """

    capabilities: frozenset[str] = frozenset()
    sample_shape: tuple[int, ...] | None = None
    latent_shape: tuple[int, ...] | None = None
    data_range: tuple[float, float] | None = None
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    autoencodes: bool = False
    origin: str = ""
    remedies: Mapping[str, str] = MappingProxyType({})  # what gives a capability that is missing
    costs: Mapping[str, int] = MappingProxyType({})

    @classmethod
    def example(cls) -> GenerativeModel:
        """Return a small instance of the family, on which its contract is tested.

        Built within a second, from seeded numbers, without files; as ``sample_shape`` take a few
        elements.
        """
        raise NotImplementedError(f"{cls.__name__} has no example(): return a small instance there")

    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` instances, shape (n, *sample_shape); the same for the same ``seed``."""
        raise self._refusal("sample")

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior, each of shape (n, *latent_shape)."""
        raise self._refusal("encode")

    def decode(self, z: Tensor) -> Tensor:
        """Return the instances behind latent codes ``z`` of shape (n, *latent_shape)."""
        raise self._refusal("decode")

    def embed(self, x: Tensor) -> Tensor:
        """Return one latent code per instance, (n, *latent_shape): a point, no distribution."""
        raise self._refusal("embed")

    def codes(self, x: Tensor) -> Tensor:
        """Return the indices of the codebook's entries behind ``x``, int64 (n, positions)."""
        raise self._refusal("codes")

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return what the model makes of ``x``, of the same shape (n, *sample_shape)."""
        raise self._refusal("reconstruct")

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density of each instance, nats, (n,)."""
        raise self._refusal("log_prob")

    def noise_loss(self, x: Tensor, t: float, seed: int) -> Tensor:
        """Return the denoising loss of each instance at noise level ``t`` in [0, 1], (n,).

        All instances get the same noise, which ``seed`` fixes, so a value depends neither on the
        position nor on the batch.
        """
        raise self._refusal("noise_loss")

    def score(self, x: Tensor) -> Tensor:
        """Return the discriminator's score of each instance, (n,); higher = more real."""
        raise self._refusal("score")

    def token_loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood per token of each instance, nats, (n,)."""
        raise self._refusal("token_loss")

    def continuation(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return, for each instance, the token ids of its own end and of the model's."""
        raise self._refusal("continuation")

    def values(self, x: Tensor) -> Tensor:
        """Return criterion values computed outside, of shape (n, m)."""
        raise self._refusal("values")

    def _refusal(self, capability: str) -> CapabilityError:
        hint = "Use a model family that has it."
        error = _missing(self, capability, hint)
        error.where = type(self).__name__
        return error


REGISTRY: Registry[type[GenerativeModel]] = Registry("model", "pxgen_plugins.models")
register = REGISTRY.register


def capabilities(model: Any) -> frozenset[str]:
    """Return what ``model`` can do: as declared, else by the methods it has.

    Example:
        >>> class Sampler:
        ...     def sample(self, n, seed): ...
        >>> sorted(capabilities(Sampler()))
        ['sample']
    """
    declared = getattr(model, "capabilities", None)
    if declared is not None:
        return frozenset(declared)
    return frozenset(name for name in CAPABILITIES if callable(getattr(model, name, None)))


def properties(model: Any) -> frozenset[str]:
    """Return which of :data:`PROPERTIES` a model has; of unknown shape, it may have images.

    Example:
        >>> class Bounded:
        ...     sample_shape, data_range = (28, 28), (0.0, 1.0)
        >>> sorted(properties(Bounded()))
        ['bounded', 'images', 'normal prior', 'numbers', 'ranges']
    """
    shape = getattr(model, "sample_shape", None)
    bounded = getattr(model, "data_range", None) is not None
    ranged = bounded or getattr(model, "columns", None) is not None
    images = shape is None or len(shape) in (2, 3)
    numbers = not capabilities(model) & {"token_loss", "continuation"}
    normal = getattr(model, "prior", "normal") == "normal"
    truth = {
        "bounded": bounded,
        "images": images,
        "normal prior": normal,
        "numbers": numbers,
        "ranges": ranged,
    }
    return frozenset(name for name, holds in truth.items() if holds)


def passes(model: Any, capability: str) -> int:
    """Return how many passes of its network an instance takes a model, at most (see ``costs``).

    Example:
        >>> class Slow:
        ...     costs = {"sample": 50}
        >>> passes(Slow(), "sample"), passes(Slow(), "encode")
        (50, 1)
    """
    stated: Mapping[str, int] = getattr(model, "costs", None) or {}
    return max(1, round(stated.get(capability, 1)))


def own_features(model: Any) -> Callable[[Tensor], Tensor] | None:
    """Return the function by which a model of a table makes its rows comparable; None for others.

    Example:
        >>> own_features(object()) is None
        True
    """
    if getattr(model, "columns", None) is None:
        return None
    return cast("Callable[[Tensor], Tensor] | None", getattr(model, "features", None))


def require(model: Any, needed: Iterable[str], hint: str) -> None:
    """Raise one clear error unless ``model`` has all ``needed`` capabilities.

    Args:
        model: Any model.
        needed: Names out of :data:`CAPABILITIES`.
        hint: What the user can do instead, a full sentence.

    Raises:
        CapabilityError: Naming the first missing capability.
    """
    have = capabilities(model)
    for capability in needed:
        if capability not in have:
            raise _missing(model, capability, hint)


def _missing(model: Any, capability: str, hint: str) -> CapabilityError:
    have = ", ".join(sorted(capabilities(model))) or "nothing"
    allowed = f"able to {capability!r} ({CAPABILITIES[capability]})"
    got = f"a {type(model).__name__} that declares: {have}"
    remedy = (getattr(model, "remedies", None) or {}).get(capability)
    if remedy:
        hint = f"{remedy} Without that: {hint[0].lower()}{hint[1:]}"
    return CapabilityError("model", allowed, got, hint)
