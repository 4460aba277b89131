"""Guidance that ends early: below a level the pass without the prompt is left out, and the prompted one stands alone.

Near clean pictures guidance changes little (Kynkaanniemi et al. 2024). How little, each run finds out: the first time
that a pass would be left out, it is computed as well, and the difference goes into the clip's sidecar; a gate that is
too far off is dropped, and guidance goes on to the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from filmwright.engine.cache import TOO_FAR
from filmwright.engine.proofs import relative

__all__ = ["GuidanceGate", "passes_share"]


class GuidanceGate:
    """Of one clip; guides down to a level of 0 clean to 1 noise."""

    def __init__(self, down_to: float) -> None:
        self.down_to = down_to
        self.steps = self.saved = 0
        self.difference: float | None = (
            None  # of the first prompted pass that stood alone, to the guided result
        )
        self.dropped = False

    def leaves_out(self, level: float) -> bool:
        """Whether the pass without the prompt need not be computed; asked once a step."""
        self.steps += 1
        known = self.difference is not None and not self.dropped
        self.saved += known and level < self.down_to
        return known and level < self.down_to

    def velocity(self, level: float, prompted: Tensor, guided: Tensor) -> Tensor:
        """Which of the two stands where both were computed: below the level the first, once it has proved itself."""
        if level >= self.down_to or self.dropped:
            return guided
        if self.difference is None:
            self.difference = relative(prompted, guided)
            self.dropped = self.difference > TOO_FAR
        return guided if self.dropped else prompted

    @property
    def proof(self) -> dict[str, float]:
        """What was saved, and how far the first step without guidance was from the guided one."""
        return {
            "steps": self.steps,
            "saved": self.saved,
            "dropped": float(self.dropped),
            "difference": self.difference or 0.0,
        }


def passes_share(times: Sequence[float], down_to: float) -> float:
    """Which part of the passes of a guided clip is computed, at levels from 1 to 0; the first proof is not counted."""
    guided = sum(level >= down_to for level in times[:-1])
    return (1 + guided / (len(times) - 1)) / 2
