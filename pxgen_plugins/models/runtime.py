"""How a user's network is run: in evaluation mode, alone if need be, on its device, by rows."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = [
    "Autocast",
    "EvaluationMode",
    "Modules",
    "device_and_dtype",
    "exclusive_use",
    "expect_independent_rows",
    "expect_weights",
    "modules_behind",
    "modules_of",
    "set_training_flag",
    "torch_device",
    "training_flag",
]

Modules = nn.Module | Iterable[nn.Module] | None
"""What ``modules=`` takes: the torch modules inside functions; ``()`` where there are none."""

# For each submodule in use: how many use it, and the flag that the last one restores. One table for
# all models, because two models may wrap the same network.
_IN_USE: weakref.WeakKeyDictionary[nn.Module, list[Any]] = weakref.WeakKeyDictionary()
_LOCK = threading.Condition(threading.Lock())
_OWN = threading.local()  # what the present thread itself uses, innermost last
_ONE = threading.RLock()  # held by the thread that has, or waits for, modules to itself
_FEW = 3  # rows that are called again without the rest of their batch


@dataclass
class _Claim:
    """Modules that one thread wants to itself, or has."""

    thread: int
    modules: set[nn.Module]
    granted: bool = False

    def bars(self, modules: Iterable[nn.Module], nested: bool) -> bool:
        """Return whether the present thread may not begin to use modules now.

        Who is in the middle of using others may go on as long as the claim is not granted: the
        claimant waits for them.
        """
        if self.thread == threading.get_ident() or (nested and not self.granted):
            return False
        return not self.modules.isdisjoint(modules)


_CLAIM: list[_Claim] = []  # the last one counts; all are of the thread that holds _ONE


class EvaluationMode:
    """Puts modules in evaluation mode while anyone uses them, then restores every flag.

    Waits while another thread has one of them to itself, by :func:`exclusive_use`.

    The first user of a submodule records its flag and the last restores it, so two threads, or two
    models around one network, never restore each other's temporary state.

    Args:
        modules: Root modules; their submodules are handled one by one.

    Example:
        >>> net = nn.Dropout(0.5)
        >>> with EvaluationMode([net])():
        ...     net.training
        False
        >>> net.training
        True
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.modules = tuple(modules)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Return the context in which the modules are in evaluation mode."""
        submodules = [m for root in self.modules for m in root.modules() if _has_flag(m)]
        own = _own()
        with _LOCK:
            while _CLAIM and _CLAIM[-1].bars(submodules, nested=bool(own)):
                _LOCK.wait()
            own.append(submodules)
            for module in submodules:
                _IN_USE.setdefault(module, [0, module.training])[0] += 1
                # not module.train(): that would overwrite the flags of the submodules
                module.training = False
        try:
            yield
        finally:
            with _LOCK:
                own.pop()
                for module in submodules:
                    entry = _IN_USE[module]
                    entry[0] -= 1
                    if entry[0] == 0:
                        module.training = entry[1]
                        del _IN_USE[module]
                if _CLAIM:
                    _LOCK.notify_all()


@contextmanager
def exclusive_use(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Keep other threads from running modules, for hooks or weights that only this one may meet.

    Begins when those that run them now are done; who wants to begin meanwhile waits. Models run
    their modules within :class:`EvaluationMode`, which is where they wait: a network that is called
    without its model does not. One thread at a time is inside, whatever its modules.

    Args:
        modules: Root modules; their submodules are kept, too.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> with exclusive_use([net]), EvaluationMode([net])():
        ...     net.training
        False
    """
    with _ONE:
        claim = _Claim(threading.get_ident(), {m for root in modules for m in root.modules()})
        if _CLAIM:  # this thread's own, around
            claim.modules |= _CLAIM[-1].modules
        own = Counter(module for used in _own() for module in used)
        with _LOCK:
            _CLAIM.append(claim)
        try:
            with _LOCK:
                while any(m in _IN_USE and _IN_USE[m][0] > own[m] for m in claim.modules):
                    _LOCK.wait()
                claim.granted = True
            yield
        finally:
            with _LOCK:
                _CLAIM.remove(claim)
                _LOCK.notify_all()


def _own() -> list[list[nn.Module]]:
    """Return the lists of modules that the present thread uses, innermost last."""
    if not hasattr(_OWN, "used"):
        _OWN.used = []
    used: list[list[nn.Module]] = _OWN.used
    return used


def _has_flag(module: nn.Module) -> bool:
    """Return whether a module has a training flag: frozen TorchScript is in evaluation for good."""
    return hasattr(module, "training")


def training_flag(module: nn.Module) -> bool:
    """Return a module's own training flag, also while someone evaluates it."""
    with _LOCK:
        entry = _IN_USE.get(module)
        return bool(getattr(module, "training", False) if entry is None else entry[1])


def set_training_flag(module: nn.Module, training: bool) -> None:
    """Set a module's own training flag; while someone evaluates it, for when they are done."""
    with _LOCK:
        entry = _IN_USE.get(module)
        if entry is None and _has_flag(module):
            module.training = training
        elif entry is not None:
            entry[1] = training


def modules_of(function: Any) -> list[nn.Module]:
    """Return the module that a callable is, or whose method it is; nothing for any other.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> modules_of(net.forward) == modules_of(net) == [net], modules_of(lambda x: net(x))
        (True, [])
    """
    owner = function.__self__ if inspect.ismethod(function) else function
    return [owner] if isinstance(owner, nn.Module) else []


def modules_behind(
    functions: Mapping[str, Any], modules: Any, module: Any = None
) -> list[nn.Module]:
    """Return the modules behind functions: those given, and those that functions are or belong to.

    Each once, outermost ones only, the given ones first.

    Args:
        functions: Callables by role.
        modules: One module, several, ``()`` for functions without networks, or None.
        module: The object that a family is given first; it counts where it is a module.

    Raises:
        ParameterError: When ``modules`` is None and a function is neither a module nor a method of
            one: a network inside it cannot be seen, and would be run in training mode. Or when
            ``modules`` is something else.
    """
    roots = [module] if isinstance(module, nn.Module) else []
    hint = "Pass modules=net, or modules=() for functions without networks."
    if roots:
        hint = (
            "Pass modules=() if it uses no further network, or modules=other, the network it uses."
        )
    if modules is None:
        hidden = next((role for role, f in functions.items() if not modules_of(f)), None)
        if hidden is not None:
            allowed = f"given where {hidden} is a function, as networks inside it cannot be seen"
            got = f"None with {short_repr(functions[hidden])}"
            raise ParameterError("modules", allowed, got, hint)
    several = isinstance(modules, Iterable) and not isinstance(modules, (str, nn.Module))
    roots += list(modules) if several else [] if modules is None else [modules]
    if not all(isinstance(root, nn.Module) for root in roots):
        allowed = "a torch module, several, or ()"
        raise ParameterError("modules", allowed, short_repr(modules), hint)
    roots += [owner for function in functions.values() for owner in modules_of(function)]
    inner = {id(part) for root in roots for part in list(root.modules())[1:]}
    return list({id(root): root for root in roots if id(root) not in inner}.values())


def device_and_dtype(
    modules: Iterable[nn.Module], device: torch.device | str | None
) -> tuple[torch.device, torch.dtype]:
    """Return the device asked for, or that of the first parameter, and the parameters' type.

    The type is the floating one that most numbers have: a few of another may be constants.

    Raises:
        ParameterError: When torch knows no such device.
        ModelError: When weights are on the meta device.
    """
    modules = list(modules)
    expect_weights(modules)
    parameters = [p for m in modules for p in m.parameters() if p.is_floating_point()]
    first = next(iter(parameters), None)
    sizes: dict[torch.dtype, int] = {}
    for parameter in parameters:
        sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.numel()
    dtype = max(sizes, key=lambda kind: sizes[kind], default=torch.float32)
    if device is None:
        return first.device if first is not None else torch.device("cpu"), dtype
    return torch_device(device), dtype


def expect_weights(modules: Iterable[nn.Module]) -> None:
    """Raise unless the weights of modules are there.

    Raises:
        ModelError: When some are on the meta device, which knows shapes only.
    """
    for module in modules:
        for name, weight in [*module.named_parameters(), *module.named_buffers()]:
            if weight.is_meta:
                hint = (
                    "Load the weights: net.to_empty(device='cpu'), then net.load_state_dict(...)."
                )
                got = f"{name!r} on the meta device"
                raise ModelError("the network's weights", "in memory", got, hint)


def torch_device(device: torch.device | str) -> torch.device:
    """Return a device by its name, if torch can put something there.

    Raises:
        ParameterError: When it cannot.
    """
    try:
        there = torch.device(device)
        torch.empty(0, device=there)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        hint = "Give a device as torch names it and has it, as in 'cpu' or 'cuda:0'."
        got = f"{short_repr(device)} ({str(error)[:100]})"
        raise ParameterError("device", "a torch device that is here", got, hint) from error
    return there


def expect_independent_rows(
    role: str,
    result: Tensor,
    function: Callable[..., Tensor],
    *batches: Tensor,
    hint: str = "",
) -> None:
    """Raise when rows have other results without the rest of their batch; one pass on three rows.

    Args:
        role: What the function is, for messages.
        result: What ``function(*batches)`` was, a row for each instance.
        function: Callable on batches.
        batches: The batches.
        hint: What else the user can do, behind the advice.

    Raises:
        ModelError: When they have: values would depend on the batch size.
    """
    if len(result) <= _FEW:
        return
    few = function(*(batch[:_FEW] for batch in batches))
    whole = result[:_FEW]
    size = max(1.0, float(result.abs().max()))
    if not torch.allclose(whole, few, rtol=1e-3, atol=1e-4 * size, equal_nan=True):
        gap = float((whole - few).abs().max())
        got = f"results that differ by up to {gap:.3g} with the other rows of a batch"
        advice = f"Normalise by running statistics, not by those of the batch{hint}."
        raise ModelError(role, "a function of each instance by itself", got, advice)


class Autocast:
    """A model whose methods run under autocast to bfloat16 and return float32.

    Only the model: criteria computed in bfloat16 would collapse to its 8 bits, and tie at
    thresholds.

    Args:
        model: Any model.
        device_type: As torch names it, "cpu" or "cuda".
    """

    def __init__(self, model: Any, device_type: str) -> None:
        self.wrapped = model
        self._device_type = device_type

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def for_rows(self, prompts: Sequence[str]) -> Autocast:
        """Return the model for instances with prompts of their own."""
        return Autocast(self.wrapped.for_rows(prompts), self._device_type)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior."""
        with self._autocast():
            mean, log_var = self.wrapped.encode(x)
        return mean.float(), log_var.float()

    def decode(self, z: Tensor) -> Tensor:
        """Return instances for latent codes."""
        with self._autocast():
            return torch.as_tensor(self.wrapped.decode(z)).float()

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return what the model makes of ``x``."""
        with self._autocast():
            return torch.as_tensor(self.wrapped.reconstruct(x)).float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device_type, torch.bfloat16)
