"""Draws a film's build on the terminal: one bar for the whole film with the time left, a line for each result."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

from filmwright.cli.progress import SAID, time_left

if TYPE_CHECKING:
    import rich.progress

    from filmwright.direction.build.events import BuildEvent, Told

__all__ = ["FilmDrawing"]


class FilmDrawing:
    """An `OnBuildEvent` that draws on stderr where that is a terminal; a `quiet` one only collects."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.warnings: list[Told] = []
        self.took: dict[str, float] = {}  # seconds of each result that this build made
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def __call__(self, event: BuildEvent) -> None:
        """Draw one event."""
        from filmwright.direction.build.events import BuildProgress, Counted, Made, Making, Told, Waiting

        match event:
            case Told() if event not in self.warnings:
                self.warnings.append(event)
                self._say(f"warning: {event.name}: {event.message}")
            case Counted(to_make=to_make, kept=kept) if to_make:
                self._say(f"{to_make} to make, {kept} kept")
                self._start()
            case Making(name=name, index=index, count=count):
                self._update(f"{index}/{count} {name}", None, None)
            case BuildProgress(name=name, stage=stage, share=share, seconds_left=left):
                self._update(f"{name}: {SAID.get(stage, 'cutting')}", share, left)
            case Made(name=name, seconds=seconds, shared=shared):
                if not shared:
                    self.took[name] = seconds
                self._say(f"{name}: made by another build" if shared else f"{name}: {seconds:.1f} s")
            case Waiting(name=name):
                self._say(f"{name}: another build makes it, waiting")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _start(self) -> None:
        if self.quiet or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=1.0, left="")
        self._bar.start()

    def _update(self, said: str, share: float | None, left: float | None) -> None:
        if self._bar is None or self._task is None:
            return
        self._bar.update(self._task, description=said, left=time_left(left))
        if share is not None:
            self._bar.update(self._task, completed=share)

    def _say(self, line: str) -> None:
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line, err=True)
