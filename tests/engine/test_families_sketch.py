"""Plans of models that are not on this machine: their outlines are the published nets, and are traced but once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from filmwright.engine import families_plan
from filmwright.engine.build_request import build_request
from filmwright.engine.plan import plan_for
from filmwright.spec.errors import WeightsError
from filmwright.weights import diffusers_sketch
from filmwright.weights.card import FAMILIES, load_card
from filmwright.weights.diffusers_folder import KINDS, PIPELINES, SIZES, DiffusersFolder
from filmwright.weights.diffusers_sketch import DiffusersSketch
from reference_families import save_family

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")
PUBLISHED = {  # millions of parameters, as the models' cards and papers, or their files' sizes, say
    "hunyuanvideo": {"transformer": (12_800, 13_000), "text_encoder": (7_500, 8_000)},
    "hunyuanvideo-1.5-480p": {"transformer": (8_300, 8_350), "text_encoder": (7_000, 7_100)},
    "mochi-1": {"transformer": (10_000, 10_050), "vae": (458, 461), "text_encoder": (4_750, 4_770)},
    "ltx-video": {
        "transformer": (1_900, 2_000),
        "vae": (419, 420),
    },  # its file has 1,676,798,532 bytes in fp32
    "ltx-2": {"transformer": (18_500, 19_500), "text_encoder": (12_000, 12_300)},
    "svd": {"unet": (1_500, 1_550), "vae": (97, 98), "image_encoder": (631, 633)},
}


def sketch(name: str) -> DiffusersSketch:
    return DiffusersSketch(name, device="cpu", dtype=torch.bfloat16, vae_dtype=torch.bfloat16)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_outline_is_what_adding_the_model_would_take(name: str) -> None:
    found, card = sketch(name), load_card(name)
    assert PIPELINES[found.pipeline] == card.family
    config = found.configs[found.denoiser][1]
    rules = KINDS[name] | SIZES[card.family]
    assert {key: config.get(key) for key in rules} == rules
    for part in found.plain.values():
        assert part is not None


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_outline_has_as_many_weights_as_the_model(name: str) -> None:
    found = sketch(name)
    for net, (least, most) in PUBLISHED[name].items():
        count = sum(p.numel() for p in found.shell(net).parameters()) / 1e6
        assert least <= count <= most, (net, count)


def test_a_sketch_of_a_model_needs_what_its_folder_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outline with the configs of a small folder: the very numbers that the folder itself gives."""
    save_family("ltx-video", tmp_path / "model", transformer={"num_layers": 3})
    folder = DiffusersFolder(tmp_path / "model", device="cpu", dtype=torch.bfloat16, vae_dtype=torch.bfloat16)
    kinds = {name: (kind, folder.folder / name / "config.json") for name, (_, kind) in folder.parts.items()}
    told = {
        "pipeline": folder.pipeline,
        "nets": {name: [kinds[name][0], json.loads(kinds[name][1].read_text())] for name in folder.nets},
        "tokens": {"tokenizer": 128},
        "plain": {"scheduler": [kinds["scheduler"][0], dict(folder.plain["scheduler"].config)]},
    }
    (tmp_path / "outlines").mkdir()
    (tmp_path / "outlines" / "ltx-video.json").write_text(json.dumps(told))
    monkeypatch.setattr(diffusers_sketch, "files", lambda _: tmp_path)
    request = build_request("a clip", model="ltx-video", size=(64, 64), num_frames=17, steps=2, seed=0)
    ours, theirs = (families_plan._needs(one, request, 50) for one in (sketch("ltx-video"), folder))
    assert ours.denoise == theirs.denoise
    assert ours.decode == theirs.decode
    assert ours.encode.nets == theirs.encode.nets
    assert ours.streamed == theirs.streamed


def test_plans_before_a_download_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILMWRIGHT_HOME", str(tmp_path))
    picture = tmp_path / "first.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(picture)
    request = build_request(None, model="svd", size=(128, 64), image=picture, seed=0)
    with pytest.raises(WeightsError, match="pull"):
        plan_for(request, budget=10**12)
    first = plan_for(request, budget=10**12, as_published=True)
    assert first.phases[1].peak > 2 * 1_524_000_000  # of bf16 at least
    assert first.seconds is not None
    (kept,) = (tmp_path / "works").glob("needs-*.json")
    families_plan._needs.cache_clear()

    def never(*_: object) -> None:
        raise AssertionError("traced again")

    monkeypatch.setattr(families_plan, "_needs", never)
    again = plan_for(request, budget=10**12, as_published=True)
    assert [phase.peak - again.phases[0].peak for phase in again.phases] == [
        phase.peak - first.phases[0].peak for phase in first.phases
    ]
    kept.write_text("[")  # a damaged file is as none
    with pytest.raises(AssertionError, match="again"):
        plan_for(request, budget=10**12, as_published=True)
