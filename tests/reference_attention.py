"""Stand-ins for the libraries that compute attention on GPUs, right and wrong ones, with their layouts and arguments."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from filmwright.spec.backends import NEEDS

FUNCTIONS = {"flash2": "flash_attn_func", "flash3": "flash_attn_func", "sage": "sageattn"}

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""As the libraries take them: [b, n, g, e], [b, m, g, e] twice -> [b, n, g, e]."""


def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)


def noise(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.randn_like(q)


def nothing(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.full_like(q, math.nan)


def broken(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    raise AssertionError("no kernel image is available")


def in_eight_bits(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The arithmetic of SageAttention 2: queries and keys in int8, what is left of their mean; weights and values in fp8."""

    def int8(x: Tensor, block: int) -> Tensor:
        parts = x.split(block, dim=-2)
        scales = [part.abs().amax((-1, -2), keepdim=True) / 127 for part in parts]
        return torch.cat([(p / s).round() * s for p, s in zip(parts, scales, strict=True)], dim=-2)

    def fp8(x: Tensor, scale: Tensor) -> Tensor:
        return (x / scale).to(torch.float8_e4m3fn).float() * scale

    queries, keys, values = (x.transpose(1, 2).float() for x in (q, k, v))
    keys = keys - keys.mean(-2, keepdim=True)
    scores = int8(queries / q.shape[-1] ** 0.5, 128) @ int8(keys, 64).transpose(-1, -2)
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    values = fp8(values, values.abs().amax(-2, keepdim=True) / 448)
    y = fp8(weights, torch.tensor(1 / 448)) @ values / weights.sum(-1, keepdim=True)
    return y.transpose(1, 2).to(q.dtype)


def provide(monkeypatch: pytest.MonkeyPatch, backend: str, kernel: Kernel | None) -> list[tuple[Any, ...]]:
    """A stand-in for a backend's library, or none; gives the shapes that it will have been asked for."""
    name = NEEDS[backend].module  # type: ignore[index]
    assert name is not None
    if kernel is None:
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setattr("filmwright.spec.backends.find_spec", lambda _: None)
        return []
    asked: list[tuple[Any, ...]] = []

    def called(q: Tensor, k: Tensor, v: Tensor, **options: object) -> Tensor | tuple[Tensor, Tensor]:
        if backend == "sage":
            assert options == {"tensor_layout": "NHD", "is_causal": False}
        else:
            assert not options
        asked.append((tuple(q.shape), tuple(k.shape)))
        assert all(x.stride(-1) == 1 for x in (q, k, v))
        return kernel(q, k, v)

    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    setattr(module, FUNCTIONS[backend], called)
    monkeypatch.setitem(sys.modules, name, module)
    return asked
