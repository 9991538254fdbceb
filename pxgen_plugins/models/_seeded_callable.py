"""Users' functions that draw random codes or instances for a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pxgen_plugins.models._global_rng import seeded
from pxgen_plugins.models.callables import as_tensor
from pxgen_plugins.utils.errors import ModelError, PXGenError

__all__ = ["Draw", "call"]


def call(function: Callable[..., Any], role: str, form: str, *arguments: int) -> Any:
    """Return what a user's function gives.

    Args:
        function: The callable.
        role: Its name in messages.
        form: How it is called, for messages, as in ``"prior(n, seed)"``.
        arguments: Its arguments.

    Raises:
        ModelError: When it raises; its own exception is the cause.
    """
    try:
        return function(*arguments)
    except PXGenError:
        raise
    except Exception as error:  # whatever a foreign function raises
        got = f"{type(error).__name__}: {str(error)[:300]}"
        hint = "Call it by hand with the same arguments to find the cause."
        raise ModelError(role, f"a function {form}", got, hint) from error


class Draw:
    """A user's function (n, seed), called with the global generators seeded as well.

    So one that forgets its seed and draws from a global generator is repeatable, and leaves that
    generator as it was; :meth:`check` finds one that has a generator of its own.

    Args:
        function: The callable.
        role: Its name in messages ("prior").
    """

    def __init__(self, function: Callable[[int, int], Any], role: str) -> None:
        self.function, self.role = function, role

    def __call__(self, n: int, seed: int) -> Any:
        """Return what it draws (see :meth:`ask`); an ndarray as a tensor."""
        return as_tensor(self.ask(n, seed))

    def ask(self, n: int, seed: int) -> Any:
        """Return what it draws, as it gives it.

        Raises:
            ModelError: When it raises; its own exception is the cause.
        """
        with seeded(seed):
            # 32 bits, because numpy's older generators take no more
            return call(self.function, self.role, f"{self.role}(n, seed)", n, seed % 2**32)

    def check(self) -> None:
        """Raise unless the same seed gives the same twice.

        Raises:
            ModelError: When it does not.
        """
        one, other = self(3, 1), self(3, 1)
        if isinstance(one, torch.Tensor) and not (
            one.shape == other.shape and torch.allclose(one, other, equal_nan=True)
        ):
            allowed = "repeatable: the same for the same seed"
            hint = "It has a generator of its own: make it from the seed, at each call."
            raise ModelError(self.role, allowed, "others the second time", hint)
