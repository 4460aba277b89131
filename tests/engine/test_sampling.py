"""The shift of the levels and the second expert's guidance: asked for, refused, used, and written down."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from filmwright.engine.build_request import build_request
from filmwright.engine.check_sampling import guidances_of, resolved, shift_of
from filmwright.engine.pocket import PocketRunner, backbone_for
from filmwright.engine.sidecar import make_sidecar
from filmwright.engine.wan_runner import WanRunner
from filmwright.spec.errors import BadRequest
from filmwright.weights.card import ModelCard, load_card
from filmwright.weights.wan_folder import WanFolder
from reference_wan import save

TWO = "wan2.2-t2v-a14b"


def test_a_request_without_a_shift_has_the_digest_that_it_always_had() -> None:
    """The two were computed before there was a shift."""
    pocket, wan = build_request("a red ball", seed=1), build_request("a red ball", model=TWO, seed=1)
    assert pocket.digest() == "d17bc3ef578713029d819b23da22cd39aee7e611c46cf10f1183a872529487f2"
    assert wan.digest() == "29500614d686d6f2f109d5851748143e06542d316925a75ef0f75ccc13d8f401"
    others = [build_request(base=wan, shift=5), build_request(base=wan, guidance_low=2)]
    assert len({wan.digest(), *(other.digest() for other in others)}) == 3
    assert build_request(base=others[0], steps=9).shift == 5
    assert build_request(base=others[1], steps=9).guidance_low == 2


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("wan2.1-t2v-1.3b", {"shift": 0.0}, "shift 0 is out of range: it must be above 0 and at most 100"),
        ("wan2.1-t2v-1.3b", {"shift": -1}, "shift -1 is out of range"),
        ("wan2.1-t2v-1.3b", {"shift": 101}, "has 5"),
        ("wan2.1-t2v-1.3b", {"shift": float("nan")}, "shift nan is out of range"),
        ("pocket", {"shift": float("inf")}, "shift inf is out of range"),
        ("fastwan2.1-t2v-1.3b", {"shift": 5}, "distilled at shift 8 and takes no other, not 5"),
        ("mochi-1", {"shift": 5}, "takes no --shift"),
        ("wan2.1-t2v-14b", {"guidance_low": 3}, "has one expert .*; wan2.2-t2v-a14b would"),
        ("lightx2v-t2v-a14b", {"guidance_low": 3}, "was distilled with its guidance"),
        (TWO, {"guidance_low": 21}, "0 to 20, 3 by default"),
        (TWO, {"guidance_low": float("nan")}, "guidance nan of the second expert"),
        (TWO, {"guidance_low": 3, "guidance": 1}, "--guidance is 1"),
    ],
)
def test_what_a_model_does_not_take_is_refused(model: str, options: dict[str, float], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        build_request("a ball", model=model, **options)  # type: ignore[arg-type]


def test_what_the_card_gives_is_written_down() -> None:
    card = load_card(TWO)

    def found(**options: Any) -> dict[str, float]:
        request = build_request("a ball", model=TWO, seed=1, **options)
        assert guidances_of(request, card)[0] == request.guidance
        assert shift_of(request, card) == resolved(request, card)["shift"]
        return make_sidecar(request, weights={}, timings={}).resolved

    assert found() == {"shift": 12.0, "guidance_low": 3.0}
    assert found(guidance=8) == {"shift": 12.0, "guidance_low": 6.0}
    assert found(shift=5, guidance_low=3.5) == {"shift": 5.0, "guidance_low": 3.5}
    assert found(guidance=1)["guidance_low"] == 1.0
    assert resolved(build_request("a ball", seed=1), load_card("pocket")) == {}


def test_what_a_request_asks_for_is_what_a_card_of_those_numbers_gives(tmp_path: Path) -> None:
    card, folder = load_card(TWO), WanFolder(save(TWO, tmp_path / "model"), dtype=torch.float32)

    def latents(card: ModelCard, **options: Any) -> torch.Tensor:
        request = build_request("a ball", model=TWO, size=(64, 64), num_frames=5, steps=4, seed=1, **options)
        runner = WanRunner(card, folder, {})
        with torch.inference_mode():
            return runner.denoise(request, runner.prepare(request), lambda *_: None, lambda net: net).picture

    own = latents(card)
    for asked in ({"shift": 2.0}, {"guidance_low": 1.0}, {"shift": 2.0, "guidance_low": 6.0}):
        found = latents(card, **asked)
        assert torch.equal(found, latents(card.model_copy(update=asked)))
        assert not torch.equal(found, own)


def test_another_shift_is_another_pocket_clip() -> None:
    runner = PocketRunner(backbone_for("pocket"))

    def latents(**options: Any) -> torch.Tensor:
        request = build_request("a red ball rolls", seed=1, steps=2, num_frames=5, **options)
        with torch.inference_mode():
            return runner.denoise(request, runner.prepare(request), lambda *_: None, lambda net: net).picture

    assert not torch.equal(latents(), latents(shift=9.0))
    assert torch.equal(latents(shift=9.0), latents(shift=9.0))


@pytest.mark.parametrize("kind", ["LTX2Pipeline", "LTX2ImageToVideoPipeline"])
def test_ltx2_perturbs_the_block_that_its_version_was_made_for(kind: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    from filmwright.engine.families import FAMILIES

    pipe = SimpleNamespace(vae=SimpleNamespace(config=SimpleNamespace(timestep_conditioning=False)))
    settings = FAMILIES["ltx-2"].settings(pipe, build_request("a ball", model="ltx-2", seed=1), None)
    taken = inspect.signature(getattr(diffusers, kind).__call__).parameters
    assert taken["spatio_temporal_guidance_blocks"].default == [28], "that of version 2.3"
    assert settings["spatio_temporal_guidance_blocks"] == [29]
