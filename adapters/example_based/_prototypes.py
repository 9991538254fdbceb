"""What the adapters that pick prototypes share: a group of the anchors, as features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import (
    AnchorReader,
    Floats,
    Indices,
    as_array,
    check_space,
    member_indices,
)
from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.host import Explanation
from pxgen_plugins.utils import validation

__all__ = ["PrototypeAdapter", "label_keys"]

_SPACES = ("latent", "pixel")


@dataclass(repr=False, eq=False)
class PrototypeAdapter(Adapter):
    """Base of the adapters that pick prototypes of anchors.

    Args:
        predictor: A model.
        n_prototypes: Most prototypes to pick, >= 1.
        space: ``"latent"`` (posterior means, or embeddings), ``"pixel"``, or a callable from
            anchors as the model takes them, a tensor (b, *sample_shape), to one row of features
            each.
        seed: Seed of everything drawn.
        batch_size: Instances per model call.
        verbose: Show progress bars on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what the space needs.
    """

    evidence = "prototypes"
    access = "latent"
    scope: ClassVar[list[str]] = ["global"]
    learns_from: ClassVar[str] = ""

    n_prototypes: int = 10
    _: KW_ONLY
    space: str | Callable[[Any], Any] = "latent"

    def _check(self) -> None:
        super()._check()
        self.n_prototypes = validation.integer(self.n_prototypes, "n_prototypes", minimum=1)
        check_space(self.space, _SPACES)

    def _check_model(self, model: Any) -> None:
        check_space(self.space, _SPACES, model)

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors."""
        return {"embed": n} if self.space == "latent" else {}

    def explain(  # type: ignore[override]  # named arguments in the place of any
        self, X: Any, members: Any = None, labels: Any = None
    ) -> Explanation:
        """Return the prototypes of the anchors, or of a group of them.

        Args:
            X: Anchors, (n, *sample_shape).
            members: Indices of the anchors that are explained, as in
                ``explanation.groups["HILE"]["indices"]``; None takes all.
            labels: n labels of the anchors.

        Returns:
            Alibi's Explanation; without a valid anchor or candidate there is no prototype.

        Raises:
            AnchorError: When the anchors do not fit the model.
            ParameterError: When ``members`` are no indices of anchors.
            MissingDependencyError: When a library is needed that is not installed.
        """
        given = None if members is None else np.asarray(members)
        return super().explain(X, members=given, labels=as_array(labels))

    def _read(self, X: Any, members: Any, labels: Any) -> tuple[AnchorReader, Indices, Floats]:
        """Return the reader of ``X``, the indices of the members, and their features."""
        reader = AnchorReader(X, self.predictor, self.batch_size, labels=labels)
        indices = member_indices(members, len(reader))
        return reader, indices, reader.features(self.space, indices, verbose=self.verbose)


def label_keys(names: NDArray[np.str_] | None, indices: Indices) -> dict[str, Any]:
    """Return the keys ``labels`` and ``label_counts`` for prototypes at ``indices``."""
    if names is None:
        return {}
    labels = names[indices]
    kinds, counts = np.unique(labels, return_counts=True)
    return {
        "labels": labels,
        "label_counts": {str(k): int(c) for k, c in zip(kinds, counts, strict=True)},
    }
