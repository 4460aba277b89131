"""The denoiser: a Diffusion Transformer whose every latent frame has its own noise level.

Notable:
- one causal model for text-to-video, image-to-video, keyframes, extension and streaming: what is known is simply
  clean (level 0), as in Diffusion Forcing (Chen et al. 2024);
- the sequence is [context | chunk 1 | chunk 2 | ...]; attention is block-causal over it, the same in training and at
  run time, so keys and values of the past can be cached. Context holds the caption's tokens and keyframes (with
  their true time), does not see the video, and has no noise level: it is computed once a clip;
- adaLN-single (PixArt-alpha) with a level a frame and the pooled caption; value residual; few wide heads;
- control channels (camera rays, motion tracks) enter through a zero-initialised projection.

Axes: b batch, c channels, t latent frames, h rows, w columns of latents; n tokens, l context tokens, d features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filmwright.models.attention import HEAD_DIM, Attention, SwiGLU, rms, rotary_table

__all__ = ["CAMERA", "CONTROL_CHANNELS", "TRACKS", "Cache", "DiT", "DiTConfig"]

CAMERA = 26  # rays, motion and places of the floor in each latent cell: `world.rays.camera_channels`
TRACKS = 17  # propagated first-frame latent (16) and a validity map
CONTROL_CHANNELS = CAMERA + TRACKS

Cache = list[tuple[Tensor, Tensor]]
"""Keys and values [b, g, n, e] of what has been seen, a layer."""


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Sizes of the denoiser; `patch` is latent cells a token each way, `chunk` is latent frames a causal block."""

    dim: int
    depth: int
    hidden: int
    patch: int
    latent_channels: int = 16
    text_dim: int = 256
    chunk: int = 3

    def __post_init__(self) -> None:
        if self.dim % HEAD_DIM:
            raise ValueError(f"dim {self.dim} is not a multiple of the head size {HEAD_DIM}")


class Block(nn.Module):
    """Attention and feed-forward, both modulated a frame."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.attention = Attention(config.dim)
        self.mlp = SwiGLU(config.dim, config.hidden)
        self.video_table = nn.Parameter(torch.zeros(6, config.dim))
        self.context_table = nn.Parameter(torch.zeros(6, config.dim))
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.mlp.down.weight)
        with torch.no_grad():
            self.context_table[2::3] = 1.0  # context passes its gates from the start

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        num_context: int,
        table: Tensor,
        bounds: list[tuple[int, int]],
        past: tuple[Tensor, Tensor] | None,
        first_values: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`x` [b, l + t*s, d] (s tokens a frame), `modulation` [b, t, 6, d]; see `Attention.forward`."""
        frames = modulation + self.video_table  # [b, t, 6, d]

        def apply(y: Tensor, shift: int) -> Tensor:
            return _per_part(
                y, num_context, frames, self.context_table, lambda z, m: z * (1 + m(shift + 1)) + m(shift)
            )

        def gate(y: Tensor, index: int) -> Tensor:
            return _per_part(y, num_context, frames, self.context_table, lambda z, m: z * m(index))

        y, k, v = self.attention(apply(rms(x), 0), table, bounds, past, first_values)
        x = x + gate(y, 2)
        x = x + gate(self.mlp(apply(rms(x), 3)), 5)
        return x, k, v


def _per_part(
    x: Tensor,
    num_context: int,
    frames: Tensor,
    context: Tensor,
    function: Callable[[Tensor, Callable[[int], Tensor]], Tensor],
) -> Tensor:
    """Applies `function(part, modulation)` to the context tokens and, a frame at a time, to the video tokens."""
    parts: list[Tensor] = []
    if num_context:
        parts.append(function(x[:, :num_context], lambda i: context[i]))
    t = frames.shape[1]
    if t:
        video = x[:, num_context:].unflatten(1, (t, -1))  # [b, t, s, d]
        parts.append(function(video, lambda i: frames[:, :, None, i]).flatten(1, 2))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class DiT(nn.Module):
    """Noisy latents, their levels and a context to velocities."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        cells = config.patch**2
        self.enter = nn.Linear(cells * config.latent_channels, config.dim)
        self.control = nn.Linear(cells * CONTROL_CHANNELS, config.dim, bias=False)
        self.keyframe = nn.Parameter(torch.zeros(config.dim))  # tells keyframes in the context from video
        self.text = nn.Linear(config.text_dim, config.dim)
        self.pooled = nn.Linear(config.text_dim, config.dim)
        self.level = nn.Sequential(nn.Linear(256, config.dim), nn.SiLU(), nn.Linear(config.dim, config.dim))
        self.modulation = nn.Linear(config.dim, 6 * config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final = nn.Parameter(torch.zeros(2, config.dim))
        self.leave = nn.Linear(config.dim, cells * config.latent_channels)
        for zero in (self.control.weight, self.modulation.weight, self.leave.weight, self.leave.bias):
            nn.init.zeros_(zero)
        with torch.no_grad():
            self.modulation.bias.zero_()
            self.modulation.bias[2 * config.dim : 3 * config.dim] = 1.0
            self.modulation.bias[5 * config.dim :] = 1.0

    def forward(
        self,
        x: Tensor,
        levels: Tensor,
        text: Tensor,
        pooled: Tensor,
        controls: Tensor | None = None,
        keyframes: Tensor | None = None,
        key_times: Tensor | None = None,
        *,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """The whole clip at once.

        Args:
            x: noisy latents [b, c, t, h, w].
            levels: noise level of each latent frame [b, t], 0 clean to 1 noise.
            text: features [b, l, d_text] and `pooled` [b, d_text] of the text encoder.
            controls: camera and motion tracks [b, 43, t, h, w]; None means none.
            keyframes: clean latents [b, m, c, h, w] shown at latent frames `key_times` [m].
            seen: takes the video tokens [b, t*s, d] after every block, for losses on what they know.

        Returns:
            Velocity `noise - x_0` [b, c, t, h, w].
        """
        context, table = self.context_tokens(text, keyframes, key_times)
        num_context = context.shape[1]
        video, video_table = self.video_tokens(x, controls, start=0)
        tokens = torch.cat([context, video], dim=1)  # [b, l + t*s, d]
        table = torch.cat([table, video_table])
        bounds = [(0, num_context), *self._bounds(x.shape[2], video.shape[1], num_context)]
        modulation, last = self._modulation(levels, pooled)
        first: Tensor | None = None
        for block in self.blocks:
            tokens, _, v = block(tokens, modulation, num_context, table, bounds, None, first)
            first = v if first is None else first
            if seen is not None:
                seen.append(tokens[:, num_context:])
        return self._leave(tokens[:, num_context:], last, x.shape)

    def cache_context(
        self, text: Tensor, keyframes: Tensor | None = None, key_times: Tensor | None = None
    ) -> Cache:
        """Keys and values of the context, once a clip; then `step` takes them."""
        x, table = self.context_tokens(text, keyframes, key_times)
        nothing = x.new_zeros(x.shape[0], 0, 6, x.shape[2])
        cache: Cache = []
        for block in self.blocks:
            first = cache[0][1] if cache else None
            x, k, v = block(x, nothing, x.shape[1], table, [(0, x.shape[1])], None, first)
            cache.append((k, v))
        return cache

    def step(
        self,
        x: Tensor,
        levels: Tensor,
        cache: Cache,
        pooled: Tensor,
        controls: Tensor | None = None,
        *,
        start: int = 0,
    ) -> tuple[Tensor, Cache]:
        """Velocity of latent frames `start ...` given the cached context and chunks before them.

        Same arguments as `forward`; returns the velocity and `cache` grown by these frames, to be kept when they
        are clean.
        """
        tokens, table = self.video_tokens(x, controls, start=start)
        bounds = self._bounds(x.shape[2], tokens.shape[1], 0)
        modulation, last = self._modulation(levels, pooled)
        grown: Cache = []
        first: Tensor | None = None
        for block, (past_k, past_v) in zip(self.blocks, cache, strict=True):
            tokens, k, v = block(tokens, modulation, 0, table, bounds, (past_k, past_v), first)
            first = v if first is None else first
            grown.append((torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)))
        return self._leave(tokens, last, x.shape), grown

    def context_tokens(
        self, text: Tensor, keyframes: Tensor | None, key_times: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Context tokens [b, l, d] and their rotary table; words have no position, keyframes have their own."""
        tokens = self.text(text)
        table = rotary_table(torch.zeros(text.shape[1], 3, device=text.device))
        if keyframes is not None and key_times is not None:
            shown = self.enter(self._patches(keyframes.transpose(1, 2))) + self.keyframe
            positions = self._positions(key_times, keyframes.shape[-2], keyframes.shape[-1])
            tokens = torch.cat([tokens, shown.to(tokens.dtype)], dim=1)
            table = torch.cat([table, rotary_table(positions)])
        return tokens, table

    def video_tokens(self, x: Tensor, controls: Tensor | None, *, start: int) -> tuple[Tensor, Tensor]:
        """Latents [b,c,t,h,w] from latent frame `start` on -> tokens [b, n, d] and their rotary table [n, e/2, 2]."""
        tokens = self.enter(self._patches(x))
        if controls is not None:
            tokens = tokens + self.control(self._patches(controls))
        times = torch.arange(start, start + x.shape[2], device=x.device)
        return tokens, rotary_table(self._positions(times, x.shape[3], x.shape[4]))

    def _bounds(self, num_frames: int, num_tokens: int, offset: int) -> list[tuple[int, int]]:
        """Token ranges of the causal chunks."""
        step = self.config.chunk * num_tokens // num_frames
        return [(offset + a, offset + min(a + step, num_tokens)) for a in range(0, num_tokens, step)]

    def _positions(self, times: Tensor, height: int, width: int) -> Tensor:
        """Latent frames [t] and a grid -> [t*s, 3]; rows and columns count cells from the picture's centre."""
        p = self.config.patch
        rows = torch.arange(0, height, p, device=times.device) - (height - p) / 2
        columns = torch.arange(0, width, p, device=times.device) - (width - p) / 2
        return torch.stack(
            [g.flatten() for g in torch.meshgrid(times.float(), rows, columns, indexing="ij")], -1
        )

    def _patches(self, x: Tensor) -> Tensor:
        """[b, c, t, h, w] -> [b, t*h/p*w/p, c*p*p]."""
        p = self.config.patch
        x = x.unflatten(4, (-1, p)).unflatten(3, (-1, p))  # b c t h p w p
        return x.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(1, 3)

    def _modulation(self, levels: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Shifts, scales and gates a frame [b, t, 6, d], and the two of the last layer [b, t, 2, d]."""
        speed = torch.exp(torch.arange(128, device=levels.device) * (-math.log(10_000.0) / 128))
        angle = levels.float()[..., None] * 1000.0 * speed
        wave = torch.cat([angle.cos(), angle.sin()], dim=-1).to(self.pooled.weight.dtype)
        condition = self.level(wave) + self.pooled(pooled)[:, None]  # [b, t, d]
        modulation = self.modulation(F.silu(condition)).unflatten(-1, (6, -1))
        return modulation, condition[:, :, None] + self.final

    def _leave(self, tokens: Tensor, last: Tensor, shape: torch.Size) -> Tensor:
        """Video tokens [b, n, d] -> velocity of `shape` [b, c, t, h, w]."""
        b, c, t, h, w = shape
        p = self.config.patch
        y = rms(tokens).unflatten(1, (t, -1)) * (1 + last[:, :, None, 0]) + last[:, :, None, 1]
        y = self.leave(y.to(self.leave.weight.dtype))  # [b, t, s, c*p*p]
        y = y.view(b, t, h // p, w // p, c, p, p)
        return y.permute(0, 4, 1, 2, 5, 3, 6).reshape(b, c, t, h, w)  # type: ignore[no-any-return]
