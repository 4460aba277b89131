"""Draws a film's build on the terminal: one bar for the whole film with the time left, a line for each result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from filmwright.cli.progress import SAID, Bar, time_left

if TYPE_CHECKING:
    import rich.progress

    from filmwright.direction.build.events import BuildEvent, Told

__all__ = ["FilmDrawing"]


class FilmDrawing(Bar):
    """An `OnBuildEvent` that draws a build; a quiet one only collects."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self.warnings: list[Told] = []
        self.took: dict[str, float] = {}  # seconds of each result that this build made

    def __call__(self, event: BuildEvent) -> None:
        """Draw one event."""
        from filmwright.direction.build.events import BuildProgress, Counted, Made, Making, Told, Waiting

        match event:
            case Told() if event not in self.warnings:
                self.warnings.append(event)
                self._say(f"warning: {event.name}: {event.message}")
            case Counted(to_make=to_make, kept=kept) if to_make:
                self._say(f"{to_make} to make, {kept} kept")
                self._start("starting", 1.0)
            case Making(name=name, index=index, count=count):
                self._update(description=f"{index}/{count} {name}", left="")
            case BuildProgress(name=name, stage=stage, share=share, seconds_left=left):
                said = f"{name}: {SAID.get(stage, 'cutting')}"
                self._update(description=said, completed=share, left=time_left(left))
            case Made(name=name, seconds=seconds, shared=shared):
                if not shared:
                    self.took[name] = seconds
                self._say(f"{name}: made by another build" if shared else f"{name}: {seconds:.1f} s")
            case Waiting(name=name):
                self._say(f"{name}: another build makes it, waiting")

    def _columns(self) -> Iterable[rich.progress.ProgressColumn]:
        from rich.progress import TaskProgressColumn, TextColumn

        return TaskProgressColumn(), TextColumn("{task.fields[left]}")
