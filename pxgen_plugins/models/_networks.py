"""What the families around networks share: placement, evaluation mode, shapes, self-checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models.base import GenerativeModel
from pxgen_plugins.models.callables import HALVES, Call, as_tensor, expect_shape, method
from pxgen_plugins.models.outputs import one_array
from pxgen_plugins.models.runtime import (
    EvaluationMode,
    Modules,
    device_and_dtype,
    expect_independent_rows,
    modules_behind,
)
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.memory import out_of_memory
from pxgen_plugins.utils.progress import count_passes

__all__ = ["Networks", "row_shape"]

_PROBES = 16
_SLACK = 1e-3  # part of the range by which float arithmetic may overshoot it


class Networks(GenerativeModel):
    """A model made of a module's methods, or of functions, torch or numpy, on batches.

    While they are called, the modules behind them are in evaluation mode; afterwards every flag is
    as before.

    Args:
        module: The module first given; None where functions alone are given.
        functions: Functions, or names of the module's methods, by role; a role is the name of the
            argument.
        encoder: The role that may be asked for the shape of a code.
        decoder: The role that may be asked for the shape of an instance.
        latent_shape: Shape of one latent code; None asks the encoder.
        sample_shape: Shape of one instance; None asks the decoder.
        data_range: Lowest and highest value of an instance; None when unbounded.
        modules: Further torch modules behind the functions.
        device: Where the functions want their input; None takes that of the first parameter.

    Raises:
        ParameterError: When an argument is not allowed, or functions are given without
            ``modules``.
        ModelError: When a shape is not given and cannot be found by a call.
    """

    latent_shape: tuple[int, ...]
    sample_shape: tuple[int, ...]
    own_sample: Callable[[int, int], Any] | None = None  # where the network draws otherwise

    def __init__(
        self,
        module: Any,
        functions: Mapping[str, Any],
        *,
        encoder: str = "encode",
        decoder: str = "decode",
        latent_shape: Any,
        sample_shape: Any,
        data_range: Any,
        modules: Modules,
        device: torch.device | str | None,
    ) -> None:
        callables = {role: method(module, f, role) for role, f in functions.items()}
        for name, shape in (("latent_shape", latent_shape), ("sample_shape", sample_shape)):
            if shape is not None:
                setattr(self, name, validation.shape(shape, name))
        self.data_range = validation.data_range(data_range)
        self._evaluating = EvaluationMode(modules_behind(callables, modules, module))
        self.device, dtype = device_and_dtype(self.modules, device)
        # criteria computed in a half type would collapse to its few bits, and tie at thresholds
        narrow = dtype if dtype in HALVES else None
        self.dtype = torch.float32 if narrow else dtype
        self._calls = {role: Call(f, role, narrow) for role, f in callables.items()}
        self._find_shapes(latent_shape is None, sample_shape is None, encoder, decoder)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The outermost modules behind the model."""
        return self._evaluating.modules

    @property
    def layers(self) -> dict[str, nn.Module]:
        """The named layers of the modules behind the model, for attributions."""
        roots = self.modules
        return {
            name if len(roots) == 1 else f"{position}.{name}": module
            for position, root in enumerate(roots)
            for name, module in root.named_modules()
            if name
        }

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was taken of results that did not say it themselves, a sentence part each."""
        return tuple(call.remark for call in self._calls.values() if call.remark)

    def _arguments(self, role: str, batch: Tensor) -> tuple[Tensor, ...]:
        """Return what a function is given for a batch: the batch, and its class if it takes one."""
        return (batch,)

    def _remedy(
        self, role: str, inputs: tuple[Tensor, ...], error: BaseException | None
    ) -> str | None:
        """Return what to do about a function that refused a batch, if anything is known."""
        return None

    def _find_shapes(self, latent: bool, sample: bool, encoder: str, decoder: str) -> None:
        """Find a shape that was not given, by one call at the shape that was."""
        if latent and sample:
            hint = "Pass sample_shape=(1, 28, 28), say, without the batch axis."
            raise ParameterError("sample_shape", "given, or latent_shape", "None for both", hint)
        if latent:
            low, high = self.data_range or (-1.0, 1.0)
            middle = torch.full((2, *self.sample_shape), 0.5 * (low + high))
            self.latent_shape = self._row_shape("latent_shape", encoder, middle)
        elif sample:
            origin = torch.zeros(2, *self.latent_shape)
            self.sample_shape = self._row_shape("sample_shape", decoder, origin)

    def _row_shape(self, name: str, role: str, batch: Tensor) -> tuple[int, ...]:
        if role not in self._calls:
            hint = f"Pass {name}=..., without the batch axis."
            raise ParameterError(name, f"given, where no {role} can be asked", "None", hint)
        return row_shape(self._ask(role, self._put(batch)), role)

    def _ask(self, role: str, batch: Tensor) -> Any:
        """Return what a function gives for a batch at its first call."""
        inputs = self._arguments(role, batch)
        with torch.no_grad(), self._evaluating():
            try:
                return self._calls[role].probe(*inputs)
            except ModelError as error:
                hint = self._remedy(role, inputs, error.__cause__)
                if hint is None:
                    raise
                told = ModelError(error.parameter, error.allowed, error.got, hint)
                raise told from error.__cause__

    def _raw(self, role: str, *batches: Tensor) -> Any:
        with caller(type(self).__name__), self._evaluating():
            result = self._calls[role](*batches)
        count_passes(len(batches[0]))
        return result

    def _codes_from(self, role: str, x: Tensor) -> Tensor:
        hint = f"Correct latent_shape, or wrap it so that it gives codes: {role}=lambda x: ..."
        return self._rows_from(role, self.latent_shape, hint, x)

    def _instances_from(self, role: str, *batches: Tensor) -> Tensor:
        shape = ", ".join(map(str, self.sample_shape))
        flat = f"{role}=lambda z: net.{role}(z).view(-1, {shape})"
        hint = f"Correct sample_shape, or reshape inside {role}: {flat}, say."
        return self._rows_from(role, self.sample_shape, hint, *batches)

    def _rows_from(self, role: str, shape: tuple[int, ...], hint: str, *batches: Tensor) -> Tensor:
        """Return what a function gives, if it is a row of ``shape`` for each row of the batch."""
        with caller(type(self).__name__):
            result = self._raw(role, *batches)
            return expect_shape(result, (len(batches[0]), *shape), f"{role}'s result", hint)

    def _own(self, n: int, seed: int) -> Tensor:
        """Return ``n`` instances that the network's own sampler draws."""
        assert self.own_sample is not None
        with torch.no_grad(), self._evaluating():
            drawn = one_array("sample", self.own_sample(n, seed), ("sample", "samples", "x"))
        count_passes(n)
        hint = "Give prior=f with f(n, seed) -> codes instead."
        return expect_shape(
            as_tensor(drawn), (n, *self.sample_shape), "its own sample's result", hint
        ).to(self.device, self.dtype)

    def _in_parts(self, decode: Callable[..., Tensor], *batches: Tensor) -> Tensor:
        """Return ``decode(*batches)``, in halves where memory runs out."""
        try:
            return decode(*batches)
        except Exception as error:
            if len(batches[0]) == 1 or not out_of_memory(error):
                raise
        halves = zip(*(part.chunk(2) for part in batches), strict=True)
        return torch.cat([self._in_parts(decode, *half) for half in halves])

    def _put(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)

    def _noise(self, n: int = _PROBES) -> Tensor:
        low, high = self.data_range or (-1.0, 1.0)
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(n, *self.sample_shape, generator=generator, dtype=torch.float32)
        return self._put(x) * (high - low) + low

    def _random_codes(self, n: int = 2, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(n, *self.latent_shape, generator=generator, dtype=torch.float32)
        return self._put(z)

    def _check_codes(self, role: str, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the codes of seeded noise, if they are finite and a function of each row."""
        return self._check_rows(role, "inputs inside data_range", embed, self._noise())

    def _check_instances(self, role: str, decode: Callable[..., Tensor], *codes: Tensor) -> None:
        """Raise unless ``decode`` gives finite instances in range, a function of each row."""
        self._check_range(role, self._check_rows(role, "ordinary latent codes", decode, *codes))

    def _check_rows(
        self, role: str, inputs: str, function: Callable[..., Tensor], *batches: Tensor
    ) -> Tensor:
        """Return ``function(*batches)``, if it is finite, the same twice, and each row's own."""
        result = function(*batches)
        self._check_finite(f"{role}'s result", result, inputs)
        self._check_repeatable(role, result, function(*batches))
        self._check_independence(role, result, function, *batches)
        return result

    def _check_range(self, role: str, instances: Tensor) -> None:
        if self.data_range is None:
            return
        low, high = self.data_range
        slack = _SLACK * (high - low)
        if bool(((instances < low - slack) | (instances > high + slack)).any()):
            allowed = f"inside data_range [{low:g}, {high:g}]"
            got = f"values from {float(instances.min()):.3g} to {float(instances.max()):.3g}"
            if low == 0.0 and float(instances.min()) >= -1.0 and float(instances.max()) <= 1.0:
                hint = (
                    "Pass data_range=(-1, 1), if it ends in a tanh and was trained on that range."
                )
            else:
                hint = (
                    f"Apply the output activation inside {role} (a sigmoid for logits), or pass "
                    "the data_range of the training data, if it was another."
                )
            raise ModelError(f"{role}'s result", allowed, got, hint)

    def _check_finite(self, what: str, value: Tensor, inputs: str) -> None:
        if not bool(value.isfinite().all()):
            hint = "Check the weights and data_range; check=False skips this check."
            raise ModelError(what, f"finite for {inputs}", "NaN or infinity", hint)

    def _check_repeatable(self, role: str, one: Tensor, other: Tensor) -> None:
        if not torch.allclose(one, other, rtol=1e-4, atol=1e-5):
            allowed = "repeatable (the same input gives the same result)"
            got = f"results that differ by up to {float((one - other).abs().max()):.3g}"
            hint = "Fix its noise, or name modules with dropout in modules=."
            raise ModelError(role, allowed, got, hint)

    def _check_independence(
        self, role: str, result: Tensor, function: Callable[..., Tensor], *batches: Tensor
    ) -> None:
        """Raise when rows have other results without the rest of their batch."""
        expect_independent_rows(role, result, function, *batches, hint="; or check=False")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(latent_shape={self.latent_shape}, "
            f"sample_shape={self.sample_shape}, data_range={self.data_range})"
        )


def row_shape(returned: Any, role: str) -> tuple[int, ...]:
    """Return the shape of one row of what a function gave, of several results the first.

    Raises:
        ModelError: When it is no tensor with a batch axis and another.
    """
    first = returned[0] if isinstance(returned, (tuple, list)) and returned else returned
    if not isinstance(first, Tensor) or first.ndim < 2:
        hint = (
            f"Wrap it: {role}=lambda x: (q.mean, 2 * q.stddev.log()) with q = net.{role}(x), say, "
            "where it returns a normal distribution."
        )
        allowed = "a callable that returns (mean, log_var), or codes"
        if role not in ("encode", "encoder", "embed"):
            allowed, hint = (
                "a callable that returns instances",
                "Return a tensor with a batch axis.",
            )
        raise ModelError(role, allowed, short_repr(returned), hint)
    return tuple(int(size) for size in first.shape[1:])
