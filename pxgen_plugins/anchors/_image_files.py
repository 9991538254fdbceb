"""What an image file may cost before a pixel of it is decoded."""

from __future__ import annotations

import struct
from typing import IO

from pxgen_plugins.utils.limits import IMAGE_FILE, IMAGE_TAGS

__all__ = ["check_image_file"]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


def check_image_file(file: IO[bytes]) -> None:
    """Raise ValueError when reading an image's headers would take too much memory.

    Decoders read private chunks of PNG, and WebP as a whole, into memory before they know the size
    of the picture; of TIFF, each tag, although all of them may point at the same large bytes.

    Args:
        file: An open binary file at its start, where it stands again afterwards.
    """
    IMAGE_FILE.check(file.seek(0, 2))
    file.seek(0)
    head = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is not None and len(head) == 8 and (b"*" in head[2:4] or b"+" in head[2:4]):
        IMAGE_TAGS.check(_tag_bytes(file, order, head))
    file.seek(0)


def _tag_bytes(file: IO[bytes], order: str, head: bytes) -> int:
    """Return how many bytes the tags of a TIFF file's first directory say that they hold."""
    big = b"+" in head[2:4]  # BigTIFF: offsets of 8 bytes
    (start,) = struct.unpack(f"{order}{'Q' if big else 'I'}", file.read(8) if big else head[4:])
    if start >= 1 << 62:
        return 0  # outside of any file: the decoder says so
    file.seek(start)
    width, entry = (8, 20) if big else (2, 12)
    counted = file.read(width)
    if len(counted) < width:
        return 0
    (n,) = struct.unpack(f"{order}{'Q' if big else 'H'}", counted)
    table = file.read(min(n, 1 << 16) * entry)
    layout = f"{order}HHQ" if big else f"{order}HHI"
    whole = [table[at : at + entry] for at in range(0, len(table) - entry + 1, entry)]
    tags = (struct.unpack(layout, one[: struct.calcsize(layout)]) for one in whole)
    return sum(_SIZES.get(kind, 1) * count for _, kind, count in tags)
