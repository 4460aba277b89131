"""Single files of the published sizes are known for what they are: files with true headers, and holes for numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch

from filmwright.models.umt5 import UMT5_XXL, UMT5Encoder
from filmwright.models.wan import WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE
from filmwright.spec.errors import WeightsError
from filmwright.weights.card import WAN, load_card
from filmwright.weights.wan import WAN_SIZES
from filmwright.weights.wan_folder import WanFolder, wan_names
from filmwright.weights.wan_parts import WanParts, index_of, net_of

transformers = pytest.importorskip("transformers")
Shapes = dict[str, tuple[int, ...]]


def holes(path: Path, shapes: Mapping[str, tuple[int, ...]], *, prefix: str = "") -> Path:
    """A safetensors file in bf16 whose numbers take no room on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[prefix + name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def shapes_of(net: torch.nn.Module) -> Shapes:
    return {name: tuple(p.shape) for name, p in net.state_dict().items()}


def text_shapes() -> Shapes:
    """UMT5's as transformers names it: its vectors by themselves, all else in an encoder."""
    own = shapes_of(UMT5Encoder(UMT5_XXL))
    return {("shared.weight" if k == "embed_tokens.weight" else f"encoder.{k}"): v for k, v in own.items()}


def eye_shapes() -> Shapes:
    sizes = {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
    }
    config = transformers.CLIPVisionConfig(**sizes, image_size=224, patch_size=14, projection_dim=1024)
    found = shapes_of(transformers.CLIPVisionModel(config))
    return {f"vision_model.{k.removeprefix('vision_model.')}": v for k, v in found.items()} | {
        "visual_projection.weight": (1024, 1280)
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every net that a Wan is made of, at the published size, as ComfyUI has it."""
    where = tmp_path_factory.mktemp("holes")
    with torch.device("meta"):
        found = {
            name: holes(where / f"{name}.safetensors", shapes_of(WanTransformer(config)), prefix=prefix)
            for (name, config), prefix in zip(
                WAN_SIZES.items(),
                ["", "model.diffusion_model.", "diffusion_model.", "", "", "", ""],
                strict=False,
            )
        }
        found["text_encoder"] = holes(where / "umt5.safetensors", text_shapes())
        found["vae 16"] = holes(where / "vae.safetensors", shapes_of(WanVAE(WAN21_VAE)))
        found["vae 48"] = holes(where / "vae2.safetensors", shapes_of(WanVAE(WAN22_VAE)))
        found["image_encoder"] = holes(where / "clip.safetensors", eye_shapes())
    return found


def parts_for(name: str, files: Mapping[str, Path], roles: Iterable[str] = ()) -> WanParts:
    card = load_card(name)
    variant = card.variant or name
    paths = {"transformer": files[variant], **({"transformer_2": files[variant]} if card.boundary else {})}
    paths |= {role: files[role] for role in roles}
    return WanParts(name=name, paths=paths)


@pytest.mark.parametrize("name", [name for name in WAN if (load_card(name).hub or "").startswith("Wan-AI/")])
def test_a_published_transformer_is_known_by_its_shapes(name: str, files: dict[str, Path]) -> None:
    found = [n for n in wan_names(parts_for(name, files)) if (load_card(n).hub or "").startswith("Wan-AI/")]
    alike = {"wan2.1-i2v-14b-480p", "wan2.1-i2v-14b-720p"}
    assert set(found) == (alike if name in alike else {name})


@pytest.mark.parametrize("name", ["wan2.1-i2v-14b-480p", "wan2.2-ti2v-5b"])
def test_published_files_make_a_whole_model(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    card = load_card(name)
    parts = parts_for(name, files, ("text_encoder", "image_encoder"))
    vae = files[f"vae {WAN_SIZES[card.variant or name].out_channels}"]
    whole = {**parts.paths, "vae": vae, "tokenizer": tmp_path}
    folder = WanFolder(WanParts(name=name, paths=whole, index=index_of(card)))
    folder.check()
    assert folder.text.config == UMT5_XXL
    assert folder.vae_config == (WAN22_VAE if name == "wan2.2-ti2v-5b" else WAN21_VAE)
    assert folder.configs == [WAN_SIZES[card.variant or name]]
    other = files["vae 16" if vae == files["vae 48"] else "vae 48"]
    odd = WanFolder(WanParts(name=name, paths={**whole, "vae": other}, index=index_of(card)))
    with pytest.raises(WeightsError, match="the VAE of another Wan"):
        odd.check()


def test_a_net_is_known_by_names_and_nothing_else_is() -> None:
    with torch.device("meta"):
        assert net_of(text_shapes()) == "text_encoder"
        assert net_of(eye_shapes()) == "image_encoder"
        assert net_of(shapes_of(WanVAE(WAN21_VAE))) == "vae"
    assert net_of(["model.diffusion_model.patch_embedding.weight", "model.diffusion_model.head.modulation"])
    assert net_of(["patch_embedding.weight"]) is None
    assert net_of(["shared.weight", "decoder.block.0.layer.0.SelfAttention.q.weight"]) is None
    assert net_of([]) is None
