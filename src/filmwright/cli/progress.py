"""Draws the stream of events on the terminal: one line that says what happens and how long it will take."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

from filmwright.spec.events import Event, Finished, Planned, Progress, Started, Warned

if TYPE_CHECKING:
    import rich.progress

__all__ = ["Drawing", "time_left"]

SAID = {
    "load": "loading weights",
    "encode": "reading the prompt",
    "denoise": "denoising",
    "decode": "decoding",
    "write": "writing",
}


def time_left(seconds: float | None) -> str:
    """Seconds as "1:05 left", or nothing while unknown."""
    if seconds is None:
        return ""
    whole = max(round(seconds), 0)
    return f"{whole // 60}:{whole % 60:02d} left"


class Drawing:
    """An `OnEvent` that draws a bar on stderr where that is a terminal, and always says each warning once."""

    def __init__(self, *, title: str = "", quiet: bool = False) -> None:
        """`title` goes before the stage's name; a `quiet` drawing only collects warnings, for --json."""
        self.title, self.quiet = title, quiet
        self.warnings: list[Warned] = []
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case Warned() if event not in self.warnings:
                self.warnings.append(event)
                if not self.quiet:
                    self._say(f"warning: {event.message}")
            case Planned(plan=plan):
                if not self.quiet:
                    self._say(f"plan: {plan.line}")
            case Started(stage=stage, total=total) if self._bar is not None and self._task is not None:
                said = f"{self.title}{SAID.get(stage, stage)}"
                self._bar.reset(self._task, description=said, total=max(total, 1), completed=0)
            case Progress(done=done, total=total) if self._bar is not None and self._task is not None:
                left = time_left(event.seconds_left)
                self._bar.update(self._task, completed=done, total=max(total, 1), left=left)
            case Finished() if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=self._bar.tasks[self._task].total)

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[left]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(f"{self.title}starting", total=1, left="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line, err=True)
