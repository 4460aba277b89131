"""A model that runs through diffusers as it is published, without its files: for plans before anything is downloaded.

`outlines/NAME.json` holds what the configs in a model's folder say of its nets, and where that was read. Tokenizers are
stand-ins of one word, padded to the same length; the nets that read them are the published ones.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from filmwright.spec.errors import WeightsError
from filmwright.weights.diffusers_folder import DiffusersFolder, quiet
from filmwright.weights.pretrained import transformers_library

__all__ = ["DiffusersSketch"]

SHARD = 5_000_000_000  # bytes: how pipelines are cut into files when they are published
CHAT = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


class DiffusersSketch(DiffusersFolder):
    """What `engine.families_plan` asks of a `DiffusersFolder`, from the published configs."""

    def __init__(self, model: str, *, device: str, dtype: torch.dtype, vae_dtype: torch.dtype) -> None:
        """As `DiffusersFolder`, of the model of this name.

        Raises:
            WeightsError: its outline is missing or damaged.
        """
        place = files("filmwright.weights").joinpath(f"outlines/{model}.json")
        try:
            self.told = place.read_text(encoding="utf-8")
            told = json.loads(self.told)
            self.configs: dict[str, tuple[str, dict[str, Any]]] = told["nets"] | told["plain"]
            self.tokens: dict[str, int] = told["tokens"]
            kinds = {name: kind for name, (kind, _) in self.configs.items()}
            index = (
                {"_class_name": told["pipeline"]}
                | kinds
                | dict.fromkeys(self.tokens, "PreTrainedTokenizerFast")
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"the outline of model {model!r} is missing or damaged: install filmwright anew"
            ) from error
        super().__init__(Path(model), device=device, dtype=dtype, vae_dtype=vae_dtype, index=index)

    def largest_file(self, name: str) -> int:
        """Bytes of the largest file of a net, about."""
        return min(sum(p.nbytes for p in self.shell(name).parameters()), SHARD)

    def streams(self, name: str) -> bool:
        """Whether a net's blocks can be read one by one."""
        return bool(self.blocks(name))

    def _statistics(self, name: str) -> dict[str, Tensor]:  # noqa: ARG002
        return {}  # they decide no size

    def _built(self, name: str) -> Any:
        kind, config = self._class(name), self.configs[name][1]
        return kind(kind.config_class(**config)) if self._is_transformers(name) else kind.from_config(config)

    def _made(self, name: str) -> Any:
        if name in self.tokens:
            return _tokenizer(self.tokens[name])
        kind, config = self._class(name), self.configs[name][1]
        with quiet():
            return kind(**config) if self._is_transformers(name) else kind.from_config(config)

    def _is_transformers(self, name: str) -> bool:
        return self.parts[name][0] == "transformers"


def _tokenizer(length: int) -> Any:
    """Makes `length` tokens of any prompt, where it is asked to pad them."""
    transformers = transformers_library()
    import tokenizers

    marks = {"unk_token": "[UNK]", "pad_token": "[PAD]", "eos_token": "[EOS]"}
    words = {mark: index for index, mark in enumerate(marks.values())}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token=marks["unk_token"]))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=length, **marks)
    tokenizer.chat_template = CHAT
    return tokenizer
