"""LoRAs of a run on Wan: which are an expert's, and the expert with them: beside its weights, or merged into these.

Beside them, a LoRA is taken off when the run ends, to the bit, and goes with weights of any kind; each step computes
it. Merged, a step takes no time for it: the sum is made once, in fp32, and rounded to what the weights are in, so the
last bits of a clip are others. What was merged is no more the model's own net, and is held under a name that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from filmwright.models.wan import WanTransformer
from filmwright.spec.errors import BadRequest
from filmwright.spec.request import LoraRef, Request
from filmwright.weights.files import read_weights
from filmwright.weights.lora import Lora, adapt, merge, read_lora
from filmwright.weights.places import PlacedLora
from filmwright.weights.wan import own_name

__all__ = ["Asked", "adapted", "check_merge", "loras_for", "merged"]

Asked = PlacedLora | LoraRef
"""A LoRA that belongs to the model, or one that a request asks for."""


def check_merge(request: Request, own: Sequence[PlacedLora]) -> None:
    """See that there is something to merge where that is asked.

    Raises:
        BadRequest: there is not.
    """
    if request.merge_lora and not own and not request.loras:
        raise BadRequest(
            f"--merge-lora has nothing to merge, {request.model!r} has 0 LoRAs here: give one with --lora, "
            "or leave it out"
        )


def loras_for(index: int, request: Request, own: Sequence[PlacedLora]) -> list[Asked]:
    """Those of the model and of the request that are for expert `index`.

    Raises:
        WeightsError: a file of the model's has changed since it was added.
    """
    for lora in own:
        lora.check()  # of a runner that is held, the file may have changed since
    asked: list[Asked] = [*own, *request.loras]
    return [lora for lora in asked if lora.expert in ("both", ("high", "low")[index])]


def adapted(net: WanTransformer, loras: Sequence[Asked]) -> Callable[[], None]:
    """Puts LoRAs beside a net's weights; returns what takes them off again.

    Raises:
        WeightsError: a file is damaged, or does not fit the net.
    """
    return adapt(net, _read(net, loras), net.patch_embedding.weight)


def merged(load: Callable[[], WanTransformer], loras: Sequence[Asked]) -> WanTransformer:
    """A net of its own, whose weights have the LoRAs in them.

    Raises:
        WeightsError: a file is damaged, or does not fit the net.
    """
    net = load()
    with torch.inference_mode():
        merge(net, _read(net, loras))
    return net


def _read(net: WanTransformer, loras: Sequence[Asked]) -> list[tuple[Lora, float]]:
    return [
        (read_lora(Path(lora.path).name, read_weights(Path(lora.path)), net, own_name), lora.weight)
        for lora in loras
    ]
