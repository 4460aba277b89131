"""Where nets run, and in which numbers."""

from __future__ import annotations

import torch

from filmwright.engine.build_request import check_device
from filmwright.spec.errors import BadRequest

__all__ = ["fast_dtype", "pick_device"]


def pick_device(device: str | None) -> str:
    """The device asked for; a GPU where there is one, else the CPU, when None.

    Raises:
        BadRequest: no such device, or a GPU where there is none.
    """
    check_device(device)
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise BadRequest(f"there is no {device} on this machine: {torch.cuda.device_count()} GPUs are found")
    return device


def fast_dtype(device: str) -> torch.dtype:
    """bf16 on a GPU and on a processor that multiplies in it, else fp32."""
    native = device != "cpu" or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 (there is no public name)
    return torch.bfloat16 if native else torch.float32
