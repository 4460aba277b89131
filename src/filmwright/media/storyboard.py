"""A storyboard: one HTML file that shows a film shot by shot, with its pictures inside it, to be sent and printed.

It loads nothing, runs nothing and says so to the browser (Content-Security-Policy); all words are escaped. Panels are
written as they come, so that a long film is not held.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filmwright.media.files import check_output, replacing
from filmwright.spec.errors import MediaError

__all__ = ["Panel", "save_storyboard"]

STILL_WIDTH = 480  # pixels
STYLE = """
body{margin:2rem;font:15px/1.45 system-ui,sans-serif;color:#1e1e22;background:#faf9f6}
ol{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1.5rem}
li{break-inside:avoid}figure{display:flex;gap:2px;margin:0}img{flex:1;min-width:0;height:auto;background:#ddd}
h1{margin-bottom:0}h2{font-size:1.15rem;margin:1.6rem 0 0}h3{font-size:1rem;margin:.4rem 0 0}
p{margin:.2rem 0}.time,dl{color:#66666e;font-size:.85rem}dl{display:flex;flex-wrap:wrap;gap:0 1rem;margin:.2rem 0}
dt,dd{display:inline;margin:0}dt::after{content:": "}
"""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A shot: its name and words, where it starts (None: it is not in the film by itself) and how long it plays in
    seconds, stills uint8 [H,W,3] sRGB side by side (none, where it is not rendered yet), a note, and further facts such
    as model, seed and take.

    Panels of one `section`, a sequence of the film, stand under its name, and under `about` if that says anything.
    """

    name: str
    words: str
    start: float | None
    seconds: float
    stills: tuple[NDArray[np.uint8], ...] = ()
    note: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    section: str = ""
    about: str = ""


def save_storyboard(panels: Iterable[Panel], path: Path | str, *, title: str, about: str = "") -> Path:
    """Write the storyboard of a film as HTML, with a line `about` it; it appears whole or not at all.

    Raises:
        MediaError: it cannot be written, or there is no panel.
    """
    path = check_output(path, suffixes=(".html",))
    count, section, opened = 0, "", False
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        said = html.escape(title)
        file.write(
            '<!doctype html>\n<html lang="en"><meta charset="utf-8">\n'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
            "style-src 'unsafe-inline'\">\n"
            f"<title>{said}</title>\n<style>{STYLE}</style>\n<h1>{said}</h1>\n"
            f"{_paragraph(about, 'time')}"
        )
        for panel in panels:
            if panel.section != section:
                section = panel.section
                file.write("</ol>\n" if opened else "")
                file.write(f"<h2>{html.escape(section)}</h2>\n{_paragraph(panel.about)}")
                opened = False
            file.write("" if opened else "<ol>\n")
            opened = True
            count += 1
            file.write(_item(count, panel))
        file.write("</ol>\n</html>\n")
        if not count:
            raise MediaError(f"cannot write {path}: the film has no shot")
    return path


def _item(number: int, panel: Panel) -> str:
    stills = "".join(
        f'<img src="data:image/jpeg;base64,{base64.b64encode(_jpeg(still)).decode()}" alt="{html.escape(panel.name)}">'
        for still in panel.stills
    )
    facts = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in panel.facts.items()
    )
    return (
        f"<li>{f'<figure>{stills}</figure>' if stills else ''}<h3>{number}. {html.escape(panel.name)}</h3>"
        f'<p class="time">{_time(panel)}</p>'
        f"<p>{html.escape(panel.words)}</p>{_paragraph(panel.note)}<dl>{facts}</dl></li>\n"
    )


def _time(panel: Panel) -> str:
    if panel.start is None:
        return "not in the film by itself"
    minutes, rest = divmod(panel.start, 60)
    return f"{int(minutes)}:{rest:05.2f}, {panel.seconds:.2f} s"


def _paragraph(text: str, kind: str = "") -> str:
    if not text:
        return ""
    return f"<p{f' class={kind}' if kind else ''}>{html.escape(text)}</p>\n"


def _jpeg(still: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(still)
    if image.width > STILL_WIDTH:
        height = max(round(image.height * STILL_WIDTH / image.width), 1)
        image = image.resize((STILL_WIDTH, height), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, format="JPEG", quality=85)
    return content.getvalue()
