"""A clip of the world with all its truth, and folders of samples to look at."""

from __future__ import annotations

from filmwright.world.author import write_script
from filmwright.world.physics import simulate
from filmwright.world.scene import Take

__all__ = ["take"]


def take(seed: int, part: str = "whole", *, width: int = 256, height: int = 160, num_frames: int = 33, fps: int = 16) -> Take:
    """Take `seed` of a part of the world: its script, simulated. Sizes in pixels; raises `BadRequest` as `write_script`."""
    return simulate(write_script(seed, part, width=width, height=height, num_frames=num_frames, fps=fps))
