"""Several models under the same anchors and methods."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.adapters import LatentView, Saliency
from pxgen_plugins.comparison import Migration, ModelComparison, compare
from pxgen_plugins.evaluation import extract_features, frechet_distance
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.utils.errors import CapabilityError, ParameterError
from pxgen_plugins.utils.seeds import derive
from tests.adapters.nets import MLPNet, mlp_vae

RULE = {"name": "Conformal", "alpha": 0.1, "n_samples": 100, "n_repeats": 2}
METHODS = ["saliency", "protodash", "latent_view", "activation_statistics"]
N = 40


def both(models, X, **arguments):
    rules = {name: {"threshold": RULE} for name in models}
    given = {"methods": METHODS, "quality": False, "options": rules, **arguments}
    return compare(models, X, np.arange(N) % 3, **given)


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).random((N, 1, 8, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def permuted():
    """The first model with the rows of every weight matrix permuted."""
    net = MLPNet()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(
                weight.flatten()[torch.randperm(weight.numel(), generator=generator)].reshape(
                    weight.shape
                )
            )
    return VAE(net, sample_shape=(1, 8, 8), data_range=(0.0, 1.0))


@pytest.fixture(scope="module")
def twins(X):
    model = mlp_vae()
    return both({"one": model, "two": model}, X)


@pytest.fixture(scope="module")
def different(X, permuted):
    return both({"VAE": mlp_vae(), "permuted": permuted}, X)


def test_a_model_under_two_names_differs_in_nothing(twins):
    migration = twins.migration["one / two"]
    assert migration.same == 1.0
    assert np.array_equal(migration.matrix, np.diag(migration.matrix.diagonal()))
    assert migration.matrix.sum() == N
    assert twins.distances["one / anchors"] == twins.distances["two / anchors"]
    assert twins.distances["one / two"].frechet == 0.0
    assert twins.agreement["one / two"] == dict.fromkeys(("PXGen", "saliency", "protodash"), 1.0)
    one, two = (
        [o.explanation.data for o in twins.comparisons[name].outcomes] for name in ("one", "two")
    )
    np.testing.assert_array_equal(one[1]["attributions"], two[1]["attributions"])
    np.testing.assert_array_equal(one[3]["coordinates"], two[3]["coordinates"])
    np.testing.assert_array_equal(twins.samples["one"], twins.samples["two"])


def test_a_model_with_permuted_weights_differs_in_all(different):
    assert different.migration["VAE / permuted"].same < 1.0
    assert different.distances["VAE / permuted"].frechet > 0.0
    assert different.agreement["VAE / permuted"]["saliency"] < 0.9


def test_local_methods_explain_the_same_anchors_of_every_combination_of_groups(different, X):
    pair = [one.indices.tolist() for one in different.comparisons.values()]
    assert pair[0] == pair[1] == different.indices.tolist()
    for one in different.comparisons.values():
        np.testing.assert_allclose(one.anchors, X[one.indices], rtol=1e-6)
    groups = [np.asarray(e.group) for e in different.groups.values()]
    states = set(zip(*groups, strict=True))
    chosen = {(groups[0][row], groups[1][row]) for row in different.indices}
    assert len(chosen) == min(len(states), len(different.indices))


def test_what_is_said_of_each_model_is_what_it_gets_alone(different, X):
    model = different.comparisons["VAE"].outcomes[1].explanation
    alone = compare(
        mlp_vae(), X, None, ["saliency"], PXGen(mlp_vae(), threshold=RULE).fit().explain(X),
        indices=different.indices, quality=False,
    )  # fmt: skip
    np.testing.assert_array_equal(alone.outcomes[1].explanation.attributions, model.attributions)
    assert np.array_equal(alone.groups.group, different.groups["VAE"].group)


def test_distances_are_those_of_the_models_samples(different, X):
    drawn = mlp_vae().sample(N, derive(0, "samples")).detach().numpy()
    direct = frechet_distance(extract_features(drawn), extract_features(X))
    assert different.distances["VAE / anchors"].frechet == pytest.approx(direct, rel=1e-6)
    assert any("biased" in note for note in different.notes)  # 40 rows of 64 pixels


def test_migration_counts_by_hand():
    one = np.array(["HIHE", "HIHE", "LILE", "invalid"])
    other = np.array(["HIHE", "HILE", "LILE", "HIHE"])
    migration = Migration.of(("a", "b"), one, other)
    assert migration.same == 0.5
    assert {(i, j): int(migration.matrix[i, j]) for i, j in np.argwhere(migration.matrix)} == {
        (0, 0): 1, (0, 1): 1, (3, 3): 1, (4, 0): 1,
    }  # fmt: skip
    # shares of the groups: 1/2, 0, 1/4, 1/4 before, 1/2, 1/4, 1/4, 0 after
    assert migration.chance == pytest.approx(0.5 * 0.5 + 0.25 * 0.25)
    empty = Migration.of(("a", "b"), one[:0], other[:0])
    assert empty.interval is None
    assert json.dumps(empty.to_dict(), allow_nan=False)


def test_json_is_strict_and_holds_the_table(different):
    content = json.loads(different.to_json(), parse_constant=pytest.fail)
    assert content["models"] == ["VAE", "permuted"]
    assert content["indices"] == different.indices.tolist()
    assert [(row["model"], row["method"]) for row in content["table"]] == [
        (name, method)
        for name in content["models"]
        for method in ["PXGen", *METHODS, "shared work"]
    ]
    matrix = different.migration["VAE / permuted"].matrix
    assert content["migration"]["VAE / permuted"]["matrix"] == matrix.tolist()
    assert set(content["comparisons"]) == {"VAE", "permuted"}


def test_pages_escape_names_and_are_written_by_suffix(X, tmp_path):
    model = mlp_vae()
    found = both({"<b>a|b": model, "other": model}, X, methods=[])
    assert "<b>" not in found.to_html()
    assert r"<b>a\|b" in found.to_markdown()
    for suffix in ("json", "md", "html"):
        found.write(tmp_path / f"models.{suffix}")
        assert (tmp_path / f"models.{suffix}").stat().st_size > 500
    with pytest.raises(ParameterError, match=r"ModelComparison\.write: path"):
        found.write(tmp_path / "models.pdf")


def test_the_same_seed_gives_the_same_and_global_state_is_left_alone(different, permuted, X):
    model = mlp_vae()
    state = torch.random.get_rng_state()
    again = both({"VAE": model, "permuted": permuted}, X)
    assert torch.equal(torch.random.get_rng_state(), state)
    for key in ("groups", "migration", "distances", "agreement", "indices"):
        assert json.loads(again.to_json())[key] == json.loads(different.to_json())[key]
    other = both({"VAE": mlp_vae(), "permuted": permuted}, X, seed=1)
    assert other.distances["VAE / anchors"] != different.distances["VAE / anchors"]


def gan(low=0.0):
    """A linear GAN of 1 x 8 x 8, whose range begins at ``low``."""
    weights = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))

    def generate(z):
        return (z @ weights).sigmoid().reshape(-1, 1, 8, 8) * (1.0 - low) + low

    return GAN(
        generate,
        discriminator=lambda x: x.flatten(1).mean(1) * 3.0 - 1.0,
        latent_shape=(3,),
        data_range=(low, 1.0),
        modules=(),
    )


def test_each_family_has_its_criteria_and_bytes_are_scaled_to_each_range(X):
    raw = (X * 255).astype(np.uint8)
    models = {"VAE": mlp_vae(), "GAN": gan(low=-1.0)}
    found = both(models, raw, methods=["saliency", "vae_tracin"])
    criteria = {name: list(e.data["criteria"]) for name, e in found.groups.items()}
    assert criteria == {"VAE": ["kld", "mse"], "GAN": ["sample_rank", "nearest_sample"]}
    low, high = (found.comparisons[name].anchors for name in ("GAN", "VAE"))
    np.testing.assert_allclose(low, 2.0 * high - 1.0, atol=1e-5)
    rows = {(row["model"], row["method"]): row for row in found.table()}
    assert rows["GAN", "saliency"]["error"] is None
    assert "training data" in rows["GAN", "vae_tracin"]["reason"]
    assert found.samples["GAN"].min() >= 0.0  # in the first model's range
    with pytest.raises(ParameterError, match=r"anchors_range must be given where models differ"):
        both(models, X, methods=[])


def test_options_change_one_model_alone(X):
    models = {"VAE": mlp_vae(), "GAN": gan()}
    options = {
        "VAE": {"threshold": RULE, "extrinsic": "mae"},
        "GAN": {"threshold": RULE, "intrinsic": "realism", "methods": [], "target": "mse"},
    }
    found = both(models, X, options=options, methods=[Saliency, lambda model: LatentView(model)])
    assert list(found.groups["VAE"].data["criteria"]) == ["kld", "mae"]
    assert list(found.groups["GAN"].data["criteria"]) == ["realism", "nearest_sample"]
    labels = {name: [o.label for o in one.outcomes] for name, one in found.comparisons.items()}
    assert labels == {"VAE": ["PXGen", "Saliency", "<lambda>"], "GAN": ["PXGen"]}


def test_explainers_and_explanations_are_taken_as_groups(X):
    one, two = mlp_vae(), mlp_vae(1)
    fitted = PXGen(two, threshold=RULE).fit()
    groups = {"one": PXGen(one, threshold=RULE), "two": fitted.explain(X)}
    found = both({"one": one, "two": two}, X, groups=groups, methods=[], options=None)
    assert found.groups["two"] is groups["two"]
    with pytest.raises(ParameterError, match="model 'one': groups must be a PXGen of the same"):
        both({"one": one, "two": two}, X, groups={"one": fitted}, methods=[])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": {"a": mlp_vae()}}, "model must be a mapping from names to at least two"),
        ({"model": {"a": mlp_vae(), "b": MLPNet()}}, "got MLPNet as 'b'"),
        ({"model": {"a": mlp_vae(), 3: mlp_vae()}}, "got the name 3"),
        ({"model": {"a": mlp_vae(), "anchors": mlp_vae()}}, "got the name 'anchors'"),
        ({"options": {"c": {}}}, "options must be by models' names: 'a', 'b'; got 'c'"),
        ({"options": {"a": {"treshold": RULE}}}, "Did you mean 'threshold'"),
        ({"options": {"a": 3}}, "options\\['a'\\] must be a mapping of arguments"),
        ({"groups": PXGen(mlp_vae())}, "groups must be a mapping from models' names"),
        ({"methods": "saliency"}, "methods must be a sequence"),
        ({"methods": [Saliency(mlp_vae())]}, "an explainer of one model"),
        ({"indices": [0, 0]}, "indices must be distinct integers in \\[0, 40\\)"),
    ],
)
def test_a_wrong_argument_is_named_with_what_would_be_right(X, arguments, message):
    given = {"model": {"a": mlp_vae(), "b": mlp_vae(1)}, "methods": [], "quality": False}
    given["options"] = {name: {"threshold": RULE} for name in "ab"}
    with pytest.raises(ParameterError, match=message):
        compare(X=X, **{**given, **arguments})


def test_models_of_other_shapes_and_arguments_for_several_are_refused(X):
    small = GAN(lambda z: z.sigmoid(), latent_shape=(2,), modules=())
    with pytest.raises(ParameterError, match="models of instances of one shape"):
        compare({"a": mlp_vae(), "b": small}, X)
    for extra in ({"options": {}}, {"network": torch.nn.Flatten()}):
        with pytest.raises(ParameterError, match="left out for a single model"):
            compare(mlp_vae(), X, **extra)
    with pytest.raises(CapabilityError, match="log_prob"):
        both({"a": mlp_vae(), "b": mlp_vae()}, X, options={"a": {"intrinsic": "nll"}})


def test_the_figure_has_a_picture_for_each_model_and_anchor(different):
    import matplotlib as mpl

    mpl.use("Agg")
    assert isinstance(different, ModelComparison)
    axes = different.plot()
    assert len(axes) == 3 + 1 + 2 + 2  # views and migration, evidence, pictures, units
    assert axes[1].get_title(loc="left") == "VAE"
    assert axes[1].get_title(loc="right") == "permuted"
    n = len(different.indices)
    assert len(axes[3].images) == n + 2 * n * 2  # originals; rebuilt and saliency of both
    figure = axes[0].get_figure(root=True)
    titles = [text for part in figure.subfigs for text in part.texts if text.get_gid() == "section"]
    assert len(titles) == 4
    figure.clear()
