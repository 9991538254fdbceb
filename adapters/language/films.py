"""Films of latent axes: from anchors, of nothing, and beside others for the match test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.adapters.language.matching import LETTERS, NOBODY, Choices
from pxgen_plugins.adapters.language.strips import Strips
from pxgen_plugins.describers.base import Picture
from pxgen_plugins.utils.seeds import derive

__all__ = ["AxisFilms"]


@dataclass(frozen=True)
class AxisFilms:
    """The films of axes: of those that change something, of new anchors, and of nothing.

    Attributes:
        strips: Walks along the axes.
        anchors: Codes that are described.
        others: New codes.
        moving: Positions of the axes that change something.
        spare: Walks along other axes, for match questions with too few.
        n_films: 1, or 2 for films between which another axis differs.
        n_choices: Films of a match question.
        seed: Seed of what is drawn.
    """

    strips: Strips
    anchors: Tensor
    others: Tensor
    moving: list[int]
    spare: Strips
    n_films: int
    n_choices: int
    seed: int

    def null(self, i: int, q: int, turned: bool) -> list[Picture]:
        """Return films in which nothing can be found, of three kinds in turn."""
        rng = np.random.default_rng(derive(self.seed, "null", i, q))
        frames = [self._nothing(i, rng) for _ in range(self.n_films)]
        letters = LETTERS if len(frames) > 1 else [""]
        return [
            self.strips.film(one, letter, turned)
            for one, letter in zip(frames, letters, strict=False)
        ]

    def _code(self, codes: Tensor, q: int) -> Tensor:
        at = q % len(codes)
        return codes[at : at + 1]

    def shown(self, u: int, q: int, turned: bool) -> list[Picture]:
        """Return the film of an axis for a question; of a combination two, another axis apart."""
        z = self._code(self.anchors, q)
        if self.n_films == 1:
            return [self.strips.film(self.strips.instances(u, z)[0], "", turned)]
        second = self.moving[(self.moving.index(u) + 1) % len(self.moving)]
        starts = [z, self.strips.end(second, z)]
        return [
            self.strips.film(self.strips.instances(u, start)[0], letter, turned)
            for start, letter in zip(starts, LETTERS, strict=False)
        ]

    def _nothing(self, i: int, rng: np.random.Generator) -> Any:
        """Return frames that are equal, in random order, or of other codes."""
        n, kind = self.strips.n_steps, i % 3
        codes = self.others if len(self.others) >= n else torch.cat([self.anchors, self.others])
        if kind == 1:
            u = self.moving[int(rng.integers(len(self.moving)))]
            z = self._code(codes, int(rng.integers(len(codes))))
            return self.strips.instances(u, z)[0][rng.permutation(n)]
        chosen = rng.choice(len(codes), n, replace=len(codes) < n)
        if kind == 0:
            chosen = np.repeat(chosen[:1], n)
        return self.strips.decode(codes[torch.from_numpy(chosen)])

    def choices(self, u: int, i: int, place: int) -> Choices:
        """Return films from a new anchor: the right one at its place, other axes around it.

        Where there are too few other axes, others at right angles to all stand in, and films in
        which nothing can be found where there are no such either.
        """
        rng = np.random.default_rng(derive(self.seed, "choices", u, i))
        z, most = self._code(self.others, i), self.n_choices - 1
        rest = rng.permutation([v for v in self.moving if v != u]).tolist()[:most]
        shown = [(self.strips.instances(v, z)[0], self.moving.index(v)) for v in rest]
        for v in range(most - len(shown)):
            if self.spare.axes:
                frames = self.spare.instances(v % len(self.spare.axes), z)[0]
            else:
                frames = self._nothing(2 * v, rng)
            shown.append((frames, NOBODY))
        shown.insert(place, (self.strips.instances(u, z)[0], self.moving.index(u)))
        pictures = [self.strips.film(one, LETTERS[at]) for at, (one, _) in enumerate(shown)]
        return Choices(pictures, [of for _, of in shown])
