"""Low-rank adaptations (Hu et al. 2021) of a net, whichever trainer wrote them; several at once, each with its weight.

Layouts, told apart by their keys:
    PEFT and diffusers   transformer.blocks.0.attn1.to_q.lora_A.weight, lora_B
    ComfyUI              diffusion_model.blocks.0.self_attn.q.lora_down.weight, lora_up, alpha; diff, diff_b
    kohya                lora_unet_blocks_0_self_attn_q.lora_down.weight, lora_up, alpha; lora_transformer_ too

Every key must find its place in the net: one that matches nothing is an error that lists it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from filmwright.models.quantized import QuantizedLinear
from filmwright.spec.compositions import Composition, refusal
from filmwright.spec.errors import WeightsError, listed

__all__ = ["PART", "Adaptation", "Lora", "adapt", "layers_of", "merge", "plain_stem", "read_lora"]

Rename = Callable[[str], str | None]
"""A foreign layout's parameter name -> the net's own, or None."""

_PREFIX = re.compile(
    r"^(?:base_model\.model\.)?(?:transformer\.|diffusion_model\.|model\.diffusion_model\.)?"
)
PART = re.compile(
    r"(?:\.lora)?\.?(lora_A|lora_B|lora_down|lora_up|diff_b|diff|alpha)(?:\.default)?(?:\.weight)?$"
)
"""What a tensor is to its layer, at the end of its key."""
_KOHYA = re.compile(r"^lora_(?:unet|transformer)_")
_KINDS = {"lora_A": "down", "lora_down": "down", "lora_B": "up", "lora_up": "up"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Adaptation:
    """What is added to a layer: `up @ down` [out, rank] [rank, in] times `scale`, or a whole difference; a bias."""

    down: Tensor | None = None
    up: Tensor | None = None
    scale: float = 1.0
    whole: Tensor | None = None
    bias: Tensor | None = None

    def weight(self, like: Tensor) -> Tensor:
        """The fp32 difference in the shape of the layer's weight `like`."""
        total = torch.zeros(like.shape, dtype=torch.float32, device=like.device)
        if self.down is not None and self.up is not None:
            product = self.up.flatten(1).float().to(like.device) @ self.down.flatten(1).float().to(
                like.device
            )
            total += (product * self.scale).view(like.shape)
        if self.whole is not None:
            total += self.whole.float().to(like.device).view(like.shape)
        return total


@dataclass(frozen=True, kw_only=True, eq=False)
class Lora:
    """One file: layer name -> adaptation."""

    name: str
    layers: dict[str, Adaptation]


def read_lora(name: str, tensors: Mapping[str, Tensor], net: nn.Module, rename: Rename) -> Lora:
    """Matches the tensors of a file called `name` to the layers of `net`.

    Args:
        name: for messages.
        tensors: as read from the file.
        net: whose layers are adapted.
        rename: knows other layouts' parameter names, such as `weights.wan.own_name`.

    Raises:
        WeightsError: keys that match no layer, half of a pair, or shapes that do not fit; it lists them.
    """
    layers = layers_of(net)
    flat = {k.replace(".", "_"): k for k in layers}
    parts: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for key, tensor in tensors.items():
        found = PART.search(key)
        target = _target(key[: found.start()], layers, flat, rename) if found else None
        if found is None or target is None:
            unknown.append(key)
            continue
        parts.setdefault(target, {})[_KINDS.get(found[1], found[1])] = tensor
    if unknown:
        raise WeightsError(
            f"LoRA {name}: {len(unknown)} of {len(tensors)} keys match no layer: {listed(unknown)}"
        )
    bad = [f"{k} ({why})" for k, p in parts.items() if (why := _misfit(p, layers[k]))]
    if bad:
        raise WeightsError(f"LoRA {name} does not fit this model: {listed(bad)}")
    return Lora(name=name, layers={k: _adaptation(p) for k, p in parts.items()})


def layers_of(net: nn.Module) -> dict[str, Any]:
    """Layers that have weights, by their names."""
    return {k: m for k, m in net.named_modules() if isinstance(getattr(m, "weight", None), Tensor)}


def plain_stem(stem: str, flat: Mapping[str, str]) -> str:
    """A layer's name as a file has it, without what layouts put before it; `flat` has names by their kohya form."""
    if _KOHYA.match(stem):
        name = _KOHYA.sub("", stem, count=1)
        return flat.get(name, name)
    return _PREFIX.sub("", stem, count=1)


def _target(
    stem: str, layers: Mapping[str, nn.Module], flat: Mapping[str, str], rename: Rename
) -> str | None:
    plain = plain_stem(stem, flat)
    if plain in layers:
        return plain
    mine = rename(f"{plain}.weight")
    layer = None if mine is None else mine.removesuffix(".weight")
    return layer if layer in layers else None


def _misfit(parts: Mapping[str, Tensor], layer: nn.Module) -> str | None:
    """What is wrong with a layer's tensors, or None."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    down, up, whole, bias = (parts.get(k) for k in ("down", "up", "diff", "diff_b"))
    if (down is None) != (up is None):
        return f"has lora_{'down' if up is None else 'up'} alone"
    if down is None and whole is None and bias is None:
        return "has nothing but an alpha"
    if down is not None and up is not None:
        shape = (up.shape[0], down[0].numel())
        if down.shape[0] != up.flatten(1).shape[1] or shape != (weight.shape[0], weight[0].numel()):
            return f"{list(up.shape)} x {list(down.shape)} on {list(weight.shape)}"
    if whole is not None and whole.numel() != weight.numel():
        return f"{list(whole.shape)} on {list(weight.shape)}"
    if bias is not None:
        own = getattr(layer, "bias", None)
        if not isinstance(own, Tensor) or own.shape != bias.shape:
            return f"bias {list(bias.shape)} on {list(own.shape) if isinstance(own, Tensor) else 'none'}"
    return None


def _adaptation(parts: Mapping[str, Tensor]) -> Adaptation:
    down, alpha = parts.get("down"), parts.get("alpha")
    scale = 1.0 if alpha is None or down is None else float(alpha) / down.shape[0]
    return Adaptation(
        down=down, up=parts.get("up"), scale=scale, whole=parts.get("diff"), bias=parts.get("diff_b")
    )


@torch.no_grad()
def merge(net: nn.Module, loras: Iterable[tuple[Lora, float]]) -> None:
    """Adds adaptations, each times its weight, to the net's own parameters; the sum is made in fp32."""
    sums: dict[str, list[tuple[Adaptation, float]]] = {}
    for lora, weight in loras:
        for name, adaptation in lora.layers.items():
            sums.setdefault(name, []).append((adaptation, weight))
    for name, items in sums.items():
        layer = net.get_submodule(name)
        own = layer.weight
        assert isinstance(own, Tensor)
        own.copy_(own.float() + sum(a.weight(own) * w for a, w in items))
        for a, w in items:
            if a.bias is not None:
                assert isinstance(layer.bias, Tensor)
                layer.bias.copy_(layer.bias.float() + a.bias.float().to(layer.bias.device) * w)


class _Beside(nn.Module):
    """A linear layer with adaptations beside it: its own weight may be quantized, offloaded or shared."""

    def __init__(self, layer: nn.Linear, items: list[tuple[Adaptation, float]], like: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.pairs = [
            (a.down.to(like), (a.up.float() * (a.scale * w)).to(like.device, like.dtype))
            for a, w in items
            if a.down is not None and a.up is not None
        ]

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        for down, up in self.pairs:
            y = y + (x @ down.mT) @ up.mT
        return y  # type: ignore[no-any-return]


@torch.no_grad()
def adapt(
    net: nn.Module, loras: Iterable[tuple[Lora, float]], like: Tensor | None = None
) -> Callable[[], None]:
    """Puts adaptations on a net; returns what takes them off again, bit for bit.

    Low-rank ones of linear layers are computed beside the weights, in the device and dtype of `like` where the net's
    own weights are not there yet or have eight bits. What has no low rank (whole differences, biases, other layers) is
    added to the parameters, whose own values are kept aside.

    Raises:
        WeightsError: something has no low rank, and the layer that it is for is not in memory, or in eight bits.
    """
    low, rest = _sorted_out(net, loras)
    for name, lora, _ in rest:
        layer = net.get_submodule(name)
        absent = any(p.is_meta for p in layer.parameters())
        rounded = isinstance(layer, QuantizedLinear) and lora.layers[name].whole is not None
        reason = refusal(
            Composition(
                nets="streamed" if absent else "held",
                quantize="int8" if rounded else "none",
                lora="whole",
                lora_name=f"LoRA {lora.name} changes {name}",
            )
        )
        if reason is not None:
            raise WeightsError(reason)
    beside: dict[str, _Beside] = {}
    for name, items in low.items():
        layer = net.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        usable = not layer.weight.is_meta and not isinstance(layer, QuantizedLinear)
        beside[name] = _Beside(layer, items, layer.weight if like is None or usable else like)
    own = {
        (name, kind): getattr(net.get_submodule(name), kind).clone()
        for _, lora, _ in rest
        for name in lora.layers
        for kind in ("weight", "bias")
        if isinstance(getattr(net.get_submodule(name), kind, None), Tensor)
    }
    merge(net, [(lora, weight) for _, lora, weight in rest])
    for name, layer in beside.items():
        net.set_submodule(name, layer)

    @torch.no_grad()
    def take_off() -> None:
        for name, layer in beside.items():
            net.set_submodule(name, layer.layer)
        for (name, kind), value in own.items():
            getattr(net.get_submodule(name), kind).copy_(value)

    return take_off


def _sorted_out(
    net: nn.Module, loras: Iterable[tuple[Lora, float]]
) -> tuple[dict[str, list[tuple[Adaptation, float]]], list[tuple[str, Lora, float]]]:
    """What can stay beside linear layers, by layer; and the rest, as LoRAs of their own."""
    low: dict[str, list[tuple[Adaptation, float]]] = {}
    rest = []
    for lora, weight in loras:
        for name, adaptation in lora.layers.items():
            linear = isinstance(net.get_submodule(name), nn.Linear)
            other = adaptation
            if linear and adaptation.down is not None:
                low.setdefault(name, []).append((adaptation, weight))
                other = replace(adaptation, down=None, up=None)
            if other.down is not None or other.whole is not None or other.bias is not None:
                rest.append((name, Lora(name=lora.name, layers={name: other}), weight))
    return low, rest
