"""Cards: what they say of the published weights is what the nets of those sizes are."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from filmwright.models.umt5 import UMT5_XXL, UMT5Encoder
from filmwright.models.wan import WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE
from filmwright.weights.card import CARDS, ModelCard, load_card
from filmwright.weights.wan import WAN_SIZES

CLIP = 632_076_800  # parameters of ViT-H/14's vision tower with its projection
PUBLISHED = [name for name in CARDS if load_card(name).hub and load_card(name).hub.startswith("Wan-AI/")]  # type: ignore[union-attr]


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_bytes_of_a_wan_are_its_parameters_times_their_size(name: str) -> None:
    card = load_card(name)
    config = WAN_SIZES[card.variant or name]
    with torch.device("meta"):
        transformer, text = count(WanTransformer(config)), count(UMT5Encoder(UMT5_XXL))
        vae = count(WanVAE(WAN22_VAE if config.out_channels == 48 else WAN21_VAE))
    experts = 1 if card.boundary is None else 2
    words = 4 if name.startswith("wan2.1") else 2  # 2.2 publishes the text encoder in bf16, all else is fp32
    eye = 0 if config.image_dim is None else 2 * CLIP
    assert card.bytes == 4 * experts * transformer + words * text + 4 * vae + eye


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_wan_is_pinned_to_a_commit_and_says_what_it_permits(name: str) -> None:
    card = load_card(name)
    assert card.revision is not None
    assert card.permits is not None
    assert "commercial" in card.permits


def test_the_commits_are_all_different() -> None:
    revisions = [load_card(name).revision for name in PUBLISHED]
    assert len(set(revisions)) == len(revisions) == 8


@pytest.mark.parametrize("change", [{"revision": "main"}, {"revision": "0fad780"}, {"surprise": 1}])
def test_a_card_with_what_no_card_has_is_refused(change: dict[str, object]) -> None:
    card = json.loads(load_card("wan2.1-t2v-1.3b").model_dump_json())
    ModelCard.model_validate(card)
    with pytest.raises(ValidationError):
        ModelCard.model_validate(card | change)


def lengths_by_hand(card: ModelCard) -> list[int]:
    """One frame for the first latent frame, `frame_step` for each more; and whole chunks of latent frames."""
    latent_frames = range(1, card.max_frames + 1)
    found = [1 + card.frame_step * (n - 1) for n in latent_frames if n % (card.chunk or 1) == 0]
    return [n for n in found if card.min_frames <= n <= card.max_frames]


@pytest.mark.parametrize("name", CARDS)
def test_a_card_makes_the_lengths_between_its_bounds_and_its_own_among_them(name: str) -> None:
    card = load_card(name)
    assert list(card.lengths) == lengths_by_hand(card)
    assert card.num_frames in card.lengths
    assert (card.lengths[0], card.lengths[-1]) == (card.min_frames, card.max_frames)


@pytest.mark.parametrize("chunk", [None, 1, 3, 4])
@pytest.mark.parametrize("frame_step", [1, 4, 6, 8])
@pytest.mark.parametrize("bounds", [(1, 81), (2, 80), (13, 13), (9, 957), (14, 25), (90, 200)])
def test_lengths_and_steps_are_those_counted_by_hand(
    frame_step: int, chunk: int | None, bounds: tuple[int, int]
) -> None:
    changes = {"frame_step": frame_step, "chunk": chunk, "min_frames": bounds[0], "max_frames": bounds[1]}
    card = load_card("self-forcing-t2v-1.3b").model_copy(update=changes)
    assert list(card.lengths) == lengths_by_hand(card)
    for num_frames in card.lengths:
        latent_frames = 1 + (num_frames - 1) // frame_step
        assert card.steps_of(num_frames, 4) == (4 if chunk is None else 4 * latent_frames // chunk)


@pytest.mark.parametrize(
    ("name", "lengths", "chunks"),
    [
        ("wan2.1-t2v-1.3b", [1, 5, 9], [1, 1, 1]),
        ("self-forcing-t2v-1.3b", [9, 21, 33], [1, 2, 3]),
        ("ltx-video", [9, 17, 25], [1, 1, 1]),
        ("svd", [14], [1]),
    ],
)
def test_the_first_lengths_of_some_models(name: str, lengths: list[int], chunks: list[int]) -> None:
    card = load_card(name)
    assert list(card.lengths)[: len(lengths)] == lengths
    assert [card.steps_of(n, 5) for n in lengths] == [5 * count for count in chunks]


@pytest.mark.parametrize("name", CARDS)
def test_every_card_says_what_its_licence_permits(name: str) -> None:
    card = load_card(name)
    assert card.permits is not None
    assert card.permits.endswith(".")
    assert card.non_commercial == ("-NC-" in card.licence) == ("not commercial" in card.permits)


def test_defaults_are_those_of_the_official_code() -> None:
    """LTX_2_PARAMS, and the negative prompts, of Lightricks; Wan's configs; FastVideo's sampling parameters."""
    ltx2, ltx, flf, i2v = (
        load_card(name) for name in ("ltx-2", "ltx-video", "wan2.1-flf2v-14b", "wan2.1-i2v-14b-720p")
    )
    assert (ltx2.steps, ltx2.perturbed, ltx2.guidance) == (40, (29,), 3.0)
    assert ltx2.negative.startswith("blurry, out of focus, overexposed, underexposed, low contrast, ")
    assert ltx2.negative.endswith(", stylized filters, or AI artifacts.")
    assert ltx.negative == "worst quality, inconsistent motion, blurry, jittery, distorted"
    assert flf.negative == "镜头切换，" + i2v.negative
    for name in ("fastwan2.1-t2v-1.3b", "fastwan2.1-t2v-14b"):
        card = load_card(name)
        assert (card.native_sizes[0], card.num_frames, card.steps) == ((832, 448), 61, 3)
