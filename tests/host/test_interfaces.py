"""Our equals of Alibi's classes against what Alibi does, and Alibi's own where it is installed."""

from __future__ import annotations

import copy
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pxgen_plugins.host import exceptions, interfaces, json_encoder
from pxgen_plugins.utils.errors import MissingDependencyError, ParameterError

OURS = SimpleNamespace(
    **{name: getattr(interfaces, name) for name in interfaces.__all__},
    **{name: getattr(exceptions, name) for name in exceptions.__all__},
    NumpyEncoder=json_encoder.NumpyEncoder,
)


def alibis():
    pytest.importorskip("alibi")
    import alibi.api.interfaces
    import alibi.exceptions
    import alibi.saving

    return SimpleNamespace(
        **vars(alibi.exceptions)
        | {name: getattr(alibi.api.interfaces, name) for name in interfaces.__all__}
        | {"NumpyEncoder": alibi.saving.NumpyEncoder}
    )


@pytest.fixture(params=["ours", "alibi's"])
def api(request):
    return OURS if request.param == "ours" else alibis()


def meta(**more):
    return {
        "name": None, "type": ["blackbox"], "explanations": ["local"], "params": {}, "version": None
    } | more  # fmt: skip


def make(api, **more):
    class Mean(api.Explainer, api.FitMixin):
        def explain(self, X):
            return api.Explanation(meta=copy.deepcopy(self.meta), data={"mean": float(np.mean(X))})

        def fit(self, X):
            return self

    return Mean(meta=meta(**more))


def test_an_explainer_has_its_metadata_as_attributes(api):
    explainer = make(api, task="regression")
    assert explainer.name == explainer.meta["name"] == "Mean"
    assert explainer.task == "regression"
    assert explainer.params is explainer.meta["params"]
    explainer._update_metadata({"alpha": 1}, params=True)
    explainer._update_metadata({"beta": 2})
    assert explainer.meta["params"] == {"alpha": 1}
    assert explainer.meta["beta"] == 2
    assert not hasattr(explainer, "beta")  # attributes do not follow
    assert explainer.version == explainer.meta["version"]


def test_the_version_is_alibis_or_none():
    assert make(OURS).meta["version"] is None
    assert make(alibis()).meta["version"] == pytest.importorskip("alibi").__version__


def test_two_explainers_share_no_default_metadata(api):
    class Bare(api.Base):
        pass

    one, other = Bare(), Bare()
    assert set(one.meta) == {"name", "type", "explanations", "params", "version"}
    assert one.meta["params"] is not other.meta["params"]


def test_what_is_abstract_cannot_be_made(api):
    for abstract in (api.Explainer, api.FitMixin):
        with pytest.raises(TypeError, match="abstract"):
            abstract()


def test_an_explainer_without_a_way_to_reset_says_so(api):
    with pytest.raises(NotImplementedError):
        make(api).reset_predictor(None)


def test_records_are_equal_by_content_and_class_and_have_no_hash(api):
    one, other = make(api), make(api)
    assert one.explain([1.0]) == one.explain([1.0]) != one.explain([2.0])
    assert one != other  # of two classes of the same name
    assert one == type(one)(meta=meta())
    for thing in (one, one.explain([1.0])):
        assert thing != "text"
        with pytest.raises(TypeError, match="unhashable"):
            hash(thing)


def test_arrays_make_equality_ambiguous(api):
    one, other = (api.Explanation({}, {"a": np.zeros(2)}) for _ in range(2))
    with pytest.raises(ValueError, match="ambiguous"):
        _ = one == other


def test_representations_name_class_and_content_in_order(api):
    explanation = api.Explanation(meta=meta(), data={"zeta": 1, "alpha": np.zeros(3)})
    text = "".join(repr(explanation).split())
    assert text.startswith("Explanation(meta={'name':None,'type':['blackbox']")
    assert text.endswith("data={'zeta':1,'alpha':array([0.,0.,0.])})")
    assert "".join(repr(make(api)).split()).endswith("Mean(meta={'name':'Mean','type':"
        "['blackbox'],'explanations':['local'],'params':{},'version':"
        f"{make(api).version!r}}})")  # fmt: skip


def test_keys_are_attributes_and_those_of_meta_win(api):
    explanation = api.Explanation({"type": "meta"}, {"type": "data", "value": 1})
    assert explanation.type == "meta"
    assert explanation.value == 1
    assert explanation.data["type"] == "data"
    with pytest.raises(AttributeError):
        _ = explanation.missing
    with pytest.warns(DeprecationWarning, match="deprecated|dictionary"):
        assert explanation["value"] == 1


def test_copies_and_pickles_are_equal_and_independent():
    explanation = OURS.Explanation(meta(), {"list": [1, 2]})
    for twin in (copy.deepcopy(explanation), pickle.loads(pickle.dumps(explanation))):
        assert twin == explanation
        assert twin.list is twin.data["list"]
        twin.data["list"].append(3)
        assert explanation.data["list"] == [1, 2]
    for error in (OURS.NotFittedError("PXGen"), OURS.PredictorCallError("no")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


WRITTEN = [
    {"a": np.arange(3), "b": np.float32(0.5), "c": [np.zeros((0, 3)), (1, 2)], "d": None},
    {"masked": np.ma.array([1.0, 2.0], mask=[True, False]), "nested": {"x": {"y": np.uint8(3)}}},
    {
        "inner": {1: "int key"},
        "bool": np.array([True]),
        "text": np.array(["a"]),
        "scalar": np.array(1.5),
    },
    {"set": {1}, "nan": float("nan"), "half": np.float16(2), "object": np.array([None, "a"])},
]
REFUSED = [
    np.bool_(True), np.complex64(1), np.datetime64("2020-01-01"), np.timedelta64(1, "s"),
    np.longdouble(1), b"bytes", torch.zeros(1), np.dtype("f4"), object(),
]  # fmt: skip


@pytest.mark.parametrize("data", WRITTEN, ids=range(len(WRITTEN)))
def test_json_is_what_alibi_writes(data):
    ours = OURS.Explanation(meta(), data)
    assert ours.to_json() == alibis().Explanation(meta(), data).to_json()


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_what_alibi_cannot_write_is_refused(api, value):
    with pytest.raises(TypeError):
        api.Explanation(meta(), {"value": value}).to_json()


def test_json_comes_back(api):
    explanation = api.Explanation(meta(), {"values": np.arange(2.0), "name_of": "x"})
    back = api.Explanation.from_json(explanation.to_json())
    assert type(back) is api.Explanation
    assert back.values == [0.0, 1.0]
    assert back.meta == explanation.meta


@pytest.mark.parametrize("text", ["{}", '{"meta": {}}', "[]"])
def test_json_that_is_no_explanation_is_refused(text):
    with pytest.raises(ParameterError, match="meta and data"):
        OURS.Explanation.from_json(text)


def test_errors_read_as_alibis_do(api):
    text = "This Mean instance is not fitted yet. Call 'fit' with appropriate arguments first."
    assert str(api.NotFittedError("Mean")) == text
    for error in (api.PredictorCallError, api.PredictorReturnTypeError, api.NotFittedError):
        assert issubclass(error, api.AlibiException)
        assert not issubclass(error, (ValueError, TypeError, RuntimeError))


def test_saving_without_a_format_of_its_own_needs_alibi(tmp_path):
    for call in (lambda: make(OURS).save(tmp_path), lambda: OURS.Explainer.load(tmp_path, None)):
        with pytest.raises(MissingDependencyError, match="Run: pip install"):
            call()
    assert json.loads(json.dumps(make(OURS).meta))["name"] == "Mean"


def test_a_subclass_may_use_any_private_name(api):
    class Busy(api.Explainer):
        _values = _fields = _parts = None

        def explain(self, X):
            return None

    assert Busy(meta=meta()) == Busy(meta=meta())
    assert "Busy(meta=" in repr(Busy(meta=meta()))
