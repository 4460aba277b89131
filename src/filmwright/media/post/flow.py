"""Motion between two pictures, a vector a pixel, and pictures fetched along it (DIS: Kroeger et al. 2016)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filmwright.media.post.windows import Frame

__all__ = ["Flow", "fetched", "flow_between", "is_cut", "softened"]

Flow = NDArray[np.float32]
"""[H,W,2]: how far right and down a pixel goes."""
SMALLEST = 32  # pixels: in less there is nothing to follow
SMALL = (32, 18)
CUT = 0.15  # mean difference of two small pictures, as a share of full scale, from which on it may be a cut
ALIKE = 0.5  # correlation of two small pictures below which it is


def softened(frame: Frame) -> NDArray[np.uint8]:
    """A picture in grey, its grain blurred away, for `flow_between`."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.uint8)


def flow_between(old: NDArray[np.uint8], new: NDArray[np.uint8]) -> Flow:
    """Where each pixel of `old` [H,W] is in `new`; none moves in a picture too small to tell."""
    if min(old.shape) < SMALLEST:
        return np.zeros((*old.shape, 2), np.float32)
    # made anew each time: it starts from its last answer otherwise
    engine: Any = cv2.DISOpticalFlow.create(
        cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    )  # its types demand a first guess
    return np.asarray(engine.calc(old, new, None), np.float32)


def fetched(frame: Frame, flow: Flow) -> NDArray[np.float32]:
    """The picture [H,W,3] whose pixel at x is that of `frame` at x + flow(x); edges are repeated."""
    at = flow + _places(*flow.shape[:2])
    fetch: Any = cv2.remap  # its types demand a second map, which one of pairs does not have
    found = fetch(frame.astype(np.float32), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


@lru_cache(maxsize=2)
def _places(height: int, width: int) -> NDArray[np.float32]:
    """(x, y) of each pixel, [H,W,2]."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], axis=-1)


def is_cut(old: Frame, new: Frame) -> bool:
    """Two pictures of different things, between which nothing moves and nothing should be mixed."""
    a, b = (cv2.resize(x.astype(np.float32), SMALL, interpolation=cv2.INTER_AREA) / 255 for x in (old, new))
    if float(np.abs(a - b).mean()) < CUT:
        return False
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum()) < ALIKE * float(np.sqrt((a * a).sum() * (b * b).sum()))
