"""Models added from single files, as ComfyUI publishes them, are the models of the folders that they were split from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from filmwright.cli.main import run
from filmwright.weights.card import load_card
from filmwright.weights.places import place_of, places
from filmwright.weights.wan_folder import WanFolder
from filmwright.weights.wan_parts import parts_of
from reference_wan import EYE, save, split

pytest.importorskip("diffusers")
OPTIONS = {"transformer_2": "--low", "text_encoder": "--text", "vae": "--vae", "image_encoder": "--eye"}


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line of a refusal, which leaves the list as it was."""
    before = places()
    capsys.readouterr()
    assert run(["models", "add", *map(str, arguments), "--any-size"]) == 2
    assert places() == before
    return capsys.readouterr().err.splitlines()[-1]


def options_of(files: dict[str, Path]) -> list[str]:
    return [part for role, path in files.items() if role in OPTIONS for part in (OPTIONS[role], str(path))]


def digest(name: str, clip: Path, *more: str) -> str:
    words = [
        "generate",
        "a red ball",
        "--model",
        name,
        "--size",
        "64x64",
        "--frames",
        "5",
        "--steps",
        "4",
        "--seed",
        "4",
    ]
    assert run([*words, *more, "-o", str(clip), "--json"]) == 0
    return str(json.loads(clip.with_suffix(".json").read_text())["frames_digest"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """A small model as a folder, and as files."""
    where = tmp_path_factory.mktemp("small")
    folder = save("wan2.1-t2v-1.3b", where / "wan")
    return folder, split(folder, where / "files")


@pytest.mark.parametrize("name", ["wan2.1-t2v-1.3b", "wan2.2-t2v-a14b", "wan2.1-i2v-14b-480p"])
def test_single_files_make_the_frames_of_the_folder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures: list[str] = []
    sizes: dict[str, object] = {}
    if "i2v" in name:
        pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "first.png")
        pictures, sizes = ["--image", str(tmp_path / "first.png")], {"eye": EYE, "image_dim": 80}
    folder = save(name, tmp_path / "wan", **sizes)  # type: ignore[arg-type]
    files = split(folder, tmp_path / "files", prefix="" if "i2v" in name else "model.diffusion_model.")
    assert run(["models", "add", str(folder), "--as", name, "--any-size"]) == 0
    wanted = digest(name, tmp_path / "a.mp4", *pictures)
    add = [
        "models",
        "add",
        str(files["transformer"]),
        *options_of(files),
        "--tokenizer",
        str(folder / "tokenizer"),
    ]
    capsys.readouterr()
    assert run([*add, "--as", name, "--any-size", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parts"] == {role: str(path) for role, path in files.items()} | {
        "tokenizer": str(folder / "tokenizer")
    }
    assert digest(name, tmp_path / "b.mp4", *pictures) == wanted
    sidecar = json.loads((tmp_path / "b.json").read_text())
    assert set(sidecar["weights"]) == {f"{role}/{path.name}" for role, path in files.items()}
    assert run(["plan", "--model", name, "--size", "64x64", "--frames", "5", *pictures, "--json"]) == 0
    one = load_file(files["vae"])
    save_file({k: v + 1 for k, v in one.items()}, files["vae"])
    assert run(["generate", "x", "--model", name, *pictures, "-o", str(tmp_path / "c.mp4")]) == 2
    assert "vae.safetensors has changed since the model was added" in capsys.readouterr().err


def test_a_model_that_is_here_lends_what_a_transformer_lacks(
    small: tuple[Path, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, files = small
    line = said(capsys, files["transformer"], "--as", "wan2.1-t2v-1.3b")
    assert (
        "a transformer alone, without text_encoder, tokenizer, vae: give --text, --tokenizer, --vae, or --like"
        in line
    )
    assert "not on this machine" in said(capsys, files["transformer"], "--like", "wan2.1-t2v-14b")
    assert "neither a model" in said(capsys, files["transformer"], "--like", "nothing")
    assert run(["models", "add", str(folder), "--as", "wan2.1-t2v-1.3b", "--any-size"]) == 0
    add = [
        "models",
        "add",
        str(files["transformer"]),
        "--like",
        "wan2.1-t2v-1.3b",
        "--as",
        "wan2.1-t2v-14b",
        "--any-size",
    ]
    capsys.readouterr()
    assert run(add) == 0
    assert "hashing" in (err := capsys.readouterr().err)
    assert "model.safetensors" not in err, "what is known is not hashed again"
    parts = place_of("wan2.1-t2v-14b").parts
    assert parts["vae"] == folder / "vae"
    assert parts["tokenizer"] == folder / "tokenizer"
    wanted = digest("wan2.1-t2v-1.3b", tmp_path / "a.mp4")
    assert digest("wan2.1-t2v-14b", tmp_path / "b.mp4") == wanted
    assert run(["models", "show", "wan2.1-t2v-14b"]) == 0
    assert f"vae: {folder / 'vae'}" in capsys.readouterr().out


def test_wans_own_repository_is_a_transformer_and_pickles(
    small: tuple[Path, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, files = small
    own = tmp_path / "own"
    own.mkdir()
    tensors = {
        k.removeprefix("model.diffusion_model."): v for k, v in load_file(files["transformer"]).items()
    }
    save_file(tensors, own / "diffusion_pytorch_model.safetensors")
    (own / "config.json").write_text(json.dumps({"model_type": "t2v", "num_heads": 1, "dim": 128}))
    (own / "Wan2.1_VAE.pth").write_bytes(b"x")
    line = said(capsys, own, "--as", "wan2.1-t2v-1.3b")
    assert "(Wan2.1_VAE.pth beside it are pickles, which are not read)" in line
    assert "is a pickle (.pth)" in said(
        capsys, own, "--vae", own / "Wan2.1_VAE.pth", "--as", "wan2.1-t2v-1.3b"
    )
    assert "is a pickle (.pth)" in said(capsys, own / "Wan2.1_VAE.pth")
    assert (
        run(["models", "add", str(own), "--like", str(folder), "--as", "wan2.1-t2v-1.3b", "--any-size"]) == 0
    )
    assert set(place_of("wan2.1-t2v-1.3b").files) >= {"transformer/diffusion_pytorch_model.safetensors"}
    (own / "diffusion_pytorch_model.safetensors").unlink()
    assert "holds pickles (Wan2.1_VAE.pth)" in said(capsys, own)


def test_what_is_no_part_of_the_model_is_said_to_be(
    small: tuple[Path, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, files = small
    net, tokenizer = files["transformer"], ["--tokenizer", str(folder / "tokenizer")]
    name = ["--as", "wan2.1-t2v-1.3b"]
    line = said(capsys, files["vae"], *name)
    assert "is a Wan VAE, not a Wan transformer: give it with --vae" in line
    line = said(capsys, net, *tokenizer, "--text", files["vae"], "--vae", files["vae"], *name)
    assert "is a Wan VAE, not UMT5's encoder, which --text is for" in line
    odd = tmp_path / "odd.safetensors"
    save_file({f"double_blocks.{i}.img_mod.lin.weight": torch.zeros(2) for i in range(5)}, odd)
    line = said(capsys, odd)
    assert "holds 5 tensors of no known net (double_blocks.0.img_mod.lin.weight, double_blocks.1" in line
    assert "is no folder with a tokenizer.json" in said(capsys, net, "--tokenizer", tmp_path, *name)
    assert "none.safetensors does not exist: name a model" in said(capsys, tmp_path / "none.safetensors")
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    assert "is GGUF, which is not supported" in said(capsys, tmp_path / "x.gguf")
    (tmp_path / "empty").mkdir()
    assert "holds no safetensors and no model_index.json" in said(capsys, tmp_path / "empty")
    assert "holds safetensors in files and no model_index.json" in said(capsys, folder.parent)
    assert "is a whole model" in said(capsys, folder, "--vae", files["vae"])
    wide = save("wan2.1-t2v-1.3b", tmp_path / "wide", text={"d_model": 16})
    line = said(capsys, net, "--like", wide, *name)
    assert "has 16 features, the transformer takes 12" in line
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(net.read_bytes()[:-1000])
    assert "truncated" in said(capsys, cut, "--like", folder, *name)


def test_one_of_two_experts_asks_for_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save("wan2.2-i2v-a14b", tmp_path / "wan")
    files = split(folder, tmp_path / "files")
    assert "is one of two experts" in said(capsys, files["transformer"], "--like", folder)
    add = [
        "models",
        "add",
        str(files["transformer"]),
        "--low",
        str(files["transformer_2"]),
        "--like",
        str(folder),
    ]
    assert run([*add, "--any-size"]) == 2, "what was distilled from it has the same nets"
    assert "lightx2v-i2v-a14b: say which" in capsys.readouterr().err
    assert run([*add, "--any-size", "--as", "wan2.2-i2v-a14b"]) == 0
    place = place_of("wan2.2-i2v-a14b")
    assert WanFolder(parts_of(place, load_card("wan2.2-i2v-a14b"))).boundary == 0.9


def test_eight_bits_are_read_as_the_numbers_that_they_stand_for(
    small: tuple[Path, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, files = small
    plain = {k.removeprefix("model.diffusion_model."): v for k, v in load_file(files["transformer"]).items()}
    scaled, meant = {}, {}
    for name, tensor in plain.items():
        if name.startswith("blocks.") and name.endswith((".q.weight", "ffn.0.weight")):
            factor = tensor.abs().max() / 448
            eight = (tensor / factor).to(torch.float8_e4m3fn)
            scaled |= {name: eight, name.replace(".weight", ".scale_weight"): factor}
            scaled[name.replace(".weight", ".scale_input")] = torch.tensor(3.0)
            meant[name] = eight.float() * factor
        else:
            scaled[name] = meant[name] = tensor
    old, new, true = (tmp_path / f"{k}.safetensors" for k in ("old", "new", "true"))
    save_file({**scaled, "scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}, old)
    save_file(
        {
            f"model.diffusion_model.{k.replace('scale_weight', 'weight_scale').replace('scale_input', 'input_scale')}": v
            for k, v in scaled.items()
        },
        new,
    )
    save_file(meant, true)
    loaded = []
    for path in (old, new, true):
        assert (
            run(["models", "add", str(path), "--like", str(folder), "--as", "wan2.1-t2v-1.3b", "--any-size"])
            == 0
        )
        parts = parts_of(place_of("wan2.1-t2v-1.3b"), load_card("wan2.1-t2v-1.3b"))
        files_of = WanFolder(parts, dtype=torch.bfloat16)
        loaded.append(files_of.transformer().state_dict())
        block = files_of.block(0, 0)
        assert all(torch.equal(block[k], loaded[-1][f"blocks.0.{k}"]) for k in block)
    for found in loaded[:2]:
        assert all(torch.equal(found[k], loaded[2][k]) for k in loaded[2])
    assert not all(torch.equal(loaded[2][k], plain[k].to(loaded[2][k].dtype)) for k in plain), (
        "eight bits are coarse"
    )

    rows = tmp_path / "rows.safetensors"
    layer = "blocks.0.self_attn.q"
    save_file({**plain, f"{layer}.scale_weight": torch.ones(128)}, rows)
    assert f"({layer}.scale_weight are more than a factor a tensor)" in said(capsys, rows, "--like", folder)
    save_file({**plain, f"{layer}.weight": torch.zeros(128, 128, dtype=torch.int8)}, rows)
    assert "hold whole numbers" in said(capsys, rows, "--like", folder)
    save_file({**plain, "blocks.0.nothing.scale_weight": torch.tensor(1.0)}, rows)
    assert "are factors of no weight" in said(capsys, rows, "--like", folder)
    save_file({**plain, f"{layer}.scale_weight": torch.tensor(2.0)}, rows)
    assert "not in eight bits" in said(capsys, rows, "--like", folder)


def test_a_folder_that_is_not_whole_is_refused(
    small: tuple[Path, dict[str, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save("wan2.1-t2v-1.3b", tmp_path / "wan", dtype=torch.bfloat16)
    name = ["--as", "wan2.1-t2v-1.3b"]
    for net in ("vae", "text_encoder", "transformer"):
        path = next((folder / net).glob("*.safetensors"))
        whole = path.read_bytes()
        path.write_bytes(whole[:-8])
        assert "truncated" in said(capsys, folder, *name)
        path.write_bytes(whole)
    tensors = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    shards = {k: "a.safetensors" if "block" in k else "b.safetensors" for k in tensors}
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    save_file(
        {k: v for k, v in tensors.items() if shards[k] == "a.safetensors"}, index.with_name("a.safetensors")
    )
    assert "holds 1 of the 2 files that its index names, b.safetensors is missing" in said(
        capsys, folder, *name
    )
