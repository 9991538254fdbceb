"""Graphs of tensor operators as ``torch.export`` writes them, run node by node, no code of a file.

torch's own reader unpickles what an archive marks so, and evaluates its symbolic sizes as Python
expressions. Here a node is an operator of torch's public ``aten`` set, or arithmetic on sizes,
and its arguments are numbers, words and names of earlier results; whatever else a file asks for is
refused before anything runs. The format is that of ``torch/_export/serde/schema.py``, major
version 8.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["DTYPES", "Program", "RefusedError"]

# torch/_export/serde/schema.py, ScalarType, MemoryFormat and Layout
DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64,
    6: torch.float16, 7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
_FORMATS = {
    1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d,
    4: torch.preserve_format,
}  # fmt: skip
_STRIDED = 7
_SIZES: dict[str, Callable[..., Any]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "eq", "ne", "lt", "le",
                 "gt", "ge", "and_", "or_", "not_")
} | {
    "math.ceil": math.ceil, "math.floor": math.floor, "math.trunc": math.trunc,
    "torch.sym_float": float, "torch.sym_int": int, "torch.sym_max": max, "torch.sym_min": min,
    "torch.sym_not": operator.not_,
}  # fmt: skip
# operators without a public name that exported networks hold
_PRIVATE = {
    "_adaptive_avg_pool2d", "_assert_scalar", "_assert_tensor_metadata", "_cdist_forward",
    "_log_softmax", "_native_batch_norm_legit_no_training", "_prelu_kernel", "_softmax",
    "_to_copy", "_trilinear", "_unsafe_view", "_weight_norm",
}  # fmt: skip
# public ones that read files, or reach behind a tensor
_KEPT_OUT = {"from_file", "set", "set_", "set_data", "resize", "resize_", "resize_as_"}
_PLAIN = ("as_int", "as_ints", "as_float", "as_floats", "as_string", "as_strings", "as_bool",
          "as_bools", "as_int_lists", "as_float_lists")  # fmt: skip
_NAMES = ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float", "as_optional_tensor")
_LISTS = ("as_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats", "as_optional_tensors",
          "as_nested_tensors")  # fmt: skip


class _Here:
    """Stands for the device of the inputs, whatever device the file was written on."""


class RefusedError(Exception):
    """What a graph asks for and may not have; the text says it."""


class _Name(str):
    """The name of an earlier result."""

    __slots__ = ()


class _Step(NamedTuple):
    run: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    results: list[Any]
    done: list[str]  # names that nothing needs after this step


class Program(nn.Module):
    """An exported graph as a module: parameters, buffers, and a forward pass.

    Args:
        content: The parsed model file of an archive: graph and signature.
        tensors: Parameters, buffers and constants by their names, with whether each is a parameter.

    Attributes:
        inputs: Per input the numeric type and the sizes, None where they are free.
        n_outputs: Number of results.

    Raises:
        RefusedError: When a node is no operator that may run, draws random numbers, or the graph
            keeps state between calls.
        KeyError, TypeError, ValueError: When ``content`` is not what torch.export writes.
    """

    def __init__(
        self, content: Mapping[str, Any], tensors: Mapping[str, tuple[Tensor, bool]]
    ) -> None:
        super().__init__()
        major = content["schema_version"]["major"]
        if major != 8:
            raise RefusedError(f"schema version {major!r}, where 8 is read")
        graph, signature = content["graph_module"]["graph"], content["graph_module"]["signature"]
        self._weights: dict[str, str] = {}
        self._constants: dict[str, Any] = {}
        self._given: list[str] = []
        self.inputs: list[tuple[torch.dtype, list[int | None]]] = []
        for spec in signature["input_specs"]:
            self._take(spec, tensors, graph["tensor_values"])
        known = {*self._weights, *self._constants, *self._given}
        self._changes = False
        self._steps = [self._step(node, known) for node in graph["nodes"]]
        self._results = [_result(spec, known) for spec in signature["output_specs"]]
        self.n_outputs = len(self._results)
        _mark_last_uses(self._steps, {*self._results, *self._weights})

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the result for a batch of each input, or the results."""
        weights = [getattr(self, attribute) for attribute in self._weights.values()]
        before = [weight._version for weight in weights] if self._changes else []
        values: dict[str, Any] = dict(zip(self._weights, weights, strict=True)) | self._constants
        for name, part in zip(self._given, given, strict=True):
            values[name] = part.clone() if self._changes else part
        device = given[0].device
        for step in self._steps:
            args = [_filled(arg, values, device) for arg in step.args]
            kwargs = {name: _filled(arg, values, device) for name, arg in step.kwargs.items()}
            _bind(step.results, step.run(*args, **kwargs), values)
            for name in step.done:
                del values[name]
        if self._changes and before != [weight._version for weight in weights]:
            raise RefusedError("a graph that changes its own weights")
        found = [values[name] for name in self._results]
        return found[0] if len(found) == 1 else tuple(found)

    def _take(
        self,
        spec: Mapping[str, Any],
        tensors: Mapping[str, tuple[Tensor, bool]],
        values: Mapping[str, Any],
    ) -> None:
        kind, said = _only(spec)
        keys = {"parameter": "parameter_name", "buffer": "buffer_name",
                "tensor_constant": "tensor_constant_name"}  # fmt: skip
        if kind in keys:
            tensor, learned = tensors[said[keys[kind]]]
            attribute = f"w{len(self._weights)}"
            if learned and tensor.is_floating_point():
                self.register_parameter(attribute, nn.Parameter(tensor))
            else:
                self.register_buffer(attribute, tensor)
            self._weights[said["arg"]["name"]] = attribute
        elif kind == "constant_input":
            self._constants[said["name"]] = next(iter(said["value"].values()))
        elif kind == "user_input":
            what, argument = _only(said["arg"])
            if what != "as_tensor":
                raise RefusedError(f"an input that is no tensor ({what})")
            name = argument["name"]
            sizes = [size.get("as_int") for size in values[name]["sizes"]]
            self.inputs.append((DTYPES[values[name]["dtype"]], sizes))
            self._given.append(name)
        else:
            raise RefusedError(f"an input of kind {kind!r}")

    def _step(self, node: Mapping[str, Any], known: set[str]) -> _Step:
        target = str(node["target"])
        run = _function(target)
        args, kwargs, named = [], {}, {}
        for given in node["inputs"]:
            value = _argument(given["arg"])
            missing = [name for name in _names(value) if name not in known]
            if missing:
                raise RefusedError(f"{missing[0]!r} before it is computed")
            named[given["name"]] = value
            if given["kind"] == 2:
                kwargs[given["name"]] = value
            else:
                args.append(value)
        if isinstance(run, torch._ops.OpOverload):
            _refuse_randomness(run, named)
            self._changes |= run._schema.is_mutable
        results = [_argument(result) for result in node["outputs"]]
        known.update(_names(results))
        return _Step(run, args, kwargs, results, [])


def _only(union: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the one field that a union of the format has."""
    ((kind, value),) = union.items()
    return kind, value


def _function(target: str) -> Callable[..., Any]:
    """Return what a node runs.

    Raises:
        RefusedError: When it may not run here.
    """
    if target in _SIZES:
        return _SIZES[target]
    parts = target.split(".")
    if len(parts) == 5 and parts[:3] == ["torch", "ops", "aten"]:
        name, overload = parts[3:]
        public = name.isidentifier() and not name.startswith("_") and name not in _KEPT_OUT
        if (public or name in _PRIVATE) and overload.isidentifier():
            packet = getattr(torch.ops.aten, name, None)
            found = getattr(packet, overload, None)
            if isinstance(found, torch._ops.OpOverload):
                return found
    raise RefusedError(f"the operator {target[:80]!r}")


def _refuse_randomness(run: Any, given: Mapping[str, Any]) -> None:
    """Raise for an operator that draws random numbers, or whose rows depend on the batch."""
    arguments = {a.name: a.default_value for a in run._schema.arguments} | dict(given)
    name = run._schema.name
    if name == "aten::batch_norm" and arguments["training"] is not False:
        raise RefusedError(f"{name} in training")
    if torch.Tag.nondeterministic_seeded in run.tags:
        for switch, off in (("train", False), ("training", False), ("dropout_p", 0)):
            if switch in arguments:
                if arguments[switch] == off:
                    return
                raise RefusedError(f"{name} in training")
        raise RefusedError(f"{name}, which draws random numbers")


def _argument(union: Mapping[str, Any]) -> Any:
    """Return a value, or the name that stands for one, or a list of either.

    Raises:
        RefusedError: When it is a graph, an object or an operator.
    """
    kind, value = _only(union)
    if kind == "as_none":
        return None
    if kind in _PLAIN:
        return value
    if kind in _NAMES:
        return _named(value)
    if kind in _LISTS:
        return [[_named(v) for v in part] if isinstance(part, list) else _named(part)
                for part in value]  # fmt: skip
    if kind == "as_scalar_type":
        return DTYPES[value]
    if kind == "as_memory_format":
        return _FORMATS[value]
    if kind == "as_layout" and value == _STRIDED:
        return torch.strided
    if kind == "as_device":
        return _Here
    raise RefusedError(f"an argument of kind {kind!r}")


def _named(value: Mapping[str, Any]) -> Any:
    if "name" in value:
        return _Name(value["name"])
    kind, inner = _only(value)
    if kind == "as_name":
        return _Name(inner)
    if kind == "as_tensor":
        return _Name(inner["name"])
    return None if kind == "as_none" else inner


def _result(spec: Mapping[str, Any], known: set[str]) -> str:
    """Return the name of a result.

    Raises:
        RefusedError: When it is kept for the next call instead, or is no tensor.
    """
    kind, said = _only(spec)
    if kind != "user_output":
        raise RefusedError(f"an output of kind {kind!r}")
    what, argument = _only(said["arg"])
    if what != "as_tensor" or argument["name"] not in known:
        raise RefusedError(f"an output that is no tensor ({what})")
    return str(argument["name"])


def _names(value: Any) -> list[str]:
    if isinstance(value, _Name):
        return [value]
    if isinstance(value, list):
        return [name for part in value for name in _names(part)]
    return []


def _mark_last_uses(steps: Sequence[_Step], kept: set[str]) -> None:
    """Note at each step which values are free after it, so that memory does not grow with depth."""
    seen = set(kept)
    for step in reversed(steps):
        used = [n for part in (step.args, list(step.kwargs.values()), step.results)
                for n in _names(part)]  # fmt: skip
        step.done.extend(name for name in dict.fromkeys(used) if name not in seen)
        seen.update(used)


def _filled(value: Any, values: Mapping[str, Any], device: torch.device) -> Any:
    if isinstance(value, _Name):
        return values[value]
    if isinstance(value, list):
        return [_filled(part, values, device) for part in value]
    return device if value is _Here else value


def _bind(results: Sequence[Any], found: Any, values: dict[str, Any]) -> None:
    if len(results) < 2:  # one result stands for itself; checks have none
        found = [found] * len(results)
    for name, value in zip(results, found, strict=True):
        if isinstance(name, list):
            _bind(name, value[0] if len(name) == 1 else value, values)
        elif name is not None:
            values[name] = value
