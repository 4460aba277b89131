"""What commands other than generate refuse before torch is loaded: one line, exit code 2, nothing left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from filmwright.cli.main import run
from filmwright.data import shards
from filmwright.spec import extras
from filmwright.spec.errors import BadRequest

VAE = ["train", "vae", "--data", "data", "--out", "run"]
DENOISER = ["train", "denoiser", "--data", "data", "--out", "run"]
READER = ["train", "reader", "--data", "data", "--out", "run"]
LATENTS = ["train", "latents", "--data", "data", "--vae", "file", "--out", "run"]
SHARDS = ["world", "shards", "--out", "run"]
SAMPLE = ["world", "sample", "--out", "run"]
EVALUATE = ["evaluate", "--out", "run"]

BAD = [
    ([*VAE, "--max-steps", "-1"], "--max-steps -1"),
    ([*VAE, "--max-steps", "0"], "--max-steps 0"),
    ([*DENOISER, "--seed", "-1"], "--seed -1"),
    ([*VAE, "--lr", "inf"], "--lr inf"),
    ([*DENOISER, "--lr", "nan"], "--lr nan"),
    ([*VAE, "--max-minutes", "inf"], "--max-minutes inf"),
    ([*READER, "--max-minutes", "nan"], "--max-minutes nan"),
    ([*READER, "--max-steps", "-1"], "--max-steps -1"),
    ([*VAE, "--batch", "0"], "--batch 0"),
    ([*VAE, "--cooldown", "2"], "--cooldown 2"),
    ([*VAE, "--sample-minutes", "0"], "--sample-minutes 0"),
    ([*DENOISER, "--checkpoint-minutes", "nan"], "--checkpoint-minutes nan"),
    ([*VAE, "--out", "file"], "it is a file"),
    ([*LATENTS, "--out", "file/below"], "is not a folder"),
    ([*READER, "--out", "/proc/run"], "/proc takes no files"),
    ([*VAE, "--data", "empty"], "world shards"),
    ([*READER, "--held-out", "empty"], "world shards"),
    ([*DENOISER, "--data", "empty"], "train latents"),
    *(([*words, "--device", "cuda:x"], "cuda:x") for words in (VAE, DENOISER, READER, LATENTS, SHARDS, EVALUATE)),
    ([*EVALUATE, "--steps", "0"], "0 steps"),
    ([*EVALUATE, "--steps", "999"], "999 steps"),
    ([*EVALUATE, "--guidance", "nan"], "guidance nan"),
    ([*EVALUATE, "--seed", "-1"], "--seed -1"),
    ([*EVALUATE, "--falls", "-1"], "--falls -1"),
    ([*EVALUATE, "--out", "file"], "it is a file"),
    ([*EVALUATE, "--out", "/proc/run"], "/proc takes no files"),
    ([*EVALUATE, "--weights", "nowhere"], "nowhere is not a folder"),
    ([*EVALUATE, "--weights", "empty"], "lacks weights.json"),
    ([*SAMPLE, "--size", "4096x4096000"], "16 to 1024 pixels"),
    ([*SAMPLE, "--size", "250x160"], "the nearest is 256x160"),
    ([*SAMPLE, "--size", "1024x1024", "--frames", "257"], "takes up to 61"),
    ([*SAMPLE, "--frames", "100001"], "1 to 257"),
    ([*SAMPLE, "--count", "100000"], "1 to 256"),
    ([*SAMPLE, "--out", "file"], "it is a file"),
    ([*SHARDS, "--count", "100001"], "1 to 100000"),
    ([*SHARDS, "--workers", "100000"], "--workers 100000"),
    ([*SHARDS, "--seed", "-1"], "--seed -1"),
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an empty folder, a file, and data that is enough for a first look."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clips-00000.jsonl").touch()
    (tmp_path / "data" / "latents-00000.safetensors").touch()
    return tmp_path


def refused(arguments: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = sorted(place.rglob("*"))
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(place.rglob("*")) == before
    return err


@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_what_cannot_be_is_refused_before_torch(
    arguments: list[str],
    said: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("torch", "filmwright.engine.devices", "filmwright.training.loop"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    assert said in refused(arguments, place, capsys)


@pytest.mark.parametrize("arguments", [VAE, DENOISER, READER, LATENTS, SHARDS, EVALUATE])
def test_a_gpu_that_is_not_there(
    arguments: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no cuda:99 on this machine" in refused(
        [*arguments, "--device", "cuda:99"], place, capsys
    )


@pytest.mark.parametrize("arguments", [SAMPLE, SHARDS, EVALUATE])
def test_without_mujoco_the_remedy_is_said(
    arguments: list[str],
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    assert "pip install -e '.[world]'" in refused(arguments, place, capsys)


def test_shards_from_python_need_mujoco_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(BadRequest, match="filmwright\\[world\\]"):
        shards.write_shards(tmp_path / "shards", count=1, seed=1, part="solo")
    assert not list(tmp_path.iterdir())


def test_a_training_that_is_refused_late_leaves_no_folder(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "holds no clips" in refused([*VAE, "--out", "runs/vae"], place, capsys)


def test_defaults_of_the_loop_are_those_of_the_command() -> None:
    from filmwright.cli.train_options import CHECKPOINT_MINUTES, SAMPLE_MINUTES
    from filmwright.training.loop import LoopConfig

    config = LoopConfig(out=Path())
    assert (config.checkpoint_minutes, config.sample_minutes) == (CHECKPOINT_MINUTES, SAMPLE_MINUTES)


def test_minutes_between_checkpoints_and_sheets_reach_the_loop(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filmwright.training import denoiser, vae
    from filmwright.training.loop import LoopConfig

    configs: list[LoopConfig] = []

    def train(_task: object, config: LoopConfig) -> dict[str, float]:
        configs.append(config)
        return {}

    monkeypatch.setattr(vae, "train_vae", train)
    monkeypatch.setattr(denoiser, "train_denoiser", train)
    for words in (VAE, DENOISER):
        assert run([*words, "--checkpoint-minutes", "0.5", "--sample-minutes", "7"]) == 0
    assert [(c.checkpoint_minutes, c.sample_minutes) for c in configs] == [(0.5, 7.0)] * 2
