"""The layer of a generator that takes the latent code itself, as a matrix."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.adapters._activation_hooks import active_layers, full_name
from pxgen_plugins.models.runtime import EvaluationMode
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.seeds import normal_rows
from pxgen_plugins.utils.validation import nearest

__all__ = ["FirstLayer", "affine_matrix", "first_layer"]

Floats = NDArray[np.float64]
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_MOST = 2**27  # numbers in the matrix: 1 GB
_BATCH = 256  # basis vectors a call
_ROUNDING = {torch.float16: 0.02, torch.bfloat16: 0.1}  # relative; of other types 0.001


@dataclass(frozen=True)
class FirstLayer:
    """A layer whose input is the latent code.

    Attributes:
        name: Its name.
        module: The layer.
        shape: Shape of its input for one code.
        scale: What a batch norm that takes the layer's output multiplies every number of it by, as
            it does in evaluation, float64 (out,); None where there is no such norm.
    """

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    scale: Floats | None


def first_layer(model: Any, name: str | None = None) -> FirstLayer:
    """Return the layer that takes the latent code, up to its shape.

    Args:
        model: A model with ``decode`` and ``layers``.
        name: The layer asked for, as in ``model.layers`` or in its own network; None takes the
            first that has weights.

    Raises:
        ParameterError: When the layer does not exist, is not called, or takes something else.
        ModelError: When no layer takes the code.
    """
    probe = normal_rows(0, 2, tuple(model.latent_shape), 0).to(model.device, model.dtype)
    active = active_layers(model, model.decode, probe)
    name = None if name is None else full_name(name, model, active)
    if name is not None and name not in active:
        allowed = "a layer that decoding calls: " + ", ".join(active)
        raise ParameterError("layer", allowed, short_repr(name), nearest(name, active))
    modules = {own: one.module for own, one in active.items()}
    inputs, outputs = _first_calls(modules, lambda: model.decode(probe))
    taken = [own for own, x in inputs.items() if _same(x, probe)]
    weighty = [own for own in taken if any(True for _ in modules[own].parameters())]
    if not weighty or name not in (None, *taken):
        hint = "Use ActivationDirections, or give the part of the model behind its mapping network."
        if name is not None:
            got = f"{name!r}, which takes what other layers made of it"
            raise ParameterError("layer", "one that takes the latent code itself", got, hint)
        got = "layers that take what was made of it"
        raise ModelError("decode", "with a layer that takes the latent code itself", got, hint)
    chosen = name or weighty[0]
    scales = (
        _scale(module, inputs[own], outputs[chosen])
        for own, module in modules.items()
        if own != chosen
    )
    scale = next((one for one in scales if one is not None), None)
    return FirstLayer(chosen, modules[chosen], tuple(inputs[chosen].shape[1:]), scale)


def affine_matrix(first: FirstLayer, size: int, fold: bool) -> Floats:
    """Return the layer as a matrix from codes (d,) to outputs, (out, d), float64.

    Whatever the layer is, the columns are what it returns for the unit vectors less what it returns
    for 0. So padding, groups, several positions and parametrised weights count as they act.

    Args:
        first: The layer.
        size: Latent dimensions, d.
        fold: Multiply by the scales of the batch norm behind it.

    Raises:
        ModelError: When the layer is no affine map, or the matrix would be too large.
    """
    like = next(iter(first.module.parameters()), torch.empty(0))

    def run(rows: Tensor) -> Tensor:
        put = rows.reshape(len(rows), *first.shape).to(like.device, like.dtype)
        try:
            # in evaluation: a spectral norm in training mode would take a step
            with torch.no_grad(), EvaluationMode([first.module])():
                output: Tensor = first.module(put)
                return output.flatten(1).double().cpu()
        except Exception as error:  # such as a layer of several inputs
            raise _unusable(f"{type(first.module).__name__}, which does not run alone") from error

    # an affine map takes a sum to the sum, less its constant
    pair = normal_rows(0, 2, (size,), 1)
    origin = run(torch.zeros(1, size))
    one, two, both = run(torch.stack([pair[0], pair[1], pair[0] + pair[1]])) - origin
    gap, largest = float((one + two - both).abs().max()), float(both.abs().max())
    if not gap <= _ROUNDING.get(like.dtype, 1e-3) * max(largest, float(origin.abs().max())):
        raise _unusable(f"{type(first.module).__name__}, which is no affine map")
    if size * origin.shape[1] > _MOST:
        raise _unusable(f"a map from {size:,} to {origin.shape[1]:,} numbers")
    basis = torch.eye(size)
    columns = [run(rows) - origin for rows in torch.split(basis, _BATCH)]
    matrix: Floats = torch.cat(columns).numpy().T
    return matrix if first.scale is None or not fold else matrix * first.scale[:, None]


def _first_calls(
    modules: dict[str, nn.Module], run: Callable[[], Any]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what every layer was given and returned when it was first called."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    own = threading.get_ident()

    def before(name: str) -> Callable[..., None]:
        def call(_module: nn.Module, given: tuple[Any, ...]) -> None:
            if threading.get_ident() == own and given and isinstance(given[0], Tensor):
                inputs.setdefault(name, given[0].clone())

        return call

    def behind(name: str) -> Callable[..., None]:
        def call(_module: nn.Module, _given: Any, output: Any) -> None:
            if threading.get_ident() == own and isinstance(output, Tensor):
                outputs.setdefault(name, output.clone())

        return call

    handles = [module.register_forward_pre_hook(before(n)) for n, module in modules.items()]
    handles += [module.register_forward_hook(behind(n)) for n, module in modules.items()]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return inputs, outputs


def _same(x: Tensor, probe: Tensor) -> bool:
    """Return whether a layer was given the code, in its own type and shape."""
    flat = probe.to(x.device, x.dtype).flatten()
    return x.numel() == flat.numel() and bool(torch.equal(x.flatten(), flat))


def _scale(norm: nn.Module, given: Tensor, output: Tensor) -> Floats | None:
    """Return what a batch norm multiplies every number of a layer's output by, (out,).

    None where it takes something else, as behind an activation. It may take the numbers in another
    order: they are found by their values.
    """
    variance: Tensor | None = getattr(norm, "running_var", None)
    if not isinstance(norm, _NORMS) or variance is None:
        return None
    if given.numel() != output.numel() or len(given) != len(output):
        return None
    mine, theirs = (x.double().cpu().flatten(1).numpy() for x in (output, given))
    order, place = np.lexsort(mine), np.lexsort(theirs)
    if not np.array_equal(mine[:, order], theirs[:, place]):
        return None
    factor = (variance.detach().double().cpu() + norm.eps).rsqrt()
    if norm.affine:
        factor = factor * norm.weight.detach().double().cpu()
    channels = np.arange(theirs.shape[1]) // (theirs.shape[1] // len(factor))
    scale = np.empty(len(order))
    scale[order] = factor.numpy()[channels[place]]
    return scale


def _unusable(what: str) -> ModelError:
    hint = "Use ActivationDirections, which asks for no weights."
    return ModelError("layer", "an affine map that a matrix can hold", what, hint)
