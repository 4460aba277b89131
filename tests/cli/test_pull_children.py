"""Models that are published as LoRA files over another: a pull refuses them, and what it says to do makes them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from filmwright.cli.main import run
from filmwright.spec.errors import WeightsError
from filmwright.weights import pulling
from filmwright.weights.card import CARDS, load_card
from filmwright.weights.places import place_of, places
from hub_server import HubServer
from reference_wan import save

pytest.importorskip("diffusers")
OVER_A_BASE = [name for name in CARDS if load_card(name).hub_lora]
SHOT = ["--size", "64x64", "--frames", "5", "--seed", "4", "--json"]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a refusal."""
    capsys.readouterr()
    assert run(list(arguments)) == 2
    out, error = capsys.readouterr()
    assert not out
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("name", OVER_A_BASE)
def test_a_pull_says_how_it_is_made_and_asks_nobody(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = load_card(name)
    assert card.base in CARDS
    line = said(capsys, "models", "pull", name)
    assert card.hub_lora in line  # type: ignore[operator]
    assert f"filmwright models pull {card.base}," in line
    assert f"add {pulling.default_folder(card.base or '')} --as {name} --lora FILE" in line
    assert ("@high" in line, "@low" in line) == (card.boundary is not None,) * 2
    with pytest.raises(WeightsError, match=re.escape(line.partition(": it is made")[2].strip())):
        place_of(name)
    assert run(["models", "show", name]) == 0
    shown = capsys.readouterr().out
    assert f"models pull {card.base}," in shown
    assert f"models pull {name}" not in shown
    assert not places()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "base"), [("lightx2v-t2v-14b", "wan2.1-t2v-1.3b"), ("lightx2v-t2v-a14b", None)]
)
def test_what_a_pull_says_makes_the_model(
    name: str,
    base: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = load_card(load_card(name).base or "")
    assert card.hub is not None
    assert card.revision is not None
    published = save(base or card.name, tmp_path / "published")
    layer = "diffusion_model.blocks.0.self_attn.q"
    for file in ("a", "b"):
        pair = {
            f"{layer}.lora_down.weight": torch.randn(2, 128),
            f"{layer}.lora_up.weight": torch.randn(128, 2),
        }
        save_file(pair, tmp_path / f"{file}.safetensors")
    line = said(capsys, "models", "pull", name)
    pull, add = (m[1].split() for m in re.finditer(r"filmwright (models (?:pull|add)[^,\n]*)", line))
    with HubServer(published, card.hub, card.revision) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert run(pull) == 0
    files = iter(("a", "b"))
    add = [
        re.sub("^FILE", str(tmp_path / f"{next(files)}.safetensors"), word) if "FILE" in word else word
        for word in add
    ]
    assert run([*add, "--any-size"]) == 0
    assert len(place_of(name).loras) == (2 if card.boundary else 1)
    clip = tmp_path / "a.mp4"
    assert run(["generate", "a red ball", "--model", name, *SHOT, "-o", str(clip)]) == 0
    weights = json.loads(clip.with_suffix(".json").read_text())["weights"]
    assert any(key.startswith("lora a.safetensors") for key in weights)

    assert "models pull" not in said(capsys, "models", "pull", name), "its base is here already"
    line = said(capsys, "models", "remove", card.name, "--delete")
    assert f"{name} uses files of {card.name!r}: remove it first" in line
    assert place_of(name).check()
    assert run(["models", "remove", name]) == 0
    assert run(["models", "remove", card.name, "--delete"]) == 0
    assert not pulling.default_folder(card.name).exists()


def test_a_lora_in_a_pulled_folder_keeps_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pull's folder is not deleted under a model that has its LoRA there, wherever its other files are."""
    folder = save("wan2.1-t2v-1.3b", tmp_path / "model")
    pulled = save("wan2.1-t2v-1.3b", pulling.default_folder("wan2.1-t2v-1.3b"))
    names = {str(p.relative_to(pulled)): p for p in pulled.rglob("*.safetensors")}
    lora = pulled / "lora.safetensors"
    layer = "diffusion_model.blocks.0.self_attn.q"
    pair = {f"{layer}.lora_down.weight": torch.randn(2, 128), f"{layer}.lora_up.weight": torch.randn(128, 2)}
    assert run(["models", "add", str(pulled), "--as", "wan2.1-t2v-1.3b", "--any-size"]) == 0
    place = place_of("wan2.1-t2v-1.3b").model_copy(update={"pulled": True, "revision": "a" * 40})
    record = {"hub": "x/y", "revision": "a" * 40, "files": {k: place.files[k].model_dump() for k in names}}
    (pulled / pulling.RECORD).write_text(json.dumps(record))
    pulling.keep("wan2.1-t2v-1.3b", place)
    save_file(pair, lora)
    add = ["models", "add", str(folder), "--as", "lightx2v-t2v-14b", "--lora", str(lora), "--any-size"]
    assert run(add) == 0
    line = said(capsys, "models", "remove", "wan2.1-t2v-1.3b", "--delete")
    assert "lightx2v-t2v-14b uses files of" in line
    assert lora.exists()
