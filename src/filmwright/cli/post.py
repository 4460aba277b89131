"""`filmwright post`: a finished clip made steadier, cleaner, of another size, rate or colour."""

from __future__ import annotations

import json
import math
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.cli import options
from filmwright.cli.progress import Drawing
from filmwright.spec.errors import BadRequest

if TYPE_CHECKING:
    from filmwright.spec.cut import Grade
    from filmwright.spec.post import PostStage

__all__ = ["parse_cdl", "post"]

SIDES = (16, 8192)  # pixels
SOUND = {"none": "no sound", "copied": "its sound copied", "coded": "its sound coded as AAC"}


class Fit(StrEnum):
    """How a picture of another shape is put into a size."""

    fill = "fill"
    pad = "pad"
    stretch = "stretch"


class Method(StrEnum):
    """What stands between two frames."""

    flow = "flow"
    blend = "blend"
    nearest = "nearest"


def post(
    clip: Annotated[Path, typer.Argument(metavar="IN", help="A video file.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.mp4", help="Where the result goes.")],
    deflicker: Annotated[bool, typer.Option("--deflicker", help="Even out light that jumps.")] = False,
    denoise: Annotated[bool, typer.Option("--denoise", help="Average along the motion.")] = False,
    strength: Annotated[
        float | None, typer.Option("--strength", min=0.0, max=1.0, help="Of --denoise; 1 if not given.")
    ] = None,
    stabilise: Annotated[
        bool, typer.Option("--stabilise", "--stabilize", help="Take out a camera's shake.")
    ] = False,
    crop: Annotated[
        float | None,
        typer.Option(
            "--crop",
            min=0.0,
            max=0.4,
            help="Share of width and height that --stabilise gives up; 0.08 if not given.",
        ),
    ] = None,
    fps: Annotated[
        int | None, typer.Option("--fps", min=1, max=240, help="Another frame rate, at the same speed.")
    ] = None,
    method: Annotated[
        Method | None, typer.Option("--method", help="How --fps makes frames; flow if not given.")
    ] = None,
    resize: Annotated[
        str | None, typer.Option("--resize", metavar="WxH", help="Another size, by Lanczos.")
    ] = None,
    fit: Annotated[
        Fit | None, typer.Option("--fit", help="How --resize keeps the shape; fill crops, if not given.")
    ] = None,
    linear: Annotated[bool, typer.Option("--linear", help="Let --resize mix linear light.")] = False,
    cdl: Annotated[
        str | None,
        typer.Option(
            "--cdl", metavar="NUMBERS", help="Slope, offset, power (3 each), saturation: 10 numbers."
        ),
    ] = None,
    lut: Annotated[
        Path | None, typer.Option("--lut", metavar="X.cube", help="A table of colours, after the CDL.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Sign without naming IN, and so without its words.")
    ] = False,
    no_sign: Annotated[
        bool, typer.Option("--no-sign", help="Do not sign the file with content credentials.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Make a clip steadier, cleaner, of another size, rate or colour, with its credentials kept.

    In this order, whatever the order of the options: deflicker, denoise, stabilise, fps, resize, cdl and lut.
    """
    from filmwright.media.files import check_output
    from filmwright.spec.post import Deflicker, Denoise, GradeStage, Resize, Retime, Stabilise

    for given, needed, names in (
        (strength is not None, denoise, ("--strength", "--denoise")),
        (crop is not None, stabilise, ("--crop", "--stabilise")),
        (method is not None, fps is not None, ("--method", "--fps")),
        (fit is not None, resize is not None, ("--fit", "--resize")),
        (linear, resize is not None, ("--linear", "--resize")),
    ):
        if given and not needed:
            raise BadRequest(f"{names[0]} says how {names[1]} works: add {names[1]}")
    stages: list[PostStage] = []
    if deflicker:
        stages.append(Deflicker())
    if denoise:
        stages.append(Denoise(strength=1.0 if strength is None else strength))
    if stabilise:
        stages.append(Stabilise(crop=Stabilise.crop if crop is None else crop))
    if fps is not None:
        stages.append(Retime(fps=fps, method=(method or Method.flow).value))
    if resize is not None:
        width, height = _size(resize)
        stages.append(Resize(width=width, height=height, fit=(fit or Fit.fill).value, linear=linear))
    if cdl is not None or lut is not None:
        stages.append(GradeStage(grade=_grade(cdl, lut)))
    if not stages:
        raise BadRequest("nothing is asked for: add a stage, such as --stabilise; --help lists them")
    if private and no_sign:
        raise BadRequest("--private says how to sign, --no-sign not to: give one of them")
    if not clip.is_file():
        raise BadRequest(f"cannot read {clip}: there is no such file; check the path")
    check_output(out, suffixes=(".mp4",))

    from filmwright.engine.delivery import post_clip

    with Drawing(quiet=as_json) as drawing:
        done, signed = post_clip(clip, out, stages, sign=not no_sign, private=private, on_event=drawing)
    shape = done.shape
    seconds = float(shape.num_frames / shape.fps)
    if as_json:
        told = {
            "path": str(out),
            "stages": [stage.name for stage in stages],
            "num_frames": shape.num_frames,
            "fps": int(shape.fps),
            "width": shape.width,
            "height": shape.height,
            "seconds": seconds,
            "sound": done.sound,
            "signed": {**signed.plain(), "private": private} if signed else None,
            "warnings": [{"code": warned.code, "message": warned.message} for warned in drawing.warnings],
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    said = ", ".join(stage.name for stage in stages)
    frames = f"{shape.num_frames} frames of {shape.width}x{shape.height}, {seconds:.2f} s"
    typer.echo(f"{out}: {frames}, {SOUND[done.sound]}; {said}; {'signed' if signed else 'not signed'}")


def parse_cdl(text: str) -> Grade:
    """Ten numbers, or nine without saturation, between commas or spaces, as a grade.

    Raises:
        BadRequest: they are no CDL.
    """
    from filmwright.spec.cut import Grade

    words = [word for word in re.split(r"[\s,]+", text) if word]
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) not in {9, 10} or not all(math.isfinite(value) and abs(value) < 1e4 for value in values):
        raise BadRequest(
            f"{text[:60]!r} is no CDL: give 3 slopes, 3 offsets, 3 powers and a saturation, such as "
            "'1.1,1,0.9 0,0,0.02 1,1,1 1.2'"
        )
    slope, offset, power = ((values[at], values[at + 1], values[at + 2]) for at in (0, 3, 6))
    saturation = values[9] if len(values) == 10 else 1.0
    if min(slope) < 0 or min(power) <= 0 or not 0 <= saturation <= 4:
        raise BadRequest(
            f"{text[:60]!r} is no CDL: slopes are 0 or more, powers more than 0, saturation from 0 to 4"
        )
    return Grade(slope=slope, offset=offset, power=power, saturation=saturation)


def _grade(cdl: str | None, lut: Path | None) -> Grade:
    from dataclasses import replace

    from filmwright.media.files import digest_file
    from filmwright.media.post.cube import check_cube
    from filmwright.spec.cut import Grade

    grade = Grade() if cdl is None else parse_cdl(cdl)
    if lut is None:
        return grade
    check_cube(lut)
    return replace(grade, lut=lut, lut_digest=digest_file(lut))


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"\d{1,5}x\d{1,5}", text, re.ASCII):
        raise BadRequest(f"{text!r} is no size: write it as width x height, such as 1280x720")
    width, height = map(int, text.split("x"))
    if width % 2 or height % 2 or not all(SIDES[0] <= side <= SIDES[1] for side in (width, height)):
        raise BadRequest(
            f"cannot write {text}: both sides must be even, from {SIDES[0]} to {SIDES[1]} pixels"
        )
    return width, height
