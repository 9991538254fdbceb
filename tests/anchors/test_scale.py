"""Bytes, bits and floats of another scale than the model's: one judgement for everything."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from pxgen_plugins import PXGen, compare
from pxgen_plugins.adapters import LatentView, Saliency
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.anchors.scale import Span
from pxgen_plugins.evaluation import extract_features
from pxgen_plugins.models import VAE, SampleBank
from pxgen_plugins.thresholds import Fixed
from pxgen_plugins.utils.errors import AnchorError, ParameterError, PXGenWarning

SHAPE = (1, 4, 4)
UNIT = np.random.default_rng(0).random((40, *SHAPE))


def model(bounds):
    """Return a VAE whose codes are pixels, so that what it was given can be read off."""
    net = torch.nn.Flatten()
    low, high = bounds or (None, None)

    def decode(z):
        x = torch.cat([z, z.new_zeros(len(z), 13)], 1).reshape(-1, *SHAPE)
        return x if bounds is None else x.clamp(low, high)

    return VAE(
        encode=lambda x: (net(x)[:, :3], torch.zeros(len(x), 3)),
        decode=decode,
        modules=(),
        latent_shape=(3,),
        sample_shape=SHAPE,
        data_range=bounds,
    )


def warned(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(w.message) for w in caught if "anchors_range" in str(w.message)]


def consumers(X, bounds):
    """Return everything that reads anchors for a model, as functions without arguments."""
    vae = model(bounds)
    explainer = PXGen(vae, threshold=Fixed(1.0)).fit()
    return {
        "explain": lambda: explainer.explain(X),
        "attribution": lambda: Saliency(vae, target="mse").explain(X),
        "view": lambda: LatentView(vae, "pca").explain(X),
        "bank": lambda: SampleBank(X, data_range=bounds).sample(20, 0),
        "function": lambda: SampleBank(lambda n, seed: X[seed % 7 :][:n], data_range=bounds).sample(
            20, 0
        ),
        "features": lambda: extract_features(X, data_range=bounds),
        "compare": lambda: compare(vae, X, methods=[], groups=explainer),
    }


CASES = {
    "bits as bytes": ((UNIT > 0.5).astype(np.uint8), (0.0, 1.0), "uint8 anchors"),
    "16 levels as bytes": ((UNIT * 15).astype(np.uint8), (0.0, 1.0), "uint8 anchors"),
    "ToTensor for tanh": (UNIT.astype("f4"), (-1.0, 1.0), "floating anchors"),
    "booleans for tanh": (UNIT > 0.5, (-1.0, 1.0), "floating anchors"),
    "unit floats for bytes": (UNIT, (0.0, 255.0), "floating anchors"),
    "divided by 255 twice": (UNIT / 255, (0.0, 1.0), "floating anchors"),
    "bytes": ((UNIT * 255).astype(np.uint8), (-1.0, 1.0), None),
    "right floats": (UNIT * 2 - 1, (-1.0, 1.0), None),
    "unit floats": (UNIT, (0.0, 1.0), None),
    "booleans": (UNIT > 0.5, (0.0, 1.0), None),
    "zeros": (np.zeros_like(UNIT), (-1.0, 1.0), None),
    "unbounded": (UNIT, None, None),
}


@pytest.mark.parametrize("name", CASES)
def test_every_reader_of_anchors_says_the_same_of_their_scale(name):
    X, bounds, start = CASES[name]
    for reader, read in consumers(X, bounds).items():
        texts = warned(read)
        good = all(start in text for text in texts) and texts if start else not texts
        assert good, (reader, texts)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[1] is not None])
def test_a_stated_range_decides_and_ends_the_question(name):
    X, bounds, _ = CASES[name]
    top = {"16 levels as bytes": 15.0, "bytes": 255.0}.get(name, 1.0)
    stated = (-1.0, 1.0) if name == "right floats" else (0.0, top)
    numbers = np.asarray(X, float)
    unit = (numbers - stated[0]) / (stated[1] - stated[0])
    right = (bounds[0] + unit * (bounds[1] - bounds[0])).reshape(40, -1)
    opened = open_anchors(X, sample_shape=SHAPE, anchors_range=stated)
    vae = model(bounds)
    explainer = PXGen(vae, threshold=Fixed(1.0)).fit()
    tolerance = 1e-6 * (bounds[1] - bounds[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error", PXGenWarning)
        for given, options in ((opened, {}), (X, {"anchors_range": stated})):
            features = extract_features(given, data_range=bounds, **options)
            np.testing.assert_allclose(features, right, atol=tolerance)
            if name != "zeros":
                assert len(compare(vae, given, methods=["latent_view"], **options).outcomes) == 2
            explanation = explainer.explain(given, **options)
            kld = 0.5 * (right[:, :3] ** 2).sum(1)
            np.testing.assert_allclose(explanation.values[:, 0], kld, rtol=1e-4, atol=1e-5)
        bank = SampleBank(X, data_range=bounds, anchors_range=stated).sample(20, 0)
    assert float(bank.max()) <= bounds[1] + tolerance
    assert any(np.abs(bank[0].numpy().ravel() - row).max() < 1e-4 * bounds[1] for row in right)


def test_a_bad_row_neither_hides_the_scale_nor_counts():
    X = UNIT.astype("f4").copy()
    X[3, 0, 0, 0] = np.nan
    assert warned(consumers(X, (-1.0, 1.0))["explain"])
    explanation = (
        PXGen(model((-1.0, 1.0)), threshold=Fixed(1.0))
        .fit()
        .explain(TensorDataset(torch.from_numpy(X)), anchors_range=(0.0, 1.0))
    )
    assert explanation.invalid.tolist() == [3]
    assert any("within [0, 1]" in note for note in explanation.notes)


def test_values_outside_of_a_stated_range_are_refused():
    vae = model((0.0, 1.0))
    explainer = PXGen(vae, threshold=Fixed(1.0)).fit()
    with pytest.raises(AnchorError, match="stated anchors_range"):
        explainer.explain(UNIT * 2, anchors_range=(0, 1))
    with pytest.raises(ParameterError, match="anchors_range"):
        explainer.explain(UNIT, anchors_range=(1, 0))
    with pytest.raises(AnchorError, match=r"anchors_range=\(-1.0, 1.0\)"):
        explainer.explain(UNIT * 2 - 1)
    with pytest.raises(AnchorError, match="anchors_range"):
        extract_features(UNIT, data_range=None, anchors_range=(0, 1))


def test_spans_of_parts_add_up_to_that_of_the_whole():
    parts, whole = Span(), Span()
    for rows in (UNIT[:7], UNIT[7:]):
        one = Span()
        one.add(rows)
        parts.merge(Span.of(one.to_data()))
    whole.add(UNIT)
    assert parts == whole
    assert Span.of(Span().to_data()) == Span()


SETTINGS = """
model: {{shipped: mnist_vae}}
anchors: {{path: x.npy{extra}}}
threshold: {{name: Fixed, values: 1.0}}
shard_size: 7
conditions: ["HIHE.count >= 0"]
output: run
"""


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", ", range: [0, 1]"])
def test_an_audit_says_in_terminal_summary_and_report_what_it_made_of_the_scale(tmp_path, extra):
    np.save(tmp_path / "x.npy", (np.random.default_rng(0).random((20, 28, 28)) > 0.5).astype("u1"))
    (tmp_path / "a.yaml").write_text(SETTINGS.format(extra=extra))
    command = [Path(sys.executable).parent / "pxgen", "audit", tmp_path / "a.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = "within [0, 1]" if extra else "uint8 anchors are scaled as if 255"
    pages = [(tmp_path / "run" / name).read_text() for name in ("summary.md", "report.html")]
    assert all(text in page for page in [done.stdout, *pages])


def test_anchors_far_from_the_samples_of_a_model_without_range_are_doubted():
    vae = model(None)
    explainer = PXGen(vae, threshold=Fixed(1.0)).fit()
    own = vae.sample(40, 1).numpy()
    said = "the model's own samples within"
    for X, doubted in ((own, False), (own * 255, True), (own + 1e3, True), (own / 255, True)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            notes = explainer.explain(X).notes
        assert any(said in str(one.message) for one in caught) == doubted
        assert any(said in note for note in notes) == doubted


def test_a_stated_range_that_anchors_hardly_span_is_a_note_and_no_warning():
    explainer = PXGen(model((0.0, 1.0)), threshold=Fixed(1.0)).fit()
    for top, noted in ((255.0, True), (16.0, False)):
        with warnings.catch_warnings():
            warnings.simplefilter("error", PXGenWarning)
            notes = explainer.explain(UNIT * 16, anchors_range=(0.0, top)).notes
        assert any("a small part of the stated anchors_range" in note for note in notes) == noted
