"""A missing package is one error whose command pip can carry out."""

from __future__ import annotations

import re
import shlex
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import MissingDependencyError

EXTRAS = set(metadata.metadata("pxgen-plugins").get_all("Provides-Extra") or []) - {"all"}


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_the_command_names_what_the_extra_asks_for_and_not_the_extra(extra):
    pip, install, *names = shlex.split(optional.install_line(extra))
    assert (pip, install) == ("pip", "install")
    wanted = [Requirement(line) for line in metadata.requires("pxgen-plugins") or []]
    of_extra = {r.name for r in wanted if r.marker and f'extra == "{extra}"' in str(r.marker)}
    assert {Requirement(name).name for name in names} == of_extra
    assert of_extra
    assert "pxgen-plugins" not in of_extra  # it is on no index


def test_a_package_that_does_not_import_says_how_to_get_it():
    message = re.escape("Run: pip install 'onnxruntime>=1.17'")
    with pytest.raises(MissingDependencyError, match=message):
        optional.load("no_such_module_at_all", "onnx")


def test_without_metadata_the_clone_is_named(monkeypatch):
    def absent(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", absent)
    assert optional.install_line("onnx") == "pip install '.[onnx]'"
