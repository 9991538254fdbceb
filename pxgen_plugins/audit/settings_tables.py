"""The tables of an audit's settings, but the outermost: keys, types, limits and help."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args, get_type_hints

from pxgen_plugins.audit.settings_file import MOST
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.remote import Remote, is_url
from pxgen_plugins.utils.validation import LARGEST, data_range

try:
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field
    from pydantic import ValidationInfo as Info
except ImportError:
    optional.load("pydantic", "pydantic")
    raise

__all__ = [
    "AdapterSettings",
    "AnchorSettings",
    "CopiesSettings",
    "Count",
    "DescriberSettings",
    "ExecutorSettings",
    "File",
    "Location",
    "ModelSettings",
    "Package",
    "Seed",
    "Table",
]


def _absolute(path: str, info: Info) -> str:
    try:
        return str(((info.context or {})["folder"] / Path(path).expanduser()).absolute())
    except RuntimeError as error:  # no home folder of that user
        raise ValueError from error


def _absolute_or_url(path: str, info: Info) -> str:
    return str(Remote(path)) if is_url(path) else _absolute(path, info)


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
Part = Annotated[float, Field(gt=0, lt=1)]
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


class CopiesSettings(Table):
    """A search for training data in what the model makes (docs/copies.md).

    Both sets come from the same source, split at random.
    """

    training: AnchorSettings = Field(
        description="instances that the model was trained on, keys as under anchors"
    )
    held_out: AnchorSettings = Field(
        description="instances of the same source that it was not trained on"
    )
    criteria: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="which of the audit's criteria tell members; absent: all"
    )
    n_samples: Count | None = Field(
        None, description="samples to draw; absent: one for each training instance, at most 10,000"
    )
    prompts: Annotated[list[Part], Field(min_length=1)] | None = Field(
        None,
        description="parts of a text that a language model is given; absent: 0.25, 0.5 and 0.75",
    )
    fdr: Part = Field(
        0.05, description="highest false discovery rate of the training instances that are listed"
    )
