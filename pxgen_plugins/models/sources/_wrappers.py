"""Modules inside those that torch puts around them."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["unwrapped"]

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(obj: Any) -> tuple[Any, str]:
    """Return the module inside DataParallel, DistributedDataParallel and torch.compile.

    They hide its methods and sub-modules, and rename its layers.

    Returns:
        The module, and what it was taken out of, for ``origin``; any other object as it is.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> unwrapped(nn.DataParallel(net))[0] is net, unwrapped(nn.DataParallel(net))[1]
        (True, '; taken out of DataParallel')
    """
    names = []
    while isinstance(obj, nn.Module):
        if isinstance(obj, _PARALLEL):
            names.append(type(obj).__name__)
            obj = obj.module
        elif "_orig_mod" in obj._modules:  # as torch.compile makes it
            names.append("torch.compile")
            obj = obj._modules["_orig_mod"]
        else:
            break
    return obj, "; taken out of " + " and ".join(names) if names else ""
