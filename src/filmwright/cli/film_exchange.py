"""`filmwright film export` and `import`: a film's cut to an editor, and what the editor did back into the film file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from filmwright.cli import options
from filmwright.cli.film import DEFAULT, Film, film_app
from filmwright.cli.timeline import Handles, check_folder, plain_loss, short_of
from filmwright.spec.errors import BadRequest

__all__ = ["export_film", "film_app", "import_film"]

EVERYWHERE = {24, 25, 30, 50, 60}  # timebases that all editors have
Media = Annotated[
    Path | None,
    typer.Option(
        "--media", metavar="DIR", help="Of the rendered shots; `media` beside the film if not given."
    ),
]


@film_app.command("export")
def export_film(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .otio, .otioz, .edl, .xml or .fcpxml.")],
    film: Film = DEFAULT,
    media: Media = None,
    handles: Handles = None,
    fps: Annotated[
        str | None, typer.Option("--fps", metavar="RATE", help="23.976 for a film of 24: the same frames.")
    ] = None,
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Shots without words, models and seeds, as of a film that was built so."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write the cut for an editor, with the rendered shots beside it, and say what the format does not hold."""
    from filmwright.direction.film.opened import open_film
    from filmwright.direction.timeline.exchange import SUFFIXES, write_timeline
    from filmwright.direction.timeline.film_edit import copy_media, edit_of_film, is_private
    from filmwright.media.files import check_output, say_os_error
    from filmwright.spec.timecode import parse_rate

    check_output(target, suffixes=SUFFIXES)
    opened = open_film(film)
    folder = _folder(film, media)
    edit, losses = edit_of_film(opened, folder, parse_rate(fps) if fps is not None else None)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise say_os_error(folder, error) from error
    copied, missing = copy_media(opened, folder, private=private or is_private(opened))
    losses += write_timeline(edit, target, media=folder)
    short = short_of(edit, handles)
    notes = []
    if edit.rate.timebase not in EVERYWHERE:
        notes.append(f"{edit.rate.said} frames a second is not a rate that every editor opens")
    if as_json:
        told = {"path": str(target), "notes": notes, "media": str(folder), "copied": copied, "missing": missing,
                "lost": [plain_loss(loss) for loss in losses], "short": short}  # fmt: skip
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for note in notes:
        typer.echo(f"rate: {note}", err=True)
    for loss in losses:
        typer.echo(f"not in {target.suffix}: {loss.sentence}", err=True)
    for line in short:
        typer.echo(f"handles: {line}", err=True)
    for why in dict.fromkeys(missing.values()):
        shots = ", ".join(shot for shot, reason in missing.items() if reason == why)
        typer.echo(
            f"missing: {shots}: {why}; `filmwright film build {film}` renders what is missing", err=True
        )
    typer.echo(f"{target}: {len(edit.events)} clips; {len(copied)} shots in {folder}")


@film_app.command("import")
def import_film(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The cut as it came back.")],
    film: Film = DEFAULT,
    media: Media = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what changed.")] = False,
    as_json: options.Json = False,
) -> None:
    """Take an editor's trims, order, speeds, transitions and fades over into the film file."""
    from filmwright.direction.film.opened import open_film
    from filmwright.direction.timeline.exchange import read_timeline
    from filmwright.direction.timeline.film_edit import edit_of_film, take_over

    opened = open_film(film)
    folder = _folder(film, media)
    ours, _ = edit_of_film(opened, folder)
    came = read_timeline(source, rate=ours.rate, start=ours.start)
    taken = take_over(opened, folder, came, write=not dry_run)
    if as_json:
        told = {"film": str(film), "written": not dry_run and bool(taken.found.changes), "left": taken.left,
                "changes": [change.plain() for change in taken.found.changes], "rerender": dict(taken.rerender),
                "notes": came.notes}  # fmt: skip
        if taken.refusal:
            refused = {"code": BadRequest.code, "message": taken.refusal}
            told |= {"written": False, "error": refused}
        typer.echo(json.dumps(told, ensure_ascii=False))
        if taken.refusal:
            raise typer.Exit(BadRequest.exit_code)
        return
    for note in came.notes:
        typer.echo(f"read: {note}", err=True)
    for change in taken.found.changes:
        typer.echo(f"{change.kind:<11}{change.sentence}")
    for line in taken.left:
        typer.echo(f"not taken over: {line}", err=True)
    if taken.refusal:
        raise BadRequest(taken.refusal)
    if not taken.found.changes:
        typer.echo("nothing changed")
    elif dry_run:
        typer.echo(f"{film}: unchanged; without --dry-run it takes this over")
    else:
        again = (
            f"; `filmwright film build {film}` renders {', '.join(taken.rerender)}" if taken.rerender else ""
        )
        typer.echo(f"{film}: taken over{again}")


def _folder(film: Path, media: Path | None) -> Path:
    """The folder of the media; one that was named has to be there."""
    if media is not None:
        check_folder(media)
        return media.absolute()
    folder = film.absolute().parent / "media"
    if folder.exists() and not folder.is_dir():
        raise BadRequest(f"{folder} is a file: name a folder for the rendered shots with --media")
    return folder
