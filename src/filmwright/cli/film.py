"""`filmwright film`: a film as a text file, and what it takes to build it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filmwright.cli import options
from filmwright.cli.film_drawing import FilmDrawing
from filmwright.spec.errors import BadFilm, BadRequest
from filmwright.spec.plan import parse_memory, say_bytes, say_seconds

if TYPE_CHECKING:
    from filmwright.direction.build.status import State
    from filmwright.direction.film.opened import OpenFilm

__all__ = ["film_app"]

film_app = typer.Typer(help="A film as a text file: only what has changed is rendered.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="[FILM]", help="The film file.", show_default="film.yaml")]
Film = Annotated[Path, typer.Option("--film", metavar="FILE", help="The film file.")]
ShotName = Annotated[str, typer.Argument(metavar="SHOT", help="A shot's id.")]
DEFAULT = Path("film.yaml")
SAID = {
    "clean": "clean: it is in the store",
    "dirty": "dirty: it was built from other inputs",
    "missing": "missing: it was never built here",
    "swept": "swept: its inputs are the same, it would be made again",
    "damaged": "damaged: its inputs are the same, it would be made again",
    "waits": "waits for another shot",
}
AGAIN = {"swept": "; was swept, made again", "damaged": "; is damaged, made again"}


@film_app.command()
def new(file: File = DEFAULT, as_json: options.Json = False) -> None:
    """Write an example film file, never over one that is there."""
    from filmwright.direction.film.new import SCHEMA_NAME, new_film

    path = new_film(file)
    if as_json:
        _print({"path": str(path), "schema": str(path.with_name(SCHEMA_NAME))})
    else:
        typer.echo(f"{path}: change it, then `filmwright film build {path}`")


@film_app.command()
def schema() -> None:
    """Print the JSON Schema of film files, for editors."""
    from filmwright.direction.film.new import schema_text

    typer.echo(schema_text(), nl=False)


@film_app.command()
def check(
    file: File = DEFAULT,
    strict: Annotated[
        bool, typer.Option("--strict", help="Take what is said of prompts for mistakes too.")
    ] = False,
    store: Annotated[
        bool, typer.Option("--store", help="Read every byte of the store too, and remove what is damaged.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say all that is wrong with a film file, with line and column, and what makes its prompts weak."""
    from filmwright.direction.film.prompts import prompt_findings

    film = _open(file)
    cut = film.cut()
    findings = prompt_findings(film)
    if strict and findings:
        raise BadFilm(f"{file}:{found.line}:{found.column}: {found.said}" for found in findings)
    damaged: list[str] = []
    if store:
        from filmwright.direction.build.store import Store

        damaged = Store().check()
    if as_json:
        _print(
            {
                "path": str(file),
                "shots": len(film.film.shots),
                "takes": len(film.drafts),
                "seconds": cut.seconds,
                "num_frames": cut.num_frames,
                "warnings": [found.plain() for found in findings],
                "damaged": damaged,
            }
        )
        return
    for found in findings:
        typer.echo(f"{file}:{found.line}:{found.column}: warning: {found.said}", err=True)
    said = "no mistakes" if not findings else f"no mistakes, {_many(len(findings), 'warning')}"
    typer.echo(
        f"{file}: {len(film.film.shots)} shots, {len(film.drafts)} takes, {cut.seconds:.2f} s of film, {said}"
    )
    if store:
        for path in damaged:
            typer.echo(f"damaged and removed: {path}")
        typer.echo(
            f"store: {len(damaged)} damaged files" + ("; build again to make them anew" if damaged else "")
        )


@film_app.command()
def plan(
    file: File = DEFAULT,
    only: Annotated[str | None, typer.Option("--only", metavar="SHOT", help="One shot.")] = None,
    device: options.Device = None,
    memory: options.Memory = None,
    as_json: options.Json = False,
) -> None:
    """Say what a build would render, and what it needs; nothing is made."""
    from filmwright.direction.build.forecast import forecast, to_make
    from filmwright.direction.build.store import Store
    from filmwright.engine.build_request import check_device

    check_device(device)
    film = _open(file)
    store = Store()
    rows = forecast(film, store, only=only, device=device, memory=parse_memory(memory) if memory else None)
    states = {state.name: state for state in to_make(film, store, only=only)}
    known = [row.seconds for row in rows if row.seconds is not None]
    total = sum(known) if len(known) == len(rows) else None
    peak = max((row.peak for row in rows), default=0)
    if as_json:
        _print(
            {
                "to_render": [row.plain() | {"state": states[row.name].state} for row in rows],
                "to_make": [{"name": state.name, "state": state.state} for state in states.values()],
                "seconds": total,
                "peak": peak,
            }
        )
        return
    for row in rows:
        time = "time unknown" if row.seconds is None else say_seconds(row.seconds)
        what = f"{row.width}x{row.height}, {_many(row.num_frames, 'frame')}, {row.model}"
        again = AGAIN.get(states[row.name].state, "")
        typer.echo(f"{row.name:<20} {what}, {say_bytes(row.peak)}, {time}{again}")
    others = [state for state in states.values() if state.name not in {row.name for row in rows}]
    for state in others:
        typer.echo(f"{state.name:<20} made of what is rendered{AGAIN.get(state.state, '')}")
    if not rows:
        typer.echo(
            f"nothing to render, {_many(len(others), 'result')} to make" if others else "nothing to render"
        )
    else:
        time = "time unknown until the first is rendered" if total is None else f"about {say_seconds(total)}"
        typer.echo(f"{_many(len(rows), 'take')} to render, {time}, {say_bytes(peak)} at most")


@film_app.command()
def build(
    file: File = DEFAULT,
    only: Annotated[
        str | None, typer.Option("--only", metavar="SHOT", help="One shot and what it starts from.")
    ] = None,
    takes: Annotated[bool, typer.Option("--takes", help="All takes, selected or not.")] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Sign without words, models, seeds and shots.")
    ] = False,
    no_sign: Annotated[bool, typer.Option("--no-sign", help="Do not sign the deliverables.")] = False,
    device: options.Device = None,
    memory: options.Memory = None,
    as_json: options.Json = False,
) -> None:
    """Render what has changed, and write the film."""
    from filmwright.direction.build.builder import build as build_film
    from filmwright.engine.build_request import check_device

    check_device(device)
    if private and no_sign:
        raise BadRequest("--private says how to sign, --no-sign not to: give one of them")
    budget = parse_memory(memory) if memory else None
    film = _open(file)
    with FilmDrawing(quiet=as_json) as drawing:
        built = build_film(
            film, only=only, all_takes=takes, device=device, memory=budget, sign=not no_sign, private=private,
            on_event=drawing,
        )  # fmt: skip
    if as_json:
        _print(
            {
                "made": built.made,
                "took": {name: round(seconds, 3) for name, seconds in drawing.took.items()},
                "kept": built.kept,
                "files": [str(path) for path in built.files],
                "seconds": built.cut.seconds,
                "warnings": [
                    {"name": told.name, "code": told.code, "message": told.message}
                    for told in drawing.warnings
                ],
            }
        )
        return
    rendered = [name for name in built.made if not name.startswith("->") and " " not in name]
    typer.echo(f"{_many(len(rendered), 'take')} rendered, {_many(len(built.kept), 'result')} kept")
    for output in film.outputs if built.files else ():
        length = "" if output.kind == "poster" else f": {built.cut.seconds:.2f} s"
        typer.echo(f"{output.path}{length}")


@film_app.command()
def status(
    file: File = DEFAULT,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every byte of what is there, not size and time of change.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say of every take whether it is there."""
    from filmwright.direction.build.status import states
    from filmwright.direction.build.store import Store

    found = states(_open(file), Store(), thorough=verify)
    if as_json:
        _print({"results": [_plain(state) for state in found]})
        return
    for state in found:
        mark = "*" if state.take is not None and state.selected else " "
        sealed = f" ({state.sealed})" if state.sealed else ""
        typer.echo(f"{state.state:<8} {mark} {state.name}{sealed}")


@film_app.command()
def explain(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[SHOT|FILE]", help="A shot's id or a deliverable; all if not given."),
    ] = None,
    film: Film = DEFAULT,
    as_json: options.Json = False,
) -> None:
    """Say which input makes a shot or a deliverable dirty: its old value and its new one."""
    from filmwright.direction.build.status import explain as explained
    from filmwright.direction.build.status import states
    from filmwright.direction.build.store import Store

    opened = _open(film)
    files = [output.path for output in opened.outputs]
    if name is None or Path(name).absolute() in files or name in [path.name for path in files]:
        found = tuple(
            state
            for state in states(opened, Store())
            if name is None
            or (state.shot is None and Path(state.name.removeprefix("-> ")).name == Path(name).name)
        )
    else:
        _check_shot(opened, name, [path.name for path in files])
        found = explained(opened, Store(), name)
    if as_json:
        _print({"results": [_plain(state) for state in found]})
        return
    for state in found:
        typer.echo(f"{state.name}: {SAID[state.state]}")
        for reason in state.reasons:
            if state.state in {"dirty", "waits"}:
                typer.echo(f"    {reason.line}")


@film_app.command()
def takes(
    shot: ShotName,
    film: Film = DEFAULT,
    add: Annotated[
        int | None, typer.Option("--add", metavar="N", help="Add so many takes with new seeds to the file.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List a shot's takes, or add some."""
    from filmwright.direction.build.graph import Take
    from filmwright.direction.build.status import states
    from filmwright.direction.build.store import Store
    from filmwright.direction.film.change import add_takes

    opened = _open(film)
    _check_shot(opened, shot)
    if add is not None:
        add_takes(film, shot, add)
        opened = _open(film)
    store = Store()
    rows = []
    for state in states(opened, store):
        if state.shot == shot and isinstance(state.result, Take):
            draft = next(d for d in opened.drafts if (d.shot, d.take) == (shot, state.take))
            node = state.result.node
            clip = str(store.blob_path(node.outputs["clip"])) if node else None
            rows.append({**_plain(state), "seed": draft.request.seed, "clip": clip})
    if as_json:
        _print({"shot": shot, "takes": rows})
        return
    for row in rows:
        mark = "*" if row["selected"] else " "
        typer.echo(
            f"{mark} take {row['take']}  seed {row['seed']}  {row['state']}  {row['clip'] or ''}".rstrip()
        )
    if add is not None:
        typer.echo(f"{_many(add, 'take')} added: `filmwright film build --only {shot} --takes` renders them")


@film_app.command()
def select(
    shot: ShotName,
    take: Annotated[int, typer.Argument(metavar="TAKE", help="The first is 1.")],
    film: Film = DEFAULT,
    as_json: options.Json = False,
) -> None:
    """Select a shot's take in the film file; its comments stay."""
    from filmwright.direction.film.change import select_take

    _open(film)
    select_take(film, shot, take)
    if as_json:
        _print({"shot": shot, "take": take})
    else:
        typer.echo(f"{film}: shot {shot} plays take {take}")


@film_app.command()
def sheet(
    file: File = DEFAULT,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="PATH", help="PATH.png and PATH.html.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Sign the picture without words, models, seeds and shots.")
    ] = False,
    no_sign: Annotated[bool, typer.Option("--no-sign", help="Do not sign the picture.")] = False,
    as_json: options.Json = False,
) -> None:
    """Write a contact sheet and a storyboard of the film: its shots as it shows them, with their words."""
    if private and no_sign:
        raise BadRequest("--private says how to sign, --no-sign not to: give one of them")
    from filmwright.direction.build.store import Store
    from filmwright.media.files import check_output

    opened = _open(file)
    place = out or file.with_name(f"{file.stem}-sheet")
    for suffix in (".png", ".html"):
        check_output(place.with_suffix(suffix))

    from filmwright.direction.build.seal import seal_of
    from filmwright.direction.build.storyboard import write_sheet

    seal = seal_of(opened, sign=not no_sign, private=private)
    written = write_sheet(opened, Store(), place, seal)
    if as_json:
        _print({"files": [str(path) for path in written]})
    else:
        for path in written:
            typer.echo(str(path))


@film_app.command()
def gc(
    keep: Annotated[str, typer.Option("--keep", metavar="20GB", help="What the store may hold.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: options.Json = False,
) -> None:
    """Sweep the store: what was not used for longest goes first, until it is small enough."""
    from filmwright.direction.build.store import Store

    size = 0 if keep.strip() in {"0", "0GB", "0MB", "0B"} else parse_memory(keep)
    swept = Store().gc(size, dry_run=dry_run)
    if as_json:
        gone = [{"names": [list(name) for name in item.names], "stage": item.stage, "freed": item.freed}
                for item in swept.gone]  # fmt: skip
        _print(
            {
                "removed": swept.nodes,
                "freed": swept.freed,
                "kept": swept.kept,
                "dry_run": dry_run,
                "gone": gone,
            }
        )
        return
    for item in swept.gone if dry_run else ():
        said = (
            ", ".join(f"{name} of {film}" for film, name in item.names)
            or f"{item.stage}, of no film as it is now"
        )
        typer.echo(f"{said}: {say_bytes(item.freed)}")
    done = ("would be removed", "would be freed") if dry_run else ("removed", "freed")
    typer.echo(
        f"{_many(swept.nodes, 'result')} {done[0]}, {say_bytes(swept.freed)} {done[1]}, {say_bytes(swept.kept)} kept"
    )


def _open(path: Path) -> OpenFilm:
    from filmwright.direction.film.opened import open_film

    return open_film(path)


def _check_shot(film: OpenFilm, shot: str, others: Sequence[str] = ()) -> None:
    names = [other.id for other in film.film.shots]
    if shot not in names:
        more = f"; deliverables are {', '.join(others)}" if others else ""
        raise BadRequest(f"there is no shot {shot!r}: there is {', '.join(names)}{more}")


def _plain(state: State) -> dict[str, Any]:
    return {
        "name": state.name,
        "shot": state.shot,
        "take": state.take,
        "selected": state.selected,
        "state": state.state,
        "sealed": state.sealed,
        "key": state.result.key,
        "reasons": [
            {"what": reason.what, "before": reason.before, "now": reason.now, "said": reason.line}
            for reason in state.reasons
        ],
    }


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _print(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False))
