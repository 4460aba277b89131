"""Grades: ASC CDL 1.2 (slope, offset, power, then saturation by the luma weights of Rec. 709), then a .cube table.

The tables are Adobe's Cube LUT 1.0 (2013), one- and three-dimensional; between entries, linear in each direction.
Both work on code values from 0 to 1, as an editor's do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.direction.edit.cube import CubeHead, read_cube
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
        values = _cube(grade.lut, grade.lut_digest).applied(values)
    return np.asarray(np.clip(values, 0, 1) * 255 + 0.5, dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class _Table:
    """A table ready to use: [size, 3], or [size, size, size, 3] with blue first, as red changes fastest in the file."""

    head: CubeHead
    values: NDArray[np.float32]

    def applied(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values [..., 3] looked up."""
        low = np.array(self.head.domain_min, np.float32)
        high = np.array(self.head.domain_max, np.float32)
        last = self.head.size - 1
        at = np.clip((x - low) / (high - low), 0, 1) * last
        base = np.minimum(at.astype(np.int32), last - 1)
        part = at - base
        if self.head.dimensions == 1:
            picked = [
                self.values[base[..., c], c] * (1 - part[..., c])
                + self.values[base[..., c] + 1, c] * part[..., c]
                for c in range(3)
            ]
            return np.stack(picked, axis=-1)
        result = np.zeros_like(x)
        for corner in range(8):
            r, g, b = corner & 1, corner >> 1 & 1, corner >> 2
            weight = np.ones(x.shape[:-1], np.float32)
            for c, up in enumerate((r, g, b)):
                weight = weight * (part[..., c] if up else 1 - part[..., c])
            result += weight[..., None] * self.values[base[..., 2] + b, base[..., 1] + g, base[..., 0] + r]
        return result


@lru_cache(maxsize=8)
def _cube(path: Path, digest: str | None) -> _Table:  # noqa: ARG001 (the digest keeps a changed file apart)
    head, rows = read_cube(path)
    values = np.array(rows, np.float32)
    return _Table(
        head, values if head.dimensions == 1 else values.reshape(head.size, head.size, head.size, 3)
    )
