"""Wan's transformer against diffusers' own class, on small random checkpoints; its names at full size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.spec.errors import WeightsError
from filmwright.weights.wan import WAN_SIZES, diffusers_name, own_name, to_own_names, wan_config_of

diffusers = pytest.importorskip("diffusers")

SMALL = WanConfig(dim=256, heads=2, layers=2, ffn=320, text_dim=24)
VARIANTS = {
    "text to video": SMALL,
    "image to video": replace(SMALL, in_channels=36, image_dim=40),
    "first and last frame": replace(SMALL, in_channels=36, image_dim=40, image_tokens=14),
    "image to video without CLIP": replace(SMALL, in_channels=36),
    "text and image to video": replace(SMALL, in_channels=48, out_channels=48),
}


def reference(config: WanConfig, **options: Any) -> Any:
    return diffusers.WanTransformer3DModel(
        num_attention_heads=config.heads,
        attention_head_dim=config.head_dim,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        text_dim=config.text_dim,
        ffn_dim=config.ffn,
        num_layers=config.layers,
        image_dim=config.image_dim,
        added_kv_proj_dim=config.dim if config.image_dim else None,
        pos_embed_seq_len=config.image_tokens,
        **options,
    )


def unsettled(net: torch.nn.Module) -> torch.nn.Module:
    """Random values where a fresh net has ones and zeros, so that nothing can be left out unseen."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.eval()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_equals_diffusers(name: str) -> None:
    config = VARIANTS[name]
    torch.manual_seed(0)
    theirs = unsettled(reference(config))
    ours = WanTransformer(config).eval()
    ours.load_state_dict(to_own_names(theirs.state_dict()))
    x = torch.randn(2, config.in_channels, 3, 8, 12)
    words = torch.randn(2, 512, config.text_dim)
    picture, shown = None, {}
    if config.image_dim is not None:
        rows, tokens = (4, 7) if config.image_tokens else (2, 7)
        shown["encoder_hidden_states_image"] = torch.randn(rows, tokens, config.image_dim)
        picture = shown["encoder_hidden_states_image"].reshape(2, -1, config.image_dim)
    levels = torch.rand(2, 3) if config.in_channels == 48 else torch.rand(2, 1)
    steps = levels.repeat_interleave(4 * 6, dim=1) if levels.shape[1] > 1 else levels[:, 0]
    with torch.inference_mode():
        wanted = theirs(x, steps * 1000, words, return_dict=False, **shown)[0]
        got = ours(x, levels, ours.context(words, picture))
    assert got.shape == wanted.shape
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", WAN_SIZES)
def test_every_name_and_shape_maps_at_full_size(name: str) -> None:
    config = WAN_SIZES[name]
    with torch.device("meta"):
        theirs = reference(config).state_dict()
        ours = WanTransformer(config).state_dict()
    renamed = to_own_names(theirs)
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in ours.items()}
    assert {diffusers_name(k) for k in ours} == set(theirs)
    assert all(own_name(str(diffusers_name(k))) == k for k in ours)
    assert wan_config_of({k: tuple(v.shape) for k, v in ours.items()}) == config


def test_comfyui_prefix_and_unused_tensors_are_dropped() -> None:
    ours = WanTransformer(SMALL).state_dict()
    dressed = {f"model.diffusion_model.{k}": v for k, v in ours.items()}
    dressed["blocks.0.attn2.norm_added_q.weight"] = torch.zeros(1)
    assert to_own_names(dressed).keys() == ours.keys()


def test_unknown_names_are_listed() -> None:
    ours = WanTransformer(SMALL).state_dict()
    with pytest.raises(WeightsError, match=r"blocks\.0\.nonsense"):
        to_own_names(ours | {"blocks.0.nonsense.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"patch_embedding\.weight"):
        wan_config_of({})


def test_a_picture_where_none_belongs_is_refused() -> None:
    net = WanTransformer(SMALL)
    with pytest.raises(ValueError, match="does not take"):
        net.context(torch.zeros(1, 4, 24), torch.zeros(1, 4, 40))
