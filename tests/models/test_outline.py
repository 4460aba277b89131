"""Nets in outline: what a real one is called and shaped like, without its values, and without torch's compiler."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from filmwright.models.outline import outline
from filmwright.models.quantized import quantize_layers
from filmwright.models.umt5 import UMT5Config, UMT5Encoder
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE

WAN = WanConfig(dim=256, heads=2, layers=2, ffn=96, text_dim=12)
TEXT = UMT5Config(vocabulary=40, dim=24, head_dim=8, heads=3, ffn=32, layers=2)


def eight_bits(net: nn.Module, blocks: nn.Module, mode: str) -> nn.Module:
    assert isinstance(blocks, nn.ModuleList)
    quantize_layers(blocks, mode)
    return net


def transformer(mode: str) -> nn.Module:
    net = WanTransformer(WAN)
    return eight_bits(net, net.blocks, mode)


def encoder(mode: str) -> nn.Module:
    net = UMT5Encoder(TEXT).to(torch.bfloat16)
    return eight_bits(net, net.block, mode)


NETS: dict[str, Callable[[], nn.Module]] = {
    "text to video": lambda: WanTransformer(WAN),
    "image to video": lambda: WanTransformer(replace(WAN, in_channels=36, image_dim=20)),
    "first and last frame": lambda: WanTransformer(
        replace(WAN, in_channels=36, image_dim=20, image_tokens=14)
    ),
    "5B": lambda: WanTransformer(replace(WAN, in_channels=48, out_channels=48)),
    "transformer in int8": lambda: transformer("int8"),
    "transformer in fp8, dynamic": lambda: transformer("fp8-dynamic"),
    "VAE of 2.1": lambda: WanVAE(replace(WAN21_VAE, width=8, decoder_width=8)),
    "VAE of 2.2": lambda: WanVAE(replace(WAN22_VAE, width=8, decoder_width=16)),
    "UMT5": lambda: UMT5Encoder(TEXT),
    "UMT5 in bf16": lambda: UMT5Encoder(TEXT).to(torch.bfloat16),
    "UMT5 in int8": lambda: encoder("int8"),
}


def told(net: nn.Module) -> dict[str, tuple[object, ...]]:
    """All tensors of a net, in order, those that no file holds among them."""
    tensors = [*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False)]
    kept = net.state_dict().keys()
    return {k: (tuple(t.shape), t.dtype, t.stride(), t.requires_grad, k in kept) for k, t in tensors}


@pytest.mark.parametrize("name", NETS)
def test_an_outline_has_the_names_shapes_and_types_of_the_real_net(name: str) -> None:
    with outline():
        drawn = NETS[name]()
    real = NETS[name]()
    assert told(drawn) == told(real)
    assert list(told(drawn)) == list(told(real))
    assert all(t.is_meta for t in [*drawn.parameters(), *drawn.buffers()])
    modules = [(k, type(m)) for k, m in drawn.named_modules()]
    assert modules == [(k, type(m)) for k, m in real.named_modules()]


def test_only_within_an_outline_are_values_left_out() -> None:
    with outline():
        assert torch.zeros(3).is_meta
        assert torch.ones(2, 3, dtype=torch.int8).dtype is torch.int8
        with torch.device("cpu"):
            assert not nn.Linear(2, 3).weight.is_meta
    assert torch.equal(torch.zeros(3), torch.tensor([0.0, 0.0, 0.0]))
    layer = nn.Linear(64, 64)
    assert 0 < layer.weight.std() < 1
    assert torch.equal(nn.LayerNorm(4).weight, torch.ones(4))


ALL = """
import sys
import torch
from filmwright.models.outline import outline
from filmwright.weights.card import WAN
from filmwright.weights.wan_sketch import WanSketch
for name in WAN:
    sketch = WanSketch(name, "cpu", torch.bfloat16, torch.float32)
    assert sketch.sizes("none")["transformer"] > sketch.sizes("int8-dynamic")["transformer"] > 0
print(*(name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules))
"""


def test_outlines_of_every_published_wan_load_no_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", ALL], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
