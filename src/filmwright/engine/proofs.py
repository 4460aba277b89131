"""Eight-bit weights and compiled code prove themselves: on a first block at the run's shape, before a net is loaded.

What counts is what the block adds to its tokens, since that is what it is for. The tokens are made small first, which
its norms undo: else the rounding of their sum in bf16 would hide what is to be seen. The difference goes into the
clip's sidecar; what is too far off, gives no numbers or does not run at all is dropped, and the run says so. One block
is in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from filmwright.engine.compiled import apart, compiled_run
from filmwright.engine.parallel import agree
from filmwright.engine.sidecar import USELESS
from filmwright.models.quantized import quantize_layers, weight_only
from filmwright.models.wan import Attend, Context, RunBlock, WanTransformer, plainly
from filmwright.spec.errors import DoesNotFit
from filmwright.spec.plan import Strategy
from filmwright.weights.wan_folder import WanFolder
from filmwright.weights.wan_text import WanTextFiles

__all__ = [
    "COMPILED_TOO_FAR",
    "SMALL",
    "TOO_FAR",
    "Proof",
    "See",
    "block_adds",
    "entry",
    "exact_instead",
    "or_none",
    "prove_denoiser",
    "prove_text",
    "relative",
]

# of what a first block adds. Random nets of width 1024 were 0.8, 1.3, 3.4 and 4.5 % off, random text encoders up to
# 2.8 % in int8 and 8.6 % in fp8. Where a weight in a thousand is thirty times as large (`benchmarks.quantization
# --outliers`), int8 is 11 to 12 % off, and dropped; fp8 5 and 8 %
TOO_FAR = {"int8": 0.08, "int8-dynamic": 0.10, "fp8": 0.15, "fp8-dynamic": 0.20}
COMPILED_TOO_FAR = {torch.bfloat16: 0.02, torch.float16: 0.01, torch.float32: 1e-4}
STEPPED = 0.25  # of the bound above, where tokens are rounded: a last bit moves a number to the next step
PIECE = 1 << 22  # numbers that are compared at a time
SMALL = 1 / 32
SEED = 0


See = Callable[[WanTransformer], tuple[Tensor, Tensor, Context]]
"""A net -> what it is shown: latents with all channels [1, c, t, h, w], levels, and the context that it makes."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What came of it: `found` for the sidecar, and what may be used of what was asked for."""

    mode: str  # a `spec.request.Quantize`
    compiled: bool
    found: dict[str, dict[str, float]] = field(default_factory=dict)


@torch.inference_mode()
def prove_denoiser(
    folder: WanFolder,
    index: int,
    mode: str,
    attend: Attend,
    see: See,
    *,
    compiled: bool,
) -> Proof:
    """The first block of expert `index`, in eight bits if `mode` says so, and as compiled code; `see` shows it what."""
    net = folder.transformer_shell(index)
    net.attend = attend
    first = net.blocks[0]
    found: dict[str, dict[str, float]] = {}
    part = "the denoiser" if index == 0 else "the second denoiser"
    _fill(first, folder.block(index, 0), folder.device)
    plain = block_adds(first, net, see)
    if mode != "none":
        quantize_layers([first], mode)
        _fill(first, folder.block(index, 0, mode), folder.device)
        near = or_none(lambda: block_adds(first, net, see))
        name = f"{mode} of {part}"
        found[name] = entry(near, plain, TOO_FAR[mode])
        if near is None or found[name]["dropped"]:
            mode, first = "none", folder.transformer_shell(index).blocks[0]
            _fill(first, folder.block(index, 0), folder.device)
        else:
            plain = near
    if compiled:
        net.attend = apart(attend)
        name = f"compiled blocks of {part}"
        near = or_none(lambda: block_adds(first, net, see, compiled_run(folder.device)))
        bound = COMPILED_TOO_FAR[folder.dtype]
        if mode.endswith("-dynamic"):
            bound = max(bound, STEPPED * TOO_FAR[mode])
        found[name] = entry(near, plain, bound)
        compiled = not found[name]["dropped"]
    return Proof(mode=mode, compiled=compiled, found=found)


@torch.inference_mode()
def prove_text(files: WanTextFiles, mode: str, length: int) -> Proof:
    """The text encoder's first block on `length` random tokens."""
    mode = weight_only(mode)
    g = torch.Generator().manual_seed(SEED)
    x = (torch.randn(1, length, files.config.dim, generator=g) * SMALL).to(files.device, files.dtype)
    first = files.shell().block[0]
    _fill(first, files.block(0), files.device)
    plain = first(x) - x
    quantize_layers([first], mode)
    _fill(first, files.block(0, mode), files.device)
    near = or_none(lambda: first(x) - x)
    told = entry(near, plain, TOO_FAR[mode])
    return Proof(
        mode="none" if told["dropped"] else mode,
        compiled=False,
        found={f"{mode} of the text encoder": told},
    )


def exact_instead(strategy: Strategy, what: str, off: float) -> Literal["held", "staged", "streamed"]:
    """How the exact nets fit in place of those of eight bits, which were `off` from them.

    Raises:
        DoesNotFit: they do not.
    """
    if strategy.exact is None:
        raise DoesNotFit(
            f"{what} in eight bits is {off:.0%} off the exact result, and the exact one does not fit: "
            "allow more --memory, or take another --quantize"
        )
    return strategy.exact


def relative(found: Tensor, exact: Tensor) -> float:
    """The difference of two tensors over the size of the second, piece by piece; 10 where there are no numbers."""
    off, size = 0.0, 0.0
    for a, b in zip(found.flatten().split(PIECE), exact.flatten().split(PIECE), strict=True):
        off += float((a.float() - b.float()).square().sum(dtype=torch.float64))
        size += float(b.float().square().sum(dtype=torch.float64))
    if not math.isfinite(off) or not math.isfinite(size):
        return USELESS
    return min(math.sqrt(off / size), USELESS) if size else (USELESS if off else 0.0)


def block_adds(block: nn.Module, net: WanTransformer, see: See, run: RunBlock = plainly) -> Tensor:
    """What a block adds to the tokens [b, n, d] of a net that has no other in its pass."""
    added: list[Tensor] = []

    def noted(block: nn.Module, tokens: Tensor, *others: object) -> Tensor:
        small = tokens * SMALL
        y = run(block, small, *others)
        added.append(y - small)
        return y

    stream = net.stream
    net.stream, net.run = lambda: [block], noted  # type: ignore[list-item]
    try:
        net(*see(net))
    finally:
        net.stream, net.run = stream, plainly
    (found,) = added
    return found


def _fill(block: nn.Module, weights: dict[str, Tensor], device: str) -> None:
    block.load_state_dict({k: w.to(device) for k, w in weights.items()}, assign=True)
    block.eval().requires_grad_(False)


def entry(found: Tensor | None, exact: Tensor, bound: float) -> dict[str, float]:
    """Of a sidecar; all processes of a clip drop what the first one drops."""
    off = USELESS if found is None else relative(found, exact)
    return {"difference": off, "dropped": float(agree(int(not off <= bound)))}


def or_none(compute: Callable[[], Tensor]) -> Tensor | None:
    """A result, or None where the kernels for it are not there or the compiler fails."""
    try:
        return compute()
    except (RuntimeError, TypeError, ValueError, ImportError, NotImplementedError):
        return None
