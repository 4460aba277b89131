from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filmwright.diffusion.flow import mix, sample_levels, shift, shift_for, to_noise, to_x0, velocity
from filmwright.diffusion.schedules import timesteps, with_given

LEVELS = st.floats(0, 1, allow_subnormal=False)
SHIFTS = st.floats(0.05, 20)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(LEVELS, min_size=3, max_size=3))
def test_the_true_velocity_leads_back_to_both_ends(seed: int, levels: list[float]) -> None:
    rng = torch.Generator().manual_seed(seed)
    x0, noise = (torch.randn(2, 4, 3, 2, 2, generator=rng, dtype=torch.float64) for _ in range(2))
    t = torch.tensor([levels, levels[::-1]], dtype=torch.float64)
    x, v = mix(x0, noise, t), velocity(x0, noise)
    assert torch.allclose(to_x0(x, v, t), x0, atol=1e-12)
    assert torch.allclose(to_noise(x, v, t), noise, atol=1e-12)


def test_each_frame_has_its_own_level() -> None:
    x0, noise = torch.zeros(1, 2, 3, 2, 2), torch.ones(1, 2, 3, 2, 2)
    x = mix(x0, noise, torch.tensor([[0.0, 0.25, 1.0]]))
    assert x[0, :, :, 1, 1].tolist() == [[0.0, 0.25, 1.0]] * 2


@given(LEVELS, SHIFTS, SHIFTS)
def test_shifts_compose_and_undo(t: float, a: float, b: float) -> None:
    assert shift(shift(t, a), b) == pytest.approx(shift(t, a * b), abs=1e-9)
    assert shift(shift(t, a), 1 / a) == pytest.approx(t, abs=1e-9)


@given(SHIFTS)
def test_shift_keeps_the_ends_and_the_order(s: float) -> None:
    assert (shift(0.0, s), shift(1.0, s)) == (0.0, 1.0)
    t = shift(torch.linspace(0, 1, 50, dtype=torch.float64), s)
    assert (t.diff() > 0).all()


def test_shift_scales_the_odds() -> None:
    t = 0.3
    moved = shift(t, 2.5)
    assert moved / (1 - moved) == pytest.approx(2.5 * t / (1 - t))


def test_shift_for_counts_numbers() -> None:
    assert shift_for(4096) == 1.0
    assert shift_for(23_040) == pytest.approx(2.37, abs=0.01)
    assert shift_for(5_760) == pytest.approx(1.19, abs=0.01)
    with pytest.raises(ValueError, match="at least 1"):
        shift_for(0)


@given(st.integers(1, 200), SHIFTS)
def test_timesteps_fall_from_exactly_one_to_exactly_zero(steps: int, s: float) -> None:
    times = timesteps(steps, shift=s)
    assert len(times) == steps + 1
    assert times[0] == 1.0
    assert times[-1] == 0.0
    assert all(a > b for a, b in pairwise(times))


@pytest.mark.parametrize(("steps", "s"), [(0, 1.0), (-3, 1.0), (4, 0.0), (4, -1.0)])
def test_timesteps_refuse_nonsense(steps: int, s: float) -> None:
    with pytest.raises(ValueError, match=f"{steps} steps"):
        timesteps(steps, shift=s)


def test_given_frames_are_clean() -> None:
    levels = with_given(torch.tensor([[True, False], [False, False]]))
    assert levels(0.7).tolist() == [[0.0, 0.7], [0.7, 0.7]]


# ------------------------------------------------------------------------------------------ levels to train on


def draw(mixture: tuple[float, float, float], **options: float) -> tuple[torch.Tensor, torch.Tensor]:
    return sample_levels(4000, 9, 3, torch.Generator().manual_seed(1), mixture=mixture, **options)


def test_one_level_for_all() -> None:
    levels, weight = draw((1, 0, 0))
    assert levels.shape == weight.shape == (4000, 9)
    assert levels.dtype == weight.dtype == torch.float32
    assert (levels == levels[:, :1]).all()
    assert (weight == 1).all()
    assert levels[:, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert 0 < levels.min() < levels.max() <= 1


def test_a_level_for_each_chunk() -> None:
    levels, weight = draw((0, 0, 1))
    chunks = levels.unflatten(1, (3, 3))
    assert (chunks == chunks[:, :, :1]).all()
    assert (weight == 1).all()
    correlation = torch.corrcoef(chunks[:, :, 0].T)
    assert (correlation - torch.eye(3)).abs().max() < 0.06


def test_history_is_leading_whole_chunks_near_clean_and_never_counts() -> None:
    levels, weight = draw((0, 1, 0))
    length = (weight == 0).sum(1)
    assert length.unique().tolist() == [3, 6]
    assert (length == 3).float().mean() == pytest.approx(0.5, abs=0.03)
    history = torch.arange(9) < length[:, None]
    assert ((weight == 0) == history).all()
    assert (levels[history] <= 0.1).all()
    assert (levels[:, 0] == 0).float().mean() == pytest.approx(0.5, abs=0.03)
    last = levels[:, -1:]
    assert torch.where(history, last, levels).eq(last).all()
    assert last.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("frames", "chunk", "lengths"), [(3, 3, [1, 2]), (4, 3, [3]), (5, 2, [2, 4]), (2, 9, [1])]
)
def test_history_of_short_clips(frames: int, chunk: int, lengths: list[int]) -> None:
    _, weight = sample_levels(500, frames, chunk, torch.Generator().manual_seed(0), mixture=(0, 1, 0))
    assert (weight == 0).sum(1).unique().tolist() == lengths


def test_a_picture_has_no_history_and_is_never_given() -> None:
    levels, weight = sample_levels(
        50, 1, 3, torch.Generator().manual_seed(0), mixture=(0, 1, 0), first_frame_given=1.0
    )
    assert (weight == 1).all()
    assert (levels > 0).all()


def test_the_mixture_has_its_shares() -> None:
    levels, weight = draw((0.4, 0.4, 0.2))
    history = weight[:, 0] == 0
    same = (levels == levels[:, :1]).all(1) & ~history
    for share, kind in ((0.4, same), (0.4, history), (0.2, ~same & ~history)):
        assert kind.float().mean() == pytest.approx(share, abs=0.025)


def test_a_given_first_frame_is_exactly_clean_and_does_not_count() -> None:
    levels, weight = draw((0.5, 0, 0.5), first_frame_given=0.25)
    given_first = levels[:, 0] == 0
    assert given_first.float().mean() == pytest.approx(0.25, abs=0.025)
    assert ((weight[:, 0] == 0) == given_first).all()
    assert (weight[:, 1:] == 1).all()


def test_levels_of_zero_never_count() -> None:
    levels, weight = draw((0.4, 0.4, 0.2), first_frame_given=0.3)
    assert (weight[levels == 0] == 0).all()
    assert ((levels >= 0) & (levels <= 1)).all()


def test_levels_are_shifted() -> None:
    s = 3.0
    levels, _ = draw((1, 0, 0), shift=s)
    exact = s / (s - 1) - s * math.log(s) / (s - 1) ** 2  # mean of s u / (1 + (s-1) u)
    assert levels[:, 0].mean() == pytest.approx(exact, abs=0.02)


def test_a_seed_fixes_the_levels() -> None:
    one, two = (sample_levels(16, 9, 3, torch.Generator().manual_seed(5)) for _ in range(2))
    other = sample_levels(16, 9, 3, torch.Generator().manual_seed(6))
    assert torch.equal(one[0], two[0])
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize(
    ("batch", "frames", "chunk", "mixture"),
    [
        (0, 9, 3, (1, 0, 0)),
        (2, 0, 3, (1, 0, 0)),
        (2, 9, 0, (1, 0, 0)),
        (2, 9, 3, (0.5, 0.2, 0.2)),
        (2, 9, 3, (-1, 1, 1)),
    ],
)
def test_nonsense_is_refused(
    batch: int, frames: int, chunk: int, mixture: tuple[float, float, float]
) -> None:
    with pytest.raises(ValueError, match=r"levels for|three shares"):
        sample_levels(batch, frames, chunk, torch.Generator(), mixture=mixture)
