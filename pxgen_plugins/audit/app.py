"""``pxgen app``: the explorer of the model and the anchors that an audit's settings name."""

from __future__ import annotations

from collections.abc import Callable

from pxgen_plugins.anchors import Subset
from pxgen_plugins.audit import fit
from pxgen_plugins.audit.engine import make_plan
from pxgen_plugins.audit.inputs import open_set
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.explorer import Session
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.sequences import even_positions
from pxgen_plugins.utils.threads import one_thread

__all__ = ["open_session"]

_MOST = 5_000  # anchors of the page; an audit may have millions


@caller("pxgen app")
def open_session(config: Config, say: Callable[[str], None] = lambda text: None) -> Session:
    """Return the session: the model, at most 5,000 anchors evenly spread, and a fitted explainer.

    Thresholds are those of the audit where its run folder holds them, so that groups are those of
    its report; else they are found as it would find them.

    Args:
        config: The settings, from :func:`~pxgen_plugins.audit.settings.load_config`.
        say: Gets a line of text about each step.

    Raises:
        PXGenError: When a setting, the model or the anchors are not as they should be.
    """
    plan, explainer = make_plan(config)
    anchors, model = plan.anchors, explainer.predictor
    say(anchors.describe())
    if len(anchors) > _MOST:
        say(f"{_MOST:,} of the anchors are shown, evenly spread; sample: picks others")
        anchors = Subset(anchors, even_positions(len(anchors), _MOST))
    if fit.is_stored(config.output, plan.digest):
        say(f"thresholds of {config.output}")
        explainer = fit.load(config.output, model, plan.digest)
    else:
        say(f"calibrating on {plan.n_samples:,} instances")
        with one_thread():
            explainer.fit(open_set(config, "reference", model))
    say("scoring the anchors")
    return Session(model, anchors, explainer, title=config["name"])
