"""How a synthesizer of tables is asked for rows, and its own generator seeded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pxgen_plugins.utils.errors import ModelError

__all__ = ["row_sampler", "seeder"]


def row_sampler(synthesizer: Any) -> Callable[[int], Any]:
    """Return the function of n that draws n rows.

    Raises:
        ModelError: When it is called and ``sample`` raises.
    """
    sample = synthesizer.sample
    try:
        named = "num_rows" in inspect.signature(sample).parameters
    except (TypeError, ValueError):  # built-in functions may have none
        named = False

    def draw(n: int) -> Any:
        try:
            return sample(num_rows=n) if named else sample(n)
        except Exception as error:  # whatever a foreign function raises
            got = f"{type(error).__name__}: {str(error)[:300]}"
            hint = "Call synthesizer.sample by hand to find the cause."
            allowed = "able to draw rows by sample(n) or sample(num_rows=n)"
            raise ModelError("synthesizer", allowed, got, hint) from error

    return draw


def seeder(synthesizer: Any) -> Callable[[int], Any] | None:
    """Return the function that seeds the synthesizer's own generator, if it has one."""
    names = ("set_random_state", "_set_random_state")
    setter = next((f for n in names if callable(f := getattr(synthesizer, n, None))), None)
    if setter is None:
        return None
    reset = getattr(synthesizer, "reset_sampling", None)

    def reseed(seed: int) -> None:
        if callable(reset):
            reset()
        setter(seed)

    return reseed
