"""The step cache saves passes that change little, says how far off it was, and is dropped when it is too far off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from filmwright.cli.main import run
from filmwright.diffusion.schedules import timesteps
from filmwright.engine.cache import FirstBlockCache
from filmwright.engine.runs import unfinished
from filmwright.engine.wan import Expert, denoise_wan
from filmwright.engine.wan_runner import WanRunner
from filmwright.media.video import probe
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.spec.errors import MediaError
from reference_wan import save

CONFIG = WanConfig(dim=24, heads=2, layers=4, ffn=32, text_dim=8)
STEPS = 12


@pytest.fixture
def net() -> WanTransformer:
    torch.manual_seed(0)
    return WanTransformer(CONFIG).eval().requires_grad_(False)


def denoised(net: WanTransformer, threshold: float | None) -> tuple[Tensor, list[FirstBlockCache]]:
    made: list[FirstBlockCache] = []

    def cache() -> FirstBlockCache:
        made.append(FirstBlockCache(threshold or 0.0))
        return made[-1]

    g = torch.Generator().manual_seed(1)
    noise = torch.randn(1, 16, 2, 4, 4, generator=g)
    words, negative = torch.randn(2, 1, 6, 8, generator=g)
    latents = denoise_wan(
        [Expert(net=lambda: net, guidance=4.0)],
        words,
        negative,
        noise,
        timesteps(STEPS, shift=3.0),
        cache=None if threshold is None else cache,
    )
    return latents, made


def test_a_threshold_that_nothing_meets_changes_nothing(net: WanTransformer) -> None:
    exact, _ = denoised(net, None)
    same, caches = denoised(net, 0.0)
    assert torch.equal(same, exact)
    assert [c.saved for c in caches] == [0, 0]
    assert [c.passes for c in caches] == [STEPS, STEPS]


def test_it_saves_passes_and_says_how_far_off_the_first_was(net: WanTransformer) -> None:
    exact, _ = denoised(net, None)
    near, caches = denoised(net, 0.3)
    assert all(c.saved > 0 for c in caches)
    assert all(c.difference is not None and 0 < c.difference < 0.25 for c in caches)
    assert 0 < (near - exact).norm() / exact.norm() < 0.25


def test_saved_passes_are_one_block(net: WanTransformer) -> None:
    ran = [0] * CONFIG.layers
    for index, block in enumerate(net.blocks):
        block.register_forward_hook(lambda *_, i=index: ran.__setitem__(i, ran[i] + 1))
    _, caches = denoised(net, 0.3)
    proofs = len(caches)  # each cache computed one pass twice
    assert ran[0] == 2 * STEPS + proofs
    assert ran[1:] == [2 * STEPS - sum(c.saved for c in caches)] * (CONFIG.layers - 1)


def test_a_cache_that_is_far_off_is_dropped(net: WanTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, _ = denoised(net, None)
    after_first = FirstBlockCache.after_first

    def wrong(self: FirstBlockCache, before: Tensor, tokens: Tensor) -> Tensor | None:
        known = after_first(self, before, tokens)
        return None if known is None else known * float("nan")

    monkeypatch.setattr(FirstBlockCache, "after_first", wrong)
    found, caches = denoised(net, 0.3)
    assert all(c.dropped and c.saved == 0 for c in caches)
    assert torch.equal(found, exact)


def test_the_sidecar_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("diffusers")
    model = save("wan2.1-t2v-1.3b", tmp_path / "model", num_layers=3)
    clip = tmp_path / "a.mp4"
    shot = [
        "a red ball",
        "--model",
        "wan2.1-t2v-1.3b",
        "--weights",
        str(model),
        "--size",
        "64x64",
        "--frames",
        "5",
    ]
    arguments = [
        "generate",
        *shot,
        "--steps",
        "8",
        "--seed",
        "1",
        "--cache",
        "0.9",
        "-o",
        str(clip),
        "--json",
    ]
    assert run(arguments) == 0, capsys.readouterr()
    told = json.loads(clip.with_suffix(".json").read_text())
    assert told["request"]["cache"] == 0.9
    assert told["proofs"]["cache"]["passes"] == 16
    assert told["proofs"]["cache"]["saved"] > 0


@pytest.fixture
def shot(tmp_path: Path) -> list[str]:
    pytest.importorskip("diffusers")
    model = save("wan2.1-t2v-1.3b", tmp_path / "model", num_layers=3)
    words = [
        "generate",
        "a red ball",
        "--model",
        "wan2.1-t2v-1.3b",
        "--weights",
        str(model),
        "--size",
        "64x64",
    ]
    return [*words, "--frames", "5", "--steps", "8", "--seed", "1", "--cache", "0.9", "-o", "a.mp4"]


COLD = "the cache began anew when the run went on: frames are not to the bit"


def stop_in_the_fourth_step(shot: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C does."""
    calls: list[int] = []
    whole = FirstBlockCache.__call__

    def stopped(self: FirstBlockCache, *given: Any) -> Tensor:
        calls.append(self.passes)
        if len(calls) == 8:  # two a step
            raise KeyboardInterrupt
        return whole(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(FirstBlockCache, "__call__", stopped)
        assert run(shot) == 130


def fail_to_decode(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MediaError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(WanRunner, "decode", full)
        assert run(words) == 2
    assert unfinished()[0].denoised


def told(clip: str) -> dict[str, Any]:
    sidecar: dict[str, Any] = json.loads(Path(clip).with_suffix(".json").read_text())
    return sidecar


def test_a_run_with_a_cache_that_was_stopped_goes_on_and_says_that_it_is_not_exact(
    shot: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_in_the_fourth_step(shot, monkeypatch)
    assert "`filmwright resume" in capsys.readouterr().err
    assert unfinished()[0].calls == 3
    assert run(["resume", "a.mp4"]) == 0
    assert COLD in capsys.readouterr().err
    assert told("a.mp4")["warnings"] == [COLD]
    assert told("a.mp4")["proofs"]["cache"]["passes"] == 2 * (8 - 3)
    assert probe(Path("a.mp4")).num_frames == 5
    assert unfinished() == []


def test_what_was_found_while_denoising_outlives_a_failed_decode(
    shot: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *shot, _ = shot
    assert run([*shot, "a.mp4"]) == 0
    assert told("a.mp4")["proofs"]["cache"]["saved"] > 0
    fail_to_decode([*shot, "b.mp4"], monkeypatch)
    plain = [word for word in shot if word not in ("--cache", "0.9")]
    assert run([*plain, "c.mp4"]) == 0  # by the same runner, in between
    assert "cache" not in told("c.mp4")["proofs"]
    assert run(["resume", "b.mp4"]) == 0
    for key in ("proofs", "frames_digest", "warnings"):
        assert told("b.mp4")[key] == told("a.mp4")[key]


def test_a_warning_outlives_a_failed_decode(shot: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stop_in_the_fourth_step(shot, monkeypatch)
    fail_to_decode(["resume", "a.mp4"], monkeypatch)
    assert run(["resume", "a.mp4"]) == 0
    assert told("a.mp4")["warnings"] == [COLD]
