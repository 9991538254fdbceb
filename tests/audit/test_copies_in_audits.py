"""Copies in audits: settings, units, conditions, what the report shows, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pxgen_plugins.audit import engine, units
from pxgen_plugins.audit.cli import FAILED, INCOMPLETE, PASSED, USAGE, run
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.evaluation import copies
from pxgen_plugins.utils.errors import ParameterError
from tests.audit.reported import PAYLOADS

pytest.importorskip("jinja2")
pytest.importorskip("yaml")
FACTORY = """
import numpy as np
from pxgen_plugins.models import LanguageModel, SampleBank

def load(bank):
    return SampleBank(np.load(bank), data_range=(0.0, 1.0))

def write(texts):
    known = open(texts, encoding="utf-8").read().splitlines()

    def generate(prompts, n_tokens):
        pairs = zip(prompts, n_tokens)
        own = [(next((t for t in known if t.startswith(p)), p + "z" * n), p, n) for p, n in pairs]
        return [text[len(prompt) : len(prompt) + n] for text, prompt, n in own]

    def sample(n, seed):
        return [known[i] for i in np.random.default_rng(seed).integers(0, len(known), n)]

    def log_probs(batch):
        return [[-0.1 if text in known else -2.0] * len(text) for text in batch]

    return LanguageModel(log_probs=log_probs, generate=generate, sample=sample, modules=(),
                         max_chars=80)
"""
CONDITIONS = ["copies.count <= 0", "membership.nearest_sample.auc <= 0.55"]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of models, training and held-out pictures, and two banks."""
    (tmp_path / "own_banks.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = np.random.default_rng(0).uniform(size=(320, 1, 5, 5)).astype(np.float32)
    parts = {"training": rows[:100], "held_out": rows[100:200], "anchors": rows[200:260]}
    parts |= {"thief": rows[:100], "honest": rows[200:320]}
    for name, part in parts.items():
        np.save(tmp_path / f"{name}.npy", part)
    return tmp_path


def values(folder: Path, bank: str, **changes: Any) -> dict[str, Any]:
    return {
        "allow": ["own_banks"],
        "model": {"factory": "own_banks:load", "arguments": {"bank": str(folder / f"{bank}.npy")}},
        "anchors": {"path": "anchors.npy"},
        "intrinsic": [{"name": "sample_rank", "n_fit": 20}],
        "extrinsic": [{"name": "nearest_sample", "n_fit": 20}],
        "threshold": {"name": "Quantile", "q": 0.9, "n_samples": 20, "n_repeats": 2},
        "shard_size": 30,
        "copies": {"training": {"path": "training.npy"}, "held_out": {"path": "held_out.npy"}},
        "conditions": CONDITIONS,
        "output": f"run-{bank}",
        **changes,
    }


def settings(folder: Path, bank: str, **changes: Any) -> Config:
    return config_of(values(folder, bank, **changes), folder, allow=["own_banks"])


def audited(config: Config) -> Run:
    found = engine.audit(config)
    assert found is not None
    return found


def test_a_thief_fails_and_an_honest_model_passes_by_the_same_conditions(folder):
    thief = audited(settings(folder, "thief"))
    assert [one.state for one in thief.judgements] == ["failed", "failed"]
    assert thief.judgements[0].observed == thief.copies.count == 100
    honest = audited(settings(folder, "honest", conditions=[CONDITIONS[0]]))
    assert honest.judgements[0].state == "passed"
    # what the units say is what the function says
    direct = copies(thief_explainer(folder), *sets(folder), batch_size=None)
    assert json.loads(direct.to_json()) == json.loads(thief.copies.to_json())
    again = Run.open(thief.path).copies
    assert again.to_json() == thief.copies.to_json()
    np.testing.assert_array_equal(again.p_values, thief.copies.p_values)
    assert [len(some) for some in again.instances.values()] == [24, 24, 24]


def thief_explainer(folder: Path) -> Any:
    from pxgen_plugins.audit.fit import load
    from pxgen_plugins.audit.inputs import build_model

    config = settings(folder, "thief")
    plan, _ = engine.make_plan(config)
    return load(config.output, build_model(config), plan.digest)


def sets(folder: Path) -> list[Any]:
    return [np.load(folder / f"{name}.npy") for name in ("training", "held_out")]


def test_an_area_is_judged_on_the_end_of_its_interval(folder):
    area = audited(settings(folder, "honest")).copies.membership["sample_rank"]
    low, high = area.interval
    assert low < area.auc < high < 1.0
    limits = [(low + area.auc) / 2, (area.auc + high) / 2, (high + 1.0) / 2]
    texts = [f"membership.sample_rank.auc <= {limit}" for limit in limits]
    texts.append(f"membership.sample_rank.auc >= {(low + area.auc) / 2}")
    run = audited(settings(folder, "honest", conditions=texts))
    assert [one.state for one in run.judgements] == ["failed", "failed", "passed", "failed"]
    assert "not the end of its 95% interval" in run.judgements[1].reason
    assert run.judgements[2].bound == run.judgements[2].high == pytest.approx(high)


def test_a_search_goes_on_where_it_was_and_ends_with_the_same_bytes(folder, monkeypatch):
    whole = audited(settings(folder, "thief"))
    config = settings(folder, "thief", output="run-parts")
    done: list[str] = []
    write = units.write

    def stops(place: Path, stage: Any, index: int, *rest: Any) -> None:
        if stage.name == "copies/samples" and "copies/samples" in done:
            raise KeyboardInterrupt
        done.append(stage.name)
        write(place, stage, index, *rest)

    monkeypatch.setattr(units, "write", stops)
    with pytest.raises(KeyboardInterrupt):
        engine.audit(config)
    monkeypatch.setattr(units, "write", lambda *rest: (done.append(rest[1].name), write(*rest))[1])
    before = len(done)
    assert done.count("copies/training") == 4
    audited(config)
    assert set(done[before:]) == {"copies/samples"}  # nothing of the rest again
    for name in ("copies.json", "copies.safetensors", "report.html", "summary.md"):
        both = [(one / name).read_bytes() for one in (whole.path, config.output)]
        assert both[0].replace(b"run-thief", b"run-parts") == both[1], name


def test_parts_share_the_search_and_the_last_one_finishes(folder, capsys):
    (folder / "audit.yaml").write_text(json.dumps(values(folder, "thief")))
    call = ["audit", str(folder / "audit.yaml"), "--allow", "own_banks", "--quiet"]
    assert run([*call, "--shard", "0/2"]) == INCOMPLETE
    assert run([*call, "--shard", "1/2"]) == FAILED
    assert run(["show", str(folder / "run-thief")]) == PASSED
    assert "gives 100 of 100 training instances back" in capsys.readouterr().out


def test_the_plan_counts_the_search_and_names_what_is_wrong(folder, capsys):
    (folder / "audit.yaml").write_text(json.dumps(values(folder, "honest")))
    call = ["audit", str(folder / "audit.yaml"), "--allow", "own_banks", "--plan"]
    assert run([*call, "--json"]) == PASSED
    copied = json.loads(capsys.readouterr().out)["halves"]["copies"]
    assert copied["instances"] == 100 + 100 + 120  # the bank has 120 samples
    assert copied["units"] == 4 + 4 + 2  # a bank's samples come in two portions
    assert run(call) == PASSED
    assert "copies: 320 instances in 10 units" in capsys.readouterr().out
    assert run([*call, "--set", "copies.criteria=[nearest_sampel]"]) == USAGE
    assert "Did you mean 'nearest_sample'?" in capsys.readouterr().err
    with pytest.raises(ParameterError, match="copies:"):
        engine.make_plan(settings(folder, "honest", copies=None))
    one = {**values(folder, "honest")["copies"], "criteria": ["sample_rank"]}
    with pytest.raises(ParameterError, match="sample_rank, combined"):
        engine.make_plan(settings(folder, "honest", copies=one))


def test_changed_training_data_is_another_plan(folder):
    audited(settings(folder, "honest"))
    np.save(folder / "training.npy", np.load(folder / "training.npy")[:90])
    with pytest.raises(ParameterError, match=r"other copies\.training"):
        engine.audit(settings(folder, "honest"))


def test_texts_and_notes_are_inert_in_every_file(folder):
    rng = np.random.default_rng(1)

    def written(n: int) -> list[str]:
        return ["".join(chr(97 + c) for c in rng.integers(0, 6, 40)) for _ in range(n)]

    hostile = [one for one in PAYLOADS if not set(one) & set("\0\n\r\u2028\ud800")]
    known = [f"{text} {hostile[at % len(hostile)]}"[:75] for at, text in enumerate(written(40))]
    for name, some in (("known", known), ("new", written(60)), ("asked", written(30))):
        (folder / f"{name}.txt").write_text("\n".join(some), encoding="utf-8")
    texts = {"training": {"path": "known.txt"}, "held_out": {"path": "new.txt"}, "prompts": [0.5]}
    model = {"factory": "own_banks:write", "arguments": {"texts": str(folder / "known.txt")}}
    changes = {"model": model, "anchors": {"path": "asked.txt"}, "copies": texts,
               "intrinsic": ["token_nll"], "extrinsic": ["token_edit"],
               "conditions": ["copies.count <= 0", "membership.token_nll.auc <= 0.55"]}  # fmt: skip
    run = audited(settings(folder, "texts", **changes))
    assert [one.state for one in run.judgements] == ["failed", "failed"]
    (row,) = run.copies.extraction
    assert row.close > 0.9 > 0.1 > row.close_control
    page = (run.path / "report.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="copies">') : page.index('<section id="provenance">')]
    assert "&lt;script&gt;" in section
    for harm in ("<script", "<svg onload", "<img src=x", "\u202e", "\x1b"):
        assert harm not in section, harm
    summary = (run.path / "summary.md").read_text(encoding="utf-8")
    assert "### Copies of training data" in summary
