"""What distances between instances are measured in: elements, features, columns or text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors, open_for
from pxgen_plugins.criteria.base import Batch
from pxgen_plugins.criteria.feature_distance import feature_maps, flat
from pxgen_plugins.criteria.text import edit_distance
from pxgen_plugins.models.base import own_features, properties
from pxgen_plugins.scoring.reader import Reader
from pxgen_plugins.utils.errors import AnchorError

__all__ = ["Space"]

_GRAM = 5  # characters


class Space:
    """Instances as distances compare them.

    Texts are the sets of their runs of five characters ("shingles", Broder 1997), at the distance
    of Jaccard; rows of a table are its model's own features; all else is the user's network, or
    the elements themselves, at Euclidean distances.

    Args:
        model: The model whose instances they are.
        network: Callable from a batch, (b, *sample_shape), to features; None takes the above.
        batch_size: Instances at a time; None as the reader chooses.
    """

    def __init__(self, model: Any, network: Any = None, batch_size: int | None = None) -> None:
        self.model, self.network = model, network
        self.reader = Reader(model, batch_size)
        self.texts = network is None and "numbers" not in properties(model)

    @property
    def name(self) -> str:
        """What distances are measured in, in words."""
        if self.network is not None:
            return "features of the network"
        if self.texts:
            return f"runs of {_GRAM} characters"
        return "elements" if own_features(self.model) is None else "columns over their ranges"

    def open(self, X: Any, name: str) -> tuple[Anchors, Any]:
        """Return the anchors behind ``X``, and a row for each.

        Raises:
            AnchorError: When one cannot be read or is not finite: a set with holes proves nothing.
        """
        anchors = open_for(self.model, X)
        reasons: dict[int, str] = {}
        parts = []
        for _, x in self.reader.batches(anchors, None, reasons):
            if reasons:
                index, why = next(iter(reasons.items()))
                allowed = "readable and finite"
                raise AnchorError(name, allowed, f"instance {index}: {why}", "Leave it out.")
            parts.append(self._rows(x))
        return anchors, self._whole(parts)

    def portions(self, n: int) -> list[tuple[bool, int]]:
        """Return whether samples are of those that criteria may learn from, and how many.

        A model with a finite number of samples gives all that it has, but no more than ``n``: none
        is kept back for criteria to learn from.
        """
        if getattr(self.model, "n_held", None) is None:
            return [(False, n)]
        n = min(n, self.model.n_held)
        return [(True, n // 2), (False, n - n // 2)]

    def part(
        self, portion: tuple[bool, int], seed: int, rows: range | None = None
    ) -> NDArray[np.float32]:
        """Return the samples of a portion, or those at ``rows``, as the model gives them."""
        learning, n = portion
        found = self.reader.samples(n, seed, learning=learning, rows=rows)
        parts = [x.detach().float().cpu().numpy().copy() for _, x in found]
        none = np.empty((0, *(self.model.sample_shape or (1,))), dtype=np.float32)
        return np.concatenate(parts) if parts else none

    def draw(self, n: int, seed: int) -> NDArray[np.float32]:
        """Return ``n`` samples of the model, as it gives them; of a finite number at most all."""
        return np.concatenate([self.part(one, seed) for one in self.portions(n) if one[1]])

    def rows(self, x: NDArray[np.float32]) -> Any:
        """Return a row for each of some instances, (n, *sample_shape), as the model takes them."""
        size = self.reader.batch_size
        starts = range(0, len(x), size)
        like = {"device": self.reader.device, "dtype": self.model.dtype}
        return self._whole(
            [self._rows(torch.as_tensor(x[at : at + size]).to(**like)) for at in starts]
        )

    def edits(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> list[float] | None:
        """Return the edits between pairs of texts, over the longer length; None for no texts."""
        if not self.texts:
            return None
        pairs = zip(self.render(x), self.render(y), strict=True)
        return [
            edit_distance([ord(c) for c in one], [ord(c) for c in other])
            / max(len(one), len(other), 1)
            for one, other in pairs
        ]

    def render(self, x: NDArray[np.float32]) -> list[str]:
        """Return instances as texts, by the model."""
        texts: list[str] = self.model.render(torch.from_numpy(x))
        return texts

    def _rows(self, x: torch.Tensor) -> Any:
        if self.texts:
            return [_grams(text) for text in self.model.render(x)]
        with torch.no_grad():
            if self.network is not None:
                rows = flat(feature_maps(self.network, x))
            else:
                rows = Batch(self.model, x).comparable(x).flatten(1)
        return rows.float().cpu().numpy().copy()

    def _whole(self, parts: list[Any]) -> Any:
        if not self.texts:
            return np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)
        return _sets([grams for part in parts for grams in part])


_WIDTH = 2**20  # columns that runs of characters are spread over


def _grams(text: str) -> set[int]:
    from zlib import crc32

    last = max(len(text) - _GRAM, 0)
    runs = (text[at : at + _GRAM].encode("utf-8", "surrogatepass") for at in range(last + 1))
    return {crc32(run) % _WIDTH for run in runs}


def _sets(rows: list[set[int]]) -> Any:
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.fromiter((c for row in rows for c in sorted(row)), np.int64, int(ends[-1]))
    ones = np.ones(len(columns), dtype=np.float32)
    return csr_array((ones, columns, ends), shape=(len(rows), _WIDTH))
