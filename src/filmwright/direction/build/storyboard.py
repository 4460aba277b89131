"""A film on one page: frames and words of every shot, as a picture and as a storyboard in HTML.

A shot is shown as the film shows it where it plays first: after its post, in the film's size, graded; but without
titles, fades, and what a transition mixes into it. The picture is signed as the film is; HTML cannot be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmwright.direction.build.graph import name_of, rendered, takes_of
from filmwright.direction.build.seal import Seal
from filmwright.direction.build.store import DamagedBlob, Store
from filmwright.direction.edit.conform import resized
from filmwright.direction.film.drafts import Draft
from filmwright.direction.film.opened import OpenFilm
from filmwright.media.lossless import stream_frames
from filmwright.media.post.grade import graded
from filmwright.media.sheet import contact_sheet
from filmwright.media.stills import save_still
from filmwright.media.storyboard import Panel, save_storyboard
from filmwright.spec.cut import Cut, CutEvent, Source

__all__ = ["write_sheet"]

SHOWN = 3  # frames a shot
EMPTY = (226, 224, 218)  # a shot that is not rendered


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shot:
    """The selected take of a shot, what the cut knows of it, and frames of it [H,W,3] where it is finished."""

    draft: Draft
    source: Source
    frames: tuple[NDArray[np.uint8], ...]

    @property
    def strip(self) -> NDArray[np.uint8]:
        """What stands for it on the sheet [n,H,W,3]."""
        if self.frames:
            return np.stack(self.frames)
        return np.full((SHOWN, self.source.height, self.source.width, 3), EMPTY, np.uint8)


def write_sheet(film: OpenFilm, store: Store, out: Path, seal: Seal) -> tuple[Path, Path]:
    """Writes `out`.png, a contact sheet of the selected takes, and `out`.html, a storyboard with their words.

    Raises:
        CredentialsError: the keys are unsafe, or the picture cannot be signed.
        MediaError: they cannot be written.
    """
    takes = takes_of(film, store)
    sources = {shot: rendered(takes[name_of(draft)], film, store) for shot, draft in film.selected().items()}
    cut = film.cut(sources)
    shots: dict[str, _Shot] = {}
    for shot, draft in film.selected().items():
        played = next((event for event in cut.events if event.source.shot == shot), None)
        frames = _frames(sources[shot], played, cut, store)
        shots[shot] = _Shot(draft=draft, source=sources[shot], frames=frames)
    picture, page = out.with_suffix(".png"), out.with_suffix(".html")
    listed = [shots[shot.id] for shot in film.film.shots]
    sheet = contact_sheet(
        [shot.strip for shot in listed],
        [f"{shot.draft.shot}: {shot.draft.request.prompt}" for shot in listed],
        columns=2,
        frames_per_clip=SHOWN,
    )
    shown = [shot.source for shot in listed if shot.frames]
    save_still(
        sheet, picture, comment=seal.mark(picture), seal=partial(seal.put_on_sheet, picture.name, shown)
    )
    about = f"{len(listed)} shots, {cut.seconds:.1f} s, {cut.width}x{cut.height} at {cut.fps} fps"
    save_storyboard(_panels(film, cut, shots), page, title=film.film.title, about=about)
    return picture, page


def _frames(source: Source, played: CutEvent | None, cut: Cut, store: Store) -> tuple[NDArray[np.uint8], ...]:
    """First, middle and last frame that the film plays of a shot, or that there is; none where it is not finished."""
    try:
        if source.path is None or source.clip is None:
            return ()
        store.proved(source.clip)
        store.proved(source.path)
    except DamagedBlob:
        return ()
    last = (source.num_frames if played is None else played.num_frames) - 1
    spread = np.unique(np.linspace(0, last, SHOWN).round().astype(int)).tolist()
    wanted = [at if played is None else played.source_frame(at, cut.fps) for at in spread]
    found = {at: frame for at, frame in enumerate(stream_frames(source.path)) if at in wanted}
    if played is None:
        return tuple(found[at] for at in wanted)
    return tuple(graded(resized(found[at], cut.width, cut.height), played.grade) for at in wanted)


def _panels(film: OpenFilm, cut: Cut, shots: dict[str, _Shot]) -> Iterator[Panel]:
    """A panel a shot, in the file's order, with where it is first seen and how long it plays in all."""
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
