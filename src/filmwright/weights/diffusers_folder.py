"""Models of the families that run through diffusers, from a local folder as diffusers saves a pipeline.

    model_index.json    _class_name, and of each part the class that it is
    transformer/ unet/ vae/ vocoder/ text_encoder/ image_encoder/ ...       nets: config.json and safetensors
    scheduler/ tokenizer/ feature_extractor/ guider/                        what is no net: JSON

Only the classes named here are made, whatever a folder's index names; nothing is fetched and no code of a folder runs.
A net that a phase does not need stands as a shell: on the meta device, without weights.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from filmwright.models.quantized import linear_weights, quantize_layers, weight_only
from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.card import FAMILIES, ModelCard, load_card
from filmwright.weights.diffusers_blocks import block_names, empty_net, fill_net, matched, stored_names
from filmwright.weights.pretrained import pretrained, transformers_library
from filmwright.weights.quantized_file import read_running
from filmwright.weights.saved import read_object, weight_paths
from filmwright.weights.tensor_file import TensorPlace, read_tensor, tensor_places

__all__ = ["PIPELINES", "DiffusersFolder", "diffusers_library", "family_names", "quiet"]

PIPELINES = {
    "HunyuanVideoPipeline": "hunyuanvideo",
    "HunyuanVideo15Pipeline": "hunyuanvideo-1.5",
    "HunyuanVideo15ImageToVideoPipeline": "hunyuanvideo-1.5",
    "MochiPipeline": "mochi",
    "LTXPipeline": "ltx-video",
    "LTXImageToVideoPipeline": "ltx-video",
    "LTXConditionPipeline": "ltx-video",
    "LTX2Pipeline": "ltx-2",
    "LTX2ImageToVideoPipeline": "ltx-2",
    "StableVideoDiffusionPipeline": "svd",
}
"""Class of a saved pipeline -> family."""
CLASSES = {
    "diffusers": [
        "HunyuanVideoTransformer3DModel",
        "HunyuanVideo15Transformer3DModel",
        "MochiTransformer3DModel",
        "LTXVideoTransformer3DModel",
        "LTX2VideoTransformer3DModel",
        "UNetSpatioTemporalConditionModel",
        "AutoencoderKLHunyuanVideo",
        "AutoencoderKLHunyuanVideo15",
        "AutoencoderKLMochi",
        "AutoencoderKLLTXVideo",
        "AutoencoderKLLTX2Video",
        "AutoencoderKLLTX2Audio",
        "AutoencoderKLTemporalDecoder",
        "FlowMatchEulerDiscreteScheduler",
        "EulerDiscreteScheduler",
        "ClassifierFreeGuidance",
    ],
    "diffusers.pipelines.ltx2": ["LTX2TextConnectors", "LTX2Vocoder", "LTX2VocoderWithBWE"],
    "transformers": [
        "LlamaModel",
        "CLIPTextModel",
        "Qwen2_5_VLTextModel",
        "T5EncoderModel",
        "Gemma3ForConditionalGeneration",
        "SiglipVisionModel",
        "CLIPVisionModelWithProjection",
        "SiglipImageProcessor",
        "SiglipImageProcessorPil",
        "CLIPImageProcessor",
        "CLIPImageProcessorPil",
        "CLIPTokenizer",
        "CLIPTokenizerFast",
        "LlamaTokenizer",
        "LlamaTokenizerFast",
        "T5Tokenizer",
        "T5TokenizerFast",
        "Qwen2Tokenizer",
        "Qwen2TokenizerFast",
        "ByT5Tokenizer",
        "GemmaTokenizer",
        "GemmaTokenizerFast",
        "PreTrainedTokenizerFast",
        "TokenizersBackend",
    ],
}
NETS = {
    "transformer", "unet", "vae", "audio_vae", "vocoder", "text_encoder", "text_encoder_2", "image_encoder",
    "connectors",
}  # fmt: skip
"""Parts that have weights. A pipeline may have others: they are not loaded."""
PLAIN = {"scheduler", "tokenizer", "tokenizer_2", "feature_extractor", "guider"}
SIZES: dict[str, dict[str, Any]] = {
    "hunyuanvideo": {"num_attention_heads": 24, "num_layers": 20, "num_single_layers": 40},
    "hunyuanvideo-1.5": {"num_attention_heads": 16, "num_layers": 54},
    "mochi": {"num_attention_heads": 24, "num_layers": 48},
    "ltx-video": {"num_attention_heads": 32, "num_layers": 28},
    "ltx-2": {"num_attention_heads": 32, "num_layers": 48},
    "svd": {"block_out_channels": [320, 640, 1280, 1280]},
}
"""Of a family's denoiser as published; `--any-size` takes others."""
KINDS: dict[str, dict[str, Any]] = {
    "hunyuanvideo": {"image_condition_type": None, "guidance_embeds": True},
    "hunyuanvideo-1.5-480p": {"target_size": 640, "use_meanflow": False},
    "hunyuanvideo-1.5-720p": {"target_size": 960, "use_meanflow": False},
    "hunyuanvideo-1.5-i2v-480p": {"target_size": 640, "use_meanflow": False},
    "hunyuanvideo-1.5-i2v-720p": {"target_size": 960, "use_meanflow": False},
    "mochi-1": {"in_channels": 12},
    "ltx-video": {"in_channels": 128},
    "ltx-2": {"in_channels": 128},
    "svd": {"num_frames": 14},
    "svd-xt": {"num_frames": 25},
}
"""Of a model's denoiser whatever its size: what tells it from the others of its family."""
STATISTICS = ("latents_mean", "latents_std")  # of a VAE's latents: small, and needed where its net is not


@contextmanager
def quiet() -> Iterator[None]:
    """Within, the libraries' own warnings are not shown: Filmwright says what its user can act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def diffusers_library() -> Any:
    """The module `diffusers`, quiet.

    Raises:
        WeightsError: it is not installed.
    """
    transformers_library()
    for name in ("torchao", "torch.utils._pytree"):  # what they say on import is no matter of the user's
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with quiet():
            import diffusers
    except ImportError as error:
        raise WeightsError("this model needs diffusers: pip install 'filmwright[open]'") from error
    library: Any = diffusers
    library.utils.logging.disable_progress_bar()
    library.utils.logging.set_verbosity_error()
    return library


def family_names(folder: Path, *, any_size: bool = False) -> tuple[str, ...]:
    """The models that a folder may be, by the class of its pipeline and its denoiser's config; at most one.

    `any_size` looks at what tells models of a family apart, not at widths and depth.

    Raises:
        WeightsError: it is none that is known, or a net of it is not in safetensors; the message says what was found.
    """
    index = read_object(folder / "model_index.json")
    pipeline = str(index.get("_class_name"))
    family = PIPELINES[pipeline]
    config = read_object(folder / ("unet" if family == "svd" else "transformer") / "config.json")
    for name in sorted(NETS & index.keys()):
        weight_paths(folder / name)
    shown = "ImageToVideo" in pipeline

    def fits(card: ModelCard) -> bool:
        rules = KINDS[card.name] | ({} if any_size else SIZES[family])
        pictured = family != "hunyuanvideo-1.5" or shown == (card.pictures == "first")
        return card.family == family and pictured and all(config.get(k, v) == v for k, v in rules.items())

    found = tuple(name for name in FAMILIES if fits(load_card(name)))
    distilled = family == "hunyuanvideo-1.5" and _guider_scale(folder) == 1
    if not found or distilled:
        keys = sorted({key for rules in (*SIZES.values(), *KINDS.values()) for key in rules} & config.keys())
        sizes = ", ".join(f"{key} {config[key]}" for key in keys)
        what = "a distilled model, which is not supported" if distilled else "of no known variant"
        raise WeightsError(f"{folder} is a {pipeline} {what}: {sizes}")
    return found


def _guider_scale(folder: Path) -> float | None:
    path = folder / "guider" / "guider_config.json"
    return read_object(path).get("guidance_scale") if path.exists() else None


class DiffusersFolder:
    """A model's folder, read as far as its configs; each net, or block of one, is loaded when it is asked for."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        dtype: torch.dtype,
        vae_dtype: torch.dtype,
        index: dict[str, Any] | None = None,
    ) -> None:
        """VAEs run in `vae_dtype`, all other nets in `dtype`; `index` is in place of the folder's own.

        Weights are exact; see `in_mode`.

        Raises:
            WeightsError: the index cannot be read, or names a class that no family has.
        """
        index = read_object(folder / "model_index.json") if index is None else index
        self.folder, self.device, self.dtype, self.vae_dtype = folder, device, dtype, vae_dtype
        self.pipeline = str(index.get("_class_name"))
        if self.pipeline not in PIPELINES:
            raise WeightsError(f"{folder} is a {self.pipeline}, which is none of {listed(PIPELINES, 20)}")
        self.family = PIPELINES[self.pipeline]
        parts = {name: index[name] for name in (NETS | PLAIN) & index.keys() if index[name] != [None, None]}
        homes = {kind: home for home, kinds in CLASSES.items() for kind in kinds}
        self.parts: dict[str, tuple[str, str]] = {}  # name -> module, class
        for name, told in parts.items():
            kind = told[1] if isinstance(told, list) and len(told) == 2 else told
            if kind not in homes:
                raise WeightsError(f"{folder / name} is a {kind}, which no family of Filmwright's has")
            self.parts[name] = homes[kind], kind
        self.options = {k: v for k, v in index.items() if not (k.startswith("_") or isinstance(v, list))}
        self.quantize = "none"
        self._kept: dict[str, Any] = {}
        self._modes: dict[str, DiffusersFolder] = {"none": self}

    def in_mode(self, quantize: str) -> DiffusersFolder:
        """The same folder, with the blocks of its denoiser and of its large text encoder in eight bits as asked for, a
        `spec.request.Quantize`.
        """
        if quantize not in self._modes:
            light = copy(self)
            light.__dict__ |= {"quantize": quantize, "_kept": {}}
            self._modes[quantize] = light
        return self._modes[quantize]

    def mode_of(self, name: str) -> str:
        """What the blocks of a net are in, a `spec.request.Quantize`."""
        if name == self.denoiser:
            return self.quantize
        # T5 has its tokens made what one of its weights is, which is no type to compute in where that is fp8
        widened = self.parts[name][1] != "T5EncoderModel" or self.quantize.startswith("int8")
        return weight_only(self.quantize) if name == "text_encoder" and widened else "none"

    @property
    def denoiser(self) -> str:
        """The part that denoises."""
        return "unet" if "unet" in self.parts else "transformer"

    @property
    def nets(self) -> list[str]:
        """The parts that have weights."""
        return sorted(NETS & self.parts.keys())

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The parts that have none: tokenizers, scheduler and the like."""
        return {name: self._made(name) for name in sorted(PLAIN & self.parts.keys())}

    def shell(self, name: str) -> nn.Module:
        """A net without weights, in the type that it runs in; of a VAE with its latents' statistics."""
        if name not in self._kept:
            with quiet(), torch.device("meta"):
                net = self._built(name)
            net = self._quantized(name, net.to(self.dtype_of(name)).eval().requires_grad_(False))
            for key, values in self._statistics(name).items():
                net.register_buffer(key, values.to(self.device))
            self._kept[name] = net
        shell: nn.Module = self._kept[name]
        return shell

    def _quantized(self, name: str, net: nn.Module) -> nn.Module:
        """An empty net with its blocks as they run."""
        if (mode := self.mode_of(name)) != "none":
            blocks = block_names(self.parts[name][1], net)
            quantize_layers((net.get_submodule(block) for block in blocks), mode)
        return net

    def _statistics(self, name: str) -> dict[str, Tensor]:
        """Of a VAE's latents, where its files have them."""
        if "vae" not in name:
            return {}
        places = tensor_places(weight_paths(self.folder / name)).items()
        return {key: read_tensor(place, self.dtype_of(name)) for key, place in places if key in STATISTICS}

    def check(self, names: Iterable[str]) -> None:
        """See that the folder has these nets.

        Raises:
            WeightsError: it lacks some.
        """
        if lacking := sorted(set(names) - self.parts.keys()):
            raise WeightsError(
                f"{self.folder} is not whole, it has no {listed(lacking)}: download the model anew"
            )

    def largest_file(self, name: str) -> int:
        """Bytes of the largest file of a net."""
        return max(path.stat().st_size for path in weight_paths(self.folder / name))

    def net(self, name: str) -> nn.Module:
        """A net with its weights, on the device.

        Raises:
            WeightsError: its files are missing or damaged, or hold another net.
        """
        weight_paths(self.folder / name)
        if self.streams(
            name
        ):  # in the same way, whole or not: the last bits of sums may hang on where tensors lie
            return self._read(name)
        loaded: nn.Module = self._loaded(name, self.dtype_of(name))
        return loaded.to(self.device)

    def _read(self, name: str, but: Iterable[str] = ()) -> nn.Module:
        with quiet():
            net = self._quantized(name, empty_net(lambda: self._built(name), self.dtype_of(name)))
            fill_net(net, self._places(name), self.device, but=but)
        return net

    def _loaded(self, name: str, dtype: torch.dtype) -> Any:
        path, kind = self.folder / name, self._class(name)
        options = {"dtype" if self.parts[name][0] == "transformers" else "torch_dtype": dtype}
        try:
            with quiet():
                net, told = kind.from_pretrained(
                    str(path),
                    use_safetensors=True,
                    local_files_only=True,
                    output_loading_info=True,
                    **options,
                )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
        if told["missing_keys"]:
            raise WeightsError(f"{path} is not whole, it lacks {listed(map(str, told['missing_keys']))}")
        return net.eval().requires_grad_(False)

    def streams(self, name: str) -> bool:
        """Whether a net's blocks can be read one by one."""
        blocks, places = self.blocks(name), self._places(name)
        shell = self.shell(name)
        return bool(blocks) and all(
            f"{block}.{key}" in places for block in blocks for key in stored_names(shell.get_submodule(block))
        )

    def streamed_bytes(self, name: str) -> int:
        """Bytes of a net of which no more than two blocks are in memory."""
        shell = self.shell(name)
        sizes = [_bytes(shell.get_submodule(block)) for block in self.blocks(name)]
        pairs = [a + b for a, b in zip(sizes, [*sizes[1:], sizes[0]], strict=True)]
        return _bytes(shell) - sum(sizes) + max(pairs)

    def outside(self, name: str) -> tuple[nn.Module, list[nn.Module]]:
        """A net with all weights but those of its blocks, on the device; and the blocks.

        Raises:
            WeightsError: its files are missing or damaged, or hold another net.
        """
        blocks = self.blocks(name)
        net = self._read(name, but=blocks)
        return net, [net.get_submodule(block) for block in blocks]

    def block(self, name: str, index: int) -> dict[str, Tensor]:
        """The weights of a block by their names in it, on the host.

        Raises:
            WeightsError: a file is gone, or was cut since its header was read.
        """
        start = f"{self.blocks(name)[index]}."
        names = [key for key in self._places(name) if key.startswith(start)]
        places = {key.removeprefix(start): self._places(name)[key] for key in names}
        dtypes, mode = dict.fromkeys(places, self.dtype_of(name)), self.mode_of(name)
        linear = linear_weights(self.shell(name).get_submodule(start[:-1]))
        return dict(read_running(places, dtypes, linear, mode))

    def blocks(self, name: str) -> list[str]:
        """A net's blocks in the order in which they compute, by their names in it; none of a small net."""
        return block_names(self.parts[name][1], self.shell(name))

    def _places(self, name: str) -> dict[str, TensorPlace]:
        """Name in the net -> place in the files."""
        key = f"places of {name}"
        if key not in self._kept:
            names = stored_names(self.shell(name))
            self._kept[key] = matched(names, tensor_places(weight_paths(self.folder / name)))
        found: dict[str, TensorPlace] = self._kept[key]
        return found

    def _built(self, name: str) -> Any:
        """A net as its config says, wherever tensors are made now."""
        kind, path = self._class(name), self.folder / name
        if self.parts[name][0] == "transformers":
            return kind(kind.config_class.from_pretrained(str(path), local_files_only=True))
        return kind.from_config(read_object(path / "config.json"))

    def dtype_of(self, name: str) -> torch.dtype:
        """What a net runs in."""
        return self.vae_dtype if "vae" in name else self.dtype

    def _class(self, name: str) -> Any:
        module, kind = self.parts[name]
        library = diffusers_library()
        if module == "transformers":
            return getattr(transformers_library(), kind)
        if module == "diffusers":
            return getattr(library, kind)
        with quiet():
            from diffusers.pipelines import ltx2
        return getattr(ltx2, kind)

    def _made(self, name: str) -> Any:
        """A part without weights."""
        kind, path = self._class(name), str(self.folder / name)
        if self.parts[name][0] == "transformers":
            return pretrained(kind, Path(path))
        try:
            with quiet():
                return kind.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error


def _bytes(net: nn.Module) -> int:
    return sum(p.nbytes for p in net.parameters())
