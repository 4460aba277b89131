"""Reading into eight bits gives what rounding a whole tensor would, and sizes are known before."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from filmwright.models.quantized import quantize_rows, storage_of
from filmwright.weights.quantized_file import PIECE, quantized_bytes, read_quantized, read_running
from filmwright.weights.tensor_file import TensorPlace, tensor_places


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TensorPlace]:
    g = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "a.safetensors"
    tensors = {"a.weight": torch.randn(1100, 1000, generator=g), "a.bias": torch.randn(1100, generator=g)}
    save_file({k: t.bfloat16() for k, t in tensors.items()}, path)
    return tensor_places([path])


@pytest.mark.parametrize("mode", ["int8", "int8-dynamic", "fp8"])
def test_pieces_make_the_whole(places: dict[str, TensorPlace], mode: str) -> None:
    assert places["a.weight"].count > PIECE
    dtypes = dict.fromkeys(places, torch.bfloat16)
    linear = frozenset({"a.weight"})
    exact = dict(read_running(places, dtypes, linear, "none"))
    found = dict(read_running(places, dtypes, linear, mode))
    weight, scale = quantize_rows(exact["a.weight"], storage_of(mode), torch.bfloat16)
    assert torch.equal(found["a.weight"].view(torch.uint8), weight.view(torch.uint8))
    assert torch.equal(found["a.scale"], scale)
    assert torch.equal(found["a.bias"], exact["a.bias"])
    shapes = {k: p.shape for k, p in places.items()}
    assert quantized_bytes(shapes, dtypes, linear, mode) == sum(t.nbytes for t in found.values())
    assert quantized_bytes(shapes, dtypes, linear, "none") == sum(t.nbytes for t in exact.values())


def test_scales_have_the_dtype_of_the_run(places: dict[str, TensorPlace]) -> None:
    _, scale = read_quantized(places["a.weight"], "int8", torch.float32)
    assert scale.dtype is torch.float32
    assert scale.shape == (1100,)
