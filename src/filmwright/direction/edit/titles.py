"""Words over the picture: drawn once as a layer with its transparency, laid over each frame that shows them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from filmwright.spec.cut import Title
from filmwright.spec.errors import MediaError

__all__ = ["titled"]

MARGIN = 0.06  # of the width and height, that words keep from the edges
OUTLINE = 0.06  # of a line's height: a dark rim, so that words are read on any ground
PLACES = {"upper": 0.0, "center": 0.5, "lower": 1.0}


def titled(frame: NDArray[np.uint8], index: int, title: Title) -> NDArray[np.uint8]:
    """A frame [H,W,3] with a title as it is at record frame `index`; the same frame when it does not show."""
    at = index - title.record_start
    if not 0 <= at < title.num_frames:
        return frame
    shown = 1.0
    if title.fade:
        shown = min(1.0, (at + 1) / (title.fade + 1), (title.num_frames - at) / (title.fade + 1))
    color, alpha = layer(title, frame.shape[1], frame.shape[0])
    share = alpha * shown
    return (frame * (1 - share) + color * share + 0.5).astype(np.uint8)


@lru_cache(maxsize=16)
def layer(title: Title, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colours [H,W,3] from 0 to 255 and opacity [H,W,1] from 0 to 1 of a title.

    Raises:
        MediaError: the font cannot be read.
    """
    size = max(round(title.size * height), 6)
    picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    room = width * (1 - 2 * MARGIN)
    while True:
        font = _font(title, size)
        rim = max(round(size * OUTLINE), 1)
        left, top, right, bottom = draw.multiline_textbbox(
            (0, 0), title.text, font=font, align="center", stroke_width=rim
        )
        if right - left <= room or size <= 6:
            break
        size = max(min(size - 1, int(size * room / (right - left))), 6)  # too wide: smaller, never cut off
    margin = height * MARGIN
    x = (width - (right - left)) / 2 - left
    y = margin + PLACES[title.place] * (height - 2 * margin - (bottom - top)) - top
    draw.multiline_text(
        (round(x), round(y)),
        title.text,
        font=font,
        fill=title.color,
        align="center",
        stroke_width=rim,
        stroke_fill="#000000",
    )
    values = np.asarray(picture, dtype=np.float32)
    return values[..., :3], (values[..., 3:] / 255).astype(np.float32)


def _font(title: Title, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if title.font is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(str(title.font), size)
    except (OSError, ValueError) as error:
        raise MediaError(
            f"cannot read {title.font}: it is no font; give a TrueType or OpenType file"
        ) from error
