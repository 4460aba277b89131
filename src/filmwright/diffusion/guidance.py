"""Classifier-free guidance (Ho and Salimans 2022) that looks twice only where it matters.

Notable:
- outside an interval of levels the second pass is skipped: near pure noise guidance only takes variety away, near clean
  it changes nothing (Kynkaanniemi et al. 2024);
- two cures for burnt colours, each off by default: the part of the push that lies along the picture itself can be
  turned down (adaptive projected guidance, Sadat et al. 2024), and the result can be given back the spread of the
  unguided prediction (Lin et al. 2023, section 3.4).

Axes: b batch, c channels, t latent frames, h rows, w columns of latents.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from filmwright.diffusion.flow import Denoise, to_x0

__all__ = ["Guided", "guided"]

WITHIN_A_FRAME = (1, 3, 4)  # c, h, w: causal, and frames that are given do not weigh in


@dataclass(kw_only=True, eq=False)
class Guided:
    """A denoiser made of two; counts its passes."""

    with_prompt: Denoise
    without: Denoise
    scale: float
    gate: tuple[float, float]
    parallel: float
    rescale: float
    prompted_passes: int = 0
    unprompted_passes: int = 0

    def __call__(self, x: Tensor, levels: Tensor) -> Tensor:
        """Velocity [b, c, t, h, w] of `x` at `levels` [b, t]; the noisiest frame decides about the gate."""
        v = self.with_prompt(x, levels)
        self.prompted_passes += 1
        if self.scale == 1.0 or not self.gate[0] <= float(levels.max()) <= self.gate[1]:
            return v
        push = v - self.without(x, levels)
        self.unprompted_passes += 1
        if self.parallel != 1.0:
            push = push - (1 - self.parallel) * _along(push, to_x0(x, v, levels))
        out = v + (self.scale - 1) * push
        if self.rescale:
            spread = v.std(WITHIN_A_FRAME, keepdim=True) / out.std(WITHIN_A_FRAME, keepdim=True).clamp(
                min=1e-6
            )
            out = out * (1 + self.rescale * (spread - 1))
        return out


def guided(
    denoise_cond: Denoise,
    denoise_uncond: Denoise,
    scale: float,
    gate: tuple[float, float] = (0.0, 1.0),
    *,
    parallel: float = 1.0,
    rescale: float = 0.0,
) -> Guided:
    """The denoiser that goes `scale` times the way from "any clip" to "this prompt's clip".

    Args:
        denoise_cond: knows the prompt.
        denoise_uncond: does not, or knows the negative prompt.
        scale: 1 is no guidance, and then there is no second pass.
        gate: lowest and highest level, both included, at which to guide.
        parallel: how much of the push along the predicted picture is kept: 1 all, 0 none (the paper's eta).
        rescale: how much of the guided velocity's extra spread, a frame, is taken back: 0 none, 1 all.

    Raises:
        ValueError: a gate that is not an interval within [0, 1], or `parallel` or `rescale` outside of it.
    """
    if not 0 <= gate[0] <= gate[1] <= 1:
        raise ValueError(f"the guidance gate {gate} must be two levels, rising, from 0 to 1")
    if not (0 <= parallel <= 1 and 0 <= rescale <= 1):
        raise ValueError(f"parallel {parallel} and rescale {rescale} must lie from 0 to 1")
    return Guided(
        with_prompt=denoise_cond,
        without=denoise_uncond,
        scale=scale,
        gate=gate,
        parallel=parallel,
        rescale=rescale,
    )


def _along(push: Tensor, clean: Tensor) -> Tensor:
    """The part of `push` along `clean`, a frame; both [b, c, t, h, w]."""
    size = clean.square().sum(WITHIN_A_FRAME, keepdim=True).clamp(min=1e-12)
    return (push * clean).sum(WITHIN_A_FRAME, keepdim=True) / size * clean
