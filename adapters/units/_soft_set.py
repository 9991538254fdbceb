"""Strengths of units whose removal takes a concept away and whose insertion brings it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.units.change import Shares
from pxgen_plugins.adapters.units.insertion import Insertion, inside
from pxgen_plugins.adapters.units.unit_maps import Concepts, UnitLayer, concept_masks
from pxgen_plugins.utils.errors import ModelError
from pxgen_plugins.utils.progress import bar

__all__ = ["soft_set"]

_BATCH = 16
_START = 0.5


def soft_set(
    units: UnitLayer,
    z: Tensor,
    concepts: Concepts,
    before: Shares,
    inserted: Insertion,
    values: Tensor,
    *,
    penalty: float,
    steps: int,
    lr: float,
    batch_size: int,
    verbose: bool,
) -> NDArray[np.float64]:
    """Return strengths in [0, 1], (u,).

    They minimise the share of the concept that is left when every unit is moved towards "off" by
    its strength, less what appears in cells without the concept when it is moved there to its
    typical value, plus ``penalty`` times the sum of the squared strengths: the average causal
    effect of Bau et al. (2019), with the insertion measured in the middle of the patch. Adam,
    strengths cut to [0, 1] after each step. A unit without outgoing weights feels the penalty
    alone.

    Args:
        units: The layer.
        z: Codes, (n, *latent_shape).
        concepts: The concept, differentiable, by its name.
        before: Instances and masks of these codes.
        inserted: Where and with which values it can be inserted.
        values: What units that are off return, (1, u, 1, 1).
        penalty: Weight of the squared strengths.
        steps: Steps, of 16 codes each.
        lr: Learning rate.
        batch_size: Codes per model call.
        verbose: Show a progress bar.

    Raises:
        ModelError: When the concept has no gradient.

    Cost: 32 steps decoder passes with gradient.
    """
    alpha = torch.full((1, units.n_units, 1, 1), _START, requires_grad=True)
    optimiser = torch.optim.Adam([alpha], lr=lr)
    total = before.masks[:, 0].mean(dim=(1, 2))
    holders = torch.nonzero(total > 0)[:, 0]
    with torch.enable_grad(), bar(steps, "soft set", "step", verbose) as progress:
        for step in range(steps):
            place = torch.arange(_BATCH) + step * _BATCH
            rows = holders[place % len(holders)]
            optimiser.zero_grad()
            (penalty * alpha.square().sum()).backward()  # type: ignore[no-untyped-call]  # torch's
            # the gradient is added up part by part: no more instances at once than are allowed
            for part in torch.split(torch.arange(_BATCH), batch_size):
                x = units.decode_with(z[rows[part]], alpha, values)
                left = concept_masks(concepts, x)[:, 0].mean(dim=(1, 2))
                loss = left.sum() / total[rows].sum()
                if inserted.cells is not None:
                    places = place[part] % len(inserted.rows)
                    cell = inserted.cells[places]
                    y = units.decode_with(
                        z[inserted.rows[places]], alpha * inserted.patches(cell), inserted.typical
                    )
                    loss = loss - inside(concept_masks(concepts, y)[:, 0], cell).sum() / _BATCH
                if not loss.requires_grad:
                    raise _without_gradient()
                loss.backward()  # type: ignore[no-untyped-call]  # torch's
            if alpha.grad is None or not bool(alpha.grad.isfinite().all()):
                raise _without_gradient()
            optimiser.step()
            with torch.no_grad():
                alpha.clamp_(0.0, 1.0)
            progress.update(1)
    strengths: NDArray[np.float64] = alpha.detach().flatten().double().numpy()
    return strengths


def _without_gradient() -> ModelError:
    hint = "Use soft borders, as in Threshold(0.5, width=0.05), or method='greedy'."
    return ModelError("concept", "differentiable", "no finite gradient", hint)
