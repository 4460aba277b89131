"""Wan's VAEs against diffusers' own class, on small random checkpoints; their streams; their names at full size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from filmwright.models.bands import convolve, double
from filmwright.models.strips import strips_of
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE, WanVAEConfig
from filmwright.models.wan_vae_layers import Memory
from filmwright.spec.errors import WeightsError
from filmwright.weights.wan import vae_to_own_names

diffusers = pytest.importorskip("diffusers")

SMALL = {
    "2.1": replace(WAN21_VAE, width=8, decoder_width=8),
    "2.2": replace(WAN22_VAE, width=8, decoder_width=16, channels=16, mean=WAN21_VAE.mean, std=WAN21_VAE.std),
}
FULL = {"2.1": WAN21_VAE, "2.2": WAN22_VAE}


def reference(config: WanVAEConfig) -> Any:
    patched = {"patch_size": config.patch, "scale_factor_spatial": 16} if config.shortcuts else {}
    return diffusers.AutoencoderKLWan(
        base_dim=config.width,
        decoder_base_dim=config.decoder_width,
        z_dim=config.channels,
        latents_mean=list(config.mean),
        latents_std=list(config.std),
        is_residual=config.shortcuts,
        in_channels=3 * config.patch**2,
        out_channels=3 * config.patch**2,
        **patched,
    )


def pair(name: str) -> tuple[WanVAE, Any]:
    torch.manual_seed(0)
    theirs = reference(SMALL[name]).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    ours = WanVAE(SMALL[name]).eval()
    ours.load_state_dict(vae_to_own_names(theirs.state_dict()))
    return ours, theirs


@pytest.mark.parametrize("name", SMALL)
@torch.inference_mode()
def test_latents_and_frames_equal_diffusers(name: str) -> None:
    ours, theirs = pair(name)
    config = SMALL[name]
    frames = torch.rand(1, 3, 13, 64, 32) * 2 - 1
    mean = torch.tensor(config.mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(config.std).view(1, -1, 1, 1, 1)
    latents = (theirs.encode(frames).latent_dist.mode() - mean) / std
    torch.testing.assert_close(ours.encode(frames), latents, atol=1e-4, rtol=1e-4)
    z = torch.randn_like(latents)
    wanted = theirs.decode(z * std + mean).sample
    assert wanted.shape == frames.shape
    torch.testing.assert_close(ours.decode(z), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
@torch.inference_mode()
def test_longer_chunks_give_the_same_frames(name: str) -> None:
    ours, _ = pair(name)
    z = torch.randn(1, 16, 6, 3, 2)
    memory: Memory = {}
    chunks = [ours.decode_chunk(part, memory) for part in z.split([1, 3, 2], dim=2)]
    assert [c.shape[2] for c in chunks] == [1, 12, 8]
    torch.testing.assert_close(torch.cat(chunks, 2), ours.decode(z), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SMALL)
@torch.inference_mode()
def test_bands_give_the_same_latents_and_frames(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "filmwright.models.bands.BAND", 2_000
    )  # several bands even here, the last one smaller
    ours, _ = pair(name)
    frames = torch.rand(2, 3, 13, 96, 64) * 2 - 1
    z = ours.encode(frames)
    wanted = ours.decode(z)
    ours.use_bands()
    torch.testing.assert_close(ours.encode(frames), z, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(ours.decode(z), wanted, atol=2e-5, rtol=2e-5)
    memory: Memory = {}
    chunks = [ours.decode_chunk(part, memory) for part in z.split([1, 1, 2], dim=2)]
    torch.testing.assert_close(torch.cat(chunks, 2), wanted, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 7])
@torch.inference_mode()
def test_a_convolution_in_bands_is_a_convolution(frames: int) -> None:
    x, before = torch.randn(2, 6, frames, 9, 5), torch.randn(2, 6, 2, 9, 5)
    weight, bias = torch.randn(4, 6, 3, 3, 3), torch.randn(4)
    wanted = F.conv3d(torch.cat([before, x], 2), weight, bias, padding=(0, 1, 1))
    found = convolve(x, before, weight, bias, torch.clone)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)
    onto = torch.randn_like(wanted)
    both = onto + wanted
    assert convolve(x, before, weight, bias, torch.clone, onto=onto) is onto
    torch.testing.assert_close(onto, both, atol=1e-4, rtol=1e-5)


@torch.inference_mode()
def test_doubling_in_bands_is_doubling_and_convolving() -> None:
    x, weight, bias = torch.randn(2, 6, 3, 9, 5), torch.randn(4, 6, 3, 3), torch.randn(4)
    large = x.repeat_interleave(2, 3).repeat_interleave(2, 4).transpose(1, 2).flatten(0, 1)
    wanted = F.conv2d(large, weight, bias, padding=1).unflatten(0, (2, 3)).transpose(1, 2)
    torch.testing.assert_close(double(x, weight, bias), wanted, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("name", SMALL)
@torch.inference_mode()
def test_strips_fit_together_without_a_seam(
    name: str, *, bands: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = pair(name)
    if bands:
        ours.use_bands()
    for shape in ((1, 16, 3, 4, 34), (1, 16, 2, 34, 4)):
        z = torch.randn(shape)
        wanted = ours.decode(z)

        def in_strips(z: torch.Tensor = z) -> torch.Tensor:
            strips = strips_of(z.shape, 17)
            assert len(strips) == 2
            parts = []
            for strip in strips:
                memory: Memory = {}
                parts.append(torch.cat([ours.decode_chunk(c, memory, strip) for c in z.split(1, 2)], 2))
            return torch.cat(parts, strips[0].axis)

        torch.testing.assert_close(in_strips(), wanted, atol=2e-5, rtol=2e-5)
        with monkeypatch.context() as patch:  # the margins are needed
            patch.setattr(ours.decoder, "margins", tuple(max(0, m - 2) for m in ours.decoder.margins))
            with pytest.raises(AssertionError):
                torch.testing.assert_close(in_strips(), wanted, atol=2e-5, rtol=2e-5)


@torch.inference_mode()
def test_a_later_latent_changes_nothing_earlier() -> None:
    ours, _ = pair("2.1")
    z = torch.randn(1, 16, 4, 2, 2)
    before = ours.decode(z)
    z[:, :, 3] += 1
    after = ours.decode(z)
    assert torch.equal(before[:, :, :9], after[:, :, :9])
    assert not torch.equal(before[:, :, 9:], after[:, :, 9:])


def test_a_clip_starts_with_one_latent_frame() -> None:
    ours, _ = pair("2.1")
    with pytest.raises(ValueError, match="one latent frame"):
        ours.decode_chunk(torch.zeros(1, 16, 2, 2, 2), {})


@pytest.mark.parametrize("name", FULL)
def test_every_name_and_shape_maps_at_full_size(name: str) -> None:
    with torch.device("meta"):
        theirs = reference(FULL[name]).state_dict()
        ours = WanVAE(FULL[name]).state_dict()
    assert {k: v.shape for k, v in vae_to_own_names(theirs).items()} == {k: v.shape for k, v in ours.items()}
    assert vae_to_own_names(ours).keys() == ours.keys()


def test_unknown_names_are_listed() -> None:
    with torch.device("meta"):
        theirs = reference(SMALL["2.1"]).state_dict()
    with pytest.raises(WeightsError, match=r"encoder\.nonsense"):
        vae_to_own_names(theirs | {"encoder.nonsense.weight": torch.zeros(1)})
