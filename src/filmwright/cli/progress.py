"""Draws work on the terminal: one line that says what happens and how long it will take."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from filmwright.spec.events import Event, Finished, Planned, Progress, Started, Warned

if TYPE_CHECKING:
    import rich.progress

__all__ = ["Bar", "Drawing", "time_left"]

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


class Bar(ABC):
    """A bar on stderr where that is a terminal, and lines that are said beside it; a `quiet` one does neither.

    A subclass says with `_columns` what stands right of the bar, and shows it with `_start`; it goes with the block.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @abstractmethod
    def _columns(self) -> Iterable[rich.progress.ProgressColumn]:
        """What stands right of the bar."""

    def _start(self, said: str, total: float, completed: int = 0) -> None:
        if self.quiet or not sys.stderr.isatty():
            return
        if self._bar is not None:
            self._bar.stop()  # the work begins anew
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            *self._columns(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(said, total=total, completed=completed, left="")
        self._bar.start()

    def _update(self, **changes: Any) -> None:
        """As `rich.progress.Progress.update`."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, **changes)

    def _say(self, line: str) -> None:
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line, err=True)


class Drawing(Bar):
    """An `OnEvent` that draws a clip's stages, and says each warning once; a quiet one keeps them, for --json."""

    def __init__(self, *, title: str = "", quiet: bool = False) -> None:
        """`title` goes before the stage's name."""
        super().__init__(quiet=quiet)
        self.title = title
        self.warnings: list[Warned] = []

    def __enter__(self) -> Self:
        self._start(f"{self.title}starting", 1)
        return self

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case Warned() if event not in self.warnings:
                self.warnings.append(event)
                self._say(f"warning: {event.message}")
            case Planned(plan=plan):
                self._say(f"plan: {plan.line}")
            case Started(stage=stage, total=total) if self._bar is not None and self._task is not None:
                said = f"{self.title}{SAID.get(stage, stage)}"
                self._bar.reset(self._task, description=said, total=max(total, 1), completed=0)
            case Progress(done=done, total=total):
                self._update(completed=done, total=max(total, 1), left=time_left(event.seconds_left))
            case Finished() if self._bar is not None and self._task is not None:
                self._update(completed=self._bar.tasks[self._task].total)

    def _columns(self) -> Iterable[rich.progress.ProgressColumn]:
        from rich.progress import TextColumn

        return TextColumn("{task.completed:.0f}/{task.total:.0f}"), TextColumn("{task.fields[left]}")
