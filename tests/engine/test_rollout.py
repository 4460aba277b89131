"""A clip made chunk by chunk: by a written-out loop, whatever holds the nets, and to the same bits after it died."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.samplers import sampler_for
from filmwright.diffusion.schedules import few_steps
from filmwright.engine.build_request import build_request
from filmwright.engine.journal import Journal
from filmwright.engine.rollout import roll_out
from filmwright.engine.wan_runner import WanRunner
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.models.wan_past import WanPast
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
from reference_wan import save

MODEL = "self-forcing-t2v-1.3b"
TIMES = few_steps((1.0, 0.75, 0.5, 0.25), shift=5.0)
NET = WanConfig(dim=96, heads=2, layers=2, ffn=64, text_dim=12)


@pytest.fixture(scope="module")
def net() -> WanTransformer:
    torch.manual_seed(0)
    made = WanTransformer(NET).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def test_a_rollout_is_the_written_out_loop(net: WanTransformer) -> None:
    """Self Forcing's `CausalInferencePipeline.inference`, with keys and values found by whole passes instead of kept."""
    g = torch.Generator().manual_seed(1)
    noise = torch.randn(1, 16, 6, 4, 4, generator=g)
    words = torch.randn(1, 5, NET.text_dim, generator=g)
    drawn = [torch.randn(1, 16, 3, 4, 4, generator=g) for _ in range(6)]
    waiting = iter(drawn)
    solve = sampler_for("renoise", lambda _: next(waiting))
    told: list[tuple[int, int]] = []
    past = WanPast(chunk=3, num_frames=6)
    chunks = list(
        roll_out(net, words, noise, TIMES, past, solve=solve, on_step=lambda *step: told.append(step))
    )
    assert told == [(i, 8) for i in range(1, 9)]

    tokens = 3 * 2 * 2
    mask = torch.ones(2 * tokens, 2 * tokens, dtype=torch.bool)
    mask[:tokens, tokens:] = False  # the first chunk does not see the second

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        hides = mask if q.shape[2] == k.shape[2] == len(mask) else None
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=hides)

    plain, net.attend = net.attend, attend
    wanted, fresh = [], iter(drawn)
    for index in range(2):
        x = noise[:, :, 3 * index : 3 * index + 3]
        for level, following in pairwise(TIMES):
            clip = torch.cat([*wanted, x], dim=2)
            levels = torch.cat([torch.zeros(1, 3 * index), torch.full((1, 3), level)], dim=1)
            v = net(clip, levels, net.context(words))[:, :, -3:]
            clean = x - level * v
            x = (1 - following) * clean + following * next(fresh) if following else clean
        wanted.append(x)
    net.attend = plain
    torch.testing.assert_close(torch.cat(chunks, 2), torch.cat(wanted, 2), atol=1e-4, rtol=1e-4)


def test_a_chunk_is_there_before_the_next_is_begun(net: WanTransformer) -> None:
    calls = []

    def through(denoise: Denoise) -> Denoise:
        return lambda x, levels: calls.append(0) or denoise(x, levels)

    draw = torch.randn
    noise = torch.randn(1, 16, 6, 4, 4)
    past = WanPast(chunk=3, num_frames=6)
    rolling = roll_out(
        net, torch.zeros(1, 5, 12), noise, TIMES, past, solve=sampler_for("renoise", draw), through=through
    )
    assert next(rolling).shape == (1, 16, 3, 4, 4)
    assert len(calls) == 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers")
    return save("wan2.1-t2v-1.3b", tmp_path_factory.mktemp("wan") / "model", num_layers=3)


def rolled(model: Path, nets: str, through: Callable[[Denoise], Denoise], frames: int = 33) -> Tensor:
    request = build_request("a red ball", model=MODEL, size=(64, 64), num_frames=frames, seed=2)
    runner = WanRunner(load_card(MODEL), WanFolder(model, dtype=torch.float32), {}, Strategy(nets=nets))
    with torch.inference_mode():
        return runner.denoise(request, runner.prepare(request), lambda *_: None, through).picture


def test_every_strategy_gives_the_same_bits(model: Path) -> None:
    held, staged, streamed = (rolled(model, s, lambda net: net) for s in ("held", "staged", "streamed"))
    assert held.shape == (1, 16, 9, 8, 8)
    assert torch.equal(held, staged)
    assert torch.equal(held, streamed)


@pytest.mark.parametrize("answers", [1, 4, 6, 11])
def test_a_rollout_that_died_goes_on_to_the_same_bits(model: Path, tmp_path: Path, answers: int) -> None:
    whole = rolled(model, "held", lambda net: net)

    def dying(denoise: Denoise) -> Denoise:
        keep = Journal(tmp_path, lambda *_: None).through(denoise)
        left = iter(range(answers))

        def answer(x: Tensor, levels: Tensor) -> Tensor:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return keep(x, levels)

        return answer

    with pytest.raises(KeyboardInterrupt):
        rolled(model, "held", dying)
    again = Journal(tmp_path, lambda *_: None)
    assert again.kept == answers
    asked = []

    def counted(denoise: Denoise) -> Denoise:
        return again.through(lambda x, levels: asked.append(0) or denoise(x, levels))

    assert torch.equal(rolled(model, "held", counted), whole)
    assert len(asked) == 12 - answers


def test_a_clip_beyond_the_window_rolls_and_is_warned_about(model: Path) -> None:
    request = build_request("a red ball", model=MODEL, size=(64, 64), num_frames=105, seed=2)
    runner = WanRunner(load_card(MODEL), WanFolder(model, dtype=torch.float32), {})
    assert [f.code for f in runner.findings(request)] == ["beyond-training"]
    assert runner.findings(request.model_copy(update={"num_frames": 81})) == []
    with torch.inference_mode():
        found = runner.denoise(request, runner.prepare(request), lambda *_: None, lambda net: net).picture
    assert found.shape[2] == 27
    assert found.isfinite().all()
