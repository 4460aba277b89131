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

from filmwright.engine.build_request import build_request
from filmwright.engine.compiled import can_compile
from filmwright.engine.proofs import relative
from filmwright.engine.wan_runner import WanRunner
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
    )
    runner = WanRunner(load_card(MODEL), WanFolder(model, dtype=dtype), {}, Strategy(nets=nets))
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
