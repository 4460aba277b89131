"""Blocks of the families' nets, read one by one from their files: the same numbers, and never more than two."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from filmwright.engine.build_request import build_request
from filmwright.engine.devices import fast_dtype
from filmwright.engine.diffusers_runner import DiffusersRunner
from filmwright.engine.journal import Latents
from filmwright.engine.plan import plan_for
from filmwright.spec.errors import DoesNotFit, WeightsError
from filmwright.spec.plan import Strategy, parse_memory
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.diffusers_blocks import matched
from filmwright.weights.diffusers_folder import DiffusersFolder
from filmwright.weights.tensor_file import TensorPlace
from reference_families import save_family

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")
MORE = {  # blocks enough that not all are in memory
    "hunyuanvideo": {"num_layers": 2, "num_single_layers": 2},
    "svd": {},
}
STREAMED = {  # net -> blocks
    "hunyuanvideo": {"text_encoder": 3, "transformer": 4},
    "hunyuanvideo-1.5-i2v-480p": {
        "text_encoder": 3,
        "transformer": 4,
    },  # its other reader is for words in quotes
    "mochi-1": {"text_encoder": 1, "transformer": 4},
    "ltx-video": {"text_encoder": 1, "transformer": 4},
    "ltx-2": {"text_encoder": 1, "transformer": 4},
    "svd": {"unet": 4},
}


def folder_of(name: str, path: Path) -> DiffusersFolder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_family(name, path, transformer=MORE.get(name, {"num_layers": 4}))
    return DiffusersFolder(path, device="cpu", dtype=torch.float32, vae_dtype=torch.float32)


def request_for(name: str, folder: Path) -> Request:
    picture = folder / "first.png"
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)
    card = load_card(name)
    return build_request(
        "a red ball rolls" if card.takes_words else None, model=name, size=(64, 64), steps=2, seed=7,
        num_frames={"mochi-1": 13, "svd": 14}.get(name, 9), image=picture if card.pictures == "first" else None,
    )  # fmt: skip


def run(runner: DiffusersRunner, request: Request) -> tuple[dict[str, Any], Latents]:
    with torch.inference_mode():
        prepared = runner.prepare(request)
        return prepared, runner.denoise(request, prepared, lambda *_: None, lambda denoise: denoise)


@pytest.mark.parametrize("name", STREAMED)
def test_streamed_nets_say_what_whole_ones_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, request = folder_of(name, tmp_path), request_for(name, tmp_path)
    words, whole = run(DiffusersRunner(load_card(name), folder, {}, Strategy(nets="held")), request)

    read: dict[str, list[int]] = {}
    load_block = folder.block

    def block(net: str, index: int) -> dict[str, Tensor]:
        read.setdefault(net, []).append(index)
        return load_block(net, index)

    monkeypatch.setattr(folder, "block", block)
    loaded: list[str] = []
    load_net = folder.net
    monkeypatch.setattr(folder, "net", lambda net: (loaded.append(net), load_net(net))[1])
    again, streamed = run(DiffusersRunner(load_card(name), folder, {}, Strategy(nets="streamed")), request)

    assert again.keys() == words.keys()
    assert all(torch.equal(again[key], words[key]) for key in words)
    assert torch.equal(streamed.picture, whole.picture)
    assert name != "ltx-2" or torch.equal(streamed.sound, whole.sound)  # type: ignore[arg-type]
    assert {net: max(indices) + 1 for net, indices in read.items()} == STREAMED[name]
    assert not read.keys() & set(loaded)
    for net, indices in read.items():  # in turn, none twice a pass
        blocks = STREAMED[name][net]
        assert indices == [i % blocks for i in range(len(indices))]


def test_blocks_come_and_go(tmp_path: Path) -> None:
    from functools import partial

    from filmwright.engine.stream import StreamedBlocks

    folder = folder_of("ltx-video", tmp_path)
    net, blocks = folder.outside("transformer")
    stream = StreamedBlocks(blocks, partial(folder.block, "transformer"), "cpu")
    stream.hook()
    there: list[list[bool]] = []
    for block in blocks:
        block.attn1.register_forward_pre_hook(
            lambda *_: there.append([not p.is_meta for b in blocks for p in list(b.parameters())[:1]])
        )
    hidden, words = torch.randn(1, 8, 128), torch.randn(1, 4, 32)
    with torch.inference_mode():
        net(hidden, words, torch.ones(1), torch.ones(1, 4), num_frames=2, height=2, width=2)
    assert there == [[i == j for j in range(4)] for i in range(4)]
    stream.close()
    with torch.inference_mode(), pytest.raises(NotImplementedError, match="meta"):
        net(hidden, words, torch.ones(1), torch.ones(1, 4), num_frames=2, height=2, width=2)


def test_a_file_that_was_cut_or_is_another_nets_is_refused(tmp_path: Path) -> None:
    folder = folder_of("ltx-video", tmp_path)
    assert folder.streams("transformer")
    path = tmp_path / "transformer" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be read"):
        [folder.block("transformer", index) for index in range(4)]
    with pytest.raises(WeightsError, match="cannot be read"):
        DiffusersFolder(tmp_path, device="cpu", dtype=torch.float32, vae_dtype=torch.float32).streams(
            "transformer"
        )
    save_family("ltx-video", tmp_path / "other", transformer={"num_layers": 4, "num_attention_heads": 4})
    (tmp_path / "other" / "transformer" / "diffusion_pytorch_model.safetensors").replace(path)
    other = DiffusersFolder(tmp_path, device="cpu", dtype=torch.float32, vae_dtype=torch.float32)
    with pytest.raises(WeightsError, match="of another net"):
        other.outside("transformer")


def test_names_that_have_moved_are_found() -> None:
    def place(name: str) -> TensorPlace:
        return TensorPlace(path=Path(name), start=0, dtype=torch.float32, shape=(1,))

    files = [
        "language_model.model.layers.0.self_attn.q_proj.weight",
        "language_model.model.layers.1.self_attn.q_proj.weight",
        "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
        "vision_tower.vision_model.encoder.layers.1.self_attn.q_proj.weight",
        "language_model.model.norm.weight",
        "language_model.model.embed_tokens.weight",
    ]
    names = {
        "model.language_model.layers.0.self_attn.q_proj.weight": files[0],
        "model.language_model.layers.1.self_attn.q_proj.weight": files[1],
        "model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight": files[2],
        "model.vision_tower.vision_model.encoder.layers.1.self_attn.q_proj.weight": files[3],
        "model.language_model.norm.weight": files[4],
        "model.language_model.embed_tokens.weight": files[5],
    }
    found = matched([*names, "lm_head.weight"], {name: place(name) for name in files})
    assert {name: str(at.path) for name, at in found.items()} == names
    bare = matched(["layers.0.mlp.up_proj.weight"], {"model.layers.0.mlp.up_proj.weight": place("x")})
    assert bare.keys() == {"layers.0.mlp.up_proj.weight"}


def test_the_smallest_budget_is_that_of_streaming_and_would_do(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide = {
            "num_attention_heads": 8,
            "attention_head_dim": 64,
            "cross_attention_dim": 512,
            "num_layers": 8,
        }
        save_family("ltx-video", tmp_path, transformer=wide)
    request = request_for("ltx-video", tmp_path)
    with pytest.raises(DoesNotFit) as refused:
        plan_for(request, weights=tmp_path, budget=10**6)
    amount = re.search(r"allow --memory (\d[\w.]*B)", str(refused.value))
    assert amount is not None
    plan = plan_for(request, weights=tmp_path, budget=parse_memory(amount[1]))
    assert plan.strategy.nets == "streamed"
    folder = DiffusersFolder(tmp_path, device="cpu", dtype=torch.float32, vae_dtype=torch.float32)
    net = sum(p.numel() for p in folder.shell("transformer").parameters())
    staged = plan_for(request, weights=tmp_path, budget=plan.budget + 6 * net)
    assert staged.strategy.nets in ("staged", "held")
    saved = staged.phases[1].peak - plan.phases[1].peak
    blocks = net * torch.finfo(fast_dtype("cpu")).bits // 8 * 6 / 8  # six of eight are not there
    assert 0.6 * blocks < saved < 1.5 * blocks
