"""UMT5's encoder equals that of transformers, for prompts longer than its furthest bucket too."""

from __future__ import annotations

import pytest
import torch

from filmwright.models.umt5 import UMT5_XXL, UMT5Config, UMT5Encoder, buckets_of

transformers = pytest.importorskip("transformers")

SMALL = UMT5Config(vocabulary=40, dim=24, head_dim=8, heads=3, ffn=32, layers=3)


def theirs_of(config: UMT5Config) -> object:
    return transformers.UMT5Config(
        vocab_size=config.vocabulary,
        d_model=config.dim,
        d_kv=config.head_dim,
        d_ff=config.ffn,
        num_layers=config.layers,
        num_heads=config.heads,
    )


def own(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix("encoder."): v for k, v in state.items() if not k.startswith("shared.")}


@pytest.mark.parametrize("length", [1, 7, 400])
@torch.inference_mode()
def test_features_equal_transformers(length: int) -> None:
    torch.manual_seed(0)
    theirs = transformers.UMT5EncoderModel(theirs_of(SMALL)).eval()
    for parameter in theirs.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    ours = UMT5Encoder(SMALL).eval()
    ours.load_state_dict(own(theirs.state_dict()))
    ids = torch.randint(0, SMALL.vocabulary, (2, length))
    wanted = theirs(ids).last_hidden_state
    torch.testing.assert_close(ours(ids), wanted, atol=1e-4, rtol=1e-4)
    padded = torch.nn.functional.pad(ids, (0, 512 - length))
    mask = (torch.arange(512) < length).long().expand(2, -1)
    among = theirs(padded, mask).last_hidden_state[:, :length]  # what is left out here is masked there
    torch.testing.assert_close(ours(ids), among, atol=1e-4, rtol=1e-4)


def test_every_name_and_shape_maps_at_full_size() -> None:
    with torch.device("meta"):
        theirs = transformers.UMT5EncoderModel(theirs_of(UMT5_XXL)).state_dict()
        ours = UMT5Encoder(UMT5_XXL).state_dict()
    assert {k: v.shape for k, v in own(theirs).items()} == {k: v.shape for k, v in ours.items()}


def test_buckets_are_exact_near_and_coarse_far() -> None:
    offsets = torch.tensor([0, -1, -7, -8, -500, 1, 7, 500])
    assert buckets_of(offsets, 32, 128).tolist() == [0, 1, 7, 8, 15, 17, 23, 31]
