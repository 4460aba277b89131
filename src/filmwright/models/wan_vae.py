"""Wan's causal VAEs: 2.1 (8x8x4, 16 channels) and 2.2 (16x16x4, 48 channels), encoding and decoding as a stream.

Parameters carry the names of Wan's own checkpoints. Every causal layer keeps the two frames before a chunk in a
`Memory`, so that chunks give what the whole gives, and memory does not grow with a clip's length. The first latent
frame stands for one frame, every other for four: time is neither halved nor doubled there.

Wan: Open and Advanced Large-Scale Video Generative Models (Wan Team 2025), Apache-2.0.

Axes: b clips, c channels, t frames, h rows, w columns. Pixels are -1..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filmwright.models.strips import Strip, margins
from filmwright.models.wan_vae_layers import (
    AverageDown,
    CausalConv,
    Downsample,
    FrameAttention,
    Memory,
    Norm,
    RepeatUp,
    ResidualBlock,
    Upsample,
    in_bands,
)

__all__ = ["WAN21_VAE", "WAN22_VAE", "Memory", "WanVAE", "WanVAEConfig"]

GROUP = 4  # frames a latent frame
HALVES_TIME = (False, True, True)  # the encoder's three downsamplings; the decoder's in reverse


@dataclass(frozen=True, kw_only=True)
class WanVAEConfig:
    """Sizes; `mean` and `std` normalise the latents a channel. `patch` pixels a side become channels first (2.2)."""

    width: int
    decoder_width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    patch: int = 1
    shortcuts: bool = False  # 2.2: averages past each downsampling, repeats past each upsampling
    multipliers: tuple[int, int, int, int] = (1, 2, 4, 4)
    blocks: int = 2


# fmt: off
WAN21_VAE = WanVAEConfig(
    width=96, decoder_width=96, channels=16,
    mean=(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
          0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
    std=(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
         3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
WAN22_VAE = WanVAEConfig(
    width=160, decoder_width=256, channels=48, patch=2, shortcuts=True,
    mean=(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
          0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
          -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
          -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
    std=(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
         0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
         0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
         0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
)
# fmt: on


class DownLevel(nn.Module):
    """A level of 2.2's encoder."""

    def __init__(self, c_in: int, c_out: int, blocks: int, *, halve_time: bool | None) -> None:
        super().__init__()
        layers: list[nn.Module] = [ResidualBlock(c_in if i == 0 else c_out, c_out) for i in range(blocks)]
        if halve_time is not None:
            layers.append(Downsample(c_out, halve_time=halve_time))
        self.downsamples = nn.ModuleList(layers)
        self.around = AverageDown(c_in, c_out, 2 if halve_time else 1, 1 if halve_time is None else 2)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """[b, c, t, h, w] -> the level below."""
        y = self.around(x)
        for layer in self.downsamples:
            x = layer(x, memory)
        return x + y  # type: ignore[no-any-return]


class UpLevel(nn.Module):
    """A level of 2.2's decoder; the last one does not grow and has no way around."""

    def __init__(self, c_in: int, c_out: int, blocks: int, *, double_time: bool | None) -> None:
        super().__init__()
        layers: list[nn.Module] = [ResidualBlock(c_in if i == 0 else c_out, c_out) for i in range(blocks)]
        self.around = None
        if double_time is not None:
            layers.append(Upsample(c_out, c_out, double_time=double_time))
            self.around = RepeatUp(c_in, c_out, 2 if double_time else 1, 2)
        self.upsamples = nn.ModuleList(layers)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """[b, c, t, h, w] -> the level above."""
        first = self not in memory
        memory[self] = x.new_zeros(())
        y = None if self.around is None else self.around(x, first=first)
        for layer in self.upsamples:
            x = layer(x, memory)
        return x if y is None else x + y


class Net(nn.Module):
    """What encoder and decoder share: layers in a row, each with its memory."""

    conv1: CausalConv
    head: nn.ModuleDict
    order: tuple[str, str]  # of its two rows of layers
    bands = False

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """One chunk [b, c, t, h, w]; the first of a clip is one frame."""
        x = self.conv1(x, memory)
        for layer in self.layers():
            x = layer(x, memory)
        return self.leave(x, memory)

    def layers(self) -> list[nn.Module]:
        """All layers but the first and the head, in order."""
        return [layer for row in self.order for layer in getattr(self, row)]

    def leave(self, x: Tensor, memory: Memory) -> Tensor:
        """The head."""
        if self.bands:
            return in_bands(self.head["0"], self.head["2"], x, memory)
        return self.head["2"](F.silu(self.head["0"](x), inplace=True), memory)  # type: ignore[no-any-return]

    def _middle(self, width: int) -> nn.ModuleList:
        return nn.ModuleList(
            [ResidualBlock(width, width), FrameAttention(width), ResidualBlock(width, width)]
        )

    def _head(self, width: int, c_out: int) -> nn.ModuleDict:
        return nn.ModuleDict({"0": Norm(width), "2": CausalConv(width, c_out, (3, 3, 3))})


class Encoder(Net):
    """Pixels to means and log variances."""

    order = ("downsamples", "middle")

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        widths = [config.width * m for m in (1, *config.multipliers)]
        levels: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            halve = HALVES_TIME[i] if i < len(HALVES_TIME) else None
            if config.shortcuts:
                levels.append(DownLevel(a, b, config.blocks, halve_time=halve))
                continue
            levels += [ResidualBlock(a if j == 0 else b, b) for j in range(config.blocks)]
            if halve is not None:
                levels.append(Downsample(b, halve_time=halve))
        self.conv1 = CausalConv(3 * config.patch**2, widths[0], (3, 3, 3))
        self.downsamples = nn.ModuleList(levels)
        self.middle = self._middle(widths[-1])
        self.head = self._head(widths[-1], 2 * config.channels)


class Decoder(Net):
    """Latents to pixels."""

    order = ("middle", "upsamples")

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        multipliers = config.multipliers[::-1]
        widths = [config.decoder_width * m for m in (multipliers[0], *multipliers)]
        doubles = HALVES_TIME[::-1]
        levels: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            double = doubles[i] if i < len(doubles) else None
            if config.shortcuts:
                levels.append(UpLevel(a, b, config.blocks + 1, double_time=double))
                continue
            a = a // 2 if i else a  # 2.1's upsampling has halved it
            levels += [ResidualBlock(a if j == 0 else b, b) for j in range(config.blocks + 1)]
            if double is not None:
                levels.append(Upsample(b, b // 2, double_time=double))
        self.conv1 = CausalConv(config.channels, widths[0], (3, 3, 3))
        self.middle = self._middle(widths[0])
        self.upsamples = nn.ModuleList(levels)
        self.head = self._head(widths[-1], 3 * config.patch**2)
        self.margins = margins(len(multipliers), 2 * (config.blocks + 1))

    def strip(self, x: Tensor, memory: Memory, strip: Strip) -> Tensor:
        """As `forward`, but only a strip of the picture; `memory` is the strip's own."""
        x = self.conv1(x, memory)
        for layer in self.middle:
            x = layer(x, memory)
        x, begins = strip.cut(x, 1, self.margins[0], 0)
        scale, level = 1, 0
        for layer in self.upsamples:
            size = x.shape[strip.axis]
            x = layer(x, memory)
            if x.shape[strip.axis] != size:
                scale, level = 2 * scale, level + 1
                x, begins = strip.cut(x, scale, self.margins[level], 2 * begins)
        return strip.cut(self.leave(x, memory), scale, 0, begins)[0]


class WanVAE(nn.Module):
    """Encoder, decoder and the latents' statistics."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.conv1 = nn.Conv3d(2 * config.channels, 2 * config.channels, 1)
        self.conv2 = nn.Conv3d(config.channels, config.channels, 1)

    def use_bands(self) -> None:
        """Convolve as `models.bands` does from now on: on a processor, in fp32."""
        for module in self.modules():
            if isinstance(module, (ResidualBlock, Upsample, Net)):
                module.bands = True

    def encode(self, frames: Tensor) -> Tensor:
        """Frames [b, 3, 4k+1, h, w] in -1..1 -> normalised latents [b, c, k+1, h/f, w/f], the most likely ones."""
        memory: Memory = {}
        x = _fold(frames, self.config.patch)
        chunks = [x[:, :, :1], *x[:, :, 1:].split(GROUP, dim=2)] if x.shape[2] > 1 else [x]
        z = torch.cat([self.encoder(chunk, memory) for chunk in chunks], dim=2)
        mean = self.conv1(z)[:, : self.config.channels]
        shift, scale = self._statistics(mean)
        return (mean - shift) / scale  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [b, c, n, h, w] -> frames [b, 3, 4n-3, f*h, f*w] in -1..1."""
        memory: Memory = {}
        return torch.cat([self.decode_chunk(z, memory) for z in latents.split(1, dim=2)], dim=2)

    def decode_chunk(self, latents: Tensor, memory: Memory, strip: Strip | None = None) -> Tensor:
        """The next latents [b, c, n, h, w] of the clip that `memory` (empty at its start) belongs to.

        A clip's first chunk is one latent frame and gives one frame; others give four for each of theirs. With a
        `strip` only that part of the frames is made, and `memory` is the strip's own.

        Raises:
            ValueError: a first chunk of several latent frames.
        """
        if not memory and latents.shape[2] != 1:
            raise ValueError(f"a clip starts with one latent frame, not {latents.shape[2]}")
        shift, scale = self._statistics(latents)
        z = self.conv2(latents * scale + shift)
        x = self.decoder(z, memory) if strip is None else self.decoder.strip(z, memory, strip)
        return _unfold(x, self.config.patch).clamp_(-1, 1)

    def _statistics(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return (
            torch.tensor(self.config.mean, device=z.device, dtype=z.dtype)[:, None, None, None],
            torch.tensor(self.config.std, device=z.device, dtype=z.dtype)[:, None, None, None],
        )


def _fold(x: Tensor, patch: int) -> Tensor:
    """Pixels into channels: [b, c, t, h, w] -> [b, c*p*p, t, h/p, w/p], columns before rows."""
    if patch == 1:
        return x
    x = x.unflatten(4, (-1, patch)).unflatten(3, (-1, patch))  # b c t h p w q
    return x.permute(0, 1, 6, 4, 2, 3, 5).flatten(1, 3)


def _unfold(x: Tensor, patch: int) -> Tensor:
    """The inverse of `_fold`."""
    if patch == 1:
        return x
    x = x.unflatten(1, (-1, patch, patch))  # b c q p t h w
    return x.permute(0, 1, 4, 5, 3, 6, 2).flatten(5, 6).flatten(3, 4)
