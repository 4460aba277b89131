"""The network that reads a clip: 2-D convolutions a frame, shifted along time, two temporal ones on top.

It looks twice: at whole small frames, where it also finds the main subject, and at that subject close up. Shape and
rolling are details of a few pixels in a whole frame.

Axes: b clips, t time samples, c channels, h rows, w columns, d features. Motion enters twice: as grey
differences to the neighbouring samples, and by the temporal shift of Lin et al. 2019 ("TSM"),
which costs no arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["ReaderConfig", "ReaderNet", "closeups", "net_input"]

GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """Sizes of the net; `heads` maps an attribute to the names that it can read."""

    heads: dict[str, tuple[str, ...]]
    height: int = 80
    width: int = 128
    samples: int = 17  # frames looked at; every second of these is seen whole, the others as differences
    widths: tuple[int, int, int, int] = (32, 64, 96, 128)
    close: int = 48  # pixels a side of a close-up
    close_widths: tuple[int, int, int] = (32, 64, 128)
    features: int = 192

    @property
    def pictures(self) -> int:
        """Frames that are seen whole, and close up."""
        return self.samples // 2 + 1


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


class _Closeup(nn.Module):
    """Features of close-ups, a picture."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        c0, c1, c2 = config.close_widths
        self.stem = nn.Conv2d(3, c0, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(c0)
        self.blocks = nn.ModuleList(
            [_Block(c0, c1, 2), _Block(c1, c1, 1), _Block(c1, c2, 2), _Block(c2, c2, 1)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """`x` float [b, t, s, s, 3] in 0..1 -> [(b t), 2 c]."""
        t = x.shape[1]
        y = F.relu(self.norm(self.stem((x * 2 - 1).flatten(0, 1).permute(0, 3, 1, 2))))
        for block in self.blocks:
            y = block(y, t)
        return torch.cat([y.mean((2, 3)), y.amax((2, 3))], dim=1)


class ReaderNet(nn.Module):
    """Reads every attribute of a clip and finds its main subject; fewer than 1.5 million parameters."""

    NEAR = ("subject", "colour", "event")  # what close-ups alone can tell
    QUERIES = 8
    PLACE = 32  # features that the subject is found by

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        c0, c1, c2, c3 = config.widths
        self.stem = nn.Conv2d(7, c0, 7, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(c0)
        self.blocks = nn.ModuleList(
            [_Block(c0, c1, 1), _Block(c1, c2, 2), _Block(c2, c2, 1), _Block(c2, c3, 2), _Block(c3, c3, 1)]
        )
        self.fine, self.coarse = nn.Conv2d(c1, self.PLACE, 1), nn.Conv2d(c2, self.PLACE, 1)
        self.heat = nn.Conv2d(self.PLACE, 1, 3, padding=1)
        self.extent = nn.Linear(self.PLACE, 2)
        self.closeup = _Closeup(config)
        self.look = nn.Conv2d(c2, self.QUERIES, 1)
        d = config.features
        pooled = 2 * c3 + self.QUERIES * (c2 // self.QUERIES * 2 + 2) + 2 * config.close_widths[-1] + 4
        self.gather = nn.Conv2d(c2, self.QUERIES * (c2 // self.QUERIES * 2), 1)
        self.mix_a = nn.Conv1d(pooled, d, 3, padding=1)
        self.mix_b = nn.Conv1d(d, d, 3, padding=1)
        self.norm_a, self.norm_b = nn.BatchNorm1d(d), nn.BatchNorm1d(d)
        self.drop = nn.Dropout(0.1)
        self.heads = nn.ModuleDict({k: nn.Linear(3 * d, len(names)) for k, names in config.heads.items()})
        near = 2 * 2 * config.close_widths[-1]
        self.near = nn.ModuleDict({k: nn.Linear(near, len(config.heads[k])) for k in self.NEAR})

    def forward(self, frames: Tensor, close: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """`frames` float [b, samples, height, width, 3] in 0..1, `close` float [b, pictures, s, s, 3] of the subject.

        Returns logits [b, names] an attribute; where the subject is found, see `locate`; log odds of its cell
        [b, t, cells].
        """
        low, middle, top = self._trunk(frames)
        boxes, cells = self._place(low, middle)
        b, t = boxes.shape[:2]
        details = self.closeup(close)  # (b t) c
        pooled = torch.cat(
            [
                top.mean((2, 3)),
                top.amax((2, 3)),
                self._look(middle),
                details.to(middle.dtype),
                boxes.detach().flatten(0, 1).to(middle.dtype) * 2 - 1,
            ],
            dim=1,
        )  # (b t) pooled
        y = pooled.view(b, t, -1).transpose(1, 2)  # b pooled t
        y = F.relu(self.norm_a(self.mix_a(y)))  # b d t
        y = y + F.relu(self.norm_b(self.mix_b(y)))  # b d t
        y = self.drop(torch.cat([y.mean(2), y.amax(2), y[:, :, -1] - y[:, :, 0]], dim=1)).float()  # b 3d
        logits = {k: head(y) for k, head in self.heads.items()}
        near = self._near(details, b)
        return {k: v + near[k] if k in near else v for k, v in logits.items()}, boxes, cells

    def read_near(self, close: Tensor) -> dict[str, Tensor]:
        """Close-ups as for `forward` -> logits of what they tell alone: cheap, so that they can be trained on many."""
        return self._near(self.closeup(close), len(close))

    def _near(self, details: Tensor, b: int) -> dict[str, Tensor]:
        y = details.float().view(b, self.config.pictures, -1)
        y = self.drop(torch.cat([y.mean(1), y.amax(1)], dim=1))
        return {k: head(y) for k, head in self.near.items()}

    def locate(self, frames: Tensor) -> Tensor:
        """Frames as for `forward` -> the subject's box a picture [b, t, 4]: centre x, y, width, height, as shares."""
        low, middle, _ = self._trunk(frames)
        return self._place(low, middle)[0]

    def _trunk(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at a quarter, an eighth and a sixteenth of the size, [(b t), c, h, w] each."""
        x = net_input(frames)  # b t h w 7
        t = x.shape[1]
        x = x.flatten(0, 1).permute(0, 3, 1, 2)  # (b t) 7 h w
        x = F.relu(self.norm(self.stem(x)))  # (b t) c h/4 w/4
        low = middle = x
        for i, block in enumerate(self.blocks):
            x = block(x, t)
            if i == 0:
                low = x
            if i == 2:
                middle = x
        return low, middle, x

    def _place(self, low: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
        """The boxes of `locate`, and the log odds of each cell [b, t, cells]."""
        n, _, h, w = low.shape
        t = self.config.pictures
        found = F.relu(self.fine(low) + F.interpolate(self.coarse(middle), size=(h, w)))  # n e h w
        cells = self.heat(found).float().flatten(1)  # n hw
        y = (torch.arange(h, device=low.device) + 0.5).div(h)[:, None].expand(h, w).reshape(-1)
        x = (torch.arange(w, device=low.device) + 0.5).div(w)[None].expand(h, w).reshape(-1)
        with torch.autocast(low.device.type, enabled=False):  # places are finer than bf16
            weight = cells.softmax(-1)
            seen = torch.einsum("np,nep->ne", weight, found.float().flatten(2))
            extent = torch.sigmoid(F.linear(seen, self.extent.weight.float(), self.extent.bias.float()))
            boxes = torch.cat([(weight @ x)[:, None], (weight @ y)[:, None], extent], dim=1)
        return boxes.view(n // t, t, 4), cells.view(n // t, t, -1)

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


def closeups(
    frames: NDArray[np.uint8], boxes: NDArray[np.float32], config: ReaderConfig
) -> NDArray[np.uint8]:
    """Squares around the subject: frames uint8 [T,H,W,3], boxes [t, 4] as of `ReaderNet.locate` -> [t, s, s, 3].

    A square is half as wide again as the subject, within the frame.
    """
    at = np.linspace(0, len(frames) - 1, config.pictures).round().astype(int)
    height, width = frames.shape[1:3]
    result = []
    for i, (cx, cy, w, h) in zip(at, boxes, strict=True):
        side = int(np.clip(1.5 * max(w * width, h * height), 16, min(width, height)))
        x = int(np.clip(cx * width - side / 2, 0, width - side))
        y = int(np.clip(cy * height - side / 2, 0, height - side))
        how = cv2.INTER_AREA if side >= config.close else cv2.INTER_LINEAR
        part = np.ascontiguousarray(frames[i, y : y + side, x : x + side])
        result.append(cv2.resize(part, (config.close, config.close), interpolation=how))
    return np.stack(result).astype(np.uint8)
