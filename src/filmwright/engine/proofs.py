"""Eight-bit weights and compiled code prove themselves: on a first block at the run's shape, before a net is loaded.

What counts is what the block adds to its tokens, since that is what it is for. The difference goes into the clip's
sidecar; what is too far off, gives no numbers or does not run at all is dropped, and the run says so. One block is in
memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from filmwright.engine.compiled import apart, compiled_run
from filmwright.engine.parallel import agree
from filmwright.models.quantized import quantize_layers, weight_only
from filmwright.models.wan import Attend, Context, WanTransformer, plainly
from filmwright.weights.wan_folder import WanFolder
from filmwright.weights.wan_text import WanTextFiles

__all__ = ["COMPILED_TOO_FAR", "TOO_FAR", "Proof", "prove_denoiser", "prove_text", "relative"]

# of what a first block adds. Measured by `benchmarks.quantization` on random nets: 0.9 %, 1.5 %, 2.8 % and 3.9 %;
# weights with rows of outliers, which lose most, stay below five times that
TOO_FAR = {"int8": 0.05, "int8-dynamic": 0.10, "fp8": 0.12, "fp8-dynamic": 0.16}
COMPILED_TOO_FAR = {torch.bfloat16: 0.02, torch.float16: 0.01, torch.float32: 1e-4}
USELESS = 10.0  # the difference of what fails, or gives no numbers
ROWS = 1 << 22  # numbers that are compared at a time
SEED = 0


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
    see: Callable[[WanTransformer], tuple[Tensor, Tensor, Context]],
    *,
    compiled: bool,
) -> Proof:
    """The first block of expert `index`, in eight bits if `mode` says so, and as compiled code.

    `see` gives what it is to be shown: latents with all channels [1, c, t, h, w], levels, and its own context alone,
    which it computes from the net that it is given.
    """
    net = folder.transformer_shell(index)
    net.attend = attend
    first = net.blocks[0]
    net.stream = lambda: [first]  # type: ignore[list-item]
    found: dict[str, dict[str, float]] = {}
    part = "the denoiser" if index == 0 else "the second denoiser"
    _fill(first, folder.block(index, 0), folder.device)
    plain = _added(net, see)
    if mode != "none":
        quantize_layers([first], mode)
        _fill(first, folder.block(index, 0, mode), folder.device)
        near = _or_none(lambda: _added(net, see))
        name = f"{mode} of {part}"
        found[name] = _entry(near, plain, TOO_FAR[mode])
        if found[name]["dropped"] or near is None:
            mode = "none"
            del first, net.blocks[0]
            net = folder.transformer_shell(index)
            net.attend, first = attend, net.blocks[0]
            net.stream = lambda: [first]  # type: ignore[list-item]
            _fill(first, folder.block(index, 0), folder.device)
        else:
            plain = near
    if compiled:
        net.attend, net.run = apart(attend), compiled_run(folder.device)
        name = f"compiled blocks of {part}"
        found[name] = _entry(_or_none(lambda: _added(net, see)), plain, COMPILED_TOO_FAR[folder.dtype])
        compiled = not found[name]["dropped"]
        net.run = plainly
    return Proof(mode=mode, compiled=compiled, found=found)


@torch.inference_mode()
def prove_text(files: WanTextFiles, mode: str, length: int) -> Proof:
    """The text encoder's first block on `length` random tokens."""
    mode = weight_only(mode)
    g = torch.Generator().manual_seed(SEED)
    x = torch.randn(1, length, files.config.dim, generator=g).to(files.device, files.dtype)
    first = files.shell().block[0]
    _fill(first, files.block(0), files.device)
    plain = first(x) - x
    quantize_layers([first], mode)
    _fill(first, files.block(0, mode), files.device)
    near = _or_none(lambda: first(x) - x)
    entry = _entry(near, plain, TOO_FAR[mode])
    return Proof(
        mode="none" if entry["dropped"] else mode,
        compiled=False,
        found={f"{mode} of the text encoder": entry},
    )


def relative(found: Tensor, exact: Tensor) -> float:
    """The difference of two tensors over the size of the second, piece by piece; 10 where there are no numbers."""
    off, size = 0.0, 0.0
    for a, b in zip(found.flatten().split(ROWS), exact.flatten().split(ROWS), strict=True):
        off += float((a.float() - b.float()).square().sum(dtype=torch.float64))
        size += float(b.float().square().sum(dtype=torch.float64))
    if not math.isfinite(off) or not math.isfinite(size):
        return USELESS
    return min(math.sqrt(off / size), USELESS) if size else (USELESS if off else 0.0)


class _First:
    """Ends a pass after its first block and keeps what that has added; see `models.wan.Reuse`."""

    def __init__(self) -> None:
        self.added: Tensor | None = None

    def after_first(self, before: Tensor, tokens: Tensor) -> Tensor:
        self.added = tokens - before
        return tokens

    def after_last(self, tokens: Tensor) -> None:
        """Never reached."""


def _added(net: WanTransformer, see: Callable[[WanTransformer], tuple[Tensor, Tensor, Context]]) -> Tensor:
    """What a net's first block adds to its tokens [b, n, d]."""
    first = _First()
    net(*see(net), first)
    assert first.added is not None
    return first.added


def _fill(block: nn.Module, weights: dict[str, Tensor], device: str) -> None:
    block.load_state_dict({k: w.to(device) for k, w in weights.items()}, assign=True)
    block.eval().requires_grad_(False)


def _entry(found: Tensor | None, exact: Tensor, bound: float) -> dict[str, float]:
    """Of a sidecar; all processes of a clip drop what the first one drops."""
    off = USELESS if found is None else relative(found, exact)
    return {"difference": off, "dropped": float(agree(int(not off <= bound)))}


def _or_none(compute: Callable[[], Tensor]) -> Tensor | None:
    """A result, or None where the kernels for it are not there or the compiler fails."""
    try:
        return compute()
    except (RuntimeError, TypeError, ValueError, ImportError, NotImplementedError):
        return None
