"""Whole runs of every Wan variant against diffusers' pipelines, from noise to frames, on small random checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from filmwright.engine.wan import Expert, Given, denoise_wan, given_frames
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE, WanVAEConfig
from filmwright.weights.wan import to_own_names, vae_to_own_names

diffusers = pytest.importorskip("diffusers")

NET = WanConfig(dim=128, heads=1, layers=2, ffn=96, text_dim=12)
VAE = replace(WAN21_VAE, width=4, decoder_width=4)
VAE_5B = replace(WAN22_VAE, width=4, decoder_width=8)
FRAMES, WIDTH, HEIGHT, STEPS = 9, 64, 32, 4


def transformers(config: WanConfig, seed: int) -> tuple[WanTransformer, Any]:
    torch.manual_seed(seed)
    theirs = diffusers.WanTransformer3DModel(
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
    ).eval()
    ours = WanTransformer(config).eval()
    ours.load_state_dict(to_own_names(theirs.state_dict()))
    return ours, theirs


def vaes(config: WanVAEConfig) -> tuple[WanVAE, Any]:
    torch.manual_seed(5)
    patched = {"patch_size": config.patch, "scale_factor_spatial": 16} if config.shortcuts else {}
    theirs = diffusers.AutoencoderKLWan(
        base_dim=config.width,
        decoder_base_dim=config.decoder_width,
        z_dim=config.channels,
        latents_mean=list(config.mean),
        latents_std=list(config.std),
        is_residual=config.shortcuts,
        in_channels=3 * config.patch**2,
        out_channels=3 * config.patch**2,
        **patched,
    ).eval()
    ours = WanVAE(config).eval()
    ours.load_state_dict(vae_to_own_names(theirs.state_dict()))
    return ours, theirs


def scheduler() -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)


def times() -> list[float]:
    found = scheduler()
    found.set_timesteps(STEPS)
    return [float(s) for s in found.sigmas]


def words(seed: int) -> Tensor:
    return torch.randn(1, 512, NET.text_dim, generator=torch.Generator().manual_seed(seed))


def noise(channels: int, factor: int) -> Tensor:
    shape = (1, channels, (FRAMES - 1) // 4 + 1, HEIGHT // factor, WIDTH // factor)
    return torch.randn(shape, generator=torch.Generator().manual_seed(9))


def picture(seed: int) -> Tensor:
    return torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def run_theirs(kind: str, **parts: Any) -> Tensor:
    call = parts.pop("call")
    pipeline = getattr(diffusers, kind)(tokenizer=None, text_encoder=None, scheduler=scheduler(), **parts)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.check_inputs = lambda *_, **__: (
        None
    )  # it wants a picture or its tokens; here they are given apart
    shared = {
        "prompt_embeds": words(1),
        "negative_prompt_embeds": words(2),
        "height": HEIGHT,
        "width": WIDTH,
        "num_frames": FRAMES,
        "num_inference_steps": STEPS,
        "output_type": "pt",
        "return_dict": False,
    }
    frames: Tensor = pipeline(**shared, **call)[0]  # [1, t, 3, h, w] in 0..1
    return frames.transpose(1, 2) * 2 - 1


def run_ours(
    experts: list[Expert], vae: WanVAE, z: Tensor, given: Given | None, eye: Tensor | None
) -> Tensor:
    latents = denoise_wan(experts, words(1), words(2), z, times(), sampler="euler", given=given, picture=eye)
    with torch.inference_mode():
        return vae.decode(latents)


def test_text_to_video() -> None:
    (ours, theirs), (vae, their_vae) = transformers(NET, 0), vaes(VAE)
    z = noise(16, 8)
    wanted = run_theirs(
        "WanPipeline", transformer=theirs, vae=their_vae, call={"latents": z, "guidance_scale": 5.0}
    )
    got = run_ours([Expert(net=lambda: ours, guidance=5.0)], vae, z, None, None)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_two_experts() -> None:
    high, low = transformers(NET, 0), transformers(NET, 1)
    vae, their_vae = vaes(VAE)
    z = noise(16, 8)
    wanted = run_theirs(
        "WanPipeline",
        transformer=high[1],
        transformer_2=low[1],
        boundary_ratio=0.875,
        vae=their_vae,
        call={"latents": z, "guidance_scale": 4.0, "guidance_scale_2": 3.0},
    )
    assert sum(t >= 0.875 for t in times()) not in (0, STEPS)  # both have work
    experts = [
        Expert(net=lambda: high[0], guidance=4.0, down_to=0.875),
        Expert(net=lambda: low[0], guidance=3.0),
    ]
    torch.testing.assert_close(run_ours(experts, vae, z, None, None), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("eye", "last"), [(True, False), (True, True), (False, False)])
def test_image_to_video_by_channels(eye: bool, last: bool) -> None:
    config = replace(
        NET, in_channels=36, image_dim=20 if eye else None, image_tokens=(2 if last else None) and 14
    )
    (ours, theirs), (vae, their_vae) = transformers(config, 0), vaes(VAE)
    z = noise(16, 8)
    call: dict[str, Any] = {"latents": z, "guidance_scale": 3.5, "image": picture(3) / 2 + 0.5}
    tokens = None
    if last:
        call["last_image"] = picture(4) / 2 + 0.5
    if eye:
        rows = 2 if last else 1
        call["image_embeds"] = torch.randn(rows, 7, 20, generator=torch.Generator().manual_seed(6))
        tokens = call["image_embeds"].reshape(1, -1, 20)
    wanted = run_theirs(
        "WanImageToVideoPipeline",
        transformer=theirs,
        vae=their_vae,
        image_encoder=None,
        image_processor=None,
        call=call,
    )
    with torch.inference_mode():
        given = given_frames(vae, picture(3), picture(4) if last else None, FRAMES, as_channels=True)
    got = run_ours([Expert(net=lambda: ours, guidance=3.5)], vae, z, given, tokens)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_clean_first_frame() -> None:
    config = replace(NET, in_channels=48, out_channels=48)
    (ours, theirs), (vae, their_vae) = transformers(config, 0), vaes(VAE_5B)
    z = noise(48, 16)
    wanted = run_theirs(
        "WanImageToVideoPipeline",
        transformer=theirs,
        vae=their_vae,
        image_encoder=None,
        image_processor=None,
        expand_timesteps=True,
        call={"latents": z, "guidance_scale": 5.0, "image": picture(3) / 2 + 0.5},
    )
    with torch.inference_mode():
        given = given_frames(vae, picture(3), None, FRAMES, as_channels=False)
    got = run_ours([Expert(net=lambda: ours, guidance=5.0)], vae, z, given, None)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_levels_that_nobody_denoises_are_refused() -> None:
    ours, _ = transformers(NET, 0)
    z = noise(16, 8)
    with pytest.raises(ValueError, match="level 0"):
        denoise_wan([Expert(net=lambda: ours, guidance=1, down_to=0.5)], words(1), words(2), z, times())
    vae, _ = vaes(VAE_5B)
    with pytest.raises(ValueError, match="not a last one"):
        given_frames(vae, picture(1), picture(2), FRAMES, as_channels=False)
