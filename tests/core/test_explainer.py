"""The explainer from end to end, on a small model."""

from __future__ import annotations

import copy
import json
import pathlib

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen, groups
from pxgen_plugins.criteria import MSE, Batch, FittedCriterion
from pxgen_plugins.host import (
    Explanation,
    NotFittedError,
    PredictorCallError,
    PredictorReturnTypeError,
)
from pxgen_plugins.models import BlackBox
from pxgen_plugins.result import Result, tables
from pxgen_plugins.result.explanation import DEFAULT_DATA_PXGEN, from_json, read_json, write_json
from pxgen_plugins.result.tables import anchor_table, write_parquet
from pxgen_plugins.selection import Selection
from pxgen_plugins.thresholds import Fixed, MeanMax
from pxgen_plugins.utils.errors import (
    AnchorError,
    CapabilityError,
    ModelError,
    ParameterError,
    PXGenWarning,
)
from tests.conftest import TinyNet, tiny_vae

FEW = MeanMax(n_samples=100, n_repeats=3)


@pytest.fixture
def labels():
    return np.arange(60) % 3


@pytest.fixture
def spread(vae, images):
    """An explainer whose fixed thresholds cut the images into four groups."""
    values = PXGen(vae, threshold=Fixed(1.0)).fit().explain(images).values
    cut = dict(zip(("kld", "mse"), np.median(values, 0).tolist(), strict=True))
    return PXGen(vae, threshold=Fixed(cut), n_representatives=4).fit()


def test_the_result_is_alibis_explanation_with_all_documented_keys(vae, images):
    explanation = PXGen(vae, threshold=FEW).fit().explain(images)
    assert isinstance(explanation, Explanation)
    assert explanation.data.keys() == DEFAULT_DATA_PXGEN.keys()
    assert explanation.meta["type"] == ["blackbox"]
    assert explanation.meta["explanations"] == ["global"]
    assert explanation.values.dtype == np.float64
    assert explanation.values.shape == (60, 2)


def test_every_anchor_is_in_exactly_one_group(spread, images, labels):
    explanation = spread.explain(images, labels=labels)
    assert sorted(
        np.concatenate([group["indices"] for group in explanation.groups.values()])
    ) == list(range(60))
    for name, group in explanation.groups.items():
        assert group["count"] == len(group["indices"]) > 0
        assert group["fraction"] == group["count"] / 60
        low, high = group["interval"]  # of other anchors and another calibration
        wilson = groups.wilson_interval(group["count"], 60)
        assert 0 <= low <= group["fraction"] <= high <= 1
        assert high - low > 0.8 * (wilson[1] - wilson[0])
        assert (explanation.group[group["indices"]] == name).all()
        assert sum(group["labels"].values()) == group["count"]


def test_groups_are_what_the_values_say(spread, images):
    found = spread.explain(images)
    kld, mse = (found.thresholds[name] for name in ("kld", "mse"))
    for (a, b), name in zip(found.values, found.group, strict=True):
        letters = ("H" if a < kld else "L") + "I" + ("H" if b < mse else "L") + "E"
        assert name == letters


def test_representatives_are_members_and_k_dispersion_starts_lowest(spread, images):
    explanation = spread.explain(images)
    for group in explanation.groups.values():
        for chosen in group["representatives"].values():
            assert len(set(chosen)) == min(4, group["count"])
            assert set(chosen) <= set(group["indices"])
        best = group["indices"][np.argmin(explanation.anchor_value[group["indices"]])]
        assert group["representatives"]["k_dispersion"][0] == best


def test_the_anchor_value_is_the_sum_of_the_values(spread, images):
    found = spread.explain(images)
    np.testing.assert_allclose(found.anchor_value, found.values.sum(1))


def test_examples_are_the_pixels_of_representatives_and_strips(spread, images):
    found = spread.explain(images)
    shown = {
        *(i for g in found.groups.values() for r in g["representatives"].values() for i in r),
        *found.strips["delusion"],
        *found.strips["alignment"],
        *(i for name in ("HILE", "LIHE") for i in Result.of(found).foremost(name, 20)),
    }
    assert set(found.examples["indices"]) == shown
    index = found.examples["indices"]
    np.testing.assert_array_equal(
        found.examples["anchors"], (images[index] * 255).round().astype(np.uint8)
    )
    assert found.examples["reconstructions"].shape == found.examples["anchors"].shape


def test_examples_can_be_left_out(vae, images):
    assert PXGen(vae, threshold=FEW, examples=False).fit().explain(images).examples is None


def test_explaining_before_fit_is_alibis_error(vae, images):
    with pytest.raises(NotFittedError):
        PXGen(vae).explain(images)


def test_several_criteria_of_each_kind(vae, images):
    explainer = PXGen(
        vae,
        intrinsic=["kld", "mahalanobis"],
        extrinsic=[MSE(reduction="sum"), "dssim", {"name": "bce", "reduction": "sum"}],
        threshold=FEW,
        rule="mean",
    ).fit()
    found = explainer.explain(images)
    assert found.criteria == ["kld", "mahalanobis", "mse", "dssim", "bce"]
    assert found.kinds == ["intrinsic"] * 2 + ["extrinsic"] * 3
    assert explainer.meta["params"]["extrinsic"][0] == {"name": "mse", "reduction": "sum"}


@pytest.mark.parametrize("space", ["criterion", "latent", "pixel", lambda x: x.mean((2, 3))])
@pytest.mark.parametrize("standardize", [None, True, False])
def test_selectors_measure_in_the_space_asked_for(vae, images, space, standardize):
    seen = []

    def spy(X, k, *, start=None, seed=0):
        seen.append(np.asarray(X))
        return Selection(np.arange(k), 0.0)

    found = (
        PXGen(vae, threshold=FEW, selectors=[spy], space=space, standardize=standardize)
        .fit()
        .explain(images)
    )
    members = [g["indices"] for g in found.groups.values() if g["count"]]
    for X, index in zip(seen, members, strict=True):
        with torch.no_grad():
            expected = {
                "criterion": found.values[index],
                "latent": vae.encode(torch.from_numpy(images[index]))[0].numpy(),
                "pixel": images[index].reshape(len(index), -1),
            }.get(space if isinstance(space, str) else "", images[index].mean((2, 3)))
        if standardize or (standardize is None and space == "criterion"):
            deviation = expected.std(0)
            expected = (expected - expected.mean(0)) / np.where(deviation > 0, deviation, 1)
        np.testing.assert_allclose(X, expected, rtol=1e-3, atol=1e-4)


def test_selectors_take_options_labels_and_their_own_space(vae, images):
    found = (
        PXGen(
            vae,
            threshold=FEW,
            selectors=[
                "top",
                {"name": "k_center", "label": "core", "outliers": 1, "space": "latent"},
                {"name": "k_dispersion", "objective": "max_sum"},
            ],
            n_representatives=3,
        )
        .fit()
        .explain(images)
    )
    for group in found.groups.values():
        assert set(group["representatives"]) == {"top", "core", "k_dispersion"}
        if group["count"] > 3:
            lowest = group["indices"][np.argsort(found.anchor_value[group["indices"]])[:3]]
            assert group["representatives"]["top"].tolist() == lowest.tolist()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"intrinsic": "mse"}, "intrinsic must be an intrinsic criterion; got 'mse'.*extrinsic="),
        ({"intrinsic": []}, "intrinsic must be one criterion or several; got none"),
        ({"extrinsic": ["mse", "mse"]}, "different names; got 'mse'"),
        ({"extrinsic": "msee"}, "Did you mean 'mse'"),
        ({"rule": "most"}, "rule"),
        ({"n_representatives": 0}, "n_representatives"),
        ({"batch_size": -1}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"),
        ({"verbose": "yes"}, "verbose"),
        ({"selectors": "k_centre"}, "Did you mean 'k_center'"),
        ({"selectors": ["top", "top"]}, "different labels"),
        ({"selectors": [{"name": "k_center", "outlier": 3}]}, "Did you mean 'outliers'"),
        ({"selectors": 5}, "selectors"),
        ({"space": "pixels"}, "Did you mean 'pixel'"),
        ({"threshold": 30.0}, "Fixed"),
        ({"reconstruction": "median"}, "reconstruction"),
        ({"precision": "float8"}, "precision"),
    ],
)
def test_wrong_arguments_are_named(vae, arguments, text):
    with pytest.raises(ParameterError, match=text):
        PXGen(vae, **arguments)


def test_a_bare_module_is_told_how_to_be_wrapped():
    for module in (TinyNet(), torch.nn.Linear(2, 2)):
        with pytest.raises(ParameterError, match=r"VAE\(net, sample_shape=\.\.\.\)"):
            PXGen(module)


@pytest.mark.parametrize("given", [np.arange(59), ["a"] * 61])
def test_labels_of_another_length_are_refused(vae, images, given):
    explainer = PXGen(vae, threshold=FEW).fit()
    with pytest.raises(AnchorError, match="labels"):
        explainer.explain(images, labels=given)


def test_wrong_shapes_are_refused(vae):
    explainer = PXGen(vae, threshold=FEW).fit()
    with pytest.raises(AnchorError, match=r"\(n, 1, 8, 8\); got shape \(5, 1, 9, 9\)"):
        explainer.explain(np.zeros((5, 1, 9, 9)))


def test_an_empty_set_has_empty_groups(vae):
    found = PXGen(vae, threshold=FEW).fit().explain(np.empty((0, 1, 8, 8)))
    assert [g["count"] for g in found.groups.values()] == [0] * 4
    assert found.groups["HIHE"]["fraction"] is None
    assert found.examples is None
    json.loads(found.to_json(), parse_constant=pytest.fail)


def test_one_anchor_is_a_set(vae, images):
    found = PXGen(vae, threshold=FEW).fit().explain(images[0])
    assert sum(g["count"] for g in found.groups.values()) == 1


def test_invalid_anchors_are_in_no_group_and_named(vae, images):
    images[[4, 20], 0, 0, 0] = np.nan
    with pytest.warns(PXGenWarning, match="2 of 60 anchors are in no group.*4 .the anchor holds"):
        found = PXGen(vae, threshold=FEW).fit().explain(images)
    assert found.invalid.tolist() == [4, 20]
    assert len(found.reasons) == 2
    assert found.group[4] == "invalid"
    assert np.isnan(found.group_stability[4])
    assert sum(g["count"] for g in found.groups.values()) == 58
    assert json.loads(found.to_json(), parse_constant=pytest.fail)["data"]["values"][4][0] is None


def test_json_is_strict_and_gives_the_arrays_back(spread, images, labels, tmp_path):
    images[3] = np.nan
    with pytest.warns(PXGenWarning):
        one = spread.explain(images, labels=labels)
    write_json(one, tmp_path / "explanation.json")
    for two in (from_json(one.to_json()), read_json(tmp_path / "explanation.json")):
        assert two.to_json() == one.to_json()
        for key, value in one.data.items():
            if isinstance(value, np.ndarray):
                assert two.data[key].dtype == value.dtype
                assert two.data[key].shape == value.shape
                np.testing.assert_array_equal(two.data[key], value)
        np.testing.assert_array_equal(
            two.groups["HIHE"]["representatives"]["k_center"],
            one.groups["HIHE"]["representatives"]["k_center"],
        )
        np.testing.assert_array_equal(two.examples["anchors"], one.examples["anchors"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"meta": 1, "data": 2}', '{"meta": NaN}'])
def test_what_is_no_explanation_is_refused(text):
    with pytest.raises(ParameterError, match="an explanation as JSON"):
        from_json(text)


def test_the_explanations_metadata_is_its_own(vae, images):
    explainer = PXGen(vae, threshold=FEW).fit()
    before = copy.deepcopy(explainer.meta)
    found = explainer.explain(images)
    found.meta["params"]["seed"] = "changed"
    assert explainer.meta == before
    assert found.meta["params"]["n_anchors"] == 60


def test_the_table_has_a_row_per_anchor(spread, images, labels, tmp_path):
    import pyarrow.parquet as pq

    images[3] = np.nan
    with pytest.warns(PXGenWarning):
        found = spread.explain(images, labels=labels)
    write_parquet(found, tmp_path / "anchors.parquet")
    table = pq.read_table(tmp_path / "anchors.parquet")
    assert table == anchor_table(from_json(found.to_json()))
    assert table.num_rows == 60
    assert table["kld"][3].as_py() is None
    assert table["group"].to_pylist() == found.group.tolist()
    picked = [i for i, names in enumerate(table["representative_of"].to_pylist()) if names]
    assert set(picked) == {
        i for g in found.groups.values() for r in g["representatives"].values() for i in r
    }


def test_pieces_of_the_table_make_the_file_that_one_table_makes(
    spread, images, labels, tmp_path, monkeypatch
):
    images[3] = np.nan
    with pytest.warns(PXGenWarning):
        found = spread.explain(images, labels=labels)
    monkeypatch.setattr(tables, "_ROWS", 10)
    for piece in (10, 20, 60, 1_000):
        monkeypatch.setattr(tables, "_PIECE", piece)
        write_parquet(found, tmp_path / f"{piece}.parquet")
    written = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(written) == 1


class TestSwappingTheModel:
    def test_a_live_model_takes_its_thresholds_with_it(self, vae, images):
        explainer = PXGen(vae, threshold=FEW).fit()
        explainer.reset_predictor(tiny_vae(seed=1))
        with pytest.raises(NotFittedError):
            explainer.explain(images)

    def test_the_same_model_keeps_them(self, vae, images):
        explainer = PXGen(vae, threshold=FEW).fit()
        explainer.reset_predictor(vae)
        explainer.explain(images)

    def test_without_a_model_nothing_can_be_explained(self, vae, images):
        explainer = PXGen(vae, threshold=FEW).fit()
        explainer.reset_predictor(None)
        with pytest.raises(ParameterError, match="reset_predictor"):
            explainer.explain(images)
        explainer.reset_predictor(vae)
        explainer.explain(images)

    def test_a_model_that_cannot_serve_the_criteria_is_refused(self, vae):
        class Sampler:
            capabilities = frozenset({"sample"})
            sample_shape, latent_shape, data_range = (4,), None, None
            device, dtype = torch.device("cpu"), torch.float32

        with pytest.raises(CapabilityError, match="criterion 'kld'"):
            PXGen(vae).reset_predictor(Sampler())


class TestSaving:
    @pytest.mark.parametrize("rule", [FEW, Fixed({"kld": 1.0, "mse": 0.1})])
    def test_a_loaded_explainer_explains_alike(self, vae, images, labels, tmp_path, rule):
        one = PXGen(vae, threshold=rule, selectors=["top", {"name": "k_center", "outliers": 1}])
        one.fit().save(tmp_path / "saved")
        two = PXGen.load(tmp_path / "saved", vae)
        assert two.meta == one.meta
        one_text = one.explain(images, labels=labels).to_json()
        assert two.explain(images, labels=labels).to_json() == one_text

    def test_an_unfitted_one_is_loaded_unfitted(self, vae, images, tmp_path):
        PXGen(vae).save(tmp_path)
        with pytest.raises(NotFittedError):
            PXGen.load(tmp_path, vae).explain(images)

    def test_nothing_in_the_folder_is_a_pickle_or_grows_with_the_model(self, vae, tmp_path):
        PXGen(vae, threshold=FEW).fit().save(tmp_path)
        files = {path.name for path in tmp_path.iterdir()}
        assert files == {"pxgen.json", "calibration.safetensors"}
        json.loads((tmp_path / "pxgen.json").read_text(), parse_constant=pytest.fail)

    def test_what_json_cannot_hold_is_asked_for(self, vae, images, tmp_path):
        def brightness(x):
            return x.mean((1, 2, 3))[:, None]

        one = PXGen(vae, threshold=FEW, space=brightness).fit()
        one.save(tmp_path)
        with pytest.raises(ParameterError, match="space=f"):
            PXGen.load(tmp_path, vae)
        two = PXGen.load(tmp_path, vae, space=brightness)
        assert two.explain(images).to_json() == one.explain(images).to_json()

    def test_a_folder_of_alibi_is_named_as_such(self, vae, tmp_path):
        (tmp_path / "explainer.dill").write_bytes(b"")
        with pytest.raises(ParameterError, match=r"alibi.saving.load_explainer"):
            PXGen.load(tmp_path, vae)

    @pytest.mark.parametrize(
        "content", ["", "{}", '{"format": 99, "params": {}}', "[]", "\x00\xff"]
    )
    def test_a_broken_folder_is_one_clear_error(self, vae, tmp_path, content):
        (tmp_path / "pxgen.json").write_text(content)
        with pytest.raises(ParameterError, match=r"a folder with pxgen.json of format 1"):
            PXGen.load(tmp_path, vae)

    def test_broken_arrays_are_one_clear_error(self, vae, tmp_path):
        PXGen(vae, threshold=FEW).fit().save(tmp_path)
        (tmp_path / "calibration.safetensors").write_bytes(b"\x00" * 30)
        with pytest.raises(ParameterError, match="intact"):
            PXGen.load(tmp_path, vae)

    def test_an_unwritable_path_is_one_clear_error(self, vae, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ParameterError, match="writable"):
            PXGen(vae).save(tmp_path / "file" / "folder")

    def test_another_version_warns(self, vae, tmp_path):
        PXGen(vae, threshold=FEW).fit().save(tmp_path)
        path = pathlib.Path(tmp_path / "pxgen.json")
        path.write_text(path.read_text().replace('_version": "', '_version": "9'))
        with pytest.raises(ParameterError, match="checksum"):
            PXGen.load(tmp_path, vae)
        content = json.loads(path.read_text())
        del content["checksum"]  # as older versions wrote it
        path.write_text(json.dumps(content))
        with pytest.warns(PXGenWarning, match="saved by pxgen-plugins 9"):
            PXGen.load(tmp_path, vae)


class TestBlackBox:
    def make(self, **kwargs):
        def predict(X):
            return np.stack([X.mean(1), X.std(1)], 1)

        def sample(n, seed):
            return np.random.default_rng(seed).random((n, 5))

        return PXGen(
            kwargs.pop("predictor", predict),
            sampler=kwargs.pop("sampler", sample),
            threshold=kwargs.pop("threshold", FEW),
            **kwargs,
        )

    def test_it_gives_the_values_of_the_predictor(self):
        X = np.random.default_rng(1).random((30, 5))
        found = self.make().fit().explain(X)
        np.testing.assert_allclose(found.values, np.stack([X.mean(1), X.std(1)], 1))
        assert found.criteria == ["kld", "mse"]
        assert found.examples["reconstructions"] is None

    def test_a_wrapped_function_is_asked_for_its_own_values(self, tmp_path):
        by_function = self.make().fit()
        made = self.make()
        box = BlackBox(made.predictor, made.sampler)
        wrapped = self.make(predictor=box, sampler=None).fit()
        X = np.random.default_rng(1).random((30, 5))
        found = wrapped.explain(X)
        assert found.criteria == ["kld", "mse"]
        np.testing.assert_array_equal(found.values, by_function.explain(X).values)
        np.testing.assert_array_equal(found.group, by_function.explain(X).group)
        wrapped.save(tmp_path)
        again = PXGen.load(tmp_path, box).explain(X)
        np.testing.assert_array_equal(found.group, again.group)
        own = self.make(predictor=box, sampler=None, intrinsic="nll", extrinsic="norm")
        assert own.fit().explain(X).criteria == ["nll", "norm"]
        # those on samples stay one argument away
        named = self.make(
            predictor=box, sampler=None, intrinsic="sample_rank", extrinsic="nearest_sample"
        )
        assert [c.name for c in named.criteria] == ["sample_rank", "nearest_sample"]

    def test_a_third_column_is_not_dropped(self):
        made = self.make()
        box = BlackBox(lambda X: np.stack([X.mean(1)] * 3, 1), made.sampler)
        with pytest.raises(ModelError, match="a table of 2 columns; got 3 columns"):
            self.make(predictor=box, sampler=None).fit()

    def test_it_equals_the_white_box(self, vae, images):
        white = PXGen(vae, threshold=FEW).fit()
        from pxgen_plugins import criteria
        from pxgen_plugins.criteria import Batch

        @torch.no_grad()
        def predict(X):
            batch = Batch(vae, torch.from_numpy(X).float())
            columns = [criteria.make(name)(batch) for name in ("kld", "mse")]
            return torch.stack(columns, 1).numpy()

        black = PXGen(
            predict, sampler=lambda n, s: vae.sample(n, s).detach().numpy(), threshold=FEW
        )
        one, two = white.explain(images), black.fit().explain(images)
        np.testing.assert_allclose(one.values, two.values, rtol=1e-5)
        assert one.thresholds == pytest.approx(two.thresholds, rel=1e-5)
        assert (one.group == two.group).all()

    @pytest.mark.parametrize(
        ("predictor", "error"),
        [
            (lambda X: torch.zeros(len(X), 2), PredictorReturnTypeError),
            (lambda X: np.zeros((len(X), 3)), PredictorReturnTypeError),
            (lambda X: np.zeros(len(X)), PredictorReturnTypeError),
            (lambda X: np.full((len(X), 2), np.nan), PredictorReturnTypeError),
            (lambda X: 1 / 0, PredictorCallError),
        ],
        ids=["tensor", "columns", "one column", "nan", "raises"],
    )
    def test_a_wrong_predictor_is_alibis_error(self, predictor, error):
        with pytest.raises(error):
            self.make(predictor=predictor)

    def test_without_a_sampler_fixed_thresholds_work(self):
        X = np.random.default_rng(1).random((30, 5))
        self.make(sampler=None, threshold=Fixed(0.5)).fit().explain(X)
        with pytest.raises(CapabilityError, match="sample"):
            self.make(sampler=None).fit()

    def test_a_sampler_that_returns_labels_too_is_named(self):
        def draw(n, seed):
            X = np.random.default_rng(seed).random((n, 5))
            return X, np.zeros(n)

        with pytest.raises(
            PredictorReturnTypeError, match=r"sampler's result must be .*; got a tuple of 2"
        ):
            self.make(sampler=draw).fit()

    def test_names_are_asked_for(self):
        with pytest.raises(ParameterError, match="names of columns"):
            self.make(intrinsic=MSE())


class Reference(FittedCriterion):
    """Distance to the mean of reference data."""

    name, kind, unit, requires = "to_reference", "extrinsic", "value", frozenset({"reconstruct"})

    def features(self, batch):
        return batch.x

    def learn(self, features, model, seed):
        total, n = 0.0, 0
        for rows in features:
            total, n = total + rows.sum(0), n + len(rows)
        return {"centre": total / n}

    def __call__(self, batch):
        return (batch.x - self.learned("centre", batch.x)).flatten(1).norm(dim=1)


def test_a_criterion_that_needs_reference_data_gets_it(vae, images):
    explainer = PXGen(vae, extrinsic=Reference(), threshold=Fixed(1.0))
    with pytest.raises(ParameterError, match="reference data for criterion 'to_reference'"):
        explainer.fit()
    found = explainer.fit(images).explain(images)
    expected = np.linalg.norm((images - images.mean(0)).reshape(60, -1), axis=1)
    np.testing.assert_allclose(found.values[:, 1], expected, rtol=1e-5)


def test_progress_goes_to_stderr_and_only_when_asked(vae, images, capfd):
    PXGen(vae, threshold=FEW).fit().explain(images)
    assert capfd.readouterr() == ("", "")
    PXGen(vae, threshold=FEW, verbose=True).fit().explain(images)
    out, err = capfd.readouterr()
    assert out == ""
    assert "scoring" in err


def test_what_a_criterion_learned_is_saved_and_belongs_to_one_explainer(vae, images, tmp_path):
    criterion = Reference()
    fitted = PXGen(vae, extrinsic=criterion, threshold=Fixed(1.0)).fit(images)
    other = PXGen(vae, extrinsic=criterion, threshold=Fixed(1.0)).fit(images[:3])
    values = fitted.explain(images).values
    assert not np.allclose(values, other.explain(images).values)
    fitted.save(tmp_path)
    loaded = PXGen.load(tmp_path, vae, extrinsic=criterion)
    np.testing.assert_array_equal(loaded.explain(images).values, values)
    with pytest.raises(ParameterError, match="what it learned must be there"):
        criterion(Batch(vae, torch.zeros(2, 1, 8, 8)))


def test_reference_data_that_cannot_be_used_are_named(vae, images):
    explainer = PXGen(vae, extrinsic=Reference(), threshold=Fixed(1.0))
    holes = images.copy()
    holes[3, 0, 0, 0] = np.nan
    with pytest.warns(PXGenWarning, match="1 of 60 reference instances are left out"):
        explainer.fit(holes)
    kept = np.delete(images, 3, axis=0)
    clean = PXGen(vae, extrinsic=Reference(), threshold=Fixed(1.0)).fit(kept)
    np.testing.assert_allclose(
        explainer.explain(images).values, clean.explain(images).values, rtol=1e-6
    )
    with pytest.raises(AnchorError, match="at least one finite instance"):
        explainer.fit(np.full((2, 1, 8, 8), np.nan))
