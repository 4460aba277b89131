"""Whether a model makes clips of a size, a rate and a length; each error offers what comes nearest."""

from __future__ import annotations

import math

from filmwright.spec.errors import BadRequest
from filmwright.weights.card import ModelCard

__all__ = ["check_frames", "check_rate", "check_size", "frames_for"]


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
    if width % multiple or height % multiple:
        near = "x".join(str(_nearest_side(side, card)) for side in (width, height))
        raise BadRequest(f"size {width}x{height} does not divide by {multiple}: the nearest is {near}")
    if not (low <= min(width, height) and max(width, height) <= high):
        native = ", ".join(f"{w}x{h}" for w, h in card.native_sizes)
        raise BadRequest(
            f"size {width}x{height} is beyond model {card.name!r}: sides of {low} to {high} pixels, best {native}"
        )


def check_rate(fps: int, card: ModelCard) -> None:
    """Frames a second.

    Raises:
        BadRequest: the model does not take this rate.
    """
    if not card.min_fps <= fps <= card.max_fps:
        raise BadRequest(
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
        raise BadRequest(
            f"{num_frames} frames are out of range: model {card.name!r} makes {low} and no other"
        )
    if not low <= num_frames <= high:
        raise BadRequest(f"{num_frames} frames are out of range: model {card.name!r} makes {low} to {high}")
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
    raise BadRequest(
        f"{seconds:g} seconds are out of range: model {card.name!r} makes {card.min_frames / fps:.2f} to "
        f"{card.max_frames / fps:.2f} seconds at {fps} fps"
    )


def _nearest_side(side: int, card: ModelCard) -> int:
    nearest = round(side / card.side_multiple) * card.side_multiple
    return min(max(nearest, card.min_side), card.max_side)
