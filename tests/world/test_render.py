"""The ray caster against geometry written down independently, and its pictures against what light must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from filmwright.spec.errors import BadRequest
from filmwright.spec.vocabulary import LIGHTS, MOODS, SETTINGS
from filmwright.world import caster
from filmwright.world.looks import look_for
from filmwright.world.render import FAR, Rendered, can_compile, render
from filmwright.world.scene import Stage
from filmwright.world.truth import project

Make = Callable[..., Stage]
RaysOf = Callable[[Stage, int, int, int], NDArray[np.float64]]
EYE3 = np.eye(3)
SIZES = {
    "sphere": (0.5, 0.0, 0.0),
    "box": (0.5, 0.3, 0.4),
    "capsule": (0.25, 0.4, 0.0),
    "cone": (0.5, 0.2, 0.45),
}


def draw(stage: Stage, width: int = 96, height: int = 64) -> Rendered:
    return render(stage, width, height, compiled=False)


def surface_points(kind: str, sizes: tuple[float, float, float]) -> NDArray[np.float64]:
    """Points whose convex hull is the primitive."""
    a, b, c = sizes
    if kind == "box":
        return np.array([[x, y, z] for x in (-a, a) for y in (-b, b) for z in (-c, c)])
    turn = np.linspace(0, 2 * np.pi, 721)
    if kind == "cone":
        rim = np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
        return np.concatenate([rim * a - [0, 0, c], rim * b + [0, 0, c]])
    n = np.arange(60_000)
    z = 1 - (2 * n + 1) / len(n)
    ball = np.stack([np.cos(n * 2.399963), np.sin(n * 2.399963), 0 * z], -1) * np.sqrt(1 - z * z)[:, None]
    ball = (ball + np.stack([0 * z, 0 * z, z], -1)) * a
    half = b if kind == "capsule" else 0.0
    return np.concatenate([ball + [0, 0, half], ball - [0, 0, half]])


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("turned", [False, True])
def test_masks_are_the_hull_of_the_projected_primitive(
    kind: str, turned: bool, make_stage: Make, any_turn: NDArray[np.float64]
) -> None:
    pose, at = any_turn if turned else EYE3, np.array([0.3, 0.2, 0.9])
    width, height = 150, 100
    stage = make_stage([(kind, SIZES[kind], at, pose)])
    mask = draw(stage, width, height).ids[0] > 0
    corners, _ = project(stage.camera, surface_points(kind, SIZES[kind]) @ pose.T + at, width, height)
    hull = cv2.convexHull(corners[0])
    inside = np.array(
        [[cv2.pointPolygonTest(hull, (x + 0.5, y + 0.5), True) for x in range(width)] for y in range(height)]
    )
    sure = np.abs(inside) > 0.05  # pixels
    assert mask.sum() > 100
    assert sure.mean() > 0.98
    assert (mask == (inside > 0))[sure].all()


def test_many_spheres_hide_one_another_as_they_must(make_stage: Make, rays_of: RaysOf) -> None:
    rng = np.random.default_rng(1)
    centre = rng.uniform([-1.5, -1, 0.3], [1.5, 2, 1.8], (30, 3))
    radius = rng.uniform(0.1, 0.35, 30)
    stage = make_stage([("sphere", (r, 0, 0), c, EYE3) for r, c in zip(radius, centre, strict=True)])
    got = draw(stage)
    rays = rays_of(stage, 0, 96, 64)
    length = np.linalg.norm(rays, axis=-1, keepdims=True)
    unit, to = rays / length, centre - stage.camera.eye[0]
    along = unit @ to.T  # [H,W,30]
    past = np.sqrt((to * to).sum(-1) - along**2)
    hit = np.where(past < radius, along - np.sqrt(np.maximum(radius**2 - past**2, 0)), np.inf)
    sure = (np.abs(past - radius) > 1e-4).all(-1)
    expected = np.where(np.isfinite(hit.min(-1)), hit.argmin(-1), -1)
    assert len(np.unique(expected)) > 20
    assert (got.primitive[0] == expected)[sure].all()
    assert (got.ids[0] == expected + 1)[sure].all()
    seen = sure & (expected >= 0)
    assert np.abs(got.depth[0] - hit.min(-1) / length[..., 0])[seen].max() < 5e-3


@pytest.mark.parametrize("size", [(33, 33), (65, 31)])
def test_the_depth_of_a_sphere_on_the_axis(size: tuple[int, int], make_stage: Make) -> None:
    stage = make_stage([("sphere", (0.5, 0, 0), (0, 0, 0.5), EYE3)])
    width, height = size
    distance = np.linalg.norm(stage.camera.eye[0] - [0, 0, 0.5])
    depth = draw(stage, width, height).depth
    assert depth.shape == (1, height, width)
    assert depth[0, height // 2, width // 2] == pytest.approx(distance - 0.5, abs=1e-4)


@pytest.mark.parametrize("kind", SIZES)
def test_depth_lies_on_the_surface(
    kind: str, make_stage: Make, rays_of: RaysOf, any_turn: NDArray[np.float64]
) -> None:
    at = np.array([0.0, 0.0, 0.9])
    stage = make_stage([(kind, SIZES[kind], at, any_turn)])
    got = draw(stage)
    points = stage.camera.eye[0] + rays_of(stage, 0, 96, 64) * got.depth[0][..., None]
    on = got.primitive[0] == 0
    x, y, z = ((points - at) @ any_turn)[on].T
    a, b, c = SIZES[kind]
    out = np.hypot(x, y)
    if kind == "box":
        error = np.max([abs(x) - a, abs(y) - b, abs(z) - c], 0)
    elif kind == "cone":
        error = np.maximum(out - ((a + b) / 2 + (b - a) / 2 * z / c), abs(z) - c)
    else:
        error = np.hypot(out, np.maximum(abs(z) - b, 0)) - a
    assert np.abs(error).max() < 2e-3
    ground = ~on & (got.depth[0] < FAR)
    assert ground.any()
    assert np.abs(points[ground][:, 2]).max() < 2e-2
    assert (got.depth[0][~on & ~ground] == FAR).all()
    assert (got.ids[0][~on] == 0).all()


def test_a_shadow_lies_where_the_sun_says(make_stage: Make) -> None:
    stage = make_stage([("sphere", (0.3, 0, 0), (0.2, 0.3, 1.4), EYE3)])
    bare = replace(stage, visible=np.zeros_like(stage.visible))
    change = draw(bare).frames[0].astype(int) - draw(stage).frames[0].astype(int)
    sun, centre = np.array(stage.look.sun), stage.position[0, 0]
    middle = centre - sun * centre[2] / sun[2]
    across = np.cross(sun, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    points = np.array([middle, middle + 0.15 * across, middle - 0.15 * across, middle + 0.5 * across])
    (xy,), _ = project(stage.camera, points, 96, 64)
    at = [change[int(y), int(x)].mean() for x, y in xy]
    assert min(at[:3]) > 25
    assert abs(at[3]) < 3


@pytest.mark.parametrize("setting", ["marble", "sea"])
def test_the_ground_mirrors_a_ball_below_itself(setting: str, make_stage: Make) -> None:
    ball = [("sphere", (0.35, 0, 0), (0.0, 0.0, 0.9), EYE3)]
    (at,), _ = project(make_stage().camera, np.array([[0.0, 0.0, -0.9]]), 96, 64)
    x, y = at[0].astype(int)
    changes = {}
    for gloss in (0.0, 0.6):
        stage = make_stage(ball, setting=setting, ground_gloss=gloss, target=(0, 0, 0))
        (at,), _ = project(stage.camera, np.array([[0.0, 0.0, -0.9]]), 96, 64)
        x, y = at[0].astype(int)
        bare = draw(replace(stage, visible=np.zeros_like(stage.visible))).frames[0, y, x].astype(int)
        changes[gloss] = np.abs(draw(stage).frames[0, y, x] - bare).max()
    assert changes[0.6] > 8
    if setting == "marble":
        assert changes[0.0] < changes[0.6] / 2


def test_a_metal_ball_mirrors_its_neighbour(make_stage: Make) -> None:
    pair = [("sphere", (0.5, 0, 0), (-0.55, 0, 0.5), EYE3), ("box", (0.4, 0.4, 0.4), (0.6, 0, 0.4), EYE3)]
    for gloss, least, most in ((0.0, 0, 0), (0.6, 10, 400)):
        stage = make_stage(pair, gloss=gloss, sun_colour=(0.0, 0.0, 0.0), ambient=(1.0, 1.0, 1.0))
        alone = replace(stage, visible=np.array([[True, False]]))
        change = np.abs(draw(stage).frames[0].astype(int) - draw(alone).frames[0]).max(-1)
        lit_side = (draw(stage).ids[0] == 1) & (change > 30)
        assert least <= lit_side.sum() <= most


def test_what_is_not_visible_leaves_no_trace(make_stage: Make) -> None:
    stage = make_stage([("cone", SIZES["cone"], (0, 0, 0.5), EYE3)], frames=2, ground_gloss=0.4)
    hidden = replace(stage, visible=np.array([[False], [True]]))
    empty, got = draw(make_stage(frames=2, ground_gloss=0.4)), draw(hidden)
    assert (got.frames[0] == empty.frames[0]).all()
    assert (got.frames[1] == draw(stage).frames[1]).all()
    assert (got.primitive[0] == -1).all()
    assert (got.primitive[1] == 0).any()


def test_frames_do_not_know_how_they_were_batched(make_stage: Make, any_turn: NDArray[np.float64]) -> None:
    path = np.linspace([-1, 0, 0.6], [1, 0, 0.9], 5)
    bodies = [
        ("box", SIZES["box"], path, any_turn),
        ("capsule", SIZES["capsule"], path[::-1] + [0, 1, 0], EYE3),
    ]
    stage = make_stage(bodies, frames=5, ground_gloss=0.3, gloss=0.3)
    whole = render(stage, 160, 128, compiled=False)
    again = render(stage, 160, 128, compiled=False)
    assert (whole.frames == again.frames).all()
    for t in (0, 4):
        one = replace(
            stage, seconds=stage.seconds[t : t + 1], position=stage.position[t : t + 1], rotation=stage.rotation[t : t + 1],
            visible=stage.visible[t : t + 1],
            camera=replace(stage.camera, eye=stage.camera.eye[:1], rotation=stage.camera.rotation[:1], fov=stage.camera.fov[:1]),
        )  # fmt: skip
        alone = render(one, 160, 128, compiled=False)
        assert np.abs(alone.frames[0].astype(int) - whole.frames[t]).max() <= 1
        assert (alone.primitive[0] == whole.primitive[t]).all()


def test_silhouettes_are_smooth(make_stage: Make) -> None:
    """A lit ball before a dark sky: at its edge there are pixels between the two, as there are with four samples."""
    stage = make_stage(
        [("sphere", (0.5, 0, 0), (0, 0, 2.5), EYE3)],
        target=(0, 0, 2.5),
        sun_colour=(0, 0, 0),
        ambient=(2.0, 2.0, 2.0),
    )
    one, four = draw(stage), render(stage, 96, 64, compiled=False, samples=4)
    mask = one.ids[0]
    edge = (cv2.dilate(mask, np.ones((3, 3))) != cv2.erode(mask, np.ones((3, 3)))) & (np.arange(64) < 40)[
        :, None
    ]
    hard = np.where(mask[..., None] > 0, one.frames[0, 32, 48], one.frames[0, 32, 2]).astype(int)
    four_at_edge = four.frames[0][edge].astype(int)
    assert np.abs(one.frames[0][edge] - four_at_edge).mean() < 0.4 * np.abs(hard[edge] - four_at_edge).mean()
    assert (one.ids == four.ids).all()
    assert (one.depth == four.depth).all()
    red = one.frames[0, 32, :, 0].astype(int)
    steps = np.abs(np.diff(red[: 96 // 2]))
    assert steps.max() < np.ptp(red)


@pytest.mark.parametrize("mood", MOODS)
def test_moods(mood: str, make_stage: Make) -> None:
    stage = make_stage([("sphere", (0.5, 0, 0), (0, 0, 0.5), EYE3)])
    plain = draw(stage).frames.astype(float)
    got = draw(replace(stage, look=replace(stage.look, grade=mood))).frames.astype(float)
    balance = (got[..., 0] - got[..., 2]).mean() - (plain[..., 0] - plain[..., 2]).mean()
    colour, colour_before = np.ptp(got, axis=-1).mean(), np.ptp(plain, axis=-1).mean()
    if mood == "warm":
        assert balance > 10
    elif mood == "cold":
        assert balance < -10
    elif mood == "vivid":
        assert colour > 1.2 * colour_before
    elif mood == "muted":
        assert 0.2 * colour_before < colour < 0.8 * colour_before
    elif mood == "monochrome":
        assert np.ptp(got, axis=-1).max() <= 1
    else:
        assert (got == plain).all()


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_and_light_gives_its_own_picture(setting: str, make_stage: Make) -> None:
    pictures = []
    for light in LIGHTS:
        look = look_for(setting, light, "neutral", np.random.default_rng(0))
        stage = replace(make_stage([("box", SIZES["box"], (0, 0, 0.4), EYE3)]), look=look)
        picture = draw(stage).frames[0]
        assert picture.std() > 8
        assert (picture == 255).mean() < 0.1
        pictures.append(picture.astype(float).mean((0, 1)))
    apart = [np.abs(a - b).max() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(apart) > 4


def test_the_sea_moves_and_the_floor_does_not(make_stage: Make) -> None:
    waves = np.array([[0.05, 1.5, 1.0, 4.2, 0.0], [0.02, -2.0, 3.0, 5.9, 1.0]], np.float32)
    sea = draw(make_stage(frames=2, setting="sea", ground_gloss=0.3, waves=waves))
    floor = draw(make_stage(frames=2))
    water = sea.depth[0] < FAR
    assert np.abs(sea.frames[1].astype(int) - sea.frames[0])[water].mean() > 1
    assert (floor.frames[0] == floor.frames[1]).all()


def test_a_pattern_fades_into_its_mean_far_away(make_stage: Make) -> None:
    frame = draw(make_stage(setting="checker", eye=(0, -5, 1.0), target=(0, 0, 0.8)), 256, 160)
    grey = frame.frames[0].astype(float).mean(-1)
    far = (frame.depth[0] > 80) & (frame.depth[0] < 900)
    near = frame.depth[0] < 5
    assert near.sum() > 1000
    assert far.any()
    assert grey[far].std() < 0.2 * grey[near].std()


def test_bad_input_says_what(make_stage: Make) -> None:
    stage = make_stage()
    with pytest.raises(BadRequest, match="0x10"):
        render(stage, 0, 10)
    with pytest.raises(BadRequest, match="3 samples"):
        render(stage, 32, 10, samples=3)
    with pytest.raises(BadRequest, match="lava"):
        draw(replace(stage, look=replace(stage.look, setting="lava")))
    with pytest.raises(BadRequest, match="gloomy"):
        draw(replace(stage, look=replace(stage.look, grade="gloomy")))


def test_without_truth_only_the_frames_are_made(make_stage: Make) -> None:
    stage = make_stage([("sphere", (0.5, 0, 0), (0, 0, 0.5), EYE3)], frames=3)
    got = render(stage, 50, 40, compiled=False, truth=False)
    assert (got.frames == draw(stage, 50, 40).frames).all()
    assert got.ids.shape == got.depth.shape == got.primitive.shape == (0, 40, 50)


def shapes(make_stage: Make, setting: str) -> Stage:
    waves = np.array([[0.05, 1.5, 1.0, 4.2, 0.0]], np.float32) if setting == "sea" else None
    bodies = [
        (kind, SIZES[kind], np.linspace([i - 1.5, 0, 0.6], [i - 1.4, 0.3, 0.8], 3), EYE3)
        for i, kind in enumerate(SIZES)
    ]
    return make_stage(
        bodies, frames=3, setting=setting, ground_gloss=0.3, gloss=0.3, stripes=1.0, waves=waves, fog=0.01
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("setting", ["wood", "sea"])
def test_every_kernel_can_be_traced_whole(
    setting: str, make_stage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler's first half, which takes seconds; `--slow` runs the other one."""
    stage = shapes(make_stage, setting)
    eager = render(stage, 64, 48, compiled=False)

    def traced(function: Callable[..., object], compiled: bool) -> Callable[..., object]:
        return (
            torch.compile(function, backend="eager", dynamic=True, fullgraph=True) if compiled else function
        )

    monkeypatch.setattr(caster, "kernel", traced)
    assert np.abs(eager.frames.astype(int) - render(stage, 64, 48, compiled=True).frames).max() <= 1


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning"
)  # torch's compiler warns of its own parts
@pytest.mark.skipif(not can_compile("cpu"), reason="no C++ compiler here")
@pytest.mark.parametrize("setting", ["wood", "sea"])
def test_compiled_and_eager_pictures_are_the_same(setting: str, make_stage: Make) -> None:
    stage = shapes(make_stage, setting)
    eager, fast = (render(stage, 128, 96, compiled=compiled) for compiled in (False, True))
    assert np.abs(eager.frames.astype(int) - fast.frames).max() <= 1
    assert (eager.primitive != fast.primitive).mean() < 1e-4
    assert (render(stage, 128, 96, compiled=True).frames == fast.frames).all()


@pytest.mark.gpu
@pytest.mark.parametrize("setting", ["wood", "sea"])
def test_gpu_and_cpu_pictures_are_the_same(setting: str, make_stage: Make) -> None:
    stage = shapes(make_stage, setting)
    cpu, gpu = (render(stage, 128, 96, compiled=False, device=device) for device in ("cpu", "cuda"))
    apart = np.abs(cpu.frames.astype(int) - gpu.frames)
    assert (apart > 1).mean() < 1e-4  # a centre that grazes an edge may fall to either side
    assert (cpu.primitive != gpu.primitive).mean() < 1e-4
