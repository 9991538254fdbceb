"""junit.xml: judgements as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from pxgen_plugins.audit.escaping import Ids, anchor_name, visible
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.verdicts import Judgement
from pxgen_plugins.audit.writers.base import Writer, register
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import number

__all__ = ["junit"]

_OUTCOMES = {"failed": "failure", "error": "error", "skipped": "skipped"}


@register("junit")
class JUnitWriter(Writer):
    """Judgements for a CI's view of tests."""

    files = ("junit.xml",)

    def write(self, folder: Path, run: Run) -> None:
        """Write ``junit.xml``."""
        write_atomic(
            folder / "junit.xml", junit(run.judgements, run.manifest["name"], run.result.ids)
        )


def junit(judgements: Sequence[Judgement], name: str, ids: Ids | None = None) -> bytes:
    r"""Return judgements as one test suite, a test case for each condition.

    A failed condition is a failure, one that could not be judged an error, a skipped one skipped.
    JUnit knows no warnings: these pass, and say so in ``system-out``. Elements and attributes are
    those of the schema that Jenkins publishes (junit-10.xsd); GitLab and GitHub's reporters read
    them too. There is no attribute ``time``, which the schema leaves open: a judgement takes no
    time of its own, and the same judgements give the same bytes. Characters that XML 1.0 forbids,
    and invisible ones, stand as escapes such as ``\x1b``.

    Args:
        judgements: Of the conditions.
        name: Of the suite, and the class of its cases.
        ids: Of the n anchors, by which the anchors behind a condition are named; None for numbers.

    Returns:
        UTF-8 with an XML declaration.

    Example:
        >>> from pxgen_plugins.audit.conditions import Condition
        >>> from pxgen_plugins.audit.verdicts import judge
        >>> from pxgen_plugins.result import Result
        >>> result = Result.of({
        ...     "criteria": ["kld"], "kinds": ["intrinsic"], "thresholds": {"kld": 20.0},
        ...     "values": [[1.0], [2.0]], "group": ["HIHE", "HILE"], "groups": {},
        ... })
        >>> judgements = judge([Condition("HILE.count < 1")], result)
        >>> print(junit(judgements, "digits").decode())
        <?xml version='1.0' encoding='utf-8'?>
        <testsuites tests="1" failures="1" errors="0">
          <testsuite name="digits" tests="1" failures="1" errors="0" skipped="0">
            <testcase classname="digits" name="HILE.count &lt; 1">
              <failure message="1 is not &lt; 1" type="failed">condition: HILE.count &lt; 1
        observed: 1
        limit: 1
        n: 2
        anchors: #1</failure>
            </testcase>
          </testsuite>
        </testsuites>
    """
    states = [judgement.state for judgement in judgements]
    totals = {
        "tests": str(len(states)),
        "failures": str(states.count("failed")),
        "errors": str(states.count("error")),
        "skipped": str(states.count("skipped")),
    }
    allowed = {key: value for key, value in totals.items() if key != "skipped"}
    root = ElementTree.Element("testsuites", allowed)
    suite = ElementTree.SubElement(root, "testsuite", {"name": visible(name), **totals})
    for judgement in judgements:
        _add_case(suite, judgement, visible(name), ids)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _add_case(
    suite: ElementTree.Element, judgement: Judgement, suite_name: str, ids: Ids | None
) -> None:
    head = {"classname": suite_name, "name": visible(judgement.title)}
    case = ElementTree.SubElement(suite, "testcase", head)
    state, details = judgement.state, _details(judgement, ids)
    if state in _OUTCOMES:
        attributes = {"message": visible(judgement.reason or state), "type": state}
        if state == "skipped":
            del attributes["type"]  # the schema allows it a message only
        ElementTree.SubElement(case, _OUTCOMES[state], attributes).text = details
    elif state == "warning":
        text = f"warning: {visible(judgement.reason)}\n{details}"
        ElementTree.SubElement(case, "system-out").text = text


def _details(judgement: Judgement, ids: Ids | None) -> str:
    lines = [
        f"condition: {visible(judgement.text)}",
        f"observed: {judgement.observed_text}",
        f"limit: {number(judgement.limit, 6)}",
        f"n: {number(judgement.n)}",
    ]
    if judgement.anchors:
        lines.append("anchors: " + ", ".join(anchor_name(at, ids) for at in judgement.anchors))
    return "\n".join(lines)
