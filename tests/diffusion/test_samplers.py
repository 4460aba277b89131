"""Samplers against cases whose exact answer is known in closed form.

Latents of independent Gaussians `x_0 ~ N(mu, s^2)`: the velocity field is linear in `x`, and the path that starts at
noise `z` is `x_t = (1-t) mu + sqrt((1-t)^2 s^2 + t^2) z`. Latents of a mixture of two Gaussians a number: the field is
not linear, and the path keeps each number's quantile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from filmwright.diffusion.flow import per_frame
from filmwright.diffusion.samplers import SAMPLERS
from filmwright.diffusion.schedules import timesteps, with_given
from filmwright.spec.errors import Cancelled

SHAPE = (2, 3, 4, 4, 4)
MEAN = torch.linspace(-1, 1, 16, dtype=torch.float64).view(1, 1, 1, 4, 4)
SPREAD = torch.linspace(2.0, 0.2, 16, dtype=torch.float64).view(1, 1, 1, 4, 4)
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SECOND_ORDER = ("unipc", "dpmpp-2m")


def gaussian(x: Tensor, levels: Tensor) -> Tensor:
    t = per_frame(levels, x)
    mean, spread = MEAN.to(x), SPREAD.to(x)
    gain = (t - (1 - t) * spread**2) / ((1 - t) ** 2 * spread**2 + t**2)
    return -mean + gain * (x - (1 - t) * mean)


def on_the_path(t: float) -> Tensor:
    return (1 - t) * MEAN + torch.sqrt((1 - t) ** 2 * SPREAD**2 + t**2) * NOISE


def error(name: str, times: Sequence[float]) -> float:
    x = SAMPLERS[name](gaussian, on_the_path(times[0]), times)
    return float((x - on_the_path(times[-1])).square().mean().sqrt())


def orders(name: str, grid: Callable[[int], Sequence[float]], steps: Sequence[int]) -> list[float]:
    return [math.log2(a / b) for a, b in pairwise(error(name, grid(n)) for n in steps)]


def even_in_lambda(steps: int, start: float = 0.98, end: float = 0.02) -> list[float]:
    first, last = (math.log((1 - t) / t) for t in (start, end))
    return [1 / (1 + math.exp(first + (last - first) * i / steps)) for i in range(steps + 1)]


def test_the_closed_form_solves_the_field() -> None:
    t, h = 0.6, 1e-5
    slope = (on_the_path(t + h) - on_the_path(t - h)) / (2 * h)
    assert torch.allclose(
        slope, gaussian(on_the_path(t), torch.full((2, 4), t, dtype=torch.float64)), atol=1e-8
    )


def test_euler_has_order_one() -> None:
    for order in orders("euler", timesteps, (32, 64, 128, 256)):
        assert 0.95 < order < 1.05


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_multistep_solvers_have_order_two(name: str) -> None:
    for order in orders(name, even_in_lambda, (64, 128, 256)):
        assert order >= 1.8


def test_unipc_keeps_its_order_from_pure_noise_to_clean_without_a_shift() -> None:
    for order in orders("unipc", timesteps, (32, 64, 128)):
        assert order >= 1.8


def test_dpmpp_loses_only_a_logarithm_from_pure_noise_to_clean() -> None:
    # the first steps double the odds each, however small they are: the error falls as log(n) / n^2
    for order in orders("dpmpp-2m", timesteps, (32, 64, 128)):
        assert order >= 1.6


@pytest.mark.parametrize("shift", [1.0, 1.2, 2.4])
def test_more_work_a_step_means_less_error(shift: float) -> None:
    euler, multistep, corrected = (
        error(n, timesteps(12, shift=shift)) for n in ("euler", "dpmpp-2m", "unipc")
    )
    assert multistep < euler / 3
    assert corrected < multistep * 1.05


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_crooked_field_is_followed(name: str) -> None:
    means, spreads, shares = (torch.tensor(v, dtype=torch.float64) for v in ([-1, 1], [0.3, 0.2], [0.4, 0.6]))

    def velocity(x: Tensor, levels: Tensor) -> Tensor:
        t = per_frame(levels, x)[..., None]
        y = x[..., None]
        var = (1 - t) ** 2 * spreads**2 + t**2
        off = y - (1 - t) * means
        part = (shares.log() - 0.5 * var.log() - 0.5 * off**2 / var).softmax(-1)
        return (part * (-means + (t - (1 - t) * spreads**2) / var * off)).sum(-1)

    def below(x: Tensor) -> Tensor:
        return (shares * torch.special.ndtr((x[..., None] - means) / spreads)).sum(-1)

    quantile = torch.special.ndtr(NOISE)
    low, high = torch.full_like(NOISE, -8), torch.full_like(NOISE, 8)
    for _ in range(60):
        middle = (low + high) / 2
        under = below(middle) < quantile
        low, high = torch.where(under, middle, low), torch.where(under, high, middle)
    x = SAMPLERS[name](velocity, NOISE, timesteps(64))
    assert float((x - low).abs().mean()) < (0.012 if name == "euler" else 2e-3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_is_one_prediction(name: str) -> None:
    x = SAMPLERS[name](gaussian, NOISE, timesteps(1))
    assert torch.allclose(x, NOISE - gaussian(NOISE, torch.ones(2, 4)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_given_frames_never_move_and_the_others_do_not_notice(name: str) -> None:
    given = torch.zeros(2, 4, dtype=torch.bool)
    given[0, 0] = given[1, 2] = True
    seen = []

    def denoise(x: Tensor, levels: Tensor) -> Tensor:
        seen.append(levels)
        return gaussian(x, levels)

    x = SAMPLERS[name](denoise, NOISE, timesteps(9, shift=2.0), levels=with_given(given))
    free = SAMPLERS[name](gaussian, NOISE, timesteps(9, shift=2.0))
    mask = given[:, None, :, None, None].expand(SHAPE)
    assert torch.equal(x[mask], NOISE[mask])
    assert torch.allclose(x[~mask], free[~mask], atol=1e-12)
    assert all(bool((levels[given] == 0).all()) for levels in seen)
    assert not torch.equal(x[~mask], NOISE[~mask])


@pytest.mark.parametrize("name", SAMPLERS)
def test_frames_may_take_turns(name: str) -> None:
    # two frames go from noise to clean first, then the other two: as if each pair were alone
    def levels(t: float) -> Tensor:
        early, late = max(2 * t - 1, 0.0), min(2 * t, 1.0)
        return torch.tensor([early, early, late, late], dtype=torch.float64).expand(2, 4)

    x = SAMPLERS[name](gaussian, NOISE, timesteps(16), levels=levels)
    alone = SAMPLERS[name](gaussian, NOISE, timesteps(8))
    assert torch.isfinite(x).all()
    assert torch.allclose(x, alone, atol=1e-12)


@pytest.mark.parametrize("name", SAMPLERS)
def test_fp32_latents_see_fp32_levels_and_stay_near_fp64(name: str) -> None:
    seen = []

    def denoise(x: Tensor, levels: Tensor) -> Tensor:
        seen.append((x.dtype, levels.dtype))
        return gaussian(x, levels)

    x = SAMPLERS[name](denoise, NOISE.float(), timesteps(16))
    assert set(seen) == {(torch.float32, torch.float32)}
    assert len(seen) == 16
    assert torch.allclose(x.double(), SAMPLERS[name](gaussian, NOISE, timesteps(16)), atol=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_steps_are_told_and_can_end_the_run(name: str) -> None:
    told: list[tuple[int, int]] = []

    def on_step(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        SAMPLERS[name](gaussian, NOISE, timesteps(5), on_step=on_step)
    assert told == [(1, 5), (2, 5), (3, 5)]
    told.clear()
    SAMPLERS[name](gaussian, NOISE, timesteps(2), on_step=on_step)
    assert told == [(1, 2), (2, 2)]


def test_unipc_is_the_published_one() -> None:
    # an independent transcription of one corrected step of UniPC-2 with B(h) = e^h - 1, solving its 2x2 system
    times = [0.9, 0.7, 0.5, 0.2]
    lam = [math.log((1 - t) / t) for t in times]
    x0 = on_the_path(times[0])

    def clean(x: Tensor, i: int) -> Tensor:
        return x - times[i] * gaussian(x, torch.full((2, 4), times[i], dtype=torch.float64))

    def base(x: Tensor, d: Tensor, i: int) -> tuple[Tensor, float, float]:
        h = lam[i + 1] - lam[i]
        fall = math.expm1(-h)
        return times[i + 1] / times[i] * x - (1 - times[i + 1]) * fall * d, h, (1 - times[i + 1]) * fall

    d0 = clean(x0, 0)
    x1, _, b = base(x0, d0, 0)
    d1 = clean(x1, 1)
    x1 = x1 - b * 0.5 * (d1 - d0)
    plain, h, b = base(x1, d1, 1)
    r = (lam[0] - lam[1]) / h
    x2 = plain - b * 0.5 * (d0 - d1) / r
    d2 = clean(x2, 2)
    fall = math.expm1(-h)
    g1 = fall / -h - 1
    g2 = g1 / -h - 0.5
    rho = torch.linalg.solve(
        torch.tensor([[1, 1], [r, 1]], dtype=torch.float64),
        torch.tensor([g1 / fall, 2 * g2 / fall], dtype=torch.float64),
    )
    x2 = plain - b * (rho[0] * (d0 - d1) / r + rho[1] * (d2 - d1))
    plain, h, b = base(x2, d2, 2)
    x3 = plain - b * 0.5 * (d1 - d2) / ((lam[1] - lam[2]) / h)
    assert torch.allclose(SAMPLERS["unipc"](gaussian, x0, times), x3, atol=1e-12)
