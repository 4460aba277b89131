from __future__ import annotations

import pytest
import torch
from torch import Tensor

from filmwright.diffusion.flow import to_x0
from filmwright.diffusion.guidance import guided
from filmwright.diffusion.samplers import SAMPLERS
from filmwright.diffusion.schedules import timesteps, with_given

X = torch.randn(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LEVELS = torch.tensor([[0.5, 0.5, 0.5], [0.8, 0.4, 0.2]], dtype=torch.float64)


def towards(mean: float):
    def denoise(x: Tensor, levels: Tensor) -> Tensor:
        return torch.sin(3 * x) * levels.to(x)[:, None, :, None, None] + 0.3 * x - mean

    return denoise


COND, UNCOND = towards(1.0), towards(-0.5)


def test_scale_one_is_the_prompted_denoiser_at_its_price() -> None:
    g = guided(COND, UNCOND, 1.0)
    assert torch.equal(g(X, LEVELS), COND(X, LEVELS))
    assert (g.prompted_passes, g.unprompted_passes) == (1, 0)


def test_scale_zero_is_the_unprompted_one() -> None:
    assert torch.allclose(guided(COND, UNCOND, 0.0)(X, LEVELS), UNCOND(X, LEVELS))


def test_scale_goes_on_along_the_difference() -> None:
    v, u = COND(X, LEVELS), UNCOND(X, LEVELS)
    assert torch.allclose(guided(COND, UNCOND, 3.5)(X, LEVELS), u + 3.5 * (v - u))


def test_the_gate_skips_exactly_what_lies_outside() -> None:
    g = guided(COND, UNCOND, 4.0, gate=(0.25, 0.75))
    SAMPLERS["euler"](g, X, timesteps(8))  # 1, .875, .75, .625, .5, .375, .25, .125
    assert (g.prompted_passes, g.unprompted_passes) == (8, 5)
    for level, inside in ((0.2499, False), (0.25, True), (0.75, True), (0.7501, False)):
        levels = torch.full((2, 3), level, dtype=torch.float64)
        assert torch.equal(g(X, levels), COND(X, levels)) is not inside


def test_the_gate_looks_at_the_noisiest_frame() -> None:
    given = torch.tensor([[True, False, False]] * 2)
    g = guided(COND, UNCOND, 4.0, gate=(0.25, 0.75))
    x = SAMPLERS["unipc"](g, X, timesteps(8), levels=with_given(given))
    assert g.unprompted_passes == 5
    assert torch.equal(x[:, :, 0], X[:, :, 0])


def test_without_its_parallel_part_the_push_is_orthogonal_to_the_picture() -> None:
    v = COND(X, LEVELS)
    push = guided(COND, UNCOND, 3.0, parallel=0.0)(X, LEVELS) - v
    assert (push * to_x0(X, v, LEVELS)).sum((1, 3, 4)).abs().max() < 1e-9
    assert push.abs().max() > 0.1


def test_parallel_one_is_plain_and_in_between_is_in_between() -> None:
    plain, half, none = (guided(COND, UNCOND, 3.0, parallel=p)(X, LEVELS) for p in (1.0, 0.5, 0.0))
    assert torch.equal(plain, guided(COND, UNCOND, 3.0)(X, LEVELS))
    assert torch.allclose(half, (plain + none) / 2)


def test_rescale_gives_back_the_spread_of_the_prompted_velocity() -> None:
    v = COND(X, LEVELS)
    spread = v.std((1, 3, 4))
    free, full, half = (
        guided(lambda x, t: 2 * v, lambda x, t: v, 3.0, rescale=r)(X, LEVELS) for r in (0.0, 1.0, 0.5)
    )
    assert torch.allclose(free.std((1, 3, 4)), 4 * spread)
    assert torch.allclose(full.std((1, 3, 4)), 2 * spread)
    assert torch.allclose(half, (free + full) / 2)


@pytest.mark.parametrize("gate", [(0.5, 0.2), (-0.1, 0.5), (0.5, 1.1)])
def test_a_gate_that_is_none_is_refused(gate: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="gate"):
        guided(COND, UNCOND, 2.0, gate=gate)


@pytest.mark.parametrize("options", [{"parallel": 1.5}, {"parallel": -0.1}, {"rescale": 2.0}])
def test_parts_that_are_no_shares_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        guided(COND, UNCOND, 2.0, **options)
