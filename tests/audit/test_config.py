"""Settings of an audit: read, checked, and hostile ones refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pxgen_plugins.audit.inputs import build_model
from pxgen_plugins.audit.settings import SettingsError, config_of, load_config
from pxgen_plugins.audit.settings_model import Settings, schema, template
from pxgen_plugins.utils.errors import ModelError, ParameterError

pytest.importorskip("yaml")
LEAST = "model: {shipped: mnist_vae}\nanchors: {shipped: mnist}\noutput: run\n"


def settings_file(tmp_path: Path, text: str, name: str = "audit.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_fill_what_is_not_given_and_paths_are_relative_to_the_file(tmp_path):
    config = load_config(settings_file(tmp_path, LEAST))
    assert set(config.values) == set(Settings.model_fields)
    assert config.output == tmp_path / "run"
    assert config["intrinsic"] is None  # by what the model can do
    assert config["anchors"]["split"] == "test"


def test_the_template_is_a_settings_file(tmp_path):
    config = load_config(settings_file(tmp_path, template()))
    assert config["anchors"]["limit"] == 2000
    assert len(config["conditions"]) == 2


def test_settings_follow_the_published_schema(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    published = json.loads((Path(__file__).parents[2] / "docs/audit.schema.json").read_text())
    assert published == schema()
    jsonschema.Draft202012Validator.check_schema(published)
    yaml = pytest.importorskip("yaml")
    jsonschema.validate(yaml.safe_load(template()), published)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(LEAST + "sed: 3\n"), published)


PROBES = [
    {}, {"model": {}}, {"anchors": {}}, {"version": 2}, {"version": 0}, {"output": ""},
    {"model": {"shipped": None}}, {"model": {"onnx": {"a": 1}}}, {"model": {"onnx": {"e": "x"}}},
    {"model": {"factory": "a:b", "onnx": {"e": "x"}}}, {"seed": -1}, {"seed": 2**63},
    {"seed": None}, {"seed": True}, {"batch_size": None}, {"executor": {"workers": 0}},
    {"executor": {}},
    {"executor": {"workers": 5000}}, {"reference": {}}, {"reference": None}, {"x": 1},
    {"anchors": {"path": ""}}, {"anchors": {"path": "a"}}, {"rule": "x"}, {"intrinsic": "kld"},
    {"intrinsic": []}, {"adapters": {"names": ["x"]}}, {"adapters": {}}, {"conditions": None},
    {"baseline": None}, {"baseline": ""}, {"baseline": "a\0b"}, {"name": None},
    {"name": 3}, {"shard_size": 1}, {"conditions": [3]}, {"conditions": ["HIHE <= 1"]},
    {"conditions": ["HIHE.fraction rise <= 5%"]}, {"conditions": [{"condition": "x.y <= 1"}]},
    {"conditions": [{"severity": "warning"}]},
    {"conditions": [{"condition": "HIHE.count > 1", "sverity": "warning"}]},
    {"conditions": [{"condition": "HIHE.count > 1", "severity": "warn"}]},
    {"conditions": [{"condition": "HIHE.count > 1", "confidence": 1}]},
    {"conditions": [{"condition": "HIHE.count > 1", "min_count": 5, "confidence": 0.8}]},
]  # fmt: skip


@pytest.mark.parametrize("change", PROBES)
def test_the_schema_allows_what_the_reader_allows(change, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(LEAST) | change
    try:
        config_of(content, tmp_path)
    except ParameterError:
        allowed = False
    else:
        allowed = True
    assert jsonschema.Draft202012Validator(schema()).is_valid(content) == allowed


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_toml_says_the_same(tmp_path):
    text = 'output = "run"\n[model]\nshipped = "mnist_vae"\n[anchors]\nshipped = "mnist"\n'
    one = load_config(settings_file(tmp_path, text, "audit.toml"))
    assert one.values == load_config(settings_file(tmp_path, LEAST)).values


def test_overrides_win_and_are_typed(tmp_path):
    path = settings_file(tmp_path, LEAST)
    config = load_config(path, ["seed=7", "anchors.limit=20", "executor.name=processes"])
    assert (config["seed"], config["anchors"]["limit"]) == (7, 20)
    assert config["executor"] == {"name": "processes", "workers": 1}
    for item, named in (
        ("sede=1", "sede"),
        ("seed", "--set"),
        ("seed.a=1", "seed"),
        ("=1", "--set"),
    ):
        with pytest.raises(ParameterError, match=named):
            load_config(path, [item])


def test_what_results_depend_on_is_in_the_digest_and_nothing_else(tmp_path):
    path = settings_file(tmp_path, LEAST)
    digest = load_config(path).digest()
    for same in (
        "output=elsewhere",
        "executor.workers=4",
        "name=other",
        "conditions=['HILE.count < 3']",
    ):
        assert load_config(path, [same]).digest() == digest
    for other in ("seed=1", "anchors.limit=5", "intrinsic=[elbo]", "shard_size=100"):
        assert load_config(path, [other]).digest() != digest


def test_environment_variables_are_replaced_only_where_written(tmp_path, monkeypatch):
    monkeypatch.setenv("AUDIT_RUN", "deep/run")
    config = load_config(
        settings_file(tmp_path, LEAST.replace("run", "${AUDIT_RUN}") + "name: $HOME\n")
    )
    assert config.output == tmp_path / "deep/run"
    assert config["name"] == "$HOME"
    with pytest.raises(ParameterError, match="ABSENT_VARIABLE"):
        load_config(settings_file(tmp_path, LEAST.replace("run", "${ABSENT_VARIABLE}")))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("modle: {}", "modle.*Did you mean 'model'"),
        ("seed: -1", "seed"),
        ("seed: yes", "seed"),
        ("seed: '3'", "seed"),
        ("rule: most", "rule"),
        ("intrinsic: kld", "intrinsic"),
        ("version: 2", "version"),
        ("shard_size: 0", "shard_size"),
        ("anchors: {path: a, shipped: mnist}", "anchors"),
        ("anchors: {}", "anchors"),
        ("anchors: {shipped: cifar}", "anchors.shipped"),
        ("anchors: [1]", "anchors"),
        ("model: {shipped: mnist_vae, option: {}}", "model.option"),
        ('output: "a\\0b"', "output"),
        ("seed: 1\nseed: 2", "seed.*twice"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path, change, named):
    keys = {line.split(":")[0] for line in change.splitlines()}
    kept = [line for line in LEAST.splitlines() if line.split(":")[0] not in keys]
    with pytest.raises(ParameterError, match=named):
        load_config(settings_file(tmp_path, "\n".join([*kept, change])))


FAULTS = """
modle: {}
seed: -1
seed: 4
rule: most
intrinsic: kld
anchors: {shipped: mnist, path: a, digits: 3, lmit: 4}
model: {onnx: {encoder: 3}, arguments: {a: 1}, options: {t: "${ABSENT_VARIABLE}"}}
baseline: ""
when: 2026-01-01
executor: null
conditions: ["HIHE.count > 3", "HILE.fraction <= 20"]
"""


def test_all_faults_of_a_file_are_reported_at_once_in_our_words(tmp_path):
    path = settings_file(tmp_path, FAULTS)
    with pytest.raises(SettingsError) as caught:
        load_config(path, ["threshold=Quantile", "seed", "output.x=1", "batch_size.x=1"])
    error = caught.value
    assert {fault.parameter for fault in error.faults} == {
        "modle", "seed", "--set", "rule", "intrinsic", "anchors", "anchors.digits",
        "anchors.lmit", "model.onnx.encoder", "model.arguments", "model.options.t", "baseline",
        "when", "executor", "threshold", "batch_size", "condition 'HILE.fraction <= 20'", "output",
    }  # fmt: skip
    assert all(fault.allowed and fault.got and fault.hint for fault in error.faults)
    head, *lines = str(error).splitlines()
    assert head == f"settings audit.yaml: {len(error.faults)} faults"
    assert len(lines) == len(error.faults)
    for word in ("pydantic", "Input should", "validation error", "type=", "errors.pydantic"):
        assert word not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None or "pydantic" not in repr(error.__context__)


def test_a_condition_is_checked_with_the_other_keys(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load_config(
            settings_file(tmp_path, LEAST + "seed: -1\nconditions: [3, 'HILE.count <= x']\n")
        )
    assert len(caught.value.faults) == 3


def test_one_fault_reads_as_any_other_error(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load_config(settings_file(tmp_path, LEAST + "seed: -1\n"))
    assert str(caught.value) == (
        "settings audit.yaml: seed must be at least 0; got -1. "
        "It is: seed of everything that is drawn."
    )


def test_a_long_list_of_faults_is_cut_and_stays_on_its_lines(tmp_path):
    content = {f"a\nb{i}": 1 for i in range(200)}
    with pytest.raises(SettingsError) as caught:
        config_of(content, tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "settings: 203 faults"
    assert len(lines) == 22


def test_the_digest_of_settings_is_pinned(tmp_path):
    # a change of it means that runs begun before it are not continued: CHANGELOG says so
    digest = "ce32908c4bec1c21bb6cfc9a9b9245112b7e42af7190504af0d8cdade9fb733d"
    assert load_config(settings_file(tmp_path, LEAST)).digest() == digest


def test_what_is_missing_is_named(tmp_path):
    for name in ("model", "anchors", "output"):
        kept = [line for line in LEAST.splitlines() if not line.startswith(name)]
        with pytest.raises(ParameterError, match=name):
            load_config(settings_file(tmp_path, "\n".join(kept)))


def test_files_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.yaml").write_text("# " + "x" * 2**20, encoding="utf-8")
    for path in (
        tmp_path,
        tmp_path / "absent.yaml",
        tmp_path / "binary.yaml",
        tmp_path / "large.yaml",
    ):
        with pytest.raises(ParameterError, match="the file"):
            load_config(path)


@pytest.mark.parametrize(
    "factory",
    ["os:system", "subprocess:run", "builtins:eval", "no_such_module:load", "json", "../x:y",
     "pxgen_plugins.models:absent", "pxgen_plugins:__version__", "a.b:c;d"],
)  # fmt: skip
def test_a_factory_is_a_function_of_installed_code_and_not_of_pythons_own(tmp_path, factory):
    marker = tmp_path / "marker"
    arguments = {"command": f"touch {marker}"}
    values = {
        "model": {"factory": factory, "arguments": arguments},
        "anchors": {"shipped": "mnist"},
        "output": "run",
    }
    with pytest.raises(ParameterError, match=r"model\.factory"):
        build_model(config_of(values, tmp_path))
    assert not marker.exists()


def test_a_factory_gives_a_model_and_weights_are_files_without_code(tmp_path):
    values = {
        "model": {"factory": "pxgen_plugins.testing.examples:LinearModel"},
        "anchors": {"shipped": "mnist"},
        "output": "run",
    }
    assert type(build_model(config_of(values, tmp_path))).__name__ == "LinearModel"
    values["model"]["weights"] = "weights.bin"
    with pytest.raises(ParameterError, match="safetensors"):
        build_model(config_of(values, tmp_path))
    values["model"] |= {"weights": None, "arguments": {"wrong": 1}}
    with pytest.raises(ModelError, match="factory"):
        build_model(config_of(values, tmp_path))
