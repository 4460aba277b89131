"""Decoding a picture in strips that fit together without a seam: each with as much around it as it depends on.

What a pixel depends on is known exactly: convolutions reach a pixel further each, so a level of the decoder needs a
margin that shrinks to nothing towards the picture. It is cut off as soon as it is of no more use, so that two strips
cost little more than one. What looks at the whole picture (the attention at the smallest size) comes before the cuts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

__all__ = ["Strip", "margins", "strips_of"]


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Rows (axis 3) or columns (axis 4) `start` to `stop` of `whole` latents [b, c, t, h, w]."""

    axis: int
    start: int
    stop: int
    whole: int

    def window(self, scale: int, margin: int) -> tuple[int, int]:
        """First and last (exclusive) row or column where a latent is `scale` wide, with a margin inside the picture."""
        return max(0, scale * self.start - margin), min(scale * self.whole, scale * self.stop + margin)

    def cut(self, x: Tensor, scale: int, margin: int, begins: int) -> tuple[Tensor, int]:
        """What of `x`, which `begins` at this row or column of the picture, lies in the window; where that begins."""
        first, last = self.window(scale, margin)
        return x.narrow(self.axis, first - begins, last - first), first


def strips_of(shape: Sequence[int], widest: int) -> list[Strip]:
    """Equal strips of at most `widest` across the longer side of latents [b, c, t, h, w]."""
    axis = 3 if shape[3] > shape[4] else 4
    whole = shape[axis]
    count = -(-whole // widest)
    edges = [round(i * whole / count) for i in range(count + 1)]
    return [Strip(axis=axis, start=a, stop=b, whole=whole) for a, b in pairwise(edges)]


def margins(levels: int, convolutions: int) -> tuple[int, ...]:
    """Pixels around a strip that each level's input needs, and none for the picture.

    A level is so many convolutions of three pixels, then a doubling with one more; the last level has one more instead.
    """
    needed = [0, convolutions + 1]
    for _ in range(levels - 1):
        needed.append(math.ceil((needed[-1] + 1) / 2) + convolutions)
    return tuple(reversed(needed))
