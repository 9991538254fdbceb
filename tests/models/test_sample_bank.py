"""Models of which there are only samples: their sources, their halves, their explanations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from pxgen_plugins import PXGen, criteria
from pxgen_plugins.anchors import open_for
from pxgen_plugins.models import GenerativeModel, SampleBank
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.testing import check_model
from pxgen_plugins.testing.guards import moved_generators, random_state
from pxgen_plugins.thresholds import Conformal, MeanMax, Quantile
from pxgen_plugins.utils.errors import AnchorError, CapabilityError, ModelError, ParameterError

IMAGES = np.random.default_rng(0).random((60, 1, 6, 6), dtype=np.float32)


def draw(n, seed):
    return np.random.default_rng(seed).random((n, 1, 6, 6), dtype=np.float32)


def rows(tensor):
    return {row.numpy().tobytes() for row in tensor}


class TestSources:
    def test_a_function_with_a_seed_is_called_for_every_draw(self):
        bank = SampleBank(draw)
        np.testing.assert_array_equal(bank.sample(7, 3), draw(7, 3))
        assert bank.sample_shape == (1, 6, 6)
        assert repr(bank) == "SampleBank(endless, sample_shape=(1, 6, 6))"

    def test_a_seed_is_recognised_by_its_name_or_as_a_second_argument_without_default(self):
        seen = []

        def named(n, steps=5, *, seed=None):
            seen.append(steps)
            return draw(n, seed)

        np.testing.assert_array_equal(SampleBank(named).sample(4, 9), draw(4, 9))
        assert set(seen) == {5}
        np.testing.assert_array_equal(
            SampleBank(lambda n, s, /: draw(n, s)).sample(4, 9), draw(4, 9)
        )
        # another argument is no seed: this one is asked once
        asked = []

        def steps(n, steps=5):
            asked.append((n, steps))
            return draw(n, 0)

        SampleBank(steps, n_bank=20).sample(5, 1)
        assert asked == [(20, 5)]

    def test_a_seed_fits_numpys_older_generators(self):
        bank = SampleBank(lambda n, seed: np.random.RandomState(seed).rand(n, 3))
        assert bank.sample(2, 2**62).shape == (2, 3)

    def test_a_function_without_a_seed_is_asked_once_for_a_bank(self):
        rng, asked = np.random.default_rng(0), []

        def api(n):
            asked.append(n)
            return rng.random((n, 4))

        bank = SampleBank(api, n_bank=30)
        one, again, other = (bank.sample(10, seed) for seed in (1, 1, 2))
        assert asked == [30]
        assert torch.equal(one, again)
        assert not torch.equal(one, other)
        # so is a built-in function, which may not tell what it takes
        builtin = np.random.default_rng(0).standard_normal
        assert "8 samples" in repr(SampleBank(builtin, n_bank=8, sample_shape=1, data_range=None))

    @pytest.mark.parametrize("kind", ["array", "tensor", "list", "npy", "npz", "folder", "parquet"])
    def test_instances_are_read_from_whatever_holds_them(self, kind, tmp_path):
        pixels = (IMAGES * 255).astype(np.uint8)
        options = {"sample_shape": (1, 6, 6)}
        if kind == "array":
            source = pixels
        elif kind == "tensor":
            source = torch.from_numpy(pixels)
        elif kind == "list":
            source, pixels = IMAGES.tolist(), IMAGES
        elif kind == "npy":
            np.save(source := tmp_path / "x.npy", pixels)
        elif kind == "npz":
            np.savez(source := tmp_path / "x.npz", images=pixels)
        elif kind == "parquet":
            frame = pytest.importorskip("pandas").DataFrame(pixels.reshape(60, 36))
            frame.columns = [f"pixel{i}" for i in range(36)]
            source = tmp_path / "x.parquet"
            frame.to_parquet(source)
        else:
            image = pytest.importorskip("PIL.Image")
            source = tmp_path
            for i, picture in enumerate(pixels):
                image.fromarray(picture[0]).save(tmp_path / f"{i:03d}.png")
        bank = SampleBank(source, **options)
        expected = torch.from_numpy(pixels).float() / (255.0 if pixels.dtype == np.uint8 else 1.0)
        halves = [bank.portion(30, 0, learning)(30, 0) for learning in (True, False)]
        found = torch.cat(halves).flatten(1).numpy()
        order, wanted = np.lexsort(found.T), expected.flatten(1).numpy()
        np.testing.assert_allclose(found[order], wanted[np.lexsort(wanted.T)], atol=1e-7)

    def test_a_bank_is_a_model(self):
        for bank in (SampleBank(IMAGES), SampleBank(draw)):
            check_model(bank)
            with pytest.raises(CapabilityError, match="reconstruct"):
                bank.reconstruct(torch.zeros(1, 1, 6, 6))

    def test_exact_copies_stay_exact_through_the_range(self):
        pixels = (IMAGES * 255).astype(np.uint8)
        bank = SampleBank(pixels, data_range=(-1.0, 1.0))
        ((_, x),) = Scorer(bank, []).batches(open_for(bank, pixels), None, {})
        assert rows(bank.sample(30, 0)) <= rows(x)


class TestFaults:
    @pytest.mark.parametrize(
        ("source", "text"),
        [
            (IMAGES[:1], "two instances or more; got 1"),
            (IMAGES + 1, r"inside the model's data_range \[0, 1\]; got values from"),
            (np.full((4, 3), np.nan), "readable and finite; got instance 0: the anchor holds NaN"),
            (lambda n, seed: draw(n + 1, seed), "must be 2 instances; got ndarray of shape"),
            (lambda n, seed: None, "source's result must be something that holds anchors"),
            (lambda n, seed: 1 / 0, "got ZeroDivisionError"),
            (lambda n: draw(3, 0), "must be 10000 instances"),
        ],
    )
    def test_a_wrong_source_is_refused_at_once(self, source, text):
        with pytest.raises(ModelError, match=text):
            SampleBank(source)

    def test_a_source_that_forgets_its_seed_is_refused(self):
        rng = np.random.default_rng(0)
        with pytest.raises(ModelError, match="repeatable"):
            SampleBank(lambda n, seed: rng.random((n, 3)))

    def test_a_later_fault_is_named_with_its_place(self):
        bad = IMAGES.copy()
        bad[41, 0, 0, 0] = np.nan
        bank = SampleBank(bad)
        with pytest.raises(ModelError, match="got instance 41: the anchor holds NaN"):
            [bank.portion(30, 0, learning)(30, 0) for learning in (True, False)]

    def test_a_picture_that_cannot_be_read_is_named(self, tmp_path):
        image = pytest.importorskip("PIL.Image")
        for i in range(4):
            image.fromarray(np.full((6, 6), i, dtype=np.uint8)).save(tmp_path / f"{i}.png")
        (tmp_path / "1.png").write_bytes(b"broken")
        with pytest.raises(ModelError, match="got instance 1: "):
            SampleBank(tmp_path)

    def test_a_wrong_argument_is_refused(self):
        with pytest.raises(AnchorError, match="existing file"):
            SampleBank("no/such/folder")
        with pytest.raises(ParameterError, match="n_bank"):
            SampleBank(lambda n: draw(n, 0), n_bank=1)
        with pytest.raises(ParameterError, match="data_range"):
            SampleBank(IMAGES, data_range=(1.0, 0.0))
        with pytest.raises(ParameterError, match="sample_shape"):
            SampleBank(IMAGES, sample_shape=(0,))

    def test_more_samples_than_a_half_holds_are_refused_with_what_to_do(self):
        bank = SampleBank(IMAGES[:15])
        assert len(rows(bank.sample(8, 0))) == 8
        with pytest.raises(ModelError, match=r"at most 8, .* thresholds; got 9\. Use n_samples=8"):
            bank.sample(9, 0)
        with pytest.raises(ModelError, match=r"at most 7, .* criteria; got 8\. Use n_fit=7"):
            bank.portion(8, 0, learning=True)
        explainer = PXGen(bank, "sample_rank", "nearest_sample")
        with pytest.raises(ModelError, match="Use n_fit=7"):
            explainer.fit()


class TestHalves:
    def test_criteria_and_thresholds_never_see_the_same_sample(self):
        bank = SampleBank(IMAGES)
        scorer = Scorer(bank, [])
        seen = {
            learning: {
                row
                for seed in range(5)
                for _, x in scorer.samples(30, seed, learning=learning)
                for row in rows(x)
            }
            for learning in (True, False)
        }
        assert not seen[True] & seen[False]
        assert len(seen[True]) == len(seen[False]) == 30

    def test_no_sample_is_drawn_twice_across_the_blocks_of_one_use(self):
        array = np.arange(3_000, dtype=np.float32)[:, None]
        scorer = Scorer(SampleBank(array, data_range=None), [], batch_size=100)
        for learning in (True, False):
            drawn = torch.cat([x for _, x in scorer.samples(1_500, 0, learning=learning)])
            assert len(drawn.unique()) == 1_500
        whole = torch.cat([x for _, x in Scorer(scorer.model, []).samples(700, 4)])
        again = torch.cat([x for _, x in scorer.samples(700, 4)])
        assert torch.equal(whole, again)

    def test_other_seeds_split_otherwise(self):
        halves = [rows(SampleBank(IMAGES, seed=seed).sample(30, 0)) for seed in (0, 0, 1)]
        assert halves[0] == halves[1] != halves[2]

    def test_thresholds_of_a_bank_are_those_of_the_function_behind_it(self):
        def threshold(source):
            nearest = {"name": "nearest_sample", "k": 1, "n_fit": 500}
            rule = Quantile(0.5, n_samples=500, n_repeats=1)
            explainer = PXGen(source, {"name": "sample_rank", "n_fit": 500}, nearest, rule)
            return explainer.fit().calibration.thresholds

        endless, finite = threshold(SampleBank(draw)), threshold(SampleBank(draw(2_000, 123)))
        assert abs(endless[0] - finite[0]) < 0.1
        assert finite[1] == pytest.approx(endless[1], rel=0.02)

        class Careless(GenerativeModel):
            """Draws everything from one bank, as if it were endless."""

            capabilities = frozenset({"sample"})
            sample_shape = (1, 6, 6)

            def sample(self, n, seed):
                chosen = np.random.default_rng(seed).permutation(600)[:n]
                return torch.from_numpy(draw(600, 123)[chosen])

        # nearly all samples are learned from, too: half of the distances and more are 0, an atom
        assert threshold(Careless())[1] == np.nextafter(0.0, 1.0)


class TestExplanations:
    def explain(self, bank, rule, **options):
        explainer = PXGen(
            bank,
            [{"name": name, "n_fit": 200} for name in ("sample_rank", "density", "realism")],
            {"name": "nearest_sample", "n_fit": 200},
            rule,
            **options,
        )
        return explainer.fit()

    def test_a_bank_is_explained_saved_and_loaded(self, tmp_path):
        bank = SampleBank(draw(1_000, 1))
        explainer = self.explain(bank, MeanMax(n_samples=300, n_repeats=2))
        x = np.concatenate([draw(20, 9), np.full((5, 1, 6, 6), 1.0, dtype=np.float32)])
        found = explainer.explain(x)
        assert found.meta["params"]["model"] == {
            "family": "SampleBank",
            "capabilities": ["sample"],
            "latent_access": False,
        }
        values = found.values
        assert values.shape == (25, 4)
        assert (values[20:, 3] > values[:20, 3].max()).all()
        assert found.groups["HIHE"]["count"] >= 15
        assert found.groups["LILE"]["count"] == 5
        explainer.save(tmp_path / "saved")
        loaded = PXGen.load(tmp_path / "saved", bank)
        again = loaded.explain(x)
        np.testing.assert_array_equal(again.values, values)

    def test_p_values_of_what_the_model_makes_are_valid(self):
        explainer = self.explain(SampleBank(draw(1_400, 1)), Conformal(0.1, 700, 1))
        values = explainer.explain(draw(1_000, 7)).values
        p = explainer.calibration.p_values(values)
        for level in (0.05, 0.1, 0.3):
            # valid up to the deviation of 1,000 anchors and 700 samples, three times
            slack = 3 * np.sqrt(level * (1 - level) * (1 / 1_000 + 1 / 700))
            assert ((p <= level).mean(0) <= level + slack).all()

    def test_criteria_that_need_more_are_refused_by_name(self):
        names = criteria.for_model(SampleBank(IMAGES))
        assert {"density", "nearest_sample", "realism", "sample_rank"} <= set(names)
        with pytest.raises(CapabilityError, match=r"criterion 'kld'.*nearest_sample"):
            PXGen(SampleBank(IMAGES), "kld")

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_a_space_without_access_is_refused_and_precision_changes_nothing(self, precision):
        rule = Quantile(0.9, n_samples=100, n_repeats=1)
        explainer = self.explain(SampleBank(draw(500, 1)), rule, precision=precision)
        x = draw(10, 9)
        single = self.explain(SampleBank(draw(500, 1)), rule).explain(x)
        np.testing.assert_array_equal(explainer.explain(x).values, single.values)
        with pytest.raises(CapabilityError, match="latent"):
            self.explain(SampleBank(draw(500, 1)), rule, space="latent").explain(x)

    def test_the_network_is_given_again_after_loading(self, tmp_path):
        bank, net = SampleBank(draw(100, 1)), torch.nn.Flatten()
        rule = Quantile(0.9, n_samples=50, n_repeats=1)
        nearest = criteria.NearestSample(k=1, n_fit=50, network=net)
        explainer = PXGen(bank, {"name": "realism", "n_fit": 50}, nearest, rule).fit()
        explainer.save(tmp_path)
        with pytest.raises(ParameterError, match="network"):
            PXGen.load(tmp_path, bank)
        loaded = PXGen.load(tmp_path, bank, extrinsic=nearest)
        x = draw(10, 9)
        np.testing.assert_array_equal(loaded.explain(x).values, explainer.explain(x).values)

    @pytest.mark.slow
    def test_digits_are_nearer_to_a_gans_pictures_than_other_images(self, example):
        module = example("family_models.sample_bank")
        module.N_BANK = 3_000
        model, intrinsic, extrinsic, digits, outside, _ = module.build()
        rule = Quantile(0.9, n_samples=1_000, n_repeats=1)
        explainer = PXGen(model, intrinsic, extrinsic, rule).fit()
        inside = explainer.explain(digits[:300]).values
        for name in ("noise", "negative"):
            other = explainer.explain(outside[name][:300]).values
            truth = np.repeat([0, 1], 300)
            for column, criterion in zip(np.r_[inside, other].T, explainer.criteria, strict=True):
                assert roc_auc_score(truth, column) > 0.9, (name, criterion.name)


def test_a_function_without_a_seed_that_draws_globally_repeats_and_leaves_no_trace():
    def source(n):
        return np.random.random((n, 3)) + torch.rand(n, 3).numpy()  # noqa: NPY002

    before = random_state()
    one, other = (SampleBank(source, data_range=None, n_bank=50) for _ in range(2))
    assert torch.equal(one.sample(5, 0), other.sample(5, 0))
    assert moved_generators(before) == []


def test_numbers_without_an_axis_are_no_instances():
    with pytest.raises(ModelError, match=r"source\[:, None\]"):
        SampleBank(np.random.default_rng(0).random(400))
