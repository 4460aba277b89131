"""Nets cut over two processes train as one process does, and either goes on from the other's checkpoint."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from filmwright.models.catalog import SIZES
from filmwright.models.vae import VAE
from filmwright.training.checkpoint import NAME
from filmwright.training.denoiser import DenoiserTraining, train_denoiser
from filmwright.training.vae import VAETraining, train_vae
from filmwright.weights.files import read_weights
from training_runs import config, losses, two_processes

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from filmwright.training.denoiser import DenoiserTraining, train_denoiser
from filmwright.training.loop import LoopConfig
from filmwright.training.optim import MuonAdamW
from filmwright.training.vae import VAETraining, train_vae
from torch.distributed.tensor import DTensor

step = MuonAdamW.step
def watched(self, closure=None):
    params = [p for group in self.param_groups for p in group["params"] if p.ndim]
    here = sum(p.to_local().numel() for p in params)
    assert here < 0.51 * sum(p.numel() for p in params)
    assert all(isinstance(p.grad, DTensor) for p in params if p.grad is not None)
    step(self)
MuonAdamW.step = watched

latents, shards, vae, out = map(Path, sys.argv[1:])
config = LoopConfig(out=out / "cut", max_minutes=5, max_steps=4, batch=4, log_every=1, threads=1, compile=False,
                    shard=True, cooldown=0.0, warmup_steps=0)
train_denoiser(DenoiserTraining(latents=latents, size="tiny", vae=vae), config)
train_denoiser(DenoiserTraining(latents=latents, size="tiny"),
               replace(config, out=out / "one-then-cut", max_steps=6, resume=True))
train_vae(VAETraining(data=shards, size="tiny", crop=32), replace(config, out=out / "vae-cut", max_steps=3))
"""


STEADY = {"cooldown": 0.0, "warmup_steps": 0}


def test_nets_cut_over_two_processes_train_as_one_process_does(
    latents: Path, shards: Path, vae_run: Path, tmp_path: Path
) -> None:
    training = DenoiserTraining(latents=latents, size="tiny")
    one = config(tmp_path / "one", 4, **STEADY)
    train_denoiser(training, one)
    whole = load_file(one.out / NAME)
    shutil.copytree(one.out, tmp_path / "one-then-cut")
    train_denoiser(training, replace(one, max_steps=6, resume=True))

    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    done = two_processes(script, latents, shards, vae_run / "vae.safetensors", tmp_path)
    assert done.returncode == 0, done.stderr

    cut = replace(one, out=tmp_path / "cut", max_steps=6, resume=True)
    assert losses(cut.out) == pytest.approx(losses(one.out)[:4], rel=2e-3)
    assert losses(cut.out, "norm") == pytest.approx(losses(one.out, "norm")[:4], rel=1e-2)
    assert losses(cut.out, "held-out/mean") == pytest.approx(losses(one.out, "held-out/mean")[:1], rel=2e-3)
    assert [p.name for p in cut.out.glob("sample-*")] == ["sample-0000004.png"]
    gathered = load_file(cut.out / NAME)
    assert {k: v.shape for k, v in whole.items()} == {k: v.shape for k, v in gathered.items()}

    train_denoiser(training, cut)  # one process goes on with what two have cut
    for run in (cut.out, tmp_path / "one-then-cut"):
        assert losses(run) == pytest.approx(losses(one.out), rel=2e-3)

    alone = config(tmp_path / "vae", 3, **STEADY)
    train_vae(VAETraining(data=shards, size="tiny", crop=32), alone)
    assert losses(tmp_path / "vae-cut") == pytest.approx(losses(alone.out), rel=2e-3)
    assert (
        read_weights(tmp_path / "vae-cut" / "vae.safetensors").keys()
        == VAE(SIZES["tiny"].vae).state_dict().keys()
    )


OPTIMIZER = """
import copy, sys
from pathlib import Path
import torch
from torch import nn
from filmwright.training.checkpoint import NAME, load_checkpoint, save_checkpoint
from filmwright.training.optim import MuonAdamW, matrices_and_rest
from filmwright.training.processes import joined, wait_for_all
from filmwright.training.sharding import cut, cut_like, mesh_of, norm_of, whole

folder = Path(sys.argv[1])

def optimizer(net):
    return MuonAdamW(*matrices_and_rest([net]), lr_matrix=0.1, lr_rest=0.1, weight_decay=0.1)

with joined("cpu", 1) as rank:
    torch.manual_seed(0)
    # three matrices of one shape for two owners, rows that do not halve, a convolution, one row, a number
    net = nn.Sequential(*(nn.Linear(12, 9) for _ in range(3)), nn.Conv2d(3, 10, 3), nn.Linear(4, 1))
    net[4].number = nn.Parameter(torch.tensor(0.5))
    ours = copy.deepcopy(net)
    cut([ours], mesh_of(rank))
    nets = (net, ours)
    optimizers = [optimizer(module) for module in nets]
    for step in range(3):
        rng = torch.Generator().manual_seed(step)
        for p, q in zip(net.parameters(), ours.parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=rng)
            q.grad = cut_like(p.grad, q.detach())
        a, b = (norm_of([p.grad for p in module.parameters()]) for module in nets)
        assert torch.allclose(a, b, rtol=1e-5), (a, b)
        for each in optimizers:
            each.step()
    for (name, p), q in zip(net.named_parameters(), ours.parameters(), strict=True):
        assert torch.allclose(p, whole(q.detach()), atol=2e-3), name

    # the file holds whole tensors, for a net that is not cut as for one that is
    save_checkpoint(folder, {"net": ours}, {}, optimizers[1], {"step": 3}, writes=rank.index == 0)
    wait_for_all(rank)
    third, fourth = (nn.Sequential(*copy.deepcopy(net)) for _ in range(2))
    cut([fourth], mesh_of(rank))
    for module in (third, fourth):
        nn.init.zeros_(module[0].weight)
        other = optimizer(module)
        assert load_checkpoint(folder / NAME, {"net": module}, None, other) == {"step": 3}
        for p, q in zip(ours.parameters(), module.parameters(), strict=True):
            assert torch.equal(whole(p.detach()), whole(q.detach()))
            states = (optimizers[1].state[p], other.state[q])
            assert states[0].keys() == states[1].keys() != set()
            for key in states[0]:
                assert torch.equal(*(whole(state[key]) for state in states)), key
"""


def test_optimizer_and_checkpoint_do_the_same_to_tensors_that_are_cut(tmp_path: Path) -> None:
    script = tmp_path / "optimizer.py"
    script.write_text(OPTIMIZER)
    done = two_processes(script, tmp_path)
    assert done.returncode == 0, done.stderr
