"""The class of all criteria, their registry, and the batch that they are called on."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar, cast

import torch
from torch import Tensor

from pxgen_plugins.models import kept_codes
from pxgen_plugins.models.base import (
    PROPERTIES,
    capabilities,
    own_features,
    properties,
    require,
)
from pxgen_plugins.utils.errors import CapabilityError, caller
from pxgen_plugins.utils.properties import lazy_property
from pxgen_plugins.utils.registry import Registry
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["REGISTRY", "Batch", "Criterion", "Kind", "for_model", "make", "named_caller"]

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["intrinsic", "extrinsic"]
KINDS: tuple[Kind, Kind] = ("intrinsic", "extrinsic")
REGISTRY: Registry[type[Criterion]] = Registry("criterion", "pxgen_plugins.criteria")


class Batch:
    """A batch of anchors as the model takes them; each result is computed once, for all criteria.

    Args:
        model: The model that is explained.
        x: Anchors as a tensor of shape (b, *sample_shape), in the model's range.
        first: Position of the first one in the anchor set; with ``seed`` it fixes the noise, so
            results do not depend on the batch size.
        seed: Seed of all noise.
        reconstruction: ``"mean"`` decodes the posterior mean, ``"sample"`` a seeded draw from the
            posterior.
        posterior: Mean and log variance in the place of the encoder's, each (b, *latent_shape), for
            methods that move the code of an anchor and ask what the criterion makes of it.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel, noise
        >>> model, codes = LinearModel(), torch.zeros(2, 3)
        >>> moved = Batch(model, noise(model, 2), posterior=(codes, codes - 1.0))
        >>> moved.mean is codes, bool((moved.reconstruction == model.decode(codes)).all())
        (True, True)
    """

    def __init__(
        self,
        model: Any,
        x: Tensor,
        *,
        first: int = 0,
        seed: int = 0,
        reconstruction: str = "mean",
        posterior: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.model = model
        self.x = x
        self.first = first
        self.seed = seed
        self._mode = reconstruction
        if posterior is not None:
            self.posterior = posterior  # a cached property: what is set is never computed

    def __len__(self) -> int:
        return len(self.x)

    @lazy_property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the posterior, each of shape (b, *latent_shape)."""
        mean, log_var = self.model.encode(self.x)
        return mean, log_var

    @property
    def mean(self) -> Tensor:
        """Posterior mean, shape (b, *latent_shape)."""
        return self.posterior[0]

    @property
    def log_var(self) -> Tensor:
        """Log variance of the posterior, shape (b, *latent_shape)."""
        return self.posterior[1]

    @lazy_property
    def code(self) -> Tensor:
        """One latent code per anchor, (b, *latent_shape): the posterior mean where there is one."""
        if "encode" in capabilities(self.model):
            return self.mean
        return kept_codes.embed(self.model, self.x)

    @lazy_property
    def reconstruction(self) -> Tensor:
        """What the model makes of the anchors, shape (b, *sample_shape)."""
        have = capabilities(self.model)
        if not have >= {"encode", "decode"}:
            if have >= {"embed", "decode"} and getattr(self.model, "autoencodes", False):
                return torch.as_tensor(self.model.decode(self.code))
            return torch.as_tensor(self.model.reconstruct(self.x))
        if self._mode == "mean":
            return torch.as_tensor(self.model.decode(self.mean))
        mean, log_var = self.posterior
        rows = normal_rows(
            self.first, len(self), tuple(mean.shape[1:]), derive(self.seed, "reconstruction")
        )
        noise = rows.to(mean.device, mean.dtype)
        return torch.as_tensor(self.model.decode(mean + (0.5 * log_var).exp() * noise))

    def comparable(self, x: Tensor) -> Tensor:
        """Return instances as distances compare them: rows of a table in its own features.

        A change of a column's unit must change no distance; what is no table stays as it is.
        """
        features = own_features(self.model)
        return x if features is None else features(x)

    @lazy_property
    def values(self) -> Tensor:
        """Criterion values computed outside the package, shape (b, m)."""
        return torch.as_tensor(self.model.values(self.x))


def named_caller(method: F) -> F:
    """Decorate a method of a criterion: errors that leave it begin with the criterion's name."""

    @functools.wraps(method)
    def wrapper(self: Criterion, *args: Any, **kwargs: Any) -> Any:
        with caller(f"criterion {self.name!r}"):
            return method(self, *args, **kwargs)

    return cast("F", wrapper)


class Criterion(ABC):
    """A function of (model, anchor) to a float, smaller = closer to the model.

    A subclass sets the class attributes, takes its parameters as keyword arguments of
    ``__init__`` and keeps each in an attribute of the same name. Similarities are negated, so that
    smaller is closer for all.

    What a model must have is said twice: ``requires`` names capabilities, what a model can *do*
    (methods, such as ``encode``); ``needs`` names properties, what its data and its prior *are*
    (such as bounded).

    Attributes:
        name: Name in the registry and in every result.
        kind: ``"intrinsic"`` (through the latent space) or ``"extrinsic"`` (outward difference).
        requires: Capabilities, out of :data:`~pxgen_plugins.models.base.CAPABILITIES`; the same
            for all instances of a class.
        needs: Properties, out of :data:`~pxgen_plugins.models.base.PROPERTIES`; an instance may
            need less than its class.
        unit: Unit of the value.
        calls: How often a value asks the model for what it requires, codes and reconstructions
            aside, which a batch computes once.
    """

    name: str
    kind: Kind
    requires: ClassVar[frozenset[str]]
    needs: frozenset[str] = frozenset()
    unit: str
    calls: int = 1

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor:
        """Return one value per anchor, shape (b,); differentiable where the model is."""

    @named_caller
    def check(self, model: Any) -> None:
        """Raise unless ``model`` has what this criterion needs (see :func:`require`)."""
        usable = for_model(model)
        hint = "Use one that works with this model: " + (", ".join(usable) or "none does") + "."
        require(model, sorted(self.requires), hint)
        lacking = sorted(self.needs - properties(model))
        if lacking:
            values = (
                f"{name}={getattr(model, name, None)}" for name in ("sample_shape", "data_range")
            )
            got = f"a {type(model).__name__} with {', '.join(values)}"
            raise CapabilityError("model", PROPERTIES[lacking[0]], got, hint)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters it was built with, as JSON-able values; a function by its name."""
        signature = inspect.signature(type(self).__init__)
        names = [n for n, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY]
        values = {name: getattr(self, name) for name in names}
        return {name: _name_of(v) if callable(v) else v for name, v in values.items()}

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{type(self).__name__}({inside})"


def _name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


@caller("criteria.make", fallback=True)
def make(spec: Any, parameter: str = "criterion") -> Criterion:
    """Return the criterion that ``spec`` stands for.

    Args:
        spec: A registered name, a mapping with a ``"name"`` and parameters (as settings files hold
            it), or a criterion.
        parameter: Name of the parameter, for the error.

    Raises:
        ParameterError: When it is none of these, or the parameters do not fit.

    Example:
        >>> make({"name": "mse", "reduction": "sum"})
        MSE(reduction='sum')
    """
    criterion: Criterion = REGISTRY.make(spec, Criterion, parameter)
    return criterion


def for_model(model: Any, kind: Kind | None = None) -> list[str]:
    """Return the names of the registered criteria that work with ``model``, sorted.

    Args:
        model: Any model; what counts is the capabilities it declares, its shape and its range.
        kind: Only intrinsic or only extrinsic ones.
    """
    able, has = capabilities(model), properties(model)
    known = {name: REGISTRY.get(name) for name in REGISTRY.names()}
    return [
        name
        for name, criterion in known.items()
        if criterion.requires <= able
        and criterion.needs <= has
        and (kind is None or criterion.kind == kind)
    ]
