"""The modules of a network that read the states of a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

__all__ = ["cross_attention", "reader"]


def cross_attention(network: nn.Module | None) -> dict[str, nn.Module]:
    """Return the modules with keys and values of their own that read something else."""
    if network is None:
        return {}
    return {
        name: module
        for name, module in network.named_modules()
        if hasattr(module, "to_k") and getattr(module, "is_cross_attention", False)
    }


def reader(roots: Sequence[nn.Module]) -> nn.Module | None:
    """Return the module inside functions that reads prompts; of none, the first."""
    return next((root for root in roots if cross_attention(root)), next(iter(roots), None))
