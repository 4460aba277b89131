"""The motion brush as tracks: cells of a region start some, spread over it, and those of a frozen one stay.

Numpy only. A track is what the denoiser was trained with (Wan-Move): where it goes, the first frame's latent is put.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from filmwright.media.image import load_image
from filmwright.spec.request import MotionBrush, Region, Track

__all__ = ["brush_tracks", "region_cells"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
HALF = 0.5
MOST = 8  # tracks a region: so many a clip is what the shipped weights were trained with (data.clips.TRACKS)


def brush_tracks(
    brush: MotionBrush, rows: int, columns: int, frames: Sequence[int], size: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], Array]]:
    """The tracks of a brush: the cell (row, column) where each starts, and where it is.

    Args:
        brush: strokes and frozen regions; a cell that is frozen moves with no stroke, and one in several strokes with
            the last. Its own tracks come after them.
        rows, columns: of the latents.
        frames: of the clip, that the latent frames show.
        size: (width, height) of the clip in pixels, for masks.

    Yields:
        ((row, column), places float [t, 2]): x and y from 0 to 1 at `frames`, NaN where the track says nothing.
    """
    still = [region_cells(region, rows, columns, size) for region in brush.freeze]
    frozen = np.logical_or.reduce([np.zeros((rows, columns), bool), *still])
    owner = np.full((rows, columns), -1)
    for n, stroke in enumerate(brush.strokes):
        owner[region_cells(stroke.region, rows, columns, size) & ~frozen] = n
    for cells in still:
        for row, column in _spread(cells):
            start = np.array([(column + HALF) / columns, (row + HALF) / rows])
            yield (int(row), int(column)), np.repeat(start[None], len(frames), 0)
    for n, stroke in enumerate(brush.strokes):
        path = _places(stroke.trajectory, frames, hold=True)
        for row, column in _spread(owner == n):
            start = np.array([(column + HALF) / columns, (row + HALF) / rows])
            yield (int(row), int(column)), start + path - path[0]
    for track in brush.tracks:
        yield _cell(track, rows, columns), _places(track.points, frames, hold=False)


def region_cells(region: Region, rows: int, columns: int, size: tuple[int, int]) -> Mask:
    """The cells whose middle lies in a region [rows, columns]; a region between all of them has the one it lies in.

    Raises:
        MediaError: a mask that cannot be read.
    """
    if region.mask is not None:
        pixels = load_image(region.mask.path, *size).mean(axis=-1) > HALF * 255
        height, width = pixels.shape
        cells = pixels[: height // rows * rows, : width // columns * columns]
        share = cells.reshape(rows, height // rows, columns, width // columns).mean((1, 3))
        return np.asarray(share >= min(HALF, share.max()) if share.any() else share > 1)
    corners = np.array(region.polygon)
    y, x = np.meshgrid((np.arange(rows) + HALF) / rows, (np.arange(columns) + HALF) / columns, indexing="ij")
    inside = np.zeros((rows, columns), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:  # a ray to the right crosses this edge: inside where an odd number of them does
            crossing = (y0 > y) != (y1 > y)
            inside ^= crossing & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    if not inside.any():
        middle = corners.mean(axis=0)
        inside[min(int(middle[1] * rows), rows - 1), min(int(middle[0] * columns), columns - 1)] = True
    return inside


def _spread(cells: Mask) -> NDArray[np.intp]:
    """At most `MOST` of the cells [rows, columns] as (row, column), far from each other, the middle one first."""
    places = np.argwhere(cells)
    if len(places) <= MOST:
        return places
    distance = np.linalg.norm(places - places.mean(axis=0), axis=1)
    chosen = [int(distance.argmin())]
    distance = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < MOST:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return places[chosen]


def _places(points: Sequence[tuple[int, float, float]], frames: Sequence[int], *, hold: bool) -> Array:
    """Where a path is at `frames` [t, 2]; before its first and after its last point it is there, or (NaN) nowhere."""
    times, xs, ys = (np.array(v, float) for v in zip(*points, strict=True))
    at = np.asarray(frames, float)
    places = np.stack([np.interp(at, times, xs), np.interp(at, times, ys)], axis=1)
    if not hold:
        places[(at < times[0]) | (at > times[-1])] = np.nan
    return places


def _cell(track: Track, rows: int, columns: int) -> tuple[int, int]:
    _, x, y = track.points[0]
    return min(max(int(y * rows), 0), rows - 1), min(max(int(x * columns), 0), columns - 1)
