"""Point 30: importing the package is light."""

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
    shows = {"adapters", "comparison", "editing", "evaluation", "explainer", "painting"}
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
