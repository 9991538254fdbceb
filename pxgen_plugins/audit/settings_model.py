"""The keys of an audit's settings: types, limits and help, from which schema and template come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pxgen_plugins.audit.conditions import PATTERN, SEVERITIES, Condition
from pxgen_plugins.audit.settings_file import Faults
from pxgen_plugins.audit.settings_tables import (
    AdapterSettings,
    AnchorSettings,
    CopiesSettings,
    Count,
    ExecutorSettings,
    Location,
    ModelSettings,
    Package,
    Seed,
    Table,
)
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.validation import nearest

# after the tables, which say what to install where it is absent
from pydantic import AfterValidator, Field, ValidationError, WithJsonSchema  # isort: skip
from pydantic.json_schema import GenerateJsonSchema  # isort: skip

__all__ = ["TABLES", "Settings", "schema", "template", "validate"]


def _check_condition(spec: Any) -> Any:
    Condition.of(spec)
    return spec


_CONDITION = {
    "anyOf": [
        {"type": "string", "pattern": PATTERN},
        {
            "type": "object",
            "properties": {
                "condition": {"type": "string", "pattern": PATTERN},
                "severity": {
                    "enum": list(SEVERITIES),
                    "description": "what does not hold fails, or warns",
                },
                "min_count": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "fewer anchors behind it skip it",
                },
                "confidence": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "maximum": 0.9999,
                    "description": "of the interval whose end is judged",
                },
                "name": {"type": "string", "description": "for reports and --limit"},
            },
            "required": ["condition"],
            "additionalProperties": False,
        },
    ],
    "description": "METRIC OP NUMBER, or METRIC drop OP NUMBER (rise, change) since the baseline, "
    "as in HILE.fraction <= 2%, label:0.HIHE.fraction >= 0.8, HIHE.fraction drop <= 0.05",
}


class Settings(Table):
    """All settings of an audit."""

    version: Annotated[int, Field(ge=1, le=1)] = Field(1, description="version of this format")
    name: str = Field("audit", description="name of the audit, for reports")
    model: ModelSettings = Field(
        description="the model: one of factory, onnx, diffusers, pythae or shipped"
    )
    allow: list[Package] = Field(
        [], description="packages of which model.factory may be; pxgen audit --allow names them too"
    )
    anchors: AnchorSettings = Field(description="what the model is asked about")
    reference: AnchorSettings | None = Field(
        None,
        description="held-out data of the training kind, for a threshold with source: reference "
        "and for criteria that learn first",
    )
    intrinsic: list[Any] | None = Field(
        None,
        description="intrinsic criteria: names, or mappings with name; absent, as extrinsic and "
        "threshold: by what the model can do and costs",
    )
    extrinsic: list[Any] | None = Field(None, description="extrinsic criteria")
    rule: Literal["all", "any", "mean"] = Field("all", description="how several of a kind decide")
    threshold: dict[str, Any] | None = Field(
        None,
        description="where thresholds come from: a rule and its parameters, as in "
        "{name: Conformal, alpha: 0.05, source: reference, joint: true}",
    )
    selectors: list[Any] = Field(["k_center"], description="how representatives are picked")
    n_representatives: Count = Field(10, description="per group and selector")
    seed: Seed = Field(0, description="seed of everything that is drawn")
    device: Literal["auto", "cpu", "cuda"] | None = Field(
        None, description="where the model runs; absent: where it is, auto: a card where one is"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the model, not of the criteria; bfloat16: faster, less exact"
    )
    batch_size: Count | None = Field(
        None, description="anchors per pass; absent: as many as fit a cache"
    )
    shard_size: Count = Field(8_192, description="anchors per shard, the unit of resuming")
    executor: ExecutorSettings = Field(
        {}, validate_default=True, description="who scores the shards"
    )
    adapters: AdapterSettings | None = Field(
        None, description="other methods to run on representatives or a sample, for the report"
    )
    copies: CopiesSettings | None = Field(
        None, description="a search for training data in what the model makes"
    )
    conditions: list[
        Annotated[Any, AfterValidator(_check_condition), WithJsonSchema(_CONDITION)]
    ] = Field([], description="what must hold: text, or mappings with condition, severity, ...")
    baseline: Location | None = Field(
        None, description="run folder that relative conditions compare with"
    )
    keep_thresholds: bool = Field(
        False,
        description="take the baseline's thresholds, if there is one, and calibrate nothing",
    )
    first_run: bool = Field(
        False, description="there is no baseline yet: conditions that compare with one are skipped"
    )
    output: Location = Field(description="run folder to write: a path, or s3://..., gs://...")


def _tables(table: type[Table], before: str = "") -> Iterator[tuple[str, type[Table]]]:
    """Yield the keys that are tables themselves, by place, outer ones first."""
    for name, field in table.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type(Table)):
                yield f"{before}{name}", kind
                yield from _tables(kind, f"{before}{name}.")


TABLES: dict[str, type[Table]] = dict(_tables(Settings))
"""The models of the keys that are tables themselves, by place, as in ``"copies.training"``."""

_ALLOWED = {  # by the kind of a fault, as pydantic calls it
    "dict_type": "keys and values",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "int_type": "an integer",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "literal_error": "one of {expected}",
    "model_type": "a table of keys",
    "string_pattern_mismatch": "a path",
    "string_type": "text",
    "value_error": "a path",
}


def validate(values: Mapping[str, Any], folder: Path, faults: Faults) -> dict[str, Any]:
    """Return settings with all keys: what is absent has its default, paths are absolute.

    Args:
        values: Plain values, as :func:`~pxgen_plugins.audit.settings_file.plain_values` gives them.
        folder: What paths are relative to.
        faults: Every fault is added here, unless its place has one already; nothing is raised.

    Returns:
        Values by key, nested; empty when there are faults.
    """
    places = {fault.parameter for fault in faults}
    settings: dict[str, Any] = {}
    try:
        settings = Settings.model_validate(values, context={"folder": folder}).model_dump()
    except ValidationError as error:
        faults += [fault for fault in _translate(error) if fault.parameter not in places]
    for name, table in TABLES.items():
        content: Any = values
        for key in name.split("."):
            content = content.get(key) if isinstance(content, Mapping) else None
        if table.one_of and isinstance(content, Mapping):
            faults += _conflicts(name, table, content)
    return settings


def _conflicts(
    name: str, table: type[Table], values: Mapping[str, Any]
) -> Iterator[ParameterError]:
    """Yield the faults of keys that exclude, or need, each other."""
    kinds = [key for key in table.one_of if values.get(key) is not None]
    if len(kinds) != 1:
        hint = f"Keep one of {name}." + f", {name}.".join(table.one_of) + "."
        allowed = "exactly one of " + ", ".join(table.one_of)
        yield ParameterError(name, allowed, " and ".join(kinds) or "none", hint)
        return
    for key, owner in table.owners.items():
        if kinds != [owner] and values.get(key) is not None:
            hint = f"Remove {name}.{key}, or {name}.{kinds[0]}."
            yield ParameterError(f"{name}.{key}", f"absent without {name}.{owner}", "given", hint)


def _translate(error: ValidationError) -> Iterator[ParameterError]:
    """Yield the faults that pydantic saw, in the words of this package."""
    for fault in error.errors(include_url=False):
        kind, keys = fault["type"], fault["loc"]
        place = ".".join(map(str, keys)) or "the file"
        table: type[Table] = Settings
        help_text = ""
        for at, key in enumerate(keys, 1):
            if key not in table.model_fields:  # an unknown key
                break
            help_text = f"{table.model_fields[str(key)].description}.".replace("....", "...")
            inner = ".".join(map(str, keys[:at]))
            if inner not in TABLES:  # what follows is a role of paths, or a place in a list
                break
            table = TABLES[inner]
        values = fault.get("ctx", {})
        if isinstance(values.get("error"), ParameterError):
            values["error"].where = ""  # who asked stands before all faults
            yield values["error"]
        elif kind == "missing":
            yield ParameterError(place, "given", "nothing", f"Add it: {help_text}")
        elif kind == "extra_forbidden":
            allowed = "one of " + ", ".join(table.model_fields)
            hint = nearest(str(keys[-1]), table.model_fields)
            yield ParameterError(place, allowed, "an unknown key", hint)
        else:
            allowed = _ALLOWED.get(kind, "another value").format(**values)
            hint = f"It is: {help_text}" if help_text else "Write keys, as pxgen init does."
            yield ParameterError(place, allowed, short_repr(fault["input"]), hint)


class _JsonSchema(GenerateJsonSchema):
    """Leaves out titles, which would repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False, for every key."""
        return False


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the settings, for editors.

    Example:
        >>> schema()["properties"]["seed"]["minimum"]
        0
    """
    content = Settings.model_json_schema(schema_generator=_JsonSchema)
    title = "Settings of pxgen audit"
    return {"$schema": GenerateJsonSchema.schema_dialect} | content | {"title": title}


_EXAMPLE = {
    "model": "\n  shipped: mnist_vae",
    "anchors": "\n  shipped: mnist\n  limit: 2000",
    "conditions": '\n  - "label:0.HIHE.fraction >= 0.8"'
    '\n  - {condition: "HILE.fraction <= 0.95", severity: warning}',
    "output": " runs/first",
}


def _default(field: Any) -> str:
    return " {}" if field.is_required() else f" {json.dumps(field.default)}"


def template() -> str:
    """Return a commented settings file, as ``pxgen init`` writes it."""
    lines = ["# Settings of `pxgen audit`. Keys that stand behind a # show their defaults."]
    for name, field in Settings.model_fields.items():
        lines += ["", f"# {field.description}{' (needed)' if field.is_required() else ''}"]
        default = "" if name in TABLES else f" {json.dumps(field.default, default=str)}"
        lines.append(f"{name}:{_EXAMPLE[name]}" if name in _EXAMPLE else f"# {name}:{default}")
        if name in TABLES:
            lines += [
                f"  # {key}:{_default(inner)}   # {inner.description}"
                for key, inner in TABLES[name].model_fields.items()
            ]
    return "\n".join(lines) + "\n"
