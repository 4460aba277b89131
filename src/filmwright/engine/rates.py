"""How fast a machine computes: measured by plans that are asked for, and kept for the runs that come after them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

from filmwright.media.files import write_atomic
from filmwright.spec.home import home

__all__ = ["kept_rates", "rates_of"]

GPU_FLOPS = 3e14  # a guess where nothing can be measured beforehand
SHARE = 0.6  # of what a bare operation reaches: norms, gates and copies take the rest
LONG = 0.05  # seconds of a measurement

Rates = tuple[float, float]
"""Operations a second of matrix products and of convolutions, as a net gets them out of a machine."""


@lru_cache(maxsize=8)
def rates_of(device: str, dtype: torch.dtype, vae_dtype: torch.dtype, *, anew: bool) -> Rates:
    """Rates in these dtypes: measured, which takes 0.2 s, or else as they are kept in $FILMWRIGHT_HOME/works."""
    kept = None if anew else kept_rates(device, dtype, vae_dtype)
    if kept is not None:
        return kept
    if device != "cpu":
        return GPU_FLOPS, GPU_FLOPS / 3
    path = _path(dtype, vae_dtype)
    found = _measured(dtype, vae_dtype)
    with contextlib.suppress(OSError):  # a disk that takes nothing: the next run measures again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(found).encode())
    return found


def kept_rates(device: str, dtype: torch.dtype, vae_dtype: torch.dtype) -> Rates | None:
    """As `rates_of`, for what must not wait: None where none are kept."""
    return (GPU_FLOPS, GPU_FLOPS / 3) if device != "cpu" else _read(_path(dtype, vae_dtype))


def _path(dtype: torch.dtype, vae_dtype: torch.dtype) -> Path:
    machine = (platform.node(), torch.__version__, torch.get_num_threads(), dtype, vae_dtype)
    return home() / "works" / f"rates-{hashlib.sha256(repr(machine).encode()).hexdigest()[:32]}.json"


def _read(path: Path) -> Rates | None:
    """What is kept in a file; None where nothing is, or it is damaged."""
    try:
        products, convolutions = map(float, json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    sound = all(math.isfinite(rate) and rate > 0 for rate in (products, convolutions))
    return (products, convolutions) if sound else None


def _measured(dtype: torch.dtype, vae_dtype: torch.dtype) -> Rates:
    a = torch.randn(512, 1024).to(dtype)
    b = torch.randn(1024, 1024).to(dtype)
    x = torch.randn(1, 64, 4, 48, 48).to(vae_dtype)
    w = torch.randn(64, 64, 3, 3, 3).to(vae_dtype)
    products = _rate(lambda: a @ b, 2 * 512 * 1024 * 1024)
    convolved = 2 * 64 * 64 * 27 * 4 * 48 * 48
    convolutions = _rate(lambda: torch.nn.functional.conv3d(x, w, padding=1), convolved)
    return SHARE * products, SHARE * convolutions


def _rate(function: Callable[[], object], flops: float) -> float:
    function()
    began, runs = time.perf_counter(), 0
    while time.perf_counter() - began < LONG:
        function()
        runs += 1
    return flops * runs / (time.perf_counter() - began)
