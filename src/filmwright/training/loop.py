"""One loop, many objectives: time-budgeted, resumable, the same on a CPU, a GPU, or many through torchrun.

An objective owns nets and data and gives a loss; the loop owns time, optimizer, EMA, checkpoints and logs. Every step
draws its batch and noise from (seed, step) alone, so a resumed run goes on exactly where it was, and N processes that
share a batch compute the loss of one (clips that are simulated as it goes are an exception: see `data.live`). By
default every process holds the nets, and gradients are averaged in one sum a step; with `shard` each holds a part of
every tensor (`training.sharding`).
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from filmwright.spec.errors import BadRequest
from filmwright.training.checkpoint import NAME, load_checkpoint, save_checkpoint
from filmwright.training.optim import MuonAdamW, matrices_and_rest
from filmwright.training.processes import Rank, agree, largest, wait_for_all
from filmwright.training.sharding import local, mesh_of, norm_of

__all__ = ["LoopConfig", "Objective", "run", "wants_compile"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long, how fast, and where to."""

    out: Path
    max_minutes: float = 10.0
    max_steps: int | None = None
    resume: bool = False
    batch: int = 16
    lr_matrix: float = 2e-3
    lr_rest: float = 1e-3
    warmup_steps: int = 100
    cooldown: float = 0.3  # share of the budget at whose end the rate falls linearly to nearly nothing
    ema: float = 0.998
    clip: float = 1.0
    seed: int = 0
    device: str = "cpu"  # "cuda" under torchrun: each process its own
    shard: bool = False  # cut nets and optimizer over the processes
    threads: int | None = None
    compile: bool | None = None  # None: where it pays, see `wants_compile`
    checkpoint_minutes: float = 3.0
    sample_minutes: float = 10.0
    evaluate_minutes: float = 5.0
    log_every: int = 20


class Objective(Protocol):
    """Nets and data that give a loss; see `training.vae` and `training.denoiser`."""

    modules: dict[str, nn.Module]

    def cut(self, mesh: DeviceMesh) -> None:
        """Cuts the nets over the processes of `mesh`, see `sharding.cut`; called before the first step, if at all."""
        ...

    def loss(self, step: int, rank: Rank) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise for this step's share of the batch, and figures to log."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Held-out figures at fixed seeds, with the weights that are in the modules now."""
        ...

    def sample(self, path: Path, *, writes: bool) -> None:
        """Makes a picture of what the nets can do now, and writes it in the process that `writes`."""
        ...


def wants_compile(config: LoopConfig, *, on_cpu: bool) -> bool:
    """Whether to compile the loss: as asked, else on a GPU, or `on_cpu`, for runs that are long enough."""
    if config.compile is not None:
        return config.compile
    if config.max_minutes < 5:
        return False
    if config.device.startswith("cpu"):
        return on_cpu and any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    return True


def run(objective: Objective, config: LoopConfig, rank: Rank) -> dict[str, float]:
    """Trains until the time or the steps are used up; returns the last held-out figures, of the EMA weights.

    `rank` is what `processes.joined` gave. Where nets are cut, all processes measure together and have the figures;
    else only the first one does.

    Raises:
        BadRequest: the run folder holds another run and `resume` is off, or batch does not divide by processes.
    """
    torch.manual_seed(config.seed)
    config.out.mkdir(parents=True, exist_ok=True)
    checkpoint = config.out / NAME
    if checkpoint.exists() and not config.resume:
        raise BadRequest(f"{config.out} already holds a run: add --resume to go on, or name another --out")
    if config.batch % rank.count:
        raise BadRequest(
            f"a batch of {config.batch} cannot be shared by {rank.count} processes: make it a multiple"
        )
    if config.shard and rank.count > 1:
        objective.cut(mesh_of(rank))
    modules = objective.modules
    matrices, rest = matrices_and_rest(modules.values())
    optimizer = MuonAdamW(matrices, rest, lr_matrix=config.lr_matrix, lr_rest=config.lr_rest)
    ema = {
        f"{n}.{k}": v.detach().clone().float() for n, m in modules.items() for k, v in m.state_dict().items()
    }
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "samples": 0}
    if config.resume and checkpoint.exists():
        state |= load_checkpoint(checkpoint, modules, ema, optimizer)
        log.info("resumed at step %d after %.1f min of training", state["step"], state["seconds"] / 60)
    with _Writer(config.out) if rank.index == 0 else nullcontext() as writer:
        return _train(objective, config, rank, optimizer, ema, state, writer)


def _train(
    objective: Objective,
    config: LoopConfig,
    rank: Rank,
    optimizer: MuonAdamW,
    ema: dict[str, Tensor],
    state: dict[str, Any],
    writer: _Writer | None,
) -> dict[str, float]:
    """The loop itself; only the first process has a writer, and writes."""
    modules = objective.modules
    takes_part = writer is not None or config.shard  # in what needs whole weights
    amp = torch.autocast(rank.device.type, torch.bfloat16)

    def save() -> None:
        note = state | {"config": _plain(config)}
        save_checkpoint(config.out, modules, ema, optimizer, note, writes=writer is not None)

    def measure() -> dict[str, float]:
        with _Swapped(modules, ema), amp, _uncompiled(), torch.no_grad():
            figures = objective.evaluate()
        if writer:
            writer.add(state, {}, {f"held-out/{k}": v for k, v in figures.items()})
        return figures

    def draw() -> None:
        with _Swapped(modules, ema), amp, _uncompiled(), torch.no_grad():
            objective.sample(config.out / f"sample-{state['step']:07d}.png", writes=writer is not None)

    before = float(state["seconds"])
    began = last_save = last_eval = last_sample = time.monotonic()
    first_step = int(state["step"])
    warm: tuple[float, int] | None = None
    figures: dict[str, float] = {}
    while True:
        now = time.monotonic()
        used = (now - began) / 60 / config.max_minutes
        if config.max_steps is not None:
            used = max(used, state["step"] / config.max_steps)
        used = largest(used, rank)
        if used >= 1.0:
            break
        scale = _rate(state["step"] - first_step, used, config)
        for group in optimizer.param_groups:
            group["scale"] = scale
        with amp:
            loss, parts = objective.loss(int(state["step"]), rank)
        loss.backward()
        norm, loss = _share_gradients(optimizer, loss.detach(), rank, config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state["step"] += 1
        state["samples"] += config.batch
        _follow(ema, modules, min(config.ema, (1 + state["step"]) / (10 + state["step"])))
        now = time.monotonic()
        state["seconds"] = before + now - began
        if state["step"] - first_step == 3:
            warm = (now, state["samples"])
        if writer and (state["step"] % config.log_every == 0 or state["step"] - first_step in (1, 5)):
            pace = (state["samples"] - warm[1]) / max(now - warm[0], 1e-9) if warm else 0.0
            writer.add(state, {"loss": loss, **parts}, {"norm": norm, "rate": scale, "clips/s": pace})
        since = (
            (last_save, config.checkpoint_minutes),
            (last_eval, config.evaluate_minutes),
            (last_sample, config.sample_minutes),
        )
        saves, measures, draws = agree([now - last > minutes * 60 for last, minutes in since], rank)
        if saves:
            if takes_part:
                save()
            last_save = time.monotonic()
        if measures:
            if takes_part:
                figures = measure()
            last_eval = time.monotonic()
        if draws:
            if takes_part:
                draw()
            last_sample = time.monotonic()
    if takes_part:
        save()
        figures = measure()
        draw()
    wait_for_all(rank)
    return figures


def _uncompiled() -> Any:
    """Inside, compiled modules run as they are: measuring has other shapes, and each would be compiled anew."""
    return torch.compiler.set_stance("force_eager")


def _rate(step: int, used: float, config: LoopConfig) -> float:
    """Warm-up, constant, linear cool-down to 2 %."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cool = min(1.0, (1.0 - used) / config.cooldown) if config.cooldown > 0 else 1.0
    return warm * max(cool, 0.02)


def _share_gradients(
    optimizer: torch.optim.Optimizer, loss: Tensor, rank: Rank, clip: float
) -> tuple[Tensor, Tensor]:
    """Averages gradients and loss over processes, clips the gradients' common norm; returns norm and loss."""
    grads = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
    if rank.count > 1:
        # those that are cut have been averaged on the way back
        shared = [g for g in grads if not isinstance(g, DTensor)]
        flat = torch.cat([loss.reshape(1), *(g.flatten() for g in shared)])
        dist.all_reduce(flat)
        flat /= rank.count
        loss, *means = flat.split([1, *(g.numel() for g in shared)])
        if shared:
            torch._foreach_copy_(shared, [m.view_as(g) for m, g in zip(means, shared, strict=True)])
    norm = norm_of(grads)
    torch._foreach_mul_([local(g) for g in grads], (clip / (norm + 1e-6)).clamp(max=1.0))
    return norm, loss


@torch.no_grad()
def _follow(ema: dict[str, Tensor], modules: dict[str, nn.Module], decay: float) -> None:
    """Moves the average towards the weights; buffers are copied."""
    targets, sources = [], []
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                targets.append(local(ema[f"{name}.{key}"]))
                sources.append(local(value.detach()).float())
    torch._foreach_lerp_(targets, sources, 1 - decay)


class _Swapped:
    """Inside, the modules hold the averaged weights."""

    def __init__(self, modules: dict[str, nn.Module], ema: dict[str, Tensor]) -> None:
        self.modules, self.ema = modules, ema

    def __enter__(self) -> None:
        self.kept = {n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in self.modules.items()}
        for name, module in self.modules.items():
            module.load_state_dict(
                {k: self.ema[f"{name}.{k}"].to(v.dtype) for k, v in module.state_dict().items()}
            )

    def __exit__(self, *_: object) -> None:
        for name, module in self.modules.items():
            module.load_state_dict(self.kept[name])


def _plain(config: LoopConfig) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}


class _Writer:
    """TensorBoard events, one JSON line a record, and a log line."""

    def __init__(self, out: Path) -> None:
        self.lines = (out / "log.jsonl").open("a", buffering=1)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            self.board = None
            log.info(
                "no TensorBoard events are written (%s): `pip install tensorboard`; log.jsonl has the figures",
                error,
            )
        else:
            self.board = SummaryWriter(str(out / "tensorboard"))

    def add(self, state: dict[str, Any], tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """One record of everything measured at this step."""
        values = {k: float(v.detach()) for k, v in tensors.items()} | {
            k: float(v) for k, v in numbers.items()
        }
        self.lines.write(
            json.dumps({"step": state["step"], "seconds": round(state["seconds"], 1), **values}) + "\n"
        )
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(key, value, state["step"])
        shown = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
        log.info("%6d  %5.1f min  %s", state["step"], state["seconds"] / 60, shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        if self.board is not None:
            self.board.close()
