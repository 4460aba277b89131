"""The causal 3D VAE: 16x16x4, 2D convolutions with temporal memory, pixel-shuffle at the output.

Notable:
- frames are a batch of 2D convolutions; time enters through `MemoryBlock`, which sees the frame before
  (the idea of TAEHV), so a two-core machine decodes a clip in a fraction of a second and streaming is exact;
- the first frame is repeated to fill its group of four, so one picture and a still group of frames have the
  same latents, and a keyframe is encoded like any other frame;
- no learned variance: training adds fixed noise to the latents instead (Unified Latents, 2026), and a
  penalty holds each channel near zero mean and unit variance;
- pixel (un)shuffle by 4 at both ends: nothing ever convolves at full resolution.

Axes: b clips, t frames, c channels, h rows, w columns. Pixels are -1..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["VAE", "Decoder", "Encoder", "Memory", "VAEConfig"]

Memory = list[Tensor | None]
"""What a causal net remembers between chunks: the last frame that each memory block has seen."""

GROUP = 4  # frames a latent frame
SHUFFLE = 4  # pixel shuffle at both ends


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Widths and blocks a level; encoder levels run from 1/4 to 1/16 resolution, decoder levels back."""

    latent_channels: int = 16
    encoder_widths: tuple[int, int, int] = (48, 128, 192)
    encoder_blocks: tuple[int, int, int] = (1, 2, 1)
    decoder_widths: tuple[int, int, int] = (192, 128, 64)
    decoder_blocks: tuple[int, int, int] = (2, 2, 2)


def fold(x: Tensor) -> Tensor:
    """[b, t, c, h, w] -> [b*t, c, h, w], channels last, which is how CPU convolutions are fast."""
    return x.flatten(0, 1).contiguous(memory_format=torch.channels_last)


class MemoryBlock(nn.Module):
    """Residual block over a frame and the one before it; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        self.conv2.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """`x` [b,t,c,h,w] and the frame before it [b,1,c,h,w], None at a clip's start; gives `x` and its last frame."""
        b, t = x.shape[:2]
        first = torch.zeros_like(x[:, :1]) if before is None else before
        past = torch.cat([first, x[:, :-1]], dim=1)  # [b, t, c, h, w]
        y = self.conv1(fold(torch.cat([x, past], dim=2)))  # [bt, c, h, w]
        y = self.conv2(F.silu(y))
        return F.silu(x + y.unflatten(0, (b, t))), x[:, -1:]


class Stack(nn.Module):
    """Memory blocks of one width, and how many frames of memory they keep."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(MemoryBlock(width) for _ in range(blocks))

    def forward(self, x: Tensor, memory: Memory, slot: int) -> Tensor:
        """Runs the blocks on `x` [b,t,c,h,w]; reads and replaces `memory[slot : slot + len(blocks)]`."""
        for i, block in enumerate(self.blocks):
            x, memory[slot + i] = block(x, memory[slot + i])
        return x


class Encoder(nn.Module):
    """Pixels to latents; time halves at each of its two strides."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, blocks = config.encoder_widths, config.encoder_blocks
        self.slots = (0, blocks[0], blocks[0] + blocks[1])
        self.num_memories = sum(blocks)
        self.enter = nn.Conv2d(3 * SHUFFLE**2, widths[0], 3, padding=1)
        self.levels = nn.ModuleList(Stack(w, n) for w, n in zip(widths, blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(2 * a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.leave = nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Frames [b, 4n, 3, h, w] -> latents [b, n, c, h/16, w/16]."""
        b, t = x.shape[:2]
        x = self.enter(fold(F.pixel_unshuffle(x, SHUFFLE))).unflatten(0, (b, t))  # [b, t, c, h/4, w/4]
        for i, level in enumerate(self.levels):
            x = level(F.silu(x) if i == 0 else x, memory, self.slots[i])
            if i < len(self.downs):
                t //= 2
                x = x.unflatten(1, (t, 2)).flatten(2, 3)  # [b, t/2, 2c, h, w]
                x = F.silu(self.downs[i](fold(x))).unflatten(0, (b, t))
        return self.leave(fold(x)).unflatten(0, (b, t))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Latents to pixels; time doubles at each of its two growths."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, blocks = config.decoder_widths, config.decoder_blocks
        self.slots = (0, blocks[0], blocks[0] + blocks[1])
        self.num_memories = sum(blocks)
        self.enter = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.levels = nn.ModuleList(Stack(w, n) for w, n in zip(widths, blocks, strict=True))
        self.ups = nn.ModuleList(  # 2 frames x 2x2 pixels out of each cell
            nn.Conv2d(a, 8 * b, 1) for a, b in pairwise(widths)
        )
        self.leave = nn.Conv2d(widths[-1], 3 * SHUFFLE**2, 3, padding=1)

    def forward(self, z: Tensor, memory: Memory) -> Tensor:
        """Latents [b, n, c, h, w] -> frames [b, 4n, 3, 16h, 16w]."""
        b, t = z.shape[:2]
        x = F.silu(self.enter(fold(z))).unflatten(0, (b, t))
        for i, level in enumerate(self.levels):
            x = level(x, memory, self.slots[i])
            if i < len(self.ups):
                x = F.pixel_shuffle(self.ups[i](fold(x)), 2)  # [bt, 2c, 2h, 2w]
                x = x.unflatten(1, (2, -1)).unflatten(0, (b, t)).flatten(1, 2)  # [b, 2t, c, 2h, 2w]
                t *= 2
        x = F.pixel_shuffle(self.leave(fold(x)), SHUFFLE)
        return x.unflatten(0, (b, t))  # type: ignore[no-any-return]


class VAE(nn.Module):
    """Encoder and decoder with the statistics that make latents zero mean, unit variance a channel."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("std", torch.ones(config.latent_channels))
        self.mean: Tensor
        self.std: Tensor

    def encode(self, frames: Tensor) -> Tensor:
        """Frames [b, 3, 4k+1, h, w] in -1..1 -> normalised latents [b, c, k+1, h/16, w/16]."""
        memory: Memory = [None] * self.encoder.num_memories
        x = frames.transpose(1, 2)
        x = torch.cat([x[:, :1].expand(-1, GROUP - 1, -1, -1, -1), x], dim=1)
        return self.normalise(self.encoder(x, memory)).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [b, c, n, h, w] -> frames [b, 3, 4n-3, 16h, 16w], about -1..1."""
        memory = self.start()
        return self.decode_chunk(latents, memory, first=True)

    def start(self) -> Memory:
        """The memory of a decoder that has not seen anything."""
        return [None] * self.decoder.num_memories

    def decode_chunk(self, latents: Tensor, memory: Memory, *, first: bool) -> Tensor:
        """The next latents [b, c, n, h, w] of a stream; `memory` is replaced. The first chunk gives 4n-3 frames,
        later ones 4n; the chunks' frames together equal those of `decode`.
        """
        z = self.denormalise(latents.transpose(1, 2))
        frames = self.decoder(z, memory)
        return (frames[:, GROUP - 1 :] if first else frames).transpose(1, 2)  # type: ignore[no-any-return]

    def normalise(self, z: Tensor) -> Tensor:
        """[b, t, c, h, w] as the encoder gives it -> zero mean, unit variance a channel."""
        return (z - self.mean.to(z.dtype)[:, None, None]) / self.std.to(z.dtype)[:, None, None]

    def denormalise(self, z: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return z * self.std.to(z.dtype)[:, None, None] + self.mean.to(z.dtype)[:, None, None]
