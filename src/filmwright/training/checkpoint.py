"""Running checkpoints: one safetensors file, written aside and renamed, so that `kill -9` costs one interval at most.

Holds fp32 master weights, the EMA, the optimizer's state and a JSON note (step, seconds, samples, configuration), all
as whole tensors: nets that are cut over processes are gathered, and cut again when they are read.
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
from filmwright.training.sharding import cut_like, whole

__all__ = ["averaged_weights", "load_checkpoint", "save_checkpoint"]

NAME = "checkpoint.safetensors"


def save_checkpoint(
    folder: Path,
    modules: dict[str, nn.Module],
    ema: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    note: dict[str, Any],
    *,
    writes: bool = True,
) -> None:
    """Writes `folder/checkpoint.safetensors`; whatever was there before stays until the new file is whole.

    Where nets are cut over processes all of them must call this, and the one that `writes` does so.
    """
    tensors: dict[str, Tensor] = {}

    def keep(key: str, value: Tensor) -> None:
        value = whole(value.detach())  # one after another, so that only the first process holds them all
        if writes:
            tensors[key] = value.cpu().contiguous()

    for name, module in modules.items():
        for key, value in module.state_dict().items():
            keep(f"model/{name}.{key}", value)
    for key, value in ema.items():
        keep(f"ema/{key}", value)
    for index, p in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(p, {}).items():
            keep(f"optimizer/{index}.{key}", value)
    if not writes:
        return
    path, aside = folder / NAME, folder / f".{NAME}.{os.getpid()}"
    save_file(tensors, aside, metadata={"note": json.dumps(note)})
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)


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
                own, prefix = module.state_dict(), f"model/{name}."
                found = {k.removeprefix(prefix): k for k in keys if k.startswith(prefix)}
                module.load_state_dict(
                    {
                        k: cut_like(file.get_tensor(stored), own[k]) if k in own else file.get_tensor(stored)
                        for k, stored in found.items()
                    }
                )
            for key, value in (ema or {}).items():
                value.copy_(cut_like(file.get_tensor(f"ema/{key}"), value))
            if optimizer is not None:
                for index, p in enumerate(_parameters(optimizer)):
                    prefix = f"optimizer/{index}."
                    for key in (k for k in keys if k.startswith(prefix)):
                        value = file.get_tensor(key)
                        optimizer.state[p][key.removeprefix(prefix)] = (
                            cut_like(value, p.detach()) if value.ndim else value
                        )
    except (SafetensorError, OSError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path} cannot be resumed from ({reason}): use another --out, or the flags it was trained with"
        ) from error
    return note


def averaged_weights(path: Path) -> dict[str, Tensor]:
    """The EMA of a checkpoint, whole and on the CPU, by net and name as "vae.encoder.enter.weight"."""
    with safe_open(path, framework="pt") as file:
        return {k.removeprefix("ema/"): file.get_tensor(k) for k in file.keys() if k.startswith("ema/")}  # noqa: SIM118


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]
