"""Wan chunk by chunk: the same as one pass with a mask that hides later chunks, whatever a ring of the past holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.models.wan_past import WanPast

NET = WanConfig(dim=96, heads=2, layers=3, ffn=64, text_dim=12)
CHUNK, CHUNKS, HEIGHT, WIDTH = 2, 5, 4, 6
TOKENS = CHUNK * (HEIGHT // 2) * (WIDTH // 2)  # of a chunk
FRAMES = CHUNK * CHUNKS


@pytest.fixture(scope="module")
def net() -> WanTransformer:
    torch.manual_seed(0)
    made = WanTransformer(NET).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """A clip, a level for each of its chunks as one a frame, and words."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(1, 16, FRAMES, HEIGHT, WIDTH, generator=g)
    levels = torch.rand(1, CHUNKS, generator=g).repeat_interleave(CHUNK, dim=1)
    return x, levels, torch.randn(1, 7, NET.text_dim, generator=g)


def masked(net: WanTransformer, window: int, sink: int) -> Tensor:
    """One pass over the whole clip; each chunk sees itself, the chunks before it in the window, and the sinks."""
    x, levels, words = inputs()
    own = torch.arange(CHUNKS)[:, None]
    seen = torch.arange(CHUNKS)[None]
    sees = (seen <= own) & ((seen > own - (window - sink)) | (seen < sink) | (own < window))
    mask = sees.repeat_interleave(TOKENS, 0).repeat_interleave(TOKENS, 1)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        within = q.shape[2] == k.shape[2] == len(mask)  # else: words
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask if within else None)

    plain, net.attend = net.attend, attend
    try:
        return net(x, levels, net.context(words))
    finally:
        net.attend = plain


def by_chunks(net: WanTransformer, past: WanPast, x: Tensor) -> Tensor:
    _, levels, words = inputs()
    context, found = net.context(words), []
    for part, level in zip(x.split(CHUNK, dim=2), levels.split(CHUNK, dim=1), strict=True):
        net(
            torch.randn_like(part), torch.ones(1, 1), context, past=past
        )  # a noisy pass leaves nothing behind
        found.append(net(part, level, context, past=past))
        past.advance()
    return torch.cat(found, dim=2)


@pytest.mark.parametrize(("window", "sink"), [(5, 0), (3, 0), (3, 1), (4, 2), (1, 0)])
def test_chunk_by_chunk_is_one_pass_with_a_mask(net: WanTransformer, window: int, sink: int) -> None:
    past = WanPast(chunk=CHUNK, num_frames=FRAMES, window=window * CHUNK, sink=sink * CHUNK)
    wanted = masked(net, window, sink)
    torch.testing.assert_close(by_chunks(net, past, inputs()[0]), wanted, atol=1e-5, rtol=1e-5)
    if window < CHUNKS:
        assert not torch.allclose(wanted, masked(net, CHUNKS, 0), atol=1e-3), "the window matters"


def test_a_later_chunk_changes_nothing_earlier(net: WanTransformer) -> None:
    x, _, _ = inputs()
    other = x.clone()
    other[:, :, 3 * CHUNK :] += 1
    torch.manual_seed(2)
    first = by_chunks(net, WanPast(chunk=CHUNK, num_frames=FRAMES), x)
    torch.manual_seed(2)
    second = by_chunks(net, WanPast(chunk=CHUNK, num_frames=FRAMES), other)
    assert torch.equal(first[:, :, : 3 * CHUNK], second[:, :, : 3 * CHUNK])
    assert not torch.allclose(first[:, :, 3 * CHUNK :], second[:, :, 3 * CHUNK :], atol=1e-2)


def test_memory_does_not_grow_with_the_clip(net: WanTransformer) -> None:
    x, _, words = inputs()
    past = WanPast(chunk=CHUNK, num_frames=100 * CHUNK, window=3 * CHUNK, sink=CHUNK)
    context = net.context(words)
    sizes = []
    for index in range(9):
        net(x[:, :, :CHUNK], torch.zeros(1, 1), context, past=past)
        assert past.start == index * CHUNK
        past.advance()
        sizes.append(sum(t.nbytes for pair in past.kept.values() for t in pair))
    assert set(sizes) == {2 * NET.layers * 3 * TOKENS * NET.dim * 4}


def test_what_is_no_whole_number_of_chunks_is_refused() -> None:
    with pytest.raises(ValueError, match="whole chunks of 3"):
        WanPast(chunk=3, num_frames=20)
    with pytest.raises(ValueError, match="whole chunks of 3"):
        WanPast(chunk=3, num_frames=21, window=8)
    with pytest.raises(ValueError, match="no room"):
        WanPast(chunk=3, num_frames=21, window=6, sink=6)
