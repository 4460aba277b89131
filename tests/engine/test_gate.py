"""Guidance that ends early: what it leaves out, what it makes of the clip, and what is said of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from filmwright.cli.main import run
from filmwright.diffusion.schedules import timesteps
from filmwright.engine.build_request import build_request
from filmwright.engine.gate import GuidanceGate, passes_share
from filmwright.engine.wan import Expert, denoise_wan
from filmwright.models.wan import WanConfig, WanTransformer

SCALE = 3.0
TIMES = timesteps(6)


class Counting(WanTransformer):
    """A small random net that counts its passes."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(WanConfig(dim=24, heads=2, layers=2, ffn=32, text_dim=8))
        self.eval().requires_grad_(False)
        self.passes = 0

    def forward(self, *arguments: object) -> Tensor:
        """As the net's."""
        self.passes += 1
        return super().forward(*arguments)  # type: ignore[arg-type]


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def denoised(net: Counting, gate: GuidanceGate | None, scale: float = SCALE) -> Tensor:
    net.passes = 0
    expert = Expert(net=lambda: net, guidance=scale, down_to=0.0)
    words, noise = (drawn(1, 1, 6, 8), drawn(2, 1, 6, 8)), drawn(3, 1, 16, 2, 4, 4)
    with torch.inference_mode():
        return denoise_wan([expert], *words, noise, TIMES, sampler="euler", gate=gate)


def by_hand(net: Counting, down_to: float) -> Tensor:
    """Euler, with guidance at and above a level alone."""
    with torch.inference_mode():
        x, contexts = drawn(3, 1, 16, 2, 4, 4), [net.context(drawn(seed, 1, 6, 8)) for seed in (1, 2)]
        for level, following in pairwise(TIMES):
            v, plain = (net(x, torch.tensor([[level]]), context) for context in contexts)
            x = x + (following - level) * (plain + SCALE * (v - plain) if level >= down_to else v)
    return x


def test_below_the_level_the_prompted_pass_stands_alone() -> None:
    net, gate = Counting(), GuidanceGate(0.5)
    found = denoised(net, gate)
    below = sum(level < 0.5 for level in TIMES[:-1])
    assert below > 1
    assert net.passes == 2 * (len(TIMES) - 1) - (below - 1)  # the first one below is computed after all
    torch.testing.assert_close(found, by_hand(net, 0.5))
    assert not torch.allclose(found, by_hand(net, 0.0))
    assert gate.proof["saved"] == below - 1
    assert 0 < gate.proof["difference"] < 0.25
    assert passes_share(TIMES, 0.5) == pytest.approx(1 - below / (2 * (len(TIMES) - 1)))


def test_the_difference_is_that_of_the_first_step_without_guidance() -> None:
    gate = GuidanceGate(0.9)
    guided, alone = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 3.5])
    assert torch.equal(gate.velocity(0.95, alone, guided), guided)
    assert gate.difference is None
    assert torch.equal(gate.velocity(0.5, alone, guided), alone)
    assert gate.proof["difference"] == pytest.approx(0.1)
    assert gate.leaves_out(0.4)
    assert not gate.leaves_out(0.92)


def test_a_gate_that_is_too_far_off_is_dropped() -> None:
    net, gate = Counting(), GuidanceGate(0.9)
    found = denoised(net, gate, scale=100.0)
    assert gate.proof["dropped"] == 1.0
    assert gate.proof["saved"] == 0
    assert net.passes == 2 * (len(TIMES) - 1)
    assert torch.equal(found, denoised(net, None, scale=100.0))


def test_a_request_without_a_gate_is_as_before() -> None:
    plain = build_request("a red ball", model="wan2.1-t2v-1.3b", seed=1)
    gated = build_request("a red ball", model="wan2.1-t2v-1.3b", seed=1, guidance_down_to=0.3)
    assert plain.digest() != gated.digest()
    assert build_request(base=gated, steps=9).guidance_down_to == 0.3
    assert build_request(base=gated, guidance_down_to=0.0).digest() == plain.digest()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--guidance-down-to", "1"], "--guidance-down-to 1 is out of range: 0 guides every step"),
        (["--guidance-down-to", "-0.1"], "--guidance-down-to -0.1 is out of range"),
        (["--guidance-down-to", "nan"], "is out of range"),
        (["--guidance-down-to", "0.3", "--guidance", "1"], "--guidance is 1: leave it out"),
        (["--guidance-down-to", "0.3", "--model", "pocket"], "model 'pocket' has no --guidance-down-to"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [] if "--model" in words else ["--model", "wan2.1-t2v-1.3b"]
    assert run(["generate", "a red ball drops", *model, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
