"""UMT5's encoder, the words of Wan: a T5 whose every layer has a table of relative positions of its own.

Parameters carry the names of the published checkpoints. UniMax: Fairer and More Effective Language Sampling (Chung et
al. 2023); T5 (Raffel et al. 2020). Scores are not divided by the root of their size, as in every T5.

Axes: b batch, l tokens, d features, g heads, e features a head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["UMT5_XXL", "UMT5Config", "UMT5Encoder", "buckets_of"]


@dataclass(frozen=True, kw_only=True)
class UMT5Config:
    """Sizes; `buckets` of relative positions reach to `distance` tokens, the further the coarser."""

    vocabulary: int
    dim: int
    head_dim: int
    heads: int
    ffn: int
    layers: int
    buckets: int = 32
    distance: int = 128
    eps: float = 1e-6


UMT5_XXL = UMT5Config(vocabulary=256_384, dim=4096, head_dim=64, heads=64, ffn=10_240, layers=24)


def buckets_of(offsets: Tensor, buckets: int, distance: int) -> Tensor:
    """Where each offset (key's place less query's) belongs: half the buckets for what follows; exact near, log far."""
    half = buckets // 2
    exact = half // 2
    far = offsets.abs()
    coarse = exact + (torch.log(far.float() / exact) / math.log(distance / exact) * (half - exact)).long()
    return (offsets > 0).long() * half + torch.where(far < exact, far, coarse.clamp(max=half - 1))


class Norm(nn.Module):
    """Root mean square norm with a gain; the mean is taken in fp32."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., d] -> the same."""
        y = x * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + self.eps)
        return self.weight * y.to(self.weight.dtype)


class SelfAttention(nn.Module):
    """Attention over the whole prompt."""

    def __init__(self, config: UMT5Config) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.config = config
        self.q, self.k, self.v = (nn.Linear(config.dim, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, config.dim, bias=False)
        self.relative_attention_bias = nn.Embedding(config.buckets, config.heads)

    def forward(self, x: Tensor) -> Tensor:
        """[b, l, d] -> the same."""
        c = self.config
        q, k, v = (
            layer(x).unflatten(-1, (c.heads, c.head_dim)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        place = torch.arange(x.shape[1], device=x.device)
        offsets = place[None] - place[:, None]  # [l, l]
        bias = self.relative_attention_bias(buckets_of(offsets, c.buckets, c.distance)).permute(2, 0, 1)[None]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), scale=1.0)
        return self.o(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Gated feed-forward."""

    def __init__(self, config: UMT5Config) -> None:
        super().__init__()
        self.wi_0, self.wi_1 = (nn.Linear(config.dim, config.ffn, bias=False) for _ in range(2))
        self.wo = nn.Linear(config.ffn, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[b, l, d] -> the same."""
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and feed-forward, each after a norm; the names of their parts are the checkpoints'."""

    def __init__(self, config: UMT5Config) -> None:
        super().__init__()
        norms = [Norm(config.dim, config.eps) for _ in range(2)]
        self.layer = nn.ModuleList(
            [
                nn.ModuleDict({"SelfAttention": SelfAttention(config), "layer_norm": norms[0]}),
                nn.ModuleDict({"DenseReluDense": FeedForward(config), "layer_norm": norms[1]}),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """[b, l, d] -> the same."""
        first, second = (cast("nn.ModuleDict", part) for part in self.layer)
        x = x + first["SelfAttention"](first["layer_norm"](x))
        return x + second["DenseReluDense"](second["layer_norm"](x))  # type: ignore[no-any-return]


class UMT5Encoder(nn.Module):
    """Tokens to features."""

    def __init__(self, config: UMT5Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens: nn.Module = nn.Embedding(config.vocabulary, config.dim)
        self.block = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final_layer_norm = Norm(config.dim, config.eps)
        self.stream: Callable[[], Iterable[nn.Module]] | None = None  # gives blocks that are not all held

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens of one prompt, or of several that are equally long, [b, l] -> features [b, l, d]."""
        x = self.embed_tokens(tokens)
        for block in self.block if self.stream is None else self.stream():
            x = block(x)
        return self.final_layer_norm(x)  # type: ignore[no-any-return]
