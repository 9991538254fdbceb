"""Point 30: importing the package is light, and a missing alibi is an error with its remedy."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pxgen_plugins

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_neither_torch_nor_alibi():
    heavy = ("torch", "alibi", "matplotlib", "sklearn", "scipy", "pandas", "numpy")
    code = f"import sys, pxgen_plugins; print([m for m in {heavy} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_only_what_shows_alibis_interface_imports_it():
    shows = {"adapters", "comparison", "evaluation", "explainer", "host"}
    rooms = {module.name for module in pkgutil.iter_modules(pxgen_plugins.__path__)}
    code = "import sys\n" + "\n".join(f"import pxgen_plugins.{name}" for name in rooms - shows)
    assert run(code + "\nprint('alibi' in sys.modules)").strip() == "False"


def test_the_suite_does_not_import_pytest():
    code = (
        "import sys\n"
        "from pxgen_plugins.testing import check_criterion, check_explainer, check_model\n"
        "from pxgen_plugins.testing import check_selector, ExplainerCase\n"
        "check_criterion('kld')\n"
        "print('pytest' in sys.modules)"
    )
    assert run(code).strip() == "False"


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "alibi":
            raise {error}

sys.meta_path.insert(0, Missing())
import pxgen_plugins, pxgen_plugins.models, pxgen_plugins.criteria, pxgen_plugins.selection
try:
    from pxgen_plugins import PXGen
except ImportError as error:
    print(type(error).__name__, "|", error)
"""


def test_a_missing_alibi_is_an_import_error_that_says_what_to_install():
    code = WITHOUT.format(error="ModuleNotFoundError(\"No module named 'alibi'\", name='alibi')")
    text = run(code)
    assert "pip install" in text
    assert "alibi" in text
    assert "Traceback" not in text


def test_a_broken_alibi_is_the_same_error():
    # as without click, numpy < 2 or ray: alibi then fails with errors of many kinds
    text = run(WITHOUT.format(error="RuntimeError('click is missing')"))
    assert "pip install" in text
    assert "click is missing" in text
