"""Conditions of an audit: one comparison each, written as text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["METRICS", "PATTERN", "Comparison", "Condition", "Metric", "parse"]

SEVERITIES = ("error", "warning")
CHANGES = ("drop", "rise", "change")
_STATES = (*GROUPS, INVALID)
_WITHOUT_CHANGE = ("moved", "stability", "copies", "membership")
_LONGEST = 10_000  # characters of a condition
# What a condition is cut into: quoted labels, operators, and the rest. Every character is looked at
# once, so the time is linear in the length.
_PART = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<op><=|>=|<|>)|[^"<>]+', re.DOTALL)
_CHANGE = re.compile(r"[a-z]+")
_LABEL = re.compile(r'label:(?P<name>"(?:[^"\\]|\\.)*"|[^.\s"]+)\.(?P<rest>.+)', re.DOTALL)
_MOVED = re.compile(r"moved(?:\((?P<start>\w+)\s*->\s*(?P<end>\w+)\))?\.(?P<measure>\w+)")


class Metric(NamedTuple):
    """What a condition may be about, for the documentation and for messages.

    Attributes:
        form: How it is written; words in capitals stand for names.
        what: What it is.
        example: A condition on it.
        change: Whether ``drop``, ``rise`` and ``change`` since the baseline may follow it.
        percent: Whether its limit may be in percent.
        interval: Whether it has an interval, whose end is judged, and of what.
    """

    form: str
    what: str
    example: str
    change: bool
    percent: bool
    interval: str


METRICS = (
    Metric("GROUP.fraction", "share of the anchors in a group",
           "HILE.fraction <= 2%", True, True, "yes"),
    Metric("GROUP.count", "number of anchors in a group",
           "invalid.count < 1", True, False, "of what invalid anchors may be"),
    Metric("label:NAME.GROUP.fraction", "share of the anchors of a label",
           "label:0.HIHE.fraction >= 80%", True, True, "yes"),
    Metric("label:NAME.GROUP.count", "number of anchors of a label",
           'label:"new york".HILE.count <= 3', True, False, "of what invalid anchors may be"),
    Metric("threshold.CRITERION", "threshold of a criterion",
           "threshold.kld <= 60", True, False, "from two repeats on"),
    Metric("median.CRITERION", "median of a criterion over all anchors",
           "median.mse <= 0.05", True, False, "of the value, not of a change"),
    Metric("median.GROUP.CRITERION", "median of a criterion over a group",
           "median.HIHE.mse <= 0.02", True, False, "of the value, not of a change"),
    Metric("stability.mean", "how surely anchors are in their groups, on average",
           "stability.mean >= 0.8", False, True, "yes"),
    Metric("moved.fraction", "share of the anchors that changed their group since the baseline",
           "moved.fraction <= 10%", False, True, "yes"),
    Metric("moved.count", "number of these",
           "moved.count <= 20", False, False, "of what invalid anchors may be"),
    Metric("moved(A->B).fraction", "share of the anchors that went from group A to group B",
           "moved(HIHE->HILE).fraction <= 1%", False, True, "yes"),
    Metric("moved(A->B).count", "number of these",
           "moved(HIHE->HILE).count <= 10", False, False, "of what invalid anchors may be"),
    Metric("copies.count", "training instances that are given back",
           "copies.count <= 0", False, False, "no"),
    Metric("membership.CRITERION.auc", "how well a criterion, or combined, tells members",
           "membership.mse.auc <= 55%", False, True, "yes"),
)  # fmt: skip
"""Every form of metric."""

_FORMS = ", ".join(metric.form for metric in METRICS)
_STATE_PATTERN = f"({'|'.join(_STATES)})"
_METRIC_PATTERN = "|".join([
    rf'(label:("([^"\\]|\\[\s\S])*"|[^.\s"]+)\.)?{_STATE_PATTERN}\.(fraction|count)',
    r"(threshold|median)\.[\s\S]+",
    r"stability\.mean",
    rf"moved(\({_STATE_PATTERN}\s*->\s*{_STATE_PATTERN}\))?\.(fraction|count)",
    r"copies\.count",
    r"membership\.[\s\S]+\.auc",
])  # fmt: skip
PATTERN = rf"^\s*({_METRIC_PATTERN})(\s+({'|'.join(CHANGES)}))?\s*(<=|>=|<|>)\s*[-+]?[.\d]\S*\s*$"
"""What every condition matches, as editors need it; :func:`parse` looks closer."""

_HINT = "Write HILE.fraction <= 0.02, label:0.HIHE.fraction >= 0.9 or HIHE.fraction drop <= 0.05."


@dataclass(frozen=True)
class Comparison:
    """The comparison of a condition, part by part.

    Attributes:
        subject: ``"group"``, ``"threshold"``, ``"median"``, ``"stability"``, ``"moved"``,
            ``"copies"`` or ``"membership"``.
        measure: ``"fraction"``, ``"count"``, ``"value"``, ``"mean"`` or ``"auc"``.
        op: The comparison.
        limit: What is compared with.
        label: Only anchors of this label; None for all.
        group: The group of a share or a median; where anchors moved from.
        end: Where anchors moved to.
        criterion: The criterion of a threshold, a median or a membership, ``"combined"`` for all.
        change: ``"drop"``, ``"rise"`` or ``"change"`` since the baseline; None for the value.
    """

    subject: str
    measure: str
    op: str
    limit: float
    label: str | None = None
    group: str | None = None
    end: str | None = None
    criterion: str | None = None
    change: str | None = None

    @property
    def relative(self) -> bool:
        """Whether it needs a baseline."""
        return self.change is not None or self.subject == "moved"

    def __str__(self) -> str:
        return f"{self._left()} {self.op} {self.limit!r}"

    def _left(self) -> str:
        """Return what stands before the comparison."""
        label = "" if self.label is None else f"label:{json.dumps(self.label)}."
        if self.subject == "group":
            metric = f"{label}{self.group}.{self.measure}"
        elif self.subject == "moved":
            way = "" if self.group is None else f"({self.group}->{self.end})"
            metric = f"moved{way}.{self.measure}"
        elif self.subject == "stability":
            metric = "stability.mean"
        elif self.subject == "copies":
            metric = "copies.count"
        elif self.subject == "membership":
            metric = f"membership.{self.criterion}.auc"
        else:
            inner = "" if self.group is None else f"{self.group}."
            metric = f"{self.subject}.{inner}{self.criterion}"
        change = "" if self.change is None else f" {self.change}"
        return f"{metric}{change}"

    def with_limit(self, limit: str) -> str:
        """Return the comparison with another limit, as text.

        Raises:
            ParameterError: When the limit is no number, or not one of this metric.
        """
        return str(parse(f"{self._left()} {self.op} {limit}"))


@dataclass(frozen=True)
class Condition:
    """A condition and how it is judged.

    Args:
        text: The comparison, as :func:`parse` reads it.
        severity: ``"error"``; a ``"warning"`` that does not hold fails nothing.
        min_count: Fewer anchors than this behind a share or a median: it is skipped.
        confidence: Of the interval whose end is judged.
        name: For reports; the text where empty.

    Raises:
        ParameterError: When an argument is not allowed.
    """

    text: str
    severity: str = "error"
    min_count: int = 0
    confidence: float = 0.95
    name: str = ""

    def __post_init__(self) -> None:
        with caller("condition"):
            if not isinstance(self.text, str):
                raise ParameterError("condition", "text", short_repr(self.text), _HINT)
            if not isinstance(self.name, str):
                raise ParameterError("name", "text", short_repr(self.name), "Name it, or not.")
            validation.choice(self.severity, "severity", SEVERITIES)
            validation.integer(self.min_count, "min_count", minimum=0)
            validation.real(self.confidence, "confidence", above=0.0, maximum=0.9999)
        parse(self.text)

    @classmethod
    @caller("settings")
    def of(cls, spec: Any, parameter: str = "conditions") -> Condition:
        """Return the condition that a settings file holds, text or a mapping; one stays itself.

        Args:
            spec: What the file holds.
            parameter: Where it stands there, for the error.

        Raises:
            ParameterError: When it is neither, or a key is unknown.

        Example:
            >>> Condition.of({"condition": "HILE.count < 3", "severity": "warning"}).severity
            'warning'
        """
        if isinstance(spec, Condition):
            return spec
        if isinstance(spec, str):
            return cls(spec)
        keys = ("condition", "severity", "min_count", "confidence", "name")
        if not isinstance(spec, Mapping) or "condition" not in spec:
            raise ParameterError(parameter, "text, or a mapping", short_repr(spec), _HINT)
        for key in spec:
            if key not in keys:
                hint = validation.nearest(str(key), keys)
                allowed = "one of " + ", ".join(keys)
                raise ParameterError(f"{parameter}.{key}", allowed, "an unknown key", hint)
        rest = {key: value for key, value in spec.items() if key != "condition"}
        return cls(spec["condition"], **rest)


@caller("settings")
def parse(text: str) -> Comparison:
    """Return the comparison that a text stands for.

    Args:
        text: One comparison, ``METRIC OP NUMBER`` or ``METRIC drop OP NUMBER`` (or ``rise``,
            ``change``) against a baseline. Labels with dots or blanks stand in double quotes, with
            the escapes of JSON.

    Raises:
        ParameterError: When it is no comparison, or names something unknown.

    Example:
        >>> drop = parse('label:"new york".HIHE.fraction drop <= 5%')
        >>> drop.label, drop.group, drop.change, drop.op, drop.limit
        ('new york', 'HIHE', 'drop', '<=', 0.05)
    """
    left, op, written = _split(text)
    left, change = _cut_change(left)
    if change is not None and change not in CHANGES:
        hint = validation.nearest(change, CHANGES)
        raise _error(text, "drop, rise or change, or nothing", repr(change), hint)
    metric = _metric(left, text)
    if change is not None and metric["subject"] in _WITHOUT_CHANGE:
        raise _error(text, f"no {change} of {metric['subject']}", repr(change), _HINT)
    limit = _number(written, text)
    share = metric["measure"] in {"fraction", "mean", "auc"}
    least = 0.0 if change is None else -1.0
    if share and not least <= limit <= 1.0:
        hint = "Write 0.05 or 5%, say: a limit beyond could not fail, or not hold."
        raise _error(text, f"a share from {least:g} to 1", short_repr(written), hint)
    if not share and written.endswith("%"):
        raise _error(text, "a number", short_repr(written), "Percent are for fractions.")
    return Comparison(op=op, limit=limit, change=change, **metric)


def _split(text: str) -> tuple[str, str, str]:
    """Return what stands before the last unquoted comparison, the comparison, and the rest."""
    if len(text) > _LONGEST:
        allowed = f"of at most {_LONGEST:,} characters"
        raise ParameterError("condition", allowed, f"{len(text):,}", "Shorten it.")
    at, last = 0, None
    while at < len(text) and (part := _PART.match(text, at)):
        last = part if part["op"] else last
        at = part.end()
    left, right = ("", "") if last is None else (text[: last.start()], text[last.end() :])
    if last is None or at < len(text) or not left.strip() or len(right.split()) != 1:
        allowed = "METRIC OP NUMBER, OP one of <= >= < >"
        raise ParameterError("condition", allowed, short_repr(text), _HINT)
    return left.strip(), last["op"], right.strip()


def _cut_change(left: str) -> tuple[str, str | None]:
    """Return a metric, and the word behind it that stands for a change, or None."""
    metric, *words = left.rsplit(None, 1)
    if words and _CHANGE.fullmatch(words[0]):
        return metric, words[0]
    return left, None


def _metric(metric: str, text: str) -> dict[str, Any]:
    label = None
    if metric.startswith("label:"):
        match = _LABEL.fullmatch(metric)
        if match is None:
            raise _error(text, "label:NAME.GROUP.fraction", short_repr(metric), _HINT)
        label, metric = match["name"], match["rest"]
        if label.startswith('"'):
            try:
                label = json.loads(label)
            except ValueError as error:
                hint = 'Write a quotation mark inside as \\".'
                raise _error(
                    text, "a label in JSON's quotation", short_repr(label), hint
                ) from error
    moved = _MOVED.fullmatch(metric)
    if moved is not None and label is None:
        for name in (moved["start"], moved["end"]):
            _choice(name, _STATES, text)
        measure = _choice(moved["measure"], ("fraction", "count"), text)
        return {
            "subject": "moved", "measure": measure, "group": moved["start"], "end": moved["end"],
        }  # fmt: skip
    first, _, rest = metric.partition(".")
    if label is None and metric == "stability.mean":
        return {"subject": "stability", "measure": "mean"}
    if label is None and metric == "copies.count":
        return {"subject": "copies", "measure": "count"}
    if label is None and first == "membership" and rest:
        criterion, _, measure = rest.rpartition(".")
        if not criterion or measure != "auc":
            raise _error(text, "membership.CRITERION.auc", short_repr(metric), _HINT)
        return {"subject": "membership", "measure": "auc", "criterion": criterion}
    if label is None and first == "threshold" and rest:
        return {"subject": "threshold", "measure": "value", "criterion": rest}
    if first == "median" and rest and label is None:
        group, _, criterion = rest.partition(".")
        inside = bool(criterion) and group in _STATES
        return {
            "subject": "median",
            "measure": "value",
            "group": group if inside else None,
            "criterion": criterion if inside else rest,
        }
    if not rest:
        raise _error(text, f"one of {_FORMS}", short_repr(metric), _HINT)
    if first not in _STATES:
        hint = f"{validation.nearest(first, _STATES)} {_HINT}"
        raise _error(text, f"one of {_FORMS}", short_repr(metric), hint)
    measure = _choice(rest, ("fraction", "count"), text)
    return {"subject": "group", "measure": measure, "group": first, "label": label}


def _choice(name: str | None, names: tuple[str, ...], text: str) -> str | None:
    if name is not None and name not in names:
        hint = validation.nearest(name, names)
        raise _error(text, "one of " + ", ".join(names), short_repr(name), hint)
    return name


def _number(written: str, text: str) -> float:
    percent = written.endswith("%")
    try:
        value = float(written[:-1] if percent else written)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _error(text, "a finite number, or one with %", short_repr(written), _HINT)
    return value / 100.0 if percent else value


def _error(text: str, allowed: str, got: str, hint: str) -> ParameterError:
    return ParameterError(f"condition {text!r}", allowed, got, hint)
