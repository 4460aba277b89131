"""Still pictures from anywhere, checked before they are decoded and brought to the size of a clip."""

from __future__ import annotations

import struct
import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from filmwright.spec.errors import MediaError

if TYPE_CHECKING:  # numpy loads where pixels are wanted: a bad path is answered without it
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_PIXELS", "check_image", "load_image", "upright_size"]

MAX_PIXELS = 100_000_000  # 300 MB decoded; a larger picture is a scan or a decompression bomb
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
)  # Pillow's, when it decodes
ORIENTATION = 0x0112  # of EXIF; from 5 on the picture lies on its side


def check_image(path: Path | str) -> tuple[int, int]:
    """See that `path` is one whole still picture of sane size; give its stored width and height in pixels.

    Raises:
        MediaError: missing, unreadable, not an image, truncated, animated, or more than 100 megapixels.
    """
    return _checked(path)[0]


def upright_size(path: Path | str) -> tuple[int, int]:
    """Width and height in pixels of a picture as it is looked at: turned as its EXIF says.

    Raises:
        MediaError: as of `check_image`.
    """
    return _checked(path)[1]


def _checked(path: Path | str) -> tuple[tuple[int, int], tuple[int, int]]:
    """A whole picture's size as stored and upright; one that has not changed since is not decoded again."""
    try:
        place = Path(path).absolute()
        found = place.stat()
    except (OSError, ValueError):
        return _sizes(path)  # which says why it cannot be read
    return _known_sizes(str(path), place, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=32)
def _known_sizes(path: str, *_: object) -> tuple[tuple[int, int], tuple[int, int]]:
    return _sizes(path)


def _sizes(path: Path | str) -> tuple[tuple[int, int], tuple[int, int]]:
    with _opened(path) as image:
        _load(image, path)
        width, height = image.size
        lies = image.getexif().get(ORIENTATION, 1) >= 5
    return (width, height), (height, width) if lies else (width, height)


def load_image(path: Path | str, width: int, height: int) -> NDArray[np.uint8]:
    """Read a picture as uint8 [H,W,3] sRGB: turned as its EXIF says, alpha over white, cropped to the middle, resized.

    Args:
        path: a still picture in any format that Pillow reads.
        width: pixels of the result; what sticks out of its aspect is cropped away evenly.
        height: pixels of the result.

    Raises:
        MediaError: missing, unreadable, not an image, truncated, animated, or more than 100 megapixels.
    """
    import numpy as np

    with _opened(path) as image:
        _load(image, path)
        upright = _opaque(ImageOps.exif_transpose(image))
    aspect = width / height
    have = upright.width / upright.height
    crop_width = upright.width if have <= aspect else upright.height * aspect
    crop_height = upright.height if have >= aspect else upright.width / aspect
    left, top = (upright.width - crop_width) / 2, (upright.height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    return np.asarray(upright.resize((width, height), Image.Resampling.LANCZOS, box=box), dtype=np.uint8)


def _opened(path: Path | str) -> Image.Image:
    """The picture's header, checked; pixels are not decoded yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is stated below
            image = Image.open(path)
    except UnidentifiedImageError as error:
        raise MediaError(f"cannot read {path}: it is not an image; give a PNG, JPEG or WebP") from error
    except Image.DecompressionBombError as error:
        raise MediaError(_too_large(path, "more than 178")) from error
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise MediaError(f"cannot read {path}: {reason[:1].lower()}{reason[1:]}; check the path") from error
    except BROKEN as error:
        raise MediaError(f"cannot read {path}: the picture is damaged; save it anew") from error
    try:
        if image.width * image.height > MAX_PIXELS:
            raise MediaError(
                _too_large(path, f"{image.width}x{image.height}, {image.width * image.height / 1e6:.0f}")
            )
        count = getattr(image, "n_frames", 1)
        if count > 1 and image.format != "MPO":  # MPO: a camera's JPEG with a preview behind the picture
            raise MediaError(f"cannot use {path}: it is animated ({count} frames); save one of them as a PNG")
    except BROKEN as error:
        image.close()
        raise MediaError(f"cannot read {path}: the picture is truncated or damaged; save it anew") from error
    except MediaError:
        image.close()
        raise
    return image


def _load(image: Image.Image, path: Path | str) -> None:
    try:
        image.load()
    except BROKEN as error:
        raise MediaError(f"cannot read {path}: the picture is truncated or damaged; save it anew") from error


def _too_large(path: Path | str, megapixels: str) -> str:
    limit = MAX_PIXELS // 1_000_000
    return f"cannot read {path}: it has {megapixels} megapixels, the limit is {limit}; make it smaller"


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, 8 bits a channel, with whatever is transparent over white."""
    import numpy as np

    if image.mode.startswith("I"):  # 16 bits of grey: Pillow's own conversion clips instead of scaling
        grey = np.clip(np.asarray(image, dtype=np.float64) / 257.0, 0, 255)
        return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
