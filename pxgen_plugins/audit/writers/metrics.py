"""An audit as metrics, in text that monitoring reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.writers.shared import STATES, distinct, read, title
from pxgen_plugins.groups import GROUPS, INVALID

__all__ = ["openmetrics"]

_Sample = tuple[dict[str, str], float]


def openmetrics(
    data: Mapping[str, Any], judgements: Iterable[Mapping[str, Any]], name: str
) -> bytes:
    r"""Return fractions, counts, thresholds and states of conditions as gauges.

    OpenMetrics 1.0 text (RFC draft of 2020, its section "Text Format"). All families are gauges
    without unit, which the older Prometheus text format knows too, so the file also fits the
    textfile collector of the node exporter. Every sample has the label ``audit``. A condition has
    one sample for each state, 1 for its own and 0 for the others. Values of labels are escaped;
    control characters and invisible ones stand as ``\x1b`` before that.

    Args:
        data: Data of the run's explanation.
        judgements: Dicts as ``Judgement.as_dict`` returns them.
        name: Of the audit.

    Returns:
        UTF-8 that ends with ``# EOF``. It holds no time: the reader's clock counts.

    Raises:
        ParameterError: When a judgement lacks a key or has an unknown state.

    Example:
        >>> run = {"group": ["HIHE", "HIHE", "LILE"], "thresholds": {"kld": 20.0}}
        >>> print(openmetrics(run, [], "digits").decode())  # doctest: +ELLIPSIS
        # TYPE pxgen_anchors gauge
        # HELP pxgen_anchors Anchors in each group.
        pxgen_anchors{audit="digits",group="HIHE"} 2
        ...
        # EOF
    """
    found = read(judgements, "openmetrics")
    group = np.asarray(data["group"], dtype=np.str_)
    counts = {state: int(np.count_nonzero(group == state)) for state in (*GROUPS, INVALID)}
    n = len(group)
    shares = {state: count / n if n else math.nan for state, count in counts.items()}
    thresholds = data["thresholds"]
    criteria = distinct(map(visible, thresholds), " #")
    names = distinct((visible(title(one)) for one in found), " #")
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
                ({"criterion": k}, _number(value))
                for k, value in zip(criteria, thresholds.values(), strict=True)
            ],
        ),
        (
            "condition_state",
            "1 for the state of each condition, 0 for the others.",
            [
                ({"condition": k, "severity": str(one["severity"]), "state": state}, hit)
                for k, one in zip(names, found, strict=True)
                for state in STATES
                for hit in [float(state == one["state"])]
            ],
        ),
        (
            "condition_observed",
            "Value that each condition is about.",
            [({"condition": k}, _number(o["observed"])) for k, o in zip(names, found, strict=True)],
        ),
        (
            "condition_limit",
            "Limit that each condition sets.",
            [({"condition": k}, _number(o["limit"])) for k, o in zip(names, found, strict=True)],
        ),
    ]
    lines = []
    for family, words, samples in families:
        lines += [f"# TYPE pxgen_{family} gauge", f"# HELP pxgen_{family} {words}"]
        lines += [
            f"pxgen_{family}{_labels({'audit': name, **labels})} {_written(value)}"
            for labels, value in samples
        ]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _labels(labels: Mapping[str, str]) -> str:
    pairs = (f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return visible(value).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _written(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{int(value)}" if value == int(value) and abs(value) < 1e15 else repr(float(value))
