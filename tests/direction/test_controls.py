"""Controls as a person writes them become those of a request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from filmwright.cli.main import run
from filmwright.direction.controls import Controls, read_controls
from filmwright.engine.build_request import build_request, check_request
from filmwright.engine.strokes import MOST, brush_tracks, region_cells
from filmwright.spec.controls import (
    CameraPath,
    ImageRef,
    Keyframe,
    MotionBrush,
    Pose,
    Prefix,
    Region,
    Stroke,
    Track,
    moved_axes,
)
from filmwright.spec.errors import BadRequest, MediaError
from filmwright.spec.request import Request
from filmwright.spec.shapes import VideoShape
from filmwright.spec.vocabulary import CAMERAS
from filmwright.weights.card import load_card
from filmwright.world.cameras import TARGET, camera_path
from filmwright.world.poses import pose_path
from filmwright.world.rays import camera_channels

WORDS = st.sampled_from(
    [
        "keyframes",
        "camera",
        "brush",
        "prefix",
        "kling",
        "runway",
        "at",
        "image",
        "move",
        "amount",
        "easing",
        "poses",
        "eye",
        "strokes",
        "freeze",
        "tracks",
        "polygon",
        "mask",
        "trajectory",
        "origin",
        "clip",
        "num_frames",
        "camera_control",
        "type",
        "config",
        "zoom",
        "pan",
        "dynamic_masks",
        "static_mask",
        "trajectories",
        "director",
        "motion_brush",
        "promptImage",
        "horizontal",
        "x",
        "y",
        "other",
    ]
)
SHAPE = VideoShape(width=256, height=160, num_frames=33, fps=16)
FULL = load_card("pocket").model_copy(
    update={"cameras": CAMERAS, "controls": ("keyframe", "camera", "brush", "prefix")}
)
BASE = Request(
    prompt="a red ball", width=256, height=160, num_frames=33, fps=16, seed=1, model="pocket", sampler="unipc", steps=12,
    guidance=3.5,
)  # fmt: skip


def picture(path: Path, colour: str = "red", size: tuple[int, int] = (256, 160)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def resolved(data: dict[str, Any], folder: Path | str = ".") -> tuple[Any, ...]:
    return read_controls(data).resolve(SHAPE, folder)


def refused(data: Any, folder: Path | str = ".") -> str:
    with pytest.raises((BadRequest, MediaError)) as caught:
        resolved(data, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_requests_of_before_keep_their_digests() -> None:
    image = ImageRef(path="/a.png", digest="ab" * 32)
    controls = (
        Keyframe(at=0, image=image),
        CameraPath(move="push-in", amount=1.5),
        MotionBrush(tracks=(Track(points=((0, 0.5, 0.5), (32, 0.6, 0.5))),)),
        Prefix(clip=ImageRef(path="/b.mp4", digest="cd" * 32), num_frames=9),
    )
    assert BASE.digest() == "d17bc3ef578713029d819b23da22cd39aee7e611c46cf10f1183a872529487f2"
    old = BASE.model_copy(update={"controls": controls})
    assert old.digest() == "5694413482dcad78b6d5f19e07f7ec0baf71f83d80488a3d344df34c53c2a573"
    assert Request.model_validate_json(old.canonical()) == old


def test_what_is_new_counts_and_places_of_masks_do_not() -> None:
    def digest(*controls: Any) -> str:
        return BASE.model_copy(update={"controls": controls}).digest()

    assert digest(CameraPath(move="push-in", easing="linear")) != digest(CameraPath(move="push-in"))

    def brush(mask: str, content: str) -> MotionBrush:
        return MotionBrush(freeze=(Region(mask=ImageRef(path=mask, digest=content)),))

    assert digest(brush("/a.png", "ab")) == digest(brush("/b.png", "ab")) != digest(brush("/a.png", "cd"))


@pytest.mark.parametrize("move", ["push-in", "orbit-left", "tracking", "pan-left", "tilt-up"])
def test_a_list_of_poses_equal_to_a_named_move_gives_the_same_channels(move: str) -> None:
    named = camera_path(move, 9)
    poses = []
    for t in range(9):
        eye, back = named.eye[t].astype(float), named.rotation[t, :, 2].astype(float)
        pan, tilt = np.degrees(np.arctan2(-back[0], -back[1])), np.degrees(np.arcsin(-back[2]))
        poses.append(Pose(at=t, eye=tuple(eye), pan=float(pan), tilt=float(tilt)))
    same = pose_path(poses, 9)
    assert np.allclose(camera_channels(same, 10, 16), camera_channels(named, 10, 16), atol=2e-3)
    if move == "push-in":
        looking = [Pose(at=t, eye=tuple(named.eye[t].astype(float)), look_at=TARGET) for t in range(9)]
        assert np.allclose(
            camera_channels(pose_path(looking, 9), 10, 16), camera_channels(named, 10, 16), atol=2e-3
        )
    other = camera_channels(camera_path("static", 9), 10, 16)
    assert not np.allclose(camera_channels(same, 10, 16), other, atol=2e-2)


def test_what_is_between_two_poses() -> None:
    a, b = Pose(at=2, eye=(0, -3, 1), pan=-30, fov=30), Pose(at=6, eye=(1, -3, 2), pan=30, fov=50)
    path = pose_path([a, b], 9)
    assert np.allclose(path.eye[4], (0.5, -3, 1.5))
    assert np.allclose(-path.rotation[4, :, 2], (0, 1, 0), atol=1e-6)  # halfway it looks straight ahead
    assert np.allclose(np.degrees(path.fov), (30, 30, 30, 35, 40, 45, 50, 50, 50))
    assert np.array_equal(path.eye[0], path.eye[2])
    assert np.allclose(np.einsum("tij,tik->tjk", path.rotation, path.rotation), np.eye(3), atol=1e-5)
    right = pose_path([Pose(at=0, eye=(0, -3, 1), pan=90)], 1).rotation[0]
    assert np.allclose(-right[:, 2], (1, 0, 0), atol=1e-6)  # pan to the right looks along x
    up = pose_path([Pose(at=0, eye=(0, -3, 1), tilt=45)], 1).rotation[0]
    assert -up[2, 2] == pytest.approx(np.sqrt(0.5))
    rolled = pose_path([Pose(at=0, eye=(0, -3, 1), roll=90)], 1).rotation[0]
    assert np.allclose(rolled[:, 0], (0, 0, -1), atol=1e-6)  # clockwise: its right side goes down
    turned = pose_path([Pose(at=0, eye=(0, -3, 1)), Pose(at=2, eye=(0, -3, 1), pan=180)], 3).rotation[1]
    assert abs(turned[0, 2]) == pytest.approx(1, abs=1e-5)


def test_easing_spends_the_time_of_a_move() -> None:
    def x(easing: Any) -> np.ndarray:
        return camera_path("tracking", 33, easing=easing).eye[:, 0].astype(float)

    assert np.array_equal(x("natural"), camera_path("tracking", 33).eye[:, 0])
    for easing in ("linear", "in", "out", "in-out"):
        assert np.allclose(x(easing)[[0, -1]], x("natural")[[0, -1]])
    step = {easing: np.diff(x(easing)) for easing in ("linear", "in", "out", "in-out")}
    assert np.allclose(step["linear"], step["linear"][0], atol=1e-5)
    assert step["in"][0] < 0.1 * step["in"][-1]
    assert step["out"][-1] < 0.1 * step["out"][0]
    assert step["in-out"][16] > 5 * step["in-out"][0]
    ends = [Pose(at=0, eye=(0, -3, 1)), Pose(at=32, eye=(1, -3, 1))]
    assert pose_path(ends, 33, easing="in").eye[16, 0] == pytest.approx(0.25)
    assert pose_path(ends, 33).eye[16, 0] == pytest.approx(0.5)


def test_which_axes_poses_change() -> None:
    eye = (0.0, -3.0, 1.0)
    assert moved_axes((Pose(at=0, eye=eye), Pose(at=9, eye=eye, pan=5))) == ("pan",)
    assert moved_axes((Pose(at=0, eye=eye, look_at=TARGET), Pose(at=9, eye=(1, -3, 1), look_at=TARGET))) == (
        "position",
    )
    assert moved_axes((Pose(at=0, eye=eye), Pose(at=9, eye=eye, roll=3, fov=50))) == ("roll", "zoom")
    assert moved_axes((Pose(at=0, eye=eye, roll=3),)) == ("roll",)


SQUARE = ((0.25, 0.2), (0.5, 0.2), (0.5, 0.6), (0.25, 0.6))
FRAMES = tuple(range(0, 33, 4))


def test_a_polygon_gives_tracks_inside_it_that_move_with_the_stroke() -> None:
    stroke = Stroke(region=Region(polygon=SQUARE), trajectory=((0, 0.1, 0.1), (16, 0.3, 0.1), (32, 0.3, 0.4)))
    tracks = list(brush_tracks(MotionBrush(strokes=(stroke,)), 10, 16, FRAMES, (256, 160)))
    assert len(tracks) == MOST
    for (row, column), places in tracks:
        assert 0.25 <= (column + 0.5) / 16 <= 0.5
        assert 0.2 <= (row + 0.5) / 10 <= 0.6
        assert np.allclose(places[0], ((column + 0.5) / 16, (row + 0.5) / 10))
        assert np.allclose(places[4] - places[0], (0.2, 0))
        assert np.allclose(places[-1] - places[0], (0.2, 0.3))
    cells = {cell for cell, _ in tracks}
    assert len(cells) == MOST
    assert max(r for r, _ in cells) - min(r for r, _ in cells) >= 2  # spread, not one corner


def test_what_is_frozen_stays_and_comes_first() -> None:
    everywhere = ((0, 0), (1, 0), (1, 1), (0, 1))
    stroke = Stroke(region=Region(polygon=everywhere), trajectory=((0, 0, 0), (32, 0.5, 0)))
    brush = MotionBrush(strokes=(stroke,), freeze=(Region(polygon=SQUARE),))
    inside = region_cells(Region(polygon=SQUARE), 10, 16, (256, 160))
    assert inside.sum() == 4 * 4
    for cell, places in brush_tracks(brush, 10, 16, FRAMES, (256, 160)):
        moved = np.abs(places - places[0]).max()
        assert moved == (0 if inside[cell] else pytest.approx(0.5))


def test_a_mask_is_what_it_paints(tmp_path: Path) -> None:
    pixels = np.zeros((160, 256), np.uint8)
    pixels[32:96, 64:128] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    mask = Region(mask=ImageRef(path=str(tmp_path / "mask.png"), digest=""))
    assert np.array_equal(
        region_cells(mask, 10, 16, (256, 160)), region_cells(Region(polygon=SQUARE), 10, 16, (256, 160))
    )
    tiny = Region(polygon=((0.51, 0.51), (0.52, 0.51), (0.515, 0.52)))
    assert list(map(tuple, np.argwhere(region_cells(tiny, 10, 16, (256, 160))))) == [(5, 8)]


def test_times_places_and_files_as_a_person_writes_them(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    data = {
        "keyframes": [{"image": "a.png"}, {"at": "1.5s", "image": "a.png"}, {"at": "2.0625 s", "image": "a.png"}],
        "camera": {"poses": [{"at": 0, "eye": [0, -3, 1], "look_at": [0, 0, 0.5]}, {"at": "1s", "eye": [1, -3, 1]}]},
        "brush": {
            "origin": "bottom-left",
            "strokes": [{"polygon": [[0, 0], [0.5, 0], [0.5, 0.25]], "trajectory": [[0.5, 0.25], [0.75, 0.25], [1, 0.5]]}],
            "tracks": [{"trajectory": [{"at": "0.5s", "x": 0.5, "y": 0.25}, {"at": 32, "x": 0.5, "y": 1}]}],
        },
        "prefix": {"clip": "a.png", "num_frames": 5},
    }  # fmt: skip
    *keys, path, brush, prefix = resolved(data, tmp_path)
    assert [key.at for key in keys] == [0, 24, 32]
    assert keys[0].image.path == str(tmp_path / "a.png")
    assert [pose.at for pose in path.poses] == [0, 16]
    assert brush.strokes[0].region.polygon == ((0, 1), (0.5, 1), (0.5, 0.75))
    assert brush.strokes[0].trajectory == ((0, 0.5, 0.75), (16, 0.75, 0.75), (32, 1, 0.5))
    assert brush.tracks[0].points == ((8, 0.5, 0.75), (32, 0.5, 0))
    assert prefix.num_frames == 5
    assert Controls.model_validate(json.loads(json.dumps(data))) == read_controls(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"camra": {}}, "camra"),
        ({"camera": {}}, "named move, or a list of poses"),
        ({"camera": {"move": "push-in", "amount": 3}}, "amount"),
        ({"camera": {"move": "push-in", "easing": "bouncy"}}, "easing"),
        (
            {"camera": {"poses": [{"at": 5, "eye": [0, 0, 1]}, {"at": 5, "eye": [0, 0, 1]}]}},
            "follow each other",
        ),
        ({"camera": {"poses": [{"at": 0, "eye": [0, 0, 1], "look_at": [0, 0, 0]}]}}, "straight up or down"),
        ({"camera": {"poses": [{"at": 0, "eye": [0, 0, float("nan")]}]}}, "eye"),
        ({"camera": {"poses": [{"at": "9s", "eye": [0, 0, 1]}]}}, "33 frames"),
        ({"keyframes": [{"at": -1, "image": "x.png"}]}, "at"),
        ({"keyframes": [{"at": 33, "image": "x.png"}]}, "past the end"),
        ({"keyframes": [{"at": 0, "image": "x.png"}]}, "x.png"),
        (
            {"brush": {"strokes": [{"polygon": [[0, 0], [1, 1]], "trajectory": [[0, 0], [1, 1]]}]}},
            "three corners",
        ),
        (
            {"brush": {"strokes": [{"polygon": [[0, 0], [2, 1], [1, 0]], "trajectory": [[0, 0], [1, 1]]}]}},
            "less than or equal",
        ),
        (
            {"brush": {"strokes": [{"polygon": [[0, 0], [1, 1], [1, 0]], "trajectory": [[0, 0]]}]}},
            "two or more",
        ),
        ({"brush": {"freeze": [{}]}}, "polygon or a mask"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(data: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refused(data, tmp_path)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-99, 99)
    | st.text(max_size=5)
    | st.sampled_from(["simple", "a.png"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, JUNK, max_size=4))
def test_any_data_is_resolved_or_refused(data: dict[str, Any]) -> None:
    said = ""
    try:
        for control in resolved(data):
            assert isinstance(control, Keyframe | CameraPath | MotionBrush | Prefix)
    except (BadRequest, MediaError) as error:
        said = str(error)
    assert "\n" not in said


def test_controls_of_a_request(tmp_path: Path) -> None:
    shown = picture(tmp_path / "a.png")
    controls = read_controls(
        {"camera": {"move": "push-in", "easing": "in-out"}, "keyframes": [{"at": "1s", "image": "a.png"}]}
    )
    request = build_request(
        "a red ball drops, the camera pans left",
        image=shown,
        controls=lambda shape: controls.resolve(shape, tmp_path),
    )
    assert [c.kind for c in request.controls] == ["keyframe", "keyframe", "camera"]
    assert request.controls[1].at == 16
    assert request.controls[2] == CameraPath(
        move="push-in", easing="in-out"
    )  # what is stated, not what is named
    again = build_request(base=request, controls=(CameraPath(move="static"),))
    assert again.controls == (*request.controls[:2], CameraPath(move="static"))


@pytest.mark.parametrize(
    ("control", "card", "said"),
    [
        (CameraPath(poses=(Pose(at=0, eye=(0, -3, 1)), Pose(at=9, eye=(0, -3, 1), roll=9))), FULL, "change roll"),
        (CameraPath(poses=(Pose(at=0, eye=(0, -3, 1)), Pose(at=9, eye=(0, -3, 1), fov=60))), FULL, "change zoom"),
        (CameraPath(poses=(Pose(at=0, eye=(0, -3, 1)), Pose(at=9, eye=(0, -3, 1), tilt=9))),
         FULL.model_copy(update={"cameras": ("pan-left", "push-in")}), "change tilt: it was shown position and pan"),
        (CameraPath(poses=(Pose(at=40, eye=(0, -3, 1)),)), FULL, "past the end"),
        (CameraPath(move="crane"), FULL, "unknown camera move 'crane'"),
        (CameraPath(move="push-in"), load_card("wan2.1-t2v-1.3b"), "say the camera move in the prompt"),
        (Prefix(clip=ImageRef(path="/b.mp4", digest=""), num_frames=8), FULL, "8 frames cannot be carried on: 4k.1, such as 9"),
        (Prefix(clip=ImageRef(path="/b.mp4", digest=""), num_frames=5), FULL.model_copy(update={"frame_step": 8}),
         "5 frames cannot be carried on: 8k.1, such as 9"),
        (MotionBrush(freeze=(Region(polygon=SQUARE),)), FULL, "keyframe at frame 0"),
        (MotionBrush(freeze=(Region(polygon=SQUARE),)), load_card("wan2.1-i2v-14b-480p"), "takes no brush: it takes keyframe"),
    ],
)  # fmt: skip
def test_what_a_model_does_not_know_is_refused_by_name(control: Any, card: Any, said: str) -> None:
    sized = {"width": card.native_sizes[0][0], "height": card.native_sizes[0][1]}
    with pytest.raises(BadRequest, match=said):
        check_request(BASE.model_copy(update={**sized, "controls": (control,)}), card)
    if card is FULL:
        pushed = CameraPath(poses=(Pose(at=0, eye=(0, -3, 1)), Pose(at=9, eye=(1, -2, 1), pan=9, tilt=3)))
        check_request(BASE.model_copy(update={"controls": (pushed,)}), card)


def test_one_control_of_a_kind() -> None:
    twice = BASE.model_copy(update={"controls": (CameraPath(move="static"), CameraPath(move="push-in"))})
    with pytest.raises(BadRequest, match="2 controls of kind camera"):
        check_request(twice)


def test_a_bad_file_is_answered_without_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "roll.json").write_text(
        json.dumps({"kling": {"camera_control": {"type": "simple", "config": {"roll": 5}}}})
    )
    (tmp_path / "text.json").write_text("camera: push-in")
    for name, said in (("roll.json", "roll"), ("text.json", "not JSON"), ("none.json", "no such file")):
        assert run(["generate", "a red ball rolls", "--controls", name]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
    code = (
        "import sys; from filmwright.cli.main import run; code = run(sys.argv[1:]);"
        "print(code, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "generate", "a red ball rolls", "--controls", "roll.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 False"
