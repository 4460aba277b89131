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

__all__ = ["WAN21_VAE", "WAN22_VAE", "Memory", "WanVAE", "WanVAEConfig"]

Memory = dict[nn.Module, Tensor]
"""What each causal layer remembers of the chunks before; an empty one starts a clip."""

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


class Norm(nn.Module):
    """Each position's channels at unit root mean square, times a gain."""

    def __init__(self, width: int, spread: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width, *[1] * spread))

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, ...] of any rank."""
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
        gain = x.shape[1] ** 0.5 / length.clamp_(min=1e-12)
        return x * gain.to(x.dtype) * self.gamma.view(-1, *[1] * (x.ndim - 2)).to(x.dtype)  # type: ignore[no-any-return]


class CausalConv(nn.Conv3d):
    """A convolution over a frame and those before it."""

    def __init__(
        self, c_in: int, c_out: int, size: tuple[int, int, int], stride: tuple[int, int, int] = (1, 1, 1)
    ) -> None:
        super().__init__(c_in, c_out, size, stride, (0, size[1] // 2, size[2] // 2))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:  # type: ignore[override]
        """`x` [b, c, t, h, w] after what `memory` holds of this layer's input (nothing: black), which is replaced."""
        reach = self.kernel_size[0] - 1
        if not reach:
            return super().forward(x)
        before = memory.get(self)
        if before is None:
            before = x.new_zeros(*x.shape[:2], reach, *x.shape[3:])
        x = torch.cat([before, x], dim=2)
        memory[self] = x[:, :, -reach:].clone()
        return super().forward(x)


class ResidualBlock(nn.Module):
    """Two normalised convolutions and a way around them."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.residual = nn.ModuleDict(
            {
                "0": Norm(c_in),
                "2": CausalConv(c_in, c_out, (3, 3, 3)),
                "3": Norm(c_out),
                "6": CausalConv(c_out, c_out, (3, 3, 3)),
            }
        )
        self.shortcut = CausalConv(c_in, c_out, (1, 1, 1)) if c_in != c_out else None

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """[b, c, t, h, w] -> [b, c_out, t, h, w]."""
        parts = self.residual
        y = parts["2"](F.silu(parts["0"](x), inplace=True), memory)
        y = parts["6"](F.silu(parts["3"](y), inplace=True), memory)
        return y.add_(x if self.shortcut is None else self.shortcut(x, memory))  # type: ignore[no-any-return]


class FrameAttention(nn.Module):
    """Attention within each frame; one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = Norm(width, spread=2)
        self.to_qkv = nn.Conv2d(width, 3 * width, 1)
        self.proj = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:  # noqa: ARG002
        """[b, c, t, h, w] -> the same."""
        b, _, t, h, w = x.shape
        frames = x.transpose(1, 2).flatten(0, 1)  # [bt, c, h, w]
        q, k, v = self.to_qkv(self.norm(frames)).flatten(2).mT[:, None].chunk(3, dim=-1)  # [bt, 1, hw, c]
        y = F.scaled_dot_product_attention(q, k, v)[:, 0].mT.unflatten(2, (h, w))
        return x + self.proj(y).unflatten(0, (b, t)).transpose(1, 2)  # type: ignore[no-any-return]


def per_frame(layer: nn.Module, x: Tensor) -> Tensor:
    """A 2D layer on every frame of [b, c, t, h, w]."""
    b, _, t = x.shape[:3]
    frames = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return layer(frames).unflatten(0, (b, t)).transpose(1, 2)  # type: ignore[no-any-return]


class Downsample(nn.Module):
    """Halves rows and columns, and time where asked; the first frame of a clip passes time unchanged."""

    def __init__(self, width: int, *, halve_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(width, width, 3, stride=2))
        self.time_conv = nn.Conv3d(width, width, (3, 1, 1), (2, 1, 1)) if halve_time else None

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """[b, c, t, h, w]; t is 1 at a clip's start, a multiple of 4 or 2 after it."""
        x = per_frame(self.resample, x)
        if self.time_conv is None:
            return x
        before = memory.get(self)
        memory[self] = x[:, :, -1:].clone()
        return x if before is None else self.time_conv(torch.cat([before, x], dim=2))


class Upsample(nn.Module):
    """Doubles rows and columns, and time where asked; the first frame of a clip passes time unchanged."""

    def __init__(self, width: int, c_out: int, *, double_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2.0), nn.Conv2d(width, c_out, 3, padding=1))
        self.time_conv = CausalConv(width, 2 * width, (3, 1, 1)) if double_time else None

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """[b, c, t, h, w] -> [b, c_out, t or 2t, 2h, 2w]."""
        if self.time_conv is not None:
            if self not in memory:
                memory[self] = x.new_zeros(())  # a clip has begun
            else:
                y = self.time_conv(x, memory).unflatten(1, (2, -1))  # [b, 2, c, t, h, w]
                x = y.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
                del y
        return per_frame(self.resample, x)


class AverageDown(nn.Module):
    """2.2's way around a downsampling: averages of what is folded into the channels; black before a clip's start."""

    def __init__(self, c_in: int, c_out: int, time: int, space: int) -> None:
        super().__init__()
        self.c_out, self.time, self.space = c_out, time, space
        assert c_in * time * space**2 % c_out == 0

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, t, h, w] -> [b, c_out, t/time, h/space, w/space]."""
        x = F.pad(x, (0, 0, 0, 0, -x.shape[2] % self.time, 0))
        x = x.unflatten(4, (-1, self.space)).unflatten(3, (-1, self.space)).unflatten(2, (-1, self.time))
        x = x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)  # [b, c*factor, t, h, w]
        return x.unflatten(1, (self.c_out, -1)).mean(2)  # type: ignore[no-any-return]


class RepeatUp(nn.Module):
    """2.2's way around an upsampling: channels unfolded, and repeated as often as need be."""

    def __init__(self, c_in: int, c_out: int, time: int, space: int) -> None:
        super().__init__()
        self.c_out, self.time, self.space = c_out, time, space
        self.repeats = c_out * time * space**2 // c_in

    def forward(self, x: Tensor, *, first: bool) -> Tensor:
        """[b, c, t, h, w] -> [b, c_out, time*t, space*h, space*w]; the clip's first frame stays one."""
        x = x.repeat_interleave(self.repeats, dim=1)
        x = x.unflatten(1, (self.c_out, self.time, self.space, self.space))  # b c f s s t h w
        x = x.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        return x[:, :, self.time - 1 :] if first else x


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


class WanVAE(nn.Module):
    """Encoder, decoder and the latents' statistics."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.conv1 = nn.Conv3d(2 * config.channels, 2 * config.channels, 1)
        self.conv2 = nn.Conv3d(config.channels, config.channels, 1)

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

    def decode_chunk(self, latents: Tensor, memory: Memory) -> Tensor:
        """The next latents [b, c, n, h, w] of the clip that `memory` (empty at its start) belongs to.

        A clip's first chunk is one latent frame and gives one frame; others give four for each of theirs.

        Raises:
            ValueError: a first chunk of several latent frames.
        """
        if not memory and latents.shape[2] != 1:
            raise ValueError(f"a clip starts with one latent frame, not {latents.shape[2]}")
        shift, scale = self._statistics(latents)
        x = self.decoder(self.conv2(latents * scale + shift), memory)
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
