"""Users' functions, torch or numpy, called alike: tensors in, tensors out, clear errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.models.outputs import Posterior, of_role, remark
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = [
    "HALVES",
    "Call",
    "WithoutGradientError",
    "as_tensor",
    "expect_shape",
    "gradient_proof",
    "method",
]

HALVES = (torch.float16, torch.bfloat16)

_PROOF: ContextVar[bool] = ContextVar("proof", default=False)


@contextmanager
def gradient_proof() -> Iterator[None]:
    """Let functions whose gradients are asked for prove that they come back to their inputs.

    A result may have a gradient through weights alone, its input cut off. The proof is one more
    pass on one row, which hooks on the model would see: so only where this is called.
    """
    token = _PROOF.set(True)
    try:
        yield
    finally:
        _PROOF.reset(token)


class WithoutGradientError(ModelError):
    """A callable gives no gradient where one is asked for."""


def method(module: Any, function: Any, role: str) -> Callable[..., Any]:
    """Return the method of ``module`` that a name stands for, or a function as it is.

    Args:
        module: The object with the method; None when there is none.
        function: A callable, or the name of a method.
        role: Name of the parameter, for messages.

    Raises:
        ParameterError: When it is neither, or ``module`` has no such method.

    Example:
        >>> method(torch.nn.Identity(), "forward", "encode")(3)
        3
    """
    named = isinstance(function, str)
    callee = getattr(module, function, None) if named else function
    if not callable(callee):
        allowed = "callable, or the name of a method of the module"
        got = short_repr(function)
        if named:
            got += (
                " and no module" if module is None else f", which {type(module).__name__} has not"
            )
        hint = f"Pass the module first, with such a method, or {role}=f and modules=net."
        raise ParameterError(role, allowed, got, hint)
    return cast("Callable[..., Any]", callee)


class Call:
    """A user's callable that is given tensors, or ndarrays when it turns out to want those.

    Args:
        function: The callable; takes one batch, or several of the same length.
        role: Its name in messages ("encode").
        narrow: The half-precision type that the function wants; None leaves tensors as they are.
    """

    def __init__(
        self, function: Callable[..., Any], role: str, narrow: torch.dtype | None = None
    ) -> None:
        self.function = function
        self.role = role
        self.narrow = narrow
        self.numpy = False
        self.copies = False  # whether it works in place, on its input
        self.remark = ""  # what is taken of its result, where that is not plain

    def __call__(self, x: Tensor, *more: Tensor) -> Any:
        """Return what the function returns for ``x``, with ndarrays as tensors on its device.

        Raises:
            WithoutGradientError: When a gradient is asked for and the function gives none: what
                stands around it would still have one, and it would be wrong.
        """
        inputs: list[Any] = [self._narrow(part) for part in (x, *more)]
        if self.copies:
            inputs = [part.clone() for part in inputs]
        if self.numpy:
            inputs = [part.detach().cpu().numpy() for part in inputs]
        result = _to_tensors(of_role(self.role, self.function(*inputs)), x)
        if torch.is_grad_enabled() and any(part.requires_grad for part in (x, *more)):
            self._expect_gradient(result, inputs)
        return result

    def _expect_gradient(self, result: Any, inputs: list[Any]) -> None:
        tensors = [part for part in _parts(result) if isinstance(part, Tensor)]
        if not tensors:
            return
        has = any(part.requires_grad for part in tensors)
        if has and (not _PROOF.get() or self._reaches_input(inputs)):
            return
        allowed = "differentiable, as what was asked of the model takes its gradient"
        hint = (
            "Compute in torch, without no_grad, detach or numpy; or use a black-box method, such "
            "as Occlusion."
        )
        raise WithoutGradientError(self.role, allowed, "a result without gradient", hint)

    def _reaches_input(self, inputs: list[Any]) -> bool:
        """Return whether a gradient comes back to an input, and not to parameters alone."""
        rows = [part[:1].detach().clone() for part in inputs]
        leaves = [part.requires_grad_() for part in rows if part.is_floating_point()]
        results = [part for part in _parts(self.function(*rows)) if isinstance(part, Tensor)]
        sums = [part.sum() for part in results if part.requires_grad]
        slopes = torch.autograd.grad(sums, leaves, allow_unused=True) if sums else []
        return any(slope is not None for slope in slopes)

    def probe(self, x: Tensor, *more: Tensor) -> Any:
        """Call once to find out what the function takes, and whether it changes its input.

        Raises:
            ModelError: When it takes neither tensors nor ndarrays; the function's own exception is
                the cause.
        """
        before = [part.clone() for part in (x, *more)]
        returned = self._first_call(x, *more)
        self.copies = not all(map(torch.equal, before, (x, *more)))
        return returned

    def _first_call(self, x: Tensor, *more: Tensor) -> Any:
        try:
            returned = self.function(*(self._narrow(part) for part in (x, *more)))
            self.remark = remark(self.role, returned)
            returned = of_role(self.role, returned)
        except ModelError:
            raise
        except Exception as error:
            self.numpy = True
            try:
                with np.errstate(all="ignore"):
                    return self(x, *more)
            except Exception:
                self.numpy = False
            allowed = f"a callable that takes a batch of shape {tuple(x.shape)}"
            got = f"{type(error).__name__}: {str(error)[:300]}"
            hint = (
                f"Check sample_shape, latent_shape{' and condition' if more else ''}, or wrap the "
                "callable so that it fits."
            )
            raise ModelError(self.role, allowed, got, hint) from error
        if not any(isinstance(part, np.ndarray) for part in _parts(returned)):
            return _to_tensors(returned, x)
        # a numpy function may accept a tensor by accident; a torch one may return ndarrays
        self.numpy = True
        try:
            return self(x, *more)
        except Exception:
            self.numpy = False
            return _to_tensors(returned, x)

    def _narrow(self, part: Tensor) -> Tensor:
        """Return a tensor in the type that the function wants."""
        return part if self.narrow is None or not part.is_floating_point() else part.to(self.narrow)


def as_tensor(value: Any) -> Any:
    """Return an ndarray as a tensor of its own, anything else as it is."""
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


def expect_shape(value: Any, shape: tuple[int, ...], role: str, hint: str) -> Tensor:
    """Return ``value`` if it is a tensor of ``shape``.

    Raises:
        ModelError: When it is not; ``role`` says what was returned.
    """
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        raise ModelError(role, f"of shape {shape}", short_repr(value), hint)
    return value


def _parts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _to_tensors(value: Any, like: Tensor) -> Any:
    if isinstance(value, (tuple, list)):
        parts = [_to_tensors(part, like) for part in value]
        return type(value)(parts) if isinstance(value, Posterior) else tuple(parts)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.tensor(value, device=like.device, dtype=like.dtype)
    if isinstance(value, Tensor):
        dense = _dense(value)
        return dense.to(like.dtype) if dense.dtype in HALVES else dense
    return value


def _dense(value: Tensor) -> Tensor:
    """Return a sparse tensor, or a nested one of equal parts, as a plain one."""
    if not value.is_nested:
        return value if value.layout is torch.strided else value.to_dense()
    parts = value.unbind()
    if len({tuple(part.shape) for part in parts}) > 1:
        hint = "Return one tensor, with a row for each instance."
        raise ModelError("the result", "of one shape", "a nested tensor of several", hint)
    return torch.stack(list(parts))
