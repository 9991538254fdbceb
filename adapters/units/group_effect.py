"""What becomes of a group of anchors when units that fire for it are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._codes import codes_of
from pxgen_plugins.adapters.base import NotFittedError, traceless
from pxgen_plugins.adapters.units.activation_statistics import ActivationStatistics
from pxgen_plugins.adapters.units.change import OFF, off_values, unit_strength
from pxgen_plugins.adapters.units.steps import calls_of
from pxgen_plugins.adapters.units.unit_maps import UnitLayer, unit_layer
from pxgen_plugins.anchors import Anchors, Subset, open_for
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.groups import GROUPS, assign
from pxgen_plugins.models import capabilities, require
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, caller
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive

__all__ = ["GroupEffect", "group_effect"]

Floats = NDArray[np.float64]
_PROBES = 200  # anchors that the mean and the low values of units come from


@dataclass(frozen=True)
class GroupEffect:
    """The share of anchors in each group before and after units are off, beside random units.

    Attributes:
        layer: The layer.
        units: Its units that are off, int64 (k,); with ``firing`` (k,), how much more often each
            fires for the group than for the one that it is compared with, on the anchors on which
            units were chosen; None where they were given.
        firing: See ``units``.
        group: The group; ``against``: the one that it is compared with.
        against: See ``group``.
        before: Share of the anchors measured on in each group; ``after``: with the units off.
        after: See ``before``.
        random: Shares of ``group`` with as many random units off, float64 (r,).
        kept: Share of the group's own anchors that stay in it; ``random_kept``: likewise, (r,).
        random_kept: See ``kept``.
        n_anchors: Anchors measured on.

    The effect is one of these units, and not of switching off any, where ``after[group]`` lies
    outside the range of ``random``.
    """

    layer: str
    units: NDArray[np.int64]
    firing: Floats | None
    group: str
    against: str
    before: dict[str, float]
    after: dict[str, float]
    random: Floats
    kept: float
    random_kept: Floats
    n_anchors: int


@caller("group_effect")
def group_effect(
    explainer: PXGen,
    X: Any,
    units: Sequence[int] | None = None,
    layer: str | None = None,
    *,
    group: str = "HILE",
    against: str = "HIHE",
    n_units: int = 5,
    n_random: int = 10,
    off: str = "zero",
    seed: int = 0,
    batch_size: int = 256,
    verbose: bool = False,
) -> GroupEffect:
    """Switch units off that fire for a group and not for another, and group the anchors again.

    Criteria are computed with the layer changed and judged by the thresholds that the explainer
    has: what is asked is what these units do in this model, not how another model would be
    calibrated. Where no units are given, those are taken that fire more often for ``group`` than
    for ``against`` (see :class:`ActivationStatistics`) on one half of the anchors; shares are of
    the other half, so that the choice does not flatter the effect. Random sets of as many units are
    the control. Weights are not changed.

    Args:
        explainer: A fitted PXGen of a model with ``decode`` and ``layers``.
        X: Anchors.
        units: Units to switch off; None finds them.
        layer: Name of the layer; None takes the activation behind the last convolution before the
            output.
        group: ``"HIHE"``, ``"HILE"``, ``"LIHE"`` or ``"LILE"``.
        against: The group it is compared with.
        n_units: Units that are taken where none are given, >= 1.
        n_random: Random sets, >= 1.
        off: ``"zero"``, ``"mean"`` or ``"low"``, as for :class:`UnitDissection`.
        seed: Seed of the random sets.
        batch_size: Anchors per model call, where scoring does not choose.
        verbose: Show a progress bar on stderr.

    Raises:
        NotFittedError: When the explainer is not fitted.
        AnchorError: When units are to be found and one of the two groups has no anchor.
        CapabilityError: When the model cannot decode or embed, or names no layers.

    Cost: n_random + 2 times the scoring of the anchors (of half of them without units).

    Example:
        >>> from pxgen_plugins.datasets import load_mnist, load_mnist_vae
        >>> from pxgen_plugins.models import VAE
        >>> from pxgen_plugins.thresholds import MeanMax
        >>> model = VAE(load_mnist_vae(), sample_shape=(1, 28, 28))
        >>> explainer = PXGen(model, "kld", "mse", threshold=MeanMax(200, 2)).fit()
        >>> images = load_mnist("test")[0][:60]
        >>> found = group_effect(explainer, images, [0, 1], n_random=2)
        >>> sorted(found.before) == sorted(found.after), len(found.random)
        (True, 2)
    """
    model = explainer.predictor
    hint = "Units are channels of the layers of a decoder."
    require(model, ["decode", "layers"], hint)
    if explainer.calibration is None:
        raise NotFittedError("PXGen")
    for name, value in (("group", group), ("against", against)):
        validation.choice(value, name, GROUPS)
    n_units = validation.integer(n_units, "n_units", minimum=1)
    n_random = validation.integer(n_random, "n_random", minimum=1)
    off = validation.choice(off, "off", OFF)
    with traceless(model):
        anchors = open_for(model, X)
        z, usable, reader = codes_of(anchors, model, batch_size, _PROBES)
        if not len(z):
            hint = "Give anchors that can be read and are finite."
            raise AnchorError("X", "at least one finite anchor", "none", hint)
        looked = unit_layer(model, layer, z[:1])
        _expect_decoder(model, looked, reader.inputs(usable[:1]))
        firing = None
        if units is None:
            half = np.arange(len(anchors), dtype=np.int64)
            chosen, firing = _firing(
                explainer, Subset(anchors, half[::2]), looked, (group, against), n_units, batch_size
            )
            anchors = Subset(anchors, half[1::2])
        else:
            chosen = np.atleast_1d(np.asarray(units, dtype=np.int64))
        maps = torch.cat(
            [looked.decode(part)[1].float().cpu() for part in torch.split(z, batch_size)]
        )
        flat = maps.transpose(0, 1).flatten(1)
        lows = torch.from_numpy(np.quantile(flat.numpy(), 0.01, axis=1)).float()
        values = off_values(off, flat.mean(1), lows)
        rng = np.random.default_rng(derive(seed, "random units"))
        others = [rng.permutation(looked.n_units)[: len(chosen)] for _ in range(n_random)]
        start = _groups(explainer, anchors)
        with bar(1 + n_random, "groups", "set", verbose) as progress:
            ends = []
            for one in (chosen, *others):
                with looked.moved(unit_strength(looked.n_units, one), values):
                    ends.append(_groups(explainer, anchors))
                progress.update(1)
    own = start == group

    def kept(end: NDArray[np.str_]) -> float:
        return float((end[own] == group).mean()) if own.any() else float("nan")

    return GroupEffect(
        layer=looked.name,
        units=chosen,
        firing=firing,
        group=group,
        against=against,
        before=_shares(start),
        after=_shares(ends[0]),
        random=np.array([_shares(end)[group] for end in ends[1:]]),
        kept=kept(ends[0]),
        random_kept=np.array([kept(end) for end in ends[1:]]),
        n_anchors=len(start),
    )


def _expect_decoder(model: Any, looked: UnitLayer, x: Tensor) -> None:
    """Raise where the encoder calls the layer, too: its units would be off there as well."""
    if "encode" not in capabilities(model):
        return
    if calls_of([looked.layer.module], lambda: model.encode(x))[0]:
        hint = "Name a layer of the decoder alone."
        raise ParameterError("layer", "one that the encoder does not call", looked.name, hint)


def _firing(
    explainer: PXGen,
    anchors: Anchors,
    looked: UnitLayer,
    pair: tuple[str, str],
    n: int,
    batch_size: int,
) -> tuple[NDArray[np.int64], Floats]:
    """Return the units that fire more often for the first group, and by how much."""
    names = _groups(explainer, anchors)
    missing = [name for name in pair if not (names == name).any()]
    if missing:
        hint = "Give units=, other groups, or more anchors."
        got = f"none of {len(names)} in {missing[0]}"
        raise AnchorError("X", f"anchors of {pair[0]} and {pair[1]}", got, hint)
    statistics = ActivationStatistics(
        explainer.predictor, [looked.name], list(pair), batch_size=batch_size
    ).explain(anchors, groups=names)
    difference = np.asarray(statistics.contrasts[looked.name]["difference"], dtype=np.float64)
    order = np.argsort(-difference, kind="stable")[:n].astype(np.int64)
    return order, difference[order]


def _groups(explainer: PXGen, anchors: Anchors) -> NDArray[np.str_]:
    """Return the group of every anchor by the thresholds that the explainer has."""
    calibration = explainer.calibration
    assert calibration is not None  # checked at the entry
    scorer = explainer.scorer()
    kinds = [str(criterion.kind) for criterion in scorer.criteria]
    values = scorer.score(anchors).values
    return assign(values, calibration.thresholds, kinds, explainer.rule, calibration.scale)


def _shares(group: NDArray[np.str_]) -> dict[str, float]:
    return {name: float((group == name).mean()) for name in GROUPS}
