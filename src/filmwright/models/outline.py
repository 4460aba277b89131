"""Nets without weights: their layers, names and shapes on the meta device, in a moment.

Torch computes first values on the meta device by code that loads its compiler, a second of every run, although there
is nothing to compute there: within an `outline` tensors are made, and not filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["outline"]

FACTORIES = (torch.ones, torch.zeros, torch.rand, torch.randn)
FILLS = (Tensor.fill_, Tensor.normal_, Tensor.uniform_, Tensor.zero_)


class _Unfilled(TorchFunctionMode):
    """Makes tensors empty that are asked for with values, and leaves out what fills them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in FACTORIES:
            func = torch.empty
        elif func in FILLS or getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def outline() -> Iterator[None]:
    """Within, modules are built on the meta device; what computes with tensors does not belong here."""
    with torch.device("meta"), _Unfilled():
        yield
