"""Flow and projection: against each other, against poses, and against the pictures themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from filmwright.spec.errors import BadRequest
from filmwright.world.render import FAR, Rendered, render
from filmwright.world.scene import Stage
from filmwright.world.truth import flow, follow, pluecker, project

Make = Callable[..., Stage]
RaysOf = Callable[[Stage, int, int, int], NDArray[np.float64]]
WIDTH, HEIGHT = 128, 96
EYE3 = np.eye(3)


def draw(stage: Stage) -> Rendered:
    return render(stage, WIDTH, HEIGHT, compiled=False)


def spun(angles: NDArray[np.float64], tilt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations [T,3,3] about the axis that `tilt` makes of z."""
    c, s, o = np.cos(angles), np.sin(angles), 0 * angles
    about_z = np.stack([c, -s, o, s, c, o, o, o, o + 1], -1).reshape(-1, 3, 3)
    return tilt @ about_z @ tilt.T


@pytest.fixture(scope="module")
def moving(make_stage: Make) -> Stage:
    """A turning box, a rolling ball, an orbiting camera that zooms."""
    t = np.linspace(0, 1, 4)
    tilt = np.linalg.qr(np.array([[1.0, 0.3, 0.2], [-0.1, 1.0, 0.4], [0.3, -0.2, 1.0]]))[0]
    tilt *= np.sign(np.linalg.det(tilt))
    stage = make_stage(
        [
            (
                "box",
                (0.5, 0.4, 0.3),
                np.stack([-0.8 + 0.4 * t, 0 * t, 0.8 + 0.2 * t], -1),
                spun(0.5 * t, tilt),
            ),
            (
                "sphere",
                (0.5, 0, 0),
                np.stack([0.7 + 0.3 * t, 0.2 - 0.4 * t, 0 * t + 0.5], -1),
                spun(1.5 * t, tilt),
            ),
        ],
        frames=4,
        eye=np.stack([0.6 * t, -5 + 0.4 * t, 1.5 + 0.2 * t], -1),
        stripes=0.8,
        setting="checker",
    )
    return replace(stage, camera=replace(stage.camera, fov=np.linspace(0.7, 0.66, 4).astype(np.float32)))


def test_project_is_the_inverse_of_looking(make_stage: Make, rays_of: RaysOf) -> None:
    stage = make_stage(frames=2, eye=[(0, -5, 1.5), (1, -4, 2)])
    for t in range(2):
        points = stage.camera.eye[t] + 3.0 * rays_of(stage, t, WIDTH, HEIGHT).reshape(-1, 3)
        xy, depth = project(stage.camera, points, WIDTH, HEIGHT)
        x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
        assert np.abs(xy[t] - np.stack([x, y], -1).reshape(-1, 2)).max() < 1e-3
        assert np.abs(depth[t] - 3.0).max() < 1e-5
    _, behind = project(stage.camera, np.array([[0.0, -20.0, 1.5]]), WIDTH, HEIGHT)
    assert (behind < 0).all()


def test_a_still_world_does_not_flow(make_stage: Make) -> None:
    stage = make_stage([("cone", (0.4, 0.1, 0.5), (0, 0, 0.5), EYE3)], frames=3)
    still = flow(stage, draw(stage))
    assert still.shape == (2, HEIGHT, WIDTH, 2)
    assert still.dtype == np.float32
    assert np.abs(still).max() < 1e-3


def test_flow_follows_every_point_with_its_body(moving: Stage, rays_of: RaysOf) -> None:
    got = draw(moving)
    moved = flow(moving, got)
    for t in range(3):
        primitive = got.primitive[t]
        points = moving.camera.eye[t] + rays_of(moving, t, WIDTH, HEIGHT) * got.depth[t][..., None]
        for k in range(2):
            on = primitive == k
            assert on.sum() > 200
            local = (points[on] - moving.position[t, k]) @ moving.rotation[t, k]
            points[on] = local @ moving.rotation[t + 1, k].T + moving.position[t + 1, k]
        later = replace(
            moving.camera,
            eye=moving.camera.eye[t + 1 : t + 2],
            rotation=moving.camera.rotation[t + 1 : t + 2],
            fov=moving.camera.fov[t + 1 : t + 2],
        )
        xy, _ = project(later, points.reshape(-1, 3), WIDTH, HEIGHT)
        x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
        expected = xy.reshape(HEIGHT, WIDTH, 2) - np.stack([x, y], -1)
        seen = got.depth[t] < FAR
        assert np.abs(moved[t] - expected)[seen].max() < 0.02
        assert np.abs(expected[primitive >= 0]).max() > 2


def test_flow_brings_the_next_picture_back(moving: Stage) -> None:
    matte = replace(
        moving,
        look=replace(
            moving.look, sun_colour=(0.0, 0.0, 0.0), ambient=(0.9, 0.9, 0.9)
        ),  # no shadow that moves by itself
        specular=np.zeros_like(moving.specular),
    )
    got = draw(matte)
    moved = flow(matte, got)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for t in range(3):
        to_x, to_y = x + moved[t, ..., 0], y + moved[t, ..., 1]
        grey = got.frames.astype(np.float32).mean(-1)
        back = cv2.remap(grey[t + 1], to_x, to_y, cv2.INTER_LINEAR)
        who = cv2.remap(got.ids[t + 1], to_x, to_y, cv2.INTER_NEAREST)
        inside = (to_x >= 1) & (to_x < WIDTH - 2) & (to_y >= 1) & (to_y < HEIGHT - 2)
        visible = inside & (who == got.ids[t])
        bodies = visible & (got.ids[t] > 0)
        error, without = np.abs(back - grey[t]), np.abs(grey[t + 1] - grey[t])
        assert error[visible].mean() < 0.4 * without[visible].mean()
        assert error[bodies].mean() < 0.4 * without[bodies].mean()


def test_the_sky_turns_with_the_camera_but_never_comes_nearer(make_stage: Make) -> None:
    push = make_stage(frames=2, eye=[(0, -5, 20), (0, -4, 20)], target=[(0, 0, 21), (0, 1, 21)])
    got = draw(push)
    sky = got.depth[0] >= FAR
    assert sky.any()
    assert np.abs(flow(push, got)[0][sky]).max() < 1e-3
    pan = make_stage(frames=2, eye=(0, -5, 20), target=[(0, 0, 20), (0.1, 0, 20)])
    moved = flow(pan, draw(pan))[0, HEIGHT // 4, WIDTH // 2]
    focal = HEIGHT / 2 / np.tan(0.35)
    assert moved[0] == pytest.approx(-focal * 0.1 / 5, rel=0.05)  # to the left, by focal length times angle


def test_flow_needs_truth(make_stage: Make) -> None:
    stage = make_stage(frames=2)
    bare = render(stage, 32, 32, compiled=False, truth=False)
    with pytest.raises(BadRequest, match="truth=True"):
        flow(stage, bare)


def test_tracks_follow_the_flow_while_seen(moving: Stage) -> None:
    got = draw(moving)
    moved = flow(moving, got)
    tracks, seen = follow(moving, got.primitive, got.depth, np.random.default_rng(0), count=64)
    assert seen[:, 0].all()
    first = tracks[:, 0].astype(int)
    assert (got.ids[0][first[:, 1], first[:, 0]] > 0).all()
    step = moved[0][first[:, 1], first[:, 0]]
    assert np.abs(tracks[:, 1] - tracks[:, 0] - step).max() < 0.05


def test_a_camera_ray_holds_what_its_cell_shows(moving: Stage) -> None:
    """The world point at a pixel's depth lies on that pixel's Pluecker line: point x direction = moment."""
    got = draw(moving)
    rays = pluecker(moving.camera, HEIGHT, WIDTH).transpose(0, 2, 3, 1).astype(float)
    axes, eye = moving.camera.rotation[0].astype(float), moving.camera.eye[0].astype(float)
    unit = 3.0  # metres a unit of the moment
    for t in (0, 3):
        ys, xs = np.nonzero(got.ids[t])
        direction, moment = np.split(rays[t, ys, xs], 2, axis=-1)
        ahead = (axes.T @ moving.camera.rotation[t].astype(float))[:, 2]
        origin = (moving.camera.eye[t] - eye) @ axes
        points = origin + direction * (got.depth[t, ys, xs] / -(direction @ ahead))[:, None]
        assert np.abs(np.cross(points / unit, direction) - moment).max() < 1e-5
        back = points @ axes.T + eye
        xy, _ = project(moving.camera, back, WIDTH, HEIGHT)
        assert np.abs(xy[t] - np.stack([xs + 0.5, ys + 0.5], -1)).max() < 1e-2
