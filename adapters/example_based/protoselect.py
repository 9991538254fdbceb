"""Alibi's ProtoSelect on an anchor set: prototypes whose balls cover their own label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from alibi.api.interfaces import Explanation
from numpy.typing import NDArray

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.example_based._kernels import distances, pair_scale
from pxgen_plugins.adapters._anchors import (
    Floats,
    Rows,
    as_array,
    check_space,
    chosen_members,
    labels_of,
    space_text,
)
from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.adapters.example_based.protodash import SPACES
from pxgen_plugins.utils import validation
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
"""Data of an explanation by :class:`AlibiProtoSelect`; k prototypes, label by label.

- ``indices``: int64 (k,), into the anchors.
- ``covered_labels``: str (k,), the label each prototype stands for; None without labels.
- ``labels``, ``label_counts``: the prototypes' own labels, str (k,), and how many have each.
- ``coverage``: share of the explained anchors within the radius of a prototype; None when empty.
- ``radius``, ``space``: as they were used.
- ``n_explained``, ``n_candidates``: anchors explained, and those that could be picked.
- ``invalid``, ``reasons``: anchors left out because they or their features are not finite.
"""


@register("protoselect")
class AlibiProtoSelect(Adapter):
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
        space: ``"latent"`` (posterior means), ``"pixel"``, or a callable from a batch of anchors to
            features.
        seed: Seed of the anchors that the quantile is taken from.
        batch_size: Instances per model call, and rows per block of distances.
        verbose: Show progress bars on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what the space needs.

    Cost: n model passes, then O(n^2 (d + l)) time and O(n^2 l) memory for l labels, in Alibi.

    Example:
        >>> import numpy as np, torch
        >>> from pxgen_plugins.models import VAE
        >>> model = VAE(encode=lambda x: (x[:, :2], torch.zeros_like(x[:, :2]) - 1),
        ...             decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        ...             latent_shape=(2,), sample_shape=(4,))
        >>> X = np.zeros((6, 4)); X[3:, :2] = 1.0
        >>> explanation = AlibiProtoSelect(model, 4, radius=0.5).explain(X)
        >>> explanation.indices.tolist(), explanation.coverage
        ([0, 3], 1.0)
    """

    evidence = "prototypes"
    access = "latent"
    library = "alibi"
    scope: ClassVar[list[str]] = ["global"]
    defaults = DEFAULT_DATA_PROTOSELECT_ADAPTER

    def __init__(
        self,
        predictor: Any,
        n_prototypes: int = 10,
        *,
        radius: float | None = None,
        penalty: float | None = None,
        space: str | Callable[[Any], Any] = "latent",
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = type(self).__name__
        self.n_prototypes = validation.integer(n_prototypes, "n_prototypes", where, minimum=1)
        self.radius = radius
        if radius is not None:
            self.radius = validation.real(radius, "radius", where, above=0.0)
        self.penalty = penalty
        if penalty is not None:
            self.penalty = validation.real(penalty, "penalty", where, minimum=0.0)
        self.space = space
        params = {
            "n_prototypes": n_prototypes,
            "radius": radius,
            "penalty": penalty,
            "space": space_text(space),
        }
        super().__init__(predictor, params, seed=seed, batch_size=batch_size, verbose=verbose)

    def explain(  # type: ignore[override]  # named arguments in the place of any
        self, X: Any, members: Any = None, labels: Any = None
    ) -> Explanation:
        """Return the prototypes of the anchors, or of a group of them.

        Args:
            X: Anchors, (n, *sample_shape).
            members: Indices of the anchors that are explained; None takes all.
            labels: n labels of the anchors; without, all count as one label.

        Returns:
            Alibi's Explanation, with :data:`DEFAULT_DATA_PROTOSELECT_ADAPTER`.

        Raises:
            AnchorError: When the anchors do not fit the model.
            ParameterError: When ``members`` are no indices of anchors.
        """
        given = None if members is None else np.asarray(members)
        return super().explain(X, members=given, labels=as_array(labels))

    def reset_predictor(self, predictor: Any) -> None:
        """See :meth:`Adapter.reset_predictor`."""
        check_space(self.space, predictor, type(self).__name__, SPACES)
        super().reset_predictor(predictor)

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        where = "AlibiProtoSelect.explain"
        rows = Rows(X, self.predictor, where, self.batch_size, labels=kwargs["labels"])
        members = chosen_members(kwargs["members"], len(rows), where)
        table = rows.features(self.space, members, verbose=self.verbose)
        explained = np.isfinite(table).all(axis=1)
        origin, table = members[explained], table[explained]
        found = {
            "space": space_text(self.space),
            "n_explained": len(table),
            "n_candidates": len(table),
            **rows.found_invalid(),
        }
        if not len(table):
            return found
        radius = self.radius or pair_scale(table, derive(self.seed, "radius"), _NEAR)
        names = rows.anchors.labels
        kinds, codes = np.unique(
            np.zeros(len(table), dtype=np.str_) if names is None else names[origin],
            return_inverse=True,
        )
        picked, stands_for = self._pick(table, codes, radius)
        indices = origin[picked]
        return {
            **found,
            "indices": indices,
            "covered_labels": None if names is None else kinds[stands_for],
            "coverage": _coverage(table, picked, radius),
            "radius": radius,
            **labels_of(names, indices),
        }

    def _pick(
        self, table: Floats, codes: NDArray[np.int64], radius: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        from alibi.prototypes import ProtoSelect
        from alibi.utils.kernel import EuclideanDistance

        summariser = ProtoSelect(
            kernel_distance=EuclideanDistance(),
            eps=radius,
            lambda_penalty=self.penalty,
            batch_size=self.batch_size,
            verbose=False,
        ).fit(table, codes)
        found = summariser.summarise(min(self.n_prototypes, len(table))).data
        return (
            np.asarray(found["prototype_indices"], dtype=np.int64),
            np.asarray(found["prototype_labels"], dtype=np.int64),
        )


def _coverage(table: Floats, picked: NDArray[np.int64], radius: float) -> float:
    if not len(picked):
        return 0.0
    return float((np.sqrt(distances(table, table[picked])).min(axis=1) <= radius).mean())
