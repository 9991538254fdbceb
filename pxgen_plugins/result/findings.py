"""What explanations of a model's inside found, a line each, with the control beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.result.direction_table import direction_rows
from pxgen_plugins.utils.text import number, percent

__all__ = ["findings", "frames"]

_MOST = 4  # lines
_UNITS = 6  # units named in a line


def findings(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, text) pairs for what is found inside a model; none for other evidence."""
    kind = data.get("evidence")
    if kind == "directions":
        return _of_directions(data)
    if kind == "description":
        return _of_description(data)
    if kind == "localisation":
        return _of_localisation(data)
    if kind == "attribution" and data.get("control_agreement") is not None:
        return _of_words(data)
    if kind != "units":
        return []
    pairs = _of_set(data) if "removal" in data else _of_dissection(data)
    return [*pairs, *(("note", str(note)) for note in data.get("notes") or [])]


def frames(data: Mapping[str, Any]) -> NDArray[Any] | None:
    """Return the first strip of what looks inside a model, (n, *sample_shape); None without."""
    kind = data.get("evidence")
    key = "top_images" if kind == "units" and "removal" not in data else "images"
    images = data.get("strips" if kind == "description" else key)
    if kind not in ("directions", "units", "description", "localisation") or images is None:
        return None
    array = np.asarray(images, dtype=np.float64)
    if not array.size:
        return None
    if kind in ("directions", "description"):
        return np.asarray(array[0, 0])
    # of a set and a localisation: instances before and after, in turn
    pairs = "removal" in data or kind == "localisation"
    return array.reshape(-1, *array.shape[2:]) if pairs else np.asarray(array[0])


def _of_directions(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    for row in direction_rows(data)[:_MOST]:
        if row["slope"] is not None:
            pairs.append((row["direction"], _of_response(row)))
        elif row["change"] is not None:
            text = f"changes an instance by {number(row['change'], 2)} at the end"
            text += f", random directions by {number(row['random_change'], 2)}"
            pairs.append((row["direction"], text))
    return pairs


def _of_response(row: Mapping[str, Any]) -> str:
    """Say how an assessor responds: how steep it is first, as few numbers rise at every step."""
    way = ("below", "falls") if row["slope"] < 0 else ("above", "rises")
    text = f"{row['assessor']}: slope {number(row['slope'], 2)} deviations a step, "
    text += f"p {number(row['p_value'], 2)} (least possible {number(row['least_p_value'], 2)})"
    text += f"; last {way[0]} first for {percent(row['ends'])} of codes"
    if row["random_ends"] is not None:  # files of older versions have none
        text += f" (random directions {percent(row['random_ends'])})"
    text += f", {way[1]} at every step for {percent(row['monotone'])}"
    return f"{text} (random directions {percent(row['random_monotone'])})"


_RANKS = ("clear", "unclear", "missing", "not visible")  # of a description, as they are shown


def _of_description(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    if data.get("certainty") is None:
        return []
    names = ("certainty", "hit_rate", "control_rate")
    certainty, rate, control = (np.asarray(data[name], dtype=np.float64) for name in names)
    confirmed = np.asarray(data["confirmed"], dtype=bool)
    clear = sum(one == "clear" for one in data["status"])
    text = f"{clear} of {len(confirmed)} clear, {int(confirmed.sum())} confirmed"
    pairs = [("found", f"{text}; {data['n_calls']:,} calls with {data['n_images']:,} pictures")]
    ranks = [_RANKS.index(status) for status in data["status"]]
    order = sorted(range(len(ranks)), key=lambda row: (not confirmed[row], ranks[row]))
    for row in order[:_MOST]:
        label = data["axes"][row]
        text = str(data["sentence"][row])
        if np.isfinite(certainty[row]):
            text += f" Certainty {number(certainty[row], 2)}"
            if data["threshold"] is not None:
                text += f" (films with nothing in them: {number(float(data['threshold']), 2)})"
        if np.isfinite(rate[row]):
            text += f"; finds its film in {percent(rate[row])}, chance {percent(data['chance'])}"
            if np.isfinite(control[row]):
                text += f", this film with other sentences {percent(control[row])}"
            text += ": confirmed" if confirmed[row] else ": not confirmed"
        if data["missing"][row]:
            text += f"; answers are missing: {data['missing'][row]}"
        pairs.append((str(label), text))
    return pairs


def _of_localisation(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    if data.get("whole") is None:
        return []
    scorer = str(data["scorer"])
    if data.get("strongest") is None:
        return [("layers", f"{scorer} does not tell the prompts apart: nothing is localised")]
    best = int(data["strongest"])
    share, control = (np.asarray(data[key], dtype=np.float64) for key in ("share", "control_share"))
    where = " to ".join(dict.fromkeys((data["places"][best][0], data["places"][best][-1])))
    text = f"{percent(share[best])} of the whole change of {scorer} ({number(data['whole'], 2)})"
    text += f"; with the control {percent(control[best])}"
    return [(where, f"{text}, {number(int(data['n_seeds']))} seeds")]


def _of_words(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    own, other = (
        np.asarray(data[key], dtype=np.float64) for key in ("agreement", "control_agreement")
    )
    return [
        (
            str(word),
            f"attention correlates by {number(own[row], 2)} with what changes without the word "
            f"(attention to other tokens: {number(other[row], 2)})",
        )
        for row, word in enumerate(data["words"][:_MOST])
    ]


def _of_dissection(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    labels = [str(label) for label in data["label"] or []]
    if data.get("iou") is None:
        return []
    iou, null = (np.asarray(data[key], dtype=np.float64) for key in ("iou", "null_iou"))
    effect = None if data.get("effect") is None else np.asarray(data["effect"], dtype=np.float64)
    named = sum(bool(label) for label in labels)
    pairs = [("match", f"{named} of {len(labels)} units match a concept, at a q-value of 0.05")]
    for column, name in enumerate(data["concepts"][:_MOST]):
        best = int(iou[:, column].argmax())
        text = f"unit {best} has IoU {number(iou[best, column], 2)}"
        text += f" ({number(null[best, column], 2)} with masks of other instances)"
        if effect is not None and np.isfinite(effect[best, column]):
            most = int(np.nanargmax(effect[:, column]))
            text += f", without it {percent(effect[best, column])} goes"
            text += (
                ", the most of all units"
                if most == best
                else (f"; without unit {most} {percent(effect[most, column])}")
            )
        pairs.append((str(name), text))
    return pairs


def _of_set(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    if data.get("removal") is None:
        return []
    own, random = (
        np.asarray(data[key], dtype=np.float64)[-1] for key in ("removal", "random_removal")
    )
    order = np.asarray(data["order"]).tolist()
    units = ", ".join(str(unit) for unit in order[:_UNITS]) or "none"
    more = f" and {len(order) - _UNITS} more" if len(order) > _UNITS else ""
    pairs = [
        (
            "removal",
            f"without units {units}{more}, {percent(own)} of {data['concept']} goes "
            f"(random sets: {percent(random)})",
        )
    ]
    if data.get("insertion") is not None:
        came = [float(np.asarray(data[key])[-1]) for key in ("insertion", "random_insertion")]
        patch = data.get("patch")
        where = "in the whole picture"  # of units without a place
        if patch is not None:
            where = f"in {patch} x {patch} cells around a place without it"
        text = f"{where} the set brings {number(came[0], 2)} of 1 (random sets: "
        text += number(came[1], 2)
        if data.get("insertion_all") is not None:
            text += f", all units: {number(float(data['insertion_all']), 2)}"
        pairs.append(("insertion", f"{text})"))
    return pairs
