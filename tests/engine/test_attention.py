"""Attention is chosen by proof: what is right is used, in a fixed order; noise, NaN and failure are dropped and said."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from filmwright.engine import attention
from filmwright.engine.attention import choose_attention, difference
from filmwright.engine.build_request import build_request
from filmwright.engine.generate import generate_clip
from filmwright.models.attention import attend_in_blocks
from filmwright.spec.events import Event, Warned
from reference_wan import save

MODEL = "wan2.1-t2v-1.3b"


def noise(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.randn_like(q)


def nothing(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.full_like(q, math.nan)


def broken(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    raise RuntimeError("no kernel image is available for execution on the device")


def test_the_order_is_fixed_and_the_first_right_one_is_used() -> None:
    attend, proofs = choose_attention("cpu", torch.bfloat16, 200, 64)
    assert attend is attend_in_blocks
    assert list(proofs) == ["attention blocks"]
    assert 0 < proofs["attention blocks"]["difference"] < 0.02
    attend, proofs = choose_attention("cpu", torch.float32, 200, 64)
    assert attend is F.scaled_dot_product_attention
    assert proofs["attention sdpa"]["difference"] < 1e-5


@pytest.mark.parametrize("wrong", [noise, nothing, broken])
def test_a_wrong_kernel_is_dropped_and_said(
    wrong: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers")
    model = save(MODEL, tmp_path / "model")
    request = build_request("a red ball", model=MODEL, size=(64, 64), num_frames=5, steps=1, seed=1)
    right = {"sdpa": F.scaled_dot_product_attention}
    monkeypatch.setattr(attention, "candidates", lambda *_: {"strange": wrong, **right})
    events: list[Event] = []
    clip = generate_clip(request, on_event=events.append, weights=model)
    said = [e.message for e in events if isinstance(e, Warned) and e.code == "dropped"]
    assert len(said) == 1
    assert said[0].startswith("attention strange was dropped")
    assert '"attention sdpa"' in (clip.sidecar or "")


def test_all_wrong_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "candidates", lambda *_: {"strange": noise})
    with pytest.raises(RuntimeError, match="gives what it should"):
        choose_attention("cpu", torch.float32, 50, 64)


def test_a_difference_is_relative() -> None:
    def half_off(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return 1.5 * F.scaled_dot_product_attention(q, k, v)

    assert difference(half_off, "cpu", torch.float32, 100, 32) == pytest.approx(0.5, rel=1e-3)
