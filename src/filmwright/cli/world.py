"""`filmwright world`: clips of the simulated world, to look at and to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from filmwright.spec.errors import BadRequest
from filmwright.spec.vocabulary import PARTS

__all__ = ["world_app"]

FRAMES_SHOWN = 6  # of a clip on the contact sheet
SPLITS = ("train", "validation", "held_out")

world_app = typer.Typer(no_args_is_help=True, help="The simulated world that the pocket model learns from.")

Count = Annotated[int, typer.Option("--count", help="How many clips.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same clips.")]
Out = Annotated[Path, typer.Option("--out", help="Folder, made if need be.")]
PartName = Annotated[str, typer.Option("--part", help="Of the world: solo, duo or whole.")]
Device = Annotated[str, typer.Option("--device", help="Renders: cpu, cuda or cuda:0.")]


def check_world(count: int, seed: int, part: str, out: Path) -> None:
    """Refuse what the world cannot do, before anything is loaded.

    Raises:
        BadRequest: no clips, a negative seed, an unknown part, or an output folder that is a file.
    """
    if count < 1:
        raise BadRequest(f"{count} clips cannot be made: --count must be at least 1")
    if seed < 0:
        raise BadRequest(f"seed {seed} is out of range: it must be 0 or more")
    if part not in PARTS:
        raise BadRequest(f"unknown part {part!r}: the parts of the world are {', '.join(PARTS)}")
    if out.exists() and not out.is_dir():
        raise BadRequest(f"--out {out} is a file: name a folder")


@world_app.command("sample")
def sample(
    out: Out,
    count: Count = 16,
    seed: Seed = 1,
    part: PartName = "whole",
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Pixels.")] = "256x160",
    frames: Annotated[int, typer.Option("--frames", help="4k+1.")] = 33,
    as_json: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Write clips (.mp4) with their truth (.npz, .json) and a contact sheet, to look at."""
    check_world(count, seed, part, out)
    width, height = world_size(size, frames)

    from filmwright.media.sheet import contact_sheet, save_png_atomic
    from filmwright.media.video import VideoWriter
    from filmwright.world.sample import WorldClip, describe, write_sample

    videos, clips, labels = [], [], []

    def film(name: str, clip: WorldClip) -> None:
        path = out / f"{name}.mp4"
        with VideoWriter(path, width, height, clip.take.script.fps) as video:
            video.write(clip.rendered.frames)
        videos.append(path)
        clips.append(clip.rendered.frames)
        labels.append(describe(clip))

    def progress(done: int, total: int) -> None:
        typer.echo(f"{done}/{total} clips", err=True)

    written = write_sample(
        out,
        count,
        seed,
        part,
        on_progress=progress,
        on_clip=film,
        width=width,
        height=height,
        num_frames=frames,
    )
    sheet = out / "sheet.png"
    save_png_atomic(contact_sheet(clips, labels, columns=1, frames_per_clip=FRAMES_SHOWN), sheet)
    if as_json:
        typer.echo(json.dumps({"files": [str(path) for path in [*written, sheet, *videos]]}))
    else:
        typer.echo(f"{out}: {count} clips, {sheet}")


@world_app.command("shards")
def shards(
    out: Out,
    count: Count = 1024,
    seed: Seed = 0,
    part: PartName = "solo",
    split: Annotated[str, typer.Option("--split", help="train, validation or held_out.")] = "train",
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Pixels.")] = "256x160",
    frames: Annotated[int, typer.Option("--frames", help="4k+1.")] = 33,
    workers: Annotated[int, typer.Option("--workers", help="Processes.")] = 1,
    device: Device = "cpu",
) -> None:
    """Render clips with captions and truth into shards to train on; shards already there are kept."""
    check_world(count, seed, part, out)
    if split not in SPLITS:
        raise BadRequest(f"unknown split {split!r}: {', '.join(SPLITS)}")
    if workers < 1:
        raise BadRequest(f"{workers} workers cannot work: --workers must be at least 1")
    width, height = world_size(size, frames)

    from filmwright.data.shards import write_shards

    done = write_shards(
        out,
        count=count,
        seed=seed,
        part=part,
        split=split,
        width=width,
        height=height,
        num_frames=frames,
        workers=workers,
        device=device,
        on_progress=lambda done, total: typer.echo(f"{done}/{total} clips", err=True),
    )
    typer.echo(f"{out}: {done} clips")


def world_size(size: str, num_frames: int) -> tuple[int, int]:
    """Text such as "256x160" as pixels that the VAE can encode.

    Raises:
        BadRequest: not of that form, or not what 16x16x4 divides.
    """
    from filmwright.engine.build_request import parse_size
    from filmwright.spec.shapes import VideoShape

    width, height = parse_size(size)
    if min(width, height, num_frames) < 1:
        raise BadRequest(f"{size} with {num_frames} frames is impossible: all three must be positive")
    VideoShape(width=width, height=height, num_frames=num_frames, fps=1).latent(channels=1)
    return width, height
