"""Check that the model does not give its training data back."""

from __future__ import annotations

from pxgen_plugins.evaluation.checks.base import register
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.evaluation.memorisation import copies
from pxgen_plugins.models.base import capabilities

NAME = "memory"
_HIGHEST = 0.55  # area under the curve of membership: 0.5 tells nothing


@register(NAME)
def memory(context: Context) -> list[Row]:
    """Look for training data in what the model makes, with held-out data as the control.

    No training instance may be given back (at a false discovery rate of 5%), and of no criterion
    may the whole 95% interval of the area under the membership curve lie above 0.55. See
    :func:`pxgen_plugins.evaluation.copies`.
    """
    case = "training against held-out data"
    if context.training is None or context.held_out is None:
        return [Row.skip(NAME, case, "needs training= and held_out=")]
    if "sample" not in capabilities(context.model):
        return [Row.skip(NAME, case, "the model cannot sample")]
    found = copies(context.explainer, context.training, context.held_out, seed=context.seed)
    note = " ".join(found.notes)
    rows = [Row.of(NAME, case, "instances given back", float(found.count), high=0.0, note=note)]
    for name, area in found.membership.items():
        # judged by the low end: a high end above the limit proves nothing
        state = "failed" if area.interval[0] > _HIGHEST else "passed"
        rows.append(
            Row(
                NAME,
                case,
                f"membership by {name}, area",
                area.auc,
                interval=area.interval,
                high=_HIGHEST,
                state=state,
                note="fails where the whole interval is above",
            )
        )
    return rows
