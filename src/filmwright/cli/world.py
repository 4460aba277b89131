"""`filmwright world`: clips of the simulated world, to look at and to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.cli.checks import check_from_one, check_place, check_seed
from filmwright.spec.errors import BadRequest
from filmwright.spec.vocabulary import PARTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frames = NDArray[np.uint8]

__all__ = ["world_app"]

FRAMES_SHOWN = 6  # of a clip on the contact sheet
SHOWN_SIDE = 320  # pixels of a frame on it, at most
SPLITS = ("train", "validation", "held_out")
MIN_SIDE, MAX_SIDE = 16, 1024  # pixels
MAX_FRAMES = 257
MAX_PIXELS = 64_000_000  # of all frames of a clip, whose truth takes 30 bytes for each
MAX_SAMPLE = 256  # clips on one sheet
MAX_CLIPS = 100_000  # of a seed, whose clips would run into those of the next one
MAX_WORKERS = 256

world_app = typer.Typer(no_args_is_help=True, help="The simulated world that the pocket model learns from.")

Count = Annotated[int, typer.Option("--count", help="How many clips.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same clips.")]
Out = Annotated[Path, typer.Option("--out", help="Folder, made if need be.")]
PartName = Annotated[str, typer.Option("--part", help="Of the world: solo, duo or whole.")]
Device = Annotated[str, typer.Option("--device", help="Renders: cpu, cuda or cuda:0.")]


def check_clips(count: int, most: int, seed: int, part: str) -> None:
    """Refuse clips that the world does not have, before anything is loaded.

    Raises:
        BadRequest: no clips or too many, a seed out of range, or an unknown part.
    """
    if not 1 <= count <= most:
        raise BadRequest(f"{count} clips are out of range: --count takes 1 to {most}")
    check_seed(seed)
    if part not in PARTS:
        raise BadRequest(f"unknown part {part!r}: the parts of the world are {', '.join(PARTS)}")


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
    from filmwright.media.files import check_output_folder, making
    from filmwright.spec.extras import check_world

    check_clips(count, MAX_SAMPLE, seed, part)
    width, height = world_size(size, frames)
    check_output_folder(out)
    check_world()

    from filmwright.media.sheet import contact_sheet, save_png_atomic
    from filmwright.media.video import VideoWriter
    from filmwright.world.sample import WorldClip, describe, write_sample

    videos, clips, labels = [], [], []

    def film(name: str, clip: WorldClip) -> None:
        path = out / f"{name}.mp4"
        with VideoWriter(path, width, height, clip.take.script.fps) as video:
            video.write(clip.rendered.frames)
        videos.append(path)
        clips.append(shown(clip.rendered.frames))
        labels.append(describe(clip))

    def progress(done: int, total: int) -> None:
        typer.echo(f"{done}/{total} clips", err=True)

    with making(out):
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
    from filmwright.media.files import check_output_folder
    from filmwright.spec.extras import check_world

    check_clips(count, MAX_CLIPS, seed, part)
    if split not in SPLITS:
        raise BadRequest(f"unknown split {split!r}: {', '.join(SPLITS)}")
    check_from_one("--workers", workers, MAX_WORKERS)
    width, height = world_size(size, frames)
    check_output_folder(out)
    check_world()
    check_place(device)

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
    """Text such as "256x160" as pixels that the world draws and the VAE can encode.

    Raises:
        BadRequest: not of that form, beyond the limits, or not what 16x16x4 divides.
    """
    from filmwright.engine.build_request import parse_size
    from filmwright.spec.shapes import SPATIAL_FACTOR, VideoShape

    sides = width, height = parse_size(size)
    if any(not MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise BadRequest(
            f"size {width}x{height} is out of range: the world is drawn with sides of {MIN_SIDE} to {MAX_SIDE} pixels"
        )
    if width % SPATIAL_FACTOR or height % SPATIAL_FACTOR:
        near = "x".join(str(max(round(side / SPATIAL_FACTOR), 1) * SPATIAL_FACTOR) for side in sides)
        raise BadRequest(f"size {width}x{height} does not divide by {SPATIAL_FACTOR}: the nearest is {near}")
    if not 1 <= num_frames <= MAX_FRAMES:
        raise BadRequest(f"{num_frames} frames are out of range: --frames takes 1 to {MAX_FRAMES}, 4k+1")
    VideoShape(width=width, height=height, num_frames=num_frames, fps=1).latent(channels=1)
    if width * height * num_frames > MAX_PIXELS:
        most = (MAX_PIXELS // (width * height) - 1) // 4 * 4 + 1
        raise BadRequest(
            f"{num_frames} frames of {width}x{height} are too many: a clip of that size takes up to {most}"
        )
    return width, height


def shown(frames: Frames) -> Frames:
    """The frames of a clip [T,H,W,3] that the contact sheet shows, shrunk to what a strip has room for."""
    import numpy as np
    from PIL import Image

    at = np.linspace(0, len(frames) - 1, min(FRAMES_SHOWN, len(frames))).round().astype(int)
    some: Frames = frames[at]
    scale = SHOWN_SIDE / max(some.shape[1:3])
    if scale >= 1:
        return some
    height, width = (max(round(side * scale), 1) for side in some.shape[1:3])
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height))) for frame in some])
