"""A new kind of source is one class, and opening one stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors, names, open_anchors, register
from pxgen_plugins.anchors.base import REGISTRY


class Constant:
    """Somebody's own kind of data."""

    def __init__(self, n: int) -> None:
        self.n = n


def test_a_registered_class_opens_its_own_type(monkeypatch: pytest.MonkeyPatch) -> None:
    names()  # so that the registry is complete before it is copied
    monkeypatch.setattr(REGISTRY, "_items", dict(REGISTRY._items))

    @register("constant")
    class ConstantAnchors(Anchors):
        def __init__(self, n: int) -> None:
            self.n = n

        @classmethod
        def matches(cls, X: Any) -> bool:
            return isinstance(X, Constant)

        @classmethod
        def open(cls, X: Any, sample_shape: Any) -> Anchors:
            return cls(X.n)

        def __len__(self) -> int:
            return self.n

        def read(self, index: Any) -> tuple[NDArray[Any], dict[int, str]]:
            return np.zeros((len(np.arange(self.n)[index]), 2)), {}

    anchors = open_anchors(Constant(5), sample_shape=(2,), labels=list("abcde"))
    assert anchors.read(slice(1, 3))[0].shape == (2, 2)
    assert anchors.labels is not None
    assert anchors.ids is None


def test_every_kind_is_registered_and_matches_without_raising() -> None:
    class Hostile:
        def __len__(self) -> int:
            raise RuntimeError("no length")

        def __getitem__(self, position: Any) -> Any:
            raise RuntimeError("no items")

    assert set(names()) >= {"array", "dataset", "folder", "frame", "loader", "memmap", "npy", "npz"}
    for name in names():
        for thing in (None, 1, "x", b"x", [], {}, object(), Hostile(), Path("x"), np.zeros(2)):
            assert REGISTRY.get(name).matches(thing) in (True, False)


def test_reading_an_array_imports_no_heavy_library() -> None:
    script = (
        "import sys, numpy as np\n"
        "from pxgen_plugins.anchors import open_anchors\n"
        "open_anchors(np.zeros((2, 3)), sample_shape=(3,)).read(slice(None))\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'PIL', 'alibi'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root, timeout=60)
