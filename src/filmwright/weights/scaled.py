"""Weights in eight bits with a factor a tensor, as ComfyUI publishes them ("fp8_scaled"): read as what they stand for.

    x.weight         float8_e4m3fn or float8_e5m2
    x.scale_weight   one number; x.weight times it is the weight. Newer files call it x.weight_scale
    x.scale_input    of the activations, for products in eight bits: not used, we multiply in the running dtype
    scaled_fp8       a sign that the file is such a one, and x.comfy_quant, the same a tensor
    spiece_model     a tokenizer in the text encoder's file; position_ids, a count in CLIP's

(ComfyUI, comfy/ops.py, comfy/utils.py and QUANTIZATION.md.) Eight bits without a factor are plain numbers. Factors a
row or a block, and whole numbers, are other schemes, and refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from filmwright.spec.errors import WeightsError, listed
from filmwright.weights.tensor_file import TensorPlace, read_tensor

__all__ = ["unscaled"]

FACTORS = ("scale_weight", "weight_scale")
ASIDE = (
    "scale_input",
    "input_scale",
    "scaled_fp8",
    "comfy_quant",
    "spiece_model",
    "position_ids",
)  # no parameters of a net
EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)


def unscaled(places: Mapping[str, TensorPlace]) -> dict[str, TensorPlace]:
    """The parameters among a file's tensors, with their factors; the factors themselves are read.

    Raises:
        WeightsError: a scheme that is not known; it names the tensors.
    """
    weights: dict[str, TensorPlace] = {}
    factors: dict[str, tuple[str, TensorPlace]] = {}
    for name, place in places.items():
        head, _, last = name.rpartition(".")
        if last in FACTORS:
            factors[f"{head}.weight"] = (name, place)
        elif last not in ASIDE:
            weights[name] = place
    whole = [k for k, p in weights.items() if not p.dtype.is_floating_point]
    lost = [name for weight, (name, _) in factors.items() if weight not in weights]
    many = [name for name, place in factors.values() if place.count != 1 or not place.dtype.is_floating_point]
    for names, why in (
        (whole, "hold whole numbers"),
        (lost, "are factors of no weight"),
        (many, "are more than a factor a tensor"),
    ):
        if names:
            path = next(iter(places.values())).path
            raise WeightsError(
                f"{path} is quantized in a way that is not read ({listed(names, 3)} {why}): take its bf16, fp16 or "
                "fp8 file"
            )
    for weight, (name, place) in factors.items():
        factor = float(read_tensor(place, torch.float32).item())
        if factor != 1.0 and weights[weight].dtype not in EIGHT_BITS:
            raise WeightsError(f"{place.path} has {name} {factor:g} for a weight that is not in eight bits")
        weights[weight] = replace(weights[weight], factor=factor)
    return weights
