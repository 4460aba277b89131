"""A request becomes a clip and a file: the same every time, with every control, and nothing left behind on failure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from filmwright.engine.build_request import build_request
from filmwright.engine.conditions import prepare
from filmwright.engine.generate import generate_clip, generate_file
from filmwright.engine.pocket import decode
from filmwright.media.files import digest_file
from filmwright.media.video import probe, read_video
from filmwright.models.dit import CAMERA
from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.spec.events import Event, Finished, Progress, Started, Warned
from filmwright.spec.request import (
    CameraPath,
    ImageRef,
    Keyframe,
    MotionBrush,
    Pose,
    Prefix,
    Request,
    Track,
)
from filmwright.weights.backbone import Backbone, load_backbone


def request(**changes: object) -> Request:
    options = {"size": (128, 128), "num_frames": 9, "seed": 3, "steps": 3}
    return build_request("a red ball drops", **(options | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "first.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)).save(path)
    return path


def with_controls(base: Request, *controls: object) -> Request:
    return base.model_copy(update={"controls": tuple(controls)})


def test_the_same_request_gives_the_same_frames(backbone: Backbone) -> None:
    first, second = (generate_clip(request(), backbone=backbone).frames for _ in range(2))
    assert first.shape == (9, 128, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first, generate_clip(request(seed=4), backbone=backbone).frames)
    assert not np.array_equal(first, generate_clip(request(sampler="euler"), backbone=backbone).frames)


def test_the_file_and_its_sidecar(backbone: Backbone, tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    clip = generate_clip(request(), path=target, backbone=backbone)
    frames, fps = read_video(target)
    assert (frames.shape, fps) == (clip.frames.shape, 16)
    info = probe(target)
    assert (info.codec, info.pixel_format, info.matrix) == ("h264", "yuv420p", "bt709")
    sidecar = json.loads((tmp_path / "clip.json").read_text())
    assert sidecar["weights"] == backbone.hashes
    assert Request.model_validate(sidecar["request"]) == clip.request
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.json", "clip.mp4"]


def test_events_tell_the_whole_story(backbone: Backbone) -> None:
    events: list[Event] = []
    generate_clip(request(), on_event=events.append, backbone=backbone)
    started = [e.stage for e in events if isinstance(e, Started)]
    assert started == ["load", "encode", "denoise", "decode"]
    assert [e.stage for e in events if isinstance(e, Finished)] == started
    steps = [e.done for e in events if isinstance(e, Progress) and e.stage == "denoise"]
    assert steps == [1, 2, 3]


def test_a_clip_in_which_nothing_moves_is_warned_of_unless_a_control_moves_it(
    backbone: Backbone, picture: Path
) -> None:
    still = build_request("a red ball on sand", size=(128, 128), num_frames=9, seed=3, steps=1)
    shown = ImageRef(path=str(picture), digest=digest_file(picture))

    def warned(*controls: object, num_frames: int = 9) -> bool:
        asked = with_controls(still, *controls).model_copy(update={"num_frames": num_frames})
        events: list[Event] = []
        generate_clip(asked, on_event=events.append, backbone=backbone)
        return any(isinstance(event, Warned) and event.code == "no-motion" for event in events)

    assert warned()
    assert warned(CameraPath(move="static"))
    assert warned(CameraPath(poses=(Pose(at=0, eye=(0, -3, 1)), Pose(at=8, eye=(0, -3, 1)))))
    assert warned(Keyframe(at=0, image=shown))
    assert not warned(CameraPath(move="push-in"))
    assert not warned(CameraPath(poses=(Pose(at=0, eye=(0, -3, 1)), Pose(at=8, eye=(1, -3, 1)))))
    assert not warned(Keyframe(at=8, image=shown))
    assert not warned(num_frames=1)


def test_other_weights_than_the_earlier_clip_are_warned_of(
    weights: Path, backbone: Backbone, tmp_path: Path
) -> None:
    def codes(made_with: dict[str, str]) -> list[str]:
        events: list[Event] = []
        path = tmp_path / "a.mp4"
        generate_file(request(), path, on_event=events.append, weights=weights, made_with=made_with)
        return [e.code for e in events if isinstance(e, Warned)]

    assert "other-weights" not in codes(backbone.hashes)
    assert "other-weights" in codes(backbone.hashes | {"vae": "0" * 64})


def test_a_given_first_frame_stays(backbone: Backbone, picture: Path) -> None:
    plain = request()
    shown = with_controls(
        plain, Keyframe(at=0, image=ImageRef(path=str(picture), digest=digest_file(picture)))
    )
    with torch.inference_mode():
        conditions = prepare(shown, backbone)
        expected = next(decode(conditions.known[:, :, :1], backbone))
    assert conditions.given.tolist() == [True, False, False]
    clip = generate_clip(shown, backbone=backbone)
    assert np.array_equal(clip.frames[0], expected[0])
    assert not np.array_equal(clip.frames[1:], generate_clip(plain, backbone=backbone).frames[1:])


def test_every_control_changes_the_clip(backbone: Backbone, picture: Path, tmp_path: Path) -> None:
    reference = ImageRef(path=str(picture), digest=digest_file(picture))
    first = Keyframe(at=0, image=reference)
    brush = MotionBrush(tracks=(Track(points=((0, 0.5, 0.5), (8, 0.9, 0.5))),))
    plain = generate_clip(request(), backbone=backbone).frames
    still = generate_clip(with_controls(request(), first), backbone=backbone).frames
    for controls, other in (
        ((Keyframe(at=8, image=reference),), plain),
        (request(camera="push-in").controls, plain),
        ((first, brush), still),
    ):
        with torch.inference_mode():
            clip = generate_clip(with_controls(request(), *controls), backbone=backbone).frames
        assert not np.array_equal(clip, other), controls


def test_a_prefix_is_kept(backbone: Backbone, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    generate_clip(request(), path=source, backbone=backbone)
    prefix = Prefix(clip=ImageRef(path=str(source), digest=digest_file(source)), num_frames=5)
    asked = with_controls(request(seed=9), prefix)
    conditions = prepare(asked, backbone)
    assert conditions.given.tolist() == [True, True, False]
    with torch.inference_mode():
        expected = next(decode(conditions.known[:, :, :2], backbone))
    assert np.array_equal(generate_clip(asked, backbone=backbone).frames[:5], expected)
    too_long = with_controls(request(), prefix.model_copy(update={"num_frames": 6}))
    with pytest.raises(BadRequest, match="4k"):
        prepare(too_long, backbone)


def test_camera_rays_differ_by_move(backbone: Backbone) -> None:
    a, b = (
        prepare(request(camera=move), backbone).controls[:, :CAMERA] for move in ("pan-left", "pan-right")
    )
    assert (a - b).abs().max() > 0.1
    assert not prepare(request(), backbone).controls.any()


class Stop(Exception):
    pass


def test_a_stopped_run_leaves_nothing(backbone: Backbone, tmp_path: Path) -> None:
    for stage in ("denoise", "decode"):

        def stop(event: Event, stage: str = stage) -> None:
            if isinstance(event, Progress) and event.stage == stage:
                raise Stop

        with pytest.raises(Stop):
            generate_clip(request(), path=tmp_path / "clip.mp4", on_event=stop, backbone=backbone)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "manifest"])
def test_damaged_weights_are_said(weights: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    file = folder / "denoiser.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "remove":
        file.unlink()
    else:
        (folder / "weights.json").write_text("{")
    with pytest.raises(WeightsError) as error:
        load_backbone(folder)
    assert "\n" not in str(error.value)


def test_guidance_is_about_the_camera_too(
    backbone: Backbone, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[bool, bool]] = []
    step = backbone.denoiser.step

    def recorded(
        x: torch.Tensor, levels: torch.Tensor, cache: object, pooled: object, controls: torch.Tensor
    ) -> object:
        told.append((bool(controls[:, :CAMERA].any()), bool(controls[:, CAMERA:].any())))
        return step(x, levels, cache, pooled, controls)

    monkeypatch.setattr(backbone.denoiser, "step", recorded)
    plain = request(camera="pan-left", steps=1)
    brush = MotionBrush(tracks=(Track(points=((0, 0.2, 0.2), (8, 0.6, 0.2))),))
    first = Keyframe(at=0, image=ImageRef(path=str(picture), digest=digest_file(picture)))
    generate_clip(with_controls(plain, *plain.controls, first, brush), backbone=backbone)
    assert told == [(True, True), (False, True)]  # with the prompt; and without it, and without the camera
