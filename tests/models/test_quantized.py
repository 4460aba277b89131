"""Eight-bit layers: rounded as they say, the same however they are cut into pieces, and no further off than is claimed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from filmwright.engine.proofs import TOO_FAR, relative
from filmwright.models.quantized import (
    QuantizedLinear,
    linear_weights,
    quantize_layers,
    quantize_rows,
    storage_of,
)
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.spec.request import QUANTIZE

MODES = [mode for mode in QUANTIZE if mode != "none"]


def rounded(mode: str, layer: nn.Linear) -> QuantizedLinear:
    made = QuantizedLinear(layer, mode)
    made.weight.data, made.scale.data = quantize_rows(layer.weight.data, storage_of(mode), layer.weight.dtype)
    return made


def layer_and_tokens(dtype: torch.dtype, count: int = 40) -> tuple[nn.Linear, Tensor]:
    torch.manual_seed(0)
    layer = nn.Linear(64, 48).to(dtype).requires_grad_(False)
    return layer, torch.randn(2, count, 64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_rounded_to_the_nearest_step_of_their_row(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight = torch.randn(16, 64).to(dtype) * torch.logspace(-3, 3, 16).to(dtype)[:, None]
    weight[3] = 0
    whole, scale = quantize_rows(weight, torch.int8, dtype)
    assert whole.dtype is torch.int8
    assert whole.abs().amax(1).tolist() == [127] * 3 + [0] + [127] * 12
    off = (whole.double() * scale.double()[:, None] - weight.double()).abs()
    assert bool(
        (
            off
            <= scale.double()[:, None] * 0.51
            + (0 if dtype is torch.float32 else 0.5 * scale.double()[:, None])
        ).all()
    )


@pytest.mark.parametrize("mode", ["int8", "fp8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_alone_are_widened_and_nothing_else_changes(mode: str, dtype: torch.dtype) -> None:
    layer, x = layer_and_tokens(dtype)
    made = rounded(mode, layer)
    wide = (made.weight.float() * made.scale.float()[:, None]).to(dtype)
    assert torch.equal(made(x), nn.functional.linear(x, wide, layer.bias))
    assert made.weight.nbytes == layer.weight.numel()


def test_every_number_of_fp8_is_widened_exactly() -> None:
    bits = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    finite = bits[bits.float().isfinite()]
    made = QuantizedLinear(nn.Linear(2, 127, dtype=torch.bfloat16), "fp8")
    made.weight.data, made.scale.data = finite.view(127, 2), torch.ones(127, dtype=torch.bfloat16)
    assert torch.equal(made.widened().float(), finite.float().view(127, 2))


def test_tokens_are_rounded_each_with_its_own_scale() -> None:
    layer, x = layer_and_tokens(torch.float32)
    x = x * torch.logspace(-4, 4, 40)[:, None]
    made = rounded("int8-dynamic", layer)
    scale = x.abs().amax(-1, keepdim=True) / 127
    whole = (x / scale).round()
    exact = (whole.double() @ made.weight.double().T) * scale * made.scale + layer.bias
    torch.testing.assert_close(made(x).double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["int8-dynamic", "fp8-dynamic"])
def test_tokens_in_several_pieces_are_the_same_to_the_bit(mode: str) -> None:
    layer, x = layer_and_tokens(torch.bfloat16, 700)  # two pieces of 512 and 888
    made = rounded(mode, layer)
    whole = made(x)
    assert torch.equal(whole[1, -8:], made(x[1, -8:]))
    assert relative(whole, layer(x)) < TOO_FAR[mode]


@pytest.mark.parametrize("mode", MODES)
def test_a_net_is_off_by_less_than_half_of_what_would_drop_it(mode: str) -> None:
    torch.manual_seed(0)
    config = WanConfig(dim=256, heads=2, layers=2, ffn=512, text_dim=32)
    net = WanTransformer(config).bfloat16().eval().requires_grad_(False)
    x, words = torch.randn(1, 16, 2, 8, 8).bfloat16(), torch.randn(1, 32, 32).bfloat16()

    def pass_() -> Tensor:
        with torch.inference_mode():
            return net(x, torch.tensor([[0.7]]), net.context(words))

    exact = pass_()
    before = sum(p.nbytes for p in net.blocks.parameters())
    wide = {k: m for k, m in net.blocks.named_modules() if isinstance(m, nn.Linear)}
    for name, layer in wide.items():
        net.blocks.set_submodule(name, rounded(mode, layer))
    assert 0 < relative(pass_(), exact) < TOO_FAR[mode] / 2
    assert sum(p.nbytes for p in net.blocks.parameters()) < 0.52 * before


def test_norms_modulation_and_what_is_outside_of_blocks_stay_as_they_are() -> None:
    with torch.device("meta"):
        net = WanTransformer(WanConfig(dim=24, heads=2, layers=2, ffn=32, text_dim=8))
    names = linear_weights(net.blocks, "blocks.")
    quantize_layers(net.blocks, "int8")
    small = {k for k, p in net.named_parameters() if p.dtype is torch.int8}
    assert small == names
    assert len(small) == 2 * 10
    assert not any("norm" in k or "modulation" in k or "embedding" in k or "head" in k for k in small)
