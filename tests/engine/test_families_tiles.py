"""Frames decoded in tiles: a budget that whole frames break is kept, they are near the whole, and the run says how near."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from filmwright.engine.build_request import build_request
from filmwright.engine.diffusers_runner import DiffusersRunner
from filmwright.engine.families import FAMILIES
from filmwright.engine.families_plan import family_needs, tile_needs
from filmwright.engine.families_tiles import decoded
from filmwright.engine.generate import generate_file
from filmwright.engine.journal import Latents
from filmwright.engine.plan import plan_for
from filmwright.spec.events import Planned
from filmwright.spec.plan import Plan, Strategy
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.diffusers_folder import DiffusersFolder
from reference_families import save_family

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")
LATENTS = {  # of a picture that has several tiles or a clip that has several pieces; and how near those must be
    "hunyuanvideo": ((16, 2, 8, 12), 0.5),
    "hunyuanvideo-1.5-480p": ((32, 2, 4, 6), 0.9),
    "mochi-1": ((12, 2, 8, 12), 0.95),
    "ltx-video": ((128, 11, 3, 4), 0.8),
    "ltx-2": ((128, 11, 3, 4), 0.8),
    "svd": ((4, 8, 4, 4), 0.7),
}
SMALL = {"tile_sample_min_height": 64, "tile_sample_min_width": 64}  # tiles, for small pictures
STRIDES = {"tile_sample_stride_height": 48, "tile_sample_stride_width": 48}


def folder_of(name: str, path: Path) -> DiffusersFolder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_family(name, path)
    return DiffusersFolder(path, device="cpu", dtype=torch.float32, vae_dtype=torch.float32)


def with_small_tiles(name: str, vae: Any) -> None:
    if name == "hunyuanvideo-1.5-480p":
        vae.enable_tiling(**SMALL, tile_latent_min_height=4, tile_latent_min_width=4)
    elif FAMILIES[load_card(name).family].in_time is None:
        vae.enable_tiling(**SMALL, **STRIDES)
    vae.use_tiling = False


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten().float(), b.flatten().float()]))[0, 1])


@pytest.mark.parametrize("name", LATENTS)
def test_tiles_are_near_the_whole_and_frames_are_where_they_were(name: str, tmp_path: Path) -> None:
    folder, card = folder_of(name, tmp_path), load_card(name)
    runner = DiffusersRunner(card, folder, {}, Strategy(tiles=True, proof=5))
    vae: Any = runner._net("vae")
    with_small_tiles(name, vae)
    generator = torch.Generator().manual_seed(0)
    (channels, length, height, width), least = LATENTS[name]
    coarse = torch.randn(1, channels, 3, height, width, generator=generator)  # what moves evenly
    z = torch.nn.functional.interpolate(coarse, size=(length, height, width), mode="trilinear")
    with torch.inference_mode():
        whole, tiles = decoded(vae, card, z), decoded(vae, card, z, tiles=True)
        assert tiles.shape == whole.shape
        assert not torch.equal(tiles, whole)
        near = correlation(tiles, whole)
        assert near > least
        late, early = (tiles[:, :, 1:], whole[:, :, :-1]), (tiles[:, :, :-1], whole[:, :, 1:])
        assert near > max(correlation(*late), correlation(*early)), "a frame too early or too late"
        assert not getattr(vae, "use_tiling", False)  # pictures are looked at whole

        pieces = list(runner.decode(Latents(picture=z)))
    assert sum(map(len, pieces)) == whole.shape[2]
    proof = runner.proofs["frames in tiles"]
    assert 0 < proof["difference"] < 1
    assert 0 < proof["most of 255"] <= 4 * 255


def test_no_tile_is_a_sliver(tmp_path: Path) -> None:
    """LTX-2's decoder mirrors a picture's sides, and cannot mirror one latent: 928 pixels would leave a tile of one."""
    folder, card = folder_of("ltx-2", tmp_path), load_card("ltx-2")
    z = torch.randn(1, 128, 2, 2, 29, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        tiles = decoded(folder.net("vae"), card, z, tiles=True)
    assert tiles.shape == (1, 3, 9, 64, 928)


def small_request(folder: Path) -> Request:
    return build_request(
        "a red ball rolls", model="ltx-video", size=(192, 192), num_frames=97, steps=2, seed=3
    )


def test_a_budget_that_whole_frames_break_is_kept_in_tiles(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_family("ltx-video", tmp_path / "model")
    request, weights = small_request(tmp_path), tmp_path / "model"
    wide = plan_for(request, weights=weights, budget=10**11)
    assert not wide.strategy.tiles
    needs, tiles = family_needs(request, "cpu", weights), tile_needs(request, "cpu", weights)
    assert tiles.decode.bytes < 0.75 * needs.decode.bytes
    assert tiles.decode.convolutions > needs.decode.convolutions  # some latents are decoded twice
    assert list(tiles.proofs) == sorted(tiles.proofs, reverse=True)

    budget = round(wide.peak * 1.05) - 5_000_000  # too little for whole frames, whatever becomes of the nets
    plan = plan_for(request, weights=weights, budget=budget)
    assert plan.strategy.tiles
    assert "frames decoded in tiles" in plan.why
    assert plan.peak * 1.05 <= budget

    plans: list[Plan] = []
    told = generate_file(
        request, tmp_path / "clip.mp4", weights=weights, memory=budget, sign=False,
        on_event=lambda event: plans.append(event.plan) if isinstance(event, Planned) else None,
    )  # fmt: skip
    assert plans[0].strategy.tiles
    assert any("decoded in tiles" in line for line in told.warnings)
    assert told.proofs["frames in tiles"]["difference"] > 0
    whole = generate_file(request, tmp_path / "whole.mp4", weights=weights, memory=10**11, sign=False)
    assert "frames in tiles" not in whole.proofs
    assert not any("tiles" in line for line in whole.warnings)
    assert whole.frames_digest != told.frames_digest


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    folder, card = folder_of("ltx-video", tmp_path), load_card("ltx-video")
    request = small_request(tmp_path)
    strategy = Strategy(tiles=True)
    (said,) = DiffusersRunner(card, folder, {}, strategy).findings(request)
    assert "cannot be measured" in said.message
    (said,) = DiffusersRunner(card, folder, {}, replace(strategy, proof=3)).findings(request)
    assert "sidecar" in said.message
    assert not DiffusersRunner(card, folder, {}, Strategy()).findings(request)
