"""A film on one page: frames and words of every shot, as a picture and as a storyboard in HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filmwright.direction.build.graph import name_of, takes_of
from filmwright.direction.build.store import Store
from filmwright.direction.film.drafts import Draft
from filmwright.direction.film.opened import OpenFilm
from filmwright.media.files import write_atomic
from filmwright.media.lossless import stream_frames
from filmwright.media.sheet import contact_sheet, save_png_atomic

__all__ = ["write_sheet"]

SHOWN = 3  # frames a shot
EMPTY = (226, 224, 218)  # a shot that is not rendered
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #1e1e22; background: #faf9f6 }
h1 { font-size: 1.6rem } h2 { font-size: 1.1rem; margin-top: 2rem }
article { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1rem; margin: 1rem 0 }
figure { display: flex; gap: 2px; margin: 0 } figure img { width: 33%; height: auto; object-fit: contain }
h3 { font-size: 1rem; margin: 0 } p { margin: .25rem 0 } .facts { color: #63636b; font-size: .85rem }
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Panel:
    """A shot on the page."""

    draft: Draft
    frames: NDArray[np.uint8]  # [n,H,W,3]
    rendered: bool
    prompt: str

    @property
    def facts(self) -> str:
        """Take, length and seed in words."""
        request = self.draft.request
        length = "keyframe" if self.draft.still else f"{request.shape.seconds:.2f} s"
        state = "" if self.rendered else ", not rendered"
        return f"take {self.draft.take}, {length}, seed {request.seed}, {request.model}{state}"


def write_sheet(film: OpenFilm, store: Store, out: Path) -> tuple[Path, Path]:
    """Writes `out`.png, a contact sheet of the selected takes, and `out`.html, a storyboard with their words.

    Raises:
        MediaError: they cannot be written.
    """
    takes = takes_of(film, store)
    selected = film.selected()
    panels = []
    for shot in film.film.shots:
        draft = selected[shot.id]
        node = takes[name_of(draft)].node
        request = draft.request
        if node is None:
            frames = np.full((SHOWN, request.height, request.width, 3), EMPTY, np.uint8)
        else:
            frames = _spread(store.blob_path(node.outputs["frames"]), request.num_frames)
        panels.append(_Panel(draft=draft, frames=frames, rendered=node is not None, prompt=request.prompt))
    picture, page = out.with_suffix(".png"), out.with_suffix(".html")
    sheet = contact_sheet(
        [panel.frames for panel in panels],
        [f"{panel.draft.shot}: {panel.prompt}" for panel in panels],
        columns=2,
        frames_per_clip=SHOWN,
    )
    save_png_atomic(sheet, picture)
    write_atomic(page, _html(film, panels))
    return picture, page


def _spread(path: Path, count: int) -> NDArray[np.uint8]:
    """First, middle and last frame, or the one there is."""
    wanted = set(np.unique(np.linspace(0, count - 1, SHOWN).round().astype(int)).tolist())
    return np.stack([frame for index, frame in enumerate(stream_frames(path)) if index in wanted])


def _html(film: OpenFilm, panels: Sequence[_Panel]) -> str:
    said = html.escape
    cut = film.cut()
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{said(film.film.title)}</title>',
        f"<style>{STYLE}</style></head><body><h1>{said(film.film.title)}</h1>",
        f'<p class="facts">{len(panels)} shots, {cut.seconds:.1f} s, {cut.width}x{cut.height} at {cut.fps} fps</p>',
    ]
    of_shot = {panel.draft.shot: panel for panel in panels}
    for sequence in film.film.sequences:
        parts.append(f"<section><h2>{said(sequence.id)}</h2>")
        if sequence.note:
            parts.append(f"<p>{said(sequence.note)}</p>")
        for shot in sequence.shots:
            panel = of_shot[shot.id]
            images = "".join(
                f'<img alt="{said(shot.id)}, frame {n + 1} of {len(panel.frames)}" src="{_data(frame)}">'
                for n, frame in enumerate(panel.frames)
            )
            note = f"<p>{said(shot.note)}</p>" if shot.note else ""
            parts.append(
                f"<article><figure>{images}</figure><div><h3>{said(shot.id)}</h3><p>{said(panel.prompt)}</p>"
                f'{note}<p class="facts">{said(panel.facts)}</p></div></article>'
            )
        parts.append("</section>")
    return "\n".join([*parts, "</body></html>\n"])


def _data(frame: NDArray[np.uint8]) -> str:
    """A frame inside the page, so that the page is one file."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
