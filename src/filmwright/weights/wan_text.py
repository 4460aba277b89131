"""The words of Wan from a folder: UMT5's encoder and its tokenizer, held whole or read a block at a time.

text_encoder/   config.json and safetensors
tokenizer/      tokenizer.json; without it, whatever transformers makes of the folder
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from filmwright.models.outline import outline
from filmwright.models.quantized import linear_weights, quantize_layers, weight_only
from filmwright.models.umt5 import UMT5Config, UMT5Encoder
from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.pretrained import pretrained, transformers_library
from filmwright.weights.quantized_file import quantized_bytes, read_running
from filmwright.weights.tensor_file import TensorPlace, read_rows
from filmwright.weights.wan_parts import describe

__all__ = ["WORDS", "WanText", "WanTextFiles", "clean", "empty_encoder", "told_by_shapes"]

WORDS = 512  # tokens a prompt
VECTORS = "embed_tokens.weight"
Tokenize = Callable[[str], list[int]]


class WanText:
    """UMT5 as Wan uses it: prompts cleaned, 512 tokens, features zero where the prompt has ended."""

    def __init__(self, encoder: UMT5Encoder, tokenize: Tokenize, device: str) -> None:
        self.encoder, self.tokenize, self.device = encoder, tokenize, device

    @torch.inference_mode()
    def __call__(self, prompts: list[str]) -> Tensor:
        """Prompts -> features [b, 512, d]; what follows a prompt is not computed, since nothing would see it."""
        rows = []
        for prompt in prompts:
            ids = self.tokenize(clean(prompt))[:WORDS]
            if not ids:  # a tokenizer without a sign of the end
                rows.append(self.encoder.final_layer_norm.weight.new_zeros(1, WORDS, self.encoder.config.dim))
                continue
            features = self.encoder(torch.tensor([ids], device=self.device))
            rows.append(nn.functional.pad(features, (0, 0, 0, WORDS - len(ids))))
        return torch.cat(rows)


def clean(prompt: str) -> str:
    """A prompt with broken encodings and HTML entities mended and single spaces, as the text encoder was trained on."""
    try:
        import ftfy
    except ImportError:
        mended = prompt
    else:
        mended = ftfy.fix_text(prompt)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(mended))).strip()


def empty_encoder(config: UMT5Config, dtype: torch.dtype, mode: str = "none") -> UMT5Encoder:
    """A text encoder without its weights, on the meta device."""
    with outline():
        encoder = UMT5Encoder(config).to(dtype)
        if mode != "none":
            quantize_layers(encoder.block, weight_only(mode))
    return encoder


class WanTextFiles:
    """The files of a text encoder, read as far as their headers.

    Raises:
        WeightsError: they hold another net.
    """

    def __init__(
        self,
        places: Mapping[str, TensorPlace],
        told: Mapping[str, Any],
        tokenizer: Path,
        device: str,
        dtype: torch.dtype,
    ) -> None:
        """`places` of the encoder's tensors, what its config.json has `told`, and the tokenizer's folder."""
        self.places = {
            re.sub(r"^(shared|encoder\.embed_tokens)\.", "embed_tokens.", k).removeprefix("encoder."): p
            for k, p in places.items()
        }
        self.tokenizer, self.device, self.dtype = tokenizer, device, dtype
        self.config = _config(told)
        with outline():
            encoder = UMT5Encoder(self.config)
            wanted = {k: tuple(v.shape) for k, v in encoder.state_dict().items()}
            self.linear = linear_weights(encoder.block, "block.")
        found = {k: p.shape for k, p in self.places.items()}
        if wrong := sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k)):
            raise WeightsError(f"text_encoder does not hold UMT5's encoder: {listed(wrong)}")

    def shell(self, mode: str = "none") -> UMT5Encoder:
        """The encoder without its weights, on the meta device."""
        return empty_encoder(self.config, self.dtype, mode)

    def load(self, mode: str = "none") -> WanText:
        """The encoder with all its weights; the linear layers of its blocks in eight bits where `mode` says so.

        Tokens are never rounded: a prompt has few, and they take no time.
        """
        return self._with(self.shell(mode), self.places, mode)

    def load_outside(self, mode: str = "none") -> WanText:
        """The encoder without its blocks' weights; of the words' vectors it reads those of a prompt."""
        shell = self.shell(mode)
        shell.embed_tokens = _RowsOfFile(self.places[VECTORS], self.device, self.dtype)
        return self._with(
            shell, {k: p for k, p in self.places.items() if not k.startswith("block.") and k != VECTORS}
        )

    def block(self, index: int, mode: str = "none") -> dict[str, Tensor]:
        """The weights of one block by their names within it, on the host."""
        head = f"block.{index}."
        places = {k: p for k, p in self.places.items() if k.startswith(head)}
        return {k.removeprefix(head): tensor for k, tensor in self._read(places, mode)}

    def bytes(self, prefix: str = "", mode: str = "none") -> int:
        """As they run, of all tensors whose names begin so."""
        shapes = {k: p.shape for k, p in self.places.items() if k.startswith(prefix)}
        return quantized_bytes(shapes, dict.fromkeys(shapes, self.dtype), self.linear, mode)

    def _read(self, places: Mapping[str, TensorPlace], mode: str) -> Iterator[tuple[str, Tensor]]:
        return read_running(places, dict.fromkeys(places, self.dtype), self.linear, mode)

    def _with(self, shell: UMT5Encoder, places: Mapping[str, TensorPlace], mode: str = "none") -> WanText:
        placed = {k: tensor.to(self.device) for k, tensor in self._read(places, mode)}
        shell.load_state_dict(placed, strict=False, assign=True)
        return WanText(shell.eval().requires_grad_(False), _tokenizer(self.tokenizer), self.device)


class _RowsOfFile(nn.Module):
    """Word vectors that stay in their file: of a quarter of a million, a prompt needs those of its own words."""

    def __init__(self, place: TensorPlace, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.place, self.device, self.dtype = place, device, dtype

    def forward(self, ids: Tensor) -> Tensor:
        """Words [b, l] -> vectors [b, l, d]."""
        words, at = torch.unique(ids, return_inverse=True)
        return read_rows(self.place, words.tolist(), self.dtype).to(self.device)[at]


def told_by_shapes(path: Path, places: Mapping[str, TensorPlace]) -> dict[str, int]:
    """What a config.json would tell of an encoder in a single file; what no shape tells is UMT5's own default.

    Raises:
        WeightsError: it is no encoder of transformers' or ComfyUI's names.
    """
    block = "encoder.block.0.layer."
    try:
        vocabulary, dim = (places.get("shared.weight") or places["encoder.embed_tokens.weight"]).shape
        buckets, heads = places[f"{block}0.SelfAttention.relative_attention_bias.weight"].shape
        inner = places[f"{block}0.SelfAttention.q.weight"].shape[0]
        ffn = places[f"{block}1.DenseReluDense.wi_0.weight"].shape[0]
    except KeyError as error:
        raise WeightsError(f"{describe(path, places)}, not UMT5's encoder: it has no {error}") from error
    return {
        "vocab_size": vocabulary,
        "d_model": dim,
        "d_kv": inner // heads,
        "d_ff": ffn,
        "num_heads": heads,
        "num_layers": len({k.split(".")[2] for k in places if k.startswith("encoder.block.")}),
        "relative_attention_num_buckets": buckets,
    }


def _config(told: Mapping[str, Any]) -> UMT5Config:
    """From config.json; what it leaves out is UMT5's own default."""
    if told.get("feed_forward_proj", "gated-gelu") != "gated-gelu":
        raise WeightsError(f"text_encoder has {told['feed_forward_proj']!r} layers, which UMT5 has not")
    try:
        return UMT5Config(
            vocabulary=int(told["vocab_size"]),
            dim=int(told["d_model"]),
            head_dim=int(told["d_kv"]),
            heads=int(told["num_heads"]),
            ffn=int(told["d_ff"]),
            layers=int(told["num_layers"]),
            buckets=int(told.get("relative_attention_num_buckets", 32)),
            distance=int(told.get("relative_attention_max_distance", 128)),
            eps=float(told.get("layer_norm_epsilon", 1e-6)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"text_encoder/config.json does not tell {error}: the folder is no whole model"
        ) from error


def _tokenizer(folder: Path) -> Tokenize:
    """Text -> ids, with the sign of the end; `tokenizers` reads it in a tenth of the time that transformers takes."""
    file = folder / "tokenizer.json"
    if file.exists():
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise WeightsError("Wan's words need tokenizers: pip install 'filmwright[open]'") from error
        try:
            fast = Tokenizer.from_file(str(file))
        except Exception as error:
            raise WeightsError(f"{file} cannot be read: {error}") from error
        fast.no_padding()
        fast.enable_truncation(WORDS)
        return lambda text: fast.encode(text).ids
    slow = pretrained(transformers_library().AutoTokenizer, folder)
    return lambda text: slow(text, truncation=True, max_length=WORDS)["input_ids"]
