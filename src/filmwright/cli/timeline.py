"""`filmwright timeline`: convert between editors' formats, see what a cut that came back changed, check a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filmwright.cli import options

if TYPE_CHECKING:
    from filmwright.direction.timeline.edit import Edit, Loss
    from filmwright.direction.timeline.exchange import Imported

__all__ = ["Handles", "check_folder", "plain_loss", "short_of", "timeline_app"]

timeline_app = typer.Typer(
    no_args_is_help=True,
    help="Timelines to and from editors: .otio, .otioz, .edl, .xml (Final Cut Pro 7), .fcpxml.",
)
Fps = Annotated[
    str | None,
    typer.Option("--fps", metavar="RATE", help="Of an EDL, which does not say it: 24, 23.976, 29.97df."),
]
Handles = Annotated[
    int | None,
    typer.Option("--handles", metavar="FRAMES", min=0, help="Name the clips that have fewer at an end."),
]


@timeline_app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A timeline.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Where to; the ending says the format.")],
    fps: Fps = None,
    handles: Handles = None,
    media: Annotated[
        Path | None,
        typer.Option("--media", metavar="DIR", help="Of an .otioz: the folder whose files go into it."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write a timeline in another format, and say what that does not hold."""
    from filmwright.direction.timeline.exchange import write_timeline

    if media is not None:
        check_folder(media)
    found = _read(source, fps)
    losses = write_timeline(found.edit, target, media=media)
    short = short_of(found.edit, handles)
    if as_json:
        told = {
            "path": str(target),
            "notes": found.notes,
            "lost": [plain_loss(loss) for loss in losses],
            "short": short,
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for note in found.notes:
        typer.echo(f"read: {note}", err=True)
    for loss in losses:
        typer.echo(f"not in {target.suffix}: {loss.sentence}", err=True)
    for line in short:
        typer.echo(f"handles: {line}", err=True)
    typer.echo(str(target))


@timeline_app.command("diff")
def diff(
    before: Annotated[Path, typer.Argument(help="The timeline that was given away.")],
    after: Annotated[Path, typer.Argument(help="The one that came back.")],
    fps: Fps = None,
    merged: Annotated[
        Path | None,
        typer.Option(
            "--merged", metavar="OUT", help="Write the new cut, with all that its format cannot tell."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List what changed from one timeline to another, and which shots have to be rendered again."""
    from filmwright.direction.timeline.changes import difference
    from filmwright.direction.timeline.exchange import CANNOT, read_timeline, write_timeline

    ours = _read(before, fps)
    theirs = read_timeline(after, rate=ours.edit.rate, start=ours.edit.start)
    found = difference(ours.edit, theirs.edit, cannot=CANNOT[theirs.form])
    lost: Sequence[Loss] = write_timeline(found.merged, merged) if merged is not None else ()
    if as_json:
        told = {
            "changes": [change.plain() for change in found.changes], "rerender": found.rerender,
            "notes": [*ours.notes, *theirs.notes], "lost": [plain_loss(loss) for loss in lost],
        }  # fmt: skip
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for note in (*ours.notes, *theirs.notes):
        typer.echo(f"read: {note}", err=True)
    for change in found.changes:
        typer.echo(f"{change.kind:<11}{change.sentence}")
    if not found.changes:
        typer.echo("nothing changed")
    for loss in lost:
        typer.echo(f"not in {Path(str(merged)).suffix}: {loss.sentence}", err=True)


@timeline_app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="A timeline.")],
    fps: Fps = None,
    handles: Handles = None,
    as_json: options.Json = False,
) -> None:
    """Read a timeline strictly and say what is in it."""
    found = _read(file, fps)
    edit = found.edit
    short = short_of(edit, handles)
    joins = sum(event.join is not None for event in edit.events)
    told = {
        "name": edit.name, "fps": str(edit.rate.fps), "drop_frame": edit.rate.drop, "start": edit.at(0),
        "num_frames": edit.duration, "clips": len(edit.events), "transitions": joins, "titles": len(edit.titles),
        "speeds": sum(event.speed != 1 for event in edit.events), "sounds": len(edit.sounds),
        "markers": len(edit.markers) + sum(len(event.markers) for event in edit.events),
        "shots": sorted({event.shot for event in edit.events if event.shot}), "notes": found.notes, "short": short,
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    typer.echo(f"{file}: {edit.name or 'no name'}, {edit.rate.said} frames a second, from {edit.at(0)}")
    counts = ("clips", "transitions", "speeds", "titles", "sounds", "markers")
    typer.echo(f"  {edit.duration} frames; " + ", ".join(f"{told[name]} {name}" for name in counts))
    for line in (*found.notes, *short):
        typer.echo(f"  {line}")


def _read(path: Path, fps: str | None) -> Imported:
    from filmwright.direction.timeline.exchange import read_timeline
    from filmwright.spec.timecode import parse_rate

    return read_timeline(path, rate=parse_rate(fps) if fps is not None else None)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not there."""
    from filmwright.spec.errors import BadRequest

    if not folder.is_dir():
        raise BadRequest(f"{folder} is not a folder: name the one that holds the media")


def plain_loss(loss: Loss) -> dict[str, object]:
    """A loss for JSON."""
    return {"feature": loss.feature, "count": loss.count, "sentence": loss.sentence}


def short_of(edit: Edit, handles: int | None) -> list[str]:
    """The clips whose media do not go on for so many frames before and after what is shown."""
    lines = []
    for event in edit.events if handles else ():
        if event.media is None or not event.media.duration:
            lines.append(f"{event.name[:60]} at {edit.at(event.start)}: the length of its file is not known")
            continue
        head = event.source_start - event.media.start
        tail = event.media.start + event.media.duration - event.source_end
        if min(head, tail) < (handles or 0):
            lines.append(f"{event.name[:60]} at {edit.at(event.start)}: {head} frames before, {tail} after")
    return lines
