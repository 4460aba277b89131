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
