"""Descriptions in an audit: whom they ask and where answers are kept, what that costs, tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pxgen_plugins.adapters.base import REGISTRY
from pxgen_plugins.audit.run_folder import QUESTIONS
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.utils.errors import ParameterError, PXGenError, short_repr

__all__ = ["check_describer", "describer_cost", "description_method", "description_tables"]

_HEAD = ("what", "confirmed", "in words", "how far to believe it", "no answer because")


def check_describer(config: Config) -> None:
    """Raise where the settings name a describer that is none, or that nobody allowed.

    Its address is in the settings, which may be of others: whoever starts the audit says, too, that
    pictures and the key may go there.

    Raises:
        ParameterError: When a setting of it is not allowed, or its address is not.
    """
    settings = _describer(config)
    if settings is None:
        return
    if not isinstance(config.output, Path):
        hint = "Answers are kept there as they come. Copy the folder to its URL afterwards."
        allowed = "a path where adapters.describer is given"
        raise ParameterError("output", allowed, short_repr(str(config.output)), hint)
    _describe(settings)  # checks the address, and asks nothing
    url = settings["base_url"]
    if url not in config["allow"]:
        hint = (
            f"Pictures go there, and the key in {settings['key_variable'] or 'no variable'}. If "
            f"you trust it with them, run pxgen audit with --allow {url}; in Python: "
            f"load_config(path, allow=[{url!r}])."
        )
        allowed = "an address that you allow"
        raise ParameterError("adapters.describer.base_url", allowed, short_repr(url), hint)


def describer_cost(config: Config, model: Any) -> dict[str, int] | None:
    """Return the most calls and pictures of the describer, without a pass of the model.

    Answers that have to be repaired come on top: at worst as many calls again, without pictures.

    Returns:
        ``calls`` and ``images``; None where nothing is asked.
    """
    settings = _describer(config)
    if settings is None:
        return None
    total = {"calls": 0, "images": 0}
    for name in config["adapters"]["names"]:
        if REGISTRY.get(str(name)).evidence == "description":
            try:
                adapter = REGISTRY.get(str(name))(model, _describe(settings), seed=config["seed"])
            except PXGenError:  # not for this model, which its row of the evidence says
                continue
            for key, value in adapter.bound().items():
                total[key] += value
    return total


def description_method(name: str, config: Config, model: Any) -> tuple[str, Callable[[], Any]]:
    """Return an adapter that describes, for a comparison; answers are kept in the run folder."""
    adapter, settings = REGISTRY.get(name), _describer(config)
    assert settings is not None
    assert isinstance(config.output, Path)  # as check_describer says
    folder = config.output / QUESTIONS / name
    describe = _describe(settings)
    return name, lambda: adapter(model, describe, seed=config["seed"], folder=folder)


def description_tables(comparison: Any) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return a table for each adapter that describes: what was said, and how far to believe it."""
    return [
        (
            f"{outcome.label}, in words: {data['n_calls']:,} calls of the describer with "
            f"{data['n_images']:,} pictures",
            [_HEAD, *_rows(data)],
        )
        for outcome in comparison.outcomes
        if outcome.evidence == "description" and outcome.explanation is not None
        for data in [outcome.explanation.data]
    ]


def _describer(config: Config) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = (config["adapters"] or {}).get("describer")
    return found


def _describe(settings: Mapping[str, Any]) -> Any:
    from pxgen_plugins.describers import OpenAICompatible  # few audits need its libraries

    return OpenAICompatible(**settings)


def _rows(data: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for row, axis in enumerate(data["axes"]):
        asked = data["status"][row] != "not visible"
        confirmed = ("yes" if data["confirmed"][row] else "no") if asked else ""
        sentence, missing = str(data["sentence"][row]), str(data["missing"][row])
        yield str(axis), confirmed, sentence, _measures(data, row), missing


def _measures(data: Mapping[str, Any], row: int) -> str:
    parts = []
    certainty, rate = (float(data[name][row]) for name in ("certainty", "hit_rate"))
    if math.isfinite(certainty):
        needed = max(float(data["least"]), float(data["threshold"] or 0.0))
        parts.append(f"certainty {certainty:.2f}, needed {needed:.2f}")
    if math.isfinite(rate):
        low, high = data["hit_interval"][row]
        control = float(data["control_rate"][row])
        other = f", with other sentences {control:.2f}" if math.isfinite(control) else ""
        by = f"{other}, by chance {data['chance']:.2f}"
        parts.append(f"finds its film in {rate:.2f} ({low:.2f} to {high:.2f}){by}")
    return "; ".join(parts)
