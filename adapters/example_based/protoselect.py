"""Alibi's ProtoSelect on an anchor set: prototypes whose balls cover their own label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import Floats
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.example_based._kernels import distances, pair_scale
from pxgen_plugins.adapters.example_based._prototypes import PrototypeAdapter, label_keys
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_PROTOSELECT_ADAPTER", "AlibiProtoSelect"]

_NEAR = 0.1  # quantile of the pairwise distances that is the radius when none is given

DEFAULT_DATA_PROTOSELECT_ADAPTER: dict[str, Any] = {
    "indices": np.empty(0, dtype=np.int64),
    "covered_labels": None,
    "labels": None,
    "label_counts": {},
    "coverage": None,
    "radius": None,
    "space": "latent",
    "n_explained": 0,
    "n_candidates": 0,
    "invalid": np.empty(0, dtype=np.int64),
    "reasons": [],
}
"""Default data of AlibiProtoSelect, to be deep-copied; its docstring has the keys."""


@register("protoselect")
@dataclass(repr=False, eq=False, kw_only=True)
class AlibiProtoSelect(PrototypeAdapter):
    """Prototypes by set cover (Bien and Tibshirani 2011), computed by Alibi's ``ProtoSelect``.

    A prototype covers the anchors within ``radius``; each is picked to cover as many anchors of its
    label as it can that are not covered yet, and as few of other labels. There may be fewer
    prototypes than asked for: picking ends when the next one would not pay.

    Args:
        predictor: A model.
        n_prototypes: Most prototypes to pick, >= 1.
        radius: Radius of a prototype's ball, in the space's units; None takes the 10% quantile of
            the distances between anchors.
        penalty: Price of one more prototype, in anchors covered; None takes 1 / n.
        seed: Seed of the anchors that the quantile is taken from.
        batch_size: Instances per model call, and rows per block of distances.
        space, verbose: See the base class.

    Fields:
        indices (int64 (k,)): The k prototypes as indices into the anchors, label by label.
        covered_labels (str (k,)): The label that each stands for; None where no labels were given.
        labels (str (k,)): Their own labels; None likewise.
        label_counts (dict): How many prototypes have each label, by label; {} without labels.
        coverage (float): Share of the explained anchors within the radius of a prototype, in [0,
            1], of any label; None where nothing was explained.
        radius (float): Radius of a prototype's ball, in units of the space; None likewise.
        space (str): The space, or a callable in words.
        n_explained (int): Anchors explained.
        n_candidates (int): Anchors that could be picked, which are the same.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what the space needs.

    Cost: n model passes, then O(n^2 (d + l)) time and O(n^2 l) memory for l labels, in Alibi.

    Example:
        >>> import numpy as np, torch
        >>> from pxgen_plugins.models import VAE
        >>> model = VAE(encode=lambda x: (x[:, :2], torch.zeros_like(x[:, :2]) - 1),
        ...             decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        ...             modules=(), sample_shape=(4,))
        >>> X = np.zeros((6, 4)); X[3:, :2] = 1.0
        >>> explanation = AlibiProtoSelect(model, 4, radius=0.5).explain(X)
        >>> explanation.indices.tolist(), explanation.coverage
        ([0, 3], 1.0)
    """

    library = "alibi"
    defaults = DEFAULT_DATA_PROTOSELECT_ADAPTER

    radius: float | None = None
    penalty: float | None = None

    def _check(self) -> None:
        super()._check()
        if self.radius is not None:
            self.radius = validation.real(self.radius, "radius", above=0.0)
        if self.penalty is not None:
            self.penalty = validation.real(self.penalty, "penalty", minimum=0.0)

    def _explain(self, X: Any, members: Any, labels: Any) -> dict[str, Any]:
        reader, indices, table = self._read(X, members, labels)
        explained = np.isfinite(table).all(axis=1)
        origin, table = indices[explained], table[explained]
        data = {
            "space": self._params()["space"],
            "n_explained": len(table),
            "n_candidates": len(table),
            **reader.exclusions(),
        }
        if not len(table):
            return data
        radius = self.radius or pair_scale(table, derive(self.seed, "radius"), _NEAR)
        names = reader.anchors.labels
        kinds, codes = np.unique(
            np.zeros(len(table), dtype=np.str_) if names is None else names[origin],
            return_inverse=True,
        )
        prototypes, kind = self._pick(table, codes, radius)
        return {
            **data,
            "indices": origin[prototypes],
            "covered_labels": None if names is None else kinds[kind],
            "coverage": _coverage(table, prototypes, radius),
            "radius": radius,
            **label_keys(names, origin[prototypes]),
        }

    def _pick(
        self, table: Floats, codes: NDArray[np.int64], radius: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        distance = load("alibi.utils.kernel", "alibi").EuclideanDistance()
        summariser = (
            load("alibi.prototypes", "alibi")
            .ProtoSelect(
                kernel_distance=distance,
                eps=radius,
                lambda_penalty=self.penalty,
                batch_size=self.batch_size,
                verbose=False,
            )
            .fit(table, codes)
        )
        summary = summariser.summarise(min(self.n_prototypes, len(table))).data
        return (
            np.asarray(summary["prototype_indices"], dtype=np.int64),
            np.asarray(summary["prototype_labels"], dtype=np.int64),
        )


def _coverage(table: Floats, prototypes: NDArray[np.int64], radius: float) -> float:
    if not len(prototypes):
        return 0.0
    return float((np.sqrt(distances(table, table[prototypes])).min(axis=1) <= radius).mean())
