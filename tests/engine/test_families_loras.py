"""LoRAs on the families that run through diffusers: the pipeline with merged weights, whatever the strategy."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from filmwright.engine.build_request import build_request
from filmwright.engine.diffusers_runner import DiffusersRunner
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.diffusers_folder import DiffusersFolder
from reference_families import save_family

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = ("hunyuanvideo", "hunyuanvideo-1.5-480p", "mochi-1", "ltx-video", "ltx-2")
ADAPTED = ("to_q.", "to_out.0.", "ff.net.2.", "proj_out.", "proj_mlp.", "norm1.linear.")
RANK = 2


def folder_of(path: Path) -> DiffusersFolder:
    return DiffusersFolder(path, device="cpu", dtype=torch.float32, vae_dtype=torch.float32)


def latents(name: str, folder: Path, nets: str, loras: list[str] | None) -> Tensor:
    request = build_request(
        "a red ball rolls", model=name, size=(64, 64), steps=2, seed=7, loras=loras,
        num_frames=13 if name == "mochi-1" else 9,
    )  # fmt: skip
    runner = DiffusersRunner(load_card(name), folder_of(folder), {}, Strategy(nets=nets))  # type: ignore[arg-type]
    with torch.inference_mode():
        prepared = runner.prepare(request)
        made, plain = (
            runner.denoise(r, prepared, lambda *_: None, lambda denoise: denoise).picture
            for r in (request, request.model_copy(update={"loras": ()}))
        )
    assert torch.equal(made, plain) == (not loras), "what was put beside a net is taken off again"
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_lora_is_the_pipeline_with_merged_weights(name: str, tmp_path: Path) -> None:
    folder, merged = tmp_path / "model", tmp_path / "merged"
    for path in (folder, merged):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            save_family(name, path)
    (weights,) = (merged / "transformer").glob("*.safetensors")
    tensors = load_file(weights)
    assert all(
        torch.equal(t, load_file(folder / "transformer" / weights.name)[k]) for k, t in tensors.items()
    )
    file: dict[str, Tensor] = {}
    for key in [k for k in tensors if k.endswith("weight") and any(part in k for part in ADAPTED)]:
        stem = f"transformer.{key.removesuffix('.weight')}"
        down, up = torch.randn(RANK, tensors[key].shape[1]), torch.randn(tensors[key].shape[0], RANK)
        file |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
        tensors[key] = tensors[key] + 0.5 * up @ down
    assert len(file) > 8
    save_file(tensors, weights, metadata={"format": "pt"})
    save_file(file, tmp_path / "style.safetensors")
    loras = [f"{tmp_path / 'style.safetensors'}=0.5"]
    held, staged, streamed = (latents(name, folder, nets, loras) for nets in ("held", "staged", "streamed"))
    assert torch.equal(held, staged)
    assert torch.equal(held, streamed)
    wanted = latents(name, merged, "held", None)
    assert not torch.allclose(wanted, latents(name, folder, "held", None), rtol=0.05, atol=0.05)
    torch.testing.assert_close(held, wanted, rtol=1e-4, atol=1e-4)
