"""Several processes make the clip that one makes: guidance on two sides, tokens shared, both, and a run that died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from filmwright.cli.main import run
from filmwright.engine.compiled import can_compile
from filmwright.media.video import probe, read_video
from reference_wan import save

MODEL = "wan2.1-t2v-1.3b"
WORKER = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from filmwright.engine.build_request import build_request
from filmwright.engine.parallel import join, leave
from filmwright.engine.wan_runner import WanRunner
from filmwright.engine.workers import is_first
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
model, out, guidance, nets = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
join("cpu")
name, frames, mode, attention, cache, compiled = sys.argv[5], int(sys.argv[6]), *sys.argv[7:11]
loras, merged = sys.argv[11:12], "merged" in sys.argv[12:]
card = load_card(name)
if cache.startswith("tea"):  # a random net changes more than any that coefficients were published for
    card.__dict__["tea"] = (0.0,)
steps = 4 if cache == "0" else 10
request = build_request("a red ball", model=name, size=(80, 64), num_frames=frames, steps=steps, seed=2, guidance=guidance, quantize=mode, attention=attention, cache=cache, compile=compiled == "True", loras=loras, merge_lora=merged)
runner = WanRunner(card, WanFolder(model, dtype=torch.float32), {}, Strategy(nets=nets))
with torch.inference_mode():
    z = runner.denoise(request, runner.prepare(request), lambda *_: None, lambda net: net).picture
proofs = {k: p for k, p in runner.proofs.items() if not k.startswith(("attention", "cache"))}
assert len(proofs) == request.compile + 2 * (mode != "none"), proofs
assert not any(p["dropped"] for p in proofs.values()), proofs
if is_first():
    save_file({"z": z, "saved": torch.tensor(runner.proofs.get("cache", {}).get("saved", 0.0))}, out)
leave()
"""


ALONE: dict[tuple[Path, tuple[object, ...]], torch.Tensor] = {}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers")
    sizes = {"num_attention_heads": 2, "attention_head_dim": 64, "num_layers": 2}
    return save(MODEL, tmp_path_factory.mktemp("wan") / "model", **sizes)


def denoised(
    model: Path,
    folder: Path,
    count: int,
    guidance: float,
    nets: str = "held",
    name: str = MODEL,
    frames: int = 9,
    mode: str = "none",
    attention: str = "auto",
    cache: str = "0",
    compiled: bool = False,
    lora: Sequence[str] = (),
) -> torch.Tensor:
    asked = (guidance, nets, name, frames, mode, attention, cache, compiled, *lora)
    if (
        count == 1 and (model, asked) in ALONE
    ):  # what one process makes is what many are held to, in several tests
        return ALONE[model, asked]
    script, out = folder / "worker.py", folder / f"{count}-{guidance}-{nets}.safetensors"
    script.write_text(WORKER)
    launch = [sys.executable]
    if count > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*launch, str(script), str(model), str(out), *map(str, asked)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = load_file(out)
    assert (found["saved"] > 0) == (cache != "0")
    if count == 1:
        ALONE[model, asked] = found["z"]
    return found["z"]


@pytest.mark.parametrize(
    ("count", "guidance", "nets", "mode", "attention"),
    [
        (2, 5.0, "held", "none", "auto"),  # a side each
        # 20 tokens a frame, 10 each; so has the next
        pytest.param(2, 1.0, "held", "none", "auto", marks=pytest.mark.slow),
        (2, 1.0, "streamed", "int8", "blocks"),
        (4, 5.0, "held", "none", "auto"),  # two sides, and tokens shared within each
    ],
)
def test_processes_give_the_result_of_one(
    model: Path, tmp_path: Path, count: int, guidance: float, nets: str, mode: str, attention: str
) -> None:
    one = denoised(model, tmp_path, 1, guidance, mode=mode)
    many = denoised(model, tmp_path, count, guidance, nets, mode=mode, attention=attention)
    torch.testing.assert_close(many, one, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def low_rank(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("lora") / "low.safetensors"
    g = torch.Generator().manual_seed(0)
    pair = {"down": torch.randn(2, 128, generator=g), "up": torch.randn(128, 2, generator=g)}
    save_file({f"diffusion_model.blocks.1.self_attn.q.lora_{k}.weight": v for k, v in pair.items()}, path)
    return str(path)


@pytest.mark.parametrize(
    ("guidance", "nets", "mode", "merged"),
    [
        (1.0, "streamed", "int8", False),  # beside weights that are read block by block, tokens shared
        (5.0, "held", "none", True),
    ],
)
def test_processes_have_the_loras_of_one(
    model: Path, tmp_path: Path, low_rank: str, guidance: float, nets: str, mode: str, merged: bool
) -> None:
    lora = (low_rank, *(["merged"] if merged else []))
    one = denoised(model, tmp_path, 1, guidance, mode=mode, lora=lora)
    two = denoised(model, tmp_path, 2, guidance, nets, mode=mode, lora=lora)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(one, denoised(model, tmp_path, 1, guidance, mode=mode), atol=1e-2)


@pytest.mark.skipif(not can_compile("cpu"), reason="needs a C++ compiler")
@pytest.mark.parametrize("with_lora", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_processes_compile_what_one_computes(
    model: Path, tmp_path: Path, low_rank: str, with_lora: bool
) -> None:
    """A side each: processes that share tokens are refused, which `tests/spec/test_compositions.py` holds."""
    lora = [low_rank] if with_lora else []
    one = denoised(model, tmp_path, 1, 5.0, lora=lora)
    two = denoised(model, tmp_path, 2, 5.0, lora=lora, compiled=True)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cache", [pytest.param("0.7", marks=pytest.mark.slow), "tea:0.5"])
def test_processes_that_share_tokens_save_the_same_passes(model: Path, tmp_path: Path, cache: str) -> None:
    one = denoised(model, tmp_path, 1, 1.0, cache=cache)
    two = denoised(model, tmp_path, 2, 1.0, cache=cache)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(one, denoised(model, tmp_path, 1, 1.0), atol=1e-2)


def test_processes_share_the_past_of_a_clip_made_chunk_by_chunk(model: Path, tmp_path: Path) -> None:
    name, frames = "self-forcing-t2v-1.3b", 33
    one = denoised(model, tmp_path, 1, 1.0, name=name, frames=frames)
    two = denoised(model, tmp_path, 2, 1.0, name=name, frames=frames)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-4)


def test_two_processes_write_one_file(model: Path, tmp_path: Path) -> None:
    shot = [
        "generate",
        "a red ball",
        "--model",
        MODEL,
        "--weights",
        str(model),
        "--size",
        "64x64",
        "--frames",
        "5",
    ]
    shot += ["--steps", "3", "--seed", "4", "--device", "cpu", "--json"]

    def made(name: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "filmwright.cli", *shot, "-o", str(tmp_path / name), *more]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # with others, sums in bf16 round otherwise
        return subprocess.run(command, env=one_thread, capture_output=True, text=True, check=False)

    assert made("one.mp4").returncode == 0
    many = made("two.mp4", "--gpus", "2")
    assert many.returncode == 0, many.stderr[-2000:]
    (told,) = json.loads(many.stdout)["clips"]
    assert told["path"] == str(tmp_path / "two.mp4")
    assert probe(tmp_path / "two.mp4").codec == "h264"
    a, b = (read_video(tmp_path / name)[0].astype(int) for name in ("one.mp4", "two.mp4"))
    assert (a == b).all()


def test_a_number_that_does_not_divide_the_heads_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "x", "--gpus", "2"]) == 2
    assert "leave --gpus out" in capsys.readouterr().err
    assert run(["generate", "x", "--model", MODEL, "--gpus", "2", "--count", "2"]) == 2
    assert "leave --count out" in capsys.readouterr().err
    assert run(["generate", "x", "--model", MODEL, "--gpus", "0"]) == 2
    assert "--gpus 0" in capsys.readouterr().err
