"""Nets read tensor by tensor, whole or without the weights of their blocks, which can then be read one by one.

A name in a file is that of the net's parameter, or differs in what stands before the list of blocks: transformers has
moved its language models about, and names them in files as it once did.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from filmwright.models.quantized import QuantizedLinear
from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.quantized_file import read_quantized
from filmwright.weights.tensor_file import TensorPlace, read_tensor

__all__ = ["block_names", "empty_net", "fill_net", "matched", "stored_names"]

BLOCKS = {
    "HunyuanVideoTransformer3DModel": ("transformer_blocks", "single_transformer_blocks"),
    "HunyuanVideo15Transformer3DModel": ("transformer_blocks",),
    "MochiTransformer3DModel": ("transformer_blocks",),
    "LTXVideoTransformer3DModel": ("transformer_blocks",),
    "LTX2VideoTransformer3DModel": ("transformer_blocks",),
    "UNetSpatioTemporalConditionModel": ("down_blocks", "up_blocks"),
    "LlamaModel": ("layers",),
    "Qwen2_5_VLTextModel": ("layers",),
    "T5EncoderModel": ("encoder.block",),
    "Gemma3ForConditionalGeneration": ("model.language_model.layers",),
}
"""Class -> lists of its blocks, in the order in which they compute. Other nets are small."""


def block_names(kind: str, net: nn.Module) -> list[str]:
    """The blocks of a net of this class, by their names in it."""
    return [
        f"{path}.{index}"
        for path in BLOCKS.get(kind, ())
        for index, _ in enumerate(net.get_submodule(path).children())
    ]


def matched(names: Iterable[str], places: Mapping[str, TensorPlace]) -> dict[str, TensorPlace]:
    """Name in a net -> place of the tensor of this name, or of the one whose name ends most alike."""
    wanted = list(names)
    found = {name: places[name] for name in wanted if name in places}
    others = defaultdict(list)
    for key in places.keys() - found.keys():
        others[tuple(key.split(".")[-2:])].append(key)
    for name in wanted:
        candidates = others.get(tuple(name.split(".")[-2:]), ())
        if name not in found and candidates:
            found[name] = places[max(candidates, key=lambda key: _likeness(name, key))]
    return found


def _likeness(name: str, key: str) -> tuple[int, int]:
    """Parts that two names have in common: from the end on, and in all."""
    ours, theirs = name.split("."), key.split(".")
    same = [a == b for a, b in zip(reversed(ours), reversed(theirs), strict=False)]
    return (same.index(False) if False in same else len(same)), len(set(ours) & set(theirs))


def stored_names(net: nn.Module) -> list[str]:
    """The parameters that files have: all but the scales of weights in eight bits, which are made from these."""
    scales = {f"{k}.scale" for k, m in net.named_modules() if isinstance(m, QuantizedLinear)}
    return [name for name, _ in net.named_parameters(remove_duplicate=False) if name not in scales]


def empty_net(build: Callable[[], Any], dtype: torch.dtype) -> nn.Module:
    """What `build` makes, its parameters on the meta device in `dtype`; what it computes for itself is on the host."""
    from accelerate import init_empty_weights

    with init_empty_weights(), _default_dtype(dtype):
        net: nn.Module = build()
    return net.eval().requires_grad_(False)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def fill_net(
    net: nn.Module, places: Mapping[str, TensorPlace], device: str, *, but: Iterable[str] = ()
) -> None:
    """Reads the weights of an empty net, into eight bits where it has such layers, `but` those of some blocks.

    Raises:
        WeightsError: the files lack some of them, or hold those of another net.
    """
    inside = tuple(f"{name}." for name in but)
    for name, empty in list(net.named_parameters(remove_duplicate=False)):
        if name in places and not name.startswith(inside):
            if places[name].shape != tuple(empty.shape):
                raise WeightsError(
                    f"{places[name].path} has {name} of {list(places[name].shape)}, not {list(empty.shape)}: "
                    "it is of another net"
                )
            path, _, last = name.rpartition(".")
            owner, read = net.get_submodule(path), {}
            if isinstance(owner, QuantizedLinear) and last == "weight":
                mode = "int8" if empty.dtype is torch.int8 else "fp8"
                read["weight"], read["scale"] = read_quantized(places[name], mode, owner.scale.dtype)
            else:
                read[last] = read_tensor(places[name], empty.dtype)
            for part, tensor in read.items():
                owner._parameters[part] = nn.Parameter(tensor.to(device), requires_grad=False)  # noqa: SLF001
    for module in net.modules():
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.to(device)  # noqa: SLF001 (what it computes for itself)
    tie: Any = getattr(net, "tie_weights", None)
    if tie is not None:
        tie()
    lacking = [n for n, p in net.named_parameters() if p.is_meta and not n.startswith(inside)]
    if lacking:
        raise WeightsError(f"the {type(net).__name__} is not whole, it lacks {listed(lacking)}")
