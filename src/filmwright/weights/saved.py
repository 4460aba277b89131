"""What every folder that diffusers saved has: JSON objects, and nets as safetensors, whole or in shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filmwright.spec.errors import WeightsError, listed

__all__ = ["read_object", "weight_paths"]

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def read_object(path: Path) -> dict[str, Any]:
    """A file's JSON object.

    Raises:
        WeightsError: the file cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{path} cannot be read ({reason}): the folder is no whole model") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is no object: the folder is no whole model")
    return found


def weight_paths(folder: Path) -> list[Path]:
    """The safetensors of a net's folder: one file, or the shards that an index names.

    Raises:
        WeightsError: there are none, or the index names files elsewhere.
    """
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if indices:
        names = sorted(set(read_object(indices[0]).get("weight_map", {}).values()))
        if any(Path(str(n)).name != n for n in names):
            raise WeightsError(f"{indices[0]} names files outside of its folder")
        paths = [folder / str(name) for name in names]
    else:
        paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        pickled = [p.name for p in folder.glob("*") if p.suffix in PICKLED]
        found = f", only {listed(pickled)}, which could run code" if pickled else ""
        raise WeightsError(
            f"{folder} holds no safetensors{found}: download the model, or convert it from another format"
        )
    return paths
