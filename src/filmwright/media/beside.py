"""The place beside a clip: its sidecar goes there, and a file that is no sidecar is not to be lost to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from filmwright.spec.errors import MediaError

__all__ = ["MAX_SIDECAR_BYTES", "check_beside", "is_free", "numbered", "sidecar_path"]

MAX_SIDECAR_BYTES = 10_000_000  # a sidecar has a few kilobytes; a larger file is something else
KEY = "sidecar_version"  # what every sidecar says, of whichever version


def sidecar_path(video: Path) -> Path:
    """Where the sidecar of a video file lies: beside it, under the same name."""
    return video.with_suffix(".json")


def check_beside(video: Path, inputs: Sequence[Path | str] = ()) -> None:
    """See that writing a clip and its sidecar replaces nothing but an earlier clip: neither what the clip is made of,
    its `inputs`, nor a .json that is no sidecar.

    Raises:
        MediaError: it would; the remedy is another name.
    """
    beside = sidecar_path(video)
    other = f"give another name (-o), such as {next(filter(is_free, numbered(video)))}"
    for path in (video, beside):
        if given := next((given for given in inputs if _is_same(path, Path(given))), None):
            raise MediaError(
                f"cannot write {path}: the clip is made from {given}, which it would replace; {other}"
            )
    if beside.exists() and not _is_sidecar(beside):
        raise MediaError(
            f"cannot write {video}: its sidecar would replace {beside}, which is no Filmwright sidecar; {other}"
        )


def is_free(video: Path) -> bool:
    """Whether neither a clip nor its sidecar would replace anything there."""
    return not video.exists() and not sidecar_path(video).exists()


def numbered(video: Path) -> Iterator[Path]:
    """film.mp4, film-2.mp4, film-3.mp4 and so on."""
    yield video
    for number in count(2):
        yield video.with_name(f"{video.stem}-{number}{video.suffix}")


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _is_sidecar(path: Path) -> bool:
    try:
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            return False
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and isinstance(content.get(KEY), int)
