"""`tiny` trains end to end: VAE, latents, denoiser; losses fall, and a killed run goes on where it was."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.training.checkpoint import NAME
from filmwright.training.denoiser import DenoiserTraining, train_denoiser
from filmwright.training.latents import LatentSet, track_controls
from filmwright.training.vae import VAETraining, train_vae
from filmwright.weights.files import shipped
from training_runs import config, losses, two_processes


def test_vae_loss_falls_and_its_latents_are_normal(vae_run: Path, latents: Path) -> None:
    values = losses(vae_run)
    assert sum(values[-5:]) < 0.6 * sum(values[:5])
    z = LatentSet(latents).tensors["latents"].float()
    assert z.mean().abs() < 0.3
    assert 0.5 < float(z.std()) < 1.5
    assert sorted(p.suffix for p in vae_run.glob("sample-*")) == [".png"]


def test_denoiser_loss_falls(latents: Path, vae_run: Path, tmp_path: Path) -> None:
    training = DenoiserTraining(latents=latents, size="tiny", vae=vae_run / "vae.safetensors")
    figures = train_denoiser(training, config(tmp_path / "run", 80, batch=8))
    values = losses(tmp_path / "run")
    assert sum(values[-10:]) < 0.8 * sum(values[:10])
    assert figures["mean"] < values[0]
    assert list((tmp_path / "run").glob("sample-*.png"))
    assert (tmp_path / "run" / "denoiser.safetensors").is_file()


def test_a_resumed_run_equals_one_that_went_through(latents: Path, tmp_path: Path) -> None:
    training = DenoiserTraining(latents=latents, size="tiny")
    same = {"cooldown": 0.0, "warmup_steps": 0}
    train_denoiser(training, config(tmp_path / "whole", 6, **same))
    train_denoiser(training, config(tmp_path / "halves", 3, **same))
    train_denoiser(training, config(tmp_path / "halves", 6, resume=True, **same))
    assert losses(tmp_path / "whole") == pytest.approx(losses(tmp_path / "halves"), rel=1e-5)
    a, b = (load_file(tmp_path / n / NAME) for n in ("whole", "halves"))
    assert all(torch.allclose(a[k], b[k], atol=1e-5) for k in a)


def test_a_run_without_tensorboard_says_so_once(
    latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.INFO, "filmwright.training.loop"):
        train_denoiser(DenoiserTraining(latents=latents, size="tiny"), config(tmp_path, 3))
    said = [r.message for r in caplog.records if "TensorBoard" in r.message]
    assert len(said) == 1
    assert "pip install tensorboard" in said[0]
    assert len(losses(tmp_path)) == 3
    assert not (tmp_path / "tensorboard").exists()


def test_a_folder_in_use_needs_resume(latents: Path, tmp_path: Path) -> None:
    training = DenoiserTraining(latents=latents, size="tiny")
    train_denoiser(training, config(tmp_path, 1))
    with pytest.raises(BadRequest, match="--resume"):
        train_denoiser(training, config(tmp_path, 2))


def test_nets_of_another_size_and_old_latents_are_said(latents: Path, vae_run: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"not of this net and size \(.*encoder"):
        train_vae(
            VAETraining(data=latents, size="lite", init=vae_run / "vae.safetensors"),
            config(tmp_path / "a", 1),
        )
    with pytest.raises(WeightsError, match="not of this net and size"):
        train_denoiser(
            DenoiserTraining(latents=latents, size="tiny", init=shipped()), config(tmp_path / "b", 1)
        )
    old = tmp_path / "old"
    old.mkdir()
    tensors = load_file(next(latents.glob("latents-*.safetensors")))
    save_file({k: v for k, v in tensors.items() if k != "labels"}, old / "latents-00000.safetensors")
    with pytest.raises(BadRequest, match=r"earlier kind \(latents-00000"):
        train_denoiser(DenoiserTraining(latents=old, size="tiny"), config(tmp_path / "c", 1))


def test_a_truncated_checkpoint_is_said(latents: Path, tmp_path: Path) -> None:
    training = DenoiserTraining(latents=latents, size="tiny")
    train_denoiser(training, config(tmp_path, 1))
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be resumed"):
        train_denoiser(training, config(tmp_path, 2, resume=True))


SCRIPT = """
import sys
from pathlib import Path
from filmwright.training.denoiser import DenoiserTraining, train_denoiser
from filmwright.training.loop import LoopConfig
train_denoiser(
    DenoiserTraining(latents=Path(sys.argv[1]), size="tiny"),
    LoopConfig(out=Path(sys.argv[2]), max_minutes=5, max_steps=int(sys.argv[3]), batch=4, log_every=1, threads=1,
               compile=False, resume="resume" in sys.argv, checkpoint_minutes=0.0, cooldown=0.0, warmup_steps=0),
)
"""


def test_kill_9_loses_one_interval_at_most(latents: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(latents), str(run), "100000"])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not ((run / "log.jsonl").exists() and len(losses_so_far(run)) >= 4):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = losses_so_far(run)
    assert len(done) >= 4
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(latents), str(run), str(len(done) + 3), "resume"], check=True
    )
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps[-1] == len(done) + 3
    again = steps[len(done)]  # the first step after the restart
    assert again >= len(done)  # a checkpoint a step: at most the last one is done twice


def losses_so_far(folder: Path) -> list[str]:
    """Whole lines with a loss; the last line of a killed run may be torn."""
    return [line for line in (folder / "log.jsonl").read_text().split("\n")[:-1] if '"loss"' in line]


def test_two_processes_give_the_loss_of_one(latents: Path, tmp_path: Path) -> None:
    single = tmp_path / "one"
    subprocess.run([sys.executable, "-c", SCRIPT, str(latents), str(single), "4"], check=True)
    pair = tmp_path / "two"
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    two_processes(script, latents, pair, 4).check_returncode()
    assert losses(single) == pytest.approx(losses(pair), rel=2e-3)  # bf16 sums in another order


DYING = """
import os, signal, sys
from pathlib import Path
from filmwright.training import denoiser
from filmwright.training.denoiser import DenoiserTraining, train_denoiser
from filmwright.training.loop import LoopConfig
latents, out, resume = Path(sys.argv[1]), Path(sys.argv[2]), "resume" in sys.argv
loss = denoiser.DenoiserObjective.loss
def until_step_4(self, step, rank):
    if step == 4 and rank.index == 1 and self.config.out.name == "died":
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(self, step, rank)
for name in ("died",) if resume else ("whole", "died"):
    denoiser.DenoiserObjective.loss = loss if resume else until_step_4
    train_denoiser(
        DenoiserTraining(latents=latents, size="tiny"),
        LoopConfig(out=out / name, max_minutes=5, max_steps=7, batch=4, log_every=1, threads=1, compile=False,
                   resume=resume, shard="shard" in sys.argv, checkpoint_minutes=0.0, cooldown=0.0, warmup_steps=0),
    )
"""


@pytest.mark.parametrize(
    "shard", [(), pytest.param(("shard",), marks=pytest.mark.slow)], ids=["whole", "cut"]
)
def test_two_processes_of_which_one_died_go_on_to_the_weights_of_an_unbroken_run(
    latents: Path, tmp_path: Path, shard: tuple[str, ...]
) -> None:
    script = tmp_path / "train.py"
    script.write_text(DYING)

    def train(*more: str) -> int:
        return two_processes(script, latents, tmp_path, *shard, *more).returncode

    assert train() != 0
    whole, died = tmp_path / "whole", tmp_path / "died"
    before = losses(died)
    assert 3 <= len(before) <= 4  # the fifth step was begun by one of them
    assert not (died / "denoiser.safetensors").exists()
    assert train("resume") == 0
    assert losses(whole)[: len(before)] == before
    wanted, found = (
        [json.loads(x) for x in (f / "log.jsonl").read_text().splitlines()] for f in (whole, died)
    )
    by_step = [{line["step"]: line["loss"] for line in lines if "loss" in line} for lines in (wanted, found)]
    assert list(by_step[0]) == [1, 2, 3, 4, 5, 6, 7]
    assert by_step[1] == pytest.approx(by_step[0], rel=1e-5)
    for name in ("denoiser", "text"):
        a, b = (load_file(run / f"{name}.safetensors") for run in (whole, died))
        assert a.keys() == b.keys()
        assert all(torch.allclose(a[k], b[k], atol=1e-5) for k in a)
    notes = [wanted[-1], found[-1]]
    assert notes[0].keys() == notes[1].keys()
    assert notes[1]["held-out/mean"] == pytest.approx(notes[0]["held-out/mean"], rel=1e-4)


def test_tracks_carry_the_first_frames_latent() -> None:
    z = torch.randn(1, 16, 3, 4, 5)
    tracks = torch.tensor(
        [[[[1.5, 2.5], [2.5, 2.5], [9.0, 2.0]]]]
    )  # one point: cell (1,2), (2,2), then outside
    seen = torch.ones(1, 1, 3, dtype=torch.bool)
    result = track_controls(z, tracks, seen, torch.ones(1, 1, dtype=torch.bool))
    assert torch.equal(result[0, :16, 1, 2, 2], z[0, :, 0, 2, 1])
    assert result[0, 16].sum() == 2
    assert not track_controls(z, tracks, seen, torch.zeros(1, 1, dtype=torch.bool)).any()
