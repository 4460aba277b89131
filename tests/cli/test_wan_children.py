"""Wan's few-step and streaming children on the command line: from folder to file, again, after a death, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dying import die_at_step
from filmwright.cli.main import run
from filmwright.engine.build_request import build_request
from filmwright.engine.runs import unfinished
from filmwright.engine.wan_runner import WanRunner
from filmwright.media.video import probe
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
from reference_wan import save

pytest.importorskip("diffusers")
SPARSE = ("fastwan2.1-t2v-1.3b",)
SHOT = ["--size", "64x64", "--seed", "4", "--json"]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILMWRIGHT_HOME", str(tmp_path / "home"))


def add(folder: Path, name: str, *loras: Path | str) -> int:
    more = [part for lora in loras for part in ("--lora", str(lora))]
    return run(["models", "add", str(folder), "--as", name, "--any-size", *more])


def generate(clip: Path, *words: str) -> dict[str, object]:
    assert run(["generate", *words, "-o", str(clip), "--json"]) == 0
    told: dict[str, object] = json.loads(clip.with_suffix(".json").read_text())
    return told


@pytest.mark.parametrize(
    ("name", "base", "frames", "steps"),
    [
        ("fastwan2.1-t2v-1.3b", "wan2.1-t2v-1.3b", 9, 3),
        ("lightx2v-t2v-a14b", "wan2.2-t2v-a14b", 9, 4),
        ("self-forcing-t2v-1.3b", "wan2.1-t2v-1.3b", 21, 4),
    ],
)
def test_from_a_folder_to_a_file_and_again(
    name: str, base: str, frames: int, steps: int, tmp_path: Path
) -> None:
    folder = save(base, tmp_path / "model")
    if name in SPARSE:
        weights = next((folder / "transformer").glob("*.safetensors"))
        gate = {"blocks.0.to_gate_compress.weight": torch.randn(128, 128)}
        save_file({**load_file(weights), **gate}, weights)
    assert add(folder, name) == 0
    clip, again = tmp_path / "clip.mp4", tmp_path / "again.mp4"
    told = generate(clip, "a red ball", "--model", name, "--frames", str(frames), *SHOT)
    request = told["request"]
    assert isinstance(request, dict)
    assert (request["steps"], request["guidance"], request["negative"]) == (steps, 1.0, "")
    assert probe(clip).num_frames == frames
    assert ["sparse attention" in said for said in told["warnings"]] == [True] * (name in SPARSE)  # type: ignore[attr-defined]
    assert generate(again, "--from", str(clip.with_suffix(".json")))["frames_digest"] == told["frames_digest"]


def test_a_killed_rollout_is_resumed_to_the_same_frames(tmp_path: Path) -> None:
    folder = save("wan2.1-t2v-1.3b", tmp_path / "model", num_layers=8, ffn_dim=1024)
    assert add(folder, "self-forcing-t2v-1.3b") == 0
    model, size = "self-forcing-t2v-1.3b", "64x64"
    words = ["a red ball", "--model", model, "--frames", "81", "--size", size, "--seed", "4"]
    whole = generate(tmp_path / "whole.mp4", *words)
    victim = tmp_path / "film.mp4"
    die_at_step(6, "a red ball", victim, model=model, num_frames=81, size=size, seed=4)  # in the second chunk
    (died,) = unfinished()
    assert died.steps == 28
    assert died.said == "6 of 28 steps"
    assert run(["resume", str(tmp_path / "film.mp4")]) == 0
    assert json.loads((tmp_path / "film.json").read_text())["frames_digest"] == whole["frames_digest"]


def test_a_lora_over_the_base_makes_the_child(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save("wan2.1-t2v-1.3b", tmp_path / "model")
    lora = tmp_path / "four-steps.safetensors"
    layer = "diffusion_model.blocks.0.self_attn.q"
    pair = {f"{layer}.lora_down.weight": torch.randn(2, 128), f"{layer}.lora_up.weight": torch.randn(128, 2)}
    save_file(pair, lora)
    assert add(folder, "wan2.1-t2v-14b") == 0
    capsys.readouterr()
    assert add(folder, "lightx2v-t2v-14b") == 2
    assert "holds 'wan2.1-t2v-14b' itself" in capsys.readouterr().err
    assert add(folder, "lightx2v-t2v-14b", lora) == 0
    child = generate(
        tmp_path / "child.mp4", "a red ball", "--model", "lightx2v-t2v-14b", "--frames", "5", *SHOT
    )
    assert any(name.startswith("lora four-steps") for name in child["weights"])  # type: ignore[attr-defined]
    by_hand = generate(
        tmp_path / "hand.mp4", "a red ball", "--model", "wan2.1-t2v-14b", "--lora", str(lora), "--steps", "4",
        "--guidance", "1", "--sampler", "renoise", "--frames", "5", *SHOT,
    )  # fmt: skip
    assert by_hand["frames_digest"] == child["frames_digest"]
    without = generate(
        tmp_path / "plain.mp4", "a red ball", "--model", "wan2.1-t2v-14b", "--steps", "4", "--guidance", "1",
        "--sampler", "renoise", "--frames", "5", *SHOT,
    )  # fmt: skip
    assert without["frames_digest"] != child["frames_digest"]
    capsys.readouterr()
    assert add(folder, "self-forcing-t2v-1.3b", lora) == 2
    assert "is not made by a LoRA" in capsys.readouterr().err
    assert add(folder, "lightx2v-t2v-14b", f"{lora}=1@low") == 2
    assert "no low-noise expert" in capsys.readouterr().err
    save_file({k: 2 * v for k, v in pair.items()}, lora)
    assert run(["generate", "--from", str(tmp_path / "child.json"), "-o", str(tmp_path / "no.mp4")]) == 2
    assert "has changed since the model was added" in capsys.readouterr().err
    lora.unlink()
    assert run(["generate", "--from", str(tmp_path / "child.json"), "-o", str(tmp_path / "no.mp4")]) == 2
    assert "is gone since the model was added" in capsys.readouterr().err


def test_no_guidance_is_none_for_both_experts(tmp_path: Path) -> None:
    """The second expert's guidance keeps its proportion to the first one's, but 1 is 1: nobody asks what is not wanted."""
    name = "wan2.2-t2v-a14b"
    card = load_card(name)
    assert card.guidance_low not in (None, card.guidance)
    folder = WanFolder(save(name, tmp_path / "model"), dtype=torch.float32)
    request = build_request(
        "a red ball", model=name, size=(64, 64), num_frames=5, steps=8, guidance=1, seed=1
    )
    runner = WanRunner(card, folder, {})
    with torch.inference_mode():
        prepared = runner.prepare(request)
        assert len(prepared[0]) == 1
        assert runner.denoise(request, prepared, lambda *_: None, lambda net: net).picture.isfinite().all()


def test_what_a_child_lost_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        assert run([*arguments]) == 2
        return capsys.readouterr().err

    def child(*arguments: str, name: str = "self-forcing-t2v-1.3b") -> str:
        return said("generate", "a red ball", "--model", name, *arguments, "-o", str(tmp_path / "no.mp4"))

    assert "was distilled to 4 steps and takes no other number, not 50" in child("--steps", "50")
    assert "distilled to 3 steps" in child("--steps", "4", name="fastwan2.2-ti2v-5b")
    assert "takes no more, not 5" in child("--guidance", "5")
    assert "leave out --negative" in child("--negative", "blur")
    assert "takes no --cache" in child("--cache", "0.1")
    assert "unknown sampler 'unipc': there is renoise" in child("--sampler", "unipc")
    assert "12k-3, whole chunks of 3 latent frames, the nearest is 9 or 21" in child("--frames", "17")
    assert "81 or 93" in child("--frames", "85")
    assert "out of range" in child("--frames", "1001")
    pickle = tmp_path / "self_forcing_dmd.pt"
    pickle.write_bytes(b"")
    add_words = ["models", "add", str(pickle), "--as", "self-forcing-t2v-1.3b"]
    assert "is a pickle" in said(*add_words)
    folder = save("wan2.1-t2v-1.3b", tmp_path / "model")
    told = said("models", "add", str(folder), "--any-size")
    assert "wan2.1-t2v-1.3b" in told
    assert "self-forcing-t2v-1.3b: say which with --as" in told
    assert not (tmp_path / "no.mp4").exists()


def test_seconds_are_rounded_to_whole_chunks() -> None:
    assert [
        build_request("a ball", model="self-forcing-t2v-1.3b", seconds=s).num_frames for s in (0.6, 2, 5, 30)
    ] == [9, 33, 81, 477]
