"""Trained weights as a file, and beside it a JSON card that says how they came about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.machine import machine

__all__ = ["write_weights"]


def write_weights(
    path: Path, weights: Mapping[str, Tensor], card: Mapping[str, Any], *, threads: int = 1
) -> str:
    """Write weights, and the card with the machine and the SHA-256 of the weights added.

    The machine belongs to the card because the same seed gives the same bytes on the same
    processor, number of threads and torch only: sums in another order change the last bits, and
    training amplifies that.

    Args:
        path: The safetensors file; the card has the same name and ends in ``.json``.
        weights: The tensors by name.
        card: Title, licence, recipe, losses and the like.
        threads: How many threads torch trained with.

    Returns:
        The SHA-256 of the weights.
    """
    content = save({name: tensor.contiguous() for name, tensor in weights.items()})
    digest = hashlib.sha256(content).hexdigest()
    whole = {**card, "machine": machine(threads), "sha256": digest}
    write_atomic(path, content)
    write_atomic(path.with_suffix(".json"), (json.dumps(whole, indent=1) + "\n").encode())
    return digest
