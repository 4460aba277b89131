from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filmwright.media.storyboard import Panel, save_storyboard
from filmwright.spec.errors import MediaError


def panels() -> Iterator[Panel]:
    still = np.full((90, 960, 3), (200, 60, 20), np.uint8)
    yield Panel(
        name="sh010",
        words='a <script>alert("x")</script> ball',
        start=0,
        seconds=2.0625,
        stills=(still,),
        facts={"seed": "7"},
    )
    yield Panel(name="sh020", words="not rendered yet", start=62.0625, seconds=1)


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def test_shots_are_in_order_with_their_words_and_pictures(tmp_path: Path) -> None:
    text = save_storyboard(panels(), tmp_path / "film.html", title="Ball & <b>").read_text()
    seen = Seen()
    seen.feed(text)
    assert seen.tags.count("li") == 2
    assert "script" not in seen.tags
    assert "b" not in seen.tags
    assert 'a <script>alert("x")</script> ball' in seen.words
    assert seen.words.index("1. sh010") < seen.words.index("2. sh020")
    assert "1:02.06, 1.00 s" in seen.words
    (still,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    with Image.open(io.BytesIO(base64.b64decode(still))) as image:
        assert image.size == (480, 45)
        assert np.abs(np.asarray(image, int) - (200, 60, 20)).max() <= 3
    assert not re.search(r'(src|href)="(?!data:)', text)  # nothing is loaded from elsewhere


def test_a_film_without_shots_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no shot"):
        save_storyboard([], tmp_path / "film.html", title="x")
    assert list(tmp_path.iterdir()) == []
