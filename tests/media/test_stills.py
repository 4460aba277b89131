from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from filmwright.media.deliver import deliver
from filmwright.media.source import Source, open_source
from filmwright.media.stills import poster, save_still, sheet
from filmwright.spec.errors import BadRequest, MediaError


def film(tmp_path: Path, frames: np.ndarray) -> Source:
    height, width = frames.shape[1:3]
    deliver([frames], tmp_path / "film.mp4", format="h264", width=width, height=height, fps=Fraction(12))
    return open_source(tmp_path / "film.mp4")


def test_the_poster_is_the_sharpest_frame_of_the_middle(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    frames = np.stack([cv2.GaussianBlur(sharp, (0, 0), 3.0)] * 30)
    frames[2] = sharp  # sharper than all, but at the beginning
    frames[17] = cv2.GaussianBlur(sharp, (0, 0), 1.0)
    frames[14] = 0
    picture, number = poster(film(tmp_path, frames))
    assert number == 17
    assert np.abs(picture.astype(int) - frames[17]).mean() < 12


def test_a_dark_film_still_has_a_poster(tmp_path: Path) -> None:
    assert poster(film(tmp_path, np.zeros((3, 64, 64, 3), np.uint8)))[0].shape == (64, 64, 3)
    assert poster(film(tmp_path, np.full((1, 64, 64, 3), 99, np.uint8)))[1] == 0


def test_a_sheet_shows_frames_from_first_to_last(tmp_path: Path) -> None:
    frames = np.stack([np.full((64, 64, 3), 10 * i, np.uint8) for i in range(25)])
    page = np.asarray(sheet(film(tmp_path, frames), count=5, columns=5, width=64))
    cell = page.shape[1] // 5
    shown = [int(page[40, cell * i + cell // 2].mean()) for i in range(5)]
    assert shown == pytest.approx([0, 60, 120, 180, 240], abs=2)
    assert sheet(film(tmp_path, frames[:2]), count=12).width < 1400  # fewer frames than asked for


@pytest.mark.parametrize(
    "more", [{"count": 0}, {"count": 300}, {"columns": 20}, {"width": 5}, {"width": 4096, "columns": 12}]
)
def test_a_sheet_that_cannot_be_is_one_line(tmp_path: Path, more: dict[str, int]) -> None:
    with pytest.raises(BadRequest):
        sheet(film(tmp_path, np.zeros((3, 64, 64, 3), np.uint8)), **more)


def test_stills_are_png_or_jpeg_and_sealed_before_they_appear(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), (200, 60, 20))
    seen = []
    for name, form in (("a.png", "PNG"), ("a.jpg", "JPEG")):
        save_still(image, tmp_path / name, comment="a line", seal=lambda part: seen.append(part.exists()))
        with Image.open(tmp_path / name) as back:
            assert back.format == form
            assert np.abs(np.asarray(back, int) - (200, 60, 20)).max() <= 3
            said = back.info["Comment"] if form == "PNG" else back.info["comment"].decode()
            assert said == "a line"
    assert seen == [True, True]
    with pytest.raises(MediaError, match="must end in"):
        save_still(image, tmp_path / "a.gif")
