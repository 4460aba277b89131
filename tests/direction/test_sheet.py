"""The film on one page: what it shows of each shot, and what its picture is signed with."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from filmwright.cli.main import run
from filmwright.direction.build.builder import build
from filmwright.direction.build.graph import takes_of
from filmwright.direction.build.store import Store
from filmwright.direction.film.opened import open_film
from filmwright.media.lossless import stream_frames
from filmwright.provenance.verdict import verify_file


def stills(page: Path, shot: str) -> list[NDArray[np.int64]]:
    """The pictures of a shot in the storyboard."""
    text = page.read_text()
    found = re.findall(rf'<img src="data:image/jpeg;base64,([^"]*)" alt="{shot}">', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(item))), int) for item in found]


def sheet(film: Path, *options: str) -> tuple[Path, Path]:
    assert run(["film", "sheet", str(film), *options]) == 0
    return film.with_name("film-sheet.png"), film.with_name("film-sheet.html")


def test_the_picture_is_signed_with_its_shots(film: Path) -> None:
    picture, _ = sheet(film)
    verdict = verify_file(picture)
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert verdict.made.title == "film-sheet.png"
    assert [part.title for part in verdict.made.ingredients] == [
        "k, take 1",
        "a, take 1",
        "b, take 1",
        "c, take 1",
    ]
    assert verdict.made.ingredients[-1].generation is not None
    assert verdict.made.ingredients[-1].generation["prompt"] == "a blue cube spins on sand"
    verdict = verify_file(sheet(film, "--private")[0])
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert verdict.made.ingredients == ()
    assert verify_file(sheet(film, "--no-sign")[0]).state == "unsigned"
    assert run(["film", "sheet", str(film), "--no-sign", "--private"]) == 2


def test_shots_are_shown_as_the_film_shows_them(film: Path) -> None:
    text = film.read_text()
    film.write_text(
        text.replace("{shot: c, ", "{shot: c, grade: {cdl: {saturation: 0.0}}, ")
        .replace("{shot: a}", "{shot: a, trim: [0.25, 0.5]}")
        .replace("take: 1, prompt", "take: 1, post: [{resize: {size: 64x64}}], prompt")
    )
    build(open_film(film))
    _, page = sheet(film)
    assert [still.shape for still in stills(page, "c")] == [(128, 128, 3)] * 3  # the film's size again
    assert max(np.ptp(still, axis=-1).max() for still in stills(page, "c")) < 12, "it is graded to grey"
    assert max(np.ptp(still, axis=-1).max() for still in stills(page, "a")) > 60
    store = Store()
    node = takes_of(open_film(film), store)["a#1"].node
    assert node is not None
    frames = [frame.astype(int) for frame in stream_frames(store.blob_path(node.outputs["frames"]))]
    for still, at in zip(stills(page, "a"), (4, 6, 7), strict=True):  # of frames 4 to 7, which the film plays
        nearest = min(range(len(frames)), key=lambda index: np.abs(frames[index] - still).mean())
        assert nearest == at
    assert len(stills(page, "k")) == 1  # a keyframe is not in the film by itself
    page_text = page.read_text()
    assert "not rendered" not in page_text
    assert not re.search(r"<ol>\s*</ol>", page_text)


def test_what_is_not_finished_or_damaged_is_not_shown(film: Path) -> None:
    film.write_text(film.read_text().replace("take: 1, prompt", "take: 1, post: [deflicker], prompt"))
    store = Store()
    node = takes_of(open_film(film), store)["b#1"].node
    assert node is not None
    clip = store.blob_path(node.outputs["clip"])
    clip.write_bytes(clip.read_bytes()[:-1] + b"x")
    picture, page = sheet(film)
    assert (len(stills(page, "a")), len(stills(page, "b")), len(stills(page, "c"))) == (3, 0, 0)
    made = verify_file(picture).made
    assert made is not None
    assert [part.title for part in made.ingredients] == ["k, take 1", "a, take 1"]


@pytest.mark.parametrize("sections", [True, False])
def test_a_storyboard_has_no_empty_list(tmp_path: Path, sections: bool) -> None:
    from filmwright.media.storyboard import Panel, save_storyboard

    panels = [
        Panel(name=name, words="", start=0, seconds=1, section=f"section {name}" if sections else "")
        for name in "abc"
    ]
    text = save_storyboard(panels, tmp_path / "page.html", title="x").read_text()
    assert not re.search(r"<ol>\s*</ol>", text)
    assert text.count("<ol>") == text.count("</ol>") == (3 if sections else 1)
