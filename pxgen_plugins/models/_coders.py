"""Which parts of a module encode and decode: what its own forward gives is the proof."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models._probe import Probe, close, tensors_in
from pxgen_plugins.models.outputs import of_role, remark

__all__ = ["DECODERS", "ENCODERS", "Coder", "find_coder", "fits_together", "parts_of"]

ENCODERS = ("encode", "encoder", "enc")
DECODERS = ("decode", "decoder", "dec")
_MOST_HEADS = 16  # sub-modules that are tried behind the encoder

_Function = Callable[[Any], Any]
_ACTIVATIONS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("", lambda x: x),
    (" through a sigmoid", torch.sigmoid),
    (" through tanh", torch.tanh),
)
# what the second result of an encoder may be, and the standard deviation that it stands for
_SCALES: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("log_var", lambda s: (0.5 * s).exp()),
    ("std", lambda s: s),
    ("variance", lambda s: s.clamp(min=0).sqrt()),
    ("log_std", lambda s: s.exp()),
)


@dataclass(frozen=True)
class Coder:
    """A way from instances to codes and back.

    Attributes:
        encode: From instances to mean and scale, or to codes.
        decode: From codes to instances.
        scale: What the second result of ``encode`` is, as :class:`~pxgen_plugins.models.VAE` takes
            it; None where there are codes alone.
        words: What they are made of, for ``origin``.
        direct: Whether they are the methods ``encode`` and ``decode`` as they are, and mean and
            scale the first two results.
        proven: Whether forward drew with the scale; else a log variance is assumed.
    """

    encode: _Function
    decode: _Function
    scale: str | None
    words: str
    direct: bool = False
    proven: bool = True

    @property
    def plain(self) -> bool:
        """Whether they are methods that give mean and log variance in that order."""
        return self.direct and self.scale == "log_var"


@dataclass(frozen=True)
class _Way:
    """A function from instances to several tensors, which may be those of a code."""

    words: str
    function: _Function
    names: tuple[str, ...] = ()  # of its results, where they have any
    direct: bool = False  # whether it is the method encode, called with the instances as they are

    def result(self, place: int) -> str:
        """Return what a result is called."""
        return self.names[place] if self.names else f"result {place + 1}"


def parts_of(net: Any, names: tuple[str, ...]) -> list[str]:
    """Return which of the names are methods or sub-modules that can be called."""
    return [name for name in names if callable(getattr(net, name, None))]


def find_coder(probe: Probe) -> Coder | None:
    """Return the way to codes and back that gives what forward gives; None where none is proven.

    A mean is what decodes to forward's reconstruction while all noise is 0. A scale is what, times
    the noise and added to the mean, decodes to the reconstruction while all noise is 1. If two
    ways fit the same results, nothing is proven.

    Args:
        probe: The module, looked at; inside its context.
    """
    pairs = probe.pairs()
    codes_alone = None
    for way in _ways(probe):
        still, moved = probe.look(way.function)
        for name in parts_of(probe.net, DECODERS):
            decode = getattr(probe.net, name)
            coders = list(_fits(probe, pairs, way, still, moved, name, decode))
            if len(coders) > 1:
                return None
            if coders and (coders[0].scale is not None or not any(_moves(pairs))):
                return coders[0]
            codes_alone = codes_alone or next(iter(coders), None)
    return codes_alone


def fits_together(probe: Probe, encoder: str, decoder: str) -> bool:
    """Return whether a decoder makes instances of what an encoder gives first.

    Args:
        probe: The module, looked at; inside its context.
        encoder: Name of the part that encodes.
        decoder: Name of the part that decodes.
    """
    codes = probe.look(getattr(probe.net, encoder))[0]
    decode = _decoding(probe, getattr(probe.net, decoder), lambda x: x)
    made = _try(decode, codes[0]) if codes else None
    return made is not None and made.shape == probe.x.shape


def _moves(pairs: list[tuple[Tensor, Tensor]]) -> Iterator[bool]:
    return (not close(*pair) for pair in pairs)


def _hides(probe: Probe, code: Tensor, noisy: bool) -> bool:
    """Return whether there is more to a code than itself: its noise, or another result like it."""
    twins = (one for one in probe.still if one.shape == code.shape and not close(one, code))
    return (noisy and not probe.only_training) or any(True for _ in twins)


def _fits(
    probe: Probe,
    pairs: list[tuple[Tensor, Tensor]],
    way: _Way,
    still: list[Tensor],
    moved: list[Tensor],
    name: str,
    decode: _Function,
) -> Iterator[Coder]:
    """Yield the ways to read a way's tensors under which forward's results come out."""
    fixed = [i for i in range(len(still)) if i < len(moved) and close(still[i], moved[i])]
    # a drawn code that is the mean in evaluation mode counts once
    fixed = [i for i in fixed if not any(close(still[i], still[j]) for j in fixed if j < i)]
    for i in fixed:
        for words, activation in _ACTIVATIONS:
            draw = _decoding(probe, decode, activation)
            rebuilt = _try(draw, still[i])
            known = [pair for pair in pairs if rebuilt is not None and close(rebuilt, pair[0])]
            if not known:
                continue
            others = [j for j in fixed if j != i and still[j].shape == still[i].shape]
            others = [j for j in others if not close(still[j], still[i])]
            noisy = [pair for pair in known if not close(*pair)]
            scales = list(_scales(draw, still, i, others, noisy))
            text = f"{way.words}, decoded by {name}{words}"
            text += _remarks(probe, way, decode, still[i])
            if not others and not _hides(probe, still[i], bool(noisy)):
                training = "; noise is drawn in training alone" if probe.only_training else ""
                yield Coder(_picking(way, i), draw, None, text + training)
            for j, scale, seen in scales:
                direct = way.direct and (name, words) == ("decode", "") and (i, j) == (0, 1)
                said = f"{text}; mean is {way.result(i)}, {scale} is {way.result(j)}{seen}"
                yield Coder(_picking(way, i, j), draw, scale, said, direct, not seen)
            break  # the first activation that fits


def _remarks(probe: Probe, way: _Way, decode: _Function, code: Tensor) -> str:
    """Return what is read into distributions that a way to codes and back gives."""
    given = (("encode", way.function, probe.x), ("decode", decode, code))
    texts = [remark(role, function(value.clone())) for role, function, value in given]
    return "".join(f"; {text}" for text in texts if text)


def _scales(
    decode: Callable[[Tensor], Tensor],
    still: list[Tensor],
    i: int,
    others: list[int],
    noisy: list[tuple[Tensor, Tensor]],
) -> Iterator[tuple[int, str, str]]:
    """Yield (position, what it is, what is said of it) of every scale that fits."""
    if not noisy and len(others) == 1:
        yield others[0], "log_var", " (nothing was drawn, so that it is a log variance is assumed)"
    for j in others if noisy else ():
        for scale, std in _SCALES:
            spread = std(still[j])
            rebuilt = _try(decode, still[i] + spread)
            if rebuilt is not None and any(close(rebuilt, pair[1]) for pair in noisy):
                yield j, scale, ""
                break


def _picking(way: _Way, i: int, j: int | None = None) -> _Function:
    def encode(x: Any) -> Any:
        found = tensors_in(way.function(x))
        if j is None:
            return found[i]
        return found[i], found[j]

    return encode


def _decoding(
    probe: Probe, decode: _Function, activation: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    shape, role = tuple(probe.x.shape[1:]), "decode"

    def instances(z: Tensor) -> Tensor:
        value = of_role(role, decode(z))
        size = value[0].numel() if isinstance(value, Tensor) and value.ndim > 1 else 0
        flat = size == math.prod(shape)
        return activation(value.reshape(len(value), *shape) if flat else value)

    return instances


def _try(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor | None:
    try:
        result = function(z.clone())
    except Exception:  # codes of another shape
        return None
    return result if isinstance(result, Tensor) else None


def _ways(probe: Probe) -> Iterator[_Way]:
    """Yield the functions that may give codes, the cheapest first."""
    net = probe.net
    for name in parts_of(net, ENCODERS):
        for flat in (False, True) if probe.x.ndim > 2 else (False,):
            encode = _on_rows(getattr(net, name), flat)
            still, _ = probe.look(encode)
            if not still:
                continue
            yield _Way(name, encode, direct=name == "encode" and not flat)
            if len(still) == 1:
                if still[0].shape[1] % 2 == 0:
                    yield _Way(f"the halves of {name}", _halves(encode))
                yield from _heads(probe, name, encode, still[0])
            break
    if probe.still:
        yield _Way("forward (each code costs a whole pass)", net)


def _heads(probe: Probe, name: str, encode: _Function, hidden: Tensor) -> Iterator[_Way]:
    """Yield the sub-modules behind an encoder, all together; which two they are shows later."""
    skipped = {id(getattr(probe.net, one)) for one in parts_of(probe.net, ENCODERS + DECODERS)}
    children = [
        (child, module)
        for child, module in probe.net.named_children()
        if id(module) not in skipped and not isinstance(module, (nn.ModuleList, nn.ModuleDict))
    ][:_MOST_HEADS]
    for flat in (False, True) if hidden.ndim > 2 else (False,):
        useful: list[tuple[str, nn.Module]] = []
        for child, module in children:
            out = _try(_on_rows(module, flat), hidden)
            if (
                out is not None
                and len(out) == len(hidden)
                and any(True for _ in module.parameters())
            ):
                useful.append((child, module))
        if len(useful) > 1:
            heads = [_on_rows(module, flat) for _, module in useful]
            names = tuple(child for child, _ in useful)
            yield _Way(f"{name} and heads behind it", _several(encode, heads), names)


def _several(encode: _Function, heads: list[_Function]) -> _Function:
    def function(x: Any) -> Any:
        hidden = tensors_in(encode(x))[0]
        return [head(hidden) for head in heads]

    return function


def _halves(encode: _Function) -> _Function:
    return lambda x: tensors_in(encode(x))[0].chunk(2, 1)


def _on_rows(function: _Function, flat: bool) -> _Function:
    return (lambda x: function(x.flatten(1))) if flat else function
