"""Leaving no trace: whatever a library does, modules and global generators are as before."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from pxgen_plugins.models.runtime import set_training_flag, training_flag

__all__ = ["alone", "kept_generators", "numpy_seed", "quiet", "roots", "traceless"]

_LOCK = threading.RLock()  # held while anything draws from global generators or hooks modules
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


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
    with _LOCK:
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
        try:
            with kept_generators():
                yield
        finally:
            for module, training in flags:
                set_training_flag(module, training)
            for parameter, requires_grad, grad in grads:
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad
            for module, tables in hooks:
                for name, before in tables.items():
                    table = getattr(module, name)
                    for key in [key for key in table if key not in before]:
                        del table[key]


@contextmanager
def alone() -> Iterator[None]:
    """Keep other threads out of :func:`traceless`; nothing is restored.

    For what is in force while adapters are used, such as other weights: who holds the modules
    (``exclusive_use``) and then waits for a thread that explains would wait for ever.

    Example:
        >>> with alone(), traceless(None):
        ...     pass
    """
    with _LOCK:
        yield


@contextmanager
def kept_generators() -> Iterator[None]:
    """Restore the global generators of Python, numpy and torch, and nothing else.

    One thread at a time is inside, as with :func:`traceless`, of which this is the part for a model
    that is only run.

    Example:
        >>> before = torch.get_rng_state()
        >>> with kept_generators():
        ...     _ = torch.rand(3)
        >>> bool((torch.get_rng_state() == before).all())
        True
    """
    with _LOCK:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            torch.set_rng_state(states[2])


def roots(model: Any) -> list[nn.Module]:
    """Return the modules behind a model, outermost ones only."""
    outermost = getattr(model, "modules", None)
    if isinstance(outermost, tuple):
        return list(outermost)
    layers: Mapping[str, nn.Module] = getattr(model, "layers", None) or {}
    inner = {id(sub) for module in layers.values() for sub in list(module.modules())[1:]}
    return [module for module in layers.values() if id(module) not in inner]


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Switch the logger ``name`` off; to be used inside :func:`traceless`.

    Example:
        >>> with quiet("some.library"):
        ...     logging.getLogger("some.library").warning("not shown")
    """
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def numpy_seed(seed: int) -> Iterator[None]:
    """Have numpy's global generator start from ``seed`` inside, and go on as before afterwards.

    For libraries that draw from it; to be used inside :func:`traceless`.

    Example:
        >>> with numpy_seed(0):
        ...     one = np.random.rand()
        >>> with numpy_seed(0):
        ...     bool(np.random.rand() == one)
        True
    """
    before = np.random.get_state()  # noqa: NPY002
    np.random.set_state(np.random.RandomState(seed % 2**32).get_state())  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
