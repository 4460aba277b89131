"""The boxes of an MP4 or MOV file (ISO/IEC 14496-12): reading their tree, and adding the two that HDR10 needs.

FFmpeg writes the mastering display and the content light level into the stream, but through PyAV not into the sample
entry, where Apple's players and most checkers look. They are put there after the file is finished: the index grows,
and what it says of places in the file moves with it.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filmwright.spec.errors import MediaError

__all__ = ["Box", "add_to_sample_entry", "box", "boxes_of"]

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
VISUAL = {b"avc1", b"hvc1", b"hev1", b"av01", b"apch", b"AVdh"}
VISUAL_ENTRY = 78  # bytes of fields before the boxes of a visual sample entry (section 12.1.3)
MAX_INDEX = 1 << 28  # bytes; an index of a ten-hour film has some tens of millions


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box: its path such as "moov/trak", where it starts and ends, and where its content starts, in bytes."""

    path: str
    start: int
    content: int
    end: int


def box(kind: bytes, content: bytes) -> bytes:
    """One box as it stands in a file."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def boxes_of(data: bytes, start: int = 0, end: int | None = None, path: str = "") -> Iterator[Box]:
    """All boxes of `data` in order, parents before children, down to those of the video's sample entry.

    Raises:
        MediaError: a box says that it is longer than what holds it.
    """
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            raise MediaError(f"the file's index is broken: a box {kind!r} of {size} bytes does not fit")
        here = Box(
            path=f"{path}{kind.decode('latin-1')}", start=start, content=start + head, end=start + size
        )
        yield here
        if kind in CONTAINERS:
            yield from boxes_of(data, here.content, here.end, f"{here.path}/")
        elif kind == b"stsd":
            yield from boxes_of(data, here.content + 8, here.end, f"{here.path}/")
        elif kind in VISUAL and path.endswith("stsd/"):
            yield from boxes_of(data, here.content + VISUAL_ENTRY, here.end, f"{here.path}/")
        start += size


def add_to_sample_entry(path: Path, kind: bytes, extra: bytes) -> None:
    """Put the boxes `extra` at the end of the first sample entry called `kind`, such as b"hvc1".

    The file is rewritten beside itself with constant memory and replaced; its index must come before its media.

    Raises:
        MediaError: the file has no such entry, or its index does not come first.
    """
    with path.open("rb") as file:
        head = _upto_index(file, path)
    wanted = f"moov/trak/mdia/minf/stbl/stsd/{kind.decode('latin-1')}"
    tree = list(boxes_of(head))
    entry = next((found for found in tree if found.path == wanted), None)
    if entry is None:
        raise MediaError(f"cannot tag {path}: it has no {kind.decode('latin-1')} track")
    index = bytearray(head)
    for found in tree:
        if found.start <= entry.start and entry.end <= found.end:  # the entry and all that hold it
            struct.pack_into(">I", index, found.start, found.end - found.start + len(extra))
        for name, form, width in (("stco", ">I", 4), ("co64", ">Q", 8)):
            if found.path.endswith(f"stbl/{name}"):
                for at in range(found.content + 8, found.end, width):
                    struct.pack_into(form, index, at, struct.unpack_from(form, index, at)[0] + len(extra))
    index[entry.end : entry.end] = extra
    part = path.with_name(f"{path.name}.tagged")
    try:
        with path.open("rb") as source, part.open("wb") as target:
            source.seek(len(head))
            target.write(index)
            shutil.copyfileobj(source, target, 1 << 20)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _upto_index(file: BinaryIO, path: Path) -> bytes:
    """The file's beginning up to the end of its index, and no more of it."""
    at = 0
    while len(start := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", start)
        if kind == b"moov" and at + size <= MAX_INDEX:
            file.seek(0)
            return file.read(at + size)
        if kind == b"mdat" or size < 8:
            break
        at += size
        file.seek(at)
    raise MediaError(f"cannot tag {path}: its index does not come first")
