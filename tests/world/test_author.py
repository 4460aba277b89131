"""Scripts: only what can happen, always the same for a seed; and camera moves that do what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from filmwright.spec.errors import BadRequest
from filmwright.spec.vocabulary import CAMERAS, COLOURS, LENSES, LIGHTS, MOODS, PARTS, SETTINGS
from filmwright.world.author import ALLOWED, check, possible, variant, write_script
from filmwright.world.cameras import FOV, camera_path, canonical_eye, project
from filmwright.world.looks import COLOUR, GROUND, LIGHT, look_for


@pytest.mark.parametrize("part", PARTS)
def test_a_part_shows_all_its_words_and_no_others(part: str) -> None:
    stated = PARTS[part]
    scripts = [write_script(seed, part) for seed in range(900)]
    assert {s.subjects[0].kind for s in scripts} == set(stated.subjects)
    assert {s.event for s in scripts} == set(stated.events)
    assert {s.setting for s in scripts} == set(stated.settings)
    assert {s.camera for s in scripts} == set(stated.cameras)
    assert {s.light for s in scripts} == set(LIGHTS)
    assert {s.mood for s in scripts} == set(stated.moods)
    assert {s.lens for s in scripts} == set(stated.lenses)
    assert {s.subjects[0].colour for s in scripts} == set(COLOURS)
    assert {x.material for s in scripts for x in s.subjects} <= set(stated.materials)
    assert max(len(s.subjects) for s in scripts) == stated.max_bodies
    for s in scripts:
        assert s.subjects[0].kind in ALLOWED[s.event]
        assert (s.setting == "sea") == (s.event == "float")
        assert (s.direction != "none") == (s.event in ("roll", "slide", "collide", "topple"))
        assert len({x.colour for x in s.subjects}) == len(s.subjects)


def test_a_seed_always_writes_the_same_script() -> None:
    assert write_script(7, "whole") == write_script(7, "whole")
    assert len({repr(write_script(seed, "duo")) for seed in range(50)}) == 50
    small = write_script(7, "whole", width=192, height=192, num_frames=17)
    assert (small.width, small.height, small.num_frames) == (192, 192, 17)
    assert small.subjects == write_script(7, "whole").subjects


def test_a_variant_has_what_was_forced_and_keeps_the_rest() -> None:
    base = write_script(4, "solo")
    changed = variant(base, colour="pink", setting="marble", light="night")
    assert changed.subjects[0].colour == "pink"
    assert changed.setting == "marble"
    assert changed.light == "night"
    assert (changed.event, changed.camera, changed.seed) == (base.event, base.camera, base.seed)
    rolled = variant(base, event="roll", subject="cylinder", direction="left")
    assert rolled.event == "roll"
    assert rolled.subjects[0].kind == "cylinder"
    assert rolled.direction == "left"
    floated = variant(write_script(4, "whole"), event="float")
    assert floated.setting == "sea"
    assert floated.subjects[0].kind in ALLOWED["float"]
    for seed in range(30):
        check(variant(write_script(seed, "whole"), event="collide"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "roll", "subject": "cube"},
        {"event": "float", "setting": "wood"},
        {"event": "drop", "camera": "overhead"},
        {"event": "rest", "camera": "tracking"},
        {"colour": "mauve"},
        {"event": "shatter", "subject": "bottle", "setting": "grass"},
    ],
)
def test_what_cannot_happen_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        variant(write_script(2, "whole"), **wrong)


def test_bad_requests_name_the_remedy() -> None:
    with pytest.raises(BadRequest, match="solo"):
        write_script(1, "everything")
    with pytest.raises(BadRequest, match="positive"):
        write_script(1, "solo", width=0)
    with pytest.raises(BadRequest, match="push-in"):
        camera_path("crane", 33)
    with pytest.raises(BadRequest, match="wide"):
        camera_path("static", 33, lens="fisheye")
    assert possible("ball", "roll", "wood", "tracking")
    assert not possible("cube", "roll", "wood", "static")


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("move", CAMERAS)
def test_camera_moves_are_proper_rotations_and_keep_the_target(move: str, lens: str) -> None:
    pose = camera_path(move, 33, lens=lens)
    identity = np.einsum("tij,tik->tjk", pose.rotation, pose.rotation)
    assert np.allclose(identity, np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(pose.rotation), 1, atol=1e-5)
    assert np.allclose(pose.fov, FOV[lens])
    if move != "tracking":
        seen = project(np.repeat([[0.0, 0.0, 0.5]], 33, 0), pose, 1.6)
        assert np.abs(seen[:, :2]).max() < 0.75
    assert camera_path(move, 33, lens=lens).eye.tobytes() == pose.eye.tobytes()


def view_turn(move: str) -> tuple[float, float]:
    """How far the view turns to the left and up between first and last frame, degrees."""
    forward = -camera_path(move, 33).rotation[[0, -1], :, 2]
    yaw = np.degrees(np.arctan2(-forward[:, 0], forward[:, 1]))
    pitch = np.degrees(np.arcsin(forward[:, 2]))
    return float(yaw[1] - yaw[0]), float(pitch[1] - pitch[0])


def test_moves_go_where_their_names_say_and_far_enough() -> None:
    assert view_turn("pan-left")[0] == pytest.approx(22, abs=1)
    assert view_turn("pan-right")[0] == pytest.approx(-22, abs=1)
    assert view_turn("tilt-up")[1] == pytest.approx(12, abs=1)
    assert view_turn("tilt-down")[1] == pytest.approx(-12, abs=1)
    target = np.array([0.0, 0.0, 0.5])
    for move, ratio in (("push-in", 0.6), ("pull-back", 1 / 0.6)):
        distance = np.linalg.norm(camera_path(move, 33).eye - target, axis=-1)
        assert distance[-1] / distance[0] == pytest.approx(ratio, rel=0.01)
        assert (np.diff(distance) * (ratio - 1) > 0).all()
    for move, sign in (("orbit-left", -1), ("orbit-right", 1)):
        eye = camera_path(move, 33).eye
        assert sign * (eye[-1, 0] - eye[0, 0]) > 1.2
        assert np.ptp(np.linalg.norm(eye - target, axis=-1)) < 1e-4
    assert camera_path("overhead", 33).rotation[0, 2, 2] > 0.85  # the back axis points almost straight up
    assert np.ptp(camera_path("static", 33).eye, axis=0).max() == 0
    sway = camera_path("handheld", 33)
    assert 0.01 < np.ptp(sway.eye, axis=0).max() < 0.2
    assert np.abs(np.diff(sway.eye, 2, axis=0)).max() < 0.02  # smooth


def test_tracking_keeps_a_moving_subject_where_it_was() -> None:
    path = np.stack([np.linspace(-1, 1, 33), np.zeros(33), np.full(33, 0.3)], -1)
    followed = project(path, camera_path("tracking", 33, path=path), 1.6)[:, 0]
    still = project(path, camera_path("static", 33), 1.6)[:, 0]
    assert np.ptp(followed) < 0.05 < 0.5 < np.ptp(still)


def test_eye_and_amount_are_the_caller_s() -> None:
    pose = camera_path("static", 5, eye=(1.0, -4.0, 2.0), target=(0.0, 0.0, 0.0))
    assert np.allclose(pose.eye, [1, -4, 2])
    half = camera_path("push-in", 33, amount=0.5).eye
    full = camera_path("push-in", 33).eye
    assert np.linalg.norm(half[-1] - half[0]) < 0.6 * np.linalg.norm(full[-1] - full[0])
    assert canonical_eye("long")[1] < canonical_eye("normal")[1] < canonical_eye("wide")[1]


def test_looks_differ_and_colours_stay_apart() -> None:
    assert set(GROUND) == set(SETTINGS)
    assert set(LIGHT) == set(LIGHTS)
    assert set(COLOUR) == set(COLOURS)
    for name, light in LIGHT.items():
        lit = {
            c: np.array(rgb) * (0.6 * np.array(light.sun) + np.array(light.ambient))
            for c, rgb in COLOUR.items()
        }
        shown = {c: np.clip(v, 0, 1) ** (1 / 2.2) for c, v in lit.items()}
        for a in COLOURS:
            for b in COLOURS:
                if a != b:
                    assert np.abs(shown[a] - shown[b]).max() > 0.09, (name, a, b)
    skies = {n: np.array(light.horizon) ** (1 / 2.2) for n, light in LIGHT.items()}
    assert min(np.abs(skies[a] - skies[b]).max() for a in LIGHTS for b in LIGHTS if a != b) > 0.12
    rng = np.random.default_rng(0)
    for mood in MOODS:
        look = look_for("wood", "noon", mood, rng)
        assert look.grade == mood
        assert np.linalg.norm(look.sun) == pytest.approx(1)
        assert look.sun[2] > 0.5
