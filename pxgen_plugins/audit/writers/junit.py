"""Judgements as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree

from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.writers.shared import interval_text, number, read, title

__all__ = ["junit"]

_OUTCOMES = {"failed": "failure", "error": "error", "skipped": "skipped"}


def junit(judgements: Iterable[Mapping[str, Any]], name: str) -> bytes:
    r"""Return judgements as one test suite, a test case for each condition.

    A failed condition is a failure, one that could not be judged an error, a skipped one skipped.
    JUnit knows no warnings: these pass, and say so in ``system-out``. Elements and attributes are
    those of the schema that Jenkins publishes (junit-10.xsd); GitLab and GitHub's reporters read
    them too. All times are 0, so that the same judgements give the same bytes. Characters that
    XML 1.0 forbids, and invisible ones, stand as escapes such as ``\x1b``.

    Args:
        judgements: Dicts as ``Judgement.as_dict`` returns them.
        name: Of the suite, and the class of its cases.

    Returns:
        UTF-8 with an XML declaration.

    Raises:
        ParameterError: When a judgement lacks a key or has an unknown state.

    Example:
        >>> one = {
        ...     "name": "", "text": "HILE.fraction <= 0.02", "severity": "error", "state": "failed",
        ...     "observed": 0.1, "low": 0.05, "high": 0.2, "bound": 0.2, "limit": 0.02, "n": 100,
        ...     "reason": "0.2 > 0.02", "anchors": (3, 5),
        ... }
        >>> print(junit([one], "digits").decode())
        <?xml version='1.0' encoding='utf-8'?>
        <testsuites tests="1" failures="1" errors="0" time="0">
          <testsuite name="digits" tests="1" failures="1" errors="0" skipped="0" time="0">
            <testcase classname="digits" name="HILE.fraction &lt;= 0.02" time="0">
              <failure message="0.2 &gt; 0.02" type="failed">condition: HILE.fraction &lt;= 0.02
        observed: 0.1 (0.05 to 0.2)
        limit: 0.02
        n: 100
        anchors: 3, 5</failure>
            </testcase>
          </testsuite>
        </testsuites>
    """
    found = read(judgements, "junit")
    states = [one["state"] for one in found]
    totals = {
        "tests": str(len(found)),
        "failures": str(states.count("failed")),
        "errors": str(states.count("error")),
        "skipped": str(states.count("skipped")),
        "time": "0",
    }
    shown = visible(name)
    allowed = {name: value for name, value in totals.items() if name != "skipped"}
    root = ElementTree.Element("testsuites", allowed)
    suite = ElementTree.SubElement(root, "testsuite", {"name": shown, **totals})
    for one in found:
        _add_case(suite, one, shown)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _add_case(suite: ElementTree.Element, one: Mapping[str, Any], suite_name: str) -> None:
    head = {"classname": suite_name, "name": visible(title(one)), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", head)
    state = one["state"]
    if state in _OUTCOMES:
        said = {"message": visible(one["reason"] or state), "type": state}
        if state == "skipped":
            del said["type"]  # the schema allows it a message only
        ElementTree.SubElement(case, _OUTCOMES[state], said).text = _details(one)
    elif state == "warning":
        text = f"warning: {visible(one['reason'] or '')}\n{_details(one)}"
        ElementTree.SubElement(case, "system-out").text = text


def _details(one: Mapping[str, Any]) -> str:
    lines = [
        f"condition: {visible(one['text'])}",
        f"observed: {interval_text(one)}",
        f"limit: {number(one['limit'])}",
        f"n: {number(one['n'])}",
    ]
    if one.get("anchors"):
        lines.append("anchors: " + ", ".join(visible(index) for index in one["anchors"]))
    return "\n".join(lines)
