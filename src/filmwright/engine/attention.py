"""Which backend computes attention: the first of a fixed order that proves itself here, at the run's shape.

Every candidate is held to scores and sums in fp32 before it is used: where tokens attend to tokens, to words and to a
picture, laid out in memory as the nets lay them out. One that gives noise or NaN, as kernels built for another device
do, is dropped, and the run says so; the order is fixed, not timed, so that a request gives the same pixels every time
on one machine. A backend that was asked for by name runs, or the run ends with the number.

FlashAttention 2 (Dao 2023) and 3 (Shah et al. 2024), SageAttention (Zhang et al. 2024) and FlexAttention (Dong et al.
2024) are used where they are installed; only torch is needed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from filmwright.engine.parallel import agree
from filmwright.engine.sidecar import USELESS
from filmwright.models.attention import attend_in_blocks
from filmwright.models.wan import Attend
from filmwright.spec.backends import AttentionBackend, is_installed
from filmwright.spec.errors import BadRequest

__all__ = ["Trial", "candidates", "choose_attention", "preferred", "tolerance", "try_attention"]

TOLERANCE = {torch.bfloat16: 0.02, torch.float16: 0.01, torch.float32: 1e-4}  # relative
# Of what rounds queries and keys to eight bits, and weights and values to fp8. That arithmetic is 4 % off on the random
# numbers of the trial (tests/engine/test_attention.py computes it); a kernel twice as far off does something else
APPROXIMATE: dict[str, float] = {"sage": 0.08}
HOPPER = 9  # major compute capability of the GPUs that FlashAttention 3 is made for
HEADS = 2  # of the trial
ROWS = 32  # queries that are compared, of the first and of the last, where a kernel's blocks end
MOST_ON_CPU = 4096  # tokens of the trial there: a kernel that is right for these is right for more


class Trial(NamedTuple):
    """How far a backend was from the exact result, relative; and if it failed, how."""

    difference: float
    failure: str = ""


def preferred(device: str, dtype: torch.dtype) -> list[AttentionBackend]:
    """The exact backends that are here, the first to be used first; the last is torch's own, which always is."""
    if device == "cpu":
        return ["blocks", "sdpa"] if dtype is torch.bfloat16 else ["sdpa"]
    found: list[AttentionBackend] = []
    if dtype is not torch.float32:
        if is_installed("flash3") and torch.cuda.get_device_capability(device)[0] == HOPPER:
            found.append("flash3")
        if is_installed("flash2"):
            found.append("flash2")
    return [*found, "sdpa"]


def candidates(device: str, dtype: torch.dtype, asked: AttentionBackend = "auto") -> dict[str, Attend]:
    """Backends by name: the one that was asked for, or those of `preferred`."""
    names = preferred(device, dtype) if asked == "auto" else [asked]
    return {name: BACKENDS[name] for name in names}


def tolerance(name: str, dtype: torch.dtype) -> float:
    """How far a backend may be from the exact result, relative."""
    return APPROXIMATE.get(name, TOLERANCE[dtype])


def choose_attention(
    device: str,
    dtype: torch.dtype,
    shapes: Mapping[str, tuple[int, int]],
    head_dim: int,
    asked: AttentionBackend = "auto",
) -> tuple[Attend, dict[str, dict[str, float]]]:
    """The backend to use, and how far each that was tried was from the exact result.

    `shapes` are, by what is attended to, how many tokens attend to how many. Where several processes make a clip, all
    use what the first one uses.

    Raises:
        BadRequest: the backend that was asked for is too far off, or fails.
        RuntimeError: not even torch's own is right; the device is broken.
    """
    proofs: dict[str, dict[str, float]] = {}
    most = MOST_ON_CPU if device == "cpu" else max(max(pair) for pair in shapes.values())
    for name, attend in candidates(device, dtype, asked).items():
        trials = {
            to: try_attention(attend, device, dtype, min(queries, most), min(keys, most), head_dim)
            for to, (queries, keys) in shapes.items()
        }
        to, worst = max(trials.items(), key=lambda item: item[1].difference)
        dropped = agree(int(not worst.difference <= tolerance(name, dtype)))
        proofs[f"attention {name}"] = {
            "difference": worst.difference,
            **{f"to {other}": trial.difference for other, trial in trials.items()},
            "dropped": float(dropped),
        }
        if not dropped:
            return attend, proofs
        if asked != "auto":
            off, bound = _percent(worst.difference), _percent(tolerance(name, dtype))
            what = worst.failure or f"is {off} off the exact result, and may be {bound}"
            queries, keys = shapes[to]
            raise BadRequest(
                f"--attention {name} {what} ({queries} tokens that attend to {to}, {keys} tokens, on {device}): "
                "leave --attention out, or take another"
            )
    raise RuntimeError(f"no attention on {device} gives what it should: {proofs}")


@torch.inference_mode()
def try_attention(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    device: str,
    dtype: torch.dtype,
    queries: int,
    keys: int,
    head_dim: int,
) -> Trial:
    """Holds a backend to attention in fp32, on random numbers of two heads; where it fails, its difference is 10."""
    g = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, n, HEADS, head_dim, generator=g).to(device, dtype).transpose(1, 2)
        for n in (queries, keys, keys)
    )  # [1, g, n, e] each
    try:
        found = attend(q, k, v)
        whole = found.shape == q.shape and bool(found.isfinite().all())
    except Exception as error:  # noqa: BLE001 (others' kernels and compilers raise what they like)
        said = str(error).strip().partition("\n")[0][:200]
        return Trial(USELESS, f"does not run here ({type(error).__name__}: {said})")
    if not whole:
        return Trial(USELESS, "gives NaN, infinity or the wrong shape")
    rows = sorted({*range(min(ROWS, queries)), *range(max(queries - ROWS, 0), queries)})
    scores = q[:, :, rows].float() @ k.float().transpose(-1, -2) / head_dim**0.5
    exact = scores.softmax(-1) @ v.float()
    off = float((found[:, :, rows].float() - exact).norm() / exact.norm())
    return Trial(min(off, USELESS) if math.isfinite(off) else USELESS)


def _percent(share: float) -> str:
    if share >= USELESS:
        return f"{100 * USELESS:.0f} % or more"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _flash2(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """FlashAttention 2, which has heads after tokens, as the nets have them in memory."""
    attend = import_module("flash_attn").flash_attn_func
    return _swapped(attend(*(x.transpose(1, 2) for x in (q, k, v))))


def _flash3(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """FlashAttention 3, laid out like 2; older versions give the sums of the scores as well."""
    attend = import_module("flash_attn_interface").flash_attn_func
    found = attend(*(x.transpose(1, 2) for x in (q, k, v)))
    return _swapped(found[0] if isinstance(found, tuple) else found)


def _sage(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """SageAttention, in its layout of heads after tokens."""
    attend = import_module("sageattention").sageattn
    return _swapped(attend(*(x.transpose(1, 2) for x in (q, k, v)), tensor_layout="NHD", is_causal=False))


def _swapped(x: Any) -> Tensor:
    y: Tensor = x.transpose(1, 2)
    return y


def _flex(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """FlexAttention without a mask, compiled for any number of tokens."""
    with warnings.catch_warnings():  # of torch's own modules about each other
        warnings.simplefilter("ignore")
        y: Tensor = _compiled_flex()(q, k, v)
    return y


@cache
def _compiled_flex() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    # a whole graph or an error: what is not compiled would write out all scores
    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=True, fullgraph=True)
    return compiled


BACKENDS: dict[str, Attend] = {
    "blocks": attend_in_blocks,
    "sdpa": F.scaled_dot_product_attention,
    "flash2": _flash2,
    "flash3": _flash3,
    "flex": _flex,
    "sage": _sage,
}
