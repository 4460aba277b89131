"""What controls say reaches the denoiser: the channels it is given, and the clip it makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from filmwright.cli.main import run
from filmwright.engine.build_request import build_request
from filmwright.engine.conditions import prepare
from filmwright.engine.sidecar import read_sidecar
from filmwright.models.dit import CAMERA
from filmwright.spec.request import CameraPath, MotionBrush, Pose, Region, Request, Stroke
from filmwright.weights.backbone import Backbone
from filmwright.world.cameras import TARGET, camera_path

LEFT = Region(polygon=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
RIGHT = Region(polygon=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "first.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)).save(path)
    return path


def request(*controls: object, image: Path | None = None) -> Request:
    return build_request(
        "a red ball drops", size=(128, 128), num_frames=9, seed=3, steps=2, image=image, controls=controls
    )  # type: ignore[arg-type]


@torch.inference_mode()
def test_poses_reach_the_denoiser_as_a_named_move_does(backbone: Backbone) -> None:
    named = camera_path("push-in", 9, amount=1.5)
    poses = tuple(Pose(at=t, eye=tuple(map(float, named.eye[t])), look_at=TARGET) for t in range(9))
    as_named = prepare(request(CameraPath(move="push-in", amount=1.5)), backbone).controls
    as_poses = prepare(request(CameraPath(poses=poses)), backbone).controls
    assert torch.allclose(as_poses, as_named, atol=2e-3)
    eased = prepare(request(CameraPath(move="push-in", amount=1.5, easing="in")), backbone).controls
    assert (eased - as_named)[:, :CAMERA].abs().max() > 0.05


@torch.inference_mode()
def test_a_brush_puts_the_first_frame_where_its_region_goes(backbone: Backbone, picture: Path) -> None:
    stroke = Stroke(region=LEFT, trajectory=((0, 0.25, 0.5), (8, 0.5, 0.5)))
    conditions = prepare(request(MotionBrush(strokes=(stroke,), freeze=(RIGHT,)), image=picture), backbone)
    latents, told = conditions.controls[0, CAMERA:-1], conditions.controls[0, -1]
    first = conditions.known[0, :, 0]
    rows, columns = map(int, told.shape[1:])
    assert told[0, :, : columns // 2].sum() == 8
    assert told[0, :, columns // 2 :].sum() == 8
    seen = 0
    for row, column in torch.nonzero(told[0]).tolist():
        moved = (
            column + columns // 4 if column < columns // 2 else column
        )  # by a quarter of the picture, or not
        assert told[2, row, moved] == 1
        if not told[0, row, moved] or moved == column:  # no other track ends there
            assert torch.equal(latents[:, 2, row, moved], first[:, row, column])
            seen += 1
    assert seen >= 8
    assert rows == 8


def test_generate_takes_a_file_of_controls(weights: Path, picture: Path, tmp_path: Path) -> None:
    controls = {
        "keyframes": [{"image": "first.png"}],
        "camera": {"poses": [{"at": 0, "eye": [0, -3, 1.2], "look_at": [0, 0, 0.5]},
                             {"at": "0.5s", "eye": [0.5, -2.5, 1.2], "look_at": [0, 0, 0.5]}]},
        "brush": {"freeze": [{"polygon": [[0, 0], [1, 0], [1, 0.3]]}]},
    }  # fmt: skip
    (tmp_path / "controls.json").write_text(json.dumps(controls))
    command = [
        "generate",
        "a red ball rolls",
        "--size",
        "128x128",
        "--frames",
        "9",
        "--steps",
        "2",
        "--seed",
        "1",
        "--json",
    ]
    assert run([*command, "--controls", "controls.json", "--weights", str(weights)]) == 0
    made = read_sidecar(tmp_path / "film.json").request
    assert [c.kind for c in made.controls] == ["keyframe", "camera", "brush"]
    assert isinstance(made.controls[1], CameraPath)
    assert made.controls[1].poses[1].at == 8
