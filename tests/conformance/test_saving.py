"""Points 20, 24 and 26 for PXGen: its own files, other versions, other devices."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.testing.trees import differences, leaves
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning

from .cases import (
    TinyVAE,
    anchors,
    black,
    make_black,
    make_many,
    make_white,
    sampler,
    white,
    wrap,
)

FORMS = {
    "white box": (make_white, white, {}),
    "every part": (make_many, white, {}),
    "black box": (make_black, black, {"sampler": sampler}),
}


@pytest.fixture(name="alibi")
def _alibi():
    """Alibi's saving, by pickle."""
    return pytest.importorskip("alibi.saving")


def result_and_warnings(function, *args, **kwargs):
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        result = function(*args, **kwargs)
    return result, messages


@pytest.mark.parametrize("form", FORMS)
def test_its_own_files_give_the_same_explanation(form, tmp_path):
    make, predictor, more = FORMS[form]
    explainer = make(predictor()).fit()
    explainer.save(tmp_path / "saved")
    loaded = PXGen.load(tmp_path / "saved", predictor(), **more)
    assert type(loaded) is PXGen
    assert differences(loaded.meta, explainer.meta) == []
    expected = explainer.explain(anchors())
    assert differences(loaded.explain(anchors()).data, expected.data) == []


def test_its_own_files_are_json_and_safetensors_only(tmp_path):
    make_white(white()).fit().save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    for path in tmp_path.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_its_own_files_hold_no_model(tmp_path):
    sizes = (0, 200_000)
    for ballast in sizes:
        make_white(wrap(TinyVAE(ballast=ballast))).fit().save(tmp_path / str(ballast))
    small, large = (
        sum(path.stat().st_size for path in (tmp_path / str(ballast)).iterdir())
        for ballast in sizes
    )
    assert abs(large - small) < 1_000


def test_an_unfitted_explainer_is_unfitted_after_loading(tmp_path):
    from pxgen_plugins.host import NotFittedError

    make_white(white()).save(tmp_path)
    with pytest.raises(NotFittedError):
        PXGen.load(tmp_path, white()).explain(anchors())


def test_a_folder_that_is_no_save_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"PXGen\.load"):
        PXGen.load(tmp_path, white())
    (tmp_path / "explainer.dill").write_bytes(b"as alibi.saving writes it")
    with pytest.raises(ParameterError, match="alibi"):
        PXGen.load(tmp_path, white())


def test_the_same_versions_load_without_a_warning(tmp_path):
    make_white(white()).fit().save(tmp_path / "own")
    assert result_and_warnings(PXGen.load, tmp_path / "own", white())[1] == []


def test_the_same_versions_load_from_alibis_files_without_a_warning(alibi, tmp_path):
    alibi.save_explainer(make_white(white()).fit(), tmp_path)
    assert result_and_warnings(alibi.load_explainer, tmp_path, white())[1] == []


def test_another_alibi_version_gives_alibis_warning_and_no_other(alibi, tmp_path):
    explainer = make_white(white()).fit()
    explainer.meta["version"] = "0.0.1"
    alibi.save_explainer(explainer, tmp_path)
    loaded, messages = result_and_warnings(alibi.load_explainer, tmp_path, white())
    assert [w.category for w in messages] == [UserWarning]
    assert str(messages[0].message).startswith("Trying to load explainer from version 0.0.1")
    assert loaded.explain(anchors()).values.shape == (24, 2)


def saved_by_another_version():
    explainer = make_white(white()).fit()
    explainer.meta["params"]["pxgen_plugins_version"] = "0.0.1"
    return explainer


def test_another_plugin_version_gives_our_warning_and_no_other(tmp_path):
    saved_by_another_version().save(tmp_path)
    (message,) = result_and_warnings(PXGen.load, tmp_path, white())[1]
    assert message.category is PXGenWarning
    assert "0.0.1" in str(message.message)


def test_another_plugin_version_gives_our_warning_from_alibis_files_too(alibi, tmp_path):
    alibi.save_explainer(saved_by_another_version(), tmp_path)
    (message,) = result_and_warnings(alibi.load_explainer, tmp_path, white())[1]
    assert message.category is PXGenWarning
    assert "0.0.1" in str(message.message)


def test_the_predictor_is_there_for_other_threads_while_saving(alibi, tmp_path, monkeypatch):
    # alibi sets predictor to None around the write; another thread may be explaining meanwhile
    explainer = make_white(white()).fit()
    seen = []
    original = type(explainer).__getstate__

    def spy(self):
        seen.append(self.predictor is not None)
        return original(self)

    monkeypatch.setattr(type(explainer), "__getstate__", spy)
    alibi.save_explainer(explainer, tmp_path)
    assert seen == [True]


def test_a_copy_in_memory_explains_alike():
    import copy

    explainer = make_white(white()).fit()
    twin = copy.deepcopy(explainer)
    assert differences(twin.explain(anchors()).data, explainer.explain(anchors()).data) == []


def test_the_saved_state_is_made_of_numpy_and_plain_values(tmp_path):
    explainer = make_many(white()).fit()
    explainer.explain(anchors())
    explainer.predictor = None
    state = explainer.__getstate__()
    kinds = (torch.Tensor, torch.device)
    tensors = [path for path, leaf in leaves(state) if isinstance(leaf, kinds)]
    assert tensors == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_state_fitted_on_cuda_loads_without_it(alibi, tmp_path):
    explainer = make_white(wrap(TinyVAE().to("cuda"))).fit()
    alibi.save_explainer(explainer, tmp_path / "alibi")
    explainer.save(tmp_path / "own")
    here = make_white(white()).fit()
    for loaded in (
        alibi.load_explainer(tmp_path / "alibi", white()),
        PXGen.load(tmp_path / "own", white()),
    ):
        explanation = loaded.explain(anchors())
        assert isinstance(explanation.values, np.ndarray)
        expected = here.explain(anchors()).values
        np.testing.assert_allclose(explanation.values, expected, rtol=1e-3)


def test_files_of_a_newer_format_are_refused(tmp_path):
    make_white(white()).fit().save(tmp_path)
    (settings,) = Path(tmp_path).glob("*.json")
    content = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps({**content, "format": 999}), encoding="utf-8")
    with pytest.raises(ParameterError, match="format"):
        PXGen.load(tmp_path, white())
