"""Pluecker rays: unit, orthogonal to their moment, zero moment at the first frame, and true to the geometry."""

from __future__ import annotations

import numpy as np
import pytest

from filmwright.spec.vocabulary import CAMERAS
from filmwright.world.cameras import camera_path
from filmwright.world.rays import UNIT, pluecker


@pytest.mark.parametrize("move", CAMERAS)
def test_rays_are_rays(move: str) -> None:
    rays = pluecker(camera_path(move, 9), 5, 8)
    direction, moment = rays[:, :3], rays[:, 3:]
    assert rays.shape == (9, 6, 5, 8)
    assert np.abs(np.linalg.norm(direction, axis=1) - 1).max() < 1e-5
    assert np.abs((direction * moment).sum(1)).max() < 1e-5
    assert np.abs(moment[0]).max() < 1e-6


def test_the_first_frame_is_the_same_for_every_move_of_a_lens() -> None:
    rays = [pluecker(camera_path(move, 9), 5, 8)[0] for move in ("static", "pan-left", "orbit-right")]
    assert np.allclose(rays[0], rays[1], atol=1e-6)
    assert np.allclose(rays[0], rays[2], atol=1e-6)


def test_a_pan_only_turns_and_a_push_only_travels() -> None:
    pan, push = (pluecker(camera_path(move, 9), 5, 8) for move in ("pan-left", "push-in"))
    assert np.abs(pan[:, 3:]).max() < 1e-5
    assert np.abs(pan[-1, :3] - pan[0, :3]).max() > 0.1
    assert np.allclose(push[:, :3], push[:1, :3], atol=1e-5)
    assert np.abs(push[-1, 3:]).max() > 0.05


def test_every_ray_passes_through_its_eye() -> None:
    camera = camera_path("orbit-left", 9)
    rays = pluecker(camera, 5, 8)
    first = camera.rotation[0].astype(np.float64)
    eye = (camera.eye[-1] - camera.eye[0]).astype(np.float64) @ first / UNIT
    moment = np.cross(eye, rays[-1, :3].transpose(1, 2, 0))
    assert np.allclose(moment, rays[-1, 3:].transpose(1, 2, 0), atol=1e-5)


def test_left_is_left() -> None:
    rays = pluecker(camera_path("static", 1), 5, 8)[0]
    assert (rays[0, :, 0] < 0).all()
    assert (rays[1, 0, :] > rays[1, -1, :]).all()
