"""Where an audit's model runs: on the CPU, or on a card."""

from __future__ import annotations

import os
from typing import Any

import torch

from pxgen_plugins.utils.errors import ParameterError

__all__ = ["card_name", "cards", "move"]


def move(model: Any, name: str | None) -> None:
    """Move a model to the device that the settings name; ``"auto"`` is a card where one is here.

    Args:
        model: The model, whose torch modules are moved.
        name: ``"auto"``, ``"cpu"`` or ``"cuda"``; None leaves the model where it is.

    Raises:
        ParameterError: When there is no card, or the model has no torch modules to move.
    """
    has_card = torch.cuda.is_available()
    modules = tuple(getattr(model, "modules", ()))
    if name == "auto":
        name = "cuda" if has_card and modules else model.device.type
    if name is None or name == model.device.type:
        return
    if name == "cuda" and not has_card:
        hint = "Use auto, which takes a card where one is, or run it where one is."
        raise ParameterError("device", "one that this machine has", "'cuda', and no card", hint)
    if not modules:
        hint = "Leave device out, and let the factory put the model where it should run."
        raise ParameterError("device", f"{model.device.type!r} for a model without torch modules",
                             repr(name), hint)  # fmt: skip
    there = torch.device(name)
    for module in modules:
        module.to(there)
    for part in (model, *vars(model).values()):  # a family may hold another one
        if isinstance(getattr(part, "__dict__", {}).get("device"), torch.device):
            part.device = there


def cards() -> list[str]:
    """Return the names of this machine's cards, as ``CUDA_VISIBLE_DEVICES`` takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    return [str(index) for index in range(torch.cuda.device_count())]


def card_name() -> str:
    """Return what the card in use is called; an empty text without one."""
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""
