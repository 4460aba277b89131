"""Rules about the clip rather than the words: a shape or length that the model does not make."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from filmwright.direction.check.reading import Reading
from filmwright.direction.check.rule import Example, Hit, Rule, never
from filmwright.direction.check.target import Target

__all__ = ["LIMITS"]


def _shape(_: Reading, target: Target) -> Iterator[Hit]:
    card = target.card
    if target.size is not None and (refused := target.refusal(size=target.size)):
        yield Hit(why=refused, words=(target.size,), option=f"--size {_nearest_size(target, refused)}")
    if target.fps is not None and (refused := target.refusal(fps=target.fps)):
        rate = min(max(target.fps, card.min_fps), card.max_fps)
        yield Hit(why=refused, words=(str(target.fps),), option=f"--fps {rate}")


def _nearest_size(target: Target, refused: str) -> str:
    """The size that the refusal names, if the model takes it; else the native size whose shape is nearest."""
    assert target.size is not None
    named = re.search(r"the nearest is (\d+x\d+)", refused)
    if named and target.refusal(size=named[1]) is None:
        return named[1]
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
        fails=Example(prompt="A lantern drifts down a canal past shuttered houses", size="1000x1000"),
        passes=Example(prompt="A paper lantern drifts down a canal at dusk", size="832x480"),
        severity="error",
    ),
    Rule(
        code="duration-unavailable",
        summary="A length that the model does not make.",
        find=_length,
        mend=never,
        fails=Example(prompt="A lift door opens on a flooded lobby", seconds=120),
        passes=Example(
            prompt="A lift door closes on a flooded lobby, water pressing at the glass", seconds=4
        ),
        severity="error",
    ),
)
