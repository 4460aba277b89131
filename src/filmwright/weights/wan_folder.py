"""Wan from a local folder in the layout of diffusers: transformers, VAE, text encoder, and CLIP where there is one.

    model_index.json    boundary_ratio (two experts), expand_timesteps (the first latent frame is given clean)
    transformer/        and transformer_2/: config.json and safetensors, whole or in shards; either layout of names
    vae/                the same
    text_encoder/       UMT5 and tokenizer/, through transformers
    image_encoder/      CLIP and image_processor/, through transformers

Nothing but safetensors is read; a parameter that is missing or left over is an error that names it.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE
from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.card import WAN, ModelCard, load_card
from filmwright.weights.files import read_weights
from filmwright.weights.wan import WAN_SIZES, to_own_names, vae_to_own_names, wan_config_of

__all__ = ["WanNets", "WanText", "load_wan", "wan_names"]

WORDS = 512  # tokens a prompt
_PRECISE = re.compile(r"^time_embedding\.|modulation$|norm3\.")  # kept in fp32, as Wan's authors do


@dataclass(frozen=True, kw_only=True, eq=False)
class WanNets:
    """The nets of one variant, on the device that they run on."""

    transformers: tuple[WanTransformer, ...]  # from the noisiest levels down
    boundary: float | None  # the lowest level of the first of two transformers
    first_frame_is_given: bool  # as a clean latent frame (5B), not as further channels
    vae: WanVAE
    text: WanText
    eye: nn.Module | None  # CLIP's vision tower
    look: Any | None  # its image processor

    @torch.inference_mode()
    def see(self, pictures: list[Any]) -> Tensor:
        """CLIP's tokens [1, n*m, d] of PIL pictures: of the last layer but one.

        Raises:
            WeightsError: this variant has no CLIP.
        """
        if self.eye is None or self.look is None:
            raise WeightsError("this variant of Wan has no image encoder")
        pixels = self.look(images=pictures, return_tensors="pt")["pixel_values"]
        first = next(self.eye.parameters())
        found: Tensor = self.eye(
            pixels.to(first.device, first.dtype), output_hidden_states=True
        ).hidden_states[-2]
        return found.flatten(0, 1)[None]


class WanText:
    """UMT5 as Wan uses it: prompts cleaned, 512 tokens, features zero where the prompt has ended."""

    def __init__(self, encoder: nn.Module, tokenizer: Any) -> None:
        self.encoder, self.tokenizer = encoder, tokenizer

    @torch.inference_mode()
    def __call__(self, prompts: list[str]) -> Tensor:
        """Prompts -> features [b, 512, d]."""
        tokens = self.tokenizer(
            [clean(p) for p in prompts],
            padding="max_length",
            max_length=WORDS,
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        device = next(self.encoder.parameters()).device
        mask = tokens.attention_mask.to(device)
        features: Tensor = self.encoder(tokens.input_ids.to(device), mask).last_hidden_state
        spoken: Tensor = features * mask[..., None].to(features.dtype)
        return spoken


def clean(prompt: str) -> str:
    """A prompt with broken encodings and HTML entities mended and single spaces, as the text encoder was trained on."""
    try:
        import ftfy
    except ImportError:
        mended = prompt
    else:
        mended = ftfy.fix_text(prompt)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(mended))).strip()


def load_wan(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    vae_dtype: torch.dtype | None = None,
) -> WanNets:
    """Loads a variant; the VAE runs in `vae_dtype`, or in `dtype` if that is not given.

    Raises:
        WeightsError: a file is missing or damaged, or holds other parameters than the net.
    """
    index = _json(folder / "model_index.json")
    transformers = [_transformer(folder / "transformer", device, dtype)]
    boundary = index.get("boundary_ratio")
    if boundary is not None:
        transformers.append(_transformer(folder / "transformer_2", device, dtype))
    eye = look = None
    if transformers[0].config.image_dim is not None:
        library = _library()
        eye = _pretrained(library.CLIPVisionModel, folder / "image_encoder", dtype=dtype).to(device)
        look = _pretrained(library.CLIPImageProcessor, folder / "image_processor")
    return WanNets(
        transformers=tuple(transformers),
        boundary=None if boundary is None else float(boundary),
        first_frame_is_given=bool(index.get("expand_timesteps")),
        vae=_vae(folder / "vae", device, vae_dtype or dtype),
        text=_text(folder, device, dtype),
        eye=eye,
        look=look,
    )


def wan_names(folder: Path, *, any_size: bool = False) -> tuple[str, ...]:
    """The models that a folder may be, by its nets' shapes and its index; several where these are the same.

    `any_size` looks at the kinds of layers alone, not at widths and depth.

    Raises:
        WeightsError: it is no Wan model, or none that is known; the message says what was found.
    """
    index = _json(folder / "model_index.json")
    config = _config(folder / "transformer", _shapes(folder / "transformer"))
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


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a transformer's folder under Wan's names; nothing is loaded."""
    found: dict[str, Tensor] = {}
    for path in _paths(folder):
        try:
            with safe_open(path, framework="pt") as file:
                found |= {
                    key: torch.empty(file.get_slice(key).get_shape(), device="meta")
                    for key in file.keys()  # noqa: SIM118 (not a dict)
                }
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"weights file {path} cannot be read ({error}): download it again") from error
    return {k: tuple(v.shape) for k, v in to_own_names(found).items()}


def _transformer(folder: Path, device: str, dtype: torch.dtype) -> WanTransformer:
    tensors = to_own_names(_tensors(folder))
    config = _config(folder, {k: tuple(v.shape) for k, v in tensors.items()})
    with torch.device("meta"):
        net = WanTransformer(config)
    _fill(net, tensors, folder, device, dtype)
    return net


def _vae(folder: Path, device: str, dtype: torch.dtype) -> WanVAE:
    tensors = vae_to_own_names(_tensors(folder))
    told = _json(folder / "config.json")
    base = WAN22_VAE if told.get("is_residual") else WAN21_VAE
    config = replace(
        base,
        width=int(told.get("base_dim", base.width)),
        decoder_width=int(told.get("decoder_base_dim") or told.get("base_dim", base.decoder_width)),
        mean=tuple(told.get("latents_mean", base.mean)),
        std=tuple(told.get("latents_std", base.std)),
        channels=int(told.get("z_dim", base.channels)),
    )
    with torch.device("meta"):
        net = WanVAE(config)
    _fill(net, tensors, folder, device, dtype)
    return net


def _fill(net: nn.Module, tensors: dict[str, Tensor], folder: Path, device: str, dtype: torch.dtype) -> None:
    """Gives a net on the meta device its parameters."""
    wanted = {k: v.shape for k, v in net.state_dict().items()}
    wrong = [f"{k} is missing" for k in wanted.keys() - tensors.keys()]
    wrong += [f"{k} is left over" for k in tensors.keys() - wanted.keys()]
    wrong += [
        f"{k} is {list(v.shape)}, not {list(wanted[k])}"
        for k, v in tensors.items()
        if k in wanted and v.shape != wanted[k]
    ]
    if wrong:
        raise WeightsError(f"{folder} does not hold this net: {listed(wrong)}")
    placed = {
        k: v.to(device=device, dtype=torch.float32 if _PRECISE.search(k) else dtype)
        for k, v in tensors.items()
    }
    net.load_state_dict(placed, assign=True)
    net.eval().requires_grad_(False)


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


def _tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a net's folder."""
    return {key: tensor for path in _paths(folder) for key, tensor in read_weights(path).items()}


def _text(folder: Path, device: str, dtype: torch.dtype) -> WanText:
    library = _library()
    encoder = _pretrained(library.UMT5EncoderModel, folder / "text_encoder", dtype=dtype).to(device)
    return WanText(encoder, _pretrained(library.AutoTokenizer, folder / "tokenizer"))


def _pretrained(kind: Any, folder: Path, **options: Any) -> Any:
    """One of transformers' own classes from a folder, safetensors only, nothing fetched."""
    if "dtype" in options:
        options["use_safetensors"] = True
    try:
        found = kind.from_pretrained(str(folder), local_files_only=True, **options)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} cannot be loaded: {str(error).splitlines()[0]}") from error
    return found.eval().requires_grad_(False) if isinstance(found, nn.Module) else found


def _library() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise WeightsError("Wan's text encoder needs transformers: pip install 'filmwright[open]'") from error
    library: Any = transformers
    library.utils.logging.disable_progress_bar()  # the engine draws its own
    library.utils.logging.set_verbosity_error()
    return library


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{path} cannot be read ({reason}): the folder is no whole model") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is no object: the folder is no whole model")
    return found
