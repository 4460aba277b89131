"""Wan's convolutions as a processor likes them: in bands of rows that stay in its cache, and with fewer products.

A layer's norm, activation and convolution are done for some rows of all frames at a time, so that nothing between them
is ever whole in memory. Along time the convolution is Winograd's minimal filtering (Lavin, Gray: Fast Algorithms for
Convolutional Neural Networks, 2015, arXiv 1509.09308): four frames from six products with a kernel's picture instead
of twelve, two from four instead of six. Doubled rows and columns are never made: a 3x3 convolution of pixels that stand
twice is four 2x2 convolutions of the pixels themselves.

Sums round otherwise than in the plain way, by some 1e-6 of the values in fp32; in bf16 that would be too much.

Axes: b clips, c channels, t frames, h rows, w columns, o channels that come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["convolve", "double"]

TAPS = 3  # of a kernel, along time
BAND = 640_000  # numbers a frame of a band; all its frames and their products take some megabytes
POINTS = {
    2: (0, 1, -1),
    4: (0, 2 / 3, -2 / 3, 3 / 2, -3 / 2),
}  # where polynomials are compared; these round least


def convolve(
    x: Tensor,
    before: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    enter: Callable[[Tensor], Tensor],
    *,
    onto: Tensor | None = None,
) -> Tensor:
    """The causal convolution of `enter(x)`; beyond the edges there are zeros.

    Args:
        x: [b, c, t, h, w].
        before: the two frames before `x`, not entered yet, [b, c, 2, h, w]; None: zeros, and t is 1.
        weight: [o, c, 3, 3, 3].
        bias: [o].
        enter: what is done to each place on its own, [..., c] -> [..., c]; zeros stay zeros.
        onto: what the result is added to in place, [b, o, t, h, w]; not `x`.

    Returns:
        [b, o, t, h, w]: `onto`, or a new tensor with its channels innermost in memory.
    """
    b, c, t, h, w = x.shape
    assert before is not None or t == 1
    parts = _parts(weight, t, alone=before is None)
    earlier = 0 if before is None else TAPS - 1
    out = x.new_empty(t, b, h, w, len(weight)) if onto is None else _channels_last(onto)
    for top, rows in _bands(h, w * c, x):
        above, below = (
            max(0, top - 1),
            min(h, top + rows + 1),
        )  # a row more on either side, where there is one
        band = x.new_zeros(earlier + t, b, rows + 2, w, c)
        inside = band[:, :, above - top + 1 : below - top + 1]
        if before is not None:
            inside[:earlier] = enter(_channels_last(before[:, :, :, above:below]))
        inside[earlier:] = enter(_channels_last(x[:, :, :, above:below]))
        for start, mix, kernels, gather in parts:
            frames = band[start : start + mix.shape[1]]
            mixed = (mix @ frames.flatten(1)).view(-1, *frames.shape[1:])
            products = torch.stack([_picture(f, k) for f, k in zip(mixed, kernels, strict=True)])
            made = (gather @ products.flatten(1)).view(-1, *products.shape[1:])
            place = out[start : start + len(made), :, top : top + rows]
            made += bias
            if onto is None:
                place.copy_(made)
            else:
                place.add_(made)
    return out.permute(1, 4, 0, 2, 3) if onto is None else onto


def double(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each pixel of `x` four times, then a 3x3 convolution; beyond the edges there are zeros.

    Args:
        x: [b, c, t, h, w].
        weight: [o, c, 3, 3].
        bias: [o].

    Returns:
        [b, o, t, 2h, 2w], channels innermost in memory.
    """
    b, c, t, h, w = x.shape
    # of three taps in a row two fall on one pixel: the first and the second for the left or upper half of it, or ...
    halves = ((weight[..., 0, :], weight[..., 1, :] + weight[..., 2, :]),
              (weight[..., 0, :] + weight[..., 1, :], weight[..., 2, :]))  # fmt: skip
    kernels = [
        [torch.stack([_halves(row)[dx] for row in rows], dim=2).contiguous(memory_format=torch.channels_last)
         for dx in range(2)]
        for rows in halves
    ]  # fmt: skip
    out = x.new_empty(t, b, 2 * h, 2 * w, len(weight))
    for top, rows in _bands(h, 2 * w * c, x):
        above, below = max(0, top - 1), min(h, top + rows + 1)
        band = x.new_zeros(t, b, rows + 2, w, c)
        band[:, :, above - top + 1 : below - top + 1] = _channels_last(x[:, :, :, above:below])
        for i, frame in enumerate(band):
            for dy in range(2):
                for dx in range(2):
                    y = _picture(frame[:, dy : dy + rows + 1], kernels[dy][dx])  # [b, rows, w + 1, o]
                    out[i, :, 2 * top + dy : 2 * (top + rows) : 2, dx::2] = y[:, :, dx : dx + w] + bias
    return out.permute(1, 4, 0, 2, 3)


def _halves(row: Tensor) -> tuple[Tensor, Tensor]:
    """Three taps along the last axis, as two for the left and two for the right half of a pixel."""
    return (
        torch.stack([row[..., 0], row[..., 1] + row[..., 2]], dim=-1),
        torch.stack([row[..., 0] + row[..., 1], row[..., 2]], dim=-1),
    )


def _bands(rows: int, numbers: int, x: Tensor) -> Iterator[tuple[int, int]]:
    """(first row, rows) of each band of `x`, where a row has so many numbers."""
    step = max(1, BAND // numbers)
    for top in range(
        0, min(rows, step) if x.is_meta else rows, step
    ):  # without values one band stands for all
        yield top, min(step, rows - top)


def _channels_last(x: Tensor) -> Tensor:
    """[b, c, t, h, w] -> [t, b, h, w, c], the same memory."""
    return x.permute(2, 0, 3, 4, 1)


def _picture(x: Tensor, kernel: Tensor) -> Tensor:
    """[b, h, w, c] with rows to spare above and below, and zeros left and right -> [b, h', w', o]."""
    return F.conv2d(x.permute(0, 3, 1, 2), kernel, padding=(0, 1)).permute(0, 2, 3, 1)


def _parts(weight: Tensor, frames: int, *, alone: bool) -> list[tuple[int, Tensor, list[Tensor], Tensor]]:
    """Groups of frames, each: its first, what mixes its inputs, the kernels for them, what gathers its frames."""
    if alone:
        weight = weight[:, :, -1:]  # the others would meet zeros
    parts, start = [], 0
    while start < frames:
        count = next(n for n in (4, 2, 1) if n <= frames - start)
        mix, expand, gather = (m.to(weight) for m in _filtering(count, weight.shape[2]))
        kernels = torch.einsum("kr,ocrhw->kochw", expand, weight)
        parts.append((start, mix, [k.contiguous(memory_format=torch.channels_last) for k in kernels], gather))
        start += count
    return parts


@lru_cache(maxsize=8)
def _filtering(count: int, taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """`count` outputs of a filter by Toom and Cook's method: inputs [n, n], taps [n, taps], outputs [count, n].

    A convolution is a product of polynomials, known by its values at n points, the last one infinity; transposed, that
    gives a filter's outputs. The tensors are kept, so they are on the CPU whatever the default device is.
    """
    if count == 1:  # plainly: a product a tap, and their sum
        each = torch.eye(taps, device="cpu")
        return each, each, each.sum(0, keepdim=True)
    n = count + taps - 1

    def values(degree: int) -> Tensor:
        finite = [[float(p) ** i for i in range(degree)] for p in POINTS[count]]
        return torch.tensor([*finite, [0.0] * (degree - 1) + [1.0]], dtype=torch.float64, device="cpu")

    mix = torch.linalg.inv(values(n)).T
    scale = mix.abs().amax(1, keepdim=True)
    return mix / scale, values(taps) * scale, values(count).T
