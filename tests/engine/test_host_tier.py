"""Streamed blocks stay in the memory of a GPU's host where it has room: a run reads each once and makes the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from filmwright.engine.build_request import build_request
from filmwright.engine.host_tier import BESIDE, with_host
from filmwright.engine.memory import available, resident
from filmwright.engine.wan_runner import WanRunner
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
from reference_wan import save

MODEL = "wan2.2-t2v-a14b"  # two experts
STREAMED = Strategy(nets="streamed")


class Counted(WanFolder):
    """A folder that counts how often each block is read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, dtype=torch.bfloat16)
        self.read: list[tuple[int, int]] = []

    def block(self, index: int, block: int, mode: str = "none") -> dict[str, torch.Tensor]:
        self.read.append((index, block))
        return super().block(index, block, mode)


@pytest.mark.parametrize("mode", ["none", "int8"])
def test_a_run_reads_each_block_once_and_makes_the_same_bits(tmp_path: Path, mode: str) -> None:
    pytest.importorskip("diffusers")
    model = save(MODEL, tmp_path / "model", num_layers=3)
    request = build_request(
        "a red ball", model=MODEL, size=(64, 64), num_frames=5, steps=6, seed=2, quantize=mode
    )

    def made(strategy: Strategy) -> tuple[torch.Tensor, list[tuple[int, int]]]:
        folder = Counted(model)
        runner = WanRunner(load_card(MODEL), folder, {}, strategy)
        with torch.inference_mode():
            z = runner.denoise(request, runner.prepare(request), lambda *_: None, lambda net: net).picture
        return z, folder.read

    kept, read = made(Strategy(nets="streamed", host=10**9))
    proved = 2 * (mode != "none")  # of the first block of each expert, before
    blocks = [(expert, block) for expert in range(2) for block in range(3)]
    assert [read.count(each) for each in blocks] == [1 + proved * (block == 0) for _, block in blocks]
    again, reread = made(STREAMED)
    assert torch.equal(kept, again)
    assert len(reread) > 2 * len(read)


def test_the_host_keeps_what_it_has_room_for_and_the_plan_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    small = with_host(STREAMED, "cuda", 1000)
    assert small.host == 1000
    assert small.said.endswith("streamed from memory")
    assert STREAMED.said.endswith("streamed from disk")
    room = available() - resident()
    assert with_host(STREAMED, "cuda:1", room).host == 0
    assert with_host(STREAMED, "cpu", 1000) == STREAMED  # the budget is of this very memory
    assert with_host(Strategy(nets="staged"), "cuda", 1000).host == 0
    share = (room - BESIDE) // 2
    assert with_host(STREAMED, "cuda", share).host == share
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # processes that each keep their own
    assert with_host(STREAMED, "cuda", share).host == 0
