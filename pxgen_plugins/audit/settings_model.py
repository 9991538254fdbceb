"""The keys of an audit's settings: types, limits and help, from which schema and template come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args, get_type_hints

from pxgen_plugins.audit.conditions import Condition
from pxgen_plugins.audit.settings_file import MOST, Faults
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.remote import Remote, is_url
from pxgen_plugins.utils.validation import LARGEST, data_range, nearest

try:
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
    from pydantic import ValidationInfo as Info
    from pydantic.json_schema import GenerateJsonSchema
except ImportError:
    optional.load("pydantic", "pydantic")
    raise

__all__ = [
    "TABLES",
    "AnchorSettings",
    "ModelSettings",
    "Settings",
    "Table",
    "schema",
    "template",
    "validate",
]


def _absolute(path: str, info: Info) -> str:
    try:
        return str(((info.context or {})["folder"] / Path(path).expanduser()).absolute())
    except RuntimeError as error:  # no home folder of that user
        raise ValueError from error


def _absolute_or_url(path: str, info: Info) -> str:
    return str(Remote(path)) if is_url(path) else _absolute(path, info)


def _check_condition(spec: Any) -> Any:
    Condition.of(spec)
    return spec


def _check_range(ends: list[float]) -> list[float]:
    return list(data_range(ends, "anchors.range") or ())


File = Annotated[str, Field(pattern=r"^[^\x00]+$"), AfterValidator(_absolute)]
"""A path, relative to ``context["folder"]``."""
Location = Annotated[str, Field(pattern=r"^[^\x00]+$"), AfterValidator(_absolute_or_url)]
"""A path likewise, or a URL."""
Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_check_range)]
"""Two numbers, the lower one first."""
Count = Annotated[int, Field(ge=1, le=MOST)]
Package = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
Seed = Annotated[int, Field(ge=0, le=LARGEST)]


def _holds_path(hint: Any) -> bool:
    return hint in (File, Location) or any(_holds_path(part) for part in get_args(hint))


def _require_one(schema: dict[str, Any], table: type[Any]) -> None:
    value = {"not": {"type": "null"}}
    if table.one_of:
        schema["oneOf"] = [{"required": [key], "properties": {key: value}} for key in table.one_of]


class Table(BaseModel):
    """A table of keys: unknown ones are refused, and no value is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_require_one)

    one_of: ClassVar[tuple[str, ...]] = ()
    """Keys of which exactly one is given."""
    owners: ClassVar[Mapping[str, str]] = {}
    """Keys that are given only beside another one: that one, by key."""

    @classmethod
    def path_keys(cls) -> list[str]:
        """Return the keys that hold a path, or paths by role."""
        hints = get_type_hints(cls, include_extras=True)
        return [name for name in cls.model_fields if _holds_path(hints[name])]


class ModelSettings(Table):
    """The model that is audited."""

    one_of: ClassVar = ("factory", "onnx", "diffusers", "pythae", "shipped")
    owners: ClassVar = {"weights": "factory", "arguments": "factory"}

    factory: str | None = Field(
        None,
        description="package.module:function of a package in allow, or an entry point's name",
    )
    weights: File | None = Field(
        None, description=".safetensors, .pt or .pth, passed to the factory as weights=path"
    )
    arguments: dict[str, Any] = Field({}, description="further arguments of the factory")
    onnx: dict[str, File] | None = Field(
        None, description="ONNX files by role: encoder, decoder, generator, ..."
    )
    diffusers: File | None = Field(None, description="folder written by save_pretrained")
    pythae: File | None = Field(None, description="folder written by pythae, of default networks")
    shipped: Literal["mnist_vae"] | None = Field(None, description="a model of this package")
    options: dict[str, Any] = Field(
        {}, description="options of pxgen_plugins.models.wrap: sample_shape, ..."
    )


class AnchorSettings(Table):
    """The instances that a model is asked about, or reference data."""

    one_of: ClassVar = ("path", "shipped")
    owners: ClassVar = {"split": "shipped", "digits": "shipped"} | dict.fromkeys(
        ("range", "resize", "transform", "background", "columns", "labels", "ids"), "path"
    )

    path: Location | None = Field(
        None, description="folder of images, .csv of paths, .npy, .npz, .parquet, texts, a table"
    )
    shipped: Literal["mnist"] | None = Field(
        None, description="or data that ships with the package"
    )
    split: Literal["train", "test"] = Field("test", description="of shipped data")
    digits: list[Any] | None = Field(None, description="of shipped data: only these")
    columns: list[str] | None = Field(
        None, description="of a table: its features, or the column of texts, paths, lists or images"
    )
    labels: str | None = Field(None, description="of a table: the column of labels")
    ids: str | None = Field(None, description="of a table: the column of ids")
    limit: Count | None = Field(None, description="only the first so many")
    sample: Count | None = Field(
        None, description="of these a random sample of so many, every label by its share"
    )
    sample_seed: Seed = Field(0, description="seed of the sample, whatever the audit's own seed")
    resize: Any = Field(
        None, description="of pictures: crop, stretch or pad to the model's size; absent: none"
    )
    transform: list[Any] | None = Field(
        None, description="of pictures: steps by name, as in [mirror, {center_crop: 20}]"
    )
    background: Any = Field(
        None, description="of pictures: the colour behind transparent pixels, as in white"
    )
    range: Range | None = Field(
        None,
        description="lowest and highest value in the path's files, scaled to the model's range",
    )


class ExecutorSettings(Table):
    """Who scores the shards."""

    name: str = Field("serial", description="a registered executor")
    workers: Annotated[int, Field(ge=1, le=4096)] = Field(1, description="how many at once")


class DescriberSettings(Table):
    """The endpoint that adapters ask which describe in words; without it they are not run.

    Pictures of anchors and of what the model makes go there, so pxgen audit --allow names it too.
    """

    base_url: str = Field(description="address in front of /chat/completions; https, or this host")
    model: str = Field(description="name of the model at the endpoint")
    key_variable: str | None = Field(
        None, description="environment variable that holds the key; null sends none"
    )
    temperature: Annotated[float, Field(ge=0)] = Field(0.7, description="of the answers")
    per_minute: Annotated[float, Field(gt=0)] = Field(60.0, description="most requests a minute")


class AdapterSettings(Table):
    """Other methods, whose evidence stands in the report.

    Local ones explain representatives, global ones (prototypes, views) a sample of the anchors.
    """

    describer: DescriberSettings | None = Field(
        None, description="what latent_description and group_description ask"
    )

    names: list[Any] = Field([], description="registered adapters, as in [saliency, protodash]")
    groups: list[Any] | None = Field(None, description="only of these groups")
    per_group: Count = Field(5, description="representatives of each, for local methods")
    sample: Count = Field(
        1_000, description="anchors that global methods explain, every label by its share"
    )


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
    conditions: list[Annotated[Any, AfterValidator(_check_condition)]] = Field(
        [], description="what must hold: text, or mappings with condition, severity, ..."
    )
    baseline: Location | None = Field(
        None, description="run folder that relative conditions compare with"
    )
    output: Location = Field(description="run folder to write: a path, or s3://..., gs://...")


TABLES: dict[str, type[Table]] = {
    name: kind
    for name, field in Settings.model_fields.items()
    for kind in (field.annotation, *get_args(field.annotation))
    if isinstance(kind, type(Table))
}
"""The models of the keys that are tables themselves."""

_ALLOWED = {  # by the kind of a fault, as pydantic calls it
    "dict_type": "keys and values",
    "greater_than_equal": "at least {ge}",
    "int_type": "an integer",
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
        content = values.get(name) if isinstance(values, Mapping) else None
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
        for key in keys:
            if key not in table.model_fields:  # an unknown key
                break
            help_text = f"{table.model_fields[str(key)].description}.".replace("....", "...")
            if key not in TABLES:  # what follows is a role of paths, or a place in a list
                break
            table = TABLES[str(key)]
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


def template() -> str:
    """Return a commented settings file, as ``pxgen init`` writes it."""
    lines = ["# Settings of `pxgen audit`. Keys that stand behind a # show their defaults."]
    for name, field in Settings.model_fields.items():
        lines += ["", f"# {field.description}{' (needed)' if field.is_required() else ''}"]
        default = "" if name in TABLES else f" {json.dumps(field.default, default=str)}"
        lines.append(f"{name}:{_EXAMPLE[name]}" if name in _EXAMPLE else f"# {name}:{default}")
        if name in TABLES:
            lines += [
                f"  # {key}: {json.dumps(inner.default)}   # {inner.description}"
                for key, inner in TABLES[name].model_fields.items()
            ]
    return "\n".join(lines) + "\n"
