from __future__ import annotations

import cv2
import numpy as np
import pytest

from filmwright.evaluation.geometry import GEOMETRY_CAMERAS, UNKNOWN, camera_motion, geometric_name
from filmwright.spec.vocabulary import CAMERAS


@pytest.mark.parametrize("camera", GEOMETRY_CAMERAS)
def test_true_clips_are_read_right(draw, camera):
    part = "duo" if camera.startswith("tilt") else "solo"
    motion = camera_motion(
        draw(part=part, camera=camera, event="rest", subject="cube", setting="checker", light="noon").frames
    )
    assert motion.name == camera
    assert motion.certainty > 0.8


def test_a_rolling_ball_does_not_move_the_camera(draw):
    for direction in ("left", "right"):
        truth = draw(
            camera="static",
            event="roll",
            subject="ball",
            setting="checker",
            light="noon",
            direction=direction,
        )
        assert camera_motion(truth.frames).name == "static"


def textured(width: int = 420, height: int = 160) -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), 2.0)
    return (128 + noise * 300).clip(0, 255).astype(np.uint8)


def test_a_window_over_a_wide_picture_pans():
    wide = textured()
    right = np.stack([wide[:, 3 * t : 3 * t + 256] for t in range(33)])
    assert camera_motion(right).name == "pan-right"
    assert camera_motion(right[::-1]).name == "pan-left"
    assert camera_motion(right).path == pytest.approx(3 * 32 / 160, rel=0.15)


def test_nothing_to_follow_is_said():
    assert camera_motion(np.full((9, 64, 96, 3), 90, np.uint8)).name == UNKNOWN
    noise = np.random.default_rng(0).integers(0, 256, (9, 160, 256, 3), dtype=np.uint8)
    assert camera_motion(noise).name == UNKNOWN


def test_every_camera_is_named_or_known_to_have_no_name():
    assert {c for c in CAMERAS if geometric_name(c) is None} == {"tracking", "handheld"}
    assert geometric_name("overhead") == "static"
