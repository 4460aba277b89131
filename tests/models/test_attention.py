"""Attention in blocks against the library's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from filmwright.models.attention import attend_in_blocks


@pytest.mark.parametrize(("queries", "keys"), [(300, 300), (1, 7), (128, 1000), (129, 3)])
def test_blocks_give_what_the_whole_gives(queries: int, keys: int) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 16) for n in (queries, keys, keys))
    q = q * 6  # sharp: logits far beyond what exp could take unshifted after scaling up
    torch.testing.assert_close(attend_in_blocks(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_bf16_is_as_near_as_bf16_can_be() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 500, 64) for _ in range(3))
    exact = F.scaled_dot_product_attention(q, k, v)
    halves = [x.bfloat16() for x in (q, k, v)]
    own = (attend_in_blocks(*halves).float() - exact).abs().mean()
    library = (F.scaled_dot_product_attention(*halves).float() - exact).abs().mean()
    assert own < 3 * library


def test_large_logits_do_not_overflow() -> None:
    q = torch.full((1, 1, 4, 16), 100.0)
    out = attend_in_blocks(q, q, torch.arange(4.0).view(1, 1, 4, 1).expand(1, 1, 4, 16))
    torch.testing.assert_close(out, torch.full((1, 1, 4, 16), 1.5))


# relative to the library on the same numbers in fp32: rounding there, the scores and weights of a block in bf16
NEAR = {torch.float32: 1e-5, torch.bfloat16: 0.02}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 128])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 130), (7, 129), (128, 127), (130, 257)])
def test_heads_that_lie_apart_in_memory(queries: int, keys: int, rows: int, dtype: torch.dtype) -> None:
    """As a projection leaves them: heads after tokens, seen the other way round; and keys seen from their products."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, n, 3, 16).to(dtype).transpose(1, 2) for n in (queries, keys, keys))
    wide = torch.randn(2, 3, 16, 2 * keys).to(dtype).mT  # neither rows nor columns without gaps
    for others in ((k, v), (wide[:, :, ::2], v), (k, wide[:, :, 1::2])):
        assert keys == 1 or not any(x.is_contiguous() for x in others)
        before = [x.clone() for x in (q, *others)]
        found = attend_in_blocks(q, *others, rows=rows)
        assert found.dtype is dtype
        exact = F.scaled_dot_product_attention(q.float(), *(x.float() for x in others))
        assert found.shape == exact.shape
        assert (found.float() - exact).norm() <= NEAR[dtype] * exact.norm()
        assert all(torch.equal(x, y) for x, y in zip((q, *others), before, strict=True)), "inputs stay"


def test_one_pair_of_keys_serves_all_heads_of_a_batch() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 3, 9, 16), torch.randn(1, 1, 5, 16), torch.randn(1, 1, 5, 16)
    k, v = k.expand(2, 3, -1, -1), v.expand(2, 3, -1, -1)
    torch.testing.assert_close(attend_in_blocks(q, k, v, rows=4), F.scaled_dot_product_attention(q, k, v))
