"""`filmwright train`: the VAE, the denoiser with its text encoder, and the reader that grades them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from filmwright.spec.errors import BadRequest

__all__ = ["train_app"]

train_app = typer.Typer(no_args_is_help=True, help="Train the models; a killed run goes on with --resume.")

Data = Annotated[Path, typer.Option("--data", help="Shards, from `filmwright world shards`.")]
Out = Annotated[Path, typer.Option("--out", help="The run's folder: checkpoints, sample sheets, logs, weights.")]
Size = Annotated[str, typer.Option("--size", help="lite, full or tiny.")]
Minutes = Annotated[float, typer.Option("--max-minutes", help="How long this run may take.")]
Steps = Annotated[int | None, typer.Option("--max-steps", help="Stop after so many steps at the latest.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
Batch = Annotated[int, typer.Option("--batch", help="Samples a step, over all processes.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Muon's learning rate; AdamW's is half of it.")]
Seed = Annotated[int, typer.Option("--seed")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:0.")]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads; all if not given.")]
Compile = Annotated[bool | None, typer.Option("--compile/--no-compile", help="torch.compile; where it pays if not given.")]
Json = Annotated[bool, typer.Option("--json", help="Print the held-out figures as JSON.")]


def check_run(minutes: float, batch: int, lr: float | None, threads: int | None, device: str) -> None:
    """Refuse what no run can do, before torch is loaded.

    Raises:
        BadRequest: minutes, batch, rate or threads that are not positive, or an unknown kind of device.
    """
    for name, value in (("--max-minutes", minutes), ("--batch", batch), ("--lr", lr), ("--threads", threads)):
        if value is not None and not value > 0:
            raise BadRequest(f"{name} {value:g} is out of range: it must be more than 0")
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise BadRequest(f"unknown device {device!r}: cpu, cuda or cuda:0")


def check_folder(option: str, folder: Path, remedy: str) -> None:
    """Refuse a folder that is not there.

    Raises:
        BadRequest: it is missing or no folder.
    """
    if not folder.is_dir():
        raise BadRequest(f"{option} {folder} is not a folder: {remedy}")


def check_file(option: str, file: Path | None) -> None:
    """Refuse a file that is not there.

    Raises:
        BadRequest: it is missing or no file.
    """
    if file is not None and not file.is_file():
        raise BadRequest(f"{option} {file} is not a file: check the path")


def log_to_stderr() -> None:
    """Show the library's log on stderr, one line a record, as it comes."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def say_figures(figures: Mapping[str, object], *, as_json: bool) -> None:
    """Print the last held-out figures."""
    if as_json:
        typer.echo(json.dumps(dict(figures)))
        return
    for name, value in figures.items():
        typer.echo(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


@train_app.command("vae")
def train_vae(
    data: Data,
    out: Out,
    size: Size = "lite",
    max_minutes: Minutes = 60.0,
    max_steps: Steps = None,
    resume: Resume = False,
    batch: Batch = 16,
    lr: Rate = None,
    init: Annotated[Path | None, typer.Option("--init", help="A vae.safetensors to go on from.")] = None,
    decoder_only: Annotated[
        bool, typer.Option("--decoder-only", help="Keep the latents, so that the denoiser stays valid.")
    ] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    threads: Threads = None,
    compiled: Compile = None,
    as_json: Json = False,
) -> None:
    """Train the VAE on true clips; writes OUT/vae.safetensors."""
    check_run(max_minutes, batch, lr, threads, device)
    check_size(size)
    check_folder("--data", data, "make one with `filmwright world shards --out DIR`")
    check_file("--init", init)

    from filmwright.training.loop import LoopConfig
    from filmwright.training.vae import VAETraining
    from filmwright.training.vae import train_vae as train

    log_to_stderr()
    defaults = LoopConfig(out=out)
    rate = lr if lr is not None else defaults.lr_matrix
    config = LoopConfig(
        out=out,
        max_minutes=max_minutes,
        max_steps=max_steps,
        resume=resume,
        batch=batch,
        lr_matrix=rate,
        lr_rest=rate * defaults.lr_rest / defaults.lr_matrix,
        seed=seed,
        device=device,
        threads=threads,
        compile=compiled,
    )
    figures = train(VAETraining(data=data, size=size, init=init, decoder_only=decoder_only), config)
    say_figures(figures, as_json=as_json)
