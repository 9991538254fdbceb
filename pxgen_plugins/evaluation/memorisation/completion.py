"""Extraction of pictures: what a model makes of a caption, or of a part, against the original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.evaluation.memorisation.inpainting import fill
from pxgen_plugins.evaluation.memorisation.ranks import mann_whitney
from pxgen_plugins.evaluation.memorisation.sets import Sets
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.groups.p_values import control_p_values
from pxgen_plugins.utils.nearest import len_of, nearest
from pxgen_plugins.utils.seeds import derive

__all__ = ["LEFT_HALF", "Completion", "by_captions", "by_parts", "completion"]

Floats = NDArray[np.float64]
Update = Callable[[int], object]
LEFT_HALF = "its left half"


@dataclass(frozen=True)
class Completion:
    """How closely a model makes pictures anew, given something of each.

    An error is the distance of the picture to what was made, over its distance to the nearest other
    real one.

    Attributes:
        given: What the model was given, in words.
        median: Median error of training instances.
        control: Of held-out ones: what a model can guess.
        p_value: That those of training instances are not smaller (Mann and Whitney 1947).
        found: Positions in the training set of those that come too close, at the false discovery
            rate, the closest first.
        n: Training instances that were tried.
        n_control: Held-out ones.
    """

    given: str
    median: float
    control: float
    p_value: float
    found: tuple[int, ...]
    n: int
    n_control: int

    @classmethod
    def from_dict(cls, content: Any) -> Completion:
        """Return what :meth:`to_dict` gave, read from a file."""
        return cls(**{**content, "found": tuple(content["found"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under their names."""
        return asdict(self)


def completion(
    given: str, errors: Floats, control: Floats, positions: NDArray[np.int64], fdr: float
) -> Completion:
    """Return which training instances a model makes anew more closely than held-out ones.

    The rank of an error among those of held-out instances is a valid p-value where training and
    held-out instances come from one source, however well the model guesses.

    Args:
        given: What the model was given, in words.
        errors: Of the training instances, (n,).
        control: Of the held-out ones, (m,).
        positions: Of the training instances in their set, (n,).
        fdr: Highest false discovery rate of what is found.

    Example:
        >>> errors, control = np.r_[0.1, 0.2, np.arange(50.0, 58.0)], np.arange(1.0, 101.0)
        >>> completion("its caption", errors, control, np.arange(10), fdr=0.1).found
        (0, 1)
    """
    from scipy.stats import false_discovery_control

    p_values = false_discovery_control(control_p_values(errors, control))
    hits = np.flatnonzero(p_values <= fdr)
    hits = hits[np.argsort(errors[hits], kind="stable")]
    return Completion(
        given,
        float(np.median(errors)),
        float(np.median(control)),
        mann_whitney(errors, control)[1],
        tuple(int(at) for at in positions[hits]),
        len(errors),
        len(control),
    )


def by_captions(
    space: Space, sets: Sets, attempts: int, fdr: float, seed: int, update: Update
) -> Completion | None:
    """Let a model that reads prompts draw what the captions of both sets say.

    Carlini et al. 2023, "Extracting training data from diffusion models": training captions,
    several samples of each; the error of an instance is that of its closest sample.

    Args:
        space: What distances are measured in.
        sets: The two sets; None is returned where one has no captions.
        attempts: Samples for each caption.
        fdr: Highest false discovery rate of what is found.
        seed: Seed of the samples.
        update: Gets the number of samples that are done since the last call.

    Cost: ``attempts`` samples for each of the n + m instances.
    """
    captions = [one.prompts for one in (sets.known, sets.new) if one.prompts is not None]
    if not callable(getattr(space.model, "bind", None)) or len(captions) < 2:
        return None
    errors = []
    for name, rows, texts in zip(
        ("known", "new"), (sets.rows, sets.control), captions, strict=True
    ):
        made = np.full(len_of(rows), np.inf)
        for attempt in range(attempts):
            own = derive(seed, "captions", name, attempt)
            for at in range(0, len(made), space.reader.batch_size):
                part = texts[at : at + space.reader.batch_size].tolist()
                drawn = space.model.sample(len(part), own, prompt=part, first=at)
                x = space.rows(drawn.float().cpu().numpy())
                distance = np.linalg.norm(x - rows[at : at + len(part)], axis=1)
                made[at : at + len(part)] = np.minimum(made[at : at + len(part)], distance)
                update(len(part))
        errors.append(made)
    scale = _scale(np.concatenate([sets.rows, sets.control]))
    both = [errors[0] / scale[: len(errors[0])], errors[1] / scale[len(errors[0]) :]]
    what = f"its caption, {attempts} samples"
    return completion(what, both[0], both[1], sets.kept, fdr)


def by_parts(
    space: Space, sets: Sets, most: int, fdr: float, seed: int, update: Update
) -> Completion | None:
    """Let a model fill in the right half of pictures, given the left half.

    Carlini et al. 2023, section on inpainting attacks: a model that remembers a picture knows its
    hidden half better than that of a new one. Distances are between the elements of that half.

    Args:
        space: Where instances are read.
        sets: The two sets.
        most: Instances of each that are tried, drawn at random.
        fdr: Highest false discovery rate of what is found.
        seed: Seed of noise, and of which instances are tried.
        update: Gets the number of instances that are done since the last call.

    Returns:
        What was found; None where the model can fill in nothing, or instances are no pictures.
    """
    shape = space.model.sample_shape
    if shape is None or len(shape) < 2 or shape[-1] < 2:
        return None
    mask = torch.ones(shape, dtype=torch.bool)
    mask[..., shape[-1] // 2 :] = False  # what is known
    hidden = ~mask.flatten().numpy()
    rng = np.random.default_rng(derive(seed, "parts"))
    real, made, kept = [], [], []
    for anchors, name in ((sets.known, "known"), (sets.new, "new")):
        index = np.sort(rng.permutation(len(anchors))[:most])
        x = torch.from_numpy(space.reader.inputs(anchors, index))
        parts = []
        for at in range(0, len(x), space.reader.batch_size):
            part = x[at : at + space.reader.batch_size]
            filled = _fill(space, part, mask, derive(seed, "fill", name), at)
            if filled is None:
                return None
            parts.append(filled)
            update(len(part))
        real.append(x.flatten(1).numpy()[:, hidden])
        made.append(np.concatenate(parts).reshape(len(x), -1)[:, hidden])
        kept.append(index)
    scale = _scale(np.concatenate(real))
    errors = np.linalg.norm(np.concatenate(made) - np.concatenate(real), axis=1) / scale
    n = len(kept[0])
    return completion(LEFT_HALF, errors[:n], errors[n:], sets.kept[kept[0]], fdr)


def _fill(
    space: Space, x: Tensor, mask: Tensor, seed: int, first: int
) -> NDArray[np.float32] | None:
    own = x.to(space.reader.device, space.model.dtype)
    filled = fill(space.model, own, mask.to(own.device), seed, first)
    return None if filled is None else filled.float().cpu().numpy()


def _scale(rows: Floats) -> Floats:
    """Return the distance of each real row to the nearest other; where that is 0, infinity."""
    distance, _ = nearest(rows, rows, np.arange(len(rows), dtype=np.int64))
    return np.where(distance > 0.0, distance, np.inf)
