"""Files that appear whole or not at all: written beside the target under a hidden name, then renamed over it."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from filmwright.spec.errors import MediaError

__all__ = [
    "check_output",
    "digest_file",
    "hidden_beside",
    "is_left_over",
    "replacing",
    "say_os_error",
    "write_atomic",
]

CHUNK = 1 << 20
MAX_NAME_BYTES = 255  # ext4, xfs, btrfs
HIDDEN_BYTES = 16  # what hidden_beside adds to a name, at most


def hidden_beside(path: Path) -> Path:
    """A name of this process for the unfinished file, in the folder of `path`, so that a rename stays on one disk."""
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


def is_left_over(path: Path) -> bool:
    """Whether this is an unfinished file, by its name, and no other process that lives is at it."""
    found = re.fullmatch(r"\..*[.-](\d+)(\.\w+)?", path.name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return int(found[1]) == os.getpid()


def say_os_error(path: Path, error: OSError) -> MediaError:
    """The operating system's refusal to write `path` as one line with its remedy."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return MediaError(f"cannot write {path}: the disk is full or the quota spent; free some space")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return MediaError(f"cannot write {path}: {path.parent} is not writable; choose another folder")
    reason = error.strerror or str(error) or type(error).__name__
    return MediaError(f"cannot write {path}: {reason}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden path to write to; it becomes `path` when the block ends well and vanishes when it does not.

    Raises:
        MediaError: the disk is full, or the folder cannot be written.
    """
    part = hidden_beside(path)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise say_os_error(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def write_atomic(path: Path | str, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, so that `path` holds either what it held before or all of `content`.

    Raises:
        MediaError: the disk is full, or the folder cannot be written.
    """
    with replacing(Path(path)) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def check_output(path: Path | str, *, suffixes: Sequence[str] = ()) -> Path:
    """See that a file can be written at `path`, before any work is done; leaves nothing behind.

    Args:
        path: where the result is to go; an existing file is to be replaced.
        suffixes: the endings that the writer can write, with their dot; none means any.

    Raises:
        MediaError: the folder is missing, not a folder, not writable or full, or `path` is a folder.
    """
    path = Path(path)
    folder = path.parent
    if "\0" in str(path) or not path.name:
        raise MediaError(f"cannot write {str(path)!r}: that is no file name")
    if len(os.fsencode(path.name)) > MAX_NAME_BYTES - HIDDEN_BYTES:
        size = len(os.fsencode(path.name))
        limit = MAX_NAME_BYTES - HIDDEN_BYTES
        raise MediaError(f"cannot write {path.name[:24]}...: its name has {size} bytes, the limit is {limit}")
    if suffixes and path.suffix.lower() not in suffixes:
        raise MediaError(
            f"cannot write {path}: its name ends in {path.suffix or 'nothing'!r}, "
            f"it must end in {' or '.join(suffixes)}"
        )
    try:
        if path.is_dir():
            raise MediaError(f"cannot write {path}: it is a folder; name a file, such as {path / 'film.mp4'}")
        if not folder.exists():
            raise MediaError(f"cannot write {path}: the folder {folder} does not exist; make it first")
        if not folder.is_dir():
            raise MediaError(f"cannot write {path}: {folder} is not a folder; choose another one")
        with tempfile.TemporaryFile(
            dir=folder
        ) as probe:  # os.access would trust mode bits that a disk may not obey
            probe.write(bytes(1 << 16))
            probe.flush()
    except OSError as error:
        raise say_os_error(path, error) from error
    return path


def digest_file(path: Path | str) -> str:
    """BLAKE3 (hex) of a file's bytes.

    Raises:
        MediaError: the file is missing or cannot be read.
    """
    hasher = blake3()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(CHUNK):
                hasher.update(block)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}; check the path") from error
    return str(hasher.hexdigest())
