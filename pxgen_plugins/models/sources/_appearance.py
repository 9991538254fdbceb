"""What an object looks like, in words, and the line that would make a model of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models._coders import DECODERS, ENCODERS, parts_of
from pxgen_plugins.models._probe import Probe, tensors_in
from pxgen_plugins.models.runtime import EvaluationMode, device_and_dtype

__all__ = ["code_shape", "line_for", "outline"]

_FOREIGN = ("torch", "lightning", "pytorch_lightning", "builtins", "abc", "typing", "sklearn")
_HEADS = (r"mu|mean|loc", r"var|sigma|std|scale")  # names that heads of a VAE often have
_MOST = 10  # names of a kind
_SCHEDULE = ("alphas_cumprod", "alpha_cumprod", "alphas_bar", "alpha_bars", "alpha_bar",
             "alphabar_t")  # fmt: skip


def outline(obj: Any, probe: Probe | None = None) -> str:
    """Return what an object has: its class, methods, sub-modules, and what its forward gave.

    Args:
        obj: The object.
        probe: What was seen when it was called; None where it was not.

    Example:
        >>> outline(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
        'a Sequential with no method of its own and sub-modules 0 (Linear), 1 (ReLU)'
    """
    methods = list(_methods(type(obj)))
    text = f"a {type(obj).__name__} with "
    text += "methods " + _listed(methods) if methods else "no method of its own"
    if isinstance(obj, nn.Module):
        parts = [f"{name} ({type(one).__name__})" for name, one in obj.named_children()]
        text += " and sub-modules " + _listed(parts) if parts else " and no sub-module"
    if probe is not None:
        shapes = ", ".join(_shape(one) for one in probe.still)
        gave = f"gave {shapes or 'no tensor with a row for each instance'}"
        gave = f"failed: {probe.error}" if probe.error else gave
        text += f"; forward of {_shape(probe.x)} {gave}"
    return text


def _shape(x: Tensor) -> str:
    return "(" + ", ".join(["n", *map(str, x.shape[1:])]) + ")"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST]) + (", ..." if len(names) > _MOST else "")


def _methods(kind: type[Any]) -> Iterator[str]:
    names: set[str] = set()
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] in _FOREIGN:
            continue
        for name, value in vars(base).items():
            if inspect.isfunction(value) and not name.startswith("_") and name not in names:
                names.add(name)
                yield name


def line_for(net: Any, probe: Probe | None, settings: dict[str, Any]) -> str:
    """Return the one line that would make a model of a module, by what it looks like.

    Args:
        net: The module.
        probe: What was seen when it was called; inside its context. None where it was not.
        settings: The options that were given.
    """
    shape = settings.get("sample_shape")
    given = f"sample_shape={shape}" if shape is not None else "sample_shape=(1, 28, 28)"
    if probe is not None:
        schedule = _schedule(net)
        for name, part in [("net", net), *((f"net.{n}", m) for n, m in net.named_children())]:
            if _denoises(part, probe):
                how = f"net.{schedule}" if schedule else "'linear', n_timesteps=1000"
                return (
                    f"It looks like a diffusion model, whose network takes (x, t): write "
                    f"Diffusion({name}, schedule={how}, {given}), with the schedule that it was "
                    "trained with."
                )
        if _is_flow(probe):
            back = next((n for n in ("inverse", "reverse", "backward_flow") if hasattr(net, n)), "")
            return (
                "It looks like a flow, which gives z and log |det|: write "
                "Flow(log_prob=lambda x: base.log_prob(net(x)[0]) + net(x)[1], "
                f"embed=lambda x: net(x)[0], decode=net.{back or 'inverse'}, modules=net, {given})."
            )
        pictures = _takes_channels(net, probe)
        if pictures:
            return f"Its convolutions take channels: write wrap(net, sample_shape={pictures})."
        flat = _takes_flat(net, probe)
        if flat:
            return f"It takes flat instances: write wrap(net, sample_shape=({flat},))."
        places = _twins(probe)
        if probe.pairs() and places:
            decoder = next(iter(parts_of(net, DECODERS)), "...")
            pick = ", ".join(f"net(x)[{i}]" for i in places)
            return (
                f"If {pick} are mean and log variance, write VAE(encode=lambda x: ({pick}), "
                f"decode=lambda z: net.{decoder}(z), modules=net, {given}), with all that lies "
                "between a code and the instance in decode."
            )
    encoders, decoders = parts_of(net, ENCODERS), parts_of(net, DECODERS)
    if encoders and decoders:
        encoder, decoder = f"net.{encoders[0]}", f"net.{decoders[0]}"
        heads = [_named_like(net, words) for words in _HEADS]
        if all(heads) and not (probe is not None and probe.pairs()):
            both = ", ".join(f"net.{head}" for head in heads)
            return (
                f"If {both} give mean and log variance, write VAE(encode=lambda x: "
                f"[f({encoder}(x)) for f in ({both})], decode={decoder}, modules=net, {given})."
            )
        book = next((n for n, m in net.named_modules() if isinstance(m, nn.Embedding)), "")
        if book:
            return (
                f"If it quantises its codes, write VQVAE(encode={encoder}, decode={decoder}, "
                f"codebook=net.{book}.weight, modules=net, {given})."
            )
        return (
            f"Its forward is not {decoder}({encoder}(x)): put what lies between into decode: "
            f"Autoencoder(encode={encoder}, decode=lambda z: {decoder}(f(z)), modules=net, "
            f"{given})."
        )
    latent = code_shape(net) if isinstance(net, nn.Module) else None
    if latent is not None:
        return f"If it is a generator, write wrap(net, latent_shape={latent})."
    return (
        "Name its parts: VAE(encode=f, decode=g, modules=net, "
        f"{given}), or wrap({{'generator': net}}, latent_shape=(100,))."
    )


def code_shape(net: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of the codes that a generator takes, by its first layer; None if none fits.

    Example:
        >>> code_shape(nn.Sequential(nn.ConvTranspose2d(100, 1, 4), nn.Tanh()))
        (100, 1, 1)
    """
    named = next((getattr(net, n) for n in ("latent_dim", "z_dim", "nz") if _is_size(net, n)), None)
    shapes = [] if named is None else [(int(named),), (int(named), 1, 1)]
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            shapes.append((layer.in_features,))
        elif isinstance(layer, (nn.ConvTranspose2d, nn.Conv2d)):
            shapes.append((layer.in_channels, 1, 1))
        else:
            continue
        break
    device, dtype = device_and_dtype([net], None)
    with torch.no_grad(), EvaluationMode([net])():
        for shape in shapes:
            try:
                result = net(torch.zeros(2, *shape, device=device, dtype=dtype))
            except Exception:  # codes of another shape
                continue
            if isinstance(result, Tensor) and result.ndim > 1 and len(result) == 2:
                return shape
    return None


def _named_like(net: nn.Module, words: str) -> str:
    """Return the name of the first sub-module that sounds so; empty where none does."""
    names = (name for name, _ in net.named_children())
    return next((name for name in names if re.search(words, name.lower())), "")


def _is_size(net: nn.Module, name: str) -> bool:
    return isinstance(getattr(net, name, None), int)


def _denoises(part: Any, probe: Probe) -> bool:
    t = torch.zeros(len(probe.x), dtype=torch.int64, device=probe.x.device)
    for times in (t, t.to(probe.x.dtype)):
        try:
            found = tensors_in(part(probe.x.clone(), times))
        except Exception:  # it takes something else
            continue
        return len(found) == 1 and found[0].shape == probe.x.shape
    return False


def _schedule(net: nn.Module) -> str:
    """Return the name of the signal left at each timestep, where a module keeps it."""
    for name in _SCHEDULE:
        value = getattr(net, name, None)
        if isinstance(value, Tensor) and value.ndim == 1 and bool((value.diff() < 0).all()):
            return name
    return ""


def _twins(probe: Probe) -> list[int]:
    """Return the places of two results of one shape that are no instances."""
    size = probe.x[0].numel()
    shapes = [tuple(one.shape) for one in probe.still]
    places = [i for i, one in enumerate(probe.still) if one[0].numel() != size]
    places = [i for i in places if shapes.count(shapes[i]) > 1]
    return places[:2] if len(places) == 2 else []


def _is_flow(probe: Probe) -> bool:
    shapes = [tuple(one.shape) for one in probe.still]
    return shapes == [tuple(probe.x.shape), (len(probe.x),)]


def _takes_channels(net: nn.Module, probe: Probe) -> tuple[int, ...] | None:
    """Return the shape with channels, where a module failed on pictures without them."""
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    if probe.still or probe.x.ndim != 3 or first is None:
        return None
    return (first.in_channels, *probe.x.shape[1:])


def _takes_flat(net: nn.Module, probe: Probe) -> int:
    """Return the length of flat instances, where a module takes these only."""
    if probe.still or probe.x.ndim < 3:
        return 0
    for function in [net, *(getattr(net, name) for name in parts_of(net, ENCODERS))]:
        try:
            function(probe.x.flatten(1))
        except Exception:  # whatever a foreign network raises
            continue
        return probe.x[0].numel()
    return 0
