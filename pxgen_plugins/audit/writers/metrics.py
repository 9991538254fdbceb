"""metrics.prom: an audit as metrics, in text that monitoring reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pxgen_plugins.audit.escaping import distinct, visible
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.verdicts import STATES, Judgement
from pxgen_plugins.audit.writers.base import Writer, register
from pxgen_plugins.result import Result
from pxgen_plugins.utils.files import write_atomic

__all__ = ["openmetrics"]

_Sample = tuple[dict[str, str], float]


@register("metrics")
class MetricsWriter(Writer):
    """Metrics for Prometheus and what else reads OpenMetrics."""

    files = ("metrics.prom",)

    def write(self, folder: Path, run: Run) -> None:
        """Write ``metrics.prom``."""
        content = openmetrics(run.result, run.judgements, run.manifest["name"])
        write_atomic(folder / "metrics.prom", content)


def openmetrics(result: Result, judgements: Sequence[Judgement], name: str) -> bytes:
    r"""Return fractions, counts, thresholds and states of conditions as gauges.

    OpenMetrics 1.0 text (RFC draft of 2020, its section "Text Format"). All families are gauges
    without unit, which the older Prometheus text format knows too, so the file also fits the
    textfile collector of the node exporter. Every sample has the label ``audit``. A condition has
    one sample for each state, 1 for its own and 0 for the others. Values of labels are escaped;
    control characters and invisible ones stand as ``\x1b`` before that.

    Args:
        result: Of the run.
        judgements: Of the conditions.
        name: Of the audit.

    Returns:
        UTF-8 that ends with ``# EOF``. It holds no time: the reader's clock counts.

    Example:
        >>> result = Result.of({
        ...     "criteria": ["kld"], "kinds": ["intrinsic"], "thresholds": {"kld": 20.0},
        ...     "values": [[1.0], [2.0], [30.0]], "group": ["HIHE", "HIHE", "LILE"], "groups": {},
        ... })
        >>> print(openmetrics(result, [], "digits").decode())  # doctest: +ELLIPSIS
        # TYPE pxgen_anchors gauge
        # HELP pxgen_anchors Anchors in each group.
        pxgen_anchors{audit="digits",group="HIHE"} 2
        ...
        # EOF
    """
    counts = result.counts
    shares = {state: count / result.n if result.n else math.nan for state, count in counts.items()}
    criteria = distinct(map(visible, result.criteria), " #")
    titles = distinct((visible(one.title) for one in judgements), " #")
    families: list[tuple[str, str, list[_Sample]]] = [
        ("anchors", "Anchors in each group.", [({"group": k}, c) for k, c in counts.items()]),
        (
            "group_fraction",
            "Share of the anchors in each group.",
            [({"group": k}, share) for k, share in shares.items()],
        ),
        (
            "threshold",
            "Threshold of each criterion, in its unit.",
            [
                ({"criterion": k}, value if math.isfinite(value) else math.nan)
                for k, value in zip(criteria, result.thresholds.tolist(), strict=True)
            ],
        ),
        (
            "condition_state",
            "1 for the state of each condition, 0 for the others.",
            [
                ({"condition": k, "severity": one.severity, "state": state}, state == one.state)
                for k, one in zip(titles, judgements, strict=True)
                for state in STATES
            ],
        ),
        (
            "condition_observed",
            "Value that each condition is about.",
            [
                ({"condition": k}, _number(one.observed))
                for k, one in zip(titles, judgements, strict=True)
            ],
        ),
        (
            "condition_limit",
            "Limit that each condition sets.",
            [
                ({"condition": k}, _number(one.limit))
                for k, one in zip(titles, judgements, strict=True)
            ],
        ),
    ]
    lines = []
    for family, words, samples in families:
        lines += [f"# TYPE pxgen_{family} gauge", f"# HELP pxgen_{family} {words}"]
        lines += [
            f"pxgen_{family}{_labels({'audit': name, **labels})} {_value_text(value)}"
            for labels, value in samples
        ]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _labels(labels: Mapping[str, str]) -> str:
    pairs = (f'{key}="{_escape(value)}"' for key, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return visible(value).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _value_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{int(value)}" if value == int(value) and abs(value) < 1e15 else repr(float(value))
