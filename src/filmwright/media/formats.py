"""The forms in which a film is delivered, as a table, and what is checked before any of them is begun.

Nothing heavy is imported here, so that a bad combination is refused at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from filmwright.spec.errors import BadRequest
from filmwright.spec.timecode import Rate, frame_of, rate_of, timecode

__all__ = ["DELIVERIES", "Delivery", "Hdr", "check_delivery", "check_timecode", "parse_fps", "parse_size"]

MAX_SIDE = 8192  # what HEVC level 6.2 and every decoder at hand can take
MAX_FPS = 240
LOUDNESS_RANGE = (-40.0, -5.0)  # LUFS: below is inaudible, above cannot be reached without distortion


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One form: its name, what it is in words, and how it is encoded.

    `kind` is film (one file with picture and sound), pictures (a folder of numbered files) or sound. `step` is what
    width and height must be multiples of, `least` the smallest size.
    """

    name: str
    said: str
    kind: Literal["film", "pictures", "sound"]
    suffix: str
    codec: str
    pixels: str = ""
    bits: int = 8
    tag: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    sound: str = ""
    step: tuple[int, int] = (1, 1)
    least: tuple[int, int] = (16, 16)
    hdr: bool = False

    @property
    def timed(self) -> bool:
        """Whether its file has a timecode track."""
        return self.suffix == ".mov"


@dataclass(frozen=True, kw_only=True)
class Hdr:
    """HDR10 as it is written: white of the sRGB frames in cd/m2, the mastering display, the content's light in cd/m2.

    Frames come as sRGB and nothing is made brighter than their white, so that white bounds both light levels. The
    display is what graders' tools name (P3 primaries, D65); x and y of red, green, blue and white.
    """

    white: float = 203.0
    display: tuple[tuple[float, float], ...] = (
        (0.680, 0.320),
        (0.265, 0.690),
        (0.150, 0.060),
        (0.3127, 0.3290),
    )
    brightest: float = 1000.0
    darkest: float = 0.0001

    @property
    def max_cll(self) -> int:
        """The light of the brightest pixel."""
        return math.ceil(self.white)

    @property
    def max_fall(self) -> int:
        """The mean light of the brightest frame; bounded, because the frames to come are not known."""
        return math.ceil(self.white)


X265 = "log-level=none"
DELIVERIES: Mapping[str, Delivery] = MappingProxyType(
    {
        made.name: made
        for made in (
            Delivery(
                name="h264",
                said="H.264 High, 8 bit 4:2:0, MP4",
                kind="film",
                suffix=".mp4",
                codec="libx264",
                pixels="yuv420p",
                tag="avc1",
                options={"crf": "16", "preset": "medium", "profile": "high"},
                sound="aac",
                step=(2, 2),
            ),
            Delivery(
                name="h265",
                said="H.265 Main, 8 bit 4:2:0, MP4",
                kind="film",
                suffix=".mp4",
                codec="libx265",
                pixels="yuv420p",
                tag="hvc1",
                options={"crf": "18", "preset": "medium", "x265-params": X265},
                sound="aac",
                step=(2, 2),
            ),
            Delivery(
                name="h265-10",
                said="H.265 Main 10, 10 bit 4:2:0, MP4",
                kind="film",
                suffix=".mp4",
                codec="libx265",
                pixels="yuv420p10le",
                bits=10,
                tag="hvc1",
                options={"crf": "18", "preset": "medium", "x265-params": X265},
                sound="aac",
                step=(2, 2),
                hdr=True,
            ),
            Delivery(
                name="av1",
                said="AV1 Main, 8 bit 4:2:0, MP4",
                kind="film",
                suffix=".mp4",
                codec="libsvtav1",
                pixels="yuv420p",
                tag="av01",
                options={"crf": "22", "preset": "6"},
                sound="aac",
                step=(2, 2),
            ),
            Delivery(
                name="av1-10",
                said="AV1 Main, 10 bit 4:2:0, MP4",
                kind="film",
                suffix=".mp4",
                codec="libsvtav1",
                pixels="yuv420p10le",
                bits=10,
                tag="av01",
                options={"crf": "22", "preset": "6"},
                sound="aac",
                step=(2, 2),
                hdr=True,
            ),
            Delivery(
                name="prores-422-hq",
                said="Apple ProRes 422 HQ, 10 bit 4:2:2, MOV",
                kind="film",
                suffix=".mov",
                codec="prores_ks",
                pixels="yuv422p10le",
                bits=10,
                tag="apch",
                options={"profile": "3", "vendor": "apl0"},
                sound="pcm_s24le",
                step=(2, 2),
            ),
            Delivery(
                name="dnxhr-hqx",
                said="Avid DNxHR HQX, 10 bit 4:2:2, MOV",
                kind="film",
                suffix=".mov",
                codec="dnxhd",
                pixels="yuv422p10le",
                bits=10,
                tag="AVdh",
                options={"profile": "dnxhr_hqx"},
                sound="pcm_s24le",
                step=(2, 2),
                least=(256, 120),
            ),
            Delivery(
                name="png",
                said="PNG, 8 or 16 bit sRGB, a file a frame",
                kind="pictures",
                suffix=".png",
                codec="png",
            ),
            Delivery(
                name="exr",
                said="OpenEXR, half float linear light, a file a frame",
                kind="pictures",
                suffix=".exr",
                codec="exr",
                pixels="gbrpf32le",
                bits=16,
                options={"format": "half", "compression": "zip16"},
            ),
            Delivery(
                name="wav",
                said="WAVE, 24 bit PCM, sound only",
                kind="sound",
                suffix=".wav",
                codec="pcm_s24le",
                bits=24,
                sound="pcm_s24le",
            ),
        )
    }
)


def check_delivery(
    form: str,
    *,
    width: int,
    height: int,
    fps: Fraction,
    hdr: bool = False,
    loudness: float | None = None,
    sound: bool = True,
) -> Delivery:
    """The form called `form`, if it can hold such a film.

    Raises:
        BadRequest: there is no such form, or it cannot hold this size, rate, range or sound.
    """
    found = DELIVERIES.get(form)
    if found is None:
        raise BadRequest(f"there is no delivery format {form!r}: take one of {', '.join(DELIVERIES)}")
    if hdr and not found.hdr:
        able = ", ".join(name for name, other in DELIVERIES.items() if other.hdr)
        raise BadRequest(f"{form} cannot carry HDR10: take one of {able}")
    if loudness is not None:
        least, most = LOUDNESS_RANGE
        if not least <= loudness <= most:
            raise BadRequest(f"loudness {loudness:g} LUFS is out of range: take {least:g} to {most:g}")
        if not sound:
            raise BadRequest("there is no sound whose loudness could be set: leave loudness out")
        if found.kind == "pictures":
            raise BadRequest(f"{form} carries no sound: leave loudness out, or deliver wav beside it")
    if found.kind == "sound":
        if not sound:
            raise BadRequest(f"there is no sound to deliver as {form}: take a picture format")
        return found
    columns, rows = found.step
    if width % columns or height % rows:
        raise BadRequest(
            f"{form} cannot hold {width}x{height}: both sides must be even; "
            f"take {width - width % columns}x{height - height % rows}"
        )
    if width < found.least[0] or height < found.least[1]:
        raise BadRequest(
            f"{form} cannot hold {width}x{height}: {found.least[0]}x{found.least[1]} is the least; give a larger size"
        )
    if max(width, height) > MAX_SIDE:
        raise BadRequest(f"{form} cannot hold {width}x{height}: {MAX_SIDE} pixels a side are the most")
    if not 1 <= fps <= MAX_FPS:
        raise BadRequest(f"{float(fps):g} frames a second are out of range: take 1 to {MAX_FPS}")
    return found


def check_timecode(text: str, fps: Fraction) -> str:
    """The timecode of a first frame, HH:MM:SS:FF, with ; before the frames where labels are dropped.

    Raises:
        TimelineError: it is none, or does not exist at this rate.
    """
    rate = rate_of(fps, drop=True) if ";" in text else Rate(fps=fps)
    return timecode(frame_of(text, rate), rate)


def parse_fps(text: str) -> Fraction:
    """Frames a second from "24", "24000/1001" or the names 23.976, 29.97, 47.952, 59.94 and 119.88, exactly.

    Raises:
        BadRequest: it is no rate.
    """
    names = {"23.976": 24, "23.98": 24, "29.97": 30, "47.952": 48, "47.95": 48, "59.94": 60, "119.88": 120}
    if text in names:
        return Fraction(names[text] * 1000, 1001)
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise BadRequest(
            f"{text!r} is no frame rate: give a number such as 24, 23.976 or 24000/1001"
        ) from error
    if not 1 <= value <= MAX_FPS:
        raise BadRequest(f"{text} frames a second are out of range: take 1 to {MAX_FPS}")
    return value


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from "1920x1080".

    Raises:
        BadRequest: it is no size.
    """
    width, cross, height = text.lower().partition("x")
    if not cross or not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise BadRequest(f"{text!r} is no size: give it as 1920x1080")
    if len(width) > 5 or len(height) > 5:
        raise BadRequest(f"{text} is too large: {MAX_SIDE} pixels a side are the most")
    return int(width), int(height)
