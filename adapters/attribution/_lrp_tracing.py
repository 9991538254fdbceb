"""Where the LRP rules come in: every torch function a network calls, while it is being traced.

No module is patched or hooked: a ``TorchFunctionMode`` sees the calls of the thread that entered
it, those of modules and of functional code alike, so nothing has to be restored afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pxgen_plugins.adapters.attribution._lrp_rules import Layer, Rule, affine, barrier, through
from pxgen_plugins.utils.errors import ModelError

__all__ = ["Tracer"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# by the names torch gives its functions: F.relu, torch.relu and Tensor.relu are all "relu"
LAYERS = {"linear"} | {f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)}
PRODUCTS = {"matmul", "mm", "bmm", "__matmul__", "__rmatmul__"}
ACTIVATIONS = _words(
    "relu relu6 leaky_relu prelu rrelu elu selu celu silu mish gelu tanh sigmoid softplus softsign "
    "hardtanh hardswish hardsigmoid logsigmoid tanhshrink softshrink hardshrink clamp clip "
    "clamp_min clamp_max"
)
SCALINGS = _words("mul multiply div divide true_divide __mul__ __rmul__ __truediv__")
# linear in what they are given: the ordinary derivative shares relevance as it should
PLAIN = _words(
    "add sub subtract neg negative rsub __add__ __radd__ __sub__ __rsub__ __neg__ sum mean "
    "cumsum view view_as reshape flatten unflatten ravel squeeze unsqueeze permute transpose t "
    "swapaxes swapdims movedim moveaxis contiguous clone detach to float double half type type_as "
    "cpu cuda chunk split split_with_sizes tensor_split unbind cat concat concatenate stack hstack "
    "vstack expand expand_as repeat repeat_interleave tile roll flip narrow select index_select "
    "gather take __getitem__ pad interpolate upsample pixel_shuffle pixel_unshuffle "
    "channel_shuffle unfold fold avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d max_pool1d max_pool2d max_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d amax max where masked_fill masked_select dropout "
    "dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout __get__ __iter__ "
    "register_hook requires_grad_ as_tensor"
)
_IN_PLACE = {"__iadd__": "add", "__isub__": "sub", "__imul__": "mul", "__itruediv__": "div"}
_HINT = (
    "LRP knows Linear, convolutions and transposed ones, BatchNorm, pooling, reshapes, additions "
    "and elementwise activations. Use TorchIntegratedGradients or Occlusion for this model."
)


class Tracer(TorchFunctionMode):
    """Applies a rule to whatever is computed from traced tensors inside the ``with`` block.

    Args:
        rule: The rule of the affine layers.
        names: Names of the model's modules, to name an unsupported one.
    """

    def __init__(self, rule: Rule, names: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.rule = rule
        self.names = {id(module): name for name, module in names.items()}

    @staticmethod
    def trace(tensor: Tensor) -> Tensor:
        """Mark a tensor, so that what is computed from it is traced; return it."""
        tensor._pxgen_traced = True  # type: ignore[attr-defined]
        return tensor

    @staticmethod
    def is_traced(value: Any) -> bool:
        """Return whether ``value`` is a traced tensor."""
        return isinstance(value, Tensor) and getattr(value, "_pxgen_traced", False)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, kwargs)))
        if not any(map(self.is_traced, given)):
            return func(*args, **kwargs)
        target = _written(func, args, kwargs)
        if target is not None:
            # worked out on a copy, by the rules, then written where the caller looks for it
            copy = self.trace(target.clone()) if self.is_traced(target) else target.clone()
            args = (copy, *args[1:])
            kwargs = {k: v for k, v in kwargs.items() if k != "input"}
            given = list(_tensors((args, kwargs)))
        returned = self._apply(func, args, kwargs, given)
        if target is not None:
            returned = target.copy_(returned)
        for tensor in _tensors(returned):
            if tensor.requires_grad:
                self.trace(tensor)
        return returned

    def _apply(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor]
    ) -> Any:
        name = _plain_name(func)
        count = sum(map(self.is_traced, given))
        if name in LAYERS and count == 1 and self.is_traced(_first(args, kwargs)):
            return affine(*_layer(func, args, kwargs), self.rule)
        if name in PRODUCTS and count == 1 and len(args) == 2:
            return affine(*_product(func, args, self.is_traced(args[0])), self.rule)
        if name == "batch_norm" and count == 1 and not _training(args, kwargs):
            x, rest, named = _split(args, kwargs)
            return affine(x, Layer(lambda a, w, b: func(a, *rest, **named)), self.rule)
        if name in ACTIVATIONS and count == 1 and self.is_traced(_first(args, kwargs)):
            x, rest, named = _split(args, kwargs)
            return through(x, lambda a: func(a, *rest, **named))
        if name in PLAIN or (name in SCALINGS and count == 1 and _numerator(name, args, self)):
            return func(*args, **kwargs)
        if name == "__setitem__":
            raise self._error(name)
        return self._guard(func(*args, **kwargs), self._error(name))

    def _guard(self, returned: Any, error: ModelError) -> Any:
        if isinstance(returned, Tensor):
            floating = returned.requires_grad and returned.is_floating_point()
            return barrier(returned, error) if floating else returned
        if isinstance(returned, (tuple, list)):
            parts = [self._guard(part, error) for part in returned]
            return tuple(parts) if isinstance(returned, tuple) else parts
        return returned

    def _error(self, function: str) -> ModelError:
        """Return the error for a function without a rule, naming the module that called it."""
        frame = sys._getframe(1)
        module, name = None, None
        while frame is not None and name is None:
            module = frame.f_locals.get("self")
            name = self.names.get(id(module))
            frame = frame.f_back  # type: ignore[assignment]
        layer = function if name is None else f"{name!r} ({type(module).__name__}), {function}"
        return ModelError("layer", "one that has a rule", layer, _HINT)


def _plain_name(func: Any) -> str:
    """Return a function's name without the marks of one that works in place.

    Example:
        >>> _plain_name(Tensor.add_), _plain_name(Tensor.__iadd__), _plain_name(Tensor.__add__)
        ('add', 'add', '__add__')
    """
    name = str(getattr(func, "__name__", func))
    if name in _IN_PLACE:
        return _IN_PLACE[name]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the tensor that a call overwrites with its result; None for an ordinary call."""
    name = str(getattr(func, "__name__", func))
    if _plain_name(func) == name or name == "requires_grad_":
        if not hasattr(func, "__code__"):
            return None  # only functions written in Python take inplace=
        given = dict(zip(func.__code__.co_varnames, args, strict=False)) | kwargs
        if not given.get("inplace"):
            return None
    first = _first(args, kwargs)
    return first if isinstance(first, Tensor) else None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _split(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Return a call's input, its other positional arguments, and its other named ones."""
    if args:
        return args[0], args[1:], kwargs
    return kwargs["input"], (), {k: v for k, v in kwargs.items() if k != "input"}


def _first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("input")


def _layer(
    func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, Layer]:
    named = dict(zip(("input", "weight", "bias"), args, strict=False))
    named.update({k: kwargs[k] for k in ("input", "weight", "bias") if k in kwargs})
    further = {k: v for k, v in kwargs.items() if k not in named}
    bias = named.get("bias")

    def call(a: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return func(a, weight, bias, *args[3:], **further)

    return named["input"], Layer(call, named["weight"].detach(), _constant(bias))


def _product(
    func: Callable[..., Tensor], args: tuple[Any, ...], left: bool
) -> tuple[Tensor, Layer]:
    x, weight = args if left else args[::-1]

    def call(a: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        product = func(a, weight) if left else func(weight, a)
        return product if bias is None else product + bias

    return x, Layer(call, weight.detach())


def _constant(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()


def _training(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    named = dict(zip(("x", "mean", "var", "weight", "bias", "training"), args, strict=False))
    return bool(kwargs.get("training", named.get("training", False)))


def _numerator(name: str, args: tuple[Any, ...], tracer: Tracer) -> bool:
    return "div" not in name or tracer.is_traced(args[0])
