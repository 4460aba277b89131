"""Clips that are simulated while a net trains: the same clip for a number, few in memory, workers that end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from filmwright.cli.main import run
from filmwright.data.live import LiveClips, LiveWorld, RenderedClip, Stream, live_script
from filmwright.data.workers import Workers
from filmwright.spec.errors import BadRequest, FilmwrightError
from filmwright.training.denoiser import DenoiserTraining, train_denoiser
from filmwright.training.vae import VAETraining, train_vae
from filmwright.world.splits import held_out, split_of
from training_runs import config, losses

WORLD = LiveWorld(width=64, height=64, num_frames=9, kept_clips=6, kept_latents=6, first=4, compiled=False)


def test_numbers_are_clips_of_their_split_and_no_held_out_combination() -> None:
    for split in ("train", "validation"):
        found = [live_script(WORLD, split, n) for n in range(40)]
        assert len({seed for seed, _ in found}) == 40
        assert all(split_of(seed) == split and not held_out(script) for seed, script in found)
        assert found == [live_script(WORLD, split, n) for n in range(40)]
    other = replace(WORLD, seed=1)
    assert live_script(other, "train", 0) != live_script(WORLD, "train", 0)
    assert live_script(other, "validation", 0) == live_script(
        WORLD, "validation", 0
    )  # so that figures compare


def test_what_no_world_can_do_is_said() -> None:
    with pytest.raises(BadRequest, match="unknown part 'trio': the parts of the world are solo, duo, whole"):
        LiveWorld(part="trio")
    with pytest.raises(BadRequest, match="0 workers"):
        LiveWorld(workers=0)


def letters(split: str, number: int) -> str:
    """Stands for a clip: quick where its number is odd."""
    time.sleep(0.0 if number % 2 else 0.05)
    return f"{split} {number}"


def test_a_stream_keeps_the_order_and_a_resumed_one_goes_past_what_was_seen() -> None:
    world = replace(WORLD, workers=2, first=5)
    stream = Stream(letters, world)
    try:
        seen = stream.new(0)
        assert seen[:5] == [f"train {n}" for n in range(5)]
        assert stream.validation(2) == ["validation 0", "validation 1"]
        for step in range(1, 6):
            time.sleep(0.1)
            seen += stream.new(step)
        assert seen == [f"train {n}" for n in range(len(seen))]
        assert 5 < len(seen) <= 5 + 5 * 8
    finally:
        stream.close()
    resumed = Stream(letters, world, (1, 2))  # the second of two processes
    try:
        first = [int(clip.split()[1]) for clip in resumed.new(6)]
    finally:
        resumed.close()
    assert first[:3] == [first[0], first[0] + 2, first[0] + 4]
    assert first[0] % 2 == 1
    assert first[0] > len(seen)


def test_clips_in_memory_are_the_newest() -> None:
    clips = LiveClips(WORLD)
    try:
        clips.refresh(0)
        deadline, step = time.monotonic() + 60, 0
        while time.monotonic() < deadline and live_script(WORLD, "train", 7)[0] not in {
            c.seed for c in clips.clips
        }:
            time.sleep(0.05)
            step += 1
            clips.refresh(step)
    finally:
        clips.stream.close()
    assert len(clips) == WORLD.kept_clips
    numbers = {live_script(WORLD, "train", n)[0]: n for n in range(40)}
    kept = sorted(numbers[c.seed] for c in clips.clips)
    assert kept == list(range(kept[0], kept[0] + 6))
    assert kept[-1] >= 7
    again = RenderedClip(world=WORLD)("train", numbers[clips.clips[0].seed])
    assert np.array_equal(again.frames, clips.frames(0))
    assert np.array_equal(again.truth["tracks"], clips.truth(0)["tracks"], equal_nan=True)


def wrong(split: str, number: int) -> str:
    """Fails in a way that only some clips do."""
    if number == 1:
        raise BadRequest("clip 1 cannot be made")
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return split


def test_what_goes_wrong_in_a_worker_is_raised() -> None:
    for number, message in (
        (1, "clip 1 cannot be made"),
        (2, r"one of 1 processes .* \(exit code -9\).*--workers"),
    ):
        workers = Workers(wrong, 1)
        try:
            workers.ask("train", number)
            with pytest.raises(FilmwrightError, match=message):
                workers.answers(wait=True)
        finally:
            workers.close()


KILLED = """
import os, signal
from filmwright.cli.main import run
from filmwright.data.live import LiveWorld, RenderedClip, Stream
if __name__ == "__main__":
    world = LiveWorld(width=64, height=64, num_frames=9, workers=2, first=1, compiled=False)
    stream = Stream(RenderedClip(world=world), world)
    stream.new(0)
    print(*(p.pid for p in stream._workers._processes), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_of_a_killed_run_end(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    left = {int(word) for word in done.stdout.split()}
    assert len(left) == 2
    deadline = time.monotonic() + 30
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if alive(pid)}
        time.sleep(0.1)
    assert not left


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_vae_and_the_denoiser_train_without_anything_on_disk(tmp_path: Path) -> None:
    steady = {"warmup_steps": 0, "cooldown": 0.0}
    training = VAETraining(data=WORLD, size="tiny", crop=32)
    figures = train_vae(training, config(tmp_path / "vae", 12, **steady))
    assert figures["psnr"] > 5
    values = losses(tmp_path / "vae")
    assert sum(values[-4:]) < sum(values[:4])
    vae = tmp_path / "vae" / "vae.safetensors"
    with pytest.raises(BadRequest, match="--vae"):
        train_denoiser(DenoiserTraining(latents=WORLD, size="tiny"), config(tmp_path / "dit", 3))
    live = DenoiserTraining(latents=WORLD, size="tiny", vae=vae)
    train_denoiser(live, config(tmp_path / "dit", 3, **steady))
    figures = train_denoiser(live, config(tmp_path / "dit", 5, resume=True, **steady))
    assert len(losses(tmp_path / "dit")) == 5
    assert 0 < figures["mean"] < 5
    assert {p.name for p in tmp_path.iterdir()} == {"vae", "dit"}


def test_weights_that_encode_no_clips_are_said(vae_run: Path, tmp_path: Path) -> None:
    training = DenoiserTraining(latents=WORLD, size="lite", vae=vae_run / "vae.safetensors")
    with pytest.raises(FilmwrightError, match="not of this net and size"):
        train_denoiser(training, config(tmp_path, 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vae", "--data", "world:trio"], "the parts are world:solo, world:duo, world:whole"),
        (["vae", "--data", "world:solo", "--workers", "0"], "--workers 0 is out of range"),
        (["denoiser", "--data", "world:solo"], "give the --vae that encodes its clips"),
    ],
)
def test_worlds_that_do_not_train_are_refused_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *words, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
