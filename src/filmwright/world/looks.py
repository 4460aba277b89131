"""Setting, light and mood as colours: what a `Script` says about appearance becomes a `Look`.

All colours are linear RGB. The lights differ in sun height, shadow, and sky, and each keeps the ten subject colours
apart: even at night the key light is bright enough to read them, only blue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from filmwright.world.scene import Float, Look

__all__ = ["COLOUR", "GROUND", "LIGHT", "look_for", "sea_waves"]

RGB = tuple[float, float, float]

COLOUR: dict[str, RGB] = {
    "red": (0.70, 0.025, 0.03),
    "orange": (0.90, 0.24, 0.01),
    "yellow": (0.90, 0.68, 0.02),
    "green": (0.04, 0.42, 0.06),
    "cyan": (0.02, 0.60, 0.66),
    "blue": (0.02, 0.08, 0.66),
    "purple": (0.24, 0.03, 0.46),
    "pink": (0.93, 0.28, 0.48),
    "white": (0.90, 0.90, 0.90),
    "black": (0.02, 0.02, 0.02),
}
"""Linear RGB of each colour of the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A setting's floor: two pattern colours, pattern size in metres, and mirror share."""

    a: RGB
    b: RGB
    scale: float
    gloss: float
    axis_aligned: bool = False


GROUND: dict[str, Ground] = {
    "wood": Ground(a=(0.46, 0.22, 0.08), b=(0.21, 0.085, 0.03), scale=0.5, gloss=0.08),
    "marble": Ground(a=(0.66, 0.66, 0.68), b=(0.40, 0.41, 0.45), scale=1.2, gloss=0.25),
    "checker": Ground(a=(0.62, 0.60, 0.56), b=(0.12, 0.13, 0.15), scale=0.6, gloss=0.12),
    "grass": Ground(a=(0.13, 0.30, 0.05), b=(0.08, 0.21, 0.03), scale=0.4, gloss=0.0),
    "sand": Ground(a=(0.62, 0.47, 0.27), b=(0.53, 0.39, 0.21), scale=0.7, gloss=0.0),
    "sea": Ground(a=(0.02, 0.16, 0.24), b=(0.04, 0.26, 0.34), scale=1.0, gloss=0.35),
}


@dataclass(frozen=True, kw_only=True)
class Light:
    """A time of day: the sun's height in radians and the colours of sun, shade and sky."""

    height: float
    sun: RGB
    ambient: RGB
    horizon: RGB
    zenith: RGB
    fog: float


LIGHT: dict[str, Light] = {
    "morning": Light(
        height=math.radians(24), sun=(1.00, 0.80, 0.66), ambient=(0.30, 0.31, 0.38),
        horizon=(0.90, 0.66, 0.62), zenith=(0.36, 0.50, 0.78), fog=0.012,
    ),
    "noon": Light(
        height=math.radians(66), sun=(0.95, 0.94, 0.90), ambient=(0.26, 0.29, 0.34),
        horizon=(0.52, 0.72, 0.92), zenith=(0.08, 0.24, 0.66), fog=0.008,
    ),
    "sunset": Light(
        height=math.radians(13), sun=(1.28, 0.68, 0.36), ambient=(0.30, 0.24, 0.27),
        horizon=(1.00, 0.40, 0.10), zenith=(0.28, 0.16, 0.30), fog=0.010,
    ),
    "overcast": Light(
        height=math.radians(70), sun=(0.12, 0.12, 0.13), ambient=(0.44, 0.45, 0.47),
        horizon=(0.50, 0.51, 0.53), zenith=(0.34, 0.36, 0.39), fog=0.012,
    ),
    "night": Light(
        height=math.radians(42), sun=(0.19, 0.27, 0.50), ambient=(0.060, 0.088, 0.17),
        horizon=(0.035, 0.055, 0.14), zenith=(0.006, 0.010, 0.035), fog=0.012,
    ),
}  # fmt: skip


def sea_waves(rng: Generator, *, calm: float = 1.0) -> Float:
    """Four wave trains [4,5] (amplitude m, wave number x and y in 1/m, angular speed, phase) of deep water.

    The angular speed follows from the wave number: omega = sqrt(g k).
    """
    rows = []
    for amplitude, length in ((0.050, 3.4), (0.032, 2.1), (0.018, 1.3), (0.010, 0.85)):
        k = 2.0 * math.pi / (length * rng.uniform(0.9, 1.1))
        heading = rng.uniform(-0.9, 0.9)
        rows.append(
            (
                amplitude * calm * rng.uniform(0.85, 1.15),
                k * math.cos(heading),
                k * math.sin(heading),
                math.sqrt(9.81 * k),
                rng.uniform(0.0, 2.0 * math.pi),
            )
        )
    return np.array(rows, np.float32)


def look_for(setting: str, light: str, mood: str, rng: Generator, *, waves: Float | None = None) -> Look:
    """The appearance of a setting under a light and a mood.

    `rng` turns the floor's pattern and the sun; the sun always stands to one side and rather in front of the
    scene's far side or behind the camera, never straight into the lens.
    """
    ground, sky = GROUND[setting], LIGHT[light]
    side = 1.0 if rng.random() < 0.5 else -1.0
    azimuth = side * rng.uniform(0.30, 1.25)  # from behind the camera (0) towards its left or right
    height = sky.height * rng.uniform(0.92, 1.08)
    sun = (math.sin(azimuth) * math.cos(height), -math.cos(azimuth) * math.cos(height), math.sin(height))
    tone = rng.uniform(0.92, 1.08)

    def shade(colour: RGB) -> RGB:
        return (colour[0] * tone, colour[1] * tone, colour[2] * tone)

    return Look(
        setting=setting,
        ground_a=shade(ground.a),
        ground_b=shade(ground.b),
        ground_scale=ground.scale,
        ground_angle=float(rng.uniform(-0.6, 0.6)),
        ground_gloss=ground.gloss,
        sun=sun,
        sun_colour=sky.sun,
        ambient=sky.ambient,
        sky_horizon=sky.horizon,
        sky_zenith=sky.zenith,
        fog=sky.fog,
        grade=mood,
        pattern_seed=int(rng.integers(0, 2**31 - 1)),
        waves=waves,
    )
