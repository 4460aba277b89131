"""`filmwright resume`: a run that died is finished from where it was."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filmwright.cli import options
from filmwright.cli.progress import Drawing

if TYPE_CHECKING:
    from filmwright.engine.runs import Unfinished

__all__ = ["resume"]


def resume(
    clip: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CLIP.mp4]",
            help="Where the run's clip goes; the newest run if not given.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show all runs that have not ended.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Throw away what the run has reached.")] = False,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda or cuda:0; where it ran if not given.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Finish a clip whose run was stopped or died."""
    from filmwright.engine.credentials import inputs_of
    from filmwright.engine.early import check_device, check_start
    from filmwright.engine.runs import pick_run, unfinished
    from filmwright.engine.sidecar import sidecar_path
    from filmwright.media.beside import check_beside
    from filmwright.media.files import check_output

    check_device(device)
    if show:
        say_runs(unfinished(), as_json=as_json)
        return
    run = pick_run(clip)
    path = run.record.path
    if forget:
        shutil.rmtree(run.folder)
        typer.echo(json.dumps({"forgotten": str(path)}) if as_json else f"{path}: {run.said}, forgotten")
        return
    check_output(path, suffixes=(".mp4",))
    check_output(sidecar_path(path))
    check_beside(path, inputs_of(run.record.request))
    place = device or run.record.device
    check_start(run.record.request, device=place, weights=run.record.weights_folder, sign=run.record.sign)

    from filmwright.engine.devices import pick_device
    from filmwright.engine.generate import generate_file

    if not as_json:
        typer.echo(f"{path}: goes on, {run.said}", err=True)
    with Drawing(quiet=as_json) as drawing:
        generate_file(
            run.record.request,
            path,
            on_event=drawing,
            device=pick_device(place),
            weights=run.record.weights_folder,
            sign=run.record.sign,
            private=run.record.private,
            lone=True,
        )
    shape = run.record.request.shape
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "path": str(path),
                    "sidecar": str(sidecar_path(path)),
                    "seconds": run.record.request.shape.seconds,
                }
            )
        )
    else:
        typer.echo(f"{path}: {shape.num_frames} frames, {shape.seconds:.2f} s")


def say_runs(runs: list[Unfinished], *, as_json: bool) -> None:
    """A line for each run: where its clip goes, how far it has come, when, and its prompt."""
    if as_json:
        typer.echo(json.dumps({"runs": [_plain(run) for run in runs]}, ensure_ascii=False))
        return
    if not runs:
        typer.echo("no run is unfinished")
    for run in runs:
        minutes = max(time.time() - run.changed, 0.0) / 60
        when = (
            "running now"
            if run.running
            else f"{minutes:.0f} min ago"
            if minutes < 120
            else f"{minutes / 60:.0f} h ago"
        )
        typer.echo(f"{run.record.path}: {run.said}, {when}: {run.record.request.prompt[:60]}")


def _plain(run: Unfinished) -> dict[str, Any]:
    return {
        "path": str(run.record.path),
        "prompt": run.record.request.prompt,
        "model": run.record.request.model,
        "steps_done": run.steps_done,
        "steps": run.steps,
        "denoised": run.denoised,
        "running": run.running,
    }
