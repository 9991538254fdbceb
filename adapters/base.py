"""What every adapter shares: metadata, the model, and leaving no trace."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from alibi.api.interfaces import Explainer, Explanation, FitMixin
from alibi.exceptions import NotFittedError
from torch import nn

from pxgen_plugins import __version__
from pxgen_plugins.host import PredictorHolder
from pxgen_plugins.models import Model, require
from pxgen_plugins.models._eval_mode import set_training_flag, training_flag
from pxgen_plugins.result.explanation import build
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.registry import Registry

__all__ = [
    "ACCESS",
    "EVIDENCE",
    "LOCK",
    "REGISTRY",
    "Adapter",
    "NotFittedError",
    "register",
    "traceless",
]

REGISTRY: Registry[type[Any]] = Registry("adapter", "pxgen_plugins.adapters", nested=True)
register = REGISTRY.register

EVIDENCE = (
    "attribution",
    "latent_attribution",
    "prototypes",
    "influence",
    "embedding",
    "counterfactual",
    "effect",
    "groups",
)
ACCESS = ("black box", "latent", "gradients", "training checkpoints")


class Adapter(PredictorHolder, Explainer, FitMixin):  # type: ignore[misc]  # alibi's attrs classes are untyped
    """Base of the adapters: an Alibi explainer of a model of :mod:`pxgen_plugins.models`.

    A subclass sets the class attributes, calls ``super().__init__(predictor, params, ...)`` with
    its arguments, and implements ``_explain``; one that learns from data overrides ``fit`` and
    keeps arrays, never the model, in its attributes.

    Attributes:
        evidence: Kind of evidence, out of :data:`EVIDENCE`.
        access: What it needs of the model, out of :data:`ACCESS`.
        requires: Capabilities that the model must have.
        library: The package behind it ("" for our own code).
        scope: ``["local"]`` or ``["global"]``, as in Alibi's metadata.
        defaults: All keys of the explanation's data with their defaults; ``evidence`` is added.

    Args:
        predictor: The model.
        params: The other arguments, as JSON-able values, for the metadata.
        seed: Seed of everything drawn, >= 0.
        batch_size: Instances per model call, perturbed ones included, >= 1.
        verbose: Show progress bars on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks a capability.
    """

    evidence: ClassVar[str]
    access: ClassVar[str]
    requires: ClassVar[frozenset[str]] = frozenset()
    library: ClassVar[str] = ""
    scope: ClassVar[list[str]] = ["local"]
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        predictor: Any,
        params: Mapping[str, Any],
        *,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = type(self).__name__
        self.seed = validation.integer(seed, "seed", where, minimum=0)
        self.batch_size = validation.integer(batch_size, "batch_size", where, minimum=1)
        self.verbose = validation.boolean(verbose, "verbose", where)
        kind = "blackbox" if self.access == "black box" else "whitebox"
        meta: dict[str, Any] = {
            "name": None,
            "type": [kind],
            "explanations": list(self.scope),
            "params": {},
            "version": None,
        }
        super().__init__(meta=meta)
        shared = {"seed": seed, "batch_size": batch_size, "verbose": verbose}
        stamp = {"pxgen_plugins_version": __version__}
        self._update_metadata({**params, **shared, **stamp}, params=True)
        self.reset_predictor(predictor)

    def fit(self, X: Any = None) -> Adapter:
        """Return the adapter; one that learns from data overrides this.

        Args:
            X: Unused.
        """
        return self

    def explain(self, X: Any, **kwargs: Any) -> Explanation:
        """Return the evidence for ``X``; the model and all global state are left as they were.

        Calls from several threads wait for each other, because the state restored is theirs too.

        Args:
            X: What the adapter's ``_explain`` takes, anchors as a rule: anything
                :func:`pxgen_plugins.anchors.open_anchors` reads.
            kwargs: Further arguments of the adapter, JSON-able.
        """
        if self.predictor is None:
            hint = "Call reset_predictor(model)."
            raise ParameterError("predictor", type(self).__name__, "set", "None", hint)
        with traceless(self.predictor):
            data = self._explain(X, **kwargs)
        meta = copy.deepcopy(self.meta)
        meta["params"].update(copy.deepcopy(kwargs_of(kwargs)))
        defaults = {**self.defaults, "evidence": self.evidence}
        return build(meta, data, defaults)

    def _explain(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the data of the explanation, keys out of ``defaults``; takes X first."""
        raise NotImplementedError

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the present model; fitted state is dropped with it.

        An adapter that holds no model (one just loaded) keeps its fitted state.

        Raises:
            ParameterError: When it is no model.
            CapabilityError: When it lacks a capability.
        """
        if predictor is not None:
            if not isinstance(predictor, Model):
                hint = "Wrap it, as in VAE(encode=net.encode, decode=net.decode, ...)."
                allowed = "a model of pxgen_plugins.models"
                got = type(predictor).__name__
                raise ParameterError("predictor", type(self).__name__, allowed, got, hint)
            hint = f"{type(self).__name__} cannot explain this model."
            require(predictor, sorted(self.requires), type(self).__name__, hint)
            if self.predictor is not None and self.predictor is not predictor:
                self._forget()
        self._predictor, self._saving = predictor, False

    def _forget(self) -> None:
        """Drop what was fitted with the model that goes."""


def kwargs_of(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call as metadata: arrays and callables described, not held."""
    plain = (str, int, float, bool, type(None), list, tuple, dict)
    return {
        name: value if isinstance(value, plain) else short_repr(value)
        for name, value in kwargs.items()
    }


@contextmanager
def traceless(model: Any) -> Iterator[None]:
    """Restore all that explaining may touch: flags, gradients and hooks of modules, and RNGs.

    Libraries set training flags, leave hooks and ``.grad`` behind, and reseed global generators;
    afterwards all of it is as before, also when the body raises. Weights are left to the body: no
    adapter writes them.

    Only one thread is inside at a time: what is restored is shared, so one that restores must not
    run beside another that explains.

    Args:
        model: A model; the modules are those of its ``layers``, if it has any.

    Example:
        >>> before = torch.get_rng_state()
        >>> with traceless(None):
        ...     _ = torch.rand(3)
        >>> bool((torch.get_rng_state() == before).all())
        True
    """
    with LOCK:
        modules = list(roots(model))
        submodules = [module for root in modules for module in root.modules()]
        parameters = [parameter for root in modules for parameter in root.parameters()]
        flags = [(module, training_flag(module)) for module in submodules]
        grads = [
            (p, p.requires_grad, None if p.grad is None else p.grad.clone()) for p in parameters
        ]
        hooks = [
            (module, {name: dict(getattr(module, name)) for name in _HOOKS})
            for module in submodules
        ]
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            torch.set_rng_state(states[2])
            for module, training in flags:
                set_training_flag(module, training)
            for parameter, requires_grad, grad in grads:
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad
            for module, found in hooks:
                for name, before in found.items():
                    table = getattr(module, name)
                    for key in [key for key in table if key not in before]:
                        del table[key]


LOCK = threading.RLock()
"""Held while anything draws from global generators or writes to shared modules; one for all."""
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def roots(model: Any) -> list[nn.Module]:
    """Return the modules behind a model, outermost ones only."""
    outermost = getattr(model, "modules", None)
    if isinstance(outermost, tuple):
        return list(outermost)
    found: Mapping[str, nn.Module] = getattr(model, "layers", None) or {}
    inner = {id(sub) for module in found.values() for sub in list(module.modules())[1:]}
    return [module for module in found.values() if id(module) not in inner]
