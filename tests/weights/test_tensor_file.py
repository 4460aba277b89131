"""Tensors read one by one are those that the format's own library reads; what is broken is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from filmwright.spec.errors import WeightsError
from filmwright.weights.tensor_file import read_tensor, tensor_places


@pytest.fixture
def file(tmp_path: Path) -> Path:
    g = torch.Generator().manual_seed(0)
    path = tmp_path / "a.safetensors"
    tensors = {
        "matrix": torch.randn(7, 5, generator=g),
        "half": torch.randn(3, 4, generator=g).to(torch.bfloat16),
        "small": torch.randn(6, generator=g).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(2.5),
        "yes": torch.tensor([True, False]),
        "nothing": torch.zeros(0, 4),
    }
    save_file(tensors, path, metadata={"note": "x"})
    return path


def test_every_tensor_is_read_as_it_was_written(file: Path) -> None:
    places = tensor_places([file])
    wanted = load_file(file)
    assert places.keys() == wanted.keys()
    for name, tensor in wanted.items():
        found = read_tensor(places[name])
        assert found.dtype == tensor.dtype
        assert found.shape == tensor.shape
        assert torch.equal(
            found.view(torch.uint8) if found.ndim else found,
            tensor.view(torch.uint8) if tensor.ndim else tensor,
        )


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_truncated_file_is_refused(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="truncated or not safetensors"):
        tensor_places([file])


def test_a_file_cut_after_its_header_was_read_is_refused(file: Path) -> None:
    places = tensor_places([file])
    file.write_bytes(file.read_bytes()[:-40])
    last = max(places.values(), key=lambda place: place.start + place.bytes)
    with pytest.raises(WeightsError, match="bytes early"):
        read_tensor(last)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="not safetensors"):
        tensor_places([path])
