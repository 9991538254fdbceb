"""Which unit of a decoder's layer shows which concept: network dissection of generators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._codes import codes_of, draw_codes
from pxgen_plugins.adapters.base import Adapter, register
from pxgen_plugins.adapters.units.change import (
    OFF,
    concept_shares,
    notes_on_off,
    off_values,
    removed,
)
from pxgen_plugins.adapters.units.match import (
    Floats,
    Match,
    best_match,
    binned,
    chance_of_meeting,
    counts_of,
    levels_of,
    q_values,
)
from pxgen_plugins.adapters.units.steps import noise_range
from pxgen_plugins.adapters.units.unit_maps import (
    USUAL_UNITS,
    UnitLayer,
    concept_masks,
    concepts_for,
    named_concepts,
    scaled_up,
    unit_layer,
)
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError
from pxgen_plugins.utils.progress import bar, bar_or_notice
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_UNIT_DISSECTION", "UnitDissection"]

_MOST_VALUES = 2**26  # of all units together, that levels come from
_AT_ONCE = 2**24  # values of all units together, at the size of the masks
_SMALLEST_IOU, _SMALLEST_IQR = 0.05, 0.01  # of a unit that is called by a concept
_TOP = 5  # instances that a unit is shown on
_RATE = 0.05  # false discovery rate of such calls

DEFAULT_DATA_UNIT_DISSECTION: dict[str, Any] = {
    "layer": None,
    "n_units": None,
    "concepts": [],
    "iou": None,
    "iqr": None,
    "threshold": None,
    "level_share": None,
    "null_iou": None,
    "q_value": None,
    "label": [],
    "concept_share": None,
    "effect": None,
    "effect_interval": None,
    "outside": None,
    "units": None,
    "top_images": None,
    "top_maps": None,
    "off": None,
    "n_codes": None,
    "notes": [],
    "invalid": None,
    "reasons": [],
}
"""Default data of UnitDissection, to be deep-copied; its docstring has the keys."""


@register("unit_dissection")
@dataclass(repr=False, eq=False)
class UnitDissection(Adapter):
    """Units of a layer, the concepts that their maps match, and what goes when one is off.

    GAN Dissection (Bau et al. 2019) without a segmentation network: the map of a unit is scaled up
    to the picture and cut at the level of the highest information quality ratio with a concept's
    mask. A match is not yet a cause: a unit may fire where a concept is and do nothing for it. So
    beside every match stand its null, by masks of other instances, and the effect of switching the
    unit off. Works for any decoder of torch layers; units of linear layers count as a whole.

    Args:
        predictor: A torch model with ``decode`` and ``layers``.
        concepts: A mapping from names to concepts, a list of them, or one (see
            :mod:`pxgen_plugins.concepts`): callables from instances to masks in [0, 1]. None takes
            what all pictures have: bright, dark, horizontal and vertical edges.
        layer: Name of the layer; None takes the activation behind the last convolution before the
            output.
        n_codes: Instances looked at, drawn by the model, or the first of the anchors.
        n_levels: Levels tried for every unit, >= 2.
        n_null: Shuffles of the masks, >= 2.
        min_share: Share of all pixels below which no unit is called by a concept, in [0, 1].
        n_effect: Instances on which effects are measured, >= 2; 0 measures none.
        off: What a unit that is off returns: ``"zero"``, ``"mean"`` (its mean over positions and
            instances), or ``"low"`` (its 1% quantile). Zero is not "off" behind an activation that
            goes below 0.
        when: For a network that runs several times, as that of a diffusion model: lowest and
            highest noise level, as shares of all, at which maps are looked at (their mean over the
            runs) and units are off. None looks at the cleanest fifth, because early maps do not
            have the shape of the instance, and switches off at all levels.
        n_shown: Units that are shown, >= 0.
        seed: Seed of codes and shuffles.
        batch_size: Codes per model call.
        verbose: Show progress bars on stderr.

    Fields:
        layer (str): Name of the layer.
        n_units (int): u, its units.
        concepts (list of str): c, names of the concepts.
        iou (float64 (u, c)): Intersection over union of unit and concept, at ``threshold``.
        iqr (float64 (u, c)): Information quality ratio there, in [0, 1].
        threshold (float64 (u, c)): Level of the unit at which that ratio is highest.
        level_share (float64 (u, c)): Share of the unit's values above it.
        null_iou (float64 (u, c)): Mean IoU with the masks of other instances.
        q_value (float64 (u, c)): False discovery rate at which the match would be called one.
        label (list of str): u, the concept that the unit matches best among those with a q-value of
            at most 0.05, an IoU above 0.05 and a ratio above 0.01; "" for none.
        concept_share (float64 (c,)): Share of all pixels that the concept takes.
        effect (float64 (u, c)): Share of the concept that goes when the unit alone is off, below 0
            where it grows; NaN for a concept that does not occur; None where not measured.
        effect_interval (float64 (u, c, 2)): 95% over instances, at most 1.
        outside (float64 (u, c)): Mean absolute change of the instance where the concept was not, in
            units of the data.
        units (int64 (t,)): The units that are shown, with a concept first.
        top_images (float32 (t, s, *sample_shape)): The five instances on which each fires most.
        top_maps (float32 (t, s, h, w)): Its map there, at the layer's size.
        off (str): What a unit that is off returns.
        n_codes (int): Instances looked at.
        notes (list of str): What is to be known, as a layer for which 0 is not "off".
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a concept returns no masks, or the model calls no layer.

    Cost: (2 n_codes + u n_effect) decoder passes, and n_null + 1 histograms of u n_codes pixels for
    every concept; memory what the model needs for a batch, 1 GB at most for maps at the size of the
    picture (one instance counts whole), and one byte per instance, concept and pixel.

    Example:
        >>> from torch import nn
        >>> from pxgen_plugins.concepts import Threshold
        >>> from pxgen_plugins.models import VAE
        >>> net = nn.Sequential(nn.Unflatten(1, (2, 1, 1)), nn.ConvTranspose2d(2, 4, 4), nn.ReLU(),
        ...                     nn.Conv2d(4, 1, 1), nn.Sigmoid())
        >>> model = VAE(encode=lambda x: (x.flatten(1)[:, :2],) * 2, decode=net.forward,
        ...             latent_shape=(2,), sample_shape=(1, 4, 4), modules=net, check=False)
        >>> found = UnitDissection(model, Threshold(0.5), n_codes=40).explain(None)
        >>> found.layer, found.iou.shape
        ('2', (4, 1))
    """

    evidence = "units"
    access = "activations"
    requires = frozenset({"decode", "layers"})
    scope: ClassVar[list[str]] = ["global"]
    defaults: ClassVar[Mapping[str, Any]] = DEFAULT_DATA_UNIT_DISSECTION

    concepts: Any = None
    layer: str | None = None
    _: KW_ONLY
    n_codes: int = 1000
    n_levels: int = 64
    n_null: int = 10
    min_share: float = 1e-3
    n_effect: int = 100
    off: str = "zero"
    when: Any = None
    n_shown: int = 8

    def _check(self) -> None:
        super()._check()
        self._concepts = {} if self.concepts is None else named_concepts(self.concepts)
        self.when = noise_range(self.when)
        self.n_codes = validation.integer(self.n_codes, "n_codes", minimum=2)
        self.n_levels = validation.integer(self.n_levels, "n_levels", minimum=2)
        self.n_null = validation.integer(self.n_null, "n_null", minimum=2)
        self.min_share = validation.real(self.min_share, "min_share", minimum=0.0, maximum=1.0)
        self.n_effect = validation.integer(self.n_effect, "n_effect", minimum=0)
        if self.n_effect == 1:
            hint = "Take 2 or more: of one instance there is no interval."
            raise ParameterError("n_effect", "0, or at least 2", "1", hint)
        self.off = validation.choice(self.off, "off", OFF)
        self.n_shown = validation.integer(self.n_shown, "n_shown", minimum=0)

    def _check_model(self, model: Any) -> None:
        self._concepts = concepts_for(model, self.concepts)

    def _params(self) -> dict[str, Any]:
        when = None if self.when is None else list(self.when)
        return {**super()._params(), "concepts": list(self._concepts), "when": when}

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors."""
        codes = min(n, self.n_codes)
        effects = USUAL_UNITS * min(codes, self.n_effect)
        return {"embed": codes, "decode": 2.0 * codes + effects}

    def _explain(self, X: Any) -> dict[str, Any]:
        exclusions: dict[str, Any] = {}
        if X is None:
            z = draw_codes(self.predictor, self.n_codes, derive(self.seed, "dissection"))
        else:
            z, _, reader = codes_of(X, self.predictor, self.batch_size, self.n_codes)
            exclusions = reader.exclusions()
        if len(z) < 2:
            hint = "Give more anchors, or None for instances of the model."
            raise AnchorError("X", "at least two finite anchors", str(len(z)), hint)
        units = unit_layer(self.predictor, self.layer, z[:1], self.when)
        masks, levels, means, lows = self._survey(units, z)
        match, null, strongest = self._match(units, z, masks, levels)
        share = masks.double().mean(dim=(0, 2, 3)).numpy()
        threshold = np.take_along_axis(levels.double().numpy(), match.level, axis=1)
        least = _least(masks, strongest, threshold)
        least[:, share < self.min_share] = 1.0
        rates = q_values(match.iqr, np.stack([one.iqr for one in null]), least)
        shares = np.geomspace(1.0, 1e-3, self.n_levels)
        labels = self._labels(match.iou, match.iqr, rates)
        # units with a concept first, each by how far its match is above that of other masks
        above = (match.iou - np.mean([one.iou for one in null], axis=0)).max(axis=1)
        rank = above + np.array([bool(label) for label in labels])
        shown = np.argsort(-rank, kind="stable")[: self.n_shown]
        values = off_values(self.off, means, lows)
        return {
            "layer": units.name,
            "n_units": units.n_units,
            "concepts": list(self._concepts),
            "iou": match.iou,
            "iqr": match.iqr,
            "threshold": threshold,
            "level_share": shares[match.level],
            "null_iou": np.mean([one.iou for one in null], axis=0),
            "q_value": rates,
            "label": labels,
            "concept_share": share,
            **self._effects(units, z[: self.n_effect], values),
            **self._top(units, z, shown, strongest),
            "off": self.off,
            "n_codes": len(z),
            "notes": notes_on_off(units, self.off, lows),
            **exclusions,
        }

    def _survey(self, units: UnitLayer, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return masks (n, c, h, w), and of the units levels (u, l), means (u,) and lows (u,)."""
        masks: list[Tensor] = []
        values: list[Tensor] = []
        generator = torch.Generator().manual_seed(derive(self.seed, "pixels"))
        few = max(1, _MOST_VALUES // (units.n_units * len(z)))  # pixels of an instance that fit
        with bar(len(z), "concepts", "instance", self.verbose) as progress:
            for part in torch.split(z, self.batch_size):
                x, maps = units.decode(part)
                masks.append(concept_masks(self._concepts, x) > 0.5)
                size = (masks[-1].shape[2], masks[-1].shape[3])
                for fine in _in_pieces(maps, size):
                    flat = fine.flatten(2)
                    if flat.shape[2] > few:  # drawn row by row, whatever the batch
                        places = torch.stack([
                            torch.randint(flat.shape[2], (few,), generator=generator) for _ in flat
                        ])  # fmt: skip
                        flat = flat.gather(2, places[:, None].expand(-1, units.n_units, -1))
                    values.append(flat.transpose(0, 1).flatten(1))
                progress.update(len(part))
        known = torch.cat(values, 1)
        low = torch.from_numpy(np.quantile(known.numpy(), 0.01, axis=1))
        return torch.cat(masks), levels_of(known, self.n_levels), known.mean(1), low

    def _match(
        self, units: UnitLayer, z: Tensor, masks: Tensor, levels: Tensor
    ) -> tuple[Match, list[Match], Tensor]:
        """Return the match, those with shuffled masks, and every unit's highest values, (n, u)."""
        n, c = masks.shape[:2]
        generator = torch.Generator().manual_seed(derive(self.seed, "shuffles"))
        orders = [torch.arange(n), *(torch.randperm(n, generator=generator)
                                     for _ in range(self.n_null))]  # fmt: skip
        above = np.zeros((units.n_units, self.n_levels))
        both = np.zeros((len(orders), c, units.n_units, self.n_levels))
        strongest = torch.empty(n, units.n_units)
        size = (masks.shape[2], masks.shape[3])
        low = 0
        hint = "Take fewer codes (n_codes=), levels, shuffles (n_null=) or concepts."
        with bar_or_notice(n, "UnitDissection: matches", "instance", self.verbose, hint) as move:
            for part in torch.split(z, self.batch_size):
                for fine in _in_pieces(units.decode(part)[1], size):
                    rows = slice(low, low + len(fine))
                    strongest[rows] = fine.flatten(2).amax(2)
                    bins = binned(fine.transpose(0, 1).flatten(1), levels)
                    above += counts_of(bins, self.n_levels)
                    for i, order in enumerate(orders):
                        chosen = masks[order[rows]].transpose(0, 1).flatten(1)
                        for j in range(c):
                            both[i, j] += counts_of(bins, self.n_levels, chosen[j])
                    low += len(fine)
                    move(len(fine))
        inside = masks.double().sum(dim=(0, 2, 3)).numpy()
        total = float(n * size[0] * size[1])
        found = [best_match(above, one, inside, total) for one in both]
        return found[0], found[1:], strongest

    def _labels(self, iou: Floats, iqr: Floats, rates: Floats) -> list[str]:
        sure = (rates <= _RATE) & (iou > _SMALLEST_IOU) & (iqr > _SMALLEST_IQR)
        names = list(self._concepts)
        best = np.where(sure, iou, -1.0).argmax(axis=1)
        return [names[j] if sure[u, j] else "" for u, j in enumerate(best)]

    def _effects(self, units: UnitLayer, z: Tensor, values: Tensor) -> dict[str, Any]:
        """Return what goes of every concept when a unit is off, and what changes elsewhere."""
        if len(z) < 2:
            return {}
        u, c = units.n_units, len(self._concepts)
        before = concept_shares(units, z, self._concepts, self.batch_size)
        effect, outside = np.full((u, c), np.nan), np.full((u, c), np.nan)
        interval = np.full((u, c, 2), np.nan)
        hint = "Take fewer codes (n_effect=); n_effect=0 measures no effects."
        with bar_or_notice(u, "UnitDissection: effects", "unit", self.verbose, hint) as move:
            for unit in range(u):
                strength = torch.zeros(1, u, 1, 1)
                strength[0, unit] = 1.0
                after = concept_shares(
                    units, z, self._concepts, self.batch_size, (strength, values), before
                )
                for j in range(c):
                    one = removed(before.share[:, j], after.share[:, j], most=1.0)
                    effect[unit, j], interval[unit, j] = one
                outside[unit] = after.outside.mean(axis=0)
                move(1)
        return {"effect": effect, "effect_interval": interval, "outside": outside}

    def _top(
        self, units: UnitLayer, z: Tensor, shown: NDArray[np.int64], strongest: Tensor
    ) -> dict[str, Any]:
        """Return the instances on which the shown units fire most, and their maps there."""
        if not len(shown):
            return {}
        images, maps = [], []
        for unit in shown:
            rows = strongest[:, unit].argsort(descending=True, stable=True)[:_TOP]
            pairs = [units.decode(part) for part in torch.split(z[rows], self.batch_size)]
            images.append(torch.cat([x for x, _ in pairs]).float().cpu().numpy())
            maps.append(torch.cat([own[:, unit] for _, own in pairs]).float().cpu().numpy())
        return {
            "units": shown.astype(np.int64),
            "top_images": np.stack(images),
            "top_maps": np.stack(maps),
        }


def _in_pieces(maps: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """Yield maps (n, u, h, w) at the size of the masks, as many instances as fit into memory."""
    few = max(1, _AT_ONCE // (maps.shape[1] * size[0] * size[1]))
    for part in torch.split(maps, few):
        yield scaled_up(part, size).float().cpu()


def _least(masks: Tensor, strongest: Tensor, threshold: Floats) -> Floats:
    """Return how likely units and concepts meet by chance, where they rarely do, (u, c)."""
    has = masks.flatten(2).any(2).numpy()  # (n, c)
    fires = strongest.double().numpy()[:, :, None] > threshold  # (n, u, c)
    together = (fires & has[:, None]).sum(axis=0).astype(np.float64)
    counts = fires.sum(axis=0).astype(np.float64)
    return chance_of_meeting(together, counts, has.sum(axis=0).astype(np.float64), len(has))
