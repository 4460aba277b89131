"""A film on one page: frames and words of every shot, as a picture and as a storyboard in HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.direction.build.graph import name_of, takes_of
from filmwright.direction.build.store import Store
from filmwright.direction.film.drafts import Draft
from filmwright.direction.film.opened import OpenFilm
from filmwright.media.lossless import stream_frames
from filmwright.media.sheet import contact_sheet, save_png_atomic
from filmwright.media.storyboard import Panel, save_storyboard

__all__ = ["write_sheet"]

SHOWN = 3  # frames a shot
EMPTY = (226, 224, 218)  # a shot that is not rendered


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shot:
    """The selected take of a shot, and frames of it [H,W,3] where it is rendered."""

    draft: Draft
    frames: tuple[NDArray[np.uint8], ...]

    @property
    def strip(self) -> NDArray[np.uint8]:
        """What stands for it on the sheet [n,H,W,3]."""
        if self.frames:
            return np.stack(self.frames)
        request = self.draft.request
        return np.full((SHOWN, request.height, request.width, 3), EMPTY, np.uint8)


def write_sheet(film: OpenFilm, store: Store, out: Path) -> tuple[Path, Path]:
    """Writes `out`.png, a contact sheet of the selected takes, and `out`.html, a storyboard with their words.

    Raises:
        MediaError: they cannot be written.
    """
    takes = takes_of(film, store)
    shots: dict[str, _Shot] = {}
    for shot, draft in film.selected().items():
        node = takes[name_of(draft)].node
        frames = () if node is None else _spread(store.blob_path(node.outputs["frames"]), draft)
        shots[shot] = _Shot(draft=draft, frames=frames)
    picture, page = out.with_suffix(".png"), out.with_suffix(".html")
    listed = [shots[shot.id] for shot in film.film.shots]
    sheet = contact_sheet(
        [shot.strip for shot in listed],
        [f"{shot.draft.shot}: {shot.draft.request.prompt}" for shot in listed],
        columns=2,
        frames_per_clip=SHOWN,
    )
    save_png_atomic(sheet, picture)
    cut = film.cut()
    about = f"{len(listed)} shots, {cut.seconds:.1f} s, {cut.width}x{cut.height} at {cut.fps} fps"
    save_storyboard(_panels(film, shots), page, title=film.film.title, about=about)
    return picture, page


def _spread(path: Path, draft: Draft) -> tuple[NDArray[np.uint8], ...]:
    """First, middle and last frame, or the one there is."""
    last = draft.request.num_frames - 1
    wanted = set(np.unique(np.linspace(0, last, SHOWN).round().astype(int)).tolist())
    return tuple(frame for index, frame in enumerate(stream_frames(path)) if index in wanted)


def _panels(film: OpenFilm, shots: dict[str, _Shot]) -> Iterator[Panel]:
    """A panel a shot, in the file's order, with where it is first seen and how long it plays in all."""
    cut = film.cut()
    for sequence in film.film.sequences:
        for shot in sequence.shots:
            seen, draft = shots[shot.id], shots[shot.id].draft
            played = [event for event in cut.events if event.source.shot == shot.id]
            request = draft.request
            facts = {"take": str(draft.take), "seed": str(request.seed), "model": request.model}
            facts["length"] = "keyframe" if draft.still else f"{request.shape.seconds:.2f} s"
            yield Panel(
                name=shot.id,
                words=request.prompt,
                start=played[0].record_start / cut.fps if played else None,
                seconds=sum(event.num_frames for event in played) / cut.fps,
                stills=seen.frames,
                note=shot.note or "",
                facts=facts if seen.frames else {**facts, "state": "not rendered"},
                section=sequence.id,
                about=sequence.note or "",
            )
