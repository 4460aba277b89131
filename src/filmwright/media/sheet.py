"""Contact sheets: many clips on one page, each a strip of frames with its caption, to be looked at by eye."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from filmwright.media.files import replacing
from filmwright.spec.errors import MediaError

__all__ = ["contact_sheet", "save_png_atomic"]

GAP = 8  # pixels around a strip
FONT_SIZE = 13
LINE = 17  # pixels a line of caption
CAPTION_LINES = 3
PAPER, INK = (250, 249, 246), (30, 30, 34)


def contact_sheet(
    clips: Sequence[NDArray[np.uint8]], labels: Sequence[str], columns: int, *, frames_per_clip: int = 4
) -> Image.Image:
    """Lay clips out in rows of `columns`, each as `frames_per_clip` frames evenly spread from first to last.

    Args:
        clips: uint8 [T,H,W,3] each; sizes may differ, a cell is as large as the largest needs.
        labels: a caption a clip, wrapped to three lines.
        columns: clips a row.
        frames_per_clip: frames of a clip shown side by side.

    Raises:
        MediaError: no clip, or not one label a clip.
    """
    if not clips or len(clips) != len(labels) or columns < 1 or frames_per_clip < 1:
        raise MediaError(f"cannot lay out {len(clips)} clips with {len(labels)} labels in {columns} columns")
    strips = [_strip(clip, frames_per_clip) for clip in clips]
    font = ImageFont.load_default(FONT_SIZE)
    cell_width = max(strip.width for strip in strips) + 2 * GAP
    letters = max(int((cell_width - 2 * GAP) / font.getlength("n")), 8)
    captions = [
        textwrap.wrap(label, letters, max_lines=CAPTION_LINES, placeholder=" ...") or [""] for label in labels
    ]
    cell_height = max(strip.height for strip in strips) + LINE * max(map(len, captions)) + 2 * GAP
    columns = min(columns, len(clips))
    rows = -(-len(clips) // columns)
    page = Image.new("RGB", (cell_width * columns, cell_height * rows), PAPER)
    draw = ImageDraw.Draw(page)
    for index, (strip, caption) in enumerate(zip(strips, captions, strict=True)):
        left, top = index % columns * cell_width + GAP, index // columns * cell_height + GAP
        page.paste(strip, (left, top))
        for line, text in enumerate(caption):
            draw.text((left, top + strip.height + 2 + LINE * line), text, fill=INK, font=font)
    return page


def save_png_atomic(image: Image.Image, path: Path | str) -> None:
    """Write a PNG that appears whole or not at all.

    Raises:
        MediaError: the disk is full, or the folder cannot be written.
    """
    with replacing(Path(path)) as part:
        image.save(part, format="PNG")


def _strip(clip: NDArray[np.uint8], count: int) -> Image.Image:
    """`count` frames side by side with a hair of paper between them."""
    shown = np.unique(np.linspace(0, len(clip) - 1, count).round().astype(int))
    _, height, width, _ = clip.shape
    strip = Image.new("RGB", ((width + 2) * len(shown) - 2, height), PAPER)
    for slot, at in enumerate(shown):
        strip.paste(Image.fromarray(clip[at]), (slot * (width + 2), 0))
    return strip
