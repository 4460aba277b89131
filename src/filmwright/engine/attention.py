"""Which kernel computes attention: the first of a fixed order that proves itself here, at the run's shape.

Every candidate is held to scores and sums in fp32 before it is used. One that gives noise or NaN, as kernels built for
another device do, is dropped, and the run says so. The order is fixed, not timed, so that a request gives the same
pixels every time on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from filmwright.models.attention import attend_in_blocks
from filmwright.models.wan import Attend

__all__ = ["candidates", "choose_attention", "difference"]

TOLERANCE = {torch.bfloat16: 0.02, torch.float16: 0.01, torch.float32: 1e-4}  # relative
USELESS = 10.0  # the difference of what fails, or gives no numbers
ROWS = 64  # queries that are compared
MOST_ON_CPU = 4096  # tokens of the trial there: a kernel that is right for these is right for more


def candidates(device: str, dtype: torch.dtype) -> dict[str, Attend]:
    """Kernels by name, the preferred first; the last is torch's own, which is always there."""
    found: dict[str, Attend] = {}
    if device == "cpu":
        if dtype is torch.bfloat16:
            found["blocks"] = attend_in_blocks
    elif dtype is not torch.float32 and find_spec("flash_attn") is not None:
        found["flash"] = _flash
    found["sdpa"] = F.scaled_dot_product_attention
    return found


def choose_attention(
    device: str, dtype: torch.dtype, num_tokens: int, head_dim: int
) -> tuple[Attend, dict[str, dict[str, float]]]:
    """The kernel to use, and how far each that was tried was from the exact result.

    Raises:
        RuntimeError: not even torch's own is right; the device is broken.
    """
    proofs: dict[str, dict[str, float]] = {}
    count = min(num_tokens, MOST_ON_CPU) if device == "cpu" else num_tokens
    for name, attend in candidates(device, dtype).items():
        off = difference(attend, device, dtype, count, head_dim)
        good = off <= TOLERANCE[dtype]
        proofs[f"attention {name}"] = {"difference": off, "dropped": float(not good)}
        if good:
            return attend, proofs
    raise RuntimeError(f"no attention on {device} gives what it should: {proofs}")


@torch.inference_mode()
def difference(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    device: str,
    dtype: torch.dtype,
    num_tokens: int,
    head_dim: int,
) -> float:
    """Relative difference of a kernel to attention in fp32, on random numbers of two heads; 10 where it fails."""
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, num_tokens, head_dim, generator=g).to(device, dtype) for _ in range(3))
    try:
        found = attend(q, k, v)[:, :, :ROWS].float()
    except (RuntimeError, TypeError, ValueError, ImportError):
        return USELESS
    scores = q[:, :, :ROWS].float() @ k.float().transpose(-1, -2) / head_dim**0.5
    exact = scores.softmax(-1) @ v.float()
    off = float((found - exact).norm() / exact.norm())
    return min(off, USELESS) if math.isfinite(off) else USELESS


def _flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """FlashAttention, which has heads after tokens."""
    from flash_attn import flash_attn_func  # type: ignore[import-not-found, unused-ignore]

    y: Tensor = flash_attn_func(*(x.transpose(1, 2) for x in (q, k, v)))
    return y.transpose(1, 2)
