"""Recognising that memory ran out, whoever says so."""

from __future__ import annotations

__all__ = ["out_of_memory"]

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")


def out_of_memory(error: Exception) -> bool:
    """Return whether an exception says that memory ran out, on the CPU or on a device.

    Example:
        >>> out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
        True
    """
    if isinstance(error, MemoryError):
        return True
    # torch raises a RuntimeError on both, on CUDA a subclass of it
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)
