"""LoRAs of a run on one of diffusers' pipelines: beside the weights of its denoiser, held or streamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from filmwright.spec.request import LoraRef
from filmwright.weights.files import read_weights
from filmwright.weights.lora import Lora, adapt, read_lora
from filmwright.weights.lora_layouts import in_own_names

__all__ = ["adapted"]


def adapted(net: nn.Module, loras: Sequence[LoraRef], device: str, dtype: torch.dtype) -> Callable[[], None]:
    """Puts LoRAs beside a denoiser's weights; returns what takes them off again, to the bit.

    Raises:
        WeightsError: a file is damaged, or does not fit the net.
    """
    read = [(_read(Path(lora.path), net), lora.weight) for lora in loras]
    return adapt(net, read, torch.empty(0, device=device, dtype=dtype))


def _read(path: Path, net: nn.Module) -> Lora:
    return read_lora(path.name, in_own_names(path.name, read_weights(path), net), net, lambda _: None)
