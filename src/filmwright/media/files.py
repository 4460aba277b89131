"""Files that appear whole or not at all: written beside the target under a hidden name, then renamed over it."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from filmwright.spec.errors import MediaError

__all__ = [
    "check_output",
    "check_output_folder",
    "digest_file",
    "hidden_beside",
    "is_left_over",
    "making",
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
    try:
        if path.is_dir():
            inside = path / f"film{suffixes[0] if suffixes else '.mp4'}"
            raise MediaError(f"cannot write {path}: it is a folder; name a file, such as {inside}")
        if suffixes and path.suffix.lower() not in suffixes:
            raise MediaError(_say_ending(path, suffixes))
        if not folder.exists():
            raise MediaError(f"cannot write {path}: the folder {folder} does not exist; make it first")
        if not folder.is_dir():
            raise MediaError(f"cannot write {path}: {folder} is not a folder; choose another one")
        _probe(folder)
    except OSError as error:
        raise say_os_error(path, error) from error
    return path


def check_output_folder(folder: Path | str) -> Path:
    """See that files can be written into a folder, there or still to be made, before any work; leaves nothing behind.

    Raises:
        MediaError: it is a file, it cannot be made, or it is not writable or full.
    """
    folder = Path(folder)
    if "\0" in str(folder):
        raise MediaError(f"cannot write {str(folder)!r}: that is no folder name")
    try:
        if folder.exists() and not folder.is_dir():
            raise MediaError(f"cannot write into {folder}: it is a file; name a folder")
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise MediaError(f"cannot make {folder}: {there} is not a folder; choose another one")
        _probe(there)
    except FileNotFoundError as error:  # such as /proc
        raise MediaError(f"cannot make {folder}: {there} takes no files; choose another folder") from error
    except OSError as error:
        raise say_os_error(folder, error) from error
    return folder


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Make a folder, with those above it; what was made and is still empty when the block ends is taken away again.

    Raises:
        MediaError: it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise say_os_error(folder, error) from error
        yield folder
    finally:
        for path in missing:
            with suppress(OSError):  # it holds something
                path.rmdir()


def _say_ending(path: Path, suffixes: Sequence[str]) -> str:
    must = f"it must end in {' or '.join(suffixes)}"
    if not path.suffix:
        return f"cannot write {path}: {must}, such as {path.with_name(path.name + suffixes[0])}"
    return f"cannot write {path}: its name ends in {path.suffix!r}, {must}"


def _probe(folder: Path) -> None:
    """Writes a nameless file: os.access would trust mode bits that a disk may not obey."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(1 << 16))
        probe.flush()


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
