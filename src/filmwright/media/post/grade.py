"""Grades: ASC CDL 1.2 (slope, offset, power, then saturation by the luma weights of Rec. 709), then a .cube table.

The tables are Adobe's Cube LUT 1.0 (2013), one- and three-dimensional. Between the entries of a cube the answer comes
from the tetrahedron that holds the colour (Kasson, Nin, Plouffe and Hafner 1995), so that greys stay grey in a cube
that keeps them so; a curve is linear between its entries. Both work on code values from 0 to 1, as an editor's do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.media.post.cube import CubeHead, read_cube
from filmwright.spec.cut import Grade

__all__ = ["graded"]

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def graded(frames: NDArray[np.uint8], grade: Grade) -> NDArray[np.uint8]:
    """Frames uint8 [..., H, W, 3] with a grade; the same array if it changes nothing.

    Raises:
        MediaError: the .cube file cannot be read.
    """
    if grade.is_plain:
        return frames
    levels = np.arange(256, dtype=np.float32) / 255
    table = np.stack(
        [
            np.clip(levels * slope + offset, 0, 1) ** power
            for slope, offset, power in zip(grade.slope, grade.offset, grade.power, strict=True)
        ]
    ).astype(np.float32)
    values = np.stack([table[c][frames[..., c]] for c in range(3)], axis=-1)
    if grade.saturation != 1:
        luma = (values @ LUMA)[..., None]
        values = np.clip(luma + grade.saturation * (values - luma), 0, 1)
    if grade.lut is not None:
        values = _table(grade.lut, grade.lut_digest).applied(values)
    return np.asarray(np.clip(values, 0, 1) * 255 + 0.5, dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class _Table:
    """A table ready to use: [rows, 3], in a cube red fastest."""

    head: CubeHead
    values: NDArray[np.float32]

    def applied(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values [..., 3] looked up; what is outside the domain is taken to its edge."""
        low = np.array(self.head.domain_min, np.float32)
        high = np.array(self.head.domain_max, np.float32)
        last = self.head.size - 1
        at = np.clip((x - low) / (high - low), 0, 1) * np.float32(last)
        base = np.minimum(at.astype(np.int32), last - 1)
        part = at - base
        if self.head.dimensions == 1:
            channels = [self.values[:, c] for c in range(3)]
            picked = [
                table[base[..., c]] * (1 - part[..., c]) + table[base[..., c] + 1] * part[..., c]
                for c, table in enumerate(channels)
            ]
            return np.stack(picked, axis=-1)
        size = self.head.size
        corner = base[..., 0] + size * base[..., 1] + (size * size) * base[..., 2]
        red, green, blue = (np.ascontiguousarray(part[..., c]) for c in range(3))
        most = np.maximum(np.maximum(red, green), blue)
        least = np.minimum(np.minimum(red, green), blue)
        middle = red + green + blue - most - least
        # from the lowest corner to the highest, first along the axis of the greatest share, last along the least
        which = (red >= green) * 4 + (green >= blue) * 2 + (red >= blue)
        first, last_axis = _axes(size)
        far = 1 + size + size * size
        corners = (corner, corner + first[which], corner + (far - last_axis)[which], corner + far)
        weights = (1 - most, most - middle, middle - least, least)
        result = np.zeros_like(x)
        for at, weight in zip(corners, weights, strict=True):
            result += self.values.take(at, axis=0) * weight[..., None]
        return result


@lru_cache(maxsize=8)
def _axes(size: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """By the bits red >= green, green >= blue, red >= blue: strides of the axis with the greatest share and the least.

    Two of the eight cannot be.
    """
    r, g, b = 1, size, size * size
    first = (b, b, g, g, b, r, r, r)
    last = (r, r, r, b, g, g, b, b)
    return np.array(first, np.int32), np.array(last, np.int32)


@lru_cache(maxsize=8)
def _table(path: Path, digest: str | None) -> _Table:  # noqa: ARG001 (the digest keeps a changed file apart)
    head, rows = read_cube(path)
    return _Table(head, np.array(rows, np.float32).reshape(-1, 3))
