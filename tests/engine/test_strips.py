"""Pictures decoded in strips: the frames of the whole, in a file and in a film's take; and what a full disk says."""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from filmwright.cli.main import run
from filmwright.direction.build.render import render
from filmwright.engine import wan_runner
from filmwright.engine.build_request import build_request
from filmwright.engine.generate import generate_clip
from filmwright.engine.journal import Latents
from filmwright.engine.runs import unfinished
from filmwright.engine.strips import joined
from filmwright.engine.wan_runner import WanRunner
from filmwright.media.lossless import stream_frames
from filmwright.models.strips import Strip, strips_of
from filmwright.spec.errors import MediaError
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
from reference_wan import save

MODEL = "wan2.1-t2v-1.3b"
SHOT: dict[str, Any] = {"size": (96, 64), "num_frames": 9, "steps": 1, "seed": 1}
WORDS = ["--size", "96x64", "--frames", "9", "--steps", "1", "--seed", "1"]
NARROW = 5  # latents: three strips across 96 pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers")
    return save(MODEL, tmp_path_factory.mktemp("wan") / "model")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wan_runner, "WIDEST_STRIP", NARROW)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def assert_alike(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> None:
    """Equal within 2e-5 before they are rounded to bytes: a byte differs by one at most, and hardly any does."""
    assert found.shape == wanted.shape
    off = np.abs(found.astype(int) - wanted)
    assert off.max() <= 1
    assert (off > 0).mean() < 0.01


@pytest.mark.parametrize("shape", [(1, 16, 3, 8, 12), (1, 16, 2, 13, 6)])
def test_a_runner_with_narrow_strips_gives_the_frames_of_the_whole(
    folder: Path, shape: tuple[int, ...], temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = WanRunner(load_card(MODEL), WanFolder(folder, dtype=torch.float32), {})
    latents = Latents(picture=torch.randn(shape, generator=torch.Generator().manual_seed(2)))
    with torch.inference_mode():
        wanted = np.concatenate(list(runner.decode(latents)))
        assert wanted.std() > 10, "there is something to see"
        monkeypatch.setattr(wan_runner, "WIDEST_STRIP", NARROW)
        pieces = list(runner.decode(latents))
    strips = len(strips_of(shape, NARROW))
    assert strips == 3
    assert len(pieces) == runner.chunks(latents) == strips * shape[2]
    assert [len(p) for p in pieces] == [0] * (strips - 1) * shape[2] + [1] + [4] * (shape[2] - 1)
    assert_alike(np.concatenate([p for p in pieces if len(p)]), wanted)
    assert not list(temporary.iterdir())


def test_a_clip_in_strips_is_the_clip(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = build_request("a red ball", model=MODEL, **SHOT)
    wanted = generate_clip(request, weights=folder).frames
    monkeypatch.setattr(wan_runner, "WIDEST_STRIP", NARROW)
    told = generate_clip(request, path=tmp_path / "a.mp4", weights=folder)
    assert_alike(told.frames, wanted)
    assert json.loads((tmp_path / "a.json").read_text())["frames_digest"]


@pytest.mark.usefixtures("narrow")
def test_a_take_in_strips_is_rendered(folder: Path, tmp_path: Path) -> None:
    assert run(["models", "add", str(folder), "--as", MODEL, "--any-size"]) == 0
    request = build_request("a red ball", model=MODEL, **SHOT)
    made = render(request, tmp_path, device="cpu", memory=None, on_event=lambda _: None, clips={})
    frames = list(stream_frames(made.files["frames"]))
    assert [f.shape for f in frames] == [(64, 96, 3)] * 9
    assert_alike(np.stack(frames), generate_clip(request).frames)


@pytest.mark.usefixtures("narrow")
def test_a_temporary_folder_that_is_not_there_is_one_line_and_the_run_goes_on_later(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "a red ball", "--model", MODEL, "--weights", str(folder), *WORDS, "-o", "a.mp4"]
    with monkeypatch.context() as broken:
        broken.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        assert run(words) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "cannot wait on disk (No such file or directory)" in errors[0]
    assert "TMPDIR" in errors[0]
    assert not list(tmp_path.glob("*a.*")), "nothing half written is left"
    assert unfinished()[0].denoised
    assert run(["resume", "a.mp4"]) == 0
    assert (tmp_path / "a.mp4").exists()


def strip(size: int) -> tuple[list[Strip], Any]:
    """Two strips of a picture, and what decodes one into three frames of `size` bytes."""

    def decode(_: Strip) -> Iterator[NDArray[np.uint8]]:
        for index in range(3):
            yield np.full((1, size // 3, 1, 3), index, np.uint8)

    return strips_of((1, 16, 3, 2, 4), 2), decode


@pytest.mark.parametrize("size", [30, 300_000])  # what waits in a buffer, and what goes to the disk at once
def test_a_full_disk_is_one_error_and_leaves_no_file(size: int, temporary: Path) -> None:
    strips, decode = strip(size)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(MediaError, match="make room for temporary files or name another place in TMPDIR"):
            list(joined(strips, decode))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(temporary.iterdir())
    whole = np.concatenate([p for p in joined(strips, decode) if len(p)])
    assert whole.shape == (3, size // 3, 2, 3)
    assert [int(frame.max()) for frame in whole] == [0, 1, 2]


def test_an_error_of_the_decoder_is_not_taken_for_the_disks(temporary: Path) -> None:
    strips, _ = strip(30)

    def decode(_: Strip) -> Iterator[NDArray[np.uint8]]:
        raise OSError(5, "the weights cannot be read")
        yield

    with pytest.raises(OSError, match="the weights"):
        list(joined(strips, decode))
