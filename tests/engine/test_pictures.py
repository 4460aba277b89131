"""Image to video follows the picture's shape as far as the model's own sizes do, and says what it cuts off."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from filmwright.engine.build_request import build_request
from filmwright.engine.pictures import crop_findings
from filmwright.media.image import check_image, upright_size
from filmwright.spec.errors import MediaError


def picture(path: Path, width: int, height: int) -> Path:
    Image.new("RGB", (width, height), "red").save(path)
    return path


@pytest.mark.parametrize(
    ("model", "shape", "size"),
    [
        ("wan2.1-i2v-14b-480p", (900, 1600), (480, 832)),
        ("wan2.1-i2v-14b-480p", (500, 500), (624, 624)),
        ("wan2.2-i2v-a14b", (1920, 1080), (832, 480)),  # and not 1280x720, which costs twice as much
        ("wan2.2-i2v-a14b", (1080, 1920), (480, 832)),
        ("wan2.2-ti2v-5b", (900, 1600), (704, 1280)),
        ("svd", (1080, 1920), (576, 1024)),
        ("pocket", (300, 480), (160, 256)),
    ],
)
def test_the_size_is_the_one_nearest_the_picture(
    model: str, shape: tuple[int, int], size: tuple[int, int], tmp_path: Path
) -> None:
    words = None if model == "svd" else "a ball"
    path = picture(tmp_path / "a.png", *shape)
    request = build_request(words, model=model, image=path)
    assert (request.width, request.height) == size
    stated = build_request("a ball", image=path, size="256x160")
    assert (stated.width, stated.height) == (256, 160)
    assert build_request(base=stated, image=path).width == 256


def test_a_picture_that_lies_on_its_side_is_looked_at_upright(tmp_path: Path) -> None:
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (160, 90), "red").save(path, exif=exif)
    assert check_image(path) == (160, 90)
    assert upright_size(path) == (90, 160)
    request = build_request("a ball", model="wan2.1-i2v-14b-480p", image=path)
    assert (request.width, request.height) == (480, 832)


def test_a_picture_that_changes_is_looked_at_again(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", 64, 40)
    assert upright_size(path) == (64, 40)
    assert upright_size(picture(path, 40, 64)) == (40, 64)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MediaError, match=r"a\.png"):
        upright_size(path)


def test_what_is_cut_off_is_said_with_its_numbers(tmp_path: Path) -> None:
    def said(
        width: int, height: int, model: str = "wan2.1-i2v-14b-480p", size: str | None = None
    ) -> list[str]:
        path = picture(tmp_path / "a.png", width, height)
        return [f.message for f in crop_findings(build_request("a ball", model=model, image=path, size=size))]

    assert said(1600, 1200) == [
        (
            "a.png is 1600x1200 and the clip 832x480: 23% of the picture's height is cut off; "
            "--aspect 4:3 would keep more of it"
        )
    ]
    assert said(3000, 1000, size="832x480") == [
        (
            "a.png is 3000x1000 and the clip 832x480: 42% of the picture's width is cut off; "
            "--aspect 3:1 would keep more of it"
        )
    ]
    assert said(1600, 1200, "wan2.2-ti2v-5b") == [
        "a.png is 1600x1200 and the clip 1280x704: 27% of the picture's height is cut off"
    ]
    assert said(1920, 1080) == []
