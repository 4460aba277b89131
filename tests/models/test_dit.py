"""The denoiser is causal in chunks, caches what it has seen, and listens to every condition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from filmwright.models.attention import attend, rotary_table, rotate
from filmwright.models.catalog import SIZES, size
from filmwright.models.dit import CONTROL_CHANNELS, DiT
from filmwright.models.text import TextEncoder
from filmwright.spec.errors import BadRequest

FRAMES = 9


@pytest.fixture(scope="module")
def nets() -> tuple[TextEncoder, DiT]:
    torch.manual_seed(0)
    sizes = SIZES["tiny"]
    text, dit = TextEncoder(sizes.text).eval(), DiT(sizes.dit).eval()
    for p in dit.parameters():  # zero-initialised parts would hide what they do
        if not p.any():
            torch.nn.init.normal_(p, std=0.05)
    return text, dit


@pytest.fixture(scope="module")
def inputs(nets: tuple[TextEncoder, DiT]) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 2000, (2, 48), generator=g)
    with torch.no_grad():
        text, pooled = nets[0](ids)
    return {
        "x": torch.randn(2, 16, FRAMES, 4, 6, generator=g),
        "levels": torch.rand(2, FRAMES, generator=g),
        "text": text,
        "pooled": pooled,
        "controls": torch.randn(2, CONTROL_CHANNELS, FRAMES, 4, 6, generator=g),
        "keyframes": torch.randn(2, 1, 16, 4, 6, generator=g),
        "key_times": torch.tensor([8]),
    }


@torch.inference_mode()
@pytest.mark.parametrize("at", [3, 6, 8])
def test_later_frames_change_no_earlier_chunk(nets, inputs, at: int) -> None:  # type: ignore[no-untyped-def]
    changed = inputs | {"x": inputs["x"].clone(), "levels": inputs["levels"].clone()}
    changed["x"][:, :, at:] += 1
    changed["levels"][:, at:] = 0.5
    before, after = nets[1](**inputs), nets[1](**changed)
    safe = at // 3 * 3  # frames of the same chunk see each other
    assert torch.equal(before[:, :, :safe], after[:, :, :safe])
    assert not torch.allclose(before[:, :, safe:], after[:, :, safe:])


@torch.inference_mode()
def test_cached_chunks_equal_the_whole(nets, inputs) -> None:  # type: ignore[no-untyped-def]
    dit = nets[1]
    whole = dit(**inputs)
    cache = dit.cache_context(inputs["text"], inputs["keyframes"], inputs["key_times"])
    pieces = []
    for s in range(0, FRAMES, 3):
        part = {k: inputs[k][:, :, s : s + 3] for k in ("x", "controls")}
        y, cache = dit.step(
            part["x"], inputs["levels"][:, s : s + 3], cache, inputs["pooled"], part["controls"], start=s
        )
        pieces.append(y)
    assert torch.allclose(torch.cat(pieces, dim=2), whole, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["levels", "text", "pooled", "controls", "keyframes"])
def test_every_condition_is_heard(nets, inputs, name: str) -> None:  # type: ignore[no-untyped-def]
    changed = inputs | {name: inputs[name] * 0.5}
    assert (nets[1](**changed) - nets[1](**inputs)).abs().max() > 1e-4


@torch.inference_mode()
def test_a_keyframe_is_heard_at_its_time(nets, inputs) -> None:  # type: ignore[no-untyped-def]
    moved = inputs | {"key_times": torch.tensor([2])}
    assert not torch.allclose(nets[1](**moved), nets[1](**inputs))


@torch.inference_mode()
def test_patches_and_back(nets) -> None:  # type: ignore[no-untyped-def]
    dit = nets[1]
    x = torch.randn(1, 16, 2, 4, 6)
    patches = dit._patches(x)
    t, h, w, p = 2, 2, 3, 2
    back = patches.view(1, t, h, w, 16, p, p).permute(0, 4, 1, 2, 5, 3, 6).reshape(x.shape)
    assert torch.equal(back, x)


def test_attention_is_softmax_attention() -> None:
    g = torch.Generator().manual_seed(0)
    q = F.normalize(torch.randn(2, 3, 10, 128, generator=g), dim=-1) * 12
    k = F.normalize(torch.randn(2, 3, 20, 128, generator=g), dim=-1)
    v = torch.randn(2, 3, 20, 128, generator=g)
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), scale=1.0)
    assert (attend(q, k, v) - exact).abs().max() < 1e-5
    low = attend(q.bfloat16(), k.bfloat16(), v.bfloat16()).double()
    assert (low - exact).norm() / exact.norm() < 2e-2


def test_rotation_depends_on_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, 128, generator=torch.Generator().manual_seed(0))

    def score(a: list[float], b: list[float]) -> torch.Tensor:
        return (rotate(q, rotary_table(torch.tensor([a]))) * rotate(k, rotary_table(torch.tensor([b])))).sum()

    assert torch.allclose(
        score([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]), score([0.0, 0.0, 0.0], [3.0, 2.0, 1.0]), atol=1e-4
    )
    assert not torch.allclose(
        score([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]), score([0.0, 0.0, 0.0], [3.0, 2.0, 2.0]), atol=1e-4
    )


def test_sizes_are_matched_exactly() -> None:
    assert size("lite") is SIZES["lite"]
    with pytest.raises(BadRequest, match="the sizes are tiny, lite, full"):
        size("lit")


def test_all_nets_stay_under_64_megabytes() -> None:
    from filmwright.models.vae import VAE

    for sizes in SIZES.values():
        with torch.device("meta"):
            nets = (TextEncoder(sizes.text), DiT(sizes.dit), VAE(sizes.vae))
        numbers = sum(p.numel() for net in nets for p in net.parameters())
        assert numbers * 2 < 64e6
