"""LoRA files in the names of the authors' code: the same layers that diffusers' own converters find."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from filmwright.models.wan import WanTransformer
from filmwright.spec.errors import WeightsError
from filmwright.weights.lora import layers_of, merge, read_lora
from filmwright.weights.lora_layouts import in_own_names, original_names

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")
RANK = 3


def hunyuan() -> torch.nn.Module:
    return diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=2,
        num_single_layers=2, num_refiner_layers=1, text_embed_dim=16, pooled_projection_dim=16, rope_axes_dim=(4, 4, 4),
    )  # fmt: skip


def hunyuan15() -> torch.nn.Module:
    return diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=2,
        num_refiner_layers=1, text_embed_dim=16, text_embed_2_dim=16, image_embed_dim=16, rope_axes_dim=(4, 4, 4),
    )  # fmt: skip


def ltx2() -> torch.nn.Module:
    return diffusers.LTX2VideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2, audio_attention_head_dim=4,
        audio_cross_attention_dim=8, num_layers=2, caption_channels=16,
    )  # fmt: skip


def a_file(net: torch.nn.Module, but: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """A LoRA on every layer that has another name in the authors' code, `but` those with one of these in it."""
    layers = layers_of(net)
    rows = {name: layer.weight.shape[0] for name, layer in layers.items()}
    file = {}
    for theirs, ours in original_names(type(net).__name__, rows).items():
        if not any(part in theirs for part in but):
            inputs = layers[ours[0]].weight[0].numel()
            file[f"{theirs}.lora_A.weight"] = torch.randn(RANK, inputs)
            file[f"{theirs}.lora_B.weight"] = torch.randn(sum(rows[name] for name in ours), RANK)
    return file


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    plain = {key.removeprefix("transformer."): tensor for key, tensor in wanted.items()}
    return found.keys() == plain.keys() and all(torch.equal(found[key], plain[key]) for key in found)


@pytest.mark.parametrize("prefix", ["", "transformer.", "diffusion_model."])
def test_hunyuans_names_are_those_that_diffusers_finds(prefix: str) -> None:
    from diffusers.loaders.lora_conversion_utils import _convert_hunyuan_video_lora_to_diffusers

    net = hunyuan()
    # diffusers cuts a single block's first layer at the published width, and a refiner's `down` in three
    file = {f"{prefix}{key}": t for key, t in a_file(net, but=("linear1", "txt_in")).items()}
    assert len(file) > 40
    assert same(in_own_names("x", file, net), _convert_hunyuan_video_lora_to_diffusers(dict(file)))


def test_ltx_2s_names_are_those_that_diffusers_finds() -> None:
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_ltx2_lora_to_diffusers

    net = ltx2()
    file = {f"diffusion_model.{key}": tensor for key, tensor in a_file(net).items()}
    assert len(file) > 30
    found = in_own_names("x", file, net)
    assert same(found, _convert_non_diffusers_ltx2_lora_to_diffusers(dict(file)))


@pytest.mark.parametrize("make", [hunyuan, hunyuan15, ltx2])
@pytest.mark.parametrize("kohya", [False, True])
def test_what_one_layer_is_there_is_the_same_sum_in_several_here(
    make: type[torch.nn.Module], kohya: bool
) -> None:
    net = make()
    file = a_file(net)
    layers = layers_of(net)
    before = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    rows = {name: layer.weight.shape[0] for name, layer in layers.items()}
    alphas = {key.replace("lora_A.weight", "alpha"): torch.tensor(6.0) for key in file if "lora_A" in key}
    told = file | alphas
    if kohya:
        told = {
            "lora_unet_"
            + stem.replace(".", "_")
            + {"lora_A.weight": ".lora_down.weight", "lora_B.weight": ".lora_up.weight", "alpha": ".alpha"}[part]: t
            for key, t in told.items()
            for stem, part in [key.rsplit(".lora_", 1) if ".lora_" in key else key.rsplit(".", 1)]
            for part in ([f"lora_{part}"] if part != "alpha" else [part])
        }  # fmt: skip
    merge(net, [(read_lora("x", in_own_names("x", told, net), net, lambda _: None), 0.5)])
    names = original_names(type(net).__name__, rows)
    assert {name for ours in names.values() for name in ours} > {"proj_in" if make is ltx2 else "proj_out"}
    for theirs, ours in names.items():
        whole = file[f"{theirs}.lora_B.weight"] @ file[f"{theirs}.lora_A.weight"] * (0.5 * 6 / RANK)
        added = [(layers[name].weight - before[name]).flatten(1) for name in ours]
        torch.testing.assert_close(torch.cat(added), whole, atol=1e-4, rtol=1e-4)


def test_rows_that_do_not_fit_are_said() -> None:
    key = "double_blocks.0.img_attn_qkv.lora_B.weight"
    with pytest.raises(WeightsError, match=rf"LoRA style does not fit.*{key} has 70 rows, not 72"):
        in_own_names("style", {key: torch.ones(70, RANK)}, hunyuan())


def test_other_names_and_other_nets_are_left_as_they_are() -> None:
    file = {"transformer.proj_out.lora_A.weight": torch.ones(1, 24), "much": torch.ones(1)}
    assert in_own_names("x", file, hunyuan()) == file
    assert not original_names(WanTransformer.__name__, {"proj_out": 4})
