"""JSON with numpy in it, as Alibi writes it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

__all__ = ["NumpyEncoder"]

_DOUBLE = 8  # bytes: a longer float would lose digits


class NumpyEncoder(json.JSONEncoder):
    """Writes arrays as lists and numpy's integers and floats as numbers.

    Whatever Alibi's encoder refuses is refused here: ``np.bool_`` scalars, complex numbers, dates,
    ``np.longdouble``, bytes and tensors.

    Example:
        >>> json.dumps({"a": np.arange(2), "b": np.float32(0.5)}, cls=NumpyEncoder)
        '{"a": [0, 1], "b": 0.5}'
    """

    def default(self, o: Any) -> Any:
        """Return what JSON knows in place of ``o``.

        Raises:
            TypeError: When ``o`` is nothing that can be written.
        """
        if isinstance(o, np.ndarray):
            return o.tolist()
        if isinstance(o, np.generic):
            kind = o.dtype.kind
            if kind in "iu" or (kind == "f" and o.dtype.itemsize <= _DOUBLE):
                return o.item()
        return super().default(o)
