"""Every Wan variant from a folder to a file on the command line: added, checked, generated, made again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from filmwright.cli.main import run
from filmwright.media.video import probe
from filmwright.weights.card import load_card
from reference_wan import VARIANTS, save

pytest.importorskip("diffusers")
PICTURES = {
    "wan2.1-i2v-14b-480p": ["--image"],
    "wan2.1-flf2v-14b": ["--image", "--last-image"],
    "wan2.2-i2v-a14b": ["--image"],
    "wan2.2-ti2v-5b": ["--image"],
}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILMWRIGHT_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(  # the 5B makes its own two sizes alone; tests/engine holds it to diffusers at small ones
    "name", [pytest.param(name, marks=pytest.mark.slow) if "5b" in name else name for name in VARIANTS]
)
def test_from_a_folder_to_a_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(name, tmp_path / "model")
    assert run(["models", "add", str(folder), "--as", name, "--any-size", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == name
    size = "1280x704" if load_card(name).only_native else "64x64"
    pictures = []
    for index, option in enumerate(PICTURES.get(name, [])):
        picture = tmp_path / f"{index}.png"
        pixels = np.random.default_rng(index).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(picture)
        pictures += [option, str(picture)]
    clip, again = tmp_path / "clip.mp4", tmp_path / "again.mp4"
    words = [
        "generate",
        "a red ball",
        "--model",
        name,
        "--size",
        size,
        "--frames",
        "5",
        "--steps",
        "2",
        "--seed",
        "4",
    ]
    assert run([*words, *pictures, "-o", str(clip), "--json"]) == 0, capsys.readouterr()
    told = json.loads(clip.with_suffix(".json").read_text())
    assert len(told["weights"]) >= 3
    assert probe(clip).codec == "h264"
    assert run(["generate", "--from", str(clip.with_suffix(".json")), "-o", str(again), "--json"]) == 0
    assert json.loads(again.with_suffix(".json").read_text())["frames_digest"] == told["frames_digest"]


def test_loras_change_a_clip_and_belong_to_its_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save("wan2.2-t2v-a14b", tmp_path / "model")
    assert run(["models", "add", str(folder), "--any-size", "--as", "wan2.2-t2v-a14b"]) == 0
    down, up = torch.randn(2, 128), torch.randn(128, 2)
    layer = "transformer.blocks.0.attn1.to_q"
    style, odd = tmp_path / "style.safetensors", tmp_path / "odd.safetensors"
    save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, style)
    save_file({"transformer.blocks.7.attn1.to_q.lora_A.weight": down}, odd)
    words = [
        "generate", "a red ball", "--model", "wan2.2-t2v-a14b", "--size", "64x64", "--frames", "5", "--steps", "8", "--seed", "4",
    ]  # fmt: skip

    def digest(name: str, *loras: str) -> str:
        clip = tmp_path / name
        options = [part for lora in loras for part in ("--lora", lora)]
        assert run([*words, *options, "-o", str(clip), "--json"]) == 0, capsys.readouterr()
        return str(json.loads(clip.with_suffix(".json").read_text())["frames_digest"])

    plain, styled = digest("a.mp4"), digest("b.mp4", f"{style}=0.5")
    assert styled != plain
    assert digest("c.mp4") == plain, "the LoRA came off again"
    assert digest("d.mp4", f"{style}=0.25", f"{style}=0.25") != plain
    assert digest("e.mp4", f"{style}=0.5@high") not in (plain, styled)
    again = tmp_path / "again.mp4"
    assert run(["generate", "--from", str(tmp_path / "b.json"), "-o", str(again), "--json"]) == 0
    assert json.loads(again.with_suffix(".json").read_text())["frames_digest"] == styled
    capsys.readouterr()

    def said(*arguments: str) -> str:
        assert run([*arguments, "-o", str(tmp_path / "no.mp4")]) == 2
        return capsys.readouterr().err

    assert "blocks.7.attn1.to_q" in said(*words, "--lora", str(odd))
    assert "is not a file" in said(*words, "--lora", "nowhere.safetensors")
    assert "style.ckpt is a pickle (.ckpt)" in said(*words, "--lora", "style.ckpt=0.5")
    assert "not understood" in said(*words, "--lora", "style.txt")
    assert "out of range" in said(*words, "--lora", f"{style}=11")
    assert "takes no LoRA" in said("generate", "a red ball", "--lora", str(style))
    assert "no high-noise expert" in said(
        "generate", "x", "--model", "wan2.1-t2v-1.3b", "--lora", f"{style}=1@high"
    )
    save_file({f"{layer}.lora_A.weight": down * 2, f"{layer}.lora_B.weight": up}, style)
    assert "has changed" in said("generate", "--from", str(tmp_path / "b.json"))
    assert not (tmp_path / "no.mp4").exists()


def test_what_is_missing_unknown_or_changed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert run(arguments) == 2
        return capsys.readouterr().err

    assert "not on this machine" in said(
        "generate", "x", "--model", "wan2.1-t2v-1.3b", "-o", str(tmp_path / "a.mp4")
    )
    folder = save("wan2.1-t2v-1.3b", tmp_path / "model")
    assert "no known variant" in said("models", "add", str(folder))
    assert "wan2.1-t2v-1.3b, wan2.1-t2v-14b" in said("models", "add", str(folder), "--any-size")
    assert "may be" in said("models", "add", str(folder), "--any-size", "--as", "wan2.2-ti2v-5b")
    assert "comes with the package" in said("models", "add", str(folder), "--as", "pocket")
    for name in ("nowhere", "nowhere.gguf", "nowhere.pth"):
        assert "does not exist" in said("models", "add", str(tmp_path / name))
    (tmp_path / "there.gguf").write_bytes(b"GGUF")
    assert "is GGUF, which is not supported" in said("models", "add", str(tmp_path / "there.gguf"))
    assert run(["models", "add", str(folder), "--any-size", "--as", "wan2.1-t2v-1.3b"]) == 0
    capsys.readouterr()
    assert run(["models", "--json"]) == 0
    rows = {row["name"]: row["here"] for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["wan2.1-t2v-1.3b"]
    assert not rows["wan2.1-t2v-14b"]
    weights = next((folder / "vae").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-8])
    words = (
        "generate",
        "x",
        "--model",
        "wan2.1-t2v-1.3b",
        "--size",
        "64x64",
        "--frames",
        "5",
        "--steps",
        "1",
    )
    assert "has changed since the model was added" in said(*words, "-o", str(tmp_path / "a.mp4"))
    assert not (tmp_path / "a.mp4").exists()


def test_pictures_that_a_variant_is_not_made_for_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "first.png"
    Image.new("RGB", (64, 64), "red").save(picture)

    def said(*arguments: str) -> str:
        assert run(["generate", "x", *arguments]) == 2
        return capsys.readouterr().err

    assert "takes no keyframe: it takes words alone" in said(
        "--model", "wan2.1-t2v-1.3b", "--image", str(picture)
    )
    assert "needs a first picture (--image)" in said("--model", "wan2.1-i2v-14b-480p")
    assert "--last-image" in said("--model", "wan2.1-flf2v-14b", "--image", str(picture))
    assert "first picture or none" in said("--model", "wan2.2-ti2v-5b", "--last-image", str(picture))
    assert "takes no camera" in said("--model", "wan2.1-t2v-1.3b", "--camera", "push-in")
