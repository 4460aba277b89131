"""LoRA files of every layout on Wan's transformer: equal effects, weights that add up, and no key that goes unseen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.spec.errors import WeightsError
from filmwright.weights.lora import adapt, merge, read_lora
from filmwright.weights.wan import diffusers_name, own_name

LAYERS = ("blocks.0.self_attn.q", "blocks.1.cross_attn.o", "blocks.1.ffn.0")
RANK = 3


def net() -> WanTransformer:
    torch.manual_seed(0)
    return WanTransformer(WanConfig(dim=128, heads=1, layers=2, ffn=192, text_dim=16)).eval()


def pairs(of: WanTransformer) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    found = {}
    for name in LAYERS:
        rows, columns = of.get_submodule(name).weight.shape  # type: ignore[misc, union-attr]
        found[name] = (
            torch.randn(RANK, columns, generator=generator),
            torch.randn(rows, RANK, generator=generator),
        )
    return found


def peft(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    foreign = str(diffusers_name(f"{name}.weight")).removesuffix(".weight")
    return {f"transformer.{foreign}.lora_A.weight": down, f"transformer.{foreign}.lora_B.weight": up}


def comfyui(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    stem = f"diffusion_model.{name}"
    return {
        f"{stem}.lora_down.weight": down,
        f"{stem}.lora_up.weight": up,
        f"{stem}.alpha": torch.tensor(RANK),
    }


def kohya(name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    stem = f"lora_unet_{name.replace('.', '_')}"
    return {
        f"{stem}.lora_down.weight": down,
        f"{stem}.lora_up.weight": up * 2,
        f"{stem}.alpha": torch.tensor(RANK / 2),
    }


def output(of: WanTransformer) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 16, 2, 4, 4, generator=generator)
    words = torch.randn(1, 5, 16, generator=generator)
    with torch.inference_mode():
        return of(x, torch.tensor([[0.5]]), of.context(words))  # type: ignore[no-any-return]


@pytest.mark.parametrize("layout", [peft, comfyui, kohya])
def test_every_layout_has_the_same_effect(
    layout: Callable[[str, Tensor, Tensor], dict[str, Tensor]],
) -> None:
    one = net()
    file = {k: v for name, (down, up) in pairs(one).items() for k, v in layout(name, down, up).items()}
    merge(one, [(read_lora("file", file, one, own_name), 0.7)])
    other = net()
    with torch.no_grad():
        for name, (down, up) in pairs(other).items():
            other.get_submodule(name).weight.add_(0.7 * up @ down)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(output(one), output(other))
    assert not torch.allclose(output(one), output(net()))


def test_beside_the_weights_is_as_merged_and_comes_off_again() -> None:
    merged, beside = net(), net()
    file = {k: v for name, (down, up) in pairs(merged).items() for k, v in peft(name, down, up).items()}
    lora = read_lora("file", file, merged, own_name)
    before = output(beside)
    merge(merged, [(lora, 0.5), (lora, 0.25)])
    take_off = adapt(beside, [(lora, 0.5), (lora, 0.25)])
    torch.testing.assert_close(output(beside), output(merged), atol=1e-4, rtol=1e-4)
    take_off()
    assert torch.equal(output(beside), before)


def test_whole_differences_and_biases_merge() -> None:
    one = net()
    layer = one.get_submodule("blocks.0.ffn.2")
    wanted = layer.weight + 0.5, layer.bias - 1  # type: ignore[operator]
    file = {
        "diffusion_model.blocks.0.ffn.2.diff": torch.full_like(wanted[0], 1.0),
        "diffusion_model.blocks.0.ffn.2.diff_b": torch.full_like(wanted[1], -2.0),
    }
    lora = read_lora("file", file, one, own_name)
    before = output(one)
    take_off = adapt(one, [(lora, 0.5)])
    adapted = output(one)
    take_off()
    assert torch.equal(output(one), before)
    merge(one, [(lora, 0.5)])
    assert torch.equal(output(one), adapted)
    torch.testing.assert_close(layer.weight, wanted[0])
    torch.testing.assert_close(layer.bias, wanted[1])


def test_what_matches_nothing_is_listed() -> None:
    one = net()
    down, up = pairs(one)[LAYERS[0]]
    good = peft(LAYERS[0], down, up)
    with pytest.raises(
        WeightsError, match=r"1 of 3 keys match no layer: transformer\.blocks\.9\.attn1\.to_q"
    ):
        read_lora("file", good | {"transformer.blocks.9.attn1.to_q.lora_A.weight": down}, one, own_name)
    with pytest.raises(WeightsError, match="has lora_down alone"):
        read_lora("file", {k: v for k, v in good.items() if "lora_A" in k}, one, own_name)
    with pytest.raises(WeightsError, match=r"does not fit this model: blocks\.0\.self_attn\.q"):
        read_lora("file", peft(LAYERS[0], down[:, 1:], up), one, own_name)
