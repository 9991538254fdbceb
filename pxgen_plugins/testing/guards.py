"""State that a check compares before and after: random generators, torch modules, output."""

from __future__ import annotations

import io
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any

import numpy as np

__all__ = [
    "Output",
    "captured_output",
    "kept_random_state",
    "module_changes",
    "module_state",
    "moved_generators",
    "other_random_state",
    "random_state",
]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def random_state() -> dict[str, Any]:
    """Return the state of the global generators of ``random``, numpy and torch (if imported)."""
    torch = sys.modules.get("torch")
    state = {"random": random.getstate(), "numpy": np.random.get_state(legacy=True)}  # noqa: NPY002
    if torch is not None:
        state["torch"] = torch.random.get_rng_state()
    return state


def moved_generators(before: dict[str, Any]) -> list[str]:
    """Return the names of the global generators whose state differs from ``before``."""
    after = random_state()
    names = []
    if before["random"] != after["random"]:
        names.append("random")
    if any(not np.array_equal(a, b) for a, b in zip(before["numpy"], after["numpy"], strict=True)):
        names.append("numpy.random")
    if "torch" in before and not bool((before["torch"] == after["torch"]).all()):
        names.append("torch")
    return names


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Put the global random state back at the end."""
    state = random_state()
    try:
        yield
    finally:
        _restore(state)


@contextmanager
def other_random_state() -> Iterator[None]:
    """Have another global random state inside; whoever depends on it gives another result."""
    with kept_random_state():
        random.setstate(random.Random(77).getstate())
        np.random.set_state(np.random.RandomState(77).get_state(legacy=True))  # noqa: NPY002
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.random.set_rng_state(torch.Generator().manual_seed(77).get_state())
        yield


def _restore(state: dict[str, Any]) -> None:
    random.setstate(state["random"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    if "torch" in state:
        sys.modules["torch"].random.set_rng_state(state["torch"])


def module_state(module: Any) -> dict[str, Any]:
    """Return everything about a torch module that a use of it must not change.

    Weights and buffers, gradients, ``requires_grad``, device and dtype, the training flag of every
    submodule, and the number of hooks.
    """
    state: dict[str, Any] = {}
    for name, value in module.state_dict().items():
        state[f"{name}"] = value.detach().clone() if hasattr(value, "detach") else value
    for name, parameter in module.named_parameters():
        state[f"{name}.requires_grad"] = parameter.requires_grad
        state[f"{name}.grad"] = None if parameter.grad is None else parameter.grad.clone()
        state[f"{name}.place"] = (str(parameter.device), str(parameter.dtype))
    for name, part in module.named_modules():
        state[f"{name or 'the module'}.training"] = part.training
        state[f"{name or 'the module'}.hooks"] = [len(getattr(part, hook, ())) for hook in _HOOKS]
    return state


def module_changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs between two results of :func:`module_state`."""
    names = sorted(set(before) ^ set(after))
    for name in sorted(set(before) & set(after)):
        one, other = before[name], after[name]
        if hasattr(one, "equal") and hasattr(other, "equal"):
            same = one.shape == other.shape and bool(one.equal(other))
        else:
            same = type(one) is type(other) and one == other
        if not same:
            names.append(name)
    return names


class Output:
    """What was written to standard output and standard error, as text."""

    def __init__(self) -> None:
        self.text = ""


@contextmanager
def captured_output() -> Iterator[Output]:
    """Catch what Python code and libraries below it write to the two standard streams."""
    output = Output()
    python = io.StringIO()
    with tempfile.TemporaryFile() as sink:
        _flush()
        copies = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
        try:
            for descriptor, _ in copies:
                os.dup2(sink.fileno(), descriptor)
            with redirect_stdout(python), redirect_stderr(python):
                yield output
        finally:
            _flush()
            for descriptor, copy in copies:
                os.dup2(copy, descriptor)
                os.close(copy)
            sink.seek(0)
            output.text = python.getvalue() + sink.read().decode(errors="replace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # closed, or replaced by the host
            stream.flush()
