"""`filmwright deliver`, `sheet` and `poster`: a finished file in the form that it is needed in, and stills of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from filmwright.cli import options
from filmwright.cli.progress import Drawing
from filmwright.spec.errors import BadRequest, MediaError

__all__ = ["deliver", "poster", "sheet"]

File = Annotated[Path, typer.Argument(metavar="FILE", help="A clip or film file.", show_default=False)]
NoSign = Annotated[bool, typer.Option("--no-sign", help="Do not sign the file with content credentials.")]
Private = Annotated[
    bool, typer.Option("--private", help="Sign without naming FILE, and so without its words.")
]


def deliver(
    file: File,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="h264, h265, h265-10, av1, av1-10, prores-422-hq, dnxhr-hqx, png, exr, wav.",
        ),
    ] = "h264",
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="The file, or for png and exr a new folder; beside FILE if not given.",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Fit it into this size, with black around it.")
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="24, 23.976, 24000/1001: show frames again or leave some out; the length stays.",
        ),
    ] = None,
    hdr: Annotated[
        bool,
        typer.Option("--hdr", help="HDR10 instead of BT.709, with white at 203 cd/m2; h265-10 and av1-10."),
    ] = False,
    loudness: Annotated[
        float | None,
        typer.Option(
            metavar="LUFS", help="Bring the sound to this loudness: -16 for the web, -23 for broadcast."
        ),
    ] = None,
    timecode: Annotated[
        str | None,
        typer.Option(
            metavar="HH:MM:SS:FF",
            help="Of the first frame, in a MOV; FILE's own, or 01:00:00:00, if not given.",
            show_default=False,
        ),
    ] = None,
    private: Private = False,
    no_sign: NoSign = False,
    as_json: options.Json = False,
) -> None:
    """Write a clip or film in another form, with its colour tagged and its credentials kept."""
    from filmwright.media.formats import DELIVERIES, Hdr, parse_fps, parse_size

    if form not in DELIVERIES:
        raise BadRequest(f"there is no delivery format {form!r}: take one of {', '.join(DELIVERIES)}")
    wanted_size = parse_size(size) if size else None
    wanted_fps = parse_fps(fps) if fps else None
    if private and no_sign:
        raise BadRequest("--private says how to sign, --no-sign not to: give one of them")
    check_file(file)

    from filmwright.engine.delivery import default_name, deliver_file

    path = out or default_name(file, form)
    with Drawing(quiet=as_json) as drawing:
        made = deliver_file(
            file,
            path,
            format=form,
            size=wanted_size,
            fps=wanted_fps,
            hdr=Hdr() if hdr else None,
            loudness=loudness,
            timecode=timecode,
            sign=not no_sign,
            private=private,
            on_event=drawing,
        )
    said = made.delivered
    if as_json:
        content = {
            "path": str(said.path),
            "format": said.format,
            "hdr": hdr,
            "width": said.width if said.num_frames else None,
            "height": said.height if said.num_frames else None,
            "num_frames": said.num_frames,
            "fps": str(said.fps),
            "sound_seconds": said.sound_seconds,
            "loudness": said.loudness,
            "true_peak": said.true_peak,
            "signed": {**made.signed.plain(), "private": private} if made.signed else None,
            "warnings": [{"code": warned.code, "message": warned.message} for warned in drawing.warnings],
        }
        typer.echo(json.dumps(content, ensure_ascii=False))
        return
    parts = [f"{said.path}: {DELIVERIES[form].said}"]
    if said.num_frames:
        parts.append(f"{said.width}x{said.height}, {said.num_frames} frames at {float(said.fps):.6g}")
    if DELIVERIES[form].kind == "film":
        parts.append("HDR10" if hdr else "BT.709")
    if said.loudness is not None:
        parts.append(f"{said.loudness:.1f} LUFS, peak {said.true_peak:.1f} dBTP")
    parts.append("signed" if made.signed else "not signed")
    typer.echo("; ".join(parts))


def sheet(
    file: File,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="PATH", help="PNG or JPEG; film-sheet.png if not given."),
    ] = None,
    count: Annotated[int, typer.Option(help="How many frames, evenly spread.")] = 12,
    columns: Annotated[int, typer.Option(help="Frames a row.")] = 4,
    width: Annotated[int, typer.Option(help="Pixels a frame.")] = 320,
    no_sign: NoSign = False,
    as_json: options.Json = False,
) -> None:
    """Lay frames of a video file out on one page."""
    check_file(file)
    from filmwright.engine.delivery import still_file

    path = out or file.with_name(f"{file.stem}-sheet.png")
    with Drawing(quiet=as_json) as drawing:
        written, shape, _ = still_file(
            file, path, kind="sheet", count=count, columns=min(columns, count), width=width, sign=not no_sign,
            on_event=drawing,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"path": str(written), "width": shape[0], "height": shape[1]}))
    else:
        typer.echo(f"{written}: {shape[0]}x{shape[1]}")


def poster(
    file: File,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="PATH", help="PNG or JPEG; film-poster.png if not given."),
    ] = None,
    no_sign: NoSign = False,
    as_json: options.Json = False,
) -> None:
    """Write the frame that stands for a film: the sharpest of its middle third."""
    check_file(file)
    from filmwright.engine.delivery import still_file

    path = out or file.with_name(f"{file.stem}-poster.png")
    with Drawing(quiet=as_json) as drawing:
        written, shape, number = still_file(file, path, kind="poster", sign=not no_sign, on_event=drawing)
    if as_json:
        content = {"path": str(written), "width": shape[0], "height": shape[1], "frame": number}
        typer.echo(json.dumps(content))
    else:
        typer.echo(f"{written}: {shape[0]}x{shape[1]}, frame {number}")


def check_file(file: Path) -> None:
    """Raises MediaError where there is no such file, before anything heavy is loaded."""
    if not file.is_file():
        what = "it is a folder" if file.is_dir() else "there is no such file"
        raise MediaError(f"cannot read {file}: {what}; give a clip or film file")
