"""What a VAE must hold before anything is measured with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pxgen_plugins.utils.errors import ModelError

if TYPE_CHECKING:
    from pxgen_plugins.models.vae import VAE

__all__ = ["check_vae"]

_PROBES = 16


def check_vae(model: VAE) -> None:
    """Call ``model`` on seeded noise and compare what comes back with what was declared.

    Raises:
        ModelError: For wrong shapes, values outside ``data_range``, non-finite results, an encoder
            that gives other results for the same input, a network that gives others for rows by
            themselves, and a second result of ``encode`` that is not what ``scale`` says.
    """
    x = model._noise(_PROBES)
    raw = model._calls["encode"](*model._conditioned(x))
    mean, log_var = model.encode(x)
    if raw[0].shape == raw[1].shape and torch.equal(raw[0], raw[1]):
        raise ModelError(
            "encode",
            "VAE",
            "(mean, log_var)",
            "the same values twice",
            "If it returns (z, mean, log_var), pass encode=lambda x: net.encode(x)[1:].",
        )
    _check_scale(model, x, raw[1])
    for name, value in (("mean", mean), ("log_var", log_var)):
        if not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"encode's {name}",
                "VAE",
                "finite for inputs inside data_range",
                "NaN or infinity for seeded noise",
                "Check the weights and data_range; check=False skips this check.",
            )
    again = model.encode(x)[0]
    if not torch.allclose(mean, again, rtol=1e-4, atol=1e-5):
        gap = float((mean - again).abs().max())
        raise ModelError(
            "encode",
            "VAE",
            "repeatable (the same input gives the same mean)",
            f"means that differ by up to {gap:.3g}",
            "Return the posterior mean, not a draw; name modules with dropout in modules=.",
        )
    model._check_alone("encode", mean, lambda rows: model.encode(rows)[0], x)
    z = model._codes_to_try(_PROBES, seed=1)
    decoded = model.decode(z)
    model._check_finite("decode's result", decoded, "ordinary latent codes")
    model._check_alone("decode", decoded, model.decode, z)
    model._check_range("decode", torch.cat([decoded, model.decode(mean)]))


def _check_scale(model: VAE, x: Tensor, spread: Tensor) -> None:
    if model.scale != "log_var":
        if bool((spread <= 0).any()):
            low = float(spread.min())
            raise ModelError(
                f"encode's {model.scale}",
                "VAE",
                "positive everywhere",
                f"a negative or zero {model.scale}, down to {low:.3g}",
                "It looks like a log variance: pass scale='log_var'.",
            )
        return
    # A trained posterior is narrower than the prior, so log variances are mostly negative; a
    # second result that stays positive whatever comes in has passed an exp or a softplus.
    if bool((spread > 0).all()) and _positive_when_pushed(model, x):
        raise ModelError(
            "encode's log_var",
            "VAE",
            "a log variance",
            f"positive everywhere, from {float(spread.min()):.3g} to {float(spread.max()):.3g}",
            "If encode returns a standard deviation or a variance, pass scale='std' or "
            "scale='variance'; check=False skips this check.",
        )


def _positive_when_pushed(model: VAE, x: Tensor) -> bool:
    for factor in (-1.0, 10.0, -10.0, 1000.0, -1000.0):
        try:
            pushed = model._calls["encode"](*model._conditioned(x * factor))[1]
        except Exception:  # it refuses such inputs: nothing was seen
            continue
        if bool((pushed < 0).any()):
            return False
    return True
