"""What every adapter shares: its arguments, its metadata, its model, and leaving no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, InitVar, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from pxgen_plugins import __version__
from pxgen_plugins.adapters._anchors import AnchorReader, can_embed
from pxgen_plugins.adapters._codes import can_draw, draw_codes, has_normal_prior, has_prior
from pxgen_plugins.adapters._isolation import alone, kept_generators, traceless
from pxgen_plugins.adapters.targets import Target, resolve
from pxgen_plugins.host import Explainer, Explanation, FitMixin, NotFittedError, PredictorHolder
from pxgen_plugins.host.unfitted import unfitted
from pxgen_plugins.models import Model, require
from pxgen_plugins.result.explanation import build
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.registry import Registry

__all__ = [
    "ACCESS",
    "EVIDENCE",
    "REGISTRY",
    "Adapter",
    "AnchorReader",
    "NotFittedError",
    "TargetAdapter",
    "alone",
    "can_draw",
    "can_embed",
    "draw_codes",
    "has_normal_prior",
    "has_prior",
    "kept_generators",
    "register",
    "traceless",
]

REGISTRY: Registry[type[Any]] = Registry("adapter", "pxgen_plugins.adapters", nested=True)

T = TypeVar("T", bound=type[Any])


def register(name: str) -> Callable[[T], T]:
    """Return a decorator that registers an adapter class as ``name``.

    Raises:
        ParameterError: When the name is no lower-case identifier or is taken, or the class names
            an unknown kind of evidence, of access or of data to learn from.
    """

    def add(adapter: T) -> T:
        with caller(f"register {adapter.__name__}"):
            validation.choice(adapter.evidence, "evidence", EVIDENCE)
            validation.choice(adapter.access, "access", ACCESS)
            learns_from = getattr(adapter, "learns_from", "data")  # of one without our base class
            validation.choice(learns_from, "learns_from", LEARNS_FROM)
            REGISTRY.register(name)(adapter)
        return adapter

    return add


EVIDENCE = (
    "attribution",
    "latent_attribution",
    "prototypes",
    "influence",
    "embedding",
    "counterfactual",
    "effect",
    "groups",
    "directions",
    "units",
    "description",
    "localisation",
)
ACCESS = ("black box", "latent", "gradients", "activations", "weights", "training checkpoints")
LEARNS_FROM = ("", "data", "training")


@dataclass(repr=False, eq=False)
class Adapter(PredictorHolder, Explainer, FitMixin):
    """Base of the adapters: an Alibi explainer of a model of :mod:`pxgen_plugins.models`.

    A subclass is a dataclass, ``@dataclass(repr=False, eq=False)``, whose fields are the arguments
    of its constructor and, by that, the parameters in its metadata. It checks them in ``_check``
    and implements ``_explain``; one that learns from data overrides ``fit`` and keeps arrays, never
    the model, in attributes that ``_check`` creates.

    Attributes:
        evidence: Kind of evidence, out of :data:`EVIDENCE`.
        access: What it needs of the model, out of :data:`ACCESS`.
        requires: Capabilities that the model must have.
        library: The package behind it ("" for our own code).
        scope: ``["local"]`` or ``["global"]``, as in Alibi's metadata.
        learns_from: What a comparison gives to ``fit``: ``"data"`` (the training data where there
            are any, else the anchors), ``"training"`` (the training data, and nothing else will
            do), or "" (nothing).
        explainer_argument: Argument of the constructor that takes a fitted PXGen; "" for none.
        target_argument: Argument that takes what a comparison explains, where there is one.
        defaults: All keys of the explanation's data with their defaults; ``evidence`` is added.
        example: Arguments with which the conformance suite builds one for a small VAE, where a
            model alone does not do or the defaults take long.

    Args:
        predictor: The model.
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
    learns_from: ClassVar[str] = "data"
    explainer_argument: ClassVar[str] = ""
    target_argument: ClassVar[str] = "target"
    defaults: ClassVar[Mapping[str, Any]] = {}
    example: ClassVar[Mapping[str, Any]] = {}

    predictor: InitVar[Any] = field()  # without it the property of that name would be the default
    _: KW_ONLY
    seed: int = 0
    batch_size: int = 256
    verbose: bool = False

    def __post_init__(self, predictor: Any) -> None:
        with caller(type(self).__name__):
            self._check()
            kind = "blackbox" if self.access == "black box" else "whitebox"
            meta: dict[str, Any] = {
                "name": None,
                "type": [kind],
                "explanations": list(self.scope),
                "params": {},
                "version": None,
            }
            super().__init__(meta=meta)
            self.reset_predictor(predictor)
            params = {**self._params(), "pxgen_plugins_version": __version__}
            self._update_metadata(params, params=True)

    def _check(self) -> None:
        """Raise unless the arguments are allowed; a subclass calls this and adds its own checks."""
        self.seed = validation.integer(self.seed, "seed", minimum=0)
        self.batch_size = validation.integer(self.batch_size, "batch_size", minimum=1)
        self.verbose = validation.boolean(self.verbose, "verbose")

    def _check_model(self, model: Any) -> None:
        """Raise unless the arguments fit ``model``, which has the capabilities required."""

    def _params(self) -> dict[str, Any]:
        """Return the arguments but the model as JSON-able values, for the metadata."""
        names = [f.name for f in fields(self) if f.init]
        shared = {f.name for f in fields(Adapter)}
        names.sort(key=shared.__contains__)  # what is the adapter's own comes first
        return as_metadata({name: getattr(self, name) for name in names})

    def _forget(self) -> None:
        """Drop what was fitted with a model that goes."""

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return about how often ``explain`` calls the model for ``n`` anchors.

        By what is called: ``"embed"`` (or encode), ``"decode"``, ``"target"``, ``"score"`` (the
        criteria of a PXGen); instances, not batches, one with gradient counting three times. A
        comparison leaves out methods that would take minutes by it, unless they are named; what
        is not stated counts as nothing.
        """
        return {}

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
            X: What the adapter explains, n anchors as a rule: anything
                :func:`pxgen_plugins.anchors.open_anchors` reads, or what that returns, with its
                options such as ``anchors_range`` and ``resize``; ``fit`` takes the same.
            kwargs: Further arguments of the adapter, JSON-able.

        Raises:
            NotFittedError: Before :meth:`fit`, where one is needed.
            AnchorError: When the anchors do not fit the model.
        """
        with self._call("explain"):
            data = self._explain(X, **kwargs)
        meta = copy.deepcopy(self.meta)
        meta["params"].update(copy.deepcopy(as_metadata(kwargs)))
        defaults = {**self.defaults, "evidence": self.evidence}
        return build(meta, data, defaults)

    def _explain(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the data of the explanation, keys out of ``defaults``; takes X first."""
        raise NotImplementedError

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        """Run a public method: errors carry its name, and it leaves no trace."""
        with caller(f"{type(self).__name__}.{method}"):
            if self.predictor is None:
                hint = "Call reset_predictor(model)."
                raise ParameterError("predictor", "set", "None", hint)
            with traceless(self.predictor):
                try:
                    yield
                except NotFittedError as error:
                    raise self._unfitted(method, error) from None

    def _unfitted(self, method: str, error: Exception) -> Exception:
        """Return the error of an adapter that was to be fitted first, with what to call."""
        # Alibi's text: "This LatentSHAP instance is not fitted yet. ..."
        what, alibis, _ = str(error).removeprefix("This ").partition(" instance is not fitted yet")
        if not alibis:  # of an explainer inside, which has said what to do
            return error
        data = "the training data" if self.learns_from == "training" else "instances to learn from"
        hint = f"Call fit(X) first, with {data}."
        return unfitted(f"{type(self).__name__}.{method}", what, hint)

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the present model; fitted state is dropped with it.

        An adapter that holds no model (one just loaded) keeps its fitted state.

        Raises:
            ParameterError: When it is no model, or an argument of the adapter does not fit it.
            CapabilityError: When it lacks a capability.
        """
        with caller(type(self).__name__):
            if predictor is not None:
                if not isinstance(predictor, Model):
                    hint = "Wrap it, as in VAE(net, sample_shape=...)."
                    allowed = "a model of pxgen_plugins.models"
                    raise ParameterError("predictor", allowed, type(predictor).__name__, hint)
                hint = f"This model cannot be explained by {type(self).__name__}."
                require(predictor, sorted(self.requires), hint)
                self._check_model(predictor)
                if self.predictor is not None and self.predictor is not predictor:
                    self._forget()
        self._predictor, self._saving = predictor, False


@dataclass(repr=False, eq=False)
class TargetAdapter(Adapter):
    """Base of the adapters that explain a target, a scalar of (model, anchor).

    Args:
        predictor: The model.
        target: What is explained: a criterion's name, mapping or object, ``"elbo"``, ``Latent(j)``
            or ``"latent[j]"``, ``Pixel(...)`` or ``"pixel[c, i, j]"``, or a callable from a
            :class:`~pxgen_plugins.criteria.Batch` to one number per anchor.
        seed: Seed of the target's noise and of everything drawn, >= 0.
        batch_size: Instances per model call, perturbed ones included, >= 1.
        verbose: Show progress bars on stderr.
    """

    target: Any = "mse"

    def _check_model(self, model: Any) -> None:
        resolve(self.target, model)

    def _params(self) -> dict[str, Any]:
        if self.predictor is None:
            return super()._params()
        return {**super()._params(), "target": self._target().spec}

    def _target(self) -> Target:
        return resolve(self.target, self.predictor)


def as_metadata(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as metadata hold them: arrays and callables described, not held.

    Example:
        >>> as_metadata({"n_steps": 5, "function": len})
        {'n_steps': 5, 'function': "builtin_function_or_method 'len'"}
    """
    plain = (str, int, float, bool, type(None), list, tuple, dict)
    return {
        name: value if isinstance(value, plain) else short_repr(value)
        for name, value in arguments.items()
    }
