"""What the families made of a user's callables share: placement, evaluation mode, checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models._batch_independence import expect_alone
from pxgen_plugins.models._callables import HALVES, Call, expect_shape
from pxgen_plugins.models._device import bounds, modules_behind, placement
from pxgen_plugins.models._eval_mode import EvaluationMode
from pxgen_plugins.models.base import GenerativeModel
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.memory import out_of_memory

__all__ = ["Networks"]

_PROBES = 16
_SLACK = 1e-3  # part of the range by which float arithmetic may overshoot it


class Networks(GenerativeModel):
    """A model made of callables, torch or numpy, on batches.

    While they are called, the modules behind them are in evaluation mode; afterwards every flag is
    as before.

    Args:
        callables: The callables by role; a role is the name of the argument.
        latent_shape: Shape of one latent code.
        sample_shape: Shape of one instance.
        data_range: Lowest and highest value of an instance; None when unbounded.
        modules: The torch modules behind the callables; None finds them.
        device: Where the callables want their input; None takes that of the first parameter.

    Raises:
        ParameterError: When an argument is not allowed.
    """

    latent_shape: tuple[int, ...]
    sample_shape: tuple[int, ...]

    def __init__(
        self,
        callables: Mapping[str, Any],
        *,
        latent_shape: Any,
        sample_shape: Any,
        data_range: Any,
        modules: nn.Module | Iterable[nn.Module] | None,
        device: torch.device | str | None,
    ) -> None:
        self._where = type(self).__name__
        for role, function in callables.items():
            if not callable(function):
                hint = f"Pass a function, a module or a method, as in {role}=net.{role}."
                raise ParameterError(role, self._where, "callable", short_repr(function), hint)
        self.latent_shape = validation.shape(latent_shape, "latent_shape", self._where)
        self.sample_shape = validation.shape(sample_shape, "sample_shape", self._where)
        self.data_range = bounds(data_range, self._where)
        self._evaluating = EvaluationMode(modules_behind(modules, *callables.values()))
        self.device, dtype = placement(self.modules, device, self._where)
        # criteria computed in a half type would collapse to its few bits, and tie at thresholds
        narrow = dtype if dtype in HALVES else None
        self.dtype = torch.float32 if narrow else dtype
        self._calls = {role: Call(f, role, self._where, narrow) for role, f in callables.items()}

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The outermost modules behind the callables."""
        return self._evaluating.modules

    @property
    def layers(self) -> dict[str, nn.Module]:
        """The named layers of the modules behind the callables, for attributions."""
        roots = self.modules
        return {
            name if len(roots) == 1 else f"{position}.{name}": module
            for position, root in enumerate(roots)
            for name, module in root.named_modules()
            if name
        }

    def _raw(self, role: str, *given: Tensor) -> Any:
        with self._evaluating():
            return self._calls[role](*given)

    def _codes_from(self, role: str, x: Tensor) -> Tensor:
        hint = f"Correct latent_shape, or wrap it so that it gives codes: {role}=lambda x: ..."
        shape = (len(x), *self.latent_shape)
        return expect_shape(self._raw(role, x), shape, f"{role}'s result", self._where, hint)

    def _instances_from(self, role: str, *given: Tensor) -> Tensor:
        hint = f"Correct sample_shape, or reshape inside {role}."
        shape = (len(given[0]), *self.sample_shape)
        return expect_shape(self._raw(role, *given), shape, f"{role}'s result", self._where, hint)

    def _in_parts(self, decode: Callable[..., Tensor], *given: Tensor) -> Tensor:
        """Return ``decode(*given)``, in halves where memory runs out."""
        try:
            return decode(*given)
        except Exception as error:
            if len(given[0]) == 1 or not out_of_memory(error):
                raise
        halves = zip(*(part.chunk(2) for part in given), strict=True)
        return torch.cat([self._in_parts(decode, *half) for half in halves])

    def _put(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)

    def _noise(self, n: int = _PROBES) -> Tensor:
        low, high = self.data_range or (-1.0, 1.0)
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(n, *self.sample_shape, generator=generator, dtype=torch.float32)
        return self._put(x) * (high - low) + low

    def _codes_to_try(self, n: int = 2, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(n, *self.latent_shape, generator=generator, dtype=torch.float32)
        return self._put(z)

    def _check_codes(self, role: str, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the codes of seeded noise, if they are finite and a function of each row."""
        return self._check_rows(role, "inputs inside data_range", embed, self._noise())

    def _check_instances(self, role: str, decode: Callable[..., Tensor], *given: Tensor) -> None:
        """Raise unless ``decode`` gives finite instances in range, a function of each row."""
        self._check_range(role, self._check_rows(role, "ordinary latent codes", decode, *given))

    def _check_rows(
        self, role: str, inputs: str, function: Callable[..., Tensor], *given: Tensor
    ) -> Tensor:
        """Return ``function(*given)``, if it is finite, the same twice, and each row's own."""
        found = function(*given)
        self._check_finite(f"{role}'s result", found, inputs)
        self._check_repeatable(role, found, function(*given))
        self._check_alone(role, found, function, *given)
        return found

    def _check_range(self, role: str, decoded: Tensor) -> None:
        if self.data_range is None:
            return
        low, high = self.data_range
        slack = _SLACK * (high - low)
        if bool(((decoded < low - slack) | (decoded > high + slack)).any()):
            allowed = f"inside data_range [{low:g}, {high:g}]"
            got = f"values from {float(decoded.min()):.3g} to {float(decoded.max()):.3g}"
            hint = (
                f"Apply the output activation inside {role} (a sigmoid for logits), or correct "
                "data_range."
            )
            raise ModelError(f"{role}'s result", self._where, allowed, got, hint)

    def _check_finite(self, what: str, value: Tensor, given: str) -> None:
        if not bool(value.isfinite().all()):
            hint = "Check the weights and data_range; check=False skips this check."
            raise ModelError(what, self._where, f"finite for {given}", "NaN or infinity", hint)

    def _check_repeatable(self, role: str, one: Tensor, other: Tensor) -> None:
        if not torch.allclose(one, other, rtol=1e-4, atol=1e-5):
            allowed = "repeatable (the same input gives the same result)"
            got = f"results that differ by up to {float((one - other).abs().max()):.3g}"
            hint = "Fix its noise, or name modules with dropout in modules=."
            raise ModelError(role, self._where, allowed, got, hint)

    def _check_alone(
        self, role: str, found: Tensor, function: Callable[..., Tensor], *given: Tensor
    ) -> None:
        """Raise when rows have other results without the rest of their batch."""
        hint = "; or check=False"
        expect_alone(role, self._where, found, function, *given, hint=hint)

    def __repr__(self) -> str:
        return (
            f"{self._where}(latent_shape={self.latent_shape}, sample_shape={self.sample_shape}, "
            f"data_range={self.data_range})"
        )
