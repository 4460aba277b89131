"""From noise to latents along the velocity field: Euler, DPM-Solver++(2M) and UniPC, for any callable denoiser; for
those distilled to few steps, from noise to clean and part of the way back.

Notable:
- every frame has its own level, so every coefficient is a [b, t] table: frames that are given, or whose turn has not
  come, stay exactly as they are;
- the multistep solvers interpolate the predicted clean latents in half log signal-to-noise `lambda = log((1-t)/t)`,
  written so that both ends, `lambda = -inf` at noise and `+inf` at clean, need no epsilon;
- one look at the denoiser a step, `len(times) - 1` in all.

Axes: b batch, c channels, t latent frames, h rows, w columns of latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from filmwright.diffusion.flow import Denoise, mix, per_frame, to_x0
from filmwright.diffusion.schedules import Levels

__all__ = ["SAMPLERS", "Draw", "OnStep", "Sampler", "dpmpp_2m", "euler", "renoise", "sampler_for", "unipc"]

OnStep = Callable[[int, int], None]
"""(steps done, steps in all) after each step; what it raises ends the run."""
Draw = Callable[[Sequence[int]], Tensor]
"""Fresh noise of a shape, other numbers each time."""


class Sampler(Protocol):
    """What every sampler is."""

    def __call__(
        self,
        denoise: Denoise,
        x: Tensor,
        times: Sequence[float],
        *,
        levels: Levels | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Latents [b, c, t, h, w] at `times[0]` to latents at `times[-1]`.

        Args:
            denoise: velocity of latents at levels [b, t].
            x: noise, and clean latents where frames are given.
            times: falling levels of the clip, as from `schedules.timesteps`.
            levels: what each frame's level is then; all the clip's own without it.
            on_step: is told after each step.
        """
        ...


def euler(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    *,
    levels: Levels | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """First order: straight on with the velocity of the start. See `Sampler`."""
    for step in _steps(x, times, levels, on_step):
        x = x - per_frame(step.start - step.end, x) * denoise(x, step.levels(x))
    return x


def dpmpp_2m(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    *,
    levels: Levels | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Second order: DPM-Solver++(2M) (Lu et al. 2022, algorithm 2). See `Sampler`."""
    last: _Step | None = None
    before = x  # the step before's clean latents; not looked at in the first step
    for step in _steps(x, times, levels, on_step):
        clean = to_x0(x, denoise(x, step.levels(x)), step.start)
        x = step.forward(x, clean, (0.5 * step.against(last), clean - before))
        last, before = step, clean
    return x


def unipc(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    *,
    levels: Levels | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Second order, corrected: UniPC-2 with `B(h) = e^h - 1` (Zhao et al. 2023, algorithms 5 and 6). See `Sampler`.

    Its predictor is DPM-Solver++(2M); the next step's look at the denoiser then also mends the step behind it.
    """
    last: _Step | None = None
    second_last: _Step | None = None
    origin, before, before_last = x, x, x  # where the last step began; clean latents one and two looks ago
    for step in _steps(x, times, levels, on_step):
        clean = to_x0(x, denoise(x, step.levels(x)), step.start)
        if last is not None:
            older, newer = last.correction(second_last)
            x = last.forward(origin, before, (older, before_last - before), (newer, clean - before))
        origin, x = x, step.forward(x, clean, (0.5 * step.against(last), clean - before))
        second_last, last, before_last, before = last, step, before, clean
    return x


def renoise(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    draw: Draw,
    *,
    levels: Levels | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """For denoisers distilled to few steps: the clean latents that one look promises, with noise of `draw` anew.

    Multistep consistency sampling (Song et al. 2023, algorithm 1), which DMD2 (Yin et al. 2024) distils for. Between
    two looks nothing but the clean latents is kept, so for a denoiser that was not distilled it is a poor sampler.
    See `Sampler`; what is promised at the last level is the result.
    """
    for step in _steps(x, times, levels, on_step):
        clean = to_x0(x, denoise(x, step.levels(x)), step.start)
        anew = mix(clean, draw(x.shape).to(x), step.end) if bool(step.end.any()) else clean
        x = torch.where(per_frame(step.moves, x).bool(), anew, x)
    return x


SAMPLERS: dict[str, Sampler] = {"euler": euler, "unipc": unipc, "dpmpp-2m": dpmpp_2m}
"""Those that draw no noise, by the exact names that requests use."""


def sampler_for(name: str, draw: Draw | None = None) -> Sampler:
    """The sampler that requests call `name`; `draw` is where one that needs noise gets it.

    Raises:
        ValueError: it needs noise, and there is no `draw`.
    """
    if name != "renoise":
        return SAMPLERS[name]
    if draw is None:
        raise ValueError("the sampler 'renoise' needs noise to draw from")
    return partial(renoise, draw=draw)


@dataclass(frozen=True, eq=False)
class _Step:
    """One step of every frame, from levels `start` to `end` [b, t], float64 on the host."""

    start: Tensor
    end: Tensor

    def levels(self, x: Tensor) -> Tensor:
        """Where the step begins, for a denoiser of `x`: on its device, in fp32 or finer."""
        return self.start.to(x.device, torch.promote_types(x.dtype, torch.float32))

    @property
    def moves(self) -> Tensor:
        """Which frames this step changes [b, t]."""
        return self.end < self.start

    @property
    def width(self) -> Tensor:
        """How far lambda rises [b, t]: inf from pure noise or to clean, 1 (unused) where nothing moves."""
        left = self.end * (1 - self.start) / (self.start * (1 - self.end))  # e^-width
        return torch.where(self.moves, -left.log(), 1.0)

    def forward(self, x: Tensor, clean: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
        """The exact solution for `clean` + the sum of weight [b, t] * difference, held constant over the step."""
        keep = torch.where(self.moves, self.end / self.start, 1.0)
        for weight, difference in terms:
            clean = clean + per_frame(weight, x) * difference
        return per_frame(keep, x) * x + per_frame(1 - keep, x) * clean

    def against(self, last: _Step | None) -> Tensor:
        """Width over the last step's [b, t]: the weight of its slope; 0 where there is none, or an end is infinite."""
        if last is None:
            return torch.zeros_like(self.start)
        ratio = self.width / last.width
        return torch.where(self.moves & last.moves & self.width.isfinite(), ratio, 0.0)

    def correction(self, last: _Step | None) -> tuple[Tensor, Tensor]:
        """UniC's weights [b, t] of the differences to the look before this step and to the look after it."""
        width, ratio = self.width, self.against(last)
        fall = torch.expm1(-width)
        b1 = ((-fall / width) - 1) / fall
        b2 = -2 * (b1 * fall / width + 0.5) / fall
        bend = (b2 - b1) * ratio / (1 + ratio)
        first = torch.full_like(width, 0.5)
        is_first = torch.ones_like(self.moves) if last is None else ~last.moves
        return torch.where(is_first, 0.0, bend * ratio), torch.where(is_first, first, b1 + bend)


def _steps(
    x: Tensor, times: Sequence[float], levels: Levels | None, on_step: OnStep | None
) -> Iterator[_Step]:
    """The steps of a run; tells `on_step` when the loop comes back for the next one."""
    total = len(times) - 1

    def at(t: float) -> Tensor:
        if levels is None:
            return torch.full((x.shape[0], x.shape[2]), t, dtype=torch.float64)
        return levels(t).to("cpu", torch.float64)

    for done, (start, end) in enumerate(pairwise(times), 1):
        yield _Step(at(start), at(end))
        if on_step is not None:
            on_step(done, total)
