"""Wan from a local folder in the layout of diffusers: transformers, VAE, text encoder, and CLIP where there is one.

    model_index.json    boundary_ratio (two experts), expand_timesteps (the first latent frame is given clean)
    transformer/        and transformer_2/: config.json and safetensors, whole or in shards; either layout of names
    vae/                the same
    text_encoder/       UMT5, and tokenizer/; see `weights.wan_text`
    image_encoder/      CLIP and image_processor/, through transformers

Nothing but safetensors is read; a parameter that is missing or left over is an error that names it. What is asked for
in eight bits (`mode`, a `spec.request.Quantize`) is read into them row by row: the linear layers of the blocks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from filmwright.models.quantized import linear_weights, quantize_layers
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE, WanVAEConfig
from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.card import WAN, ModelCard, load_card
from filmwright.weights.pretrained import pretrained, transformers_library
from filmwright.weights.quantized_file import quantized_bytes, read_running
from filmwright.weights.tensor_file import TensorPlace, tensor_places
from filmwright.weights.wan import WAN_SIZES, to_own_names, vae_to_own_names, wan_config_of
from filmwright.weights.wan_text import WanTextFiles

__all__ = ["WanEye", "WanFolder", "running_dtype", "wan_names"]

_PRECISE = re.compile(r"^time_embedding\.|modulation$|norm3\.")  # kept in fp32, as Wan's authors do


class WanEye:
    """CLIP's vision tower as Wan uses it."""

    def __init__(self, tower: nn.Module, look: Any) -> None:
        self.tower, self.look = tower, look

    @torch.inference_mode()
    def __call__(self, pictures: list[Any]) -> Tensor:
        """CLIP's tokens [1, n*m, d] of PIL pictures: of the last layer but one."""
        pixels = self.look(images=pictures, return_tensors="pt")["pixel_values"]
        first = next(self.tower.parameters())
        found: Tensor = self.tower(
            pixels.to(first.device, first.dtype), output_hidden_states=True
        ).hidden_states[-2]
        return found.flatten(0, 1)[None]


class WanFolder:
    """A variant's folder, read as far as its headers; each net is loaded when it is asked for."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
        vae_dtype: torch.dtype | None = None,
    ) -> None:
        """The VAE runs in `vae_dtype`, or in `dtype` if that is not given.

        Raises:
            WeightsError: a file is missing or damaged, or holds other parameters than the net.
        """
        index = _json(folder / "model_index.json")
        self.folder, self.device, self.dtype, self.vae_dtype = folder, device, dtype, vae_dtype or dtype
        self.boundary = None if index.get("boundary_ratio") is None else float(index["boundary_ratio"])
        self.first_frame_is_given = bool(index.get("expand_timesteps"))
        names = ("transformer", "transformer_2")[: 1 if self.boundary is None else 2]
        self.expert_places = [_places(folder / name, to_own_names) for name in names]
        self.configs = [
            _config(folder / name, {k: v.shape for k, v in places.items()})
            for name, places in zip(names, self.expert_places, strict=True)
        ]
        self.linear: list[frozenset[str]] = []  # weights that can be in eight bits, an expert
        for config, name, places in zip(self.configs, names, self.expert_places, strict=True):
            with torch.device("meta"):
                net = WanTransformer(config)
                _check_shapes(net, places, folder / name)
                self.linear.append(linear_weights(net.blocks, "blocks."))
        self.text = WanTextFiles(
            _places(folder / "text_encoder"),
            _json(folder / "text_encoder" / "config.json"),
            folder / "tokenizer",
            device,
            dtype,
        )
        self.vae_places = _places(folder / "vae", vae_to_own_names)
        self.vae_config = _vae_config(folder / "vae")

    @property
    def has_eye(self) -> bool:
        """Whether the transformers look at a picture through CLIP."""
        return self.configs[0].image_dim is not None

    def transformer(self, index: int = 0, mode: str = "none") -> WanTransformer:
        """Expert `index`, from the noisiest levels down, with all its weights."""
        net = self._empty(index, mode)
        _fill(net, self.expert_places[index], self.device, self.dtype, self.linear[index], mode)
        return net

    def transformer_shell(self, index: int = 0, mode: str = "none") -> WanTransformer:
        """Expert `index` with all weights but those of its blocks, which stay on the meta device."""
        net = self._empty(index, mode)
        outside = {k: v for k, v in self.expert_places[index].items() if not k.startswith("blocks.")}
        _fill(net, outside, self.device, self.dtype)
        return net

    def _empty(self, index: int, mode: str) -> WanTransformer:
        with torch.device("meta"):
            net = WanTransformer(self.configs[index])
            if mode != "none":
                quantize_layers(net.blocks, mode)
        return net

    def block(self, index: int, block: int, mode: str = "none") -> dict[str, Tensor]:
        """The weights of one block of expert `index`, by their names within it, on the host, as they are to run."""
        head = f"blocks.{block}."
        places = {k: p for k, p in self.expert_places[index].items() if k.startswith(head)}
        read = read_running(places, _dtypes(places, self.dtype), self.linear[index], mode)
        return {k.removeprefix(head): tensor for k, tensor in read}

    def vae(self) -> WanVAE:
        """The VAE."""
        with torch.device("meta"):
            net = WanVAE(self.vae_config)
        _check_shapes(net, self.vae_places, self.folder / "vae")
        _fill(net, self.vae_places, self.device, self.vae_dtype)
        return net

    def eye(self) -> WanEye:
        """CLIP's vision tower.

        Raises:
            WeightsError: this variant has none.
        """
        if not self.has_eye:
            raise WeightsError("this variant of Wan has no image encoder")
        library = transformers_library()
        tower = pretrained(library.CLIPVisionModel, self.folder / "image_encoder", dtype=self.dtype)
        look = pretrained(library.CLIPImageProcessor, self.folder / "image_processor")
        return WanEye(tower.to(self.device), look)

    def sizes(self, mode: str = "none") -> dict[str, int]:
        """Bytes as they run: text, eye, transformer, transformer_2, vae; and of one block: block, text_block."""
        found = {"text": self.text.bytes(mode=mode), "text_block": self.text.bytes("block.0.", mode=mode)}
        if self.has_eye:
            found["eye"] = _plain_bytes(_places(self.folder / "image_encoder"), self.dtype)
        names = ("transformer", "transformer_2")
        for name, places, linear in zip(names, self.expert_places, self.linear, strict=False):
            found[name] = _bytes(places, self.dtype, linear, mode)
        found["vae"] = _bytes(self.vae_places, self.vae_dtype)
        first = {k: v for k, v in self.expert_places[0].items() if k.startswith("blocks.0.")}
        found["block"] = _bytes(first, self.dtype, self.linear[0], mode)
        return found


def running_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """What a transformer's parameter runs in: `dtype`, but fp32 where Wan's authors keep it."""
    return torch.float32 if _PRECISE.search(name) else dtype


def wan_names(folder: Path, *, any_size: bool = False) -> tuple[str, ...]:
    """The models that a folder may be, by its nets' shapes and its index; several where these are the same.

    `any_size` looks at the kinds of layers alone, not at widths and depth.

    Raises:
        WeightsError: it is no Wan model, or none that is known; the message says what was found.
    """
    index = _json(folder / "model_index.json")
    places = _places(folder / "transformer", to_own_names)
    config = _config(folder / "transformer", {k: v.shape for k, v in places.items()})
    found = [name for name in WAN if _fits(load_card(name), config, index, any_size=any_size)]
    if not found:
        sizes = ", ".join(f"{k} {v}" for k, v in vars(config).items() if v is not None)
        experts = f"boundary {index.get('boundary_ratio')}, expand_timesteps {index.get('expand_timesteps')}"
        raise WeightsError(f"{folder} is a Wan transformer of no known variant: {sizes}, {experts}")
    return tuple(found)


def _fits(card: ModelCard, config: WanConfig, index: dict[str, Any], *, any_size: bool) -> bool:
    known = WAN_SIZES[card.variant or card.name]
    if any_size:
        same = ("in_channels", "out_channels")
        alike = all(getattr(known, k) == getattr(config, k) for k in same)
        alike &= (known.image_dim is None) == (config.image_dim is None)
        alike &= (known.image_tokens is None) == (config.image_tokens is None)
    else:
        alike = known == config
    given = card.pictures == "first_or_none"
    return (
        alike
        and index.get("boundary_ratio") == card.boundary
        and bool(index.get("expand_timesteps")) == given
    )


def _config(folder: Path, shapes: dict[str, tuple[int, ...]]) -> WanConfig:
    """The sizes of a transformer: from its shapes, and the heads, which no shape tells, from its config.json."""
    config = wan_config_of(shapes)
    told = _json(folder / "config.json")
    return replace(config, heads=int(told.get("num_attention_heads", told.get("num_heads", config.heads))))


def _places(
    folder: Path, rename: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
) -> dict[str, TensorPlace]:
    """Where all tensors of a net's folder lie, under Wan's names; nothing is loaded."""
    return rename(tensor_places(_paths(folder)))


def _vae_config(folder: Path) -> WanVAEConfig:
    told = _json(folder / "config.json")
    base = WAN22_VAE if told.get("is_residual") else WAN21_VAE
    return replace(
        base,
        width=int(told.get("base_dim", base.width)),
        decoder_width=int(told.get("decoder_base_dim") or told.get("base_dim", base.decoder_width)),
        mean=tuple(told.get("latents_mean", base.mean)),
        std=tuple(told.get("latents_std", base.std)),
        channels=int(told.get("z_dim", base.channels)),
    )


def _check_shapes(net: nn.Module, places: Mapping[str, TensorPlace], folder: Path) -> None:
    """Raises WeightsError where a folder's tensors are not those of the net."""
    wanted = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    wrong = [f"{k} is missing" for k in wanted.keys() - places.keys()]
    wrong += [f"{k} is left over" for k in places.keys() - wanted.keys()]
    wrong += [
        f"{k} is {list(v.shape)}, not {list(wanted[k])}"
        for k, v in places.items()
        if k in wanted and v.shape != wanted[k]
    ]
    if wrong:
        raise WeightsError(f"{folder} does not hold this net: {listed(wrong)}")


def _fill(
    net: nn.Module,
    places: Mapping[str, TensorPlace],
    device: str,
    dtype: torch.dtype,
    linear: frozenset[str] = frozenset(),
    mode: str = "none",
) -> None:
    """Gives a net on the meta device its parameters, read one by one: no file is mapped, no net is in memory twice."""
    read = read_running(places, _dtypes(places, dtype), linear, mode)
    net.load_state_dict({k: tensor.to(device) for k, tensor in read}, strict=False, assign=True)
    net.eval().requires_grad_(False)


def _dtypes(names: Iterable[str], dtype: torch.dtype) -> dict[str, torch.dtype]:
    return {name: running_dtype(name, dtype) for name in names}


def _bytes(
    places: Mapping[str, TensorPlace],
    dtype: torch.dtype,
    linear: frozenset[str] = frozenset(),
    mode: str = "none",
) -> int:
    return quantized_bytes({k: p.shape for k, p in places.items()}, _dtypes(places, dtype), linear, mode)


def _plain_bytes(places: Mapping[str, TensorPlace], dtype: torch.dtype) -> int:
    return sum(p.count * dtype.itemsize for p in places.values())


def _paths(folder: Path) -> list[Path]:
    """The safetensors of a net's folder: one file, or the shards that an index names."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if indices:
        names = sorted(set(_json(indices[0]).get("weight_map", {}).values()))
        if any(Path(str(n)).name != n for n in names):
            raise WeightsError(f"{indices[0]} names files outside of its folder")
        paths = [folder / str(name) for name in names]
    else:
        paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise WeightsError(
            f"{folder} holds no safetensors: download the model, or convert it from another format"
        )
    return paths


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{path} cannot be read ({reason}): the folder is no whole model") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is no object: the folder is no whole model")
    return found
