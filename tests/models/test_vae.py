"""The VAE is causal, and streaming equals the whole."""

from __future__ import annotations

import pytest
import torch

from filmwright.models.catalog import SIZES
from filmwright.models.vae import VAE


@pytest.fixture(scope="module")
def vae() -> VAE:
    torch.manual_seed(0)
    vae = VAE(SIZES["tiny"].vae).eval()
    for p in vae.parameters():  # blocks start as the identity: give memory something to do
        if not p.any():
            torch.nn.init.normal_(p, std=0.1)
    vae.mean.normal_()
    vae.std.uniform_(0.5, 2.0)
    return vae


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.randn(2, 3, 17, 32, 48, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_shapes(vae: VAE, frames: torch.Tensor) -> None:
    z = vae.encode(frames)
    assert z.shape == (2, 16, 5, 2, 3)
    assert vae.decode(z).shape == frames.shape


@torch.inference_mode()
def test_a_picture_is_a_clip_of_one_frame(vae: VAE, frames: torch.Tensor) -> None:
    assert torch.allclose(vae.encode(frames[:, :, :1]), vae.encode(frames)[:, :, :1], atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("at", [1, 5, 16])
def test_later_frames_change_no_earlier_latents(vae: VAE, frames: torch.Tensor, at: int) -> None:
    changed = frames.clone()
    changed[:, :, at:] += 1
    before, after = vae.encode(frames), vae.encode(changed)
    first = (at + 3) // 4  # the latent frame that holds frame `at`
    assert torch.equal(before[:, :, :first], after[:, :, :first])
    assert not torch.allclose(before[:, :, first:], after[:, :, first:])


@torch.inference_mode()
@pytest.mark.parametrize("at", [1, 3])
def test_later_latents_change_no_earlier_frames(vae: VAE, frames: torch.Tensor, at: int) -> None:
    z = vae.encode(frames)
    changed = z.clone()
    changed[:, :, at:] += 1
    before, after = vae.decode(z), vae.decode(changed)
    assert torch.equal(before[:, :, : 4 * at - 3], after[:, :, : 4 * at - 3])
    assert not torch.allclose(before[:, :, 4 * at - 3 :], after[:, :, 4 * at - 3 :])


@torch.inference_mode()
@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_chunk_by_chunk_equals_whole(vae: VAE, frames: torch.Tensor, chunk: int) -> None:
    z = vae.encode(frames)
    memory = vae.start()
    starts = range(0, z.shape[2], chunk)
    pieces = [vae.decode_chunk(z[:, :, s : s + chunk], memory, first=s == 0) for s in starts]
    assert torch.allclose(torch.cat(pieces, dim=2), vae.decode(z), atol=1e-5)


def test_normalising_is_undone(vae: VAE) -> None:
    z = torch.randn(1, 2, 16, 3, 3)
    assert torch.allclose(vae.denormalise(vae.normalise(z)), z, atol=1e-5)
