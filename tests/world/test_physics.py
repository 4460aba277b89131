"""The simulated world against closed forms: free fall, restitution, momentum, pendulum, rolling, sliding, floating."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from filmwright.spec.vocabulary import MATERIALS, PARTS
from filmwright.world.author import generator, subjects_for, variant, write_script
from filmwright.world.bodies import MATERIAL, Body, Shape, Solid
from filmwright.world.cameras import project
from filmwright.world.mechanics import Motion, run, traces_a_frame
from filmwright.world.mjcf import GRAVITY
from filmwright.world.physics import simulate
from filmwright.world.scene import Script, Take
from filmwright.world.setpieces import wave_height
from filmwright.world.staging import EXPECTED, lay_out

FPS = 16
DEEPEST = 0.010  # metres: no contact of any event goes deeper
WHOLE = PARTS["whole"]
PAIRS = [(event, subject) for event in WHOLE.events for subject in subjects_for(event, WHOLE)]


def ball(radius: float = 0.3, material: str = "wood", **more: object) -> Body:
    sizes = (radius, 0.0, 0.0)
    body = Body(
        subject=0,
        material=material,
        shapes=(Shape(kind="sphere", sizes=sizes),),
        solids=(Solid(kind="sphere", sizes=sizes),),
    )
    return replace(body, **more)  # type: ignore[arg-type]


def fall(height: float, material: str, seconds: float = 1.4) -> Motion:
    count = int(seconds * FPS * traces_a_frame(FPS))
    return run([ball(material=material, position=(0, 0, 0.3 + height))], setting="wood", fps=FPS, count=count)


def script(event: str, subject: str, seed: int = 3, **more: str) -> Script:
    return variant(write_script(seed, "whole"), event=event, subject=subject, **more)


@pytest.mark.parametrize("height", [0.6, 1.0, 1.5])
def test_free_fall_takes_the_time_that_gravity_gives_it(height: float) -> None:
    first = fall(height, "wood").episodes[0]
    assert first.start == pytest.approx(math.sqrt(2 * height / GRAVITY), abs=0.0005)


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("height", [0.6, 1.3])
def test_a_ball_rebounds_with_its_material_s_restitution(material: str, height: float) -> None:
    motion = fall(height, material)
    landed = int(np.searchsorted(motion.seconds, motion.episodes[0].start))
    apex = float(motion.centre[landed + 8 :, 0, 2].max()) - 0.3
    assert math.sqrt(apex / height) == pytest.approx(MATERIAL[material].restitution, abs=0.01)


def test_the_impulse_of_a_landing_is_the_change_of_momentum() -> None:
    motion = fall(1.0, "rubber")
    first = motion.episodes[0]
    speed = math.sqrt(2 * GRAVITY * 1.0)
    weight = motion.mass[0] * GRAVITY * (first.end - first.start)
    assert first.impulse == pytest.approx(motion.mass[0] * speed * 1.8 + weight, rel=0.02)


@pytest.mark.parametrize("materials", [("rubber", "rubber"), ("wood", "metal")])
def test_momentum_is_conserved_in_a_collision(materials: tuple[str, str]) -> None:
    one = ball(material=materials[0], position=(-0.5, 0, 5), velocity=(1.5, 0.1, 0))
    two = ball(0.25, materials[1], position=(0.5, 0.03, 5), velocity=(-0.7, 0, 0), subject=1)
    motion = run([one, two], setting="sea", fps=FPS, count=200)  # no floor: nothing else acts along x and y
    momentum = (motion.mass[None, :, None] * motion.velocity).sum(1)[:, :2]
    assert len(motion.episodes) == 1
    assert np.abs(momentum - momentum[0]).max() < 1e-6 * np.abs(momentum[0]).max() + 1e-9
    normal = motion.centre[:, 1] - motion.centre[:, 0]
    at = int(np.searchsorted(motion.seconds, motion.episodes[0].start)) - 1
    normal = normal[at] / np.linalg.norm(normal[at])
    closing = [(motion.velocity[i, 0] - motion.velocity[i, 1]) @ normal for i in (at, at + 8)]
    expected = math.sqrt(MATERIAL[materials[0]].restitution * MATERIAL[materials[1]].restitution)
    assert -closing[1] / closing[0] == pytest.approx(expected, abs=0.01)
    energy = [(motion.mass[:, None] * motion.velocity[i, :, :2] ** 2).sum() for i in (0, -1)]
    assert energy[1] < energy[0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_pendulum_swings_with_the_closed_form_s_period(seed: int) -> None:
    wanted = script("swing", "pendulum", seed)
    layout = lay_out(wanted, generator(seed, "whole"))
    motion = run(layout.bodies, setting=wanted.setting, fps=FPS, count=33 * traces_a_frame(FPS))
    x, t = motion.centre[:, 0, 0], motion.seconds
    cross = np.flatnonzero(np.sign(x[1:]) != np.sign(x[:-1]))
    times = t[cross] + (t[1] - t[0]) * x[cross] / (x[cross] - x[cross + 1])
    a = layout.facts["amplitude"]
    small = 2 * math.pi * math.sqrt(layout.facts["pendulum_length"] / GRAVITY)
    period = small * (1 + a**2 / 16 + 11 * a**4 / 3072 + 173 * a**6 / 737280)
    assert 2 * (times[1] - times[0]) == pytest.approx(period, rel=0.003)


@pytest.mark.parametrize("subject", ["ball", "cylinder", "capsule"])
def test_rolling_does_not_slip(subject: str) -> None:
    take = simulate(script("roll", subject, setting="wood", camera="static"))
    speed = np.linalg.norm(take.velocity[:, 0, :2], axis=-1)
    turning = np.linalg.norm(take.angular_velocity[:, 0, :2], axis=-1) * take.facts["radius"]
    assert np.abs(turning / speed - 1).max() < 0.01
    assert speed[-1] == pytest.approx(take.facts["speed"], rel=0.02)


@pytest.mark.parametrize("subject", ["cube", "cone"])
def test_sliding_ends_where_friction_says(subject: str) -> None:
    take = simulate(script("slide", subject, setting="marble"))
    distance = np.linalg.norm(take.position[-1, 0, :2] - take.position[0, 0, :2])
    closed = take.facts["speed"] ** 2 / (2 * take.facts["friction"] * GRAVITY)
    assert distance == pytest.approx(closed, rel=0.06)


def test_what_floats_follows_the_sea() -> None:
    take = simulate(script("float", "boat"))
    waves = take.stage.look.waves
    assert waves is not None
    for t in range(8, 33, 4):
        x, y, z = take.position[t, 0]
        level = wave_height(waves, np.array([x]), np.array([y]), t / FPS)[0]
        assert abs(z - level) < 0.15
    assert np.ptp(take.position[:, 0, 2]) > 0.02  # it does bob


@pytest.mark.parametrize("subject", ["bottle", "glass"])
def test_shards_weigh_what_broke_and_appear_when_it_goes(subject: str) -> None:
    take = simulate(script("shatter", subject))
    assert take.mass[1:].sum() == pytest.approx(take.mass[0], rel=1e-3)
    assert len(take.mass) >= 9
    first = take.stage.body == 1
    whole, pieces = take.stage.visible[:, first], take.stage.visible[:, ~first]
    assert whole[0].all()
    assert not whole[-1].any()
    assert (whole.all(1) != pieces.all(1)).all()
    assert (whole.any(1) == whole.all(1)).all()


def seen_share(take: Take) -> float:
    points = project(take.position[:, 0], take.stage.camera, take.script.width / take.script.height)
    return float(((np.abs(points[:, :2]) < 1).all(-1) & (points[:, 2] > 0)).mean())


@pytest.mark.parametrize(("event", "subject"), PAIRS)
def test_every_pair_happens_in_the_picture(event: str, subject: str) -> None:
    take = simulate(script(event, subject, seed=11))
    for states in (take.position, take.quaternion, take.velocity, take.angular_velocity, take.stage.position):
        assert np.isfinite(states).all()
    assert np.abs(take.velocity).max() < 12
    assert np.allclose(np.linalg.norm(take.quaternion, axis=-1), 1, atol=1e-4)
    assert take.facts["penetration"] < DEEPEST
    assert seen_share(take) >= (0.6 if event in ("collide", "topple") else 0.8)
    assert any(h.what == EXPECTED[event] and h.who == 0 for h in take.log), [h.what for h in take.log]
    assert [h.seconds for h in take.log] == sorted(h.seconds for h in take.log)
    assert all(h.who < len(take.script.subjects) for h in take.log)
    stage = take.stage
    assert stage.position.shape == (33, len(stage.kind), 3)
    assert stage.rotation.shape == (
        33,
        len(stage.kind),
        3,
        3,
    )
    assert set(stage.body) == set(range(1, len(take.subject) + 1))


def test_the_same_script_gives_the_same_bits() -> None:
    wanted = script("collide", "ball", seed=5)
    one, two = simulate(wanted), simulate(wanted)
    assert one.position.tobytes() == two.position.tobytes()
    assert one.stage.rotation.tobytes() == two.stage.rotation.tobytes()
    assert one.contacts == two.contacts
    assert one.log == two.log
    assert one.facts == two.facts


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize(("event", "subject"), [("roll", "ball"), ("slide", "cube"), ("roll", "car")])
def test_left_and_right_are_the_viewer_s(event: str, subject: str, direction: str) -> None:
    take = simulate(script(event, subject, direction=direction, camera="static"))
    points = project(take.position[:, 0], take.stage.camera, 1.6)
    assert (points[-1, 0] - points[0, 0] > 0.3) == (direction == "right")
    told = next(h for h in take.log if h.what == EXPECTED[event] and h.who == 0)
    assert told.direction == direction


def test_contacts_name_bodies_materials_and_frames() -> None:
    take = simulate(script("collide", "ball", seed=8))
    met = [c for c in take.contacts if c.b >= 0]
    assert met
    assert all(c.impulse > 0 for c in met)
    first = met[0]
    assert {first.a, first.b} <= set(range(len(take.subject)))
    assert first.material_a == take.script.subjects[int(take.subject[first.a])].material
    assert 0 <= first.frame < 33
    near = np.linalg.norm(take.position[first.frame, [first.a, first.b]] - np.array(first.point), axis=-1)
    assert near.max() < 0.7
