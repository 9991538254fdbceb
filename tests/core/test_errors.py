"""Errors say who was called, and warnings point to the line that called."""

from __future__ import annotations

import pickle
import warnings

import pytest

from pxgen_plugins.utils.errors import ParameterError, PXGenWarning, caller, warn
from pxgen_plugins.utils.validation import integer


@caller("outer")
def outer(value):
    return inner(value)


@caller("inner")
def inner(value):
    return integer(value, "n", minimum=1)


def test_the_innermost_public_function_is_named():
    with pytest.raises(ParameterError, match=r"^inner: n must be an integer >= 1; got 0\. "):
        outer(0)
    assert outer(3) == 3


def test_a_check_alone_names_nobody():
    with pytest.raises(ParameterError, match=r"^n must be"):
        integer(0, "n", minimum=1)


def test_an_error_that_names_its_place_keeps_it():
    with pytest.raises(ParameterError, match=r"^here: x must be"), caller("there"):
        raise ParameterError("x", "set", "None", "Set it.", where="here")


def test_the_name_survives_a_process_border():
    with pytest.raises(ParameterError) as error:
        inner(0)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_a_warning_points_to_the_line_outside_the_package():
    namespace = {"__name__": "pxgen_plugins.somewhere", "warn": warn, "caller": caller}
    exec("@caller('f')\ndef f():\n    warn('text')", namespace)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        namespace["f"]()
    assert [(w.category, w.filename) for w in caught] == [(PXGenWarning, __file__)]


def test_a_function_that_others_call_lets_them_speak():
    @caller("open_anchors", fallback=True)
    def open_anchors():
        raise ParameterError("X", "set", "None", "Set it.")

    @caller("PXGen.explain")
    def explain():
        open_anchors()

    with pytest.raises(ParameterError, match=r"^open_anchors: X must"):
        open_anchors()
    with pytest.raises(ParameterError, match=r"^PXGen\.explain: X must"):
        explain()
