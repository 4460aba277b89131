"""Joins strips of a clip that are decoded one after the other: those that are done wait on disk for the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from filmwright.models.strips import Strip
from filmwright.spec.errors import MediaError

__all__ = ["joined"]


def joined(
    strips: Sequence[Strip], decode: Callable[[Strip], Iterator[NDArray[np.uint8]]]
) -> Iterator[NDArray[np.uint8]]:
    """Frames uint8 [n, H, W, 3] of whole pictures, of strips that `decode` gives in the same pieces each.

    While the earlier strips are decoded, it yields pieces without frames: one a piece of theirs, as a sign of life.

    Raises:
        MediaError: the folder for temporary files is full, or cannot be written.
    """
    *earlier, last = strips
    with ExitStack() as stack:
        waiting = []
        for strip in earlier:
            with _saying_why():
                file = TemporaryFile()  # noqa: SIM115 (the stack closes it)
            stack.callback(_close, file)
            for part in decode(strip):
                with _saying_why():
                    file.write(np.ascontiguousarray(part).data)
                yield part[:0]
            with _saying_why():
                file.seek(0)  # what was still buffered is written now
            waiting.append((file, part.shape[1:]))
        for part in decode(last):
            parts = [
                np.frombuffer(file.read(len(part) * int(np.prod(shape))), np.uint8).reshape(-1, *shape)
                for file, shape in waiting
            ]
            yield np.concatenate([*parts, part], axis=last.axis - 2)


@contextmanager
def _saying_why() -> Iterator[None]:
    """Turns the operating system's refusals into one line."""
    try:
        yield
    except OSError as error:
        raise MediaError(
            f"strips of the frames cannot wait on disk ({error.strerror}): make room for temporary files or name "
            "another place in TMPDIR"
        ) from error


def _close(file: IO[bytes]) -> None:
    """Closes a file that goes with it; what it could not take is not wanted any more."""
    with suppress(OSError):
        file.close()
