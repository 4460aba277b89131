"""What can be asked for together: each pair works, to the same bits whatever the strategy, or is refused with the reason.

Which pairs are refused is enumerated in `tests/spec/test_compositions.py`; several processes are in `test_parallel.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from filmwright.engine.build_request import build_request
from filmwright.engine.compiled import can_compile
from filmwright.engine.proofs import relative
from filmwright.engine.wan_runner import WanRunner
from filmwright.spec.errors import WeightsError
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
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
    cache: float,
    lora: Path | None,
    dtype: torch.dtype,
    quantize: str = "none",
    compiled: bool = False,
) -> Tensor:
    request = build_request(
        "a red ball",
        model=MODEL,
        size=(64, 64),
        num_frames=5,
        steps=6,
        seed=2,
        cache=cache,
        loras=[] if lora is None else [f"{lora}=3"],
        quantize=quantize,
        compile=compiled,
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


def test_a_lora_without_low_rank_is_refused_where_blocks_are_streamed(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "whole.safetensors"
    save_file({"diffusion_model.blocks.1.self_attn.q.diff": torch.randn(128, 128)}, path)
    latents(model, "staged", 0.0, path, torch.float32)
    with pytest.raises(WeightsError, match=r"changes blocks.1.self_attn.q as a whole.*--memory"):
        latents(model, "streamed", 0.0, path, torch.float32)
    with pytest.raises(WeightsError, match=r"changes blocks.1.self_attn.q as a whole.*--quantize"):
        latents(model, "staged", 0.0, path, torch.float32, "int8")
