from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from filmwright.media.image import check_image, load_image
from filmwright.spec.errors import MediaError


def halves(width: int = 64, height: int = 32) -> Image.Image:
    """Left red, right blue."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def test_the_middle_is_kept_and_resized(tmp_path: Path) -> None:
    pixels = np.zeros((100, 300, 3), dtype=np.uint8)
    pixels[:, 100:200] = 255  # the middle third is white
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png", 64, 64)
    assert loaded.shape == (64, 64, 3)
    assert loaded.dtype == np.uint8
    assert loaded[:, 4:-4].min() > 250  # Lanczos looks a little past the cut


def test_the_right_size_is_left_alone(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(load_image(tmp_path / "a.png", 64, 32), pixels)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view: the left half comes on top
    halves(64, 64).save(tmp_path / "a.jpg", exif=exif, quality=95)
    loaded = load_image(tmp_path / "a.jpg", 64, 64)
    assert loaded[8, 32, 0] > 200
    assert loaded[56, 32, 2] > 200


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_lies_over_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (16, 0, 32, 32))
    image.convert(mode).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png", 32, 32)
    assert loaded[16, 4].tolist() == [255, 255, 255]
    assert loaded[16, 28].tolist() == [0, 0, 0]


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32), 128 * 257, dtype=np.uint16)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", 32, 32)[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("mode", ["L", "CMYK", "1"])
def test_other_modes_work(tmp_path: Path, mode: str) -> None:
    halves().convert(mode).save(tmp_path / "a.tif")
    assert load_image(tmp_path / "a.tif", 64, 32).shape == (32, 64, 3)


def refused(path: Path) -> str:
    messages = []
    for act in (lambda: load_image(path, 64, 32), lambda: check_image(path)):
        with pytest.raises(MediaError) as caught:
            act()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    assert str(path) in messages[0]
    return messages[0]


def test_missing_and_folder(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "a.png")
    assert "directory" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"words, not pixels"])
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert "not an image" in refused(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = tmp_path / f"a.{suffix}"
    noise.save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "cannot read" in refused(path)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    halves().save(path, save_all=True, append_images=[halves().transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
    message = refused(path)
    assert "animated (2 frames)" in message
    assert "save one of them" in message


def test_one_frame_gif_is_a_picture(tmp_path: Path) -> None:
    halves().save(tmp_path / "a.gif")
    assert load_image(tmp_path / "a.gif", 64, 32)[16, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("side", [10_001, 20_000])  # over our limit, and over Pillow's own
def test_huge_is_refused_from_its_header(tmp_path: Path, side: int) -> None:
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    message = refused(tmp_path / "a.png")
    assert "megapixels" in message
    assert "100" in message
