"""How steady a clip is, in four numbers to be compared with the truth's: alone, a frozen clip would win them.

Follows the definitions of EvalCrafter (warping error with occlusion) and VBench (dynamic degree), with DIS optical flow
(Kroeger et al. 2016) where those use networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Steadiness", "motion_gate", "ssim_map", "steadiness"]

Float = NDArray[np.float32]

APART = 4  # frames between the two pictures of the structure comparison
FASTEST = 0.02  # share of the pixels that make up the motion path
PULSE = 0.1  # a larger change of one pixel is a mistake of the flow or a new thing, no flicker
STILL_PATH = 0.02  # short sides: a truth that moves less than this over the clip cannot gate


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """What is measured of one clip.

    `warp`: mean absolute error in grey of each frame against the next one brought back along the flow, where both
    directions of the flow agree, 0..1. `flicker`: mean over time of the change of brightness of the whole picture
    along the flow, 0..1, each pixel's held to 0.1: light that pulses everywhere. `structure`: mean SSIM of frames a
    quarter second apart after undoing the flow. `motion`: path length of the fastest 2 % of the pixels, in short
    sides of the picture.
    """

    warp: float
    flicker: float
    structure: float
    motion: float


def steadiness(frames: NDArray[np.uint8]) -> Steadiness:
    """Measures a clip uint8 [T, H, W, 3] of at least two frames."""
    grey = [np.asarray(cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY), np.uint8) for f in frames]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    short = min(grey[0].shape)
    warp, flicker, motion, structure = [], [], [], []
    for t in range(len(grey) - 1):
        forward, visible = checked_flow(flow, grey[t], grey[t + 1])
        change = (pull(grey[t + 1].astype(np.float32), forward) - grey[t])[visible] / 255.0
        warp.append(float(np.abs(change).mean()) if change.size else 1.0)
        flicker.append(abs(float(np.clip(change, -PULSE, PULSE).mean())) if change.size else 1.0)
        speed = np.sqrt((forward**2).sum(-1)).ravel()
        count = max(1, round(FASTEST * speed.size))
        motion.append(float(np.partition(speed, -count)[-count:].mean()) / short)
    for t in range(0, len(grey) - APART, APART):
        forward, visible = checked_flow(flow, grey[t], grey[t + APART])
        similar = ssim_map(grey[t].astype(np.float32), pull(grey[t + APART].astype(np.float32), forward))
        structure.append(float(similar[visible].mean()) if visible.any() else 0.0)
    return Steadiness(
        warp=float(np.mean(warp)),
        flicker=float(np.mean(flicker)),
        structure=float(np.mean(structure)) if structure else 1.0,
        motion=float(np.sum(motion)),
    )


def motion_gate(generated: float, truth: float) -> float:
    """0..1: how far a clip moves enough for its steadiness to mean anything; 1 where the truth itself stands still."""
    if truth < STILL_PATH:
        return 1.0
    return float(min(1.0, generated / truth / 0.5))


def checked_flow(
    flow: cv2.DISOpticalFlow, a: NDArray[np.uint8], b: NDArray[np.uint8]
) -> tuple[Float, NDArray[np.bool_]]:
    """Flow [H,W,2] in pixels from `a` to `b`, and where the flow back agrees with it and stays in the picture."""
    forward, backward = dense_flow(flow, a, b), dense_flow(flow, b, a)
    carried = pull(backward, forward)
    gap = ((forward + carried) ** 2).sum(-1)
    size = (forward**2).sum(-1) + (carried**2).sum(-1)
    height, width = a.shape
    x, y = grid(height, width)
    tx, ty = x + forward[..., 0], y + forward[..., 1]
    inside = (tx >= 0) & (tx <= width - 1) & (ty >= 0) & (ty <= height - 1)
    return forward, (gap <= 0.01 * size + 0.5) & inside


def dense_flow(flow: cv2.DISOpticalFlow, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Float:
    """Flow [H,W,2] in pixels from grey picture `a` to `b`."""
    return np.asarray(flow.calc(a, b, np.zeros((*a.shape, 2), np.float32)), np.float32)


@lru_cache(maxsize=4)
def grid(height: int, width: int) -> tuple[Float, Float]:
    """Column and row of every pixel, each [H,W]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x, y


def pull(image: Float, flow: Float) -> Float:
    """`image` [H,W] or [H,W,C] at the ends of `flow` [H,W,2]: what each pixel of the first picture became."""
    x, y = grid(*flow.shape[:2])
    return np.asarray(
        cv2.remap(
            image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
        np.float32,
    )


def ssim_map(a: Float, b: Float, *, sigma: float = 1.5, peak: float = 255.0) -> Float:
    """Structural similarity (Wang et al. 2004) of two pictures [H,W] or [H,W,3] at every pixel."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2

    def mean(x: Float) -> Float:
        return np.asarray(cv2.GaussianBlur(x, (11, 11), sigma), np.float32)

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    similar = ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return np.asarray(similar, np.float32)
