"""The layers of Wan's causal VAEs; see `models.wan_vae`.

Every causal layer keeps the two frames before a chunk in a `Memory`, so that chunks give what the whole gives. Two ways
of convolving: torch's own, and where `bands` is set that of `models.bands`, which is for a processor in fp32.

Axes: b clips, c channels, t frames, h rows, w columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filmwright.models.bands import convolve, double

__all__ = [
    "AverageDown",
    "CausalConv",
    "Downsample",
    "FrameAttention",
    "Memory",
    "Norm",
    "RepeatUp",
    "ResidualBlock",
    "Upsample",
    "in_bands",
]

Memory = dict[nn.Module, Tensor]
"""What each causal layer remembers of the chunks before; an empty one starts a clip."""


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

    def then_silu(self, x: Tensor) -> Tensor:
        """The norm and its activation for channels innermost, [..., c]."""
        gain = x.shape[-1] ** 0.5 / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_(min=1e-12)
        return F.silu((x * gain).mul_(self.gamma.flatten()), inplace=True)


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


def in_bands(
    norm: nn.Module, conv: nn.Module, x: Tensor, memory: Memory, onto: Tensor | None = None
) -> Tensor:
    """The convolution of `x` normalised and activated, in bands; `memory` holds what is not normalised yet."""
    assert isinstance(norm, Norm)
    assert isinstance(conv, CausalConv)
    assert conv.bias is not None
    b, c, t, h, w = x.shape
    alone = conv not in memory and t == 1
    before = memory.setdefault(conv, x.new_zeros(b, 2, h, w, c).permute(0, 4, 1, 2, 3))
    y = convolve(x, None if alone else before, conv.weight, conv.bias, norm.then_silu, onto=onto)
    if t == 1:
        before[:, :, 0] = before[:, :, 1]
    before[:, :, -min(t, 2) :] = x[:, :, -2:]
    return y


class ResidualBlock(nn.Module):
    """Two normalised convolutions and a way around them."""

    bands = False  # see WanVAE.use_bands

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
        if self.bands:
            around = x if self.shortcut is None else self.shortcut(x, memory)
            y = in_bands(parts["0"], parts["2"], x, memory)
            return in_bands(parts["3"], parts["6"], y, memory, onto=around)
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

    bands = False

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
        if self.bands:
            conv = self.resample[1]
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            return double(x, conv.weight, conv.bias)
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
