"""What direction adapters take and return is said on pages that their own pages link to."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import numpy as np
import pytest
import torch

from pxgen_plugins.adapters.base import REGISTRY
from pxgen_plugins.adapters.directions.base import DirectionAdapter
from pxgen_plugins.axes import Axis

from .nets import conv_vae

BASE = "pxgen_plugins.adapters.directions.base.DirectionAdapter"
ADAPTERS = [cls for cls in map(REGISTRY.get, REGISTRY.names()) if issubclass(cls, DirectionAdapter)]
each_adapter = pytest.mark.parametrize("cls", ADAPTERS, ids=lambda cls: cls.__name__)


def bright(x):
    return x[:, 0, 1, 6] > x[:, 0, 6, 1]


def pages(cls):
    """The docstring of an adapter, and that of the base that it names."""
    own, shared = inspect.getdoc(cls), inspect.getdoc(DirectionAdapter)
    assert f":class:`~{BASE}`" in own
    return own, shared


def described(text):
    """Names of fields in the lists of a docstring: those that a line of its own begins with."""
    heads = re.findall(r"^- (.*?)(?:: |, (?:float|int|text|\w+ texts))", text, re.MULTILINE)
    inside = re.findall(r"^- .*(?:\n  .*)*", text, re.MULTILINE)
    names = {name for head in heads for name in re.findall(r"``(\w+)``", head)}
    return names, {name for item in inside for name in re.findall(r"``(\w+)``", item)}


def test_the_base_has_a_page_of_its_own():
    import api_pages

    module = BASE.rpartition(".")[0]
    assert api_pages.public_names(module) == ["DirectionAdapter"]
    assert module in api_pages.MODULES


@each_adapter
def test_every_field_is_described(cls):
    own, shared = pages(cls)
    options = {"assessors": "pixel[0, 4, 4]"} | dict(cls.example)
    if cls.__name__ == "AssessorDirection":
        options.pop("assessors")
    elif cls.__name__ == "ClassDirections":
        options |= {
            "classifier": lambda x: x[:, 0, 1, 6] > x[:, 0, 6, 1],
            "n_codes": 40,
            "n_random": 2,
        }
    found = cls(conv_vae(), **options).explain(None)
    _, named = described(own + "\n" + shared)
    assert set(found.data) - named == set()
    heads, _ = described(shared)
    assert heads <= set(found.data)  # and nothing is described that is not there


@each_adapter
def test_every_argument_is_described(cls):
    own, shared = pages(cls)
    names = [field.name for field in fields(cls) if field.init]
    # arguments that a page points to the base for are explained there
    said = [name for name in names if re.search(rf"^    {name}: ", own, re.MULTILINE)]
    there = [name for name in names if re.search(rf"^    {name}: ", shared, re.MULTILINE)]
    assert set(names) - {*said, *there} == set()
    assert all(re.search(rf"\b{name}\b", own) for name in names)


def test_a_shell_is_explained_and_is_what_it_says():
    text = inspect.getdoc(DirectionAdapter)
    assert "**Free and shell.**" in text
    assert "scaled back to the norm" in " ".join(text.split())
    z = torch.tensor([[3.0, 4.0]])
    free, shell = (Axis("a", np.array([1.0, 0.0]), 2.0, keep=keep).move(z, 1.5)
                   for keep in ("free", "shell"))  # fmt: skip
    torch.testing.assert_close(free, torch.tensor([[6.0, 4.0]]))
    torch.testing.assert_close(shell, free * 5.0 / free.norm())
