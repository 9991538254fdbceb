"""Which runs of a network count, where one instance takes several: by the noise that is left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pxgen_plugins.adapters._hooks import watch
from pxgen_plugins.adapters._isolation import roots
from pxgen_plugins.models.base import passes
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["Steps", "calls_of", "noise_range", "steps_of"]

_ROUNDING = 1e-9


def noise_range(when: Any) -> tuple[float, float] | None:
    """Return a range of noise levels, lowest and highest as shares of all, or None for all.

    Raises:
        ParameterError: When it is no such pair.
    """
    if when is None:
        return None
    hint = "Give shares of the noise levels, as in when=(0.0, 0.2) for the cleanest fifth."
    pair = list(when) if isinstance(when, (list, tuple)) else []
    if len(pair) != 2:
        raise ParameterError("when", "(lowest, highest) or None", short_repr(when), hint)
    low, high = (validation.real(one, "when", minimum=0.0, maximum=1.0) for one in pair)
    if low > high:
        raise ParameterError("when", "lowest first", short_repr(when), hint)
    return low, high


class Steps:
    """The runs of a network in one decoding, from the noisiest to the cleanest.

    A diffusion model runs its network once a step, evenly over the noise levels: of n runs the
    k-th, from 0, is at the level 1 - k / (n - 1). Runs are counted, by a hook before the outermost
    module, so that it does not matter how the network is told the time.

    Attributes:
        count: Runs in one decoding.
        when: Lowest and highest level that counts; None for all.
    """

    def __init__(self, root: nn.Module, count: int, when: tuple[float, float] | None) -> None:
        self.root, self.count, self.when = root, count, when
        self._run = -1

    @property
    def inside(self) -> bool:
        """Whether the present run counts."""
        if self.when is None or self.count < 2:
            return True
        level = 1.0 - self._run / (self.count - 1)
        return self.when[0] - _ROUNDING <= level <= self.when[1] + _ROUNDING

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the runs of a decoding inside, in this thread."""
        self._run, own = -1, threading.get_ident()

        def call(_module: nn.Module, _inputs: Any) -> None:
            if threading.get_ident() == own:
                self._run += 1

        handle = self.root.register_forward_pre_hook(call)
        try:
            yield
        finally:
            handle.remove()


def steps_of(
    model: Any,
    layer: nn.Module,
    decode: Callable[[], Any],
    when: tuple[float, float] | None,
) -> Steps:
    """Return the runs of the network that a layer belongs to, the outermost module that is called.

    Args:
        model: The model.
        layer: The layer.
        decode: Decodes something.
        when: Lowest and highest level that counts; None for all.

    Raises:
        ParameterError: When a range is given and the network runs once, or no run is in it; or when
            a run calls the layer several times, as an activation that several layers share: it is
            one unit there and another one here.
    """
    holders = [
        module
        for root in roots(model)
        for module in root.modules()
        if module is not layer and any(one is layer for one in module.modules())
    ]
    counts = calls_of([*holders, layer], decode)
    calls = counts.pop()
    root, levels = layer, passes(model, "decode")
    for holder, count in zip(holders, counts, strict=True):
        if count:
            root, levels = holder, count
            break
    if calls != levels:
        hint = "Name a layer before it that is called once."
        got = f"one that is called {calls} times in {levels}"
        raise ParameterError("layer", "called once in a run of the network", got, hint)
    if when is not None and levels < 2:
        hint = "Leave it out: this model makes an instance in one run."
        raise ParameterError("when", "None for this model", short_repr(when), hint)
    if when is not None:
        places = [1.0 - k / (levels - 1) for k in range(levels)]
        if not any(when[0] - _ROUNDING <= one <= when[1] + _ROUNDING for one in places):
            hint = "Take a wider range, or a model with more steps."
            got = f"{short_repr(when)}, in which none of the {levels} runs is"
            raise ParameterError("when", "a range with a run in it", got, hint)
    return Steps(root, levels, when)


def calls_of(modules: Sequence[nn.Module], decode: Callable[[], Any]) -> list[int]:
    """Return how often this thread calls each module while decoding."""
    numbered = {str(i): module for i, module in enumerate(modules)}
    counts = dict.fromkeys(numbered, 0)

    def see(name: str, _output: Any) -> None:
        counts[name] += 1

    with torch.no_grad(), watch(numbered, see):
        decode()
    return list(counts.values())
