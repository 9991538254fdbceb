"""What the explanations of other methods hold, whatever their evidence: sizes and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.result.findings import findings, frames
from pxgen_plugins.result.summary import plain_word
from pxgen_plugins.utils.text import number
from pxgen_plugins.utils.thumbnails import Pixels, diverging, drawable

__all__ = ["MEANINGS", "evidence_facts", "evidence_pictures"]

MEANINGS = {
    "attribution": "how much each element of an anchor moves the target",
    "latent_attribution": "how much each latent dimension moves the target",
    "prototypes": "instances that stand for many others",
    "influence": "which training samples helped or harmed at an anchor",
    "embedding": "anchors in the plane; plot_views(explanation) draws it",
    "counterfactual": "the nearest anchor for which the decision is another",
    "effect": "how the target changes along each feature",
    "groups": "groups of anchors, and what differs between them",
    "directions": "ways through latent space, and what changes along them",
    "units": "channels of a layer, what they match, and what goes without them",
    "description": "what changes, in words, and how sure that is",
    "localisation": "which layers carry a concept of the prompt",
}
_PICTURES = ("images", "examples")  # keys of data whose arrays may be instances
_MOST = 24  # entries of data
_FIRST = 8  # elements of a short list
_PARAMS = ("target", "layer", "space", "seed")


def evidence_facts(meta: Mapping[str, Any], data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what an explanation holds, as (name, text): evidence, parameters, every entry."""
    evidence = data.get("evidence")
    pairs = []
    if evidence is not None:
        meaning = MEANINGS.get(str(evidence), "")
        pairs.append(("evidence", plain_word(evidence) + (f": {meaning}" if meaning else "")))
    pairs += [(plain_word(name, 24), plain_word(text, 200)) for name, text in findings(data)]
    params = meta.get("params") or {}
    given = [name for name in _PARAMS if params.get(name) is not None and data.get(name) is None]
    pairs += [(name, plain_word(_short(params[name]), 100)) for name in given]
    held = [(key, text) for key, value in data.items() if (text := _describe(value))]
    held = [pair for pair in held if pair[0] != "evidence"]
    pairs += [(plain_word(key, 24), plain_word(text, 160)) for key, text in held[:_MOST]]
    if len(held) > _MOST:
        pairs.append(("", f"and {len(held) - _MOST:,} more entries"))
    return pairs


def evidence_pictures(data: Mapping[str, Any], n: int) -> tuple[str, Pixels | None]:
    """Return what of the data can be drawn, in words, and the first n pictures, (n, h, w, c).

    Attributions are drawn as signed maps, images as they are, of directions, units and descriptions
    the first strip.
    """
    strip = frames(data)
    if strip is not None:
        return "images", drawable(strip[:n])
    for key in ("attributions", "maps"):
        maps = _array(data.get(key))
        if maps is not None and maps.ndim >= 3 and len(maps):
            return f"{key} (red raises, blue lowers)", diverging(maps[:n])
    for key in _PICTURES:
        images = _array(data.get(key))
        if images is not None and images.ndim >= 3 and len(images):
            return key, drawable(images[:n])
    return "", None


def _array(value: Any) -> NDArray[Any] | None:
    """Return an entry as an array of numbers, also where it is a list from JSON; else None."""
    if value is None or isinstance(value, (str, Mapping)):
        return None
    try:
        array = np.asarray(value)
        return np.asarray(array, dtype=np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError):
        return None


def _describe(value: Any) -> str:
    """Return an entry in a few words; empty where there is nothing to say."""
    if value is None or (isinstance(value, (str, Sequence, Mapping)) and not len(value)):
        return ""
    if isinstance(value, Mapping):
        return f"{len(value):,} entries: " + ", ".join(map(str, list(value)[:_FIRST]))
    if isinstance(value, (str, bool, int, float)):
        return _short(value)
    array = _array(value)
    if array is None:
        return f"{len(value):,} entries" if isinstance(value, Sequence) else ""
    if not array.size:
        return ""
    if array.ndim == 1 and len(array) <= _FIRST:
        return ", ".join(_short(one) for one in array.tolist())
    shape = " x ".join(f"{size:,}" for size in array.shape)
    if array.dtype.kind in "biu" and array.ndim <= 2:  # indices, of the first anchor where of many
        row = array if array.ndim == 1 else array[0]
        first = ", ".join(_short(one) for one in row[:_FIRST].tolist())
        return f"{shape}: {first}" + (", …" if array.size > _FIRST else "")
    if array.dtype.kind not in "fiu":
        return shape
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if not finite.size:
        return f"{shape}, none finite"
    return f"{shape}, {number(float(finite.min()), 3)} to {number(float(finite.max()), 3)}"


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={inner}" for key, inner in list(value.items())[:_FIRST])
    return str(value)
