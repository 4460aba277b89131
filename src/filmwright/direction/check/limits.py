"""Rules about the clip rather than the words: a shape or length that the model does not make."""

from __future__ import annotations

import math
from collections.abc import Iterator

from filmwright.direction.check.reading import Reading
from filmwright.direction.check.rule import Example, Hit, Rule, never
from filmwright.direction.check.target import Target

__all__ = ["LIMITS"]


def _shape(_: Reading, target: Target) -> Iterator[Hit]:
    card = target.card
    if target.size is not None and (refused := target.refusal(size=target.size)):
        yield Hit(why=refused, words=(target.size,), option=f"--size {_nearest_size(target)}")
    if target.fps is not None and (refused := target.refusal(fps=target.fps)):
        rate = min(max(target.fps, card.min_fps), card.max_fps)
        yield Hit(why=refused, words=(str(target.fps),), option=f"--fps {rate}")


def _nearest_size(target: Target) -> str:
    """The native size whose shape is nearest."""
    assert target.size is not None
    width, height = (max(int(side), 1) for side in target.size.split("x"))
    wanted = math.log(width / height)
    best = min(target.card.native_sizes, key=lambda size: abs(math.log(size[0] / size[1]) - wanted))
    return f"{best[0]}x{best[1]}"


def _length(_: Reading, target: Target) -> Iterator[Hit]:
    if target.seconds is None:
        return
    card = target.card
    fps = card.fps if target.fps is None else min(max(target.fps, card.min_fps), card.max_fps)
    if refused := target.refusal(seconds=target.seconds, fps=fps):
        low, high = card.min_frames / fps, card.max_frames / fps
        wanted = target.seconds if math.isfinite(target.seconds) else high
        best = math.floor(min(max(wanted, low), high) * 100) / 100
        yield Hit(why=refused, words=(f"{target.seconds:g}",), option=f"--seconds {max(best, 0.01):g}")


LIMITS: tuple[Rule, ...] = (
    Rule(
        code="shape-unavailable",
        summary="A size or frame rate that the model does not make.",
        find=_shape,
        mend=never,
        fails=Example(prompt="A red ball drops", model="pocket", size="250x160"),
        passes=Example(prompt="A red ball drops", model="pocket", size="256x160"),
        severity="error",
    ),
    Rule(
        code="duration-unavailable",
        summary="A length that the model does not make.",
        find=_length,
        mend=never,
        fails=Example(prompt="A red ball drops", model="pocket", seconds=20),
        passes=Example(prompt="A red ball drops", model="pocket", seconds=1),
        severity="error",
    ),
)
