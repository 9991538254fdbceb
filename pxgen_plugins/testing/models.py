"""The suite for models."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models.base import (
    CAPABILITIES,
    GenerativeModel,
    Model,
    capabilities,
    passes,
)
from pxgen_plugins.testing.checks import Check, Suite, expect, skip
from pxgen_plugins.testing.guards import (
    module_changes,
    module_state,
    moved_generators,
    random_state,
)
from pxgen_plugins.testing.model_case import ON_INSTANCES, SCALARS, ModelCase
from pxgen_plugins.utils.errors import CapabilityError
from pxgen_plugins.utils.progress import on_passes

__all__ = ["ModelCase", "check_model", "model_checks"]

ATTRIBUTES = ("cross_attention", "layers", "prompt")  # capabilities that are no methods
_ROWS = 6
_COUNTED = 64  # instances whose passes are counted: as many as an inversion moves at a time
_SLACK = 1e-3  # part of the range by which float arithmetic may overshoot it


SUITE: Suite[ModelCase] = Suite("model")


@SUITE.check()
def declares_itself(case: ModelCase) -> None:
    """The attributes of the protocol are there, with the types it says."""
    model = case.model
    expect(isinstance(model, Model), "an attribute of pxgen_plugins.models.Model is missing")
    for name in ("sample_shape", "latent_shape"):
        shape = getattr(model, name)
        good = shape is None or (
            isinstance(shape, tuple) and all(isinstance(s, int) and s > 0 for s in shape)
        )
        expect(good, f"{name} is {shape!r}, neither None nor a tuple of positive integers")
    bounds = model.data_range
    good = bounds is None or (len(bounds) == 2 and bounds[0] < bounds[1])
    expect(good, f"data_range is {bounds!r}, neither None nor (low, high)")
    expect(isinstance(model.device, torch.device), f"device is {model.device!r}")
    good = isinstance(model.dtype, torch.dtype) and model.dtype.is_floating_point
    expect(good, f"dtype is {model.dtype!r}, no floating type")


@SUITE.check()
def capabilities_are_methods(case: ModelCase) -> None:
    """What is declared exists; a latent space has a shape."""
    have = capabilities(case.model)
    unknown = sorted(have - set(CAPABILITIES))
    expect(not unknown, f"declares the unknown capabilities {unknown}")
    expect(have, "declares nothing")
    for name in sorted(have):
        method = getattr(case.model, name, None)
        absent = getattr(type(case.model), name, None) is getattr(GenerativeModel, name, 0)
        expect(method is not None and not absent, f"declares {name!r}, but has no such method")
        expect(name in ATTRIBUTES or callable(method), f"{name!r} is not callable")
    if have & {"encode", "embed", "decode"}:
        expect(case.model.latent_shape is not None, "encodes or decodes, but has no latent_shape")


@SUITE.check()
def costs_are_stated(case: ModelCase) -> None:
    """``costs`` are passes by capability, and a network that counts runs no more of them."""
    costs = getattr(case.model, "costs", None) or {}
    unknown = sorted(set(costs) - set(CAPABILITIES))
    expect(not unknown, f"states costs of the unknown capabilities {unknown}")
    for name, n in costs.items():
        expect(isinstance(n, int) and n >= 1, f"the cost of {name!r} is {n!r}, no positive integer")
    have = capabilities(case.model)
    for name in sorted(have & {"sample", "decode", *ON_INSTANCES}):
        ran: list[int] = []
        # an instance that the model refuses, as a text of one token, is no matter of costs
        with on_passes(ran.append), suppress(ValueError):
            if name == "sample":
                case.model.sample(_ROWS, 0)
            elif name == "decode":
                case.model.decode(case.z(_COUNTED))
            else:
                case.model_on(name, case.x(_COUNTED))
        most = (_ROWS if name == "sample" else _COUNTED) * passes(case.model, name)
        expect(sum(ran) <= most, f"{name} ran {sum(ran)} passes, and costs state {most}")


@SUITE.check()
def undeclared_methods_refuse(case: ModelCase) -> None:
    """A method behind an undeclared capability raises CapabilityError instead of guessing."""
    if not isinstance(case.model, GenerativeModel):
        skip("not derived from GenerativeModel")
    have = capabilities(case.model)
    one = torch.zeros(1, 1)
    arguments: dict[str, tuple[Any, ...]] = {"sample": (1, 0), "noise_loss": (one, 0.5, 0)}
    for name in ("sample", "decode", "continuation", *ON_INSTANCES):
        if name in have:
            continue
        try:
            getattr(case.model, name)(*arguments.get(name, (one,)))
        except CapabilityError as error:
            expect(name in str(error), f"the error does not name {name!r}: {error}")
        else:
            raise AssertionError(f"{name} works, but is not declared")


@SUITE.check()
def samples_depend_on_the_seed_only(case: ModelCase) -> None:
    """``sample(n, seed)`` repeats for a seed, differs between seeds."""
    case.needs("sample")
    one, again, other = (torch.as_tensor(case.model.sample(4, seed)) for seed in (1, 1, 2))
    expect(torch.equal(one, again), "the same seed gave other samples")
    expect(not torch.equal(one, other), "seeds 1 and 2 gave the same samples")


@SUITE.check()
def samples_are_instances(case: ModelCase) -> None:
    """Samples have the declared shape and range, and are finite."""
    case.needs("sample")
    for n in (1, _ROWS):
        samples = torch.as_tensor(case.model.sample(n, 0))
        expect(len(samples) == n, f"sample({n}) gave {len(samples)} instances")
        _expect_instances(case, samples, n, "samples")


@SUITE.check()
def encode_gives_mean_and_log_variance(case: ModelCase) -> None:
    """``encode`` gives two finite tensors of shape (n, *latent_shape), the same each time."""
    case.needs("encode")
    x = case.x()
    returned = case.model.encode(x)
    expect(len(returned) == 2, f"encode gave {len(returned)} results, not mean and log_var")
    shape = (len(x), *(case.model.latent_shape or ()))
    for name, value, again in zip(("mean", "log_var"), returned, case.model.encode(x), strict=True):
        expect(tuple(value.shape) == shape, f"{name} has shape {tuple(value.shape)}, not {shape}")
        expect(bool(value.isfinite().all()), f"{name} is not finite")
        expect(torch.equal(value, again), f"{name} differs between two calls")


@SUITE.check()
def embed_gives_codes(case: ModelCase) -> None:
    """``embed`` gives a finite code of latent_shape per instance, the posterior mean if any."""
    case.needs("embed")
    x = case.x()
    code = case.model.embed(x)
    shape = (len(x), *(case.model.latent_shape or ()))
    expect(tuple(code.shape) == shape, f"codes have shape {tuple(code.shape)}, not {shape}")
    expect(bool(code.isfinite().all()), "codes are not finite")
    expect(torch.equal(code, case.model.embed(x)), "embed differs between two calls")
    if "encode" in capabilities(case.model):
        expect(torch.equal(code, case.model.encode(x)[0]), "embed is not the posterior mean")
    if getattr(case.model, "autoencodes", False):
        same = torch.allclose(case.model.reconstruct(x), case.model.decode(code), atol=1e-5)
        expect(same, "autoencodes, but reconstruct(x) is not decode(embed(x))")


@SUITE.check()
def codes_are_indices(case: ModelCase) -> None:
    """``codes`` gives one row of non-negative integers per instance."""
    case.needs("codes")
    codes = case.model.codes(case.x())
    expect(codes.ndim == 2 and len(codes) == _ROWS, f"codes have shape {tuple(codes.shape)}")
    good = not codes.is_floating_point() and bool((codes >= 0).all())
    expect(good, f"codes are {codes.dtype}, or negative")


@SUITE.check()
def continuations_are_pairs_of_token_ids(case: ModelCase) -> None:
    """``continuation`` gives two rows of integers per instance."""
    case.needs("continuation")
    pairs = case.model.continuation(case.x(2))
    expect(len(pairs) == 2, f"2 instances gave {len(pairs)} continuations")
    for pair in pairs:
        good = len(pair) == 2 and all(p.ndim == 1 and not p.is_floating_point() for p in pair)
        expect(good, "a continuation is no pair of one-dimensional integer tensors")


@SUITE.check()
def decode_gives_instances(case: ModelCase) -> None:
    """``decode`` gives instances of the declared shape and range, the same each time."""
    case.needs("decode")
    z = case.z()
    instances = case.model.decode(z)
    _expect_instances(case, instances, len(z), "decoded codes")
    expect(torch.equal(instances, case.model.decode(z)), "decode differs between two calls")


@SUITE.check()
def reconstruct_gives_instances(case: ModelCase) -> None:
    """``reconstruct`` gives one instance for each it is given."""
    case.needs("reconstruct")
    x = case.x()
    copies = case.model.reconstruct(x)
    _expect_instances(case, copies, len(x), "reconstructions")
    expect(copies.shape == x.shape, f"reconstructions have shape {tuple(copies.shape)}")


@SUITE.check()
def scalars_are_one_per_instance(case: ModelCase) -> None:
    """``log_prob``, ``score`` and their like give one finite number per instance."""
    have = capabilities(case.model) & {*SCALARS, "values"}
    if not have:
        skip("the model declares none of " + ", ".join((*SCALARS, "values")))
    x = case.x()
    for name in sorted(have):
        value = torch.as_tensor(case.model_on(name, x))
        good = value.ndim == 2 if name == "values" else tuple(value.shape) == (len(x),)
        expect(good and len(value) == len(x), f"{name} gave shape {tuple(value.shape)}")
        expect(bool(value.isfinite().all()), f"{name} is not finite")


@SUITE.check()
def rows_are_independent(case: ModelCase) -> None:
    """Each instance gives the same result alone as in a batch."""
    have = capabilities(case.model)
    methods = 0
    for name in ("decode", *ON_INSTANCES):
        if name not in have:
            continue
        methods += 1
        batch = case.z() if name == "decode" else case.x()
        whole = _tensors(case.model_on(name, batch))
        alone = _tensors(case.model_on(name, batch[2:3]))
        for one, other in zip(whole, alone, strict=True):
            same = torch.allclose(one[2:3], other, rtol=1e-4, atol=1e-5)
            expect(same, f"{name} of an instance depends on the others in its batch")
    if not methods:
        skip("nothing takes a batch")


@SUITE.check()
def input_is_not_modified(case: ModelCase) -> None:
    """No method changes the batch it is given."""
    for name in sorted(capabilities(case.model) - {"sample", *ATTRIBUTES}):
        batch = case.z() if name == "decode" else case.x()
        before = batch.clone()
        case.model_on(name, batch)
        expect(torch.equal(batch, before), f"{name} changed its input")


@SUITE.check()
def modules_are_left_as_they_were(case: ModelCase) -> None:
    """Flags, gradients, weights and hooks of the modules are the same after use."""
    if not case.modules:
        skip("no torch modules given")
    flags = [(part, part.training) for module in case.modules for part in module.modules()]
    try:
        for index, (part, _) in enumerate(flags):
            part.training = index % 2 == 0
        before = [module_state(module) for module in case.modules]
        case.use()
        after = [module_state(module) for module in case.modules]
    finally:
        for part, flag in flags:
            part.training = flag
    changes = [
        name
        for one, other in zip(before, after, strict=True)
        for name in module_changes(one, other)
    ]
    expect(not changes, f"changed: {', '.join(changes[:5])}")


@SUITE.check()
def training_mode_does_not_matter(case: ModelCase) -> None:
    """Results are those of evaluation mode, whatever mode the modules are in."""
    if not case.modules:
        skip("no torch modules given")
    flags = [(part, part.training) for module in case.modules for part in module.modules()]
    results: list[list[Tensor]] = []
    try:
        for mode in (True, False):
            for part, _ in flags:
                part.training = mode
            results.append(_results(case))
    finally:
        for part, flag in flags:
            part.training = flag
    same = all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    expect(same, "a module in training mode gives other results")


@SUITE.check()
def global_random_state_is_left_alone(case: ModelCase) -> None:
    """Use leaves the generators of random, numpy and torch alone."""
    before = random_state()
    case.use()
    generators = moved_generators(before)
    expect(not generators, f"it moved the global state of {', '.join(generators)}")


def model_checks() -> list[Check[ModelCase]]:
    """Return the named checks of models.

    Example:
        >>> "samples_are_instances" in {check.name for check in model_checks()}
        True
    """
    return SUITE.checks()


def check_model(
    model: Any,
    modules: tuple[nn.Module, ...] | nn.Module = (),
    *,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Check that a model does what it declares.

    Args:
        model: A model of :mod:`pxgen_plugins.models`, or anything with that protocol.
        modules: The torch modules behind it, whose state must stay as it is.
        expected_failures: Reasons, by the names of checks that fail today.

    Raises:
        AssertionError: Naming every check that failed, with its message.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> check_model(LinearModel())
    """
    parts = (modules,) if isinstance(modules, nn.Module) else tuple(modules)
    case = ModelCase(type(model).__name__, model, parts)
    SUITE.run(case, case.name, expected_failures)


def _expect_instances(case: ModelCase, value: Any, n: int, what: str) -> None:
    expect(isinstance(value, Tensor), f"{what} are {type(value).__name__}, no tensor")
    shape = case.model.sample_shape
    shape = None if shape is None else (n, *shape)
    good = shape is None or tuple(value.shape) == shape
    expect(good, f"{what} have shape {tuple(value.shape)}, not {shape}")
    expect(bool(value.isfinite().all()), f"{what} are not finite")
    if case.model.data_range is not None:
        low, high = case.model.data_range
        slack = _SLACK * (high - low)
        inside = bool(((value >= low - slack) & (value <= high + slack)).all())
        expect(inside, f"{what} leave data_range [{low:g}, {high:g}]")


def _tensors(value: Any) -> list[Tensor]:
    parts = value if isinstance(value, tuple | list) else (value,)
    return [torch.as_tensor(part) for part in parts]


def _results(case: ModelCase) -> list[Tensor]:
    have = capabilities(case.model)
    results: list[Tensor] = []
    if "sample" in have:
        results += _tensors(case.model.sample(3, 0))
    for name in ("decode", *ON_INSTANCES):
        if name in have:
            batch = case.z() if name == "decode" else case.x()
            results += _tensors(case.model_on(name, batch))
    return results
