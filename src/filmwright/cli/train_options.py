"""Options of `filmwright train`, and what is looked at before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.cli.checks import check_from_one, check_positive, check_seed
from filmwright.spec.errors import BadRequest
from filmwright.spec.extras import check_world
from filmwright.spec.vocabulary import PARTS

if TYPE_CHECKING:
    from filmwright.data.live import LiveWorld
    from filmwright.training.loop import LoopConfig

__all__ = [
    "CHECKPOINT_MINUTES",
    "SAMPLE_MINUTES",
    "SIZES",
    "Batch",
    "CheckpointMinutes",
    "Compile",
    "Cooldown",
    "Data",
    "Device",
    "Json",
    "Minutes",
    "Out",
    "Rate",
    "Resume",
    "SampleMinutes",
    "Seed",
    "Shard",
    "Size",
    "Steps",
    "Threads",
    "Workers",
    "check_cooldown",
    "check_run",
    "check_size",
    "live_world",
    "part_of_world",
]

MAX_BATCH, MAX_THREADS, MAX_STEPS = 65_536, 1024, 10**9
CHECKPOINT_MINUTES = 3.0  # as training.loop.LoopConfig has them; a test holds them equal
SAMPLE_MINUTES = 10.0
SIZES = ("lite", "full", "tiny")  # models.catalog.SIZES, which would load torch; a test holds them equal

WORLD = "world:"
MAX_WORKERS = 256

Data = Annotated[Path, typer.Option("--data", help="Shards, from `filmwright world shards`.")]
Out = Annotated[
    Path, typer.Option("--out", help="The run's folder: checkpoints, sample sheets, logs, weights.")
]
Size = Annotated[str, typer.Option("--size", help="lite, full or tiny.")]
Minutes = Annotated[float, typer.Option("--max-minutes", help="How long this run may take.")]
Steps = Annotated[int | None, typer.Option("--max-steps", help="Stop after so many steps at the latest.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
Batch = Annotated[int, typer.Option("--batch", help="Samples a step, over all processes.")]
Rate = Annotated[float, typer.Option("--lr", help="Muon's learning rate; AdamW's is half of it.")]
Cooldown = Annotated[
    float,
    typer.Option(
        "--cooldown", help="Share of the run at whose end the rate falls; 0 for a slice of a longer one."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Of the nets and of what each step draws.")]
CheckpointMinutes = Annotated[
    float, typer.Option("--checkpoint-minutes", help="Between two checkpoints, from which --resume goes on.")
]
SampleMinutes = Annotated[float, typer.Option("--sample-minutes", help="Between two sample sheets.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:0.")]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads; all if not given.")]
Compile = Annotated[
    bool | None, typer.Option("--compile/--no-compile", help="torch.compile; where it pays if not given.")
]
Shard = Annotated[
    bool, typer.Option("--shard", help="Cut nets and optimizer over torchrun's processes (FSDP2).")
]
Workers = Annotated[
    int, typer.Option("--workers", help="Processes that simulate clips of --data world:PART.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the held-out figures as JSON.")]


def check_run(
    out: Path,
    *,
    batch: int,
    threads: int | None,
    device: str,
    seed: int = 0,
    max_steps: int | None = None,
    **more_than_0: float,
) -> None:
    """Refuse what no run can do, before torch is loaded; whether the device is there is left to `check_place`.

    `more_than_0` are options by their names in Python, such as `max_minutes`.

    Raises:
        BadRequest: a figure out of range, or an unknown kind of device.
        MediaError: the folder `out` cannot be written.
    """
    from filmwright.engine.build_request import check_device
    from filmwright.media.files import check_output_folder

    for name, value in more_than_0.items():
        check_positive(f"--{name.replace('_', '-')}", value)
    check_from_one("--batch", batch, MAX_BATCH)
    check_from_one("--threads", threads, MAX_THREADS)
    check_from_one("--max-steps", max_steps, MAX_STEPS)
    check_seed(seed)
    check_device(device)
    check_output_folder(out)


def check_cooldown(share: float) -> None:
    """Refuse what is no share.

    Raises:
        BadRequest: below 0 or above 1.
    """
    if not 0 <= share <= 1:
        raise BadRequest(f"--cooldown {share:g} is out of range: it is a share, from 0 to 1")


def check_size(size: str) -> None:
    """Refuse a size that the catalogue does not have, before torch is loaded.

    Raises:
        BadRequest: there is no such size.
    """
    if size not in SIZES:
        raise BadRequest(f"unknown size {size!r}: the sizes are {', '.join(SIZES)}")


def part_of_world(data: Path, workers: int) -> str | None:
    """The part that `--data world:PART` names, whose clips are simulated while a net trains; None for a folder.

    Raises:
        BadRequest: an unknown part, workers out of range, or no simulator.
    """
    if not str(data).startswith(WORLD):
        return None
    part = str(data).removeprefix(WORLD)
    if part not in PARTS:
        raise BadRequest(
            f"--data {data} is no part of the world: the parts are {', '.join(WORLD + p for p in PARTS)}"
        )
    check_from_one("--workers", workers, MAX_WORKERS)
    check_world()
    return part


def live_world(part: str, config: LoopConfig, workers: int) -> LiveWorld:
    """The clips to simulate; the ray caster is compiled where nets would be, for runs of five minutes or more."""
    from filmwright.data.live import LiveWorld

    compiled = False if config.compile is None and config.max_minutes < 5 else config.compile
    return LiveWorld(part=part, seed=config.seed, workers=workers, compiled=compiled)
