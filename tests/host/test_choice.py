"""Whose classes a process uses, and what happens where Alibi is absent or does not work."""

from __future__ import annotations

import json
import re

import pytest

from .support import ABSENT, BROKEN, run

STATE = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from pxgen_plugins import PXGen
    from pxgen_plugins.adapters import AlibiProtoSelect
    from pxgen_plugins.host import Explainer, alibi_version
    from pxgen_plugins.utils.errors import PXGenWarning
print(json.dumps({
    "home": Explainer.__module__,
    "version": alibi_version(),
    "subclass": issubclass(PXGen, Explainer) and issubclass(AlibiProtoSelect, Explainer),
    "warnings": [str(w.message) for w in caught if issubclass(w.category, PXGenWarning)],
}))
"""


@pytest.mark.slow
def test_without_alibi_the_classes_are_ours_and_nothing_is_said():
    state = json.loads(run(STATE, alibi=ABSENT))
    assert state["home"].startswith("pxgen_plugins.host")
    assert state["version"] is None
    assert state["subclass"]
    assert state["warnings"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        BROKEN,
        "ImportError('cannot import name x from numpy')",
        "AttributeError('np.float_ was removed')",
        "ModuleNotFoundError(\"No module named 'click'\", name='click')",
    ],
)
def test_a_broken_alibi_is_one_sentence_and_the_classes_are_ours(error):
    state = json.loads(run(STATE, alibi=error))
    assert state["home"].startswith("pxgen_plugins.host")
    (message,) = state["warnings"]
    assert message.startswith("PXGen: the installed alibi does not work (")
    assert "\n" not in message
    assert "pip install" in message


@pytest.mark.slow
def test_where_alibi_is_its_classes_are_used_and_it_may_be_imported_afterwards():
    pytest.importorskip("alibi")
    code = STATE + (
        "import alibi, alibi.api.interfaces as theirs, alibi.exceptions as errors\n"
        "import pxgen_plugins.host as h\n"
        "print(h.Explainer is theirs.Explainer, h.Explanation is theirs.Explanation,\n"
        "      h.FitMixin is theirs.FitMixin, h.NotFittedError is errors.NotFittedError,\n"
        "      h.alibi_version() == alibi.__version__)\n"
    )
    first, second = run(code).splitlines()
    assert json.loads(first)["home"] == "alibi.api.interfaces"
    assert set(second.split()) == {"True"}


@pytest.mark.slow
def test_an_alibi_that_cannot_write_arrays_is_broken():
    # as 0.9.6 is under numpy 2, where its encoder asks for np.float_
    pytest.importorskip("alibi")
    code = (
        "import alibi.saving\n"
        "def default(self, o): raise AttributeError('np.float_ was removed')\n"
        "alibi.saving.NumpyEncoder.default = default\n"
    )
    state = json.loads(run(code + STATE))
    assert state["home"].startswith("pxgen_plugins.host")
    assert len(state["warnings"]) == 1


@pytest.mark.slow
def test_a_variable_of_the_environment_leaves_alibi_out():
    state = json.loads(run(STATE, PXGEN_WITHOUT_ALIBI="1"))
    assert state["version"] is None
    assert state["warnings"] == []


@pytest.mark.slow
def test_an_adapter_of_alibi_says_in_one_line_what_to_install():
    code = """
import numpy as np
from pxgen_plugins.adapters import AlibiProtoSelect
from pxgen_plugins.testing.examples import LinearModel
try:
    AlibiProtoSelect(LinearModel()).explain(np.zeros((6, 1, 8, 8), np.float32))
except ImportError as error:
    print(type(error).__name__, error)
"""
    (line,) = run(code, alibi=ABSENT).splitlines()
    assert line.startswith(
        "MissingDependencyError AlibiProtoSelect.explain: alibi must be installed"
    )
    assert re.search("Run: pip install .?alibi", line)
