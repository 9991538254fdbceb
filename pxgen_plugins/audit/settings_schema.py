"""The keys of an audit's settings: one table for reading, for the schema and for the template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pxgen_plugins.utils.validation import LARGEST

__all__ = ["ONE_OF", "REQUIRED", "SPEC", "Key", "schema", "template"]

Kind = Literal["string", "path", "paths", "integer", "list", "mapping", "table"]
REQUIRED: Final = object()


ONE_OF: Final = {
    "model": ("factory", "onnx", "diffusers", "pythae", "shipped"),
    "anchors": ("path", "shipped"),
    "reference": ("path", "shipped"),
}
"""Keys of a table of which exactly one is given."""


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        kind: Type of its value; ``"table"`` has keys of its own, ``"paths"`` are paths by role.
        help: What it is, one line.
        default: Value when absent; ``REQUIRED`` for none.
        keys: The keys of a table.
        options: Allowed strings.
        minimum: Smallest number.
        maximum: Largest number.
        late: Environment variables in it are put in when it is used, so that no file of the run
            holds their values.
    """

    kind: Kind
    help: str
    default: Any = None
    keys: Mapping[str, Key] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: int = LARGEST
    late: bool = False


def _anchors(what: str) -> dict[str, Key]:
    return {
        "path": Key(
            "path", f"{what}: folder of images, .csv of paths, .npy, .npz, .parquet, texts, a table"
        ),
        "shipped": Key("string", "or data that ships with the package", options=("mnist",)),
        "split": Key("string", "of shipped data", "test", options=("train", "test")),
        "digits": Key("list", "of shipped data: only these"),
        "limit": Key("integer", "only the first so many", minimum=1),
    }


SPEC: dict[str, Key] = {
    "version": Key("integer", "version of this format", 1, minimum=1, maximum=1),
    "name": Key("string", "name of the audit, for reports", "audit"),
    "model": Key(
        "table",
        "the model: one of factory, onnx, diffusers, pythae or shipped",
        REQUIRED,
        {
            "factory": Key(
                "string",
                "package.module:function of installed code of yours, which returns the model",
            ),
            "weights": Key("path", "safetensors file, passed to the factory as weights=path"),
            "arguments": Key("mapping", "further arguments of the factory", {}, late=True),
            "onnx": Key("paths", "ONNX files by role: encoder, decoder, generator, ..."),
            "diffusers": Key("path", "folder written by save_pretrained"),
            "pythae": Key("path", "folder written by pythae, of default networks"),
            "shipped": Key("string", "a model of this package", options=("mnist_vae",)),
            "options": Key(
                "mapping", "options of pxgen_plugins.models.wrap: sample_shape, ...", {}
            ),
        },
    ),
    "anchors": Key("table", "what the model is asked about", REQUIRED, _anchors("anchors")),
    "reference": Key("table", "data for criteria that learn first", None, _anchors("data")),
    "intrinsic": Key("list", "intrinsic criteria: names, or mappings with name", ["kld"]),
    "extrinsic": Key("list", "extrinsic criteria", ["mse"]),
    "rule": Key("string", "how several of a kind decide", "all", options=("all", "any", "mean")),
    "threshold": Key(
        "mapping",
        "where thresholds come from",
        {"name": "MeanMax", "n_samples": 10_000, "n_repeats": 3},
    ),
    "selectors": Key("list", "how representatives are picked", ["k_center"]),
    "n_representatives": Key("integer", "per group and selector", 10, minimum=1),
    "seed": Key("integer", "seed of everything that is drawn", 0, minimum=0),
    "batch_size": Key("integer", "anchors per pass; absent: as many as fit a cache", minimum=1),
    "shard_size": Key("integer", "anchors per shard, the unit of resuming", 8_192, minimum=1),
    "executor": Key(
        "table",
        "who scores the shards",
        {},
        {
            "name": Key("string", "a registered executor", "serial"),
            "workers": Key("integer", "how many at once", 1, minimum=1, maximum=4096),
        },
    ),
    "adapters": Key(
        "table",
        "other methods to run on representatives, for the report",
        None,
        {
            "names": Key("list", "registered adapters, as in [saliency, protodash]", []),
            "groups": Key("list", "only of these groups"),
            "per_group": Key("integer", "representatives of each", 5, minimum=1),
        },
    ),
    "conditions": Key(
        "list", "what must hold: text, or mappings with condition, severity, ...", []
    ),
    "baseline": Key("path", "run folder that relative conditions compare with"),
    "output": Key("path", "run folder to write", REQUIRED),
}


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the settings.

    Example:
        >>> schema()["properties"]["seed"]["minimum"]
        0
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of pxgen audit",
        **_table(SPEC, ""),
    }


def template() -> str:
    """Return a commented settings file, as ``pxgen init`` writes it."""
    lines = ["# Settings of `pxgen audit`. Keys that stand behind a # show their defaults."]
    chosen: dict[str, Any] = {
        "model": ["  shipped: mnist_vae"],
        "anchors": ["  shipped: mnist", "  limit: 2000"],
        "output": "runs/first",
        "conditions": [
            '  - "label:0.HIHE.fraction >= 0.9"',
            '  - {condition: "HILE.fraction <= 0.95", severity: warning}',
        ],
    }
    for name, key in SPEC.items():
        lines += ["", f"# {key.help}" + (" (needed)" if key.default is REQUIRED else "")]
        shown = chosen.get(name)
        if isinstance(shown, list):
            lines += [f"{name}:", *shown]
        elif shown is not None:
            lines.append(f"{name}: {shown}")
        elif key.kind == "table":
            lines.append(f"# {name}:")
        else:
            lines.append(f"# {name}: {_flow(key.default)}")
        for inner, part in key.keys.items():
            lines.append(f"  # {inner}: {_flow(part.default)}   # {part.help}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    return "null" if value is None or value is REQUIRED else json.dumps(value)


def _table(keys: Mapping[str, Key], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, key in keys.items() if key.default is REQUIRED],
        "properties": {name: _property(key, name) for name, key in keys.items()},
    }
    if name in ONE_OF:
        given = {"not": {"type": "null"}}
        found["oneOf"] = [
            {"type": "object", "required": [one], "properties": {one: given}}
            for one in ONE_OF[name]
        ]
    return found


_TYPES = {"list": "array", "mapping": "object", "table": "object", "path": "string",
          "paths": "object"}  # fmt: skip


def _property(key: Key, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"description": key.help}
    kind = _TYPES.get(key.kind, key.kind)
    found |= _table(key.keys, name) if key.kind == "table" else {"type": kind}
    if key.kind == "path":
        found["minLength"] = 1
    if key.kind == "paths":
        found["additionalProperties"] = {"type": "string", "minLength": 1}
    if key.default is None:
        found["type"] = [kind, "null"]
        if "oneOf" in found:
            found["oneOf"].append({"type": "null"})
    elif key.default is not REQUIRED and key.kind != "table":
        found["default"] = key.default
    if key.options:
        found["enum"] = [*key.options, *([None] if key.default is None else [])]
    if key.kind == "integer":
        found["maximum"] = key.maximum
    if key.minimum is not None:
        found["minimum"] = key.minimum
    return found
