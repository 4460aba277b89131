"""Takes shake out of a clip: features are tracked, and each frame is moved to where its neighbours say it should be.

A frame's motion to the next is a similarity (turn, zoom and shift) agreed on by the tracks (Lucas and Kanade 1981,
Shi and Tomasi 1994, RANSAC). The transforms to its neighbours in a window, smoothed, say where it belongs (Matsushita
et al. 2006, section 4, here with a line through the window, so that pans and zooms go on as they are). Nothing is added
up over the clip, so nothing drifts. A similarity about the picture's centre is a complex pair: z -> a z + b.

The picture is enlarged by a fixed amount once and for all, and a correction that would show more than the frame has is
made smaller until it does not: no border is ever seen and the zoom never breathes.
"""

from __future__ import annotations

import cmath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from filmwright.media.post.windows import Chunks, Frame, line_weights, singles, windows

__all__ = ["stabilised"]

SIDE = 640  # pixels of the longer side that tracks are found in
FEATURES = 300
FEWEST = 8  # tracks that a motion can be told from
AGREE = 0.3  # share of tracks: fewer than these is a cut
BACK = 0.7  # pixels that a track may miss its start by, when followed back
HALVINGS = 14


@dataclass
class _Step:
    """A frame, and how its picture moved since the one before it; None after a cut and at the start."""

    frame: Frame | None
    move: tuple[complex, complex] | None


def stabilised(chunks: Chunks, *, radius: int, crop: float) -> Chunks:
    """Steadier frames [1,H,W,3], as many as came, in the same size; it looks `radius` frames ahead.

    Args:
        chunks: uint8 [n,H,W,3].
        radius: frames before and after that a frame is compared with.
        crop: share of width and of height that is given up, from 0 to below 1; corrections stay within it.
    """
    for window, centre in windows(_steps(chunks), radius):
        frame = window[centre].frame
        assert frame is not None
        window[centre].frame = None  # those that come later need its motion alone
        turn, shift = _limited(*_wanted(window, centre, radius), frame.shape, crop)
        yield _moved(frame, turn, shift, crop)[None]


def _steps(chunks: Chunks) -> Iterator[_Step]:
    before: NDArray[np.uint8] | None = None
    for frame in singles(chunks):
        height, width, _ = frame.shape
        scale = min(SIDE / max(height, width), 1.0)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        now = np.asarray(grey, np.uint8)
        yield _Step(frame.copy(), None if before is None else _motion(before, now, scale))
        before = now


def _motion(old: NDArray[np.uint8], new: NDArray[np.uint8], scale: float) -> tuple[complex, complex] | None:
    """The similarity from one picture to the next, in pixels of the full size about the centre."""
    still = (1 + 0j, 0j)
    # it gives None where it finds nothing, which its types do not say
    points = cast("NDArray[np.float32] | None", cv2.goodFeaturesToTrack(old, FEATURES, 0.01, 7))
    if points is None or len(points) < FEWEST:
        return still  # nothing to see, such as black: it is left alone
    there, found = _followed(old, new, points)
    back, again = _followed(new, old, there)
    missed = np.abs(back - points).reshape(-1, 2).max(axis=1)
    good = found & again & (missed < BACK)
    if good.sum() < max(FEWEST, AGREE * len(points)):
        return None
    matrix, agreed = cv2.estimateAffinePartial2D(
        points[good], there[good], method=cv2.RANSAC, ransacReprojThreshold=0.7
    )
    if matrix is None or agreed.sum() < max(FEWEST, AGREE * good.sum()):
        return None
    height, width = old.shape
    middle = complex((width - 1) / 2, (height - 1) / 2)
    turn = complex(matrix[0, 0], matrix[1, 0])
    return turn, (turn * middle + complex(matrix[0, 2], matrix[1, 2]) - middle) / scale


def _followed(
    old: NDArray[np.uint8], new: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where `points` [n,1,2] of one picture are in another, and which [n] were found."""
    follow: Any = cv2.calcOpticalFlowPyrLK  # its types demand a place for the answer, which it makes itself
    there, found, _ = follow(old, new, points, None, winSize=(15, 15), maxLevel=4)
    return np.asarray(there, np.float32), np.asarray(found).ravel() > 0


def _wanted(window: Sequence[_Step], centre: int, radius: int) -> tuple[complex, complex]:
    """(log of turn and zoom, shift) that takes a frame to where the line through its neighbours has it."""
    turns, shifts = [0j], [0j]
    turn, shift = 1 + 0j, 0j
    first = centre
    while first > 0 and (move := window[first].move) is not None:
        turn, shift = turn / move[0], (shift - move[1]) / move[0]
        turns.insert(0, cmath.log(turn))
        shifts.insert(0, shift)
        first -= 1
    turn, shift = 1 + 0j, 0j
    last = centre
    while last + 1 < len(window) and (move := window[last + 1].move) is not None:
        turn, shift = turn * move[0], shift * move[0] + move[1]
        turns.append(cmath.log(turn))
        shifts.append(shift)
        last += 1
    weights = line_weights(first - centre, last - centre, radius)
    return complex(weights @ np.array(turns)), complex(weights @ np.array(shifts))


def _limited(turn: complex, shift: complex, shape: Sequence[int], crop: float) -> tuple[complex, complex]:
    """As much of a correction as keeps the frame's edges out of the picture."""
    if _is_inside(turn, shift, shape, crop):
        return turn, shift
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _is_inside(turn * middle, shift * middle, shape, crop):
            low = middle
        else:
            high = middle
    return turn * low, shift * low


def _is_inside(turn: complex, shift: complex, shape: Sequence[int], crop: float) -> bool:
    """All corners of the picture show something of the frame, and so does all between them."""
    half = complex((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    for corner in (half, half.conjugate()):
        for sign in (1, -1):
            seen = (sign * corner * (1 - crop) - shift) / cmath.exp(turn)
            if abs(seen.real) > half.real + 1e-9 or abs(seen.imag) > half.imag + 1e-9:
                return False
    return True


def _moved(frame: Frame, turn: complex, shift: complex, crop: float) -> Frame:
    height, width, _ = frame.shape
    middle = complex((width - 1) / 2, (height - 1) / 2)
    by = (1 - crop) / cmath.exp(turn)
    add = middle - by * middle - shift / cmath.exp(turn)
    matrix = np.array([[by.real, -by.imag, add.real], [by.imag, by.real, add.imag]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(frame, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
