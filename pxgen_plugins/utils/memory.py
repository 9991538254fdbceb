"""Recognising that memory ran out, whoever says so."""

from __future__ import annotations

import torch

__all__ = ["out_of_memory", "release"]

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")


def out_of_memory(error: Exception) -> bool:
    """Return whether an exception says that memory ran out, on the CPU or on a device.

    Example:
        >>> out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
        True
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # torch raises a RuntimeError on the CPU, and so do libraries beside it on cards
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def release() -> None:
    """Give the memory of cards that torch holds and does not use back, for smaller batches."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
