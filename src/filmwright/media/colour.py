"""Colour of delivered pictures: sRGB to HDR10, and R'G'B' to 10-bit Y'CbCr and back, computed here and not by swscale.

swscale takes 16-bit white for 65,280 instead of 65,535, which lifts white by three 10-bit levels; here every step is
arithmetic that a test can follow. Standards: IEC 61966-2-1 (sRGB), ITU-R BT.709-6, BT.2020-2, BT.2087-0 (709 to
2020), SMPTE ST 2084 (PQ); diffuse white lies at 203 cd/m2 (BT.2408-7, table 1). Chroma is sited left (H.273 type 0).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BT709",
    "BT2020",
    "REFERENCE_WHITE",
    "from_ycbcr10",
    "hdr10",
    "linear",
    "pq",
    "to_unit",
    "to_ycbcr10",
]

Floats = NDArray[np.float32]

REFERENCE_WHITE = 203.0  # cd/m2
PQ_PEAK = 10_000.0  # cd/m2
TABLE = 1 << 16

BT709 = (0.2126, 0.0722)  # weights of red and blue in luma
BT2020 = (0.2627, 0.0593)
# linear light, rows are the new red, green and blue (BT.2087-0, section 2)
TO_BT2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]], dtype=np.float32
)


def to_unit(frames: NDArray[Any]) -> Floats:
    """Full-range uint8 or uint16 as float32 from 0 to 1."""
    return np.asarray(frames, np.float32) / np.float32(np.iinfo(frames.dtype).max)


def linear(frames: NDArray[Any]) -> Floats:
    """Light that an sRGB picture (uint8 or uint16) stands for, float32, 1 is white (IEC 61966-2-1)."""
    light: Floats = _srgb_table(np.iinfo(frames.dtype).max)[frames]
    return light


def pq(nits: NDArray[Any]) -> NDArray[np.float64]:
    """The PQ signal, 0 to 1, of light in cd/m2 (SMPTE ST 2084, inverse EOTF)."""
    y = np.power(np.clip(np.asarray(nits, np.float64) / PQ_PEAK, 0.0, 1.0), 2610 / 16384)
    raised: NDArray[np.float64] = np.power(
        (3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y), 2523 / 4096 * 128
    )
    return raised


def hdr10(frames: NDArray[Any], white: float = REFERENCE_WHITE) -> Floats:
    """An sRGB picture [..., 3], uint8 or uint16, as PQ signal of BT.2020 primaries; its white has `white` cd/m2."""
    light = linear(frames) @ TO_BT2020.T
    # PQ is steep near black and smooth over the fourth root of light, so that a table of that is exact to 1e-5
    at = np.sqrt(np.sqrt(np.clip(light, 0.0, 1.0))) * np.float32(TABLE - 1) + np.float32(0.5)
    signal: Floats = _pq_table(white)[at.astype(np.int32)]
    return signal


def to_ycbcr10(
    picture: Floats, weights: tuple[float, float], *, halve_rows: bool
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16]]:
    """R'G'B' [H,W,3] from 0 to 1 as 10-bit limited-range planes: luma [H,W], chroma [H or H/2, W/2]."""
    red, blue = weights
    r, g, b = (picture[..., i] for i in range(3))
    y = np.float32(red) * r + np.float32(1 - red - blue) * g + np.float32(blue) * b
    luma = _quantized(y, 876, 64)
    cb, cr = (
        _quantized(_chroma((c - y) / np.float32(2 * (1 - weight)), halve_rows=halve_rows), 896, 512)
        for c, weight in ((b, blue), (r, red))
    )
    return luma, cb, cr


def from_ycbcr10(
    y: NDArray[np.uint16], cb: NDArray[np.uint16], cr: NDArray[np.uint16], weights: tuple[float, float]
) -> NDArray[np.uint16]:
    """10-bit limited-range planes as R'G'B' uint16 [H,W,3], full range; chroma is interpolated linearly."""
    red, blue = weights
    luma = (y.astype(np.float32) - 64) / 876
    u, v = (
        _spread(((plane.astype(np.float32) - 512) / 896).astype(np.float32), luma.shape) for plane in (cb, cr)
    )
    r = luma + np.float32(2 * (1 - red)) * v
    b = luma + np.float32(2 * (1 - blue)) * u
    g = (luma - np.float32(red) * r - np.float32(blue) * b) / np.float32(1 - red - blue)
    picture = np.stack([r, g, b], axis=-1)
    whole: NDArray[np.uint16] = (np.clip(picture, 0.0, 1.0) * 65535 + 0.5).astype(np.uint16)
    return whole


def _quantized(values: Floats, scale: int, offset: int) -> NDArray[np.uint16]:
    levels = np.clip(values * np.float32(scale) + np.float32(offset + 0.5), 4, 1019)
    whole: NDArray[np.uint16] = levels.astype(np.uint16)
    return whole


def _chroma(plane: Floats, *, halve_rows: bool) -> Floats:
    """Every second column, each with a quarter of both neighbours; rows in pairs are averaged for 4:2:0."""
    left = np.concatenate([plane[:, :1], plane[:, 1:-1:2]], axis=1)
    half: Floats = plane[:, ::2] * np.float32(0.5) + (left + plane[:, 1::2]) * np.float32(0.25)
    if halve_rows:
        half = (half[::2] + half[1::2]) * np.float32(0.5)
    return half


def _spread(plane: Floats, shape: tuple[int, ...]) -> Floats:
    """Chroma over all columns and rows: between two columns their mean, between rows as 4:2:0 sites them."""
    wide = np.repeat(plane, 2, axis=1)
    wide[:, 1:-1:2] = (plane[:, :-1] + plane[:, 1:]) * np.float32(0.5)
    if plane.shape[0] == shape[0]:
        return wide
    above = np.concatenate([wide[:1], wide[:-1]])
    below = np.concatenate([wide[1:], wide[-1:]])
    tall = np.empty(shape, np.float32)
    tall[::2] = wide * np.float32(0.75) + above * np.float32(0.25)
    tall[1::2] = wide * np.float32(0.75) + below * np.float32(0.25)
    return tall


@lru_cache(maxsize=2)
def _srgb_table(peak: int) -> Floats:
    v = np.arange(peak + 1) / peak
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)


@lru_cache(maxsize=4)
def _pq_table(white: float) -> Floats:
    return pq((np.arange(TABLE) / (TABLE - 1)) ** 4 * white).astype(np.float32)
