"""Streamed blocks: the same sums to the bit, two blocks in memory at most, one reading of those that the host keeps."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor

from filmwright.engine.stream import StreamedBlocks
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.weights.lora import Adaptation, Lora, adapt

CONFIG = WanConfig(dim=24, heads=2, layers=5, ffn=32, text_dim=8)


@pytest.fixture
def whole() -> WanTransformer:
    torch.manual_seed(0)
    return WanTransformer(CONFIG).eval().requires_grad_(False)


def streamed(
    whole: WanTransformer, alive: list[int] | None = None, read: list[int] | None = None, keep: int = 0
) -> WanTransformer:
    """The same net with blocks that are copied in one by one; `alive` takes how many are there at each load, `read`
    which is loaded, and `keep` bytes of them stay on the host.
    """
    with torch.device("meta"):
        net = WanTransformer(CONFIG)
    state = whole.state_dict()
    net.load_state_dict(
        {k: v.clone() for k, v in state.items() if not k.startswith("blocks.")}, strict=False, assign=True
    )
    refs: list[weakref.ref[Tensor]] = []

    def load(index: int) -> dict[str, Tensor]:
        gc.collect()
        if alive is not None:
            alive.append(sum(r() is not None for r in refs))
        head = f"blocks.{index}."
        loaded = {k.removeprefix(head): v.clone() for k, v in state.items() if k.startswith(head)}
        refs.append(weakref.ref(loaded["modulation"]))
        if read is not None:
            read.append(index)
        return loaded

    net.stream = StreamedBlocks(list(net.blocks), load, "cpu", keep)  # type: ignore[assignment]
    return net.eval().requires_grad_(False)


def run(net: WanTransformer) -> Tensor:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(1, 16, 2, 4, 4, generator=g)
    words = torch.randn(1, 6, 8, generator=g)
    with torch.inference_mode():
        context = net.context(words)
        first = net(x, torch.tensor([[0.7]]), context)
        return net(first, torch.tensor([[0.3]]), context)


def test_streamed_blocks_compute_the_same_bits(whole: WanTransformer) -> None:
    assert torch.equal(run(streamed(whole)), run(whole))


def test_two_blocks_are_in_memory_at_most(whole: WanTransformer) -> None:
    alive: list[int] = []
    run(streamed(whole, alive))
    assert len(alive) >= 3 * CONFIG.layers
    assert max(alive) <= 1  # beside the one that is being loaded


def test_a_pass_left_early_begins_anew(whole: WanTransformer) -> None:
    net = streamed(whole)
    for index, _ in enumerate(net.layers()):
        if index == 2:
            break
    assert torch.equal(run(net), run(whole))


def test_loras_ride_beside_streamed_blocks(whole: WanTransformer) -> None:
    g = torch.Generator().manual_seed(2)
    lora = Lora(
        name="a",
        layers={
            "blocks.3.self_attn.q": Adaptation(
                down=torch.randn(2, 24, generator=g), up=torch.randn(24, 2, generator=g), scale=0.5
            )
        },
    )
    plain = run(whole)
    net = streamed(whole)
    take_off = adapt(net, [(lora, 1.0)], net.patch_embedding.weight)
    adapt(whole, [(lora, 1.0)])
    assert torch.equal(run(net), run(whole))
    take_off()
    assert torch.equal(run(net), plain)


def test_blocks_that_the_host_keeps_are_read_once_and_compute_the_same_bits(whole: WanTransformer) -> None:
    plain = run(whole)
    a_block = sum(p.nbytes for p in whole.blocks[0].parameters())
    for room in (CONFIG.layers, 2):
        read: list[int] = []
        alive: list[int] = []
        net = streamed(whole, alive, read, keep=room * a_block)
        assert torch.equal(run(net), plain)
        assert torch.equal(run(net), plain)
        net.stream.close()  # type: ignore[attr-defined]
        assert [read.count(index) for index in range(room)] == [1] * room
        assert all(read.count(index) >= 4 for index in range(room, CONFIG.layers))
        assert max(alive) <= 1  # of those that were read, none stays beside what is kept
        assert not net.stream.kept  # type: ignore[attr-defined]


@pytest.mark.gpu
def test_a_gpu_has_blocks_from_its_hosts_memory(whole: WanTransformer) -> None:
    read: list[int] = []
    state = whole.state_dict()

    def load(index: int) -> dict[str, Tensor]:
        read.append(index)
        head = f"blocks.{index}."
        return {k.removeprefix(head): v for k, v in state.items() if k.startswith(head)}

    with torch.device("meta"):
        net = WanTransformer(CONFIG)
    stream = StreamedBlocks(list(net.blocks), load, "cuda", keep=10**9)
    for _ in range(3):
        for index, block in enumerate(stream()):
            for name, parameter in block.named_parameters():
                assert torch.equal(parameter.cpu(), state[f"blocks.{index}.{name}"])
    assert sorted(read) == list(range(CONFIG.layers))
    assert all(kept.pinned and kept.slab.is_pinned() for kept in stream.kept.values())
    stream.close()
