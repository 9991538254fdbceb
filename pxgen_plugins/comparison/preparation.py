"""What all methods of a comparison share, found before they run: anchors, target, codes, costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.adapters.targets import resolve
from pxgen_plugins.anchors import Anchors
from pxgen_plugins.comparison.cost import nominal_seconds
from pxgen_plugins.criteria import Criterion, make
from pxgen_plugins.models.base import capabilities, passes, properties
from pxgen_plugins.models.callables import gradient_proof
from pxgen_plugins.models.kept_codes import keep_codes
from pxgen_plugins.result import Result
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.text import duration_text

__all__ = ["choose_space", "choose_target", "features", "local_anchors", "pass_seconds"]

_CHEAP = 1.0  # seconds that a target may take for one anchor, where another would do
_CODES = 60.0  # seconds that the codes of all anchors may take

Space = str | Callable[[Any], Any]


def local_anchors(result: Result, n: int) -> NDArray[np.int64]:
    """Take anchors in turn from each group's first selector, most representative first."""
    groups = result.groups.values()
    queues = [list(next(iter(group.representatives.values()), [])) for group in groups]
    rows: list[int] = []
    while len(rows) < n and any(queues):
        for queue in queues:
            if queue and len(rows) < n:
                rows.append(int(queue.pop(0)))
    return np.array(rows, dtype=np.int64)


def choose_target(
    model: Any, criteria: Sequence[Any], inputs: NDArray[np.float32], seed: int
) -> Any:
    """Return what adapters explain when nobody says it: a criterion that the groups go by.

    Extrinsic ones come first. The first with a gradient at an anchor is taken that costs less than
    a second there (criteria that invert a generator cost more), else the first with a gradient,
    else the first of all.

    Args:
        model: The model.
        criteria: Names or objects; objects keep what they learned.
        inputs: Some anchors as the model takes them.
        seed: Seed of the target's own noise.
    """
    known = [one for one in map(_made, criteria) if one is not None]
    known.sort(key=lambda criterion: criterion.kind != "extrinsic")
    slow = None
    for criterion in known:
        seconds = _gradient_seconds(criterion, model, inputs, seed)
        if seconds is not None and seconds < _CHEAP:
            return criterion
        if seconds is not None and slow is None:
            slow = criterion
    first = known[0] if known else "mse"
    return first if slow is None else slow


def has_gradient(target: Any, model: Any, inputs: NDArray[np.float32], seed: int) -> bool:
    """Return whether a target has a gradient with respect to the first anchor."""
    return _gradient_seconds(target, model, inputs, seed) is not None


def pass_seconds(
    model: Any, target: Any, inputs: NDArray[np.float32], seed: int
) -> dict[str, float]:
    """Return the seconds per instance of what methods call, by name; what fails is left out.

    See :func:`~pxgen_plugins.comparison.cost.nominal_seconds`.
    """
    if not len(inputs):
        return {}
    x = _tensor(model, inputs)
    able = capabilities(model)
    embed = model.encode if "encode" in able else getattr(model, "embed", None)
    calls: dict[str, Callable[[], Any]] = {}
    if able & {"encode", "embed"}:
        calls["embed"] = lambda: embed(x)  # type: ignore[misc]  # it has one of the two
    if "decode" in able and model.latent_shape is not None:
        codes = torch.zeros(len(x), *model.latent_shape).to(x)
        calls["decode"] = lambda: model.decode(codes)
    calls["target"] = lambda: resolve(target, model).value(model, x, seed=seed)
    whole = passes(model, "reconstruct")
    several = {"embed": passes(model, "embed"), "decode": passes(model, "decode"), "target": whole}
    seconds = {}
    for name, call in calls.items():
        try:
            with keep_codes(False), torch.no_grad():
                seconds[name] = nominal_seconds(call, len(x), several[name]) / len(x)
        except Exception:  # then methods that need it say what is wrong
            continue
    return seconds


def choose_space(model: Any, n: int, embed_seconds: float | None) -> tuple[Space, str]:
    """Return the space of prototypes and views that nobody chose, and why it is not the codes'.

    Args:
        model: The model.
        n: Number of anchors.
        embed_seconds: What one code costs; None where the model gives none.
    """
    if embed_seconds is not None and n * embed_seconds <= _CODES:
        return "latent", ""
    # a table's columns differ in unit: it brings its own features
    instead: Space = getattr(model, "features", None) or "pixel"
    name = "its own features" if callable(instead) else "the instances themselves"
    if embed_seconds is None:
        return instead, f"in {name}: this model gives no codes"
    time = duration_text(n * embed_seconds)
    return instead, f"in {name}: the codes of {n:,} anchors would take {time}"


def features(scorer: Scorer, anchors: Anchors, result: Result, space: Space) -> NDArray[np.float32]:
    """Return codes of all anchors, or what stands for them in ``space``; NaN for invalid ones.

    Texts have no distance of their own: without codes their criterion values stand for them.
    """
    valid = np.flatnonzero(~result.is_invalid)
    if space == "pixel" and "numbers" not in properties(scorer.model):
        known = np.asarray(result.values, dtype=np.float32)[valid]
    else:
        known = scorer.features(anchors, valid, lambda batch: _in_space(space, batch))
    table = np.full((len(anchors), known.shape[1]), np.nan, dtype=np.float32)
    table[valid] = known
    return table


def _in_space(space: Space, batch: Any) -> Any:
    if callable(space):
        return space(batch.x)
    return batch.code if space == "latent" else batch.x


def _made(criterion: Any) -> Criterion | None:
    try:
        return make(criterion)
    except Exception:  # of an explanation whose criterion is not registered here
        return None


def _tensor(model: Any, inputs: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(inputs).to(model.device, model.dtype)


def _gradient_seconds(
    target: Any, model: Any, inputs: NDArray[np.float32], seed: int
) -> float | None:
    """Return how long a gradient at the first anchor takes; None where there is none."""
    if not len(inputs):
        return None
    gradients: list[torch.Tensor | None] = []

    def call() -> None:
        x = _tensor(model, inputs[:1]).requires_grad_()
        values = resolve(target, model).value(model, x, seed=seed)
        gradients.extend(torch.autograd.grad(values.sum(), x, allow_unused=True))

    try:
        with torch.enable_grad(), gradient_proof():
            seconds = nominal_seconds(call, 1, passes(model, "reconstruct"))
    except Exception:  # no gradient, no capability, or not fitted: it cannot be explained by one
        return None
    return None if gradients[0] is None else seconds
