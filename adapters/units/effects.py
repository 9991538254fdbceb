"""Which units together make a concept: removal and insertion curves of greedy and soft sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._codes import can_draw, codes_of, draw_codes
from pxgen_plugins.adapters.base import Adapter, register
from pxgen_plugins.adapters.units._greedy_set import greedy_set
from pxgen_plugins.adapters.units._soft_set import soft_set
from pxgen_plugins.adapters.units.change import (
    OFF,
    Shares,
    concept_shares,
    notes_on_off,
    off_values,
    removed,
    unit_strength,
)
from pxgen_plugins.adapters.units.insertion import Insertion, insertion_of
from pxgen_plugins.adapters.units.steps import noise_range
from pxgen_plugins.adapters.units.unit_maps import (
    USUAL_UNITS,
    UnitLayer,
    concepts_for,
    named_concepts,
    unit_layer,
)
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ModelError, ParameterError
from pxgen_plugins.utils.progress import bar, bar_or_notice
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_UNIT_EFFECTS", "UnitEffects"]

Floats = NDArray[np.float64]
METHODS = ("greedy", "soft")
_SMALLEST_ALPHA = 0.05  # of a unit that belongs to a soft set
_BAND = (0.05, 0.95)

DEFAULT_DATA_UNIT_EFFECTS: dict[str, Any] = {
    "layer": None,
    "n_units": None,
    "concept": None,
    "method": None,
    "off": None,
    "single": None,
    "alpha": None,
    "order": None,
    "removal": None,
    "removal_interval": None,
    "random_removal": None,
    "random_removal_band": None,
    "insertion": None,
    "insertion_interval": None,
    "random_insertion": None,
    "insertion_all": None,
    "patch": None,
    "outside": None,
    "images": None,
    "n_codes": None,
    "notes": [],
    "invalid": None,
    "reasons": [],
}
"""Default data of UnitEffects, to be deep-copied; its docstring has the keys."""


@register("unit_effects")
@dataclass(repr=False, eq=False)
class UnitEffects(Adapter):
    """Units that make a concept, judged by what goes without them and what comes with them.

    GAN Dissection (Bau et al. 2019): units are switched off everywhere (removal), or set, where the
    concept is not, to the value that they have where it is (insertion). A greedy set takes again
    and again the unit whose removal takes most of the concept that is left, and asks for no
    gradient. A soft set has a strength in [0, 1] for every unit, found by gradient descent on both
    effects and a penalty. Sets are found on codes that the model draws, or on one half of the
    anchors where it draws none, and measured on others, beside random sets of the same size; after
    ``fit(X)``, explain other anchors than X. Units that stand in for each other, so that nothing
    goes without one of them, are no candidates of a greedy set.

    Insertion sets a patch of cells and is measured in the cell at its middle. One cell would be
    drowned by its neighbours where convolutions follow, and the rim of a patch is an edge whatever
    the units are; its middle is uniform. So an edge between cells cannot be inserted:
    ``insertion_all``, what all units of the layer bring, says whether the concept can.

    Args:
        predictor: A torch model with ``decode`` and ``layers``.
        concept: A concept of :mod:`pxgen_plugins.concepts`, or a callable from instances to masks
            in [0, 1]; with ``"soft"`` a differentiable one. None takes what is bright in pictures.
        layer: Name of the layer; None takes the activation behind the last convolution before the
            output.
        method: ``"greedy"`` or ``"soft"``.
        n_units: Most units in the set, >= 1.
        penalty: Of a soft set, times the squared strengths, >= 0.
        steps: Steps of descent of a soft set, >= 1.
        lr: Learning rate of Adam, > 0.
        off: ``"zero"``, ``"mean"`` or ``"low"``: what a unit that is off returns.
        when: For a network that runs several times, the lowest and highest noise level, as shares
            of all, at which units are moved and their typical values are taken; None moves at all.
        patch: Side of the patch of cells that insertion sets, odd; None measures how large a patch
            decides what is at its middle: the instance there changes by nine tenths of what it does
            when the whole layer is set, and the concept is the same within 0.1.
        n_codes: Codes that the set is found on, and as many others that it is measured on.
        n_random: Random sets of the control, >= 1.
        n_shown: Instances kept before and after, >= 0.
        seed: Seed of codes and of random sets.
        batch_size: Codes per model call.
        verbose: Show progress bars on stderr.

    Fields:
        layer (str): Name of the layer.
        n_units (int): u, its units.
        concept (str): Name of the concept.
        method (str): ``"greedy"`` or ``"soft"``.
        off (str): What a unit that is off returns.
        single (float64 (u,)): Share of the concept that goes when a unit alone is off, on the
            instances that the set was found on.
        alpha (float64 (u,)): Strength of the units in a soft set; None for a greedy one.
        order (int64 (k,)): Units of the set, most important first.
        removal (float64 (k + 1,)): Share of the concept that goes when the first 0, 1, ..., k units
            are off, on other instances; below 0 where it grows.
        removal_interval (float64 (k + 1, 2)): 95% over instances, at most 1.
        random_removal (float64 (k + 1,)): Mean removal by random sets of the same sizes.
        random_removal_band (float64 (k + 1, 2)): 5% and 95% quantiles over these sets.
        insertion (float64 (k + 1,)): How much of the concept is, in [0, 1], in a cell where it was
            not, when the first units are set in a patch around it; None where there is no cell.
        insertion_interval (float64 (k + 1, 2)): 95% over instances.
        random_insertion (float64 (k + 1,)): Mean insertion by the random sets.
        insertion_all (float): Insertion by all units: what a uniform patch can bring.
        patch (int): Cells of a side of the patch; None for units without a place.
        outside (float64 (k + 1,)): Mean absolute change by the removal, where the concept was not,
            in units of the data.
        images (float32 (a, 2, *sample_shape)): Instances before and after removal of the set.
        n_codes (int): Instances measured on.
        notes (list of str): What is to be known, as a layer for which 0 is not "off".
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed, or a soft set is asked of a concept that is
            not differentiable.
        ModelError: When the concept does not occur.

    Cost of ``fit``: u n_codes decoder passes, and 2 n_units^2 n_codes for a greedy set or 32 steps
    with gradient for a soft one; of ``explain``: 2 n_units n_random n_codes.

    Example:
        >>> from torch import nn
        >>> from pxgen_plugins.concepts import Threshold
        >>> from pxgen_plugins.models import VAE
        >>> net = nn.Sequential(nn.Unflatten(1, (2, 1, 1)), nn.ConvTranspose2d(2, 4, 4), nn.ReLU(),
        ...                     nn.Conv2d(4, 1, 1), nn.Sigmoid())
        >>> model = VAE(encode=lambda x: (x.flatten(1)[:, :2],) * 2, decode=net.forward,
        ...             latent_shape=(2,), sample_shape=(1, 4, 4), modules=net, check=False)
        >>> found = UnitEffects(model, Threshold(0.1), n_codes=20, n_random=2).explain(None)
        >>> float(found.removal[0]), len(found.removal) == len(found.order) + 1
        (0.0, True)
    """

    evidence = "units"
    access = "activations"
    learns_from: ClassVar[str] = ""  # the set is the model's: anchors are what it is measured on
    requires = frozenset({"decode", "layers"})
    scope: ClassVar[list[str]] = ["global"]
    defaults: ClassVar[Mapping[str, Any]] = DEFAULT_DATA_UNIT_EFFECTS

    concept: Any = None
    layer: str | None = None
    _: KW_ONLY
    method: str = "greedy"
    n_units: int = 20
    penalty: float = 0.005
    steps: int = 300
    lr: float = 0.01
    off: str = "zero"
    when: Any = None
    patch: int | None = None
    n_codes: int = 200
    n_random: int = 10
    n_shown: int = 4

    def _check(self) -> None:
        super()._check()
        self._concepts = {} if self.concept is None else named_concepts(self.concept)
        if len(self._concepts) > 1:
            hint = "Give one; UnitDissection takes several."
            raise ParameterError("concept", "one concept", str(len(self._concepts)), hint)
        self.when = noise_range(self.when)
        self.method = validation.choice(self.method, "method", METHODS)
        for name, least in (("n_units", 1), ("steps", 1), ("n_codes", 2), ("n_random", 1),
                            ("n_shown", 0)):  # fmt: skip
            setattr(self, name, validation.integer(getattr(self, name), name, minimum=least))
        if self.patch is not None:
            self.patch = validation.integer(self.patch, "patch", minimum=1)
            if self.patch % 2 == 0:
                hint = "Take an odd one, as 3 or 5."
                raise ParameterError("patch", "odd, to have a middle", str(self.patch), hint)
        self.penalty = validation.real(self.penalty, "penalty", minimum=0.0)
        self.lr = validation.real(self.lr, "lr", above=0.0)
        self.off = validation.choice(self.off, "off", OFF)
        concept = next(iter(self._concepts.values()), None)  # those of all pictures are soft
        if (
            self.method == "soft"
            and concept is not None
            and not getattr(concept, "differentiable", False)
        ):
            hint = "Give it a soft border, as in Threshold(0.5, width=0.05), or take 'greedy'."
            got = f"{next(iter(self._concepts))!r}, which does not say that it is"
            raise ParameterError("concept", "differentiable, for a soft set", got, hint)
        self._forget()

    def _forget(self) -> None:
        self.order: NDArray[np.int64] | None = None
        self.single: Floats | None = None
        self.alpha: Floats | None = None

    def _check_model(self, model: Any) -> None:
        known = concepts_for(model, self.concept)
        first = next(iter(known))
        self._concepts = {first: known[first]}

    def _params(self) -> dict[str, Any]:
        when = None if self.when is None else list(self.when)
        name = next(iter(self._concepts), None)
        return {**super()._params(), "concept": name, "when": when}

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors, the set found first."""
        codes, found = min(n, self.n_codes), float(USUAL_UNITS * self.n_codes)
        if self.method == "soft":
            found += 3.0 * 32 * self.steps
        else:
            found += 1.5 * self.n_units**2 * self.n_codes  # of twice as many candidates, falling
        curves = (2.0 * (self.n_units + 1) * (1 + self.n_random) + 2.0) * codes  # and the patch
        return {"embed": codes, "decode": found + curves}

    def fit(self, X: Any = None) -> UnitEffects:
        """Find the set of units.

        Args:
            X: Instances whose codes are taken; None draws codes as the model draws them.

        Raises:
            CapabilityError: When the model cannot embed ``X``.
            ModelError: When the concept does not occur.
        """
        with self._call("fit"):
            if X is None:
                z = draw_codes(self.predictor, self.n_codes, derive(self.seed, "fit"))
            else:
                z, _, _ = codes_of(X, self.predictor, self.batch_size, self.n_codes)
                _expect_some(z)
            self._fit(z)
        return self

    def _fit(self, z: Tensor) -> None:
        units = unit_layer(self.predictor, self.layer, z[:1], self.when)
        before = self._present(units, z)
        inserted = insertion_of(units, z, self._concepts, before, self.seed, self.batch_size)
        values = off_values(self.off, inserted.means, inserted.lows)
        n, single = units.n_units, np.zeros(units.n_units)
        hint = "Take fewer codes (n_codes=)."
        with bar_or_notice(n, "UnitEffects: single effects", "unit", self.verbose, hint) as move:
            for unit in range(n):
                single[unit] = self._removal(units, z, before, values, [unit])[0]
                move(1)
        self.single, self.alpha = single, None
        if self.method == "soft":
            inserted = inserted.with_patch(self.patch, self._concepts, self.batch_size)
            alpha = soft_set(
                units, z, self._concepts, before, inserted, values, penalty=self.penalty,
                steps=self.steps, lr=self.lr, batch_size=self.batch_size, verbose=self.verbose,
            )  # fmt: skip
            self.alpha = alpha
            chosen = np.argsort(-alpha, kind="stable")[: self.n_units]
            self.order = chosen[alpha[chosen] > _SMALLEST_ALPHA].astype(np.int64)
        else:

            def gone(chosen: list[int]) -> float:
                return self._removal(units, z, before, values, chosen)[0]

            self.order = greedy_set(gone, single, self.n_units, self.verbose)

    def _explain(self, X: Any) -> dict[str, Any]:
        model = self.predictor
        exclusions: dict[str, Any] = {}
        if X is None:
            z = draw_codes(model, self.n_codes, derive(self.seed, "report"))
        else:
            z, _, reader = codes_of(X, model, self.batch_size, self.n_codes)
            exclusions = reader.exclusions()
            _expect_some(z)
        if self.order is None and (X is None or can_draw(model) or len(z) < 2):
            self._fit(draw_codes(model, self.n_codes, derive(self.seed, "fit")))
        elif self.order is None:  # never found on what it is measured on
            self._fit(z[::2])
            z = z[1::2]
        units = unit_layer(model, self.layer, z[:1], self.when)
        before = self._present(units, z)
        inserted = insertion_of(units, z, self._concepts, before, self.seed, self.batch_size)
        inserted = inserted.with_patch(self.patch, self._concepts, self.batch_size)
        values = off_values(self.off, inserted.means, inserted.lows)
        everything = inserted.measure(range(units.n_units), self._concepts, self.batch_size)[0]
        order = self.order if self.order is not None else np.empty(0, dtype=np.int64)
        rng = np.random.default_rng(derive(self.seed, "random sets"))
        random = [rng.permutation(units.n_units)[: len(order)] for _ in range(self.n_random)]
        steps = (1 + self.n_random) * (len(order) + 1)
        with bar(steps, "curves", "set", self.verbose) as progress:
            own = self._curves(units, z, before, inserted, values, order, progress)
            others = [
                self._curves(units, z, before, inserted, values, one, progress) for one in random
            ]
        removal = np.stack([one["removal"] for one in others])
        insertion = [one["insertion"] for one in others]
        return {
            "layer": units.name,
            "n_units": units.n_units,
            "concept": next(iter(self._concepts)),
            "method": self.method,
            "off": self.off,
            "single": self.single,
            "alpha": self.alpha,
            "order": order,
            **own,
            "random_removal": removal.mean(axis=0),
            "random_removal_band": np.quantile(removal, _BAND, axis=0).T,
            "random_insertion": None if insertion[0] is None else np.mean(insertion, axis=0),
            "insertion_all": None if insertion[0] is None else everything,
            "patch": inserted.patch,
            "n_codes": len(z),
            "notes": notes_on_off(units, self.off, inserted.lows),
            **exclusions,
        }

    def _curves(
        self,
        units: UnitLayer,
        z: Tensor,
        before: Shares,
        inserted: Insertion,
        values: Tensor,
        order: NDArray[np.int64],
        progress: Any,
    ) -> dict[str, Any]:
        """Return removal and insertion by the first 0, 1, ... units of an order."""
        gone, reach, outside, came, spread = [], [], [], [], []
        last = before.images
        for k in range(len(order) + 1):
            share, interval, after = self._removal(units, z, before, values, order[:k])
            gone.append(share)
            reach.append(interval)
            outside.append(float(after.outside.mean()))
            last = after.images
            mean, around = inserted.measure(order[:k], self._concepts, self.batch_size)
            came.append(mean)
            spread.append(around)
            progress.update(1)
        known = inserted.cells is not None
        shown = slice(0, self.n_shown)
        return {
            "removal": np.array(gone),
            "removal_interval": np.array(reach),
            "outside": np.array(outside),
            "insertion": np.array(came) if known else None,
            "insertion_interval": np.array(spread) if known else None,
            "images": torch.stack([before.images[shown], last[shown]], 1).numpy(),
        }

    def _removal(
        self, units: UnitLayer, z: Tensor, before: Shares, values: Tensor, chosen: Any
    ) -> tuple[float, tuple[float, float], Shares]:
        strength = unit_strength(units.n_units, chosen)
        change = (strength, values)
        after = concept_shares(units, z, self._concepts, self.batch_size, change, before)
        share, interval = removed(before.share[:, 0], after.share[:, 0], most=1.0)
        return share, interval, after

    def _present(self, units: UnitLayer, z: Tensor) -> Shares:
        before = concept_shares(units, z, self._concepts, self.batch_size)
        if not float(before.share.sum()) > 0:
            hint = "Look at the masks of some samples; give another concept or threshold."
            got = f"{next(iter(self._concepts))!r}, which is in none of {len(z)} instances"
            raise ModelError("concept", "one that occurs", got, hint)
        return before


def _expect_some(z: Tensor) -> None:
    if not len(z):
        hint = "Give anchors that can be read and are finite, or None for instances of the model."
        raise AnchorError("X", "at least one finite anchor", "none", hint)
