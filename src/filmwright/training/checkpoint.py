"""Running checkpoints: one safetensors file, written aside and renamed, so that `kill -9` costs one interval at most.

Holds fp32 master weights, the EMA, the optimizer's state and a JSON note (step, seconds, samples, configuration).
"""

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

__all__ = ["load_checkpoint", "save_checkpoint"]

NAME = "checkpoint.safetensors"


def save_checkpoint(
    folder: Path,
    modules: dict[str, nn.Module],
    ema: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    note: dict[str, Any],
) -> Path:
    """Writes `folder/checkpoint.safetensors`; whatever was there before stays until the new file is whole."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            tensors[f"model/{name}.{key}"] = value.detach().cpu().contiguous()
    for key, value in ema.items():
        tensors[f"ema/{key}"] = value.detach().cpu().contiguous()
    for index, p in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(p, {}).items():
            tensors[f"optimizer/{index}.{key}"] = value.detach().cpu().contiguous()
    path, aside = folder / NAME, folder / f".{NAME}.{os.getpid()}"
    save_file(tensors, aside, metadata={"note": json.dumps(note)})
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)
    return path


def load_checkpoint(
    path: Path,
    modules: dict[str, nn.Module],
    ema: dict[str, Tensor] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> dict[str, Any]:
    """Fills modules, EMA and optimizer in place and returns the note.

    Raises:
        WeightsError: the file is truncated, or not of these nets.
    """
    try:
        with safe_open(path, framework="pt") as file:
            note: dict[str, Any] = json.loads((file.metadata() or {}).get("note", "{}"))
            keys = set(file.keys())
            for name, module in modules.items():
                state = {
                    k.removeprefix(f"model/{name}."): file.get_tensor(k)
                    for k in keys
                    if k.startswith(f"model/{name}.")
                }
                module.load_state_dict(state)
            for key, value in (ema or {}).items():
                value.copy_(file.get_tensor(f"ema/{key}"))
            if optimizer is not None:
                for index, p in enumerate(_parameters(optimizer)):
                    prefix = f"optimizer/{index}."
                    for key in (k for k in keys if k.startswith(prefix)):
                        value = file.get_tensor(key)
                        optimizer.state[p][key.removeprefix(prefix)] = (
                            value.to(p.device) if value.ndim else value
                        )
    except (SafetensorError, OSError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path} cannot be resumed from ({reason}): use another --out, or the flags it was trained with"
        ) from error
    return note


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]
