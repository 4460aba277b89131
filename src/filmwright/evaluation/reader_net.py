"""The network that reads a clip: 2-D convolutions a frame, shifted along time, two temporal ones on top.

Axes: b clips, t time samples, c channels, h rows, w columns, d features. Motion enters twice: as grey
differences to the neighbouring samples, and by the temporal shift of Lin et al. 2019 ("TSM"),
which costs no arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ReaderConfig", "ReaderNet", "net_input"]

GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """Sizes of the net; `heads` maps an attribute to the names that it can read."""

    heads: dict[str, tuple[str, ...]]
    height: int = 80
    width: int = 128
    samples: int = 17  # frames looked at; every second of these is seen whole, the others as differences
    widths: tuple[int, int, int, int] = (32, 64, 96, 128)
    features: int = 192


def net_input(frames: Tensor) -> Tensor:
    """Seventeen small frames become nine pictures with their differences.

    `frames` float [b, 2n+1, h, w, 3] in 0..1 -> [b, n+1, h, w, 7]: colour, grey difference to the sample
    before and after (zero at the ends), x and y from -1 to 1.
    """
    b, _, h, w, _ = frames.shape
    weight = torch.tensor(GREY, dtype=frames.dtype, device=frames.device)
    step = F.pad(((frames[:, 1:] - frames[:, :-1]) @ weight) * 4.0, (0, 0, 0, 0, 1, 1))  # b s+1 h w
    now = frames[:, ::2] * 2.0 - 1.0  # b t h w 3
    moves = torch.stack([step[:, :-1:2], step[:, 1::2]], dim=-1)  # b t h w 2
    y = torch.linspace(-1, 1, h, dtype=frames.dtype, device=frames.device)[:, None].expand(h, w)
    x = torch.linspace(-1, 1, w, dtype=frames.dtype, device=frames.device)[None].expand(h, w)
    place = torch.stack([x, y], dim=-1).expand(b, now.shape[1], h, w, 2)
    return torch.cat([now, moves, place], dim=-1)


class _Block(nn.Module):
    """A residual 3x3 convolution; its input is shifted along time in a quarter of the channels."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1, bias=False) if c_in != c_out else nn.Identity()
        self.stride = stride

    def forward(self, x: Tensor, t: int) -> Tensor:
        y = F.relu(self.norm(self.a(_shift(x, t))))  # (b t) c h w
        x = F.avg_pool2d(x, self.stride) if self.stride > 1 else x
        added: Tensor = y + self.skip(x)
        return added


def _shift(x: Tensor, t: int) -> Tensor:
    """An eighth of the channels comes from the sample before, an eighth from the one after; `x` [(b t), c, h, w].

    Works on and keeps the channels-last layout, in which the convolutions are fastest.
    """
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n // t, t, h, w, c)
    e = c // 8
    before = F.pad(x[:, :-1, ..., :e], (0, 0, 0, 0, 0, 0, 1, 0))
    after = F.pad(x[:, 1:, ..., e : 2 * e], (0, 0, 0, 0, 0, 0, 0, 1))
    return torch.cat([before, after, x[..., 2 * e :]], dim=-1).view(n, h, w, c).permute(0, 3, 1, 2)


class ReaderNet(nn.Module):
    """Reads every attribute of a clip; fewer than 1.5 million parameters."""

    QUERIES = 8

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        c0, c1, c2, c3 = config.widths
        self.stem = nn.Conv2d(7, c0, 7, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(c0)
        self.blocks = nn.ModuleList(
            [_Block(c0, c1, 1), _Block(c1, c2, 2), _Block(c2, c2, 1), _Block(c2, c3, 2), _Block(c3, c3, 1)]
        )
        self.look = nn.Conv2d(c2, self.QUERIES, 1)
        d = config.features
        pooled = 2 * c3 + self.QUERIES * (c2 // self.QUERIES * 2 + 2)
        self.gather = nn.Conv2d(c2, self.QUERIES * (c2 // self.QUERIES * 2), 1)
        self.mix_a = nn.Conv1d(pooled, d, 3, padding=1)
        self.mix_b = nn.Conv1d(d, d, 3, padding=1)
        self.norm_a, self.norm_b = nn.BatchNorm1d(d), nn.BatchNorm1d(d)
        self.drop = nn.Dropout(0.1)
        self.heads = nn.ModuleDict({k: nn.Linear(3 * d, len(names)) for k, names in config.heads.items()})

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """`frames` float [b, samples, height, width, 3] in 0..1 -> logits [b, names] an attribute."""
        x = net_input(frames)  # b t h w 7
        b, t = x.shape[:2]
        x = x.flatten(0, 1).permute(0, 3, 1, 2)  # (b t) 7 h w
        x = F.relu(self.norm(self.stem(x)))  # (b t) c h/4 w/4
        middle = x
        for i, block in enumerate(self.blocks):
            x = block(x, t)
            if i == 2:
                middle = x  # (b t) c2 h/8 w/8
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3)), self._look(middle)], dim=1)  # (b t) pooled
        y = pooled.view(b, t, -1).transpose(1, 2)  # b pooled t
        y = F.relu(self.norm_a(self.mix_a(y)))  # b d t
        y = y + F.relu(self.norm_b(self.mix_b(y)))  # b d t
        y = self.drop(torch.cat([y.mean(2), y.amax(2), y[:, :, -1] - y[:, :, 0]], dim=1)).float()  # b 3d
        return {k: head(y) for k, head in self.heads.items()}

    def _look(self, x: Tensor) -> Tensor:
        """Soft pointers: what is seen where each points, and where that is; [(b t), c, h, w] -> [(b t), d]."""
        n, _, h, w = x.shape
        weight = self.look(x).float().flatten(2).softmax(-1)  # n q hw
        value = self.gather(x).view(n, self.QUERIES, -1, h * w).float()  # n q e hw
        seen = torch.einsum("nqp,nqep->nqe", weight, value).flatten(1)  # n (q e)
        grid_y = torch.linspace(-1, 1, h, device=x.device)[:, None].expand(h, w).reshape(-1)
        grid_x = torch.linspace(-1, 1, w, device=x.device)[None].expand(h, w).reshape(-1)
        where = torch.cat([weight @ grid_x, weight @ grid_y], dim=1)  # n 2q
        return torch.cat([seen, where * 4.0], dim=1)
