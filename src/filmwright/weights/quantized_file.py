"""Weights read from a file into eight bits, some rows at a time: the wide ones are never whole in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from filmwright.models.quantized import quantize_rows, storage_of
from filmwright.weights.tensor_file import TensorPlace, read_tensor

__all__ = ["quantized_bytes", "read_quantized", "read_running"]

PIECE = 1 << 20  # weights that are wide at a time


def read_quantized(place: TensorPlace, mode: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A matrix [o, k] in eight bits, and the scales of its rows [o] in `dtype`; see `models.quantized`.

    Raises:
        WeightsError: the file is gone or was cut since its header was read.
    """
    rows, columns = place.shape
    weight = torch.empty(place.shape, dtype=storage_of(mode))
    scale = torch.empty(rows, dtype=dtype)
    step = max(PIECE // columns, 1)
    for first in range(0, rows, step):
        count = min(step, rows - first)
        start = place.start + first * columns * place.dtype.itemsize
        part = read_tensor(replace(place, start=start, shape=(count, columns)), dtype)
        weight[first : first + count], scale[first : first + count] = quantize_rows(part, weight.dtype, dtype)
    return weight, scale


def read_running(
    places: Mapping[str, TensorPlace], dtypes: Mapping[str, torch.dtype], linear: frozenset[str], mode: str
) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors as they run, one after the other: in `dtypes`, or in eight bits where they are in `linear`."""
    for name, place in places.items():
        if mode == "none" or name not in linear:
            yield name, read_tensor(place, dtypes[name])
            continue
        weight, scale = read_quantized(place, mode, dtypes[name])
        yield name, weight
        yield f"{name.removesuffix('weight')}scale", scale


def quantized_bytes(
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, torch.dtype],
    linear: frozenset[str],
    mode: str,
) -> int:
    """Bytes of what `read_running` gives."""
    total = 0
    for name, shape in shapes.items():
        if mode == "none" or name not in linear:
            total += math.prod(shape) * dtypes[name].itemsize
        else:
            total += math.prod(shape) * storage_of(mode).itemsize + shape[0] * dtypes[name].itemsize
    return total
