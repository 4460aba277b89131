"""When to look: the levels that a sampler visits on its way from noise to clean, and who of the frames goes along."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from filmwright.diffusion.flow import shift as shifted

__all__ = ["Levels", "timesteps", "with_given"]

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


def with_given(given: Tensor) -> Levels:
    """Levels for a clip of which some frames are known: `given` [b, t] bool. They are clean, and so never move."""

    def levels(t: float) -> Tensor:
        return torch.where(given, 0.0, torch.full(given.shape, t, dtype=torch.float64, device=given.device))

    return levels
