"""The settings of an audit, read from YAML or TOML without running anything."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pxgen_plugins.audit.settings_file import Faults, plain_values, read_file, read_yaml
from pxgen_plugins.audit.settings_model import TABLES, Settings, validate
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.redaction import redact_values
from pxgen_plugins.utils.remote import PRIVATE, Remote, is_url, place_of
from pxgen_plugins.utils.storage import Place

__all__ = ["Config", "SettingsError", "config_of", "load_config"]

_LATE = (
    "model.arguments"  # variables are put in on use, so that no file of a run holds their values
)
_CHOSEN = ("intrinsic", "extrinsic", "threshold")  # by what the model can do, where absent
_MAX_LINES = 20  # faults in a message


class SettingsError(ParameterError):
    """All faults of some settings; parameter, allowed, got and hint are those of the first.

    Args:
        faults: Each as an error of its own, at least one.
    """

    def __init__(self, faults: Sequence[ParameterError]) -> None:
        first = faults[0]
        super().__init__(first.parameter, first.allowed, first.got, first.hint)
        self.args = (faults,)
        self.faults = tuple(faults)

    @property
    def lines(self) -> list[str]:
        """The message: one line for a single fault, else a heading and a line for each."""
        if len(self.faults) == 1:
            return [super().__str__()]
        heading = f"{self.where}: {len(self.faults)} faults".removeprefix(": ")
        lines = [" ".join(str(fault).split()) for fault in self.faults[:_MAX_LINES]]
        more = ["..."] if len(self.faults) > _MAX_LINES else []
        return [heading, *(f"  {line}" for line in [*lines, *more])]

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Config:
    """Checked settings.

    Attributes:
        values: By key, nested as in the file; every key of
            :class:`~pxgen_plugins.audit.settings_model.Settings` is there, paths are absolute.
    """

    values: dict[str, Any]

    @classmethod
    def of_plan(cls, values: Mapping[str, Any], folder: Place) -> Config:
        """Return the settings in the plan of a run folder: :meth:`for_plan` undone.

        Raises:
            SettingsError: When a variable is not set.
        """
        faults: Faults = []
        content: dict[str, Any] = plain_values(values, faults, late=_LATE)
        if faults:
            raise SettingsError(faults)

        def absolute(path: str) -> str:
            own = isinstance(folder, Path) and not is_url(path)
            return os.path.normpath(folder / path) if own else path  # type: ignore[arg-type]

        return cls(cls(content)._rename_paths(absolute))

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def table(self, place: str) -> dict[str, Any] | None:
        """Return a table by its place, as in ``"copies.training"``; None where it is absent."""
        return _at(self.values, place)

    @property
    def output(self) -> Place:
        """The run folder."""
        return place_of(self.values["output"])

    def complete(self, chosen: Mapping[str, Any]) -> Config:
        """Return the settings with what is absent as in chosen, and the device there is."""
        absent = [name for name in _CHOSEN if self.values[name] is None]
        device = chosen.get("device") or self.values["device"]
        return Config(self.values | {name: chosen[name] for name in absent} | {"device": device})

    def scoring(self) -> dict[str, Any]:
        """Return what values, groups, representatives and copies depend on, as JSON holds it."""
        free = {"adapters", "conditions", "baseline", "keep_thresholds", "first_run"}
        free |= {"output", "executor", "name"}
        if self.table("copies") is None:
            free.add("copies")
        return {key: value for key, value in self.values.items() if key not in free}

    def for_plan(self) -> dict[str, Any]:
        """Return :meth:`scoring` with paths relative to the run folder, so that a plan can move.

        Values of environment variables are left out, and what they say of a path stays absolute.
        So do all paths where the run folder has a URL.
        """
        output = self.output

        def relative(path: str) -> str:
            if is_url(path) or not isinstance(output, Path):
                return path
            plain = os.path.normpath(path)
            # behind a link, .. leads elsewhere than it reads
            if redact_values(path) != path or os.path.realpath(plain) != os.path.realpath(path):
                return path
            try:
                return Path(os.path.relpath(plain, output)).as_posix()
            except ValueError:  # on another drive
                return path

        values: dict[str, Any] = redact_values(self._rename_paths(relative))
        return values

    def portable(self) -> dict[str, Any]:
        """Return :meth:`scoring` with names of files instead of paths, the same in every folder."""
        return self._rename_paths(lambda path: Path(path).name)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the model's factory, environment variables put in.

        Raises:
            SettingsError: When a variable is not set.
        """
        faults: Faults = []
        arguments: dict[str, Any] = plain_values(self["model"]["arguments"], faults, place=_LATE)
        if faults:
            raise SettingsError(faults)
        return arguments

    def digest(self) -> str:
        """Return the SHA-256 of :meth:`scoring` without paths, which say nothing of contents."""
        values = self._rename_paths(lambda path: "")
        values.pop("allow", None)  # who may be called says nothing of what is computed
        text = json.dumps(values, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _rename_paths(self, rename: Callable[[str], str]) -> dict[str, Any]:
        values = copy.deepcopy(self.scoring())
        for name, table in TABLES.items():
            content = _at(values, name) or {}
            for key in table.path_keys():
                path = content.get(key)
                if isinstance(path, dict):
                    content[key] = {role: rename(one) for role, one in path.items()}
                elif path is not None:
                    content[key] = rename(path)
        return values


def _at(values: Mapping[str, Any], place: str) -> dict[str, Any] | None:
    content: Any = values
    for key in place.split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, dict) else None


def load_config(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), *, allow: Sequence[str] = ()
) -> Config:
    """Return the settings in a ``.yaml``, ``.yml`` or ``.toml`` file.

    Paths in it are relative to the file; ``${NAME}`` in a string is replaced by the environment
    variable of that name, and by nothing else.

    Args:
        path: The file.
        overrides: ``"key.inner=value"`` texts, which win over the file; values are read as YAML.
        allow: Packages whose functions may be called as the model's factory; of those, the ones
            that the settings allow as well. And the address of ``adapters.describer``, which may
            be asked then. And the URLs, or what they begin with up to a slash, at which anchors,
            ``output`` and ``baseline`` may be; those in ``overrides`` are allowed.

    Raises:
        ParameterError: When the file cannot be read.
        SettingsError: With all faults of its keys and values; a ParameterError too.
        MissingDependencyError: When pyyaml is needed and absent.
    """
    source = Path(path)
    faults: Faults = []
    with caller(f"settings {source.name}"):
        content = read_file(source, faults)
        for item in overrides:
            _override(content, item, faults)
        given = [item.partition("=")[2].strip() for item in overrides]  # named by the user, too
        return _build(content, source.resolve().parent, faults, [*allow, *filter(is_url, given)])


@caller("settings")
def config_of(content: Mapping[str, Any], folder: Path, *, allow: Sequence[str] = ()) -> Config:
    """Return checked settings of a mapping; paths in it are relative to ``folder``.

    Args:
        content: The settings.
        folder: The folder.
        allow: As for :func:`load_config`.

    Raises:
        SettingsError: With all faults of keys and values.

    Example:
        >>> config = config_of({"model": {"shipped": "mnist_vae"}, "anchors": {"shipped": "mnist"},
        ...                     "output": "run"}, Path("/tmp"))
        >>> config["selectors"], config.output.as_posix()
        (['k_center'], '/tmp/run')
    """
    return _build(content, folder, [], allow)


def _build(
    content: Mapping[str, Any], folder: Path, faults: Faults, allow: Sequence[str]
) -> Config:
    values = validate(plain_values(content, faults, late=_LATE), folder, faults)
    if values:
        faults += _strange_addresses(values, allow)
    if faults:
        raise SettingsError(faults)
    named = [*values["allow"], ((values["adapters"] or {}).get("describer") or {}).get("base_url")]
    both = [name for name in named if name in allow]
    return Config(values | {"allow": both} | _kept_threshold(values))


def _kept_threshold(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rule that holds the baseline's thresholds, where the settings ask for them."""
    if not values["keep_thresholds"] or values["baseline"] is None:
        return {}
    from pxgen_plugins.audit.run_folder import Run  # torch, which settings alone need not

    result = Run.open(values["baseline"]).result
    thresholds = dict(zip(result.criteria, result.thresholds.tolist(), strict=True))
    lost = [name for name, threshold in thresholds.items() if not math.isfinite(threshold)]
    if lost:
        hint = "Give a baseline with finite thresholds, or leave keep_thresholds out."
        got = f"no threshold of {', '.join(lost)} in the baseline"
        raise ParameterError("keep_thresholds", "false here", got, hint)
    return {"threshold": {"name": "Fixed", "values": thresholds}}


def _strange_addresses(values: Mapping[str, Any], allow: Sequence[str]) -> Iterator[ParameterError]:
    """Yield the faults of URLs that nobody allowed: settings may be of others."""
    named = {f"{key}.path": (values[key] or {}).get("path") for key in ("anchors", "reference")}
    named |= {key: values[key] for key in ("baseline", "output")}
    for name, path in named.items():
        if path is None or not is_url(path) or Remote(path).protocol in PRIVATE:
            continue
        if not any(f"{path}/".startswith(f"{one.rstrip('/')}/") for one in allow):
            hint = f"If you trust it with what is audited, run pxgen audit with --allow {path}."
            yield ParameterError(name, "a path, or a URL that you allow", short_repr(path), hint)


def _override(content: dict[str, Any], item: str, faults: Faults) -> None:
    """Set one key of the content, as ``"key.inner=value"`` says."""
    name, sign, text = item.partition("=")
    *outer, last = name.strip().split(".")
    if not sign or not all([*outer, last]):
        hint = "Write --set threshold.n_samples=500, say."
        faults.append(ParameterError("--set", "key=value", short_repr(item), hint))
        return
    field = Settings.model_fields.get(outer[0]) if outer else None
    if field is not None and isinstance(field.default, dict):
        content.setdefault(outer[0], dict(field.default))  # a part of a default is overridden
    table = content
    for key in outer:
        if table.get(key) is None:
            table[key] = {}
        table = table[key]
        if not isinstance(table, dict):
            hint = f"Set {name} in the file."
            faults.append(ParameterError("--set", "a key of a table", short_repr(item), hint))
            return
    table[last] = read_yaml(f"value: {text}", "--set", faults)["value"]
