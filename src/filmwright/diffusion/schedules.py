"""When to look: the levels that a sampler visits on its way from noise to clean, and who of the frames goes along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from filmwright.diffusion.flow import shift as shifted

__all__ = ["Levels", "few_steps", "timesteps", "with_given"]

Levels = Callable[[float], Tensor]
"""The level of the clip, 1 to 0 -> the level of each frame [b, t]; must not rise while the clip's level falls."""


def timesteps(steps: int, *, shift: float = 1.0) -> tuple[float, ...]:
    """`steps` + 1 levels from exactly 1 to exactly 0, evenly spaced and then shifted (see `flow.shift`).

    Raises:
        ValueError: fewer than one step, or a shift that is not positive.
    """
    if steps < 1 or shift <= 0:
        raise ValueError(
            f"{steps} steps with shift {shift}: there must be at least 1 step, and a shift above 0"
        )
    return tuple(shifted(1 - i / steps, shift) for i in range(steps + 1))


def few_steps(levels: Sequence[float], *, shift: float = 1.0) -> tuple[float, ...]:
    """The levels that a distilled net was made for, shifted, and then exactly 0.

    Self Forcing calls this warping; its list 1000, 750, 500, 250 is (1, 0.75, 0.5, 0.25) here.

    Raises:
        ValueError: none, or they do not fall, or leave (0, 1]; or a shift that is not positive.
    """
    falls = all(a > b for a, b in pairwise((*levels, 0.0)))
    if not levels or levels[0] > 1 or not falls or shift <= 0:
        raise ValueError(
            f"levels {list(levels)} with shift {shift} must fall from at most 1 and stay above 0"
        )
    return (*(shifted(level, shift) for level in levels), 0.0)


def with_given(given: Tensor) -> Levels:
    """Levels for a clip of which some frames are known: `given` [b, t] bool. They are clean, and so never move."""

    def levels(t: float) -> Tensor:
        return torch.where(given, 0.0, torch.full(given.shape, t, dtype=torch.float64, device=given.device))

    return levels
