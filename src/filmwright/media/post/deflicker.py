"""Evens out light that jumps from frame to frame: a gain a channel, against a window of neighbours, within a bound.

How much lighter a frame is than the one before it is the median over a grid of cells of what their means grew by, so
a lamp that enters the picture, or anything that moves, hardly counts. Levels relative to the frame are smoothed by
lines through the window: a fade, which is a line, stays as it is, and a jump to and fro goes. Gains work on code
values, in which a change of exposure is a gain as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from filmwright.media.post.windows import Chunks, Frame, line_weights, singles, windows

__all__ = ["deflickered"]

CELLS = (32, 18)
DARK, LIGHT = 8.0, 247.0  # levels between which a cell's mean tells light from a clipped end
USABLE = 0.1  # share of cells: with fewer, nothing is known
ALL = 8.0  # how much more the line through the whole window counts
FEWEST = 4  # levels that a line can be told from
EXACT = 1e-6  # mean square that no frame of 8 bits is better than
SPREAD = 0.3  # of the cells' logarithms: more is a cut


@dataclass
class _Step:
    """A frame, and the logarithm of its light [3] over that of the one before it; None after a cut."""

    frame: Frame | None
    grown: NDArray[np.float64] | None


def deflickered(chunks: Chunks, *, radius: int, limit: float) -> Chunks:
    """Frames [1,H,W,3] of even light, as many as came; it looks `radius` frames ahead.

    Args:
        chunks: uint8 [n,H,W,3].
        radius: frames before and after that a frame is compared with.
        limit: gains stay from 1 / (1 + limit) to 1 + limit.
    """
    for window, centre in windows(_steps(chunks), radius):
        frame = window[centre].frame
        assert frame is not None
        window[centre].frame = None
        gain = np.clip(_wanted(window, centre, radius), 1 / (1 + limit), 1 + limit)
        levels = np.arange(256)[:, None] * gain
        table = (np.clip(levels, 0, 255) + 0.5).astype(np.uint8)
        yield np.stack([table[frame[..., c], c] for c in range(3)], axis=-1)[None]


def _steps(chunks: Chunks) -> Iterator[_Step]:
    before: NDArray[np.float64] | None = None
    for frame in singles(chunks):
        height, width, _ = frame.shape
        size = (min(CELLS[0], width), min(CELLS[1], height))
        cells = cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float64)
        yield _Step(frame.copy(), None if before is None else _grown(before, cells))
        before = cells


def _grown(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The logarithm of new light over old, a channel [3]; None where two pictures have nothing in common."""
    grown = np.zeros(3)
    for c in range(3):
        a, b = old[..., c].ravel(), new[..., c].ravel()
        usable = (np.minimum(a, b) > DARK) & (np.maximum(a, b) < LIGHT)
        if usable.mean() < USABLE:
            if (np.abs(a - b) > DARK).mean() > 0.5:
                return None
            continue  # dark or glaring all over: left alone
        logs = np.log(b[usable] / a[usable])
        grown[c] = np.median(logs)
        if np.median(np.abs(logs - grown[c])) > SPREAD:
            return None
    return grown


def _wanted(window: Sequence[_Step], centre: int, radius: int) -> NDArray[np.float64]:
    """The gain [3] that takes a frame to the line through its neighbours' levels."""
    levels = [np.ones(3)]
    total = np.zeros(3)
    first = centre
    while first > 0 and (grown := window[first].grown) is not None:
        total = total - grown
        levels.insert(0, np.exp(total))
        first -= 1
    total = np.zeros(3)
    last = centre
    while last + 1 < len(window) and (grown := window[last + 1].grown) is not None:
        total = total + grown
        levels.append(np.exp(total))
        last += 1
    return _smoothed(np.stack(levels), centre - first, radius)


def _smoothed(levels: NDArray[np.float64], at: int, radius: int) -> NDArray[np.float64]:
    """What `levels` [n,3], which are 1 at `at`, should be there: by the lines through all, before and after.

    Where a fade begins or ends, a line through the bend fits badly and one through a side of it well, so each counts
    the more the better it fits; under flicker all fit alike, and the one through all counts most.
    """
    total, weights = np.zeros(3), np.zeros(3)
    for first, last, counts in ((0, len(levels), ALL), (0, at + 1, 1.0), (at, len(levels), 1.0)):
        if last - first < FEWEST:
            continue
        part = levels[first:last]
        time = np.arange(first - at, last - at, dtype=np.float64)
        value = line_weights(first - at, last - 1 - at, radius) @ part
        # the best line through that value, and how far the levels are from it
        bell = np.exp(-0.5 * (time / max(radius / 2, 0.5)) ** 2)[:, None]
        slope = (bell * time[:, None] * (part - value)).sum(axis=0) / (bell * time[:, None] ** 2).sum()
        missed = (bell * (part - value - slope * time[:, None]) ** 2).sum(axis=0) / bell.sum()
        weight = counts / (missed + EXACT) ** 2
        total += weight * value
        weights += weight
    return np.asarray(total / weights) if weights.all() else np.ones(3)
