"""Tensors of safetensors files read one by one, without mapping the file: a mapped page counts as memory in use.

Format: eight bytes, the header's length; the header, JSON of name -> dtype, shape, offsets; the data.
(https://github.com/huggingface/safetensors, Apache-2.0)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import RawIOBase
from pathlib import Path

import torch
from torch import Tensor

from filmwright.spec.errors import WeightsError

__all__ = ["TensorPlace", "read_rows", "read_tensor", "tensor_places"]

PIECE = 1 << 22  # elements converted at a time
MAX_HEADER = 100_000_000  # bytes, as the format's own library has it
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


@dataclass(frozen=True, kw_only=True)
class TensorPlace:
    """Where a tensor lies."""

    path: Path
    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    factor: float = 1.0  # what its numbers are to be multiplied by, see `weights.scaled`

    @property
    def count(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Its size on disk."""
        return self.count * self.dtype.itemsize


def tensor_places(paths: Iterable[Path]) -> dict[str, TensorPlace]:
    """Name -> place of every tensor in some safetensors files; only the headers are read.

    Raises:
        WeightsError: a file is missing, truncated or no safetensors.
    """
    found: dict[str, TensorPlace] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if not 2 <= length <= MAX_HEADER:
                    raise ValueError(f"a header of {length} bytes")
                header = json.loads(file.read(length))
                end = file.seek(0, 2)
            base = 8 + length
            for name, item in header.items():
                if name == "__metadata__":
                    continue
                low, high = item["data_offsets"]
                place = TensorPlace(
                    path=path, start=base + low, dtype=DTYPES[item["dtype"]], shape=tuple(item["shape"])
                )
                if high - low != place.bytes or low < 0 or base + high > end:
                    raise ValueError(f"{name} lies outside of the file or has another size than its shape")
                found[name] = place
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WeightsError(
                f"weights file {path} cannot be read ({reason}): it is truncated or not safetensors"
            ) from error
    return found


def read_tensor(place: TensorPlace, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor itself, in `dtype` or its own, in memory of its own; another dtype is made piece by piece.

    With a factor its own dtype is fp32, in which it is multiplied.

    Raises:
        WeightsError: the file is gone or was cut since its header was read.
    """
    scaled = place.factor != 1.0
    tensor = torch.empty(place.shape, dtype=dtype or (torch.float32 if scaled else place.dtype))
    flat = tensor.reshape(-1)
    try:
        with place.path.open("rb", buffering=0) as file:
            file.seek(place.start)
            if tensor.dtype == place.dtype and not scaled:
                _read_into(file, flat)
                return tensor
            for first in range(0, place.count, PIECE):
                part = torch.empty(min(PIECE, place.count - first), dtype=place.dtype)
                _read_into(file, part)
                flat[first : first + PIECE] = part.float() * place.factor if scaled else part
    except OSError as error:
        raise WeightsError(f"weights file {place.path} cannot be read ({error.strerror or error})") from error
    return tensor


def read_rows(place: TensorPlace, rows: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
    """Rows of a matrix [n, columns], one read each; see `read_tensor`."""
    width = math.prod(place.shape[1:])
    step = width * place.dtype.itemsize
    parts = [replace(place, start=place.start + row * step, shape=(1, *place.shape[1:])) for row in rows]
    return torch.cat([read_tensor(part, dtype) for part in parts])


def _read_into(file: RawIOBase, flat: Tensor) -> None:
    """Fills a tensor of one axis from where the file stands."""
    view = memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        count = file.readinto(view[done:])
        if not count:
            raise OSError(f"it ends {len(view) - done} bytes early")
        done += count
