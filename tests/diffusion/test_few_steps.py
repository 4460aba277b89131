"""Few steps against cases whose exact answer is known in closed form, and against the lists that are published."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from filmwright.diffusion.flow import per_frame
from filmwright.diffusion.samplers import euler, renoise, sampler_for
from filmwright.diffusion.schedules import few_steps, timesteps, with_given

SHAPE = (2, 3, 4, 4, 4)
MEAN = torch.linspace(-1, 1, 16, dtype=torch.float64).view(1, 1, 1, 4, 4)
SPREAD = torch.linspace(2.0, 0.2, 16, dtype=torch.float64).view(1, 1, 1, 4, 4)
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TIMES = few_steps((1.0, 0.75, 0.5, 0.25), shift=5.0)


class Draws:
    """Noise that is drawn, and remembered."""

    def __init__(self) -> None:
        self.generator, self.given = torch.Generator().manual_seed(1), []

    def __call__(self, shape: Sequence[int]) -> Tensor:
        self.given.append(torch.randn(shape, generator=self.generator, dtype=torch.float64))
        return self.given[-1]


def total(t: Tensor) -> Tensor:
    """Spread of what latents `x_0 ~ N(mean, spread^2)` look like at levels `t`."""
    return torch.sqrt((1 - t) ** 2 * SPREAD**2 + t**2)


def mean_of_clean(x: Tensor, levels: Tensor) -> Tensor:
    """Velocity of a denoiser that was not distilled: it promises the mean of the clean latents."""
    t = per_frame(levels, x)
    gain = (t - (1 - t) * SPREAD**2) / total(t) ** 2
    return -MEAN + gain * (x - (1 - t) * MEAN)


def end_of_the_path(x: Tensor, levels: Tensor) -> Tensor:
    """Velocity of one distilled to perfection: it promises where the path through `x` ends."""
    t = per_frame(levels, x)
    clean = MEAN + SPREAD * (x - (1 - t) * MEAN) / total(t)
    return (x - clean) / t


def test_published_lists() -> None:
    """Self Forcing's 1000, 750, 500, 250 warped by 5; FastVideo's 1000, 757, 522, which are 1000, 280, 120 warped by 8."""
    assert pytest.approx((1.0, 0.9375, 0.833333, 0.625, 0.0), abs=1e-6) == TIMES
    assert timesteps(4, shift=5.0) == pytest.approx(
        TIMES
    )  # so four steps of the base model look at the same levels
    assert [round(1000 * t) for t in few_steps((1.0, 0.28, 0.12), shift=8.0)] == [1000, 757, 522, 0]


@pytest.mark.parametrize("levels", [(), (1.1, 0.5), (0.5, 0.5), (0.2, 0.7), (1.0, 0.0)])
def test_lists_that_do_not_fall_to_clean_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must fall"):
        few_steps(levels)


def test_each_look_sees_what_was_promised_and_fresh_noise() -> None:
    draw = Draws()
    x, seen = NOISE, []

    def denoise(y: Tensor, levels: Tensor) -> Tensor:
        seen.append(y)
        return mean_of_clean(y, levels)

    found = renoise(denoise, NOISE, TIMES, draw)
    assert len(draw.given) == 3, "none for what is clean"
    for index, t in enumerate(TIMES[:-1]):
        assert torch.allclose(seen[index], x, atol=1e-12)
        level = torch.tensor(t, dtype=torch.float64)
        share = (1 - level) * SPREAD**2 / total(level) ** 2  # of the deviation that is the clean latents' own
        clean = MEAN + share * (x - (1 - level) * MEAN)
        if index < 3:
            x = (1 - TIMES[index + 1]) * clean + TIMES[index + 1] * draw.given[index]
    assert torch.allclose(found, clean, atol=1e-12)


def test_a_perfect_student_gives_the_distribution_itself() -> None:
    draw = Draws()
    found = renoise(end_of_the_path, NOISE, TIMES, draw)
    ends = SPREAD * NOISE  # of the path from the first noise, about the mean
    for level, noise in zip(TIMES[1:], draw.given, strict=False):
        t = torch.tensor(level, dtype=torch.float64)
        ends = SPREAD * ((1 - t) * ends + t * noise) / total(t)
    assert torch.allclose(found, MEAN + ends, atol=1e-12)
    one = renoise(end_of_the_path, NOISE, few_steps((1.0,)), draw)
    assert torch.allclose(one, MEAN + SPREAD * NOISE, atol=1e-12)


def test_what_is_given_stays_and_does_not_matter_to_the_rest() -> None:
    given = torch.zeros(2, 4, dtype=torch.bool)
    given[:, 0] = True
    clean = NOISE.clone()
    clean[:, :, 0] = 0.5

    def denoise(x: Tensor, levels: Tensor) -> Tensor:
        assert torch.equal(levels == 0, given)
        return mean_of_clean(x, levels)

    found = renoise(denoise, clean, TIMES, Draws(), levels=with_given(given))
    assert torch.equal(found[:, :, 0], clean[:, :, 0])
    assert torch.allclose(found[:, :, 1:], renoise(mean_of_clean, NOISE, TIMES, Draws())[:, :, 1:])


def test_steps_are_told_and_levels_reach_the_denoiser_in_fp32() -> None:
    told: list[tuple[int, int]] = []

    def denoise(x: Tensor, levels: Tensor) -> Tensor:
        assert levels.dtype == torch.float32
        return torch.zeros_like(x)

    x = renoise(denoise, NOISE.bfloat16(), TIMES, Draws(), on_step=lambda *step: told.append(step))
    assert x.dtype == torch.bfloat16
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_by_name() -> None:
    assert sampler_for("euler") is euler
    found = sampler_for("renoise", Draws())(mean_of_clean, NOISE, TIMES)
    assert torch.equal(found, renoise(mean_of_clean, NOISE, TIMES, Draws()))
    with pytest.raises(ValueError, match="needs noise"):
        sampler_for("renoise")
