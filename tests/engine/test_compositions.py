"""What can be asked for together: each pair works, to the same bits whatever the strategy, or is refused with the reason.

Which pairs are refused is enumerated in `tests/spec/test_compositions.py`; several processes are in `test_parallel.py`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from filmwright.engine.build_request import build_request
from filmwright.engine.compiled import can_compile
from filmwright.engine.proofs import relative
from filmwright.engine.wan_loras import adapted, loras_for, merged
from filmwright.engine.wan_runner import WanRunner
from filmwright.models.wan import WanTransformer
from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
from reference_attention import in_eight_bits, provide, right
from reference_wan import save

MODEL = "wan2.2-t2v-a14b"  # two experts
STRATEGIES = ("held", "staged", "streamed")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers")
    return save(MODEL, tmp_path_factory.mktemp("wan") / "model", num_layers=3)


@pytest.fixture(scope="module")
def low_rank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lora") / "low.safetensors"
    g = torch.Generator().manual_seed(0)
    pair = {"down": torch.randn(2, 128, generator=g), "up": torch.randn(128, 2, generator=g)}
    save_file({f"diffusion_model.blocks.1.self_attn.q.lora_{k}.weight": v for k, v in pair.items()}, path)
    return path


def latents(
    model: Path,
    nets: str,
    cache: float | str,
    lora: Path | None,
    dtype: torch.dtype,
    quantize: str = "none",
    compiled: bool = False,
    attention: str = "auto",
    steps: int = 6,
    merged: bool = False,
    runner: WanRunner | None = None,
) -> Tensor:
    request = build_request(
        "a red ball",
        model=MODEL,
        size=(64, 64),
        num_frames=5,
        steps=steps,
        seed=2,
        cache=cache,
        loras=[] if lora is None else [f"{lora}=3"],
        quantize=quantize,
        compile=compiled,
        attention=attention,
        merge_lora=merged,
    )
    runner = runner or WanRunner(load_card(MODEL), WanFolder(model, dtype=dtype), {}, Strategy(nets=nets))
    with torch.inference_mode():
        z = runner.denoise(request, runner.prepare(request), lambda *_: None, lambda net: net).picture
    parts = 3 * (quantize != "none") + 2 * compiled  # the text encoder and two denoisers
    proofs = {k: p for k, p in runner.proofs.items() if not k.startswith(("attention", "cache"))}
    assert len(proofs) == parts
    assert not any(p["dropped"] for p in proofs.values())
    return z


@pytest.mark.parametrize(
    ("quantize", "dtype"),
    [
        ("none", torch.float32),
        ("none", torch.bfloat16),
        ("int8", torch.float32),
        ("int8-dynamic", torch.bfloat16),
        ("fp8", torch.bfloat16),
    ],
)
@pytest.mark.parametrize("cache", [0.0, 0.9])
@pytest.mark.parametrize("with_lora", [False, True])
def test_every_strategy_gives_the_same_bits(
    model: Path, low_rank: Path, cache: float, with_lora: bool, quantize: str, dtype: torch.dtype
) -> None:
    lora = low_rank if with_lora else None
    held, staged, streamed = (latents(model, nets, cache, lora, dtype, quantize) for nets in STRATEGIES)
    assert torch.equal(held, staged)
    assert torch.equal(held, streamed)
    if with_lora:
        assert not torch.equal(held, latents(model, "held", cache, None, dtype, quantize))
    if quantize != "none" and not cache:
        exact = latents(model, "held", cache, lora, dtype)
        assert 0 < relative(held, exact) < 0.05


@pytest.mark.skipif(not can_compile("cpu"), reason="needs a C++ compiler")
def test_compiled_code_goes_with_all_of_them(model: Path, low_rank: Path) -> None:
    held, streamed = (
        latents(model, nets, 0.9, low_rank, torch.float32, "int8", compiled=True)
        for nets in ("held", "streamed")
    )
    assert torch.equal(held, streamed)
    eager = latents(model, "held", 0.9, low_rank, torch.float32, "int8")
    assert not torch.equal(held, eager)
    assert relative(held, eager) < 1e-4


@pytest.mark.parametrize("backend", ["blocks", "flash2", "sage"])
def test_every_backend_of_attention_goes_with_strategies_caches_loras_and_eight_bits(
    model: Path, low_rank: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = in_eight_bits if backend == "sage" else right
    asked = [] if backend == "blocks" else provide(monkeypatch, backend, kernel)

    def made(nets: str, attention: str) -> Tensor:
        return latents(model, nets, 0.9, low_rank, torch.float32, "int8", attention=attention)

    held, streamed = (made(nets, backend) for nets in ("held", "streamed"))
    assert torch.equal(held, streamed)
    assert bool(asked) == (backend != "blocks")
    off = relative(held, made("held", "sdpa"))
    assert 1e-4 < off < 0.1 if backend == "sage" else off < 1e-4


@pytest.mark.skipif(not can_compile("cpu"), reason="needs a C++ compiler")
def test_backends_of_attention_go_with_compiled_code_as_it_says(
    model: Path, low_rank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, "flash2", right)
    compiled = latents(model, "held", 0.9, low_rank, torch.float32, compiled=True, attention="flash2")
    eager = latents(model, "held", 0.9, low_rank, torch.float32, attention="flash2")
    assert relative(compiled, eager) < 1e-4
    with pytest.raises(BadRequest, match=r"--attention flex and --compile do not go together.*leave one out"):
        latents(model, "held", 0.0, None, torch.float32, compiled=True, attention="flex")


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="needs a C++ compiler")
def test_flex_goes_with_strategies_caches_loras_and_eight_bits(model: Path, low_rank: Path) -> None:
    flex = latents(model, "streamed", 0.9, low_rank, torch.float32, "int8", attention="flex")
    assert relative(flex, latents(model, "held", 0.9, low_rank, torch.float32, "int8")) < 1e-4


@pytest.mark.parametrize(
    ("quantize", "compiled"),
    [
        ("none", False),
        pytest.param(
            "int8", True, marks=pytest.mark.skipif(not can_compile("cpu"), reason="needs a C++ compiler")
        ),
    ],
)
def test_tea_goes_with_all_of_them(
    model: Path, low_rank: Path, quantize: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(load_card(MODEL).__dict__, "tea", (0.0,))  # this model has no published ones
    run = partial(latents, dtype=torch.float32, quantize=quantize, compiled=compiled, steps=14)
    held, streamed = (run(model, nets, "tea:0.9", low_rank) for nets in ("held", "streamed"))
    assert torch.equal(held, streamed)
    assert relative(held, run(model, "held", 0.0, low_rank)) > 1e-4


def test_a_lora_without_low_rank_is_refused_where_blocks_are_streamed(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "whole.safetensors"
    save_file({"diffusion_model.blocks.1.self_attn.q.diff": torch.randn(128, 128)}, path)
    latents(model, "staged", 0.0, path, torch.float32)
    with pytest.raises(WeightsError, match=r"changes blocks.1.self_attn.q as a whole.*--memory"):
        latents(model, "streamed", 0.0, path, torch.float32)
    with pytest.raises(WeightsError, match=r"changes blocks.1.self_attn.q as a whole.*--quantize"):
        latents(model, "staged", 0.0, path, torch.float32, "int8")


def products(net: WanTransformer) -> int:
    """Operations of a pass."""
    x, words = torch.zeros(1, 16, 2, 8, 8), torch.zeros(1, 4, 12)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net(x, torch.ones(1, 1), net.context(words))
    return counter.get_total_flops()


def test_merged_loras_are_those_beside_the_weights_and_a_step_computes_nothing_for_them(
    model: Path, low_rank: Path
) -> None:
    def made(nets: str, merged: bool, dtype: torch.dtype = torch.float32) -> Tensor:
        return latents(model, nets, 0.0, low_rank, dtype, merged=merged)

    held, beside = made("held", True), made("held", False)
    assert torch.equal(held, made("staged", True))
    assert not torch.equal(held, beside)
    torch.testing.assert_close(held, beside, atol=1e-4, rtol=1e-4)
    assert relative(made("held", True, torch.bfloat16), made("held", False, torch.bfloat16)) < 0.03

    load = partial(WanFolder(model, dtype=torch.float32).transformer, 0)
    plain = products(load())
    request = build_request("a red ball", model=MODEL, loras=[low_rank], merge_lora=True)
    loras = loras_for(0, request, ())
    assert products(merged(load, loras)) == plain
    net = load()
    take_off = adapted(net, loras)
    assert products(net) > plain
    take_off()
    assert products(net) == plain


def test_what_was_merged_for_one_clip_is_not_in_the_next(model: Path, low_rank: Path) -> None:
    runner = WanRunner(load_card(MODEL), WanFolder(model, dtype=torch.float32), {}, Strategy(nets="held"))
    run = partial(latents, model, "held", 0.0, dtype=torch.float32)
    first = run(lora=low_rank, merged=True, runner=runner)
    assert len(runner._held) == 3  # the text encoder and two experts
    plain = run(lora=None, runner=runner)
    assert len(runner._held) == 3
    assert torch.equal(plain, run(lora=None))
    assert torch.equal(first, run(lora=low_rank, merged=True, runner=runner))


@pytest.mark.skipif(not can_compile("cpu"), reason="needs a C++ compiler")
def test_merged_loras_go_with_caches_and_compiled_code(model: Path, low_rank: Path) -> None:
    run = partial(latents, model, "held", 0.9, low_rank, torch.float32, merged=True)
    assert relative(run(compiled=True), run(compiled=False)) < 1e-4


def test_merging_is_refused_where_there_is_nothing_to_merge_with_the_reason(
    model: Path, low_rank: Path
) -> None:
    run = partial(latents, model, cache=0.0, dtype=torch.float32, merged=True)
    with pytest.raises(BadRequest, match=r"--merge-lora and blocks that .*leave --merge-lora out"):
        run(nets="streamed", lora=low_rank)
    with pytest.raises(BadRequest, match=r"--merge-lora and --quantize do not go together.*leave one out"):
        run(nets="held", lora=low_rank, quantize="int8")
    with pytest.raises(BadRequest, match=r"--merge-lora has nothing to merge.*--lora"):
        run(nets="held", lora=None)
    with pytest.raises(BadRequest, match="'pocket' takes no --merge-lora"):
        build_request("a red ball", merge_lora=True)
