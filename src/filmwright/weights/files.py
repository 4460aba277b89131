"""Weights in and out: safetensors only, bf16, hash checked, written aside and renamed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from filmwright.spec.errors import WeightsError
from filmwright.weights.whole import check_hash, sha256_of, shipped

__all__ = ["load_net", "read_weights", "sha256_of", "shipped", "write_weights"]


def write_weights(path: Path, tensors: dict[str, Tensor], *, note: dict[str, Any]) -> None:
    """Stores floating-point tensors in bf16 (statistics of one axis in fp32), with a JSON note in the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {
        k: v.detach().cpu().to(torch.bfloat16 if v.ndim > 1 else torch.float32).contiguous()
        for k, v in tensors.items()
    }
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(stored, aside, metadata={"note": json.dumps(note)})
    aside.chmod(0o644)  # safetensors writes for its owner alone, and weights are passed on
    aside.replace(path)


def load_net(net: nn.Module, path: Path, *, sha256: str | None = None, assign: bool = False) -> None:
    """Fills a net from a safetensors file; `assign` keeps the file's dtype.

    Raises:
        WeightsError: the file is missing or damaged, or of another net or size; the first difference is told.
    """
    tensors = read_weights(path, sha256=sha256)
    try:
        net.load_state_dict(tensors, assign=assign)
    except RuntimeError as error:
        first = next((line.strip() for line in str(error).splitlines()[1:]), str(error))
        raise WeightsError(
            f"{path} is not of this net and size ({first[:160]}): give the size that it was trained with"
        ) from error


def read_weights(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        WeightsError: missing, truncated, not safetensors, or not the bytes whose hash is `sha256`.
    """
    check_hash(path, sha256)
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"weights file {path} cannot be read ({error}): it is truncated or not safetensors; write or fetch it anew"
        ) from error
