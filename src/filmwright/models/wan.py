"""Wan's denoiser (2.1 and 2.2): text to video, image to video, first and last frame, and 5B's clean first frame.

A clip may be denoised chunk by chunk of latent frames, each seeing itself and what is kept of those before it (`Past`).
Parameters carry the names of Wan's own checkpoints; `weights.wan` maps those of diffusers. What the caption and a
picture say to each layer does not change while a clip is denoised, so it is computed once (`context`); levels are
given a latent frame, which is all that any variant needs of its timesteps a token.

Wan: Open and Advanced Large-Scale Video Generative Models (Wan Team 2025), Apache-2.0.

Axes: b batch, c channels, t latent frames, h rows, w columns; n video tokens, l words, d features, g heads,
e features a head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "Attend",
    "Context",
    "Past",
    "Reuse",
    "RunBlock",
    "Share",
    "WanConfig",
    "WanTransformer",
    "plainly",
    "wan_rotations",
]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""softmax(q k^T / sqrt(e)) v of [b, g, n, e], [b, g, m, e], [b, g, m, e] -> [b, g, n, e]."""
Context = list[tuple[Tensor, ...]]
"""A layer: keys and values [b, g, l, e] of the words, and of the picture if there is one."""
RunBlock = Callable[..., Tensor]
"""A block and its arguments -> tokens: `plainly`, or its compiled form."""


class Reuse(Protocol):
    """What may save a pass its blocks, all of them or all but the first."""

    def before_first(self, tokens: Tensor, modulation: Tensor) -> Tensor | None:
        """Tokens [b, n, d] before the first block and what levels do to it fp32 [b, f, 6, d] -> tokens after the last
        block, or None: compute them.
        """

    def after_first(self, before: Tensor, tokens: Tensor) -> Tensor | None:
        """Tokens [b, n, d] before and after the first block -> those after the last, or None: compute them."""

    def after_last(self, tokens: Tensor) -> None:
        """Is told the tokens after the last block, if they were computed."""


class Past(Protocol):
    """What is kept of the latent frames before a chunk, for every layer; see `models.wan_past.WanPast`."""

    @property
    def start(self) -> int:
        """Latent frames before the chunk."""

    def attend(self, layer: int, attend: Attend) -> Attend:
        """Attention of a layer's chunk over what is kept and over itself."""


class Share(Protocol):
    """What shares tokens among processes."""

    def mine(self, tokens: Tensor, frames: int) -> Tensor:
        """This process's part of each frame of tokens [..., t*s, d]."""

    def whole(self, tokens: Tensor, frames: int) -> Tensor:
        """All tokens [b, t*s, d] from each process's part."""

    def attend(self, attend: Attend) -> Attend:
        """Attention over all tokens, for callers that have their part of them."""

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of the numbers that the processes have, for all of them."""


PATCH = (1, 2, 2)
FREQUENCIES = 256  # of the sinusoid that a level becomes
LEVELS = 1000.0  # the denoiser knows level 1 as 1000
THETA = 10_000.0
IMAGE_NORM_EPS = 1e-5  # of the layer norms around a picture's tokens


@dataclass(frozen=True, kw_only=True)
class WanConfig:
    """Sizes of a variant; `image_dim` and `image_tokens` belong to those that look at a picture through CLIP."""

    dim: int
    heads: int
    layers: int
    ffn: int
    in_channels: int = 16
    out_channels: int = 16
    text_dim: int = 4096
    image_dim: int | None = None
    image_tokens: int | None = (
        None  # of all pictures together, where they have learned places (first and last frame)
    )
    eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        """Features a head."""
        return self.dim // self.heads


@lru_cache(maxsize=1)  # the same at every pass of a clip, or of a chunk
def wan_rotations(
    shape: tuple[int, int, int], head_dim: int, device: torch.device | str = "cpu", start: int = 0
) -> Tensor:
    """Complex rotations [t*h*w, e/2] of a grid of (t, h, w) tokens, from latent frame `start` on: time, row and column
    turn pairs of their own.
    """
    space = 2 * (head_dim // 6)
    tables = []
    sizes = (head_dim - 2 * space, space, space)
    for first, count, size in zip((start, 0, 0), shape, sizes, strict=True):
        speed = THETA ** (-torch.arange(0, size, 2, dtype=torch.float64, device=device) / size)
        places = torch.arange(first, first + count, dtype=torch.float64, device=device)
        tables.append(places[:, None] * speed)
    t, h, w = shape
    angle = torch.cat(
        [
            tables[0][:, None, None].expand(t, h, w, -1),
            tables[1][None, :, None].expand(t, h, w, -1),
            tables[2][None, None].expand(t, h, w, -1),
        ],
        dim=-1,
    ).flatten(0, 2)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def turn(x: Tensor, norm: nn.RMSNorm, rotations: Tensor, heads: int) -> Tensor:
    """Normalises `x` [b, n, d] over all heads, and turns neighbouring pairs: [b, g, n, e] in the dtype of `x`.

    In fp32 from end to end, and the norm's factor goes into the rotations: half the passes of one after the other.
    """
    size = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)
    factor = torch.rsqrt(size.square() / x.shape[-1] + norm.eps)[..., None]  # [b, n, 1]
    y = x.float() * norm.weight.float()
    pairs = torch.view_as_complex(y.unflatten(-1, (heads, -1, 2)))  # [b, n, g, e/2]
    turned = pairs * (rotations * factor)[:, :, None]
    return torch.view_as_real(turned).flatten(-2).to(x.dtype).transpose(1, 2)


def layer_norm(x: Tensor, eps: float, factor: Tensor, shift: Tensor) -> Tensor:
    """Layer norm of `x` [b, f, n, d] over the last axis in fp32, times `factor`, plus `shift`, which are fp32
    [b, f, 1, d]; in the dtype of `x`.
    """
    if factor.numel() == x.shape[-1] and x.device.type == "cpu":  # its kernel takes factors of another dtype
        return F.layer_norm(x, x.shape[-1:], factor.flatten(), shift.flatten(), eps)
    return torch.addcmul(shift, F.layer_norm(x.float(), x.shape[-1:], eps=eps), factor).to(x.dtype)


def linear_gelu(layer: nn.Module, x: Tensor) -> Tensor:
    """GELU (tanh) of a linear layer; on a CPU in bf16 in one kernel, where the layer is a plain one."""
    halves = x.device.type == "cpu" and x.dtype is torch.bfloat16 and torch.backends.mkldnn.is_available()
    y: Tensor
    if halves and type(layer) is nn.Linear and not torch.compiler.is_compiling():
        fused = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 (what torch's own compiler calls for this sum)
        y = fused(x, layer.weight, layer.bias, "gelu", [], "tanh")
    else:
        y = F.gelu(layer(x), approximate="tanh")
    return y


class Projections(nn.Module):
    """What both attentions have; queries and keys are normalised over all heads together."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q, self.k, self.v, self.o = (nn.Linear(config.dim, config.dim) for _ in range(4))
        self.norm_q = nn.RMSNorm(config.dim, eps=config.eps)
        self.norm_k = nn.RMSNorm(config.dim, eps=config.eps)


class SelfAttention(Projections):
    """Attention over the whole clip."""

    def forward(self, x: Tensor, rotations: Tensor, attend: Attend) -> Tensor:
        """`x` [b, n, d], `rotations` complex [n, e/2] -> [b, n, d]."""
        q = turn(self.q(x), self.norm_q, rotations, self.heads)
        k = turn(self.k(x), self.norm_k, rotations, self.heads)
        v = self.v(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        y = attend(q, k, v).transpose(1, 2).flatten(2)
        return self.o(y)  # type: ignore[no-any-return]


class CrossAttention(Projections):
    """Attention to the words and, apart from them, to a picture's tokens; what both say is added."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__(config)
        if config.image_dim is not None:
            self.k_img, self.v_img = (nn.Linear(config.dim, config.dim) for _ in range(2))
            self.norm_k_img = nn.RMSNorm(config.dim, eps=config.eps)

    def context(self, text: Tensor, image: Tensor | None) -> tuple[Tensor, ...]:
        """Words [b, l, d] and a picture [b, m, d] -> their keys and values [b, g, ., e]."""
        found = [self.norm_k(self.k(text)), self.v(text)]
        if image is not None:
            found += [self.norm_k_img(self.k_img(image)), self.v_img(image)]
        return tuple(y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in found)

    def forward(self, x: Tensor, context: tuple[Tensor, ...], attend: Attend) -> Tensor:
        """`x` [b, n, d] -> [b, n, d]."""
        q = self.norm_q(self.q(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        y = attend(q, context[0], context[1])
        if len(context) == 4:
            y = y + attend(q, context[2], context[3])
        return self.o(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Self-attention, cross-attention and feed-forward; levels shift, scale and gate the first and the last."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.self_attn = SelfAttention(config)
        self.cross_attn = CrossAttention(config)
        self.norm3 = nn.LayerNorm(config.dim, eps=config.eps)
        self.ffn = nn.Sequential(
            nn.Linear(config.dim, config.ffn), nn.GELU("tanh"), nn.Linear(config.ffn, config.dim)
        )
        self.modulation = nn.Parameter(torch.empty(1, 6, config.dim))
        nn.init.normal_(self.modulation, std=config.dim**-0.5)

    def forward(
        self,
        x: Tensor,
        levels: Tensor,
        context: tuple[Tensor, ...],
        rotations: Tensor,
        attend: Attend,
        attend_all: Attend,
    ) -> Tensor:
        """`x` [b, n, d]; `levels` fp32 [b, f, 6, d] of f groups of tokens, one after the other, as many in each;
        `attend_all` is over the tokens of all processes, `attend` over words.
        """
        groups = levels.shape[1]
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            (self.modulation.float()[:, None] + levels).unsqueeze(3).unbind(2)
        )  # [b, f, 1, d] each

        def grouped(y: Tensor) -> Tensor:
            return y.unflatten(1, (groups, -1))  # type: ignore[no-any-return]

        y = layer_norm(grouped(x), self.eps, 1 + scale1, shift1).flatten(1, 2)
        y = self.self_attn(y, rotations, attend_all)
        x = torch.addcmul(grouped(x).float(), grouped(y).float(), gate1).flatten(1, 2).to(x.dtype)
        weight, bias = (y.float().view(1, 1, 1, -1) for y in (self.norm3.weight, self.norm3.bias))
        y = layer_norm(x.unsqueeze(1), self.eps, weight, bias).flatten(1, 2)
        x = x + self.cross_attn(y, context, attend)
        y = layer_norm(grouped(x), self.eps, 1 + scale2, shift2).flatten(1, 2)
        y = self.ffn[2](linear_gelu(self.ffn[0], y))
        return torch.addcmul(grouped(x).float(), grouped(y).float(), gate2).flatten(1, 2).to(x.dtype)


def plainly(block: nn.Module, *arguments: object) -> Tensor:
    """What a block makes of its arguments."""
    return block(*arguments)  # type: ignore[no-any-return]


class Head(nn.Module):
    """Tokens to patches of velocity."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.head = nn.Linear(config.dim, config.out_channels * math.prod(PATCH))
        self.modulation = nn.Parameter(torch.empty(1, 2, config.dim))
        nn.init.normal_(self.modulation, std=config.dim**-0.5)

    def forward(self, x: Tensor, levels: Tensor) -> Tensor:
        """`x` [b, n, d], `levels` [b, f, d] -> [b, n, c*4]."""
        shift, scale = (self.modulation.float()[:, None] + levels.float()[:, :, None]).unsqueeze(3).unbind(2)
        y = layer_norm(x.unflatten(1, (levels.shape[1], -1)), self.eps, 1 + scale, shift)
        return self.head(y.flatten(1, 2))  # type: ignore[no-any-return]


class ImageEmbedding(nn.Module):
    """CLIP's tokens of a picture, or of the first and the last, to features."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        assert config.image_dim is not None
        size = config.image_dim
        self.proj = nn.Sequential(
            nn.LayerNorm(size, eps=IMAGE_NORM_EPS),
            nn.Linear(size, size),
            nn.GELU(),
            nn.Linear(size, config.dim),
            nn.LayerNorm(config.dim, eps=IMAGE_NORM_EPS),
        )
        if config.image_tokens is not None:
            self.emb_pos = nn.Parameter(torch.zeros(1, config.image_tokens, size))

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, m, d_image] -> [b, m, d]; two pictures come as one row of tokens."""
        if hasattr(self, "emb_pos"):
            tokens = tokens + self.emb_pos
        return self.proj(tokens)  # type: ignore[no-any-return]


class WanTransformer(nn.Module):
    """Noisy latents, their levels and a context to velocities."""

    stream: Callable[[], Iterable[Block]] | None  # gives the blocks where they are not all held
    share: Share | None  # among processes

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        if config.dim % config.heads or config.head_dim % 2:
            raise ValueError(f"{config.heads} heads cannot share {config.dim} features evenly")
        self.config = config
        self.attend: Attend = F.scaled_dot_product_attention
        self.run: RunBlock = plainly
        self.stream, self.share = None, None
        d = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, d, PATCH, PATCH)
        self.text_embedding = nn.Sequential(nn.Linear(config.text_dim, d), nn.GELU("tanh"), nn.Linear(d, d))
        self.time_embedding = nn.Sequential(nn.Linear(FREQUENCIES, d), nn.SiLU(), nn.Linear(d, d))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = Head(config)
        if config.image_dim is not None:
            self.img_emb = ImageEmbedding(config)

    def context(self, text: Tensor, image: Tensor | None = None) -> Context:
        """What each layer attends to: words [b, l, d_text] and CLIP's tokens [b, m, d_image]; once a clip.

        Raises:
            ValueError: a picture for a variant without an eye, or none for one with.
        """
        if (image is None) != (self.config.image_dim is None):
            said = "needs" if image is None else "does not take"
            raise ValueError(f"this variant of Wan {said} the tokens of a picture")
        words = self.text_embedding(text)
        seen = None if image is None else self.img_emb(image)
        return [block.cross_attn.context(words, seen) for block in self.layers()]

    def layers(self) -> Iterable[Block]:
        """The blocks, in order."""
        return cast("Iterable[Block]", self.blocks) if self.stream is None else self.stream()

    def forward(
        self,
        x: Tensor,
        levels: Tensor,
        context: Context,
        reuse: Reuse | None = None,
        past: Past | None = None,
    ) -> Tensor:
        """Velocity `noise - x_0` [b, c_out, t, h, w].

        Args:
            x: noisy latents, with what they are conditioned on as further channels [b, c_in, t, h, w].
            levels: 0 clean to 1 noise, one for all [b, 1] or one a latent frame [b, t].
            context: as `context` gives it.
            reuse: may save all blocks, or all but the first.
            past: of the clip that `x` is a chunk of; what each layer is asked for is kept there.
        """
        grid = (x.shape[2], x.shape[3] // PATCH[1], x.shape[4] // PATCH[2])
        start = 0 if past is None else past.start
        rotations = wan_rotations(grid, self.config.head_dim, x.device, start)
        tokens = self.patch_embedding(x).flatten(2).transpose(1, 2).contiguous()  # [b, n, d]
        time = self.time_embedding(self._wave(levels)).to(tokens.dtype)  # [b, f, d]
        modulation = self.time_projection(time).unflatten(-1, (6, -1)).float()  # [b, f, 6, d]
        share = self.share
        if share is not None:
            tokens, rotations = share.mine(tokens, grid[0]), share.mine(rotations, grid[0])
        tokens = self.head(self._blocks(tokens, modulation, context, rotations, reuse, past), time)
        if share is not None:
            tokens = share.whole(tokens, grid[0])
        patches = tokens.unflatten(1, grid).unflatten(-1, (*PATCH, -1))  # b t h w 1 2 2 c
        return patches.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)  # type: ignore[no-any-return]

    def _blocks(
        self,
        tokens: Tensor,
        modulation: Tensor,
        context: Context,
        rotations: Tensor,
        reuse: Reuse | None,
        past: Past | None,
    ) -> Tensor:
        """Tokens [b, n, d] through all blocks, or through as many as `reuse` leaves."""
        if reuse is not None:
            known = reuse.before_first(tokens, modulation)
            if known is not None:
                return known
        for index, (block, layer) in enumerate(zip(self.layers(), context, strict=True)):
            before = tokens
            attend_all = self._attend_all(index, past)
            tokens = self.run(block, tokens, modulation, layer, rotations, self.attend, attend_all)
            if index == 0 and reuse is not None:
                known = reuse.after_first(before, tokens)
                if known is not None:
                    return known
            del before
        if reuse is not None:
            reuse.after_last(tokens)
        return tokens

    def _attend_all(self, layer: int, past: Past | None) -> Attend:
        """Attention of a layer over all tokens, of all processes and of the past."""
        attend = self.attend if past is None else past.attend(layer, self.attend)
        return attend if self.share is None else self.share.attend(attend)

    def _wave(self, levels: Tensor) -> Tensor:
        """Levels [b, f] -> sinusoids [b, f, 256] in the dtype of the net."""
        half = FREQUENCIES // 2
        speed = torch.exp(
            torch.arange(half, device=levels.device, dtype=torch.float32) * (-math.log(THETA) / half)
        )
        angle = (levels.float() * LEVELS)[..., None] * speed
        wave = torch.cat([angle.cos(), angle.sin()], dim=-1)
        return wave.to(self.time_embedding[0].weight.dtype)  # type: ignore[arg-type]
