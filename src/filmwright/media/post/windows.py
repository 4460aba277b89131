"""What the filters of post share: frames one by one from chunks, windows over a stream, and the line through one.

A window holds at most `radius` items before its centre and after it, so the memory of a filter does not grow with the
film, and its answer does not depend on how the film was cut into chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from filmwright.spec.errors import MediaError

__all__ = ["MAX_RADIUS", "Chunks", "Frame", "line_weights", "radius_of", "singles", "windows"]

Frame = NDArray[np.uint8]
"""[H,W,3], sRGB."""
Chunks = Iterator[NDArray[np.uint8]]
"""[n,H,W,3] each, any n."""
MAX_RADIUS = 60  # frames: a second at 60 fps
T = TypeVar("T")


def singles(chunks: Chunks) -> Iterator[Frame]:
    """The frames of chunks, one by one.

    Raises:
        MediaError: a chunk is no uint8 [n,H,W,3], or of another size than those before it.
    """
    shape: tuple[int, ...] | None = None
    for chunk in chunks:
        if chunk.dtype != np.uint8 or chunk.ndim != 4 or chunk.shape[3] != 3:
            raise MediaError(
                f"cannot work on frames {chunk.dtype} {list(chunk.shape)}: expected uint8 [n, height, width, 3]"
            )
        shape = shape or chunk.shape[1:]
        if chunk.shape[1:] != shape:
            raise MediaError(
                f"cannot work on frames of {chunk.shape[2]}x{chunk.shape[1]} after {shape[1]}x{shape[0]}: a clip has "
                "one size"
            )
        yield from chunk


def windows(items: Iterator[T], radius: int) -> Iterator[tuple[Sequence[T], int]]:
    """(window, index of its centre) for each item in turn; at the ends a window is shorter on one side."""
    held: deque[T] = deque(maxlen=2 * radius + 1)
    centre = 0
    for item in items:
        if len(held) == 2 * radius + 1:
            centre -= 1  # the oldest goes
        held.append(item)
        if len(held) - centre > radius:
            yield held, centre
            centre += 1
    while centre < len(held):
        if centre > radius:
            held.popleft()
            centre -= 1
        yield held, centre
        centre += 1


def radius_of(seconds: float, fps: float) -> int:
    """A window's radius in frames."""
    return min(max(round(seconds * fps), 1), MAX_RADIUS)


def line_weights(first: int, last: int, radius: int) -> NDArray[np.float64]:
    """Weights of values at `first` (<= 0) ... `last` (>= 0) whose sum is the value at 0 of the line through them.

    Values near 0 count most: a bell whose deviation is half the radius. A straight line is answered exactly wherever
    the window ends, which a mean would bend at the ends of a clip (Cleveland 1979, local regression of degree 1).
    """
    at = np.arange(first, last + 1, dtype=np.float64)
    weight = np.exp(-0.5 * (at / max(radius / 2, 0.5)) ** 2)
    s0, s1, s2 = weight.sum(), (weight * at).sum(), (weight * at * at).sum()
    if len(at) < 3:
        return np.asarray(at == 0, np.float64)  # through two points any line is exact
    return np.asarray(weight * (s2 - s1 * at) / (s0 * s2 - s1 * s1))
