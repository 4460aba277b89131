"""Attention is chosen by proof: what is right is used, in a fixed order; noise, NaN and failure are dropped and said."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from filmwright.cli.main import run
from filmwright.engine import attention
from filmwright.engine.attention import choose_attention, preferred, tolerance, try_attention
from filmwright.engine.build_request import build_request
from filmwright.engine.compiled import can_compile, check_place
from filmwright.engine.generate import generate_clip
from filmwright.engine.wan_runner import WanRunner
from filmwright.models.attention import attend_in_blocks
from filmwright.spec.backends import NEEDS
from filmwright.spec.errors import BadRequest
from filmwright.spec.events import Event, Progress, Warned
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.wan_folder import WanFolder
from reference_attention import Kernel, broken, in_eight_bits, noise, nothing, provide, right
from reference_wan import save

MODEL = "wan2.1-t2v-1.3b"
SHAPES = {"itself": (200, 200), "words": (200, 70)}
BF16, FP32 = torch.bfloat16, torch.float32


def test_the_order_is_fixed_and_the_first_right_one_is_used() -> None:
    attend, proofs = choose_attention("cpu", BF16, SHAPES, 64)
    assert attend is attend_in_blocks
    assert list(proofs) == ["attention blocks"]
    assert 0 < proofs["attention blocks"]["difference"] < 0.02
    attend, proofs = choose_attention("cpu", FP32, SHAPES, 64)
    assert attend is F.scaled_dot_product_attention
    found = proofs["attention sdpa"]
    assert found.keys() == {"difference", "to itself", "to words", "dropped"}
    assert found["difference"] == max(found["to itself"], found["to words"]) < 1e-5


@pytest.mark.parametrize(
    ("capability", "installed", "order"),
    [
        ((9, 0), ("flash2", "flash3"), ["flash3", "flash2", "sdpa"]),
        ((8, 9), ("flash2", "flash3"), ["flash2", "sdpa"]),
        ((9, 0), ("sage",), ["sdpa"]),
        ((12, 0), (), ["sdpa"]),
    ],
)
def test_a_gpu_prefers_flash_attention_and_never_what_is_approximate(
    capability: tuple[int, int], installed: tuple[str, ...], order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    modules = {NEEDS[name].module for name in installed}  # type: ignore[index]
    monkeypatch.setattr("filmwright.spec.backends.find_spec", lambda name: True if name in modules else None)
    assert preferred("cuda", BF16) == order
    assert preferred("cuda", FP32) == ["sdpa"]


@pytest.mark.parametrize("backend", ["flash2", "flash3", "sage"])
def test_a_right_library_is_used_in_its_own_layout(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = provide(monkeypatch, backend, right)
    attend, proofs = choose_attention("cpu", BF16, SHAPES, 64, backend)
    assert asked == [((1, 200, 2, 64), (1, 200, 2, 64)), ((1, 200, 2, 64), (1, 70, 2, 64))]
    assert proofs[f"attention {backend}"]["difference"] < 0.01
    q, k, v = (torch.randn(1, 3, n, 32) for n in (40, 50, 50))
    torch.testing.assert_close(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_flash_attention_3_may_give_more_than_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    provide(monkeypatch, "flash3", lambda q, k, v: (right(q, k, v), q))  # type: ignore[arg-type,return-value]
    assert choose_attention("cpu", FP32, SHAPES, 64, "flash3")[1]["attention flash3"]["difference"] < 1e-4


def test_a_library_that_takes_heads_for_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    provide(monkeypatch, "flash2", F.scaled_dot_product_attention)
    with pytest.raises(BadRequest, match=r"--attention flash2 .*leave --attention out"):
        choose_attention("cpu", BF16, {"itself": (200, 200)}, 64, "flash2")


def test_eight_bits_have_a_bound_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    provide(monkeypatch, "sage", in_eight_bits)
    shapes = {"itself": (600, 600), "words": (600, 512)}
    found = choose_attention("cpu", BF16, shapes, 128, "sage")[1]["attention sage"]
    assert 0.03 < found["difference"] < 0.05
    assert tolerance("sage", BF16) == 0.08
    provide(monkeypatch, "flash2", in_eight_bits)
    with pytest.raises(BadRequest, match=r"is (3|4)\.\d+ % off the exact result, and may be 2 %"):
        choose_attention("cpu", BF16, shapes, 128, "flash2")


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (noise, r"is \d{3} % off the exact result, and may be \d %"),
        (nothing, "gives NaN"),
        (broken, r"does not run here \(AssertionError: no kernel image is available\)"),
    ],
)
@pytest.mark.parametrize("backend", ["flash2", "flash3", "sage"])
def test_what_was_asked_for_and_fails_is_an_error(
    backend: Any, kernel: Kernel, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, backend, kernel)
    with pytest.raises(BadRequest, match=f"--attention {backend} {said}"):
        choose_attention("cpu", BF16, SHAPES, 64, backend)


@pytest.mark.parametrize("where", ["the last tokens", "words alone", "one number"])
def test_a_kernel_that_is_wrong_in_one_place_is_found(where: str) -> None:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y = F.scaled_dot_product_attention(q, k, v).clone()
        if where == "the last tokens":
            y[:, :, -20:] = 0
        elif where == "words alone" and q.shape != k.shape:
            y *= 1.1
        elif where == "one number":
            y[0, 1, 100, 3] = math.inf
        return y

    off = [try_attention(attend, "cpu", FP32, *pair, 64).difference for pair in SHAPES.values()]
    assert max(off) > 0.05
    assert (min(off) < 1e-4) == (where == "words alone")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers")
    return save(MODEL, tmp_path_factory.mktemp("wan") / "model", num_layers=2)


def request_for(asked: str = "auto", **options: Any) -> Request:
    return build_request(
        "a red ball", model=MODEL, size=(64, 64), num_frames=5, steps=1, seed=1, attention=asked, **options
    )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (in_eight_bits, "it was 4% off the exact result"),
        (noise, "it failed, or gave noise or no numbers"),
        (nothing, "it failed, or gave noise or no numbers"),
        (broken, "it failed, or gave noise or no numbers"),
    ],
)
def test_a_wrong_library_is_dropped_and_said_before_the_run(
    model: Path, wrong: Kernel, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, "flash3", wrong)
    used = provide(monkeypatch, "flash2", right)
    monkeypatch.setattr(attention, "preferred", lambda *_: ["flash3", "flash2", "sdpa"])
    events: list[Event] = []
    clip = generate_clip(request_for(), on_event=events.append, weights=model)
    said = [(i, e.message) for i, e in enumerate(events) if isinstance(e, Warned) and e.code == "dropped"]
    assert len(said) == 1
    assert said[0][1].startswith("attention flash3 was dropped: ")
    assert why in said[0][1]
    begun = next(i for i, e in enumerate(events) if isinstance(e, Progress) and e.stage == "denoise")
    assert said[0][0] < begun
    sidecar = json.loads(clip.sidecar or "")
    proofs = {name: proof["dropped"] for name, proof in sidecar["proofs"].items()}
    assert proofs == {"attention flash3": 1.0, "attention flash2": 0.0}
    assert sidecar["warnings"] == [said[0][1]]
    assert len(used) > 2  # the trial's two, and the run's


def test_all_wrong_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "candidates", lambda *_: {"strange": noise})
    with pytest.raises(RuntimeError, match="gives what it should"):
        choose_attention("cpu", FP32, SHAPES, 64)


def test_a_difference_is_relative() -> None:
    def half_off(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return 1.5 * F.scaled_dot_product_attention(q, k, v)

    assert try_attention(half_off, "cpu", FP32, 100, 90, 32).difference == pytest.approx(0.5, rel=1e-3)


@pytest.mark.skipif(not can_compile("cpu"), reason="needs a C++ compiler")
def test_flex_is_exact_where_it_can_be_compiled() -> None:
    attend, proofs = choose_attention("cpu", FP32, SHAPES, 64, "flex")
    assert proofs["attention flex"]["difference"] < 1e-5
    for n, m in ((90, 130), (200, 300)):  # as a clip that is made chunk by chunk sees ever more
        q, k, v = (torch.randn(1, count, 2, 64).transpose(1, 2) for count in (n, m, m))
        with torch.inference_mode():
            torch.testing.assert_close(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_the_backend_is_part_of_what_a_clip_is_made_from(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = ["a red ball", "--model", MODEL, "--size", "64x64", "--frames", "5", "--steps", "2", "--seed", "1"]
    same = ["--device", "cpu", "--weights", str(model), "-o"]
    again = ["generate", "--from", str(tmp_path / "a.json"), *same]
    assert run(["generate", *shot, "--attention", "sdpa", *same, str(tmp_path / "a.mp4")]) == 0
    assert run([*again, str(tmp_path / "b.mp4")]) == 0
    assert run([*again, str(tmp_path / "c.mp4"), "--attention", "blocks"]) == 0
    capsys.readouterr()
    a, b, c = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "abc")
    assert a["request"]["attention"] == "sdpa"
    assert list(a["proofs"]) == list(b["proofs"]) == ["attention sdpa"]
    assert list(c["proofs"]) == ["attention blocks"]
    assert a["frames_digest"] == b["frames_digest"] != c["frames_digest"]
    assert a["request_digest"] == b["request_digest"] != c["request_digest"]
    assert not b["warnings"]


def test_a_clip_made_again_with_another_attention_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ["--device", "cpu", "--weights", str(model), "--json", "-o"]
    shot = ["generate", "a red ball", "--model", MODEL, "--size", "64x64", "--frames", "5", "--steps", "1"]
    again = ["generate", "--from", str(tmp_path / "a.json")]
    monkeypatch.setattr(attention, "preferred", lambda *_: ["blocks"])
    assert run([*shot, *same, str(tmp_path / "a.mp4")]) == 0
    monkeypatch.setattr(attention, "preferred", lambda *_: ["sdpa"])
    assert run([*again, *same, str(tmp_path / "b.mp4")]) == 0
    assert run([*again, "--attention", "sdpa", *same, str(tmp_path / "c.mp4")]) == 0
    capsys.readouterr()
    said = [json.loads((tmp_path / f"{name}.json").read_text())["warnings"] for name in "bc"]
    assert len(said[0]) == 1
    assert said[0][0].startswith("attention sdpa is used where the earlier clip had attention blocks")
    assert said[1] == []  # it was asked for


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model", MODEL, "--attention", "blok"],
            "unknown attention 'blok': did you mean 'blocks'? There is auto",
        ),
        (["--attention", "sdpa"], "'pocket' takes no --attention: it has one exact way"),
        (
            ["--model", MODEL, "--attention", "sage"],
            "sage is not installed: pip install sageattention, on a machine",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, "sage", None)
    for command in ("generate", "plan"):
        assert run([command, "a red ball", *words]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert len(error.strip().splitlines()) == 1
        assert "flash2" not in error.partition("There is")[2]  # what is not here is not offered


def test_the_place_decides_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    provide(monkeypatch, "sage", right)
    with pytest.raises(BadRequest, match="sage needs an NVIDIA GPU, and this is a CPU"):
        check_place(request_for("sage"), "cpu")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(BadRequest, match=r"--attention flex needs a C\+\+ compiler"):
        check_place(request_for("flex"), "cpu")


def test_a_backend_that_fails_ends_the_run_before_anything_is_encoded(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, "sage", noise)
    runner = WanRunner(load_card(MODEL), WanFolder(model, dtype=BF16), {})
    monkeypatch.setattr(runner, "_words", lambda *_: pytest.fail("words were encoded"))
    with pytest.raises(BadRequest, match=r"--attention sage is 1000 % or more off .* attend to words"):
        runner.prepare(request_for("sage"))
