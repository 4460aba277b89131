"""What the store holds, as types: files by their bytes, results by what made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field

from filmwright.spec.errors import MediaError

__all__ = ["Blob", "DamagedBlob", "Node", "key_of"]


class Blob(BaseModel):
    """A file of the store; `changed` is its time of change in nanoseconds when it was put there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int
    suffix: str = Field(pattern=r"^(\.[a-z0-9]{1,8})?$")
    changed: int

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"{self.digest}{self.suffix}"


class Node(BaseModel):
    """A finished result. `inputs` are all that its key was made from, readable, so that two can be compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    stage: str
    inputs: dict[str, Any]
    outputs: dict[str, Blob]
    seconds: float
    facts: dict[str, Any] = {}  # what else is worth knowing, such as the request's digest


class DamagedBlob(MediaError):
    """A file of the store is not what it was; a build makes it anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is damaged: `filmwright film build` makes it anew")


def key_of(inputs: Mapping[str, Any]) -> str:
    """The key (BLAKE3, hex) of what decides a result: JSON with sorted keys and no spaces."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return str(blake3(text.encode()).hexdigest())
