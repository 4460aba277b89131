"""Averages each frame with its neighbours along the motion, where they show the same thing.

A neighbour is fetched along the flow; a patch of it counts as far as it differs from the frame's own by no more than
noise does (the patch weights of non-local means: Buades, Coll and Morel 2005), so that what is misplaced, uncovered
or of another shot stays out, and edges that move stay sharp. How strong the noise is, is measured: the median
difference of neighbours after alignment. Only frames in a window are used, so no frame hangs on all before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from filmwright.media.post.flow import fetched, flow_between, softened
from filmwright.media.post.windows import Chunks, Frame, singles, windows

__all__ = ["denoised"]

RADIUS = 2  # frames before and after
PATCH = 5  # pixels a side
SAME = 1.3  # times the noise that a patch may differ by; 75 samples scatter by a sixth
STEEP = 4.0
CLEAN = 0.5  # levels of noise under which a clip is left as it is
SAMPLES = 20_000  # pixels that the noise is measured on
TO_DEVIATION = 1.4826  # from the median of absolute values, for normal noise


@dataclass(frozen=True)
class _Seen:
    frame: Frame
    grey: NDArray[np.uint8]


def denoised(chunks: Chunks, *, strength: float) -> Chunks:
    """Frames [1,H,W,3] with less noise, as many as came; it looks two frames ahead.

    Args:
        chunks: uint8 [n,H,W,3].
        strength: from 0, the frame as it is, to 1, the average.
    """
    for window, centre in windows(_seen(chunks), RADIUS):
        seen = window[centre]
        own = seen.frame.astype(np.float32)
        near = [
            fetched(other.frame, flow_between(seen.grey, other.grey))
            for index, other in enumerate(window)
            if index != centre
        ]
        yield _averaged(own, near, strength)[None]


def _seen(chunks: Chunks) -> Iterator[_Seen]:
    for frame in singles(chunks):
        yield _Seen(frame.copy(), softened(frame))


def _some(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """A grid of pixels of a large picture: a median needs no more."""
    step = max(int((picture.shape[0] * picture.shape[1] / SAMPLES) ** 0.5), 1)
    return picture[::step, ::step]


def _averaged(own: NDArray[np.float32], near: list[NDArray[np.float32]], strength: float) -> Frame:
    """A frame with its aligned neighbours, each where it agrees."""
    differences = [other - own for other in near]
    noise = min(
        (TO_DEVIATION / np.sqrt(2) * float(np.median(np.abs(_some(by)))) for by in differences), default=0.0
    )
    total, weight = np.zeros_like(own), np.ones(own.shape[:2], np.float32)
    if noise >= CLEAN:
        for by in differences:
            patch = cv2.boxFilter((by * by).mean(axis=2), -1, (PATCH, PATCH))
            share = np.exp(-STEEP * np.maximum(patch / (2 * noise * noise) - SAME, 0)).astype(np.float32)
            total += by * share[..., None]
            weight += share
    result = own + strength * total / weight[..., None]
    return (np.clip(result, 0, 255) + 0.5).astype(np.uint8)
