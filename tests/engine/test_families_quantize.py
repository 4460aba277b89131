"""Eight bits for the families that run through diffusers: near the exact clip, proved, and dropped where they are not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from filmwright.engine.build_request import build_request
from filmwright.engine.diffusers_runner import DiffusersRunner
from filmwright.engine.plan import plan_for
from filmwright.engine.proofs import TOO_FAR, relative
from filmwright.models.quantized import QuantizedLinear
from filmwright.spec.errors import BadRequest, DoesNotFit
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.diffusers_folder import DiffusersFolder
from reference_families import save_family

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = ("hunyuanvideo", "hunyuanvideo-1.5-480p", "mochi-1", "ltx-video", "ltx-2")


def folder_of(name: str, path: Path) -> DiffusersFolder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_family(name, path)
    return DiffusersFolder(path, device="cpu", dtype=torch.float32, vae_dtype=torch.float32)


def request_for(name: str, mode: str, **more: Any) -> Any:
    frames = 13 if name == "mochi-1" else 9
    return build_request(
        "a red ball rolls",
        model=name,
        size=(64, 64),
        steps=2,
        seed=7,
        num_frames=frames,
        quantize=mode,
        **more,
    )


def latents(
    name: str, folder: DiffusersFolder, mode: str, nets: Strategy | None = None, **more: Any
) -> tuple[Tensor, DiffusersRunner]:
    request, runner = request_for(name, mode, **more), DiffusersRunner(load_card(name), folder, {}, nets)
    with torch.inference_mode():
        prepared = runner.prepare(request)
        found = runner.denoise(request, prepared, lambda *_: None, lambda denoise: denoise)
    return found.picture, runner


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, "int8") for name in NAMES]
    + [(name, mode) for name in ("ltx-video", "ltx-2") for mode in ("fp8", "int8-dynamic")],
)
def test_eight_bits_are_near_and_say_how_near(name: str, mode: str, tmp_path: Path) -> None:
    folder = folder_of(name, tmp_path)
    exact, _ = latents(name, folder, "none")
    held, runner = latents(name, folder, mode, Strategy(nets="held", exact="held"))
    streamed, _ = latents(name, folder, mode, Strategy(nets="streamed", exact="streamed"))
    assert torch.equal(held, streamed)
    assert 0 < relative(held, exact) < 0.25
    t5 = folder.parts["text_encoder"][1] == "T5EncoderModel"
    reader = [] if t5 and mode == "fp8" else [f"{mode.removesuffix('-dynamic')} of the text encoder"]
    assert list(runner.proofs) == [*reader, f"{mode} of the denoiser"]
    for proof in runner.proofs.values():
        assert 0 < proof["difference"] < TOO_FAR[mode]
        assert not proof["dropped"]
    inside = [m for m in folder.in_mode(mode).net("transformer").modules() if isinstance(m, QuantizedLinear)]
    assert len(inside) > 8
    assert all(m.dynamic == mode.endswith("dynamic") and not m.weight.is_meta for m in inside)
    again, _ = latents(name, folder, "none")
    assert torch.equal(again, exact), "the folder's own weights are as they were"


def test_what_is_too_far_is_dropped_for_the_exact_nets(tmp_path: Path) -> None:
    folder = folder_of("ltx-video", tmp_path)
    exact, _ = latents("ltx-video", folder, "none")
    (path,) = (tmp_path / "transformer").glob("*.safetensors")
    tensors = load_file(path)
    g = torch.Generator().manual_seed(0)
    for key, tensor in tensors.items():
        if key.startswith("transformer_blocks.0") and tensor.ndim == 2:  # a weight in a few is far larger
            tensor[torch.rand(tensor.shape, generator=g) < 0.05] *= 200
    save_file(tensors, path, metadata={"format": "pt"})
    folder = DiffusersFolder(tmp_path, device="cpu", dtype=torch.float32, vae_dtype=torch.float32)
    wanted, _ = latents("ltx-video", folder, "none")
    assert not torch.equal(wanted, exact)
    found, runner = latents("ltx-video", folder, "int8", Strategy(nets="held", exact="streamed"))
    assert runner.proofs["int8 of the denoiser"]["dropped"]
    assert not runner.proofs["int8 of the text encoder"]["dropped"]
    assert relative(found, wanted) < 0.1  # the words are still read in eight bits
    with pytest.raises(
        DoesNotFit, match=r"the denoiser in eight bits is \d+% off.*the exact one does not fit"
    ):
        latents("ltx-video", folder, "int8", Strategy(nets="held"))


def test_a_lora_goes_beside_eight_bits(tmp_path: Path) -> None:
    folder = folder_of("ltx-video", tmp_path)
    stem = "transformer.transformer_blocks.0.attn1.to_q"
    pair = {f"{stem}.lora_A.weight": torch.randn(4, 16), f"{stem}.lora_B.weight": torch.randn(16, 4)}
    save_file(pair, tmp_path / "style.safetensors")
    more = {"loras": [tmp_path / "style.safetensors"]}
    exact, _ = latents("ltx-video", folder, "none", **more)
    plain, _ = latents("ltx-video", folder, "int8", Strategy(exact="held"))
    found, _ = latents("ltx-video", folder, "int8", Strategy(exact="held"), **more)
    assert relative(found, exact) < 0.25 * relative(plain, exact)


def test_a_plan_counts_eight_bits(tmp_path: Path) -> None:
    transformer = {
        "num_attention_heads": 8,
        "attention_head_dim": 64,
        "cross_attention_dim": 512,
        "num_layers": 10,
    }
    save_family("ltx-video", tmp_path, transformer=transformer)
    plans = [
        plan_for(request_for("ltx-video", mode), weights=tmp_path, budget=10**11) for mode in ("none", "int8")
    ]
    net: nn.Module = DiffusersFolder(
        tmp_path, device="cpu", dtype=torch.bfloat16, vae_dtype=torch.bfloat16
    ).shell("transformer")
    blocks = sum(p.nbytes for p in net.transformer_blocks.parameters())  # type: ignore[operator,union-attr]
    saved = plans[0].phases[1].peak - plans[1].phases[1].peak
    assert saved == pytest.approx(blocks / 2, rel=0.2)
    assert (plans[0].strategy.exact, plans[1].strategy.exact) == (None, "held")


def test_those_that_take_none_say_who_does() -> None:
    with pytest.raises(BadRequest, match="'pocket' takes no --quantize: all models but pocket and svd do"):
        build_request("a ball", quantize="int8")
