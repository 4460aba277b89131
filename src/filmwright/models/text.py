"""The text encoder: a small bidirectional transformer over our own vocabulary, trained with the denoiser.

Captions are padded to a fixed length and padding is not masked: padding tokens are learned registers, which
keeps every shape static. The pooled vector leaves padding out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from filmwright.models.attention import Attention, SwiGLU, rms, rotary_table

__all__ = ["TextConfig", "TextEncoder"]

PAD = 0


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Vocabulary size, tokens a caption, features, layers."""

    vocabulary: int = 2048
    length: int = 48
    dim: int = 256
    depth: int = 2


class TextEncoder(nn.Module):
    """Token ids to features a token and one pooled vector."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary, config.dim)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.attentions = nn.ModuleList(Attention(config.dim) for _ in range(config.depth))
        self.mlps = nn.ModuleList(SwiGLU(config.dim, 2 * config.dim) for _ in range(config.depth))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids [b, l] -> features [b, l, d], pooled [b, d]."""
        length = ids.shape[1]
        positions = torch.arange(length, device=ids.device)[:, None] * torch.tensor(
            [1, 0, 0], device=ids.device
        )
        table = rotary_table(positions)
        x = self.embed(ids)  # [b, l, d]
        for attention, mlp in zip(self.attentions, self.mlps, strict=True):
            x = x + attention(rms(x), table, [(0, length)])[0]
            x = x + mlp(rms(x))
        x = rms(x)
        words = (ids != PAD).to(x.dtype)[..., None]
        return x, (x * words).sum(1) / words.sum(1).clamp(min=1)
