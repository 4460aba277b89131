"""The step cache saves passes that change little, says how far off it was, and is dropped when it is too far off."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from filmwright.cli.main import run
from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.schedules import timesteps
from filmwright.engine.build_request import build_request
from filmwright.engine.cache import FirstBlockCache, StepCache, TeaCache
from filmwright.engine.runs import unfinished
from filmwright.engine.sidecar import read_sidecar
from filmwright.engine.wan import Expert, Pass, denoise_wan
from filmwright.engine.wan_runner import WanRunner
from filmwright.media.video import probe
from filmwright.models.wan import Context, WanConfig, WanTransformer
from filmwright.spec.errors import MediaError
from filmwright.spec.request import Request
from filmwright.weights.card import WAN, load_card
from reference_wan import save

CONFIG = WanConfig(dim=24, heads=2, layers=4, ffn=32, text_dim=8)
STEPS = 12


@pytest.fixture
def net() -> WanTransformer:
    torch.manual_seed(0)
    return WanTransformer(CONFIG).eval().requires_grad_(False)


def denoised(
    net: WanTransformer,
    threshold: float | None,
    coefficients: Sequence[float] | None = None,
    steps: int = STEPS,
) -> tuple[Tensor, list[StepCache]]:
    """By a first-block cache, or by TeaCache where there are coefficients."""
    made: list[StepCache] = []

    def cache(levels: Sequence[float]) -> StepCache:
        at = threshold or 0.0
        made.append(FirstBlockCache(at) if coefficients is None else TeaCache(at, coefficients, levels))
        return made[-1]

    g = torch.Generator().manual_seed(1)
    noise = torch.randn(1, 16, 2, 4, 4, generator=g)
    words, negative = torch.randn(2, 1, 6, 8, generator=g)
    latents = denoise_wan(
        [Expert(net=lambda: net, guidance=4.0)],
        words,
        negative,
        noise,
        timesteps(steps, shift=3.0),
        passes=None if threshold is None else cache,
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


SURE = (0.0,)  # a polynomial to which no step changes anything
EVEN = (0.4,)  # every step alike


def steps_saved(
    net: WanTransformer, coefficients: Sequence[float], threshold: float, steps: int = 16, kept: int = 0
) -> tuple[list[int], Tensor, list[TeaCache]]:
    """The passes that TeaCache did without any block, of those with the prompt; the latents; all its caches.

    The first `kept` velocities are not asked of the net, as in a run that goes on.
    """
    made: list[TeaCache] = []
    taken: list[int] = []
    asked = 0

    def passes(levels: Sequence[float]) -> Pass:
        cache = TeaCache(threshold, coefficients, levels)
        made.append(cache)
        prompted = len(made) == 1

        def run(net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> Tensor:
            before = cache.saved
            v = cache(net, x, levels, context)
            if prompted and cache.saved > before:
                taken.append(asked - 1)
            return v

        return run

    def through(denoise: Denoise) -> Denoise:
        def answered(x: Tensor, levels: Tensor) -> Tensor:
            nonlocal asked
            asked += 1
            return x if asked <= kept else denoise(x, levels)

        return answered

    g = torch.Generator().manual_seed(1)
    noise = torch.randn(1, 16, 2, 4, 4, generator=g)
    words, negative = torch.randn(2, 1, 6, 8, generator=g)
    expert = Expert(net=lambda: net, guidance=4.0)
    times = timesteps(steps, shift=3.0)
    found = denoise_wan([expert], words, negative, noise, times, through=through, passes=passes)
    return taken, found, made


@pytest.mark.parametrize(
    ("coefficients", "saved"),
    [
        (SURE, [6, 7, 9, 10, 11, 13, 14]),  # at most three in a row; the first saved one, 5, proves itself
        (EVEN, [6, 8, 9, 11, 12, 14]),  # 0.4, 0.8, and 1.2 is too much
        ((-1.0, 0.0), []),  # falls for ever: it was fitted to nothing there
        ((1.5,), []),
    ],
)
def test_tea_adds_up_changes_and_always_computes_the_first_and_the_last_steps(
    net: WanTransformer, coefficients: Sequence[float], saved: list[int]
) -> None:
    taken, found, made = steps_saved(net, coefficients, 1.0)
    assert taken == saved
    assert [c.passes for c in made] == [16, 16]
    assert [c.saved for c in made] == [len(saved)] * 2  # both kinds of passes at the same steps
    exact, _ = denoised(net, None, steps=16)
    assert torch.equal(found, exact) == (not saved)
    if saved:
        assert all(c.difference is not None and 0 < c.difference < 0.25 for c in made)


def test_passes_that_tea_saves_run_no_block(net: WanTransformer) -> None:
    ran = [0] * CONFIG.layers
    for index, block in enumerate(net.blocks):
        block.register_forward_hook(lambda *_, i=index: ran.__setitem__(i, ran[i] + 1))
    taken, _, made = steps_saved(net, SURE, 1.0)
    assert (
        ran == [2 * (16 - len(taken))] * CONFIG.layers
    )  # the pass that proves itself is one of those computed
    assert len(made) == 2


def test_tea_begins_anew_when_a_run_goes_on(net: WanTransformer) -> None:
    taken, _, _ = steps_saved(net, SURE, 1.0, kept=8)
    assert taken == [10, 11, 13, 14]  # 8 is computed, 9 proves itself, and three in a row are 9, 10, 11


def test_tea_of_two_experts_knows_the_first_and_last_steps_of_each() -> None:
    torch.manual_seed(0)
    nets = [WanTransformer(CONFIG).eval().requires_grad_(False) for _ in range(2)]
    made: list[TeaCache] = []

    def passes(levels: Sequence[float]) -> TeaCache:
        made.append(TeaCache(1.0, SURE, levels))
        return made[-1]

    noise, words = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 6, 8)
    experts = [
        Expert(net=lambda: nets[0], guidance=1.0, down_to=0.875),
        Expert(net=lambda: nets[1], guidance=1.0),
    ]
    times = timesteps(18, shift=5.0)
    high = sum(t >= 0.875 for t in times)
    denoise_wan(experts, words, words, noise, times, passes=passes)
    assert [c.levels for c in made[::2]] == [times[:high], times[high:-1]]
    assert [c.passes for c in made[::2]] == [high, 18 - high]
    assert high == 8
    assert [c.saved for c in made[::2]] == [1, 2]  # of each the 6th proves itself, the 7th and 8th are saved


def test_a_far_off_tea_cache_is_dropped(net: WanTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, _ = denoised(net, None, steps=16)
    before_first = TeaCache.before_first

    def wrong(self: TeaCache, tokens: Tensor, modulation: Tensor) -> Tensor | None:
        known = before_first(self, tokens, modulation)
        return None if known is None else known * float("nan")

    monkeypatch.setattr(TeaCache, "before_first", wrong)
    taken, found, made = steps_saved(net, SURE, 1.0)
    assert not taken
    assert all(c.dropped and c.saved == 0 for c in made)
    assert all(c.difference is not None and math.isfinite(c.difference) for c in made)  # a sidecar is JSON
    assert torch.equal(found, exact)


def test_published_coefficients_are_where_they_were_fitted() -> None:
    expected = {
        "wan2.1-t2v-1.3b": (0.02, 0.0782),
        "wan2.1-t2v-14b": (0.02, 0.1409),
        "wan2.1-i2v-14b-480p": (0.02, 0.1796),
        "wan2.1-i2v-14b-720p": (0.02, 0.1599),
    }
    assert {name for name in WAN if load_card(name).tea} == set(expected)
    for name, (moved, change) in expected.items():
        value = 0.0
        for power, coefficient in enumerate(reversed(load_card(name).tea)):
            value += coefficient * moved**power
        assert value == pytest.approx(change, abs=1e-3), name


def test_the_request_says_which_cache_and_earlier_sidecars_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers")
    name = "wan2.1-t2v-1.3b"
    monkeypatch.setitem(load_card(name).__dict__, "tea", SURE)  # a random net changes more than any real one
    model = save(name, tmp_path / "model", num_layers=3)
    weights = ["--weights", str(model), "--json"]
    shot = ["a red ball", "--model", name, "--size", "64x64", "--frames", "5", "--steps", "9", "--seed", "1"]
    clip = tmp_path / "a.mp4"
    assert run(["generate", *shot, *weights, "--cache", "tea:0.9", "-o", str(clip)]) == 0
    told = json.loads(clip.with_suffix(".json").read_text())
    assert (told["request"]["cache"], told["request"]["cache_by"]) == (0.9, "tea")
    proof = told["proofs"]["cache"]
    assert (proof["passes"], proof["saved"], proof["dropped"]) == (18, 4, 0)
    assert 0 < proof["difference"] < 0.25
    again = tmp_path / "b.mp4"
    words = ["generate", "--from", str(clip.with_suffix(".json")), *weights, "-o", str(again)]
    assert run(words) == 0
    assert json.loads(again.with_suffix(".json").read_text())["frames_digest"] == told["frames_digest"]
    assert run([*words, "--cache", "0.9"]) == 0
    told = json.loads(again.with_suffix(".json").read_text())
    assert (told["request"]["cache"], told["request"]["cache_by"]) == (0.9, "first-block")
    for name in ("cache_by", "cuda_graphs"):
        del told["request"][name]  # as sidecars were before there were these
    del told["digest"]
    clip.with_suffix(".json").write_text(json.dumps(told))
    assert read_sidecar(clip.with_suffix(".json")).request.digest() == told["request_digest"]
    assert run([*words, "--cache", "0"]) == 0
    capsys.readouterr()
    assert "cache" not in json.loads(again.with_suffix(".json").read_text())["proofs"]


@pytest.mark.parametrize(
    ("model", "cache", "said"),
    [
        (
            "wan2.2-t2v-a14b",
            "tea:0.1",
            "no coefficients for model 'wan2.2-t2v-a14b', but for wan2.1-t2v-1.3b, ",
        ),
        ("wan2.2-ti2v-5b", "tea:0.1", "take --cache 0.1"),
        ("wan2.1-t2v-1.3b", "tea:2", "--cache 2 is out of range"),
        ("wan2.1-t2v-1.3b", "coffee:0.1", "--cache coffee:0.1 is not understood: write 0.1, or tea:0.1"),
        ("wan2.1-t2v-1.3b", "nan", "--cache nan is not understood"),
        ("wan2.1-t2v-1.3b", "tea:", "--cache tea: is not understood"),
        ("lightx2v-t2v-14b", "tea:0.1", "takes no --cache"),
        ("pocket", "tea:0.1", "takes no --cache"),
    ],
)
def test_what_cannot_be_cached_is_refused_in_one_line(
    model: str, cache: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a red ball", "--model", model, "--cache", cache]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_cache_has_one_digest_and_none_that_of_before() -> None:
    def request(cache: float | str) -> Request:
        return build_request("a red ball", model="wan2.1-t2v-1.3b", seed=1, cache=cache)

    def digest_of_before(request: Request, names: Sequence[str]) -> str:
        plain = request.model_dump(mode="json", exclude={"loras", "quantize", "compile", *names})
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    later = ("cache_by", "cuda_graphs", "attention", "sound", "guidance_down_to", "merge_lora", "shift")
    later += ("guidance_low",)
    assert request("tea:0").digest() == request(0.0).digest()
    assert request(0.0).digest() == digest_of_before(request(0.0), ("cache", *later))
    assert request("0.1").digest() == request(0.1).digest() == digest_of_before(request(0.1), later)
    assert request("tea:0.1").digest() != request(0.1).digest()
    assert build_request(base=request("tea:0.1"), steps=9).cache_by == "tea"
    assert build_request(base=request("tea:0.1"), cache=0.1).cache_by == "first-block"


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
