"""Flow matching: the straight path between a clip's latents and noise, with a noise level for each latent frame.

`x_t = (1-t) x_0 + t noise`, and the denoiser predicts the velocity `noise - x_0` (Lipman et al. 2022, Liu et al. 2022).
Level 0 is clean and 1 is noise. A level a frame is Diffusion Forcing (Chen et al. 2024): what is known is simply clean.

Axes: b batch, c channels, t latent frames, h rows, w columns of latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

__all__ = [
    "Denoise",
    "mix",
    "per_frame",
    "sample_levels",
    "shift",
    "shift_for",
    "to_noise",
    "to_x0",
    "velocity",
]

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x [b,c,t,h,w], levels [b,t]) -> velocity [b,c,t,h,w]: all that this room knows of a network."""

Level = TypeVar("Level", float, Tensor)

SHIFT_DIMS = (
    4096  # latents of this many numbers need no shift (Esser et al. 2024, section 5.3.2: 64x64 latents)
)
HISTORY_NOISE = 0.1  # the most noise that history carries: what a model has made itself is never quite clean


def per_frame(t: Tensor, x: Tensor) -> Tensor:
    """Levels [b, t] in the shape, dtype and place that multiply with `x` [b, c, t, h, w]: [b, 1, t, 1, 1]."""
    return t.to(device=x.device, dtype=x.dtype)[:, None, :, None, None]


def mix(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What clean latents look like at levels `t` [b, t]; `x0`, `noise` and the result are [b, c, t, h, w]."""
    level = per_frame(t, x0)
    return (1 - level) * x0 + level * noise


def velocity(x0: Tensor, noise: Tensor) -> Tensor:
    """What the denoiser should say: `dx/dt` of the straight path, the same at every level."""
    return noise - x0


def to_x0(x: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """The clean latents that velocity `v` promises for `x` at levels `t` [b, t]."""
    return x - per_frame(t, x) * v


def to_noise(x: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """The noise that velocity `v` sees in `x` at levels `t` [b, t]."""
    return x + (1 - per_frame(t, x)) * v


def shift(t: Level, s: float) -> Level:
    """Moves levels towards noise for `s` > 1; 0 and 1 stay (Esser et al. 2024, equation 23).

    `shift(shift(t, a), b) == shift(t, a*b)`.
    """
    return s * t / (s * t + (1 - t))  # so written, 1 is exactly 1


def shift_for(dims: int) -> float:
    """The shift that latents of `dims` numbers want: more of them hide less under the same noise.

    Raises:
        ValueError: `dims` is not positive.
    """
    if dims < 1:
        raise ValueError(f"latents of {dims} numbers have no shift: there must be at least 1")
    return math.sqrt(dims / SHIFT_DIMS)


_shift = shift  # `sample_levels` has an argument of that name


def sample_levels(
    batch: int,
    num_frames: int,
    chunk: int,
    generator: torch.Generator,
    shift: float = 1.0,
    mixture: tuple[float, float, float] = (0.4, 0.4, 0.2),
    first_frame_given: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Noise levels to train on, and which frames count in the loss.

    Args:
        batch: samples.
        num_frames: latent frames t of a sample.
        chunk: latent frames of a causal block.
        generator: of random numbers; fixes the result.
        shift: applied to levels drawn evenly from (0, 1].
        mixture: shares of samples with (one level for all frames; leading chunks near clean, the rest at one level;
            a level of its own for each chunk). Text to video, extension and streaming in one model.
        first_frame_given: share of samples, of every kind, whose first frame is exactly clean: image to video.

    Returns:
        Levels [b, t] fp32, and weights [b, t] fp32: 0 for given frames and history, 1 for the rest. History is
        exactly clean in half of its samples, as it is at run time, else at one level up to 0.1. It never counts: so
        close to clean, the velocity is nearly all noise that nobody could predict.

    Raises:
        ValueError: a size below 1, or shares that are no shares.
    """
    if min(batch, num_frames, chunk) < 1:
        raise ValueError(
            f"cannot draw levels for {batch} samples of {num_frames} frames in chunks of {chunk}"
        )
    if min(mixture) < 0 or abs(sum(mixture) - 1) > 1e-6:
        raise ValueError(f"the mixture {mixture} must be three shares that add up to 1")

    def draw(*size: int) -> Tensor:
        return torch.rand(size, generator=generator, device=generator.device)

    frame = torch.arange(num_frames, device=generator.device)  # [t]
    chunk_of = frame // chunk  # [t]
    own = _shift(1 - draw(batch, num_frames), shift)  # [b, t]; 1 - u is never 0
    one = own[:, :1]
    # history ends at a chunk's start; a clip of one chunk has none of those and ends it anywhere
    ends = frame[1:][frame[1:] % chunk == 0] if num_frames > chunk else frame[1:]
    pick = draw(batch)
    noise = HISTORY_NOISE * draw(batch, 1) * (draw(batch, 1) < 0.5)
    kind = draw(batch, 1)
    is_history = (kind >= mixture[0]) & (kind < mixture[0] + mixture[1])  # [b, 1]
    levels = torch.where(kind >= mixture[0] + mixture[1], own[:, chunk_of], one)  # [b, t]
    weight = torch.ones_like(levels)
    if len(ends):
        end = ends[(pick * len(ends)).long()]  # [b]
        history = is_history & (frame < end[:, None])  # [b, t]
        levels, weight = torch.where(history, noise, levels), torch.where(history, 0.0, weight)
        given = draw(batch) < first_frame_given
        levels[given, 0], weight[given, 0] = 0.0, 0.0
    return levels, weight
