from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from filmwright.world.scene import KINDS, CameraPose, Look, Stage

SUN = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])


def look_at(eye: Sequence[float], target: Sequence[float]) -> NDArray[np.float64]:
    back = np.asarray(eye, float) - np.asarray(target, float)
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back], 1)


def turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """Any rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


@pytest.fixture(scope="session")
def make_stage() -> Callable[..., Stage]:
    def make(
        bodies: Sequence[tuple[str, tuple[float, float, float], Any, Any]] = (),
        *,
        frames: int = 1,
        eye: Any = (0.0, -5.0, 1.5),
        target: Any = (0.0, 0.0, 0.5),
        fov: float = 0.7,
        setting: str = "wood",
        ground_gloss: float = 0.0,
        gloss: float = 0.0,
        stripes: float = 0.0,
        grade: str = "neutral",
        waves: Any = None,
        sun_colour: tuple[float, float, float] = (1.0, 0.95, 0.9),
        ambient: tuple[float, float, float] = (0.3, 0.3, 0.35),
        fog: float = 0.0,
    ) -> Stage:
        """`bodies` are (kind, sizes, position [3] or [T,3], rotation [3,3] or [T,3,3])."""
        count = len(bodies)
        eyes = np.broadcast_to(np.asarray(eye, float), (frames, 3))
        targets = np.broadcast_to(np.asarray(target, float), (frames, 3))
        position = np.zeros((frames, count, 3), np.float32)
        rotation = np.zeros((frames, count, 3, 3), np.float32)
        for k, (_, _, at, pose) in enumerate(bodies):
            position[:, k], rotation[:, k] = at, pose
        colours = np.array(
            [(0.7, 0.05, 0.04), (0.05, 0.12, 0.6), (0.7, 0.55, 0.05), (0.05, 0.4, 0.1)], np.float32
        )
        return Stage(
            look=Look(
                setting=setting, ground_a=(0.6, 0.55, 0.5), ground_b=(0.2, 0.15, 0.1), ground_scale=0.5,
                ground_angle=0.3, ground_gloss=ground_gloss, sun=tuple(SUN.tolist()), sun_colour=sun_colour,
                ambient=ambient, sky_horizon=(0.6, 0.7, 0.8), sky_zenith=(0.2, 0.35, 0.7), fog=fog, grade=grade,
                pattern_seed=3, waves=waves,
            ),
            camera=CameraPose(
                eye=eyes.astype(np.float32),
                rotation=np.stack([look_at(e, t) for e, t in zip(eyes, targets, strict=True)]).astype(np.float32),
                fov=np.full(frames, fov, np.float32),
            ),
            seconds=np.arange(frames, dtype=np.float32) / 16,
            kind=np.array([KINDS.index(b[0]) for b in bodies], np.int64),  # type: ignore[arg-type]
            sizes=np.array([b[1] for b in bodies], np.float32).reshape(count, 3),
            body=np.arange(1, count + 1),
            albedo=colours[np.arange(count) % len(colours)],
            gloss=np.full(count, gloss, np.float32),
            specular=np.full(count, 0.3, np.float32),
            stripes=np.full(count, stripes, np.float32),
            position=position,
            rotation=rotation,
            visible=np.ones((frames, count), np.bool_),
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def rays_of() -> Callable[[Stage, int, int, int], NDArray[np.float64]]:
    def rays(stage: Stage, t: int, width: int, height: int) -> NDArray[np.float64]:
        """Rays through pixel centres with length 1 along the camera's axis [H,W,3], written apart from the renderer."""
        x = (2 * (np.arange(width) + 0.5) / width - 1) * np.tan(stage.camera.fov[t] / 2) * width / height
        y = (1 - 2 * (np.arange(height) + 0.5) / height) * np.tan(stage.camera.fov[t] / 2)
        local = np.stack([*np.meshgrid(x, y), -np.ones((height, width))], -1)
        return local @ stage.camera.rotation[t].astype(float).T

    return rays


@pytest.fixture
def any_turn() -> NDArray[np.float64]:
    return turn(np.random.default_rng(7))
