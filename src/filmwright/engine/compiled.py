"""The denoiser's blocks as compiled code: one block is compiled, and all others run what came of it.

Attention stays the kernel that has proved itself (`engine.attention`); the sums around it are fused. A GPU's kernels
are tuned at the shape (`max-autotune-no-cudagraphs`). CUDA graphs would save the launching of kernels, which is nothing
beside the seconds that a pass of these nets takes, and their tensors are overwritten by the next pass: none here.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from filmwright.engine.parallel import sharing
from filmwright.models.wan import Attend, RunBlock, plainly
from filmwright.spec.backends import NEEDS, is_installed
from filmwright.spec.compositions import check_together, composition
from filmwright.spec.request import Request
from filmwright.weights.card import load_card

__all__ = ["apart", "can_compile", "check_place", "compiled_run"]

FORMS = 64  # of a block: with LoRAs at other layers, at other shapes


def can_compile(device: str) -> bool:
    """Whether there is what compiling for this device takes: a C++ compiler for a CPU, Triton for a GPU."""
    if device == "cpu":
        own = os.environ.get("CXX")
        return any(shutil.which(name) for name in ([own] if own else ["g++", "clang++", "c++"]))
    return find_spec("triton") is not None


def check_place(request: Request, device: str, processes: int | None = None) -> None:
    """See that a device, and this many processes (those that run if not given), can do what a request asks.

    Raises:
        BadRequest: they cannot; nothing was loaded.
    """
    count = int(os.environ.get("WORLD_SIZE", "1")) if processes is None else processes
    on_gpu = device.startswith("cuda")
    run = replace(
        composition(request, load_card(request.model).family),
        device="cuda" if on_gpu else "cpu",
        capability=torch.cuda.get_device_capability(device) if on_gpu else None,
        compiler=not (request.compile or NEEDS[request.attention].compiler) or can_compile(device),
        installed=is_installed(request.attention),
        sharing=sharing(count, guided=request.guidance != 1),
    )
    check_together(run)


@cache
def compiled_run(device: str) -> RunBlock:
    """`models.wan.plainly` as compiled code; it is made when it first runs, again for another form of block."""
    torch._dynamo.config.recompile_limit = FORMS  # noqa: SLF001 (this is how torch names its public settings)
    mode = "default" if device == "cpu" else "max-autotune-no-cudagraphs"
    with warnings.catch_warnings():  # of torch's own modules about each other
        warnings.simplefilter("ignore")
        compiled: Callable[..., Tensor] = torch.compile(plainly, dynamic=False, mode=mode)

    def run(block: Any, *arguments: object) -> Tensor:
        with warnings.catch_warnings():  # of complex numbers, which turn queries and keys as they are
            warnings.simplefilter("ignore")
            return compiled(block, *arguments)

    return run


@cache
def apart(attend: Attend) -> Attend:
    """Attention that compiled code calls as it is."""
    kept: Attend = torch.compiler.disable(attend)
    return kept
