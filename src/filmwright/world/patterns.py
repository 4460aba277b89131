"""The ground's patterns: planks, veins, tiles, blades and grains, as small periodic textures.

Each is drawn once and kept with all its coarser levels (Williams 1983, "Pyramidal parametrics"), so that the renderer
can look it up with a filter as wide as a pixel: nothing flickers far away, and one kernel serves every setting.
Nothing here knows colours; a pattern says how much of the second colour is where, and how bright.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filmwright.spec.errors import BadRequest

__all__ = ["LEVELS", "PERIODS", "TEXELS", "ground_texture"]

TEXELS = 512
LEVELS = 10
PERIODS = {"wood": 8.0, "marble": 6.0, "checker": 8.0, "grass": 16.0, "sand": 16.0, "sea": 8.0}
"""How many units (`ground_scale`) of a pattern one texture holds before it repeats."""

Float = NDArray[np.float32]


def lattice_noise(rng: np.random.Generator, cells_y: int, cells_x: int) -> Float:
    """Smooth periodic value noise [TEXELS,TEXELS] in 0..1 with that many cells each way."""
    values = rng.random((cells_y, cells_x), dtype=np.float32)

    def weights(cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Float]:
        at = np.arange(TEXELS, dtype=np.float32) * (cells / TEXELS)
        low = at.astype(np.int64)
        part = at - low
        return low, (low + 1) % cells, (part * part * (3.0 - 2.0 * part)).astype(np.float32)

    y0, y1, wy = weights(cells_y)
    x0, x1, wx = weights(cells_x)
    rows = values[:, x0] + (values[:, x1] - values[:, x0]) * wx
    return np.asarray(rows[y0] + (rows[y1] - rows[y0]) * wy[:, None], dtype=np.float32)


def draw_pattern(setting: str, seed: int) -> tuple[Float, Float]:
    """The share of the second colour and the brightness, each [TEXELS,TEXELS]."""
    rng = np.random.default_rng((seed, sum(setting.encode())))
    at = (np.arange(TEXELS, dtype=np.float32) + 0.5) / TEXELS
    one = np.ones((TEXELS, TEXELS), dtype=np.float32)
    if setting == "wood":
        planks = 8
        unit = at * planks
        plank = unit.astype(np.int64)
        tone = (rng.permutation(planks) / (planks - 1)).astype(np.float32)[plank]
        grain = 0.65 * lattice_noise(rng, 128, 6) + 0.35 * lattice_noise(rng, 256, 16)
        rings = 0.5 + 0.5 * np.sin(2.0 * np.pi * (lattice_noise(rng, 24, 3) * 5.0 + unit[:, None] * 2.0))
        mix = 0.62 * tone[:, None] + 0.26 * grain + 0.16 * rings - 0.04
        across = np.abs(unit - plank - 0.5)
        gap = 1.0 - 0.55 * np.clip((across - 0.462) / 0.02, 0.0, 1.0)
        # plank ends: one joint a plank, at its own place
        joint = rng.random(planks).astype(np.float32)[plank]
        along = np.abs((at[None, :] - joint[:, None] + 0.5) % 1.0 - 0.5)
        ends = 1.0 - 0.5 * np.clip(1.0 - along * TEXELS / 2.0, 0.0, 1.0)
        shade = gap[:, None] * ends * (0.94 + 0.12 * grain)
    elif setting == "marble":
        warp = lattice_noise(rng, 6, 6) + 0.5 * lattice_noise(rng, 12, 12) + 0.25 * lattice_noise(rng, 24, 24)
        turn = at[None, :] * 3.0 + at[:, None] * 3.0
        vein = 1.0 - np.abs(np.sin(np.pi * (turn + warp * 2.4)))
        fine = 1.0 - np.abs(np.sin(np.pi * (at[None, :] * 5.0 - at[:, None] * 4.0 + warp[::-1] * 3.0)))
        mix = 0.85 * vein**5 + 0.35 * fine**8 + 0.12 * lattice_noise(rng, 8, 8)
        shade = one * (0.97 + 0.05 * lattice_noise(rng, 10, 10))
    elif setting == "checker":
        cell = (at * 8.0).astype(np.int64)
        mix = ((cell[:, None] + cell[None, :]) % 2).astype(np.float32)
        shade = one * (0.97 + 0.05 * lattice_noise(rng, 32, 32))
    elif setting == "grass":
        clumps = 0.5 * lattice_noise(rng, 6, 6) + 0.5 * lattice_noise(rng, 16, 16)
        blades = 0.5 * lattice_noise(rng, 128, 64) + 0.5 * lattice_noise(rng, 64, 128)
        mix = 0.15 + 0.75 * clumps + 0.5 * (blades - 0.5)
        shade = 0.86 + 0.28 * blades
    elif setting == "sand":
        dunes = 0.6 * lattice_noise(rng, 5, 5) + 0.4 * lattice_noise(rng, 12, 12)
        ripple = 0.5 + 0.5 * np.sin(2.0 * np.pi * (at[:, None] * 20.0 + lattice_noise(rng, 6, 8) * 2.5))
        grains = lattice_noise(rng, 256, 256)
        mix = 0.55 * dunes + 0.28 * ripple + 0.2 * grains
        shade = 0.93 + 0.08 * ripple + 0.06 * (grains - 0.5)
    elif setting == "sea":
        mix, shade = (0.5 * one).astype(np.float64), one.astype(np.float64)
    else:
        raise BadRequest(f"unknown setting {setting!r}: one of {', '.join(PERIODS)}")
    return np.clip(mix, 0.0, 1.0).astype(np.float32), shade.astype(np.float32)


@lru_cache(maxsize=96)
def ground_texture(setting: str, seed: int) -> Tensor:
    """The pattern and all its coarser levels, finest first: [sum of 4^k, 2] share of the second colour, brightness.

    Raises:
        BadRequest: an unknown setting.
    """
    level = np.stack(draw_pattern(setting, seed), -1)
    levels = []
    for _ in range(LEVELS):
        levels.append(level.reshape(-1, 2))
        if len(level) > 1:
            level = level.reshape(len(level) // 2, 2, len(level) // 2, 2, 2).mean((1, 3))
    return torch.from_numpy(np.concatenate(levels).astype(np.float32))
