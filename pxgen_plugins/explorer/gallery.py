"""The anchors of a session: read one by one, as thumbnails, and as neighbours of a picture."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pxgen_plugins.anchors import open_for
from pxgen_plugins.explorer.messages import MOST_ANCHORS
from pxgen_plugins.explorer.subject import Subject
from pxgen_plugins.explorer.views import sprite
from pxgen_plugins.models.base import own_features
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.errors import AnchorError, ParameterError
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["Gallery"]

_THUMBNAILS = 400
_WORDS = 60  # characters of a text or a row
_NEAREST = 5
_KEPT = 200  # codes of anchors, and pictures
_SIDE = 32  # pixels that pictures are reduced to before they are compared
_MOST_NUMBERS = 2**27  # of all anchors when they are compared: 512 MiB


class Gallery:
    """An anchor set, for one model.

    Args:
        X: Anything :meth:`pxgen_plugins.PXGen.explain` takes.
        subject: The model.
        labels: Labels of the anchors, instead of those of ``X``.

    Raises:
        AnchorError: When they cannot be read, or do not fit the model.
        ParameterError: When there are none or too many.
    """

    def __init__(self, X: Any, subject: Subject, labels: Any = None) -> None:
        self.subject = subject
        self.anchors = open_for(subject.model, X, labels=labels)
        if not 1 <= len(self.anchors) <= MOST_ANCHORS:
            hint = "Pass a part of them, as in X[:20000]."
            allowed = f"1 to {MOST_ANCHORS:,} anchors"
            raise ParameterError("X", allowed, f"{len(self.anchors):,}", hint)
        self._reader = Scorer(subject.model, [])
        self._codes: dict[int, Tensor] = {}
        self._glances: dict[int, dict[str, Any]] = {}
        self._sheets: dict[tuple[int, ...], dict[str, Any]] = {}  # thumbnails, by whose they are
        self._table: Tensor | None = None  # features of the readable anchors
        self._norms = torch.empty(0)  # squared
        self._readable = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.anchors)

    @property
    def labels(self) -> list[str] | None:
        """Labels of the anchors."""
        return None if self.anchors.labels is None else self.anchors.labels.tolist()

    def label(self, index: int) -> str | None:
        """Return the label of an anchor."""
        return None if self.anchors.labels is None else str(self.anchors.labels[index])

    def instance(self, index: int) -> Tensor:
        """Return an anchor as the model takes it, (1, *sample_shape), on the CPU.

        Raises:
            ParameterError: When there is no such anchor.
            AnchorError: When it cannot be read.
        """
        if index >= len(self):
            hint = f"Choose out of 0 to {len(self) - 1}."
            raise ParameterError("index", f"below {len(self)}", str(index), hint)
        reasons: dict[int, str] = {}
        rows = np.array([index], dtype=np.int64)
        for _, x in self._reader.batches(self.anchors, rows, reasons):
            if reasons:
                hint = "Choose another."
                raise AnchorError(f"anchor {index}", "readable", reasons[0], hint)
            return x.detach().cpu().clone()
        raise AssertionError("a batch of one anchor is empty")

    def some(self, n: int) -> Tensor | None:
        """Return up to ``n`` readable anchors, evenly spread; None where none of these is."""
        rows, parts = even_positions(len(self), n), []
        for index in rows:
            with suppress(AnchorError):
                parts.append(self.instance(int(index)))
        same = {tuple(x.shape) for x in parts}
        return torch.cat(parts) if len(same) == 1 else None

    def code(self, index: int) -> Tensor | None:
        """Return the code of an anchor, (1, *latent_shape); None where the model finds none.

        Those found last are kept: an inversion takes seconds.
        """
        if index not in self._codes:
            code = self.subject.embed(self.instance(index))
            if code is None:
                return None
            _keep(self._codes, index, code)
        return self._codes[index]

    def glance(self, index: int) -> dict[str, Any]:
        """Return how an anchor is shown in passing; those shown last are kept."""
        if index not in self._glances:
            shown = self.subject.view.show(self.instance(index), small=True)
            _keep(self._glances, index, shown)
        return self._glances[index]

    def codes(self, n: int) -> Tensor | None:
        """Return the codes of up to ``n`` anchors, evenly spread; None where there are none."""
        if not self.subject.embeds:
            return None
        parts = []
        for index in even_positions(len(self), n):
            try:
                code = self.code(int(index))
            except AnchorError:
                continue
            if code is not None and bool(code.isfinite().all()):
                parts.append(code)
        return torch.cat(parts) if parts else None

    def thumbnails(self, first: list[int]) -> dict[str, Any] | None:
        """Return up to 400 anchors as one picture: those named first, then evenly spread ones.

        It is made once: large pictures take seconds, which nobody should wait for when another tab
        is opened.
        """
        if self.subject.view.kind not in ("image", "vector"):
            return None
        spread = even_positions(len(self), _THUMBNAILS).tolist()
        chosen = tuple(sorted(dict.fromkeys([*first, *spread][:_THUMBNAILS])))
        if chosen not in self._sheets:
            view, rows = self.subject.view, np.array(chosen, dtype=np.int64)
            batches = self._reader.batches(self.anchors, rows, {})
            tiles = np.concatenate([view.pixels(x) for _, x in batches])
            _keep(self._sheets, chosen, sprite(tiles, chosen))
        return self._sheets[chosen]

    def words(self, indices: list[int]) -> dict[int, str]:
        """Return how texts and rows begin, by position: what stands for a thumbnail."""
        if self.subject.view.kind not in ("text", "table"):
            return {}
        return {index: _words(self.glance(index)) for index in indices}

    def nearest(self, x: Tensor) -> list[tuple[int, float]]:
        """Return the anchors nearest to an instance, and how far each is, nearest first.

        The distance is the root mean squared difference: of pixels, of pictures reduced to at most
        32 pixels a side, or of a table's own features, in units of the data. Texts have none.
        """
        features = self._features(x)
        if features is None:
            return []
        if self._table is None or not bool(features.isfinite().all()):
            return []
        squared = self._norms - 2.0 * (self._table @ features[0])  # but for what is the same to all
        k = min(_NEAREST, len(self._table))
        rows = torch.topk(squared, k, largest=False).indices
        # the expansion above loses digits where two are equal; five differences do not cost much
        exact = (self._table[rows] - features).double().square().mean(1).sqrt().tolist()
        pairs = sorted(zip(exact, self._readable[rows.numpy()].tolist(), strict=True))
        return [(index, distance) for distance, index in pairs]

    def load(self) -> None:
        """Read all anchors for :meth:`nearest`, unless they would take more than 512 MiB."""
        features = self._features(self.instance(self._first_readable()))
        if features is None or len(self) * features.shape[1] > _MOST_NUMBERS:
            return
        table = torch.full((len(self), features.shape[1]), torch.nan)
        reasons: dict[int, str] = {}
        for start, x in self._reader.batches(self.anchors, None, reasons):
            rows = self._features(x)
            if rows is not None:
                table[start : start + len(x)] = rows
        table[list(reasons)] = torch.nan
        good = table.isfinite().all(1)
        self._readable = np.flatnonzero(good.numpy())
        self._table = table if bool(good.all()) else table[good]
        self._norms = self._table.square().sum(1)

    def _first_readable(self) -> int:
        for index in range(len(self)):
            try:
                self.instance(index)
            except AnchorError:
                continue
            return index
        hint = "Look at one of them by hand."
        raise AnchorError("X", "readable", f"{len(self)} anchors of which none is", hint)

    def _features(self, x: Tensor) -> Tensor | None:
        view = self.subject.view
        if view.kind == "text":
            return None
        own = own_features(self.subject.model)
        if own is not None:
            return own(x).float().flatten(1).cpu()
        if view.kind == "image" and x.ndim == 4 and max(x.shape[2:]) > _SIDE:
            height, width = (min(_SIDE, side) for side in x.shape[2:])
            x = F.adaptive_avg_pool2d(x.float(), (height, width))
        return x.float().flatten(1).cpu()


def _words(shown: dict[str, Any]) -> str:
    row = [str(value) for _, value in shown.get("row", [])]
    return str(shown.get("text", ", ".join(row)))[:_WORDS]


def _keep(table: dict[Any, Any], key: Any, value: Any) -> None:
    """Put a value into a table that forgets the oldest."""
    if len(table) >= _KEPT:
        del table[next(iter(table))]
    table[key] = value
