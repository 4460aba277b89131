"""Linear layers whose weights have eight bits: integers or fp8 (e4m3), with one scale for each output.

`int8` and `fp8` halve the weights of a net in bf16; they are widened when a layer needs them, a layer at a time, so the
sums are those of any other weights. The dynamic ones also round each token to eight bits, with a scale of its own, and
multiply in them: integers on processors and GPUs that do, fp8 on GPUs of compute capability 8.9 and higher.

Symmetric rounding to the nearest, scales by the largest weight of a row: LLM.int8 (Dettmers et al. 2022) without its
outliers; FP8 Formats for Deep Learning (Micikevicius et al. 2022).

Axes: n tokens, k inputs, o outputs.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "QuantizedLinear",
    "linear_weights",
    "quantize_layers",
    "quantize_rows",
    "storage_of",
    "weight_only",
]

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
LEAST = 1e-12  # of a token's scale: a token of zeros stays one
ROWS_ON_CPU = 512  # tokens that are rounded and multiplied at a time: what is between stays in the cache
ROWS = 8192
PIECE = 1 << 20  # weights of fp8 that are widened at a time on a CPU


def storage_of(mode: str) -> torch.dtype:
    """What the weights of a mode of `spec.request.Quantize` are kept in."""
    return torch.int8 if mode.startswith("int8") else torch.float8_e4m3fn


def weight_only(mode: str) -> str:
    """The same storage, without rounding tokens."""
    return mode.removesuffix("-dynamic")


def quantize_rows(weight: Tensor, storage: torch.dtype, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights [o, k] -> rounded [o, k] in `storage`, and each row's scale [o] in `dtype`, rounded before it is used."""
    wide = weight.float()
    most = wide.abs().amax(1)
    scale = torch.where(most > 0, most / LARGEST[storage], torch.ones_like(most)).to(dtype)
    scaled = (wide / scale.float()[:, None]).clamp_(-LARGEST[storage], LARGEST[storage])
    return (scaled.round_() if storage is torch.int8 else scaled).to(storage), scale


class QuantizedLinear(nn.Linear):
    """A linear layer in eight bits; `fused` says that it runs as compiled code, which takes all tokens at once."""

    def __init__(self, like: nn.Linear, mode: str) -> None:
        super().__init__(like.in_features, like.out_features, bias=False, device="meta")
        weight = like.weight
        self.dynamic = mode.endswith("-dynamic")
        self.fused = False
        self.weight = nn.Parameter(
            torch.empty(weight.shape, dtype=storage_of(mode), device=weight.device), requires_grad=False
        )
        self.scale = nn.Parameter(weight.new_ones(weight.shape[0]), requires_grad=False)
        self.bias = like.bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., k] -> [..., o]."""
        if not self.dynamic:
            return F.linear(x, self.widened(), self.bias)
        tokens = x.flatten(0, -2)
        if x.is_meta and not torch.compiler.is_compiling():
            y = self._sketch(tokens)
        elif torch.compiler.is_compiling():
            y = self._product(tokens)
        else:
            rows = ROWS_ON_CPU if x.device.type == "cpu" else ROWS
            y = tokens.new_empty(len(tokens), self.out_features)
            for first in range(0, len(tokens), rows):
                y[first : first + rows] = self._product(tokens[first : first + rows])
        return y.unflatten(0, x.shape[:-1])  # type: ignore[no-any-return]

    def widened(self) -> Tensor:
        """The weights [o, k] as the scales' dtype has them."""
        scale = self.scale[:, None]
        if (
            self.weight.dtype is torch.int8
            or self.weight.device.type != "cpu"
            or scale.dtype is not torch.bfloat16
            or torch.compiler.is_compiling()
        ):
            return self.weight.to(scale.dtype).mul_(scale)
        wide = torch.empty(self.weight.shape, dtype=scale.dtype)
        rows = max(PIECE // self.in_features, 1)
        for first in range(0, self.out_features, rows):
            part = slice(first, first + rows)
            torch.mul(_from_bits(self.weight[part]), scale[part], out=wide[part])
        return wide

    def _product(self, x: Tensor) -> Tensor:
        """Tokens [n, k], rounded, times the weights: [n, o]."""
        storage = self.weight.dtype
        wide = x.float()
        most = (
            torch.linalg.vector_norm(wide, torch.inf, dim=-1, keepdim=True).clamp(min=LEAST)
            / LARGEST[storage]
        )
        wide = wide / most
        if storage is torch.int8:
            whole = torch._int_mm(wide.round_().to(storage), self.weight.t())  # noqa: SLF001 (there is no public name)
            y = whole.float().mul_(most).mul_(self.scale.float())
        else:
            narrow = wide.clamp_(-LARGEST[storage], LARGEST[storage]).to(storage)
            y = torch._scaled_mm(  # noqa: SLF001 (there is no public name)
                narrow, self.weight.t(), most, self.scale.float()[None], out_dtype=torch.bfloat16
            )
        if self.bias is not None:
            y = y + self.bias
        return y.to(x.dtype)

    def _sketch(self, x: Tensor) -> Tensor:
        """On the meta device: what `_product` holds and multiplies, for a trace, without its many small pieces."""
        n = len(x) if self.fused else min(len(x), ROWS_ON_CPU)
        y = F.linear(x, x.new_empty(1).expand(self.weight.shape))
        held = [x.new_empty(n, self.in_features, dtype=self.weight.dtype)]
        if not self.fused:
            held += [x.new_empty(n, self.in_features, dtype=torch.float32)]
            held += [x.new_empty(n, self.out_features, dtype=torch.float32)]
        held += [x.new_empty(n, self.out_features, dtype=torch.float32)]  # int32 before its scale
        del held
        return y


def linear_weights(net: nn.Module, prefix: str = "") -> frozenset[str]:
    """Names of the weights of all linear layers in a net, such as one block; `prefix` goes before them."""
    return frozenset(f"{prefix}{k}.weight" for k, m in net.named_modules() if isinstance(m, nn.Linear))


def quantize_layers(blocks: Iterable[nn.Module], mode: str) -> None:
    """Puts eight-bit layers in place of all linear ones in some blocks; their weights are not filled."""
    for block in blocks:
        layers = [(k, m) for k, m in block.named_modules() if type(m) is nn.Linear]
        for name, layer in layers:
            block.set_submodule(name, QuantizedLinear(layer, mode))


def _from_bits(weight: Tensor) -> Tensor:
    """fp8 (e4m3) as bf16, exactly: its exponent and mantissa have their place there, 120 powers of two too low.

    On a CPU six times as fast as torch's own conversion, measured on 1536 x 1536.
    """
    bits = weight.view(torch.uint8).to(torch.int16)
    moved = (bits & 0x80).bitwise_left_shift_(8).bitwise_or_((bits & 0x7F).bitwise_left_shift_(4))
    return moved.view(torch.bfloat16).mul_(2.0**120)
