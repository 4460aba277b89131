"""Which weights a model has on this machine, by hash, without loading a tensor library or reading the weights."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from filmwright.spec.errors import WeightsError
from filmwright.weights.card import load_card
from filmwright.weights.places import place_of

__all__ = ["hashes_of"]


@cache
def hashes_of(model: str) -> dict[str, str]:
    """Net or file -> SHA-256: what the manifest of shipped weights says, or the list of models that were added.

    A run reads the weights and holds them to these hashes; this only says which they are.

    Raises:
        WeightsError: they are not on this machine, or have changed since they were added.
    """
    if load_card(model).hub is not None:
        return place_of(model).check()
    path = Path(__file__).parent / model / "weights.json"
    try:
        return {str(net): str(sha) for net, sha in json.loads(path.read_text("utf-8"))["sha256"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} cannot be read: install filmwright anew") from error
