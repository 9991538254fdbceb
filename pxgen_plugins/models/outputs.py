"""What networks return: tensors, or tuples, mappings, dataclasses and distributions of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.utils.errors import ModelError, short_repr

__all__ = ["FEATURES", "Posterior", "of_role", "one_array", "remark"]

FEATURES = ("features", "pooler_output", "image_embeds", "embeddings", "embedding", "output")
_INSTANCES = (
    "sample", "samples", "reconstruction", "reconstructions", "recon", "recon_x", "x_recon",
    "x_hat", "images", "output", "x",
)  # fmt: skip
_SCORES = ("logits", "logit", "score", "scores", "validity", "output")
_CODES = ("latents", "latent", "codes", "code", "embedding", "embeddings", "z")
_MEANS = ("mean", "mu", "loc", "z_mean", "mu_z", "z_mu", "embedding")
_LOG_VARS = (
    "log_var", "logvar", "log_variance", "z_log_var", "z_logvar", "logvar_z", "log_covariance",
)  # fmt: skip
_NAMES = {
    "encode": _CODES,
    "encoder": _CODES,
    "embed": _CODES,
    "decode": _INSTANCES,
    "generator": _INSTANCES,
    "discriminator": _SCORES,
}
_ENCODERS = ("encode", "encoder", "embed")


class Posterior(tuple):  # type: ignore[type-arg]
    """Mean and log variance that a result names itself, whatever ``scale`` says of others."""

    __slots__ = ()


def of_role(role: str, value: Any) -> Any:
    """Return what a function of a model gave as plain tensors or arrays.

    Mappings, dataclasses and named tuples are read by the usual names of their parts; of a
    distribution an encoder gives mean and log variance, anything else its mean. Tensors, plain
    tuples of an encoder and roles that are not known pass through.

    Args:
        role: What the function is: ``"encode"``, ``"decode"``, ``"generator"``, ...
        value: What it returned.

    Raises:
        ModelError: When it is not clear which part is meant, or numbers are complex.
    """
    if isinstance(value, (Tensor, np.ndarray)):
        _expect_real(role, (value,))
        return value
    if role not in _NAMES:
        return value
    if role not in _ENCODERS:
        return one_array(role, value, _NAMES[role])
    posterior = _posterior(value)
    if posterior is not None:
        return posterior
    if isinstance(value, (tuple, list)):
        _expect_real(role, value)
        return value
    return one_array(role, value, _CODES)


def one_array(what: str, value: Any, names: Iterable[str]) -> Any:
    """Return the one tensor or array that a result is, or holds.

    Args:
        what: What returned it, for messages.
        value: A tensor or an array; a distribution, of which it is the mean; or a tuple, mapping
            or dataclass.
        names: Names of parts, the most telling first, of which the first that is there is taken.

    Raises:
        ModelError: When there are several and no name tells, or it is complex.

    Example:
        >>> one_array("network", {"features": torch.ones(2), "loss": torch.zeros(2)}, FEATURES)
        tensor([1., 1.])
        >>> one_array("network", (torch.ones(2), None), FEATURES)
        tensor([1., 1.])
    """
    if not isinstance(value, (Tensor, np.ndarray)):
        value = _only(what, value, names)
    _expect_real(what, (value,))
    return value


def remark(role: str, value: Any) -> str:
    """Return in words what is taken of a result that does not say it itself; else nothing.

    Args:
        role: What the function is.
        value: What it returned.

    Example:
        >>> remark("decode", torch.distributions.Bernoulli(torch.ones(2) / 2))
        'decode gives a Bernoulli distribution, of which the mean is taken'
    """
    if not isinstance(value, torch.distributions.Distribution):
        return ""
    if role in _ENCODERS and _posterior(value) is not None:
        return ""
    return f"{role} gives a {_inner(value)} distribution, of which the mean is taken"


def _inner(value: Any) -> str:
    while isinstance(value, torch.distributions.Independent):
        value = value.base_dist
    return type(value).__name__


def _mean(what: str, value: Any) -> Tensor:
    try:
        mean: Tensor = value.mean
    except NotImplementedError as error:
        call = _call_of(what)
        hint = f"Return a tensor of it, as in {call}.mode."
        got = f"a {_inner(value)} distribution, which has no mean"
        raise ModelError(f"{what}'s result", "one tensor", got, hint) from error
    return mean


def _call_of(what: str) -> str:
    """Return how a function is given that picks a part of what a network returns."""
    method = f"net.{what}" if what in ("encode", "decode", "encoder", "embed") else "net"
    name = "z" if what in ("decode", "generator") else "x"
    return f"{what}=lambda {name}: {method}({name})"


def _only(what: str, value: Any, names: Iterable[str]) -> Any:
    if isinstance(value, torch.distributions.Distribution):
        return _mean(what, value)
    named = _named(value)
    for name in names:
        if named is not None and _is_array(named.get(name)):
            return named[name]
    parts = list(value if named is None else named.values()) if _is_group(value) else []
    arrays = [part for part in parts if _is_array(part)]
    if len(arrays) == 1:
        return arrays[0]
    if not _is_group(value):
        return value
    got = f"a {type(value).__name__} with {len(arrays)} of them"
    pick = "[0]"
    if named is not None:
        got += ": " + ", ".join(str(key) for key in named)
        pick = f"[{next(iter(named), '...')!r}]"
    hint = f"Say which, as in {_call_of(what)}{pick}, with modules=net."
    raise ModelError(f"{what}'s result", "one tensor", got, hint)


def _posterior(value: Any) -> Posterior | None:
    """Return mean and log variance, where a result names both or is a normal distribution."""
    named = _named(value)
    if named is not None and "latent_dist" in named:
        value, named = named["latent_dist"], None
    inner = value
    while isinstance(inner, torch.distributions.Independent):
        inner = inner.base_dist
    if isinstance(inner, torch.distributions.Normal):
        return Posterior((inner.mean, 2.0 * inner.stddev.log()))
    if named is None and not isinstance(value, (tuple, list, torch.distributions.Distribution)):
        named = {
            name: getattr(value, name, None)
            for name in (*_MEANS, *_LOG_VARS)
            if _is_array(getattr(value, name, None))
        }
    if named is None:
        return None
    mean = next((named[name] for name in _MEANS if _is_array(named.get(name))), None)
    log_var = next((named[name] for name in _LOG_VARS if _is_array(named.get(name))), None)
    if mean is None or log_var is None:
        return None
    _expect_real("encode", (mean, log_var))
    return Posterior((mean, log_var))


def _named(value: Any) -> Mapping[str, Any] | None:
    """Return the parts of a result by name; None where they have none."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    return None


def _is_group(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or _named(value) is not None


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _expect_real(what: str, values: Iterable[Any]) -> None:
    for value in values:
        is_complex = value.is_complex() if isinstance(value, Tensor) else np.iscomplexobj(value)
        if _is_array(value) and is_complex:
            hint = "Return its real part, its absolute value, or both side by side."
            raise ModelError(f"{what}'s result", "real numbers", short_repr(value), hint)
