"""A model of which nothing is known but samples: a function that draws them, or a set of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.anchors import Anchors, open_anchors
from pxgen_plugins.anchors.conversion import convert, warn_of_scale
from pxgen_plugins.anchors.scale import Span
from pxgen_plugins.models._global_rng import seeded
from pxgen_plugins.models._seeded_callable import call
from pxgen_plugins.models.base import GenerativeModel, register
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ModelError, caller, short_repr
from pxgen_plugins.utils.seeds import derive

__all__ = ["SampleBank"]

_WHERE = "SampleBank"
_PROBES = 2


@register("sample_bank")
class SampleBank(GenerativeModel):
    """Samples and nothing else: no latent space, no reconstruction, no density.

    Criteria that work with it compare an anchor with samples: ``nearest_sample`` (extrinsic),
    ``sample_rank``, ``density`` and ``realism`` (intrinsic). In an explanation,
    ``meta["params"]["model"]["latent_access"]`` is False: nothing was seen of the model's inside.

    A finite number of samples is split at random into halves. Criteria learn from one, and
    thresholds come from the other, as do the results of :meth:`sample`; else every sample would
    have itself as its nearest neighbour, and thresholds would be far too low. Within one use
    (``n_fit`` samples of a criterion, ``n_samples`` of a threshold's repeat) no sample is drawn
    twice, so ask for no more than a half holds. Repeats draw from the same half: their spread is
    too small as soon as ``n_samples`` is a large part of it, and 0 when it is all. Anchors that are
    samples of the set themselves are near to it for that reason alone.

    Attributes:
        finite: Whether the samples are of a finite number.
        n_held: How many there are; None when endless.

    Args:
        source: A function ``source(n, seed)`` to n instances, the same for the same seed; or a
            function ``source(n)``, which is called once, for ``n_bank`` instances; or the
            instances: an array, or anything else :func:`~pxgen_plugins.anchors.open_anchors`
            reads, as the path of a folder of images or of an ``.npz`` file. uint8 is scaled to
            the range. A function takes a seed if it has an argument named ``seed`` or two without
            default.
        sample_shape: Shape of one instance; None takes that of the first.
        data_range: Lowest and highest value of an instance; None when unbounded.
        anchors_range: Lowest and highest value in ``source``, scaled to ``data_range``; None takes
            uint8 as 0 to 255 and floats as they are.
        n_bank: How many instances a function without seed is asked for.
        seed: Seed of the split, and of the global generators while ``source(n)`` is called; they
            are put back.

    Raises:
        ParameterError: When an argument is not allowed.
        AnchorError: When ``source`` cannot be read.
        ModelError: When a function raises or does not give n instances, or not the same ones for
            the same seed, or when instances are fewer than two, not finite or out of range.

    Example:
        >>> bank = SampleBank(np.random.default_rng(0).random((10, 1, 4, 4)))
        >>> bank.sample(5, seed=0).shape, bank
        (torch.Size([5, 1, 4, 4]), SampleBank(10 samples, sample_shape=(1, 4, 4)))
        >>> endless = SampleBank(lambda n, seed: np.random.default_rng(seed).random((n, 3)))
        >>> endless.sample(2, seed=0).shape
        torch.Size([2, 3])
    """

    capabilities = frozenset({"sample"})
    sample_shape: tuple[int, ...]

    @caller("SampleBank")
    def __init__(
        self,
        source: Any,
        *,
        sample_shape: tuple[int, ...] | None = None,
        data_range: tuple[float, float] | None = (0.0, 1.0),
        anchors_range: tuple[float, float] | None = None,
        n_bank: int = 10_000,
        seed: int = 0,
    ) -> None:
        if sample_shape is not None:
            sample_shape = validation.shape(sample_shape, "sample_shape")
        self.data_range = validation.data_range(data_range)
        self._stated = validation.data_range(anchors_range, "anchors_range")
        self.n_bank = validation.integer(n_bank, "n_bank", minimum=2)
        self.seed = validation.integer(seed, "seed", minimum=0)
        self._draws = _draws(source) if callable(source) else None
        self._bank: Anchors | None = None
        self._rows_read = 0
        if self._draws is None and callable(source):
            with seeded(self.seed):  # it may draw from a global generator
                samples = _ask(source, self.n_bank)
            self._bank = _open(samples, sample_shape, self.n_bank, self._stated)
        elif self._draws is None:
            self._bank = open_anchors(source, sample_shape=sample_shape, anchors_range=self._stated)
        self._order = np.random.default_rng(derive(self.seed, "halves")).permutation(
            0 if self._bank is None else len(self._bank)
        )
        self.finite = self._bank is not None
        self.n_held = None if self._bank is None else len(self._bank)
        self._find_shape(sample_shape)

    @caller("SampleBank")
    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` instances, (n, *sample_shape); of a finite number, n different ones.

        Raises:
            ModelError: When half of a finite number is fewer than ``n``, and as the class says.
        """
        return self.portion(n, seed)(n, seed)

    @caller("SampleBank")
    def portion(self, n: int, seed: int, learning: bool = False) -> Callable[[int, int], Tensor]:
        """Return the function (n, seed) that draws ``n`` instances part by part, none twice.

        Args:
            n: How many in all.
            seed: Seed of the choice.
            learning: Draw from the half that criteria learn from, not from the other.

        Raises:
            ModelError: When the half holds fewer than ``n``.
        """
        bank = self._bank
        if bank is None:
            return self._call
        middle = len(self._order) // 2
        half = self._order[:middle] if learning else self._order[middle:]
        if n > len(half):
            use, option = ("criteria", "n_fit") if learning else ("thresholds", "n_samples")
            allowed = f"at most {len(half)}, the half that is for {use}"
            hint = f"Use {option}={len(half)} or less, or give more samples."
            raise ModelError("the number of samples", allowed, str(n), hint)
        left = np.random.default_rng(seed).permutation(half)[:n]

        def draw(count: int, seed: int) -> Tensor:
            nonlocal left
            chosen, left = left[:count], left[count:]
            return self._tensor(bank, chosen)

        return draw

    def _find_shape(self, sample_shape: tuple[int, ...] | None) -> None:
        """Find the shape of an instance, and try the first ones."""
        if self._bank is not None:
            probe = self._bank
        else:
            probe = _open(_ask(self._draws, _PROBES, 0), sample_shape, _PROBES, self._stated)
        if len(probe) < _PROBES:
            hint = "Give more: criteria learn from one half, thresholds come from the other."
            raise ModelError("source", "of two instances or more", str(len(probe)), hint)
        self.sample_shape = tuple(probe.read(slice(0, 1))[0].shape[1:])
        if not self.sample_shape:
            hint = "Give an array (n, d): source[:, None] for instances of one value."
            raise ModelError("source", "instances of one axis or more", "numbers", hint)
        first = self._tensor(probe, np.arange(_PROBES))
        if self._bank is None and not torch.equal(first, self._call(_PROBES, 0)):
            allowed = "repeatable: the same instances for the same seed"
            hint = "Pass lambda n: source(n, 0) to have it called once, for n_bank instances."
            raise ModelError("source", allowed, "others the second time", hint)

    def _call(self, n: int, seed: int) -> Tensor:
        # 32 bits, because numpy's older generators take no more
        samples = _ask(self._draws, n, seed % 2**32)
        opened = _open(samples, self.sample_shape, n, self._stated)
        opened.rows_read = self._rows_read
        x = self._tensor(opened, np.arange(n))
        self._rows_read = opened.rows_read  # the scale is said once, not for every draw
        return x

    @caller("SampleBank")
    def _tensor(self, bank: Anchors, index: NDArray[np.int64]) -> Tensor:
        """Return the instances at positions ``index`` in the range, or raise."""
        raw, failed = bank.read(index)
        x = torch.empty(raw.shape, dtype=self.dtype)
        span = Span()
        try:
            failed = failed or convert(raw, x, self.data_range, 0, bank, span)
        except AnchorError as error:
            got = f"values from {raw.min():.4g} to {raw.max():.4g}"
            hint = (
                "Correct data_range, or state the instances' own range with anchors_range; values "
                "of 0 to 255 are scaled by themselves if they are uint8."
            )
            raise ModelError("source", error.allowed, got, hint) from error
        for position, why in failed.items():
            hint = "Leave it out, or write it again."
            got = f"instance {index[position]}: {why}"
            raise ModelError("source", "readable and finite", got, hint)
        if len(index) > _PROBES:
            warn_of_scale(span, self.data_range, bank)
        return x

    def __repr__(self) -> str:
        size = "endless" if self._bank is None else f"{len(self._bank)} samples"
        return f"SampleBank({size}, sample_shape={self.sample_shape})"


def _draws(source: Callable[..., Any]) -> Callable[[int, int], Any] | None:
    """Return ``source`` as a function (n, seed); None if it takes no seed."""
    try:
        parameters = inspect.signature(source).parameters
    except (TypeError, ValueError):  # built-in functions may have none
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if "seed" in parameters and parameters["seed"].kind is not kinds[0]:
        return lambda n, seed: source(n, seed=seed)
    needed = [p for p in parameters.values() if p.kind in kinds and p.default is p.empty]
    return source if len(needed) == 2 else None


def _ask(function: Any, *arguments: int) -> Any:
    return call(function, "source", "source(n, seed) or source(n)", *arguments)


def _open(
    samples: Any,
    sample_shape: tuple[int, ...] | None,
    n: int,
    stated: tuple[float, float] | None,
) -> Anchors:
    """Return what a function gave, if it is ``n`` instances."""
    try:
        anchors = open_anchors(samples, sample_shape=sample_shape, anchors_range=stated)
    except AnchorError as error:
        raise ModelError("source's result", error.allowed, error.got, error.hint) from error
    if len(anchors) != n:
        hint = "Return one instance for each asked for, along the first axis."
        raise ModelError("source's result", f"{n} instances", short_repr(samples), hint)
    return anchors
