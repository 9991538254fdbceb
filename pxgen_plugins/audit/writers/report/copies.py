"""The report's section on copies: what was measured, and the pairs as pictures or texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.utils.text import number
from pxgen_plugins.utils.thumbnails import drawable, png_url

if TYPE_CHECKING:
    from pxgen_plugins.evaluation import Copies

__all__ = ["copies_section"]

_SIDE = 64  # pixels of a picture
_COLOURS = 64
_SHOWN = ("training", "sample", "held_out")


def copies_section(copies: Copies | None, most: int, cell: int) -> dict[str, Any] | None:
    """Return measures, notes and pairs for the template, which escapes them; None without any.

    Args:
        copies: What the search for training data found.
        most: Most pairs.
        cell: Most characters of a text.
    """
    if copies is None:
        return None
    head, *rows = copies.measures()
    n = len(next(iter(copies.instances.values()), ()))
    pairs = list(copies.pairs)[: min(most, n)]
    texts = {name: [visible(text, cell) for text in some] for name, some in copies.texts.items()}
    pictures = {} if texts else _pictures(copies, len(pairs))
    return {
        "sentence": copies.sentence(),
        "head": head,
        "rows": rows,
        "notes": list(copies.notes),
        "pairs": [
            {
                "facts": [
                    f"{pair.training:,}",
                    f"{pair.times:,}",
                    f"{pair.sample:,}",
                    number(pair.distance, 3),
                    number(pair.held_out_distance, 3),
                    number(pair.adjusted, 2),
                ],
                "label": "" if pair.label is None else visible(pair.label, cell),
                "texts": [texts[name][at] for name in _SHOWN] if texts else [],
                "pictures": [pictures[name][at] for name in _SHOWN] if pictures else [],
            }
            for at, pair in enumerate(pairs)
        ],
        "n_left": copies.count - len(pairs),
    }


def _pictures(copies: Copies, n: int) -> dict[str, list[dict[str, Any]]]:
    """Return the pictures of pairs, all on one scale, as what an image element needs."""
    if not n:
        return {}
    stack = np.stack([copies.instances[name][:n] for name in _SHOWN])
    flat = drawable(stack.reshape(-1, *stack.shape[2:]))
    urls = [png_url(pixels, _SIDE, _COLOURS) for pixels in flat]
    cells = [{"url": url, "width": width, "height": height} for url, width, height in urls]
    return {name: cells[k * n : (k + 1) * n] for k, name in enumerate(_SHOWN)}
