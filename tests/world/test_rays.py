"""What the denoiser is told of a camera: rays that are rays, and motion and places that are true to the geometry."""

from __future__ import annotations

import numpy as np
import pytest

from filmwright.spec.vocabulary import CAMERAS
from filmwright.world.cameras import camera_path, project
from filmwright.world.rays import CAMERA_CHANNELS, UNIT, camera_channels, pluecker
from filmwright.world.scene import CameraPose


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


def floor_place(move: str, row: int, column: int) -> tuple[CameraPose, np.ndarray]:
    """A camera of 9 frames, and the place on the floor that a cell of a 5x8 grid sees in the last, by hand."""
    camera = camera_path(move, 9, amount=0.5)
    tangent = np.tan(float(camera.fov[-1]) / 2)
    u, v = (column + 0.5) * 2 / 8 - 1, 1 - (row + 0.5) * 2 / 5
    direction = camera.rotation[-1].astype(np.float64) @ (u * tangent * 8 / 5, v * tangent, -1.0)
    return camera, camera.eye[-1] - direction * camera.eye[-1][2] / direction[2]


@pytest.mark.parametrize("move", ["pan-left", "push-in", "orbit-right"])
def test_the_told_motion_is_that_of_the_place_on_the_floor(move: str) -> None:
    row, column = 4, 2
    camera, place = floor_place(move, row, column)
    seen = project(np.repeat(place[None], 9, 0), camera, 8 / 5)[:, :2]
    told = camera_channels(camera, 5, 8)
    assert told.shape == (3, CAMERA_CHANNELS, 5, 8)
    assert told[2, 6:8, row, column] == pytest.approx(2.0 * (seen[8] - seen[0]), abs=1e-4)
    assert told[2, 8:10, row, column] == pytest.approx(16.0 * (seen[8] - seen[4]), abs=1e-3)


def test_cells_of_different_frames_that_see_one_place_are_told_alike() -> None:
    camera, place = floor_place("orbit-left", 3, 5)
    x, y, _ = project(np.repeat(place[None], 9, 0), camera, 8 / 5)[0]
    fine = camera_channels(camera, 500, 800)
    row, column = int((1 - y) / 2 * 500), int((x + 1) / 2 * 800)
    assert fine[0, 10:, row, column] == pytest.approx(camera_channels(camera, 5, 8)[2, 10:, 3, 5], abs=0.2)


def test_a_camera_at_rest_moves_nothing_and_the_sky_has_no_place() -> None:
    told = camera_channels(camera_path("static", 9), 10, 16)
    assert np.abs(told[:, 6:10]).max() < 1e-6
    assert np.abs(told[:, 10:, 0]).max() == 0.0
    assert np.abs(told[:, 10:, -1]).max() > 0.5
