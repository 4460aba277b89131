"""Whether a model makes clips of a size, a rate and a length; each error offers what comes nearest."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from filmwright.spec.errors import BadRequest, NotThisModel
from filmwright.weights.card import ModelCard

__all__ = [
    "check_frames",
    "check_rate",
    "check_size",
    "frames_for",
    "native_size_for",
    "size_for_aspect",
]

NATIVE_TOLERANCE = 0.12  # how far, as a log ratio, a native size may be from the aspect asked for
AREA_WEIGHT = 0.2  # how much a doubled area counts beside a doubled aspect


def check_size(width: int, height: int, card: ModelCard) -> None:
    """Sides in pixels.

    Raises:
        BadRequest: the model does not make this size.
    """
    low, high, multiple = card.min_side, card.max_side, card.side_multiple
    if min(width, height) <= 0:
        raise BadRequest(
            f"size {width}x{height} is impossible: both sides must be positive, {low} to {high} pixels"
        )
    if card.only_native and (width, height) not in card.native_sizes:
        raise NotThisModel(
            f"size {width}x{height} is beyond model {card.name!r}: it makes {_said_sizes(card)} and no other"
        )
    if width % multiple or height % multiple:
        near = "x".join(str(_nearest_side(side, card)) for side in (width, height))
        raise BadRequest(f"size {width}x{height} does not divide by {multiple}: the nearest is {near}")
    if not (low <= min(width, height) and max(width, height) <= high):
        raise NotThisModel(
            f"size {width}x{height} is beyond model {card.name!r}: sides of {low} to {high} pixels, best "
            f"{_said_sizes(card)}"
        )


def native_size_for(width: int, height: int, card: ModelCard) -> tuple[int, int]:
    """The (width, height) among a model's own whose aspect is nearest a picture's; of those alike, the usual area."""
    return min(card.native_sizes, key=_distance_from(math.log(width / height), card))


def size_for_aspect(aspect: str, card: ModelCard) -> tuple[int, int]:
    """The (width, height) for "16:9": a native size if one is near, else the nearest size that the model makes.

    Raises:
        BadRequest: not of the form W:H, or beyond what the model's sides allow.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*[:/x]\s*(\d+(?:\.\d+)?)\s*", aspect)
    if not match or not float(match[1]) or not float(match[2]):
        raise BadRequest(f"aspect {aspect!r} is not understood: write it as width:height, such as 16:9")
    wanted = math.log(float(match[1]) / float(match[2]))
    limit = card.max_side / card.min_side
    if abs(wanted) > math.log(limit) + NATIVE_TOLERANCE:
        raise NotThisModel(
            f"aspect {aspect} is out of range: model {card.name!r} makes up to {limit:g}:1 and 1:{limit:g}"
        )
    near = [
        size for size in card.native_sizes if abs(math.log(size[0] / size[1]) - wanted) <= NATIVE_TOLERANCE
    ]
    if card.only_native and not near:
        raise NotThisModel(
            f"aspect {aspect} is beyond model {card.name!r}: it makes {_said_sizes(card)} and no other"
        )
    sides = range(card.min_side, card.max_side + 1, card.side_multiple)
    return min(
        near or [(width, height) for width in sides for height in sides],
        key=_distance_from(wanted, card),
    )


def _distance_from(wanted: float, card: ModelCard) -> Callable[[tuple[int, int]], float]:
    """How far a size is from a wanted log aspect, and from the usual area."""
    usual = math.prod(card.native_sizes[0])

    def distance(size: tuple[int, int]) -> float:
        area = math.log(math.prod(size) / usual)
        return abs(math.log(size[0] / size[1]) - wanted) + AREA_WEIGHT * abs(area)

    return distance


def check_rate(fps: int, card: ModelCard) -> None:
    """Frames a second.

    Raises:
        BadRequest: the model does not take this rate.
    """
    if not card.min_fps <= fps <= card.max_fps:
        raise NotThisModel(
            f"{fps} fps is out of range: model {card.name!r} takes {card.min_fps} to {card.max_fps}, "
            f"{card.fps} by default"
        )


def check_frames(num_frames: int, card: ModelCard) -> None:
    """A length in frames.

    Raises:
        BadRequest: the model does not make this length.
    """
    low, high, lengths = card.min_frames, card.max_frames, card.lengths
    if low == high != num_frames:
        raise NotThisModel(
            f"{num_frames} frames are out of range: model {card.name!r} makes {low} and no other"
        )
    if not low <= num_frames <= high:
        raise NotThisModel(f"{num_frames} frames are out of range: model {card.name!r} makes {low} to {high}")
    if num_frames not in lengths:
        offers = sorted(sorted(lengths, key=lambda n: abs(n - num_frames))[:2])
        must = f"{card.frame_step}k+1"
        if card.chunk is not None:
            must = f"{lengths.step}k{lengths.start - lengths.step:+d}, whole chunks of {card.chunk} latent frames"
        raise BadRequest(
            f"{num_frames} frames cannot be made: frames must be {must}, the nearest is {' or '.join(map(str, offers))}"
        )


def frames_for(seconds: float, fps: int, card: ModelCard) -> int:
    """The nearest length in frames that the model makes, for a length in seconds.

    Raises:
        BadRequest: none is near.
    """
    lengths, frames = card.lengths, seconds * fps
    half = lengths.step / 2
    if math.isfinite(frames) and seconds > 0 and frames <= lengths[-1] + half:
        nearest = min(lengths, key=lambda n: abs(n - frames))
        if abs(nearest - frames) <= half:
            return nearest
    low, high = card.min_frames / fps, card.max_frames / fps
    made = f"{low:.2f} to {high:.2f} seconds" if low < high else f"{low:.2f} seconds and no other"
    raise NotThisModel(f"{seconds:g} seconds are out of range: model {card.name!r} makes {made} at {fps} fps")


def _said_sizes(card: ModelCard) -> str:
    return ", ".join(f"{width}x{height}" for width, height in card.native_sizes)


def _nearest_side(side: int, card: ModelCard) -> int:
    nearest = round(side / card.side_multiple) * card.side_multiple
    return min(max(nearest, card.min_side), card.max_side)
