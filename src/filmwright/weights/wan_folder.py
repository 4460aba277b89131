"""Wan from a local folder in the layout of diffusers: transformers, VAE, text encoder, and CLIP where there is one.

    model_index.json    boundary_ratio (two experts), expand_timesteps (the first latent frame is given clean)
    transformer/        and transformer_2/: config.json and safetensors, whole or in shards; either layout of names
    vae/                the same
    text_encoder/       UMT5, and tokenizer/; see `weights.wan_text`
    image_encoder/      CLIP and image_processor/, through transformers

Each net may also lie on its own, as one file or folder: see `weights.wan_parts`. Nothing but safetensors is read; a
parameter that is missing or left over is an error that names it. What is asked for in eight bits (`mode`, a
`spec.request.Quantize`) is read into them row by row: the linear layers of the blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from filmwright.models.outline import outline
from filmwright.models.quantized import linear_weights, quantize_layers
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE, WanVAEConfig
from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.card import WAN, ModelCard, load_card
from filmwright.weights.quantized_file import quantized_bytes, read_running
from filmwright.weights.saved import read_object
from filmwright.weights.tensor_file import TensorPlace
from filmwright.weights.wan import SPARSE_GATE, WAN_SIZES, to_own_names, vae_to_own_names, wan_config_of
from filmwright.weights.wan_eye import WanEye, eye_places, load_eye
from filmwright.weights.wan_parts import (
    WanParts,
    describe,
    index_of,
    net_of,
    parts_in,
    tensors_of,
)
from filmwright.weights.wan_text import WanTextFiles, told_by_shapes

__all__ = ["HALVES", "Half", "WanFolder", "looks", "running_dtype", "suit", "wan_names"]

Half = Literal["encoder", "decoder"]
HALVES: dict[Half, tuple[str, ...]] = {  # of a VAE, by how the names of their parameters begin
    "encoder": ("encoder.", "conv1."),
    "decoder": ("decoder.", "conv2."),
}

_PRECISE = re.compile(r"^time_embedding\.|modulation$|norm3\.")  # kept in fp32, as Wan's authors do


class WanFolder:
    """A variant's folder, read as far as its headers; each net is loaded when it is asked for."""

    def __init__(
        self,
        folder: Path | WanParts,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
        vae_dtype: torch.dtype | None = None,
    ) -> None:
        """The VAE runs in `vae_dtype`, or in `dtype` if that is not given.

        Raises:
            WeightsError: a file is missing or damaged, or holds other parameters than the net.
        """
        parts = folder if isinstance(folder, WanParts) else parts_in(folder)
        self.parts, self.device, self.dtype, self.vae_dtype = parts, device, dtype, vae_dtype or dtype
        self.boundary, self.first_frame_is_given = parts.boundary, parts.first_frame_is_given
        names = parts.experts
        self.was_sparse = any(SPARSE_GATE in k for k in tensors_of(parts.at(names[0])))
        self.expert_places = [tensors_of(parts.at(name), to_own_names) for name in names]
        self.configs = [
            _config(parts.at(name), {k: v.shape for k, v in places.items()})
            for name, places in zip(names, self.expert_places, strict=True)
        ]
        self.linear: list[frozenset[str]] = []  # weights that can be in eight bits, an expert
        for config, name, places in zip(self.configs, names, self.expert_places, strict=True):
            with outline():
                net = WanTransformer(config)
                _check_shapes(net, places, parts.at(name))
                self.linear.append(linear_weights(net.blocks, "blocks."))
        text = parts.at("text_encoder")
        words = tensors_of(text)
        told = read_object(text / "config.json") if text.is_dir() else told_by_shapes(text, words)
        self.text = WanTextFiles(words, told, parts.at("tokenizer"), device, dtype)
        self.vae_places = tensors_of(parts.at("vae"), vae_to_own_names)
        self.vae_config = _vae_config(parts.at("vae"), {k: v.shape for k, v in self.vae_places.items()})

    def check(self) -> None:
        """See that all parts are whole and belong together; only headers are read.

        Raises:
            WeightsError: one does not; the message says which, and the numbers.
        """
        first = self.configs[0]
        if any(config != first for config in self.configs):
            raise WeightsError(f"the two experts of {self.parts.name} differ in size")
        if first.text_dim != self.text.config.dim:
            raise WeightsError(
                f"{self.parts.at('text_encoder')} has {self.text.config.dim} features, the transformer takes "
                f"{first.text_dim}: it is the text encoder of another model"
            )
        if first.out_channels != self.vae_config.channels:
            raise WeightsError(
                f"{self.parts.at('vae')} has {self.vae_config.channels} channels, the transformer makes "
                f"{first.out_channels}: it is the VAE of another Wan"
            )
        self._check_vae()
        if self.has_eye:
            seen = eye_places(self.parts.at("image_encoder")).get("embeddings.class_embedding")
            if seen is None or seen.shape[0] != first.image_dim:
                found = "no CLIP" if seen is None else f"a CLIP of {seen.shape[0]} features"
                raise WeightsError(
                    f"{self.parts.at('image_encoder')} is {found}, the transformer takes {first.image_dim}"
                )

    def _check_vae(self) -> None:
        with outline():
            _check_shapes(WanVAE(self.vae_config), self.vae_places, self.parts.at("vae"))

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
        with outline():
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

    def vae(self, *halves: Half) -> WanVAE:
        """The VAE, or half of it: the other one stays on the meta device."""
        self._check_vae()
        with outline():
            net = WanVAE(self.vae_config)
        for half in halves or HALVES:
            _fill(net, self._half(half), self.device, self.vae_dtype)
        suit(net, self.device, self.vae_dtype)
        return net

    def _half(self, half: Half) -> dict[str, TensorPlace]:
        return {k: v for k, v in self.vae_places.items() if k.startswith(HALVES[half])}

    def eye(self) -> WanEye:
        """CLIP's vision tower.

        Raises:
            WeightsError: this variant has none.
        """
        if not self.has_eye:
            raise WeightsError("this variant of Wan has no image encoder")
        return load_eye(self.parts, self.device, self.dtype)

    def sizes(self, mode: str = "none") -> dict[str, int]:
        """Bytes as they run: text, eye, transformer, transformer_2, encoder, decoder; a block's: block, text_block."""
        found = {"text": self.text.bytes(mode=mode), "text_block": self.text.bytes("block.0.", mode=mode)}
        if self.has_eye:
            found["eye"] = _plain_bytes(eye_places(self.parts.at("image_encoder")), self.dtype)
        names = ("transformer", "transformer_2")
        for name, places, linear in zip(names, self.expert_places, self.linear, strict=False):
            found[name] = _bytes(places, self.dtype, linear, mode)
        found |= {half: _bytes(self._half(half), self.vae_dtype) for half in HALVES}
        first = {k: v for k, v in self.expert_places[0].items() if k.startswith("blocks.0.")}
        found["block"] = _bytes(first, self.dtype, self.linear[0], mode)
        return found


def running_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """What a transformer's parameter runs in: `dtype`, but fp32 where Wan's authors keep it."""
    return torch.float32 if _PRECISE.search(name) else dtype


def suit(vae: WanVAE, device: str, dtype: torch.dtype) -> bool:
    """Lets a VAE of this dtype convolve in bands where that is best, and says whether it does."""
    bands = device == "cpu" and dtype == torch.float32
    if bands:
        vae.use_bands()
    return bands


def looks(transformer: Path) -> bool:
    """Whether a transformer, a file or a folder, looks at pictures through CLIP."""
    return "img_emb.proj.0.weight" in tensors_of(transformer, to_own_names)


def wan_names(model: Path | WanParts, *, any_size: bool = False) -> tuple[str, ...]:
    """The models that a folder, or parts, may be, by the transformer's shapes, the number of experts and, where there
    is one, the index; several where these are the same. `any_size` looks at the kinds of layers alone, not at widths
    and depth.

    Raises:
        WeightsError: it is no Wan model, or none that is known; the message says what was found.
    """
    parts = model if isinstance(model, WanParts) else parts_in(model)
    path = parts.at("transformer")
    places = tensors_of(path)
    if net_of(places) != "transformer":
        raise WeightsError(f"{describe(path, places)}, not a Wan transformer")
    config = _config(path, {k: v.shape for k, v in to_own_names(places).items()})
    found = [name for name in WAN if _fits(load_card(name), config, parts, any_size=any_size)]
    if not found:
        if parts.index is None and len(parts.experts) == 1:
            two = replace(parts, paths={**parts.paths, "transformer_2": path})
            if any(_fits(load_card(name), config, two, any_size=any_size) for name in WAN):
                raise WeightsError(
                    f"{path} is one of two experts: name that of the noise, and the other with --low"
                )
        sizes = ", ".join(f"{k} {v}" for k, v in vars(config).items() if v is not None)
        experts = "two experts" if len(parts.experts) > 1 else "one transformer"
        if parts.index is not None:
            experts += f", boundary {parts.boundary}, expand_timesteps {parts.first_frame_is_given}"
        raise WeightsError(f"{parts.name} is a Wan transformer of no known variant: {sizes}; {experts}")
    return tuple(found)


def _fits(card: ModelCard, config: WanConfig, parts: WanParts, *, any_size: bool) -> bool:
    known = WAN_SIZES[card.variant or card.name]
    if any_size:
        same = ("in_channels", "out_channels")
        alike = all(getattr(known, k) == getattr(config, k) for k in same)
        alike &= (known.image_dim is None) == (config.image_dim is None)
        alike &= (known.image_tokens is None) == (config.image_tokens is None)
    else:
        alike = known == config
    if parts.index is None:
        return alike and (len(parts.experts) > 1) == (card.boundary is not None)
    told = {"boundary_ratio": parts.boundary, "expand_timesteps": parts.first_frame_is_given}
    return alike and told == index_of(card)


def _config(folder: Path, shapes: dict[str, tuple[int, ...]]) -> WanConfig:
    """The sizes of a transformer: from its shapes, and the heads, which no shape tells, from its config.json."""
    config = wan_config_of(shapes)
    if folder.is_file():
        return config
    told = read_object(folder / "config.json")
    return replace(config, heads=int(told.get("num_attention_heads", told.get("num_heads", config.heads))))


def _vae_config(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> WanVAEConfig:
    """The sizes of a VAE: from its config.json, of a single file from its shapes; its statistics are the published."""
    if path.is_file():
        names = ("conv2.weight", "encoder.conv1.weight", "decoder.conv1.weight")
        if any(name not in shapes for name in names):
            raise WeightsError(f"{describe(path, shapes)}, not a Wan VAE")
        channels, width, deepest = (shapes[name][0] for name in names)
        for base in (WAN21_VAE, WAN22_VAE):
            if base.channels == channels:
                return replace(base, width=width, decoder_width=deepest // base.multipliers[-1])
        raise WeightsError(f"{path} is a VAE of {channels} channels; Wan's have 16 or 48")
    told = read_object(path / "config.json")
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
