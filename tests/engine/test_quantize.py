"""Eight-bit weights prove themselves, are dropped where they are far off, and are part of what a clip is made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from filmwright.cli.main import run
from filmwright.engine.build_request import build_request
from filmwright.engine.compiled import check_place
from filmwright.engine.proofs import TOO_FAR
from filmwright.engine.wan_runner import WanRunner
from filmwright.spec.errors import BadRequest, DoesNotFit
from filmwright.spec.plan import Strategy
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
from reference_wan import save

MODEL = "wan2.1-t2v-1.3b"
SHOT = ["a red ball", "--model", MODEL, "--size", "64x64", "--frames", "5", "--steps", "2", "--seed", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers")
    return save(MODEL, tmp_path_factory.mktemp("wan") / "model", num_layers=2)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in which rows of the first block hold one huge weight that meets nothing but zeros: it spoils the scale."""
    pytest.importorskip("diffusers")
    folder = save(MODEL, tmp_path_factory.mktemp("wan") / "hostile", num_layers=2)
    (path,) = (folder / "transformer").glob("*.safetensors")
    weights = load_file(path)
    weights["blocks.0.ffn.net.0.proj.weight"][0] = 0
    weights["blocks.0.ffn.net.0.proj.bias"][0] = -100.0
    weights["blocks.0.ffn.net.2.weight"][:, 0] = 1e4
    save_file(weights, path)
    return folder


def request_for(quantize: str) -> Request:
    return build_request(
        "a red ball", model=MODEL, size=(64, 64), num_frames=5, steps=2, seed=1, quantize=quantize
    )


def made(folder: Path, quantize: str, strategy: Strategy) -> tuple[Tensor, WanRunner]:
    request = request_for(quantize)
    runner = WanRunner(load_card(MODEL), WanFolder(folder, dtype=torch.float32), {}, strategy)
    with torch.inference_mode():
        return runner.denoise(
            request, runner.prepare(request), lambda *_: None, lambda net: net
        ).picture, runner


def test_what_is_far_off_is_dropped_and_the_exact_net_runs(hostile: Path) -> None:
    _, runner = made(hostile, "int8", Strategy(nets="held", exact="held"))
    assert runner.proofs["int8 of the denoiser"]["difference"] > TOO_FAR["int8"]
    assert runner.proofs["int8 of the denoiser"]["dropped"]
    assert not runner.proofs["int8 of the text encoder"]["dropped"]
    net = runner._held["transformer 0 none"]
    assert {p.dtype for p in net.blocks.parameters()} == {torch.float32}
    assert "transformer 0 int8" not in runner._held


def test_the_exact_net_runs_as_it_fits(hostile: Path) -> None:
    held, _ = made(hostile, "int8", Strategy(nets="held", exact="held"))
    streamed, runner = made(hostile, "int8", Strategy(nets="held", exact="streamed"))
    assert torch.equal(held, streamed)
    assert not runner._held
    with pytest.raises(DoesNotFit, match=r"denoiser in eight bits is \d+% off.*does not fit.*--memory"):
        made(hostile, "int8", Strategy(nets="streamed"))


def test_a_warning_says_that_it_was_dropped(hostile: Path, tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    shot = [*SHOT, "--weights", str(hostile), "--quantize", "int8", "--json"]
    assert run(["generate", *shot, "-o", str(clip)]) == 0
    told = json.loads(clip.with_suffix(".json").read_text())
    assert any("int8 of the denoiser was dropped" in said for said in told["warnings"])


def test_the_sidecar_makes_the_same_clip_again(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = [*SHOT, "--weights", str(model), "--json"]
    again = ["generate", "--from", str(tmp_path / "a.json"), "--weights", str(model), "--json", "-o"]
    assert run(["generate", *shot, "--quantize", "fp8", "-o", str(tmp_path / "a.mp4")]) == 0
    assert run([*again, str(tmp_path / "b.mp4")]) == 0
    assert run([*again, str(tmp_path / "c.mp4"), "--quantize", "none"]) == 0
    a, b, c = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "abc")
    capsys.readouterr()
    assert a["request"]["quantize"] == "fp8"
    assert 0 < a["proofs"]["fp8 of the denoiser"]["difference"] < TOO_FAR["fp8"]
    assert not a["proofs"]["fp8 of the denoiser"]["dropped"]
    assert a["frames_digest"] == b["frames_digest"] != c["frames_digest"]
    assert a["request_digest"] == b["request_digest"] != c["request_digest"]
    assert c["proofs"].keys() == {k for k in a["proofs"] if k.startswith("attention")}


def test_a_request_without_eight_bits_has_the_digest_that_it_always_had() -> None:
    request = request_for("none")
    plain = request.model_dump(mode="json")
    for name in (
        "cache",
        "cache_by",
        "quantize",
        "compile",
        "attention",
        "cuda_graphs",
        "loras",
        "sound",
        "guidance_down_to",
        "merge_lora",
        "shift",
        "guidance_low",
    ):
        del plain[name]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert request.digest() == hashlib.sha256(text.encode()).hexdigest()
    others = {"quantize": "int8", "compile": True, "attention": "sdpa", "cuda_graphs": True}
    digests = {request.model_copy(update={k: v}).digest() for k, v in others.items()}
    assert len(digests | {request.digest()}) == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", MODEL, "--quantize", "int4"], "unknown quantization 'int4'"),
        (["--quantize", "int8"], "'pocket' takes no --quantize"),
        (["--compile"], "'pocket' takes no --compile"),
        (["--model", MODEL, "--device", "cpu", "--quantize", "fp8-dynamic"], "this is a CPU: take fp8"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a red ball", *words]) == 2
    error = capsys.readouterr().err
    assert said in error


def test_a_missing_compiler_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    compiled = request_for("none").model_copy(update={"compile": True})
    with pytest.raises(BadRequest, match=r"--compile needs a C\+\+ compiler"):
        check_place(compiled, "cpu")
    monkeypatch.undo()
    with pytest.raises(BadRequest, match="--compile and tokens shared"):
        check_place(compiled.model_copy(update={"guidance": 1.0}), "cpu", 2)
