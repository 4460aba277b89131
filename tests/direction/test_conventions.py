"""What Kling and Runway call a control comes out as ours, with the right signs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from filmwright.direction.controls import read_controls
from filmwright.spec.controls import CameraPath
from filmwright.spec.errors import BadRequest
from filmwright.spec.shapes import VideoShape

SHAPE = VideoShape(width=256, height=160, num_frames=33, fps=16)
LAST = 32


def resolved(data: dict[str, Any], folder: Path | str = ".") -> tuple[Any, ...]:
    return read_controls(data).resolve(SHAPE, folder)


def camera(data: dict[str, Any]) -> CameraPath:
    (control,) = resolved(data)
    assert isinstance(control, CameraPath)
    return control


def kling(**config: float) -> CameraPath:
    return camera({"kling": {"camera_control": {"type": "simple", "config": config}}})


def test_klings_pan_is_a_tilt_and_its_tilt_is_a_pan() -> None:
    assert (kling(pan=5).move, kling(pan=5).amount) == ("tilt-up", 1.0)
    assert (kling(pan=-10).move, kling(pan=-10).amount) == ("tilt-down", 2.0)
    assert (kling(tilt=2.5).move, kling(tilt=2.5).amount) == ("pan-right", 0.5)
    assert kling(tilt=-5).move == "pan-left"
    assert kling().move == "static"
    both = kling(pan=10, tilt=10)
    turned = both.poses[1].pan - both.poses[0].pan, both.poses[1].tilt - both.poses[0].tilt
    assert turned == (
        pytest.approx(44),
        pytest.approx(24),
    )  # twice the trained 22 degrees of pan and 12 of tilt


def test_klings_other_axes() -> None:
    first, last = kling(horizontal=5).poses
    assert (first.at, last.at) == (0, LAST)
    assert last.eye[0] - first.eye[0] == pytest.approx(1.3)
    assert first.aim == last.aim  # it moves, it does not turn
    first, last = kling(vertical=-5).poses
    assert last.eye[2] - first.eye[2] == pytest.approx(-0.6)
    first, last = kling(zoom=10).poses
    assert last.fov == pytest.approx(2 * first.fov)  # positive is wider: the reverse of "zoom in"
    first, last = kling(roll=10).poses
    assert last.roll - first.roll == pytest.approx(30)  # clockwise
    first, last = camera({"kling": {"camera_control": {"type": "down_back"}}}).poses
    assert last.eye[2] < first.eye[2]
    assert last.eye[1] < first.eye[1]
    first, last = camera({"kling": {"camera_control": {"type": "left_turn_forward"}}}).poses
    assert last.pan < first.pan
    assert last.eye[1] > first.eye[1]


def test_runways_zoom_is_nearer_where_klings_is_wider() -> None:
    def director(**sliders: float) -> CameraPath:
        return camera({"runway": {"director": sliders}})

    assert (director(zoom=50).move, director(zoom=50).amount) == ("push-in", 1.0)
    assert director(zoom=-100) == CameraPath(move="pull-back", amount=2.0)
    assert director(horizontal_pan=-25) == CameraPath(move="pan-left", amount=0.5)
    assert director(tilt=50).move == "tilt-up"
    first, last = director(vertical_pan=50).poses
    assert last.eye[2] > first.eye[2]


def test_the_brushes_of_others(tmp_path: Path) -> None:
    Image.new("RGB", (512, 320), "white").save(tmp_path / "mask.png")
    data = {
        "static_mask": "mask.png",
        "dynamic_masks": [{"mask": "mask.png", "trajectories": [{"x": 256, "y": 0}, {"x": 256, "y": 80}, {"x": 512, "y": 320}]}],
        "image": "mask.png",
        "image_tail": "mask.png",
    }  # fmt: skip
    first, last, brush = resolved({"kling": data}, tmp_path)
    assert (first.at, last.at) == (0, LAST)
    assert brush.strokes[0].trajectory == ((0, 0.5, 1), (16, 0.5, 0.75), (32, 1, 0))  # from the bottom left
    assert len(brush.freeze) == 1
    regions = [{"polygon": [[0, 0], [1, 0], [1, 1]], "horizontal": 10, "vertical": 5}]
    first, brush = resolved({"runway": {"motion_brush": regions, "promptImage": "mask.png"}}, tmp_path)
    assert brush.strokes[0].trajectory == ((0, 0.5, 0.5), (32, 1.0, 0.25))  # right, and up


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"kling": {"camera_controll": {}}}, "camera_controll"),
        ({"kling": {"camera_control": {"type": "simple", "config": {"zoom": 11}}}}, "-10 to 10"),
        ({"kling": {"camera_control": {"type": "fly"}}}, "down_back"),
        ({"kling": {"static_mask": "https://x.example/m.png"}}, "save it"),
        ({"kling": {"camera_control": {"type": "down_back"}}, "camera": {"move": "static"}}, "twice"),
        ({"runway": {"director": {"zoom": 101}}}, "-100 to 100"),
        ({"runway": {"motion_brush": [{"polygon": [[0, 0], [1, 0], [1, 1]], "proximity": 3}]}}, "proximity"),
        ({"runway": {"motion_brush": [{}] * 6}}, "5 at most"),
    ],
)
def test_what_they_cannot_mean_is_said_in_one_line(data: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as caught:
        resolved(data, tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
