"""A recorded pass is played on new inputs, recorded anew for what is new, held to the exact one, and dropped if it fails.

A stand-in records on the CPU: what it plays again is the very function, into the place that it gave the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from filmwright.cli.main import run
from filmwright.engine.build_request import build_request
from filmwright.engine.compiled import check_place
from filmwright.engine.graphs import Capture, GraphedPass, recorder
from filmwright.engine.wan_runner import WanRunner
from filmwright.models.wan import Context, WanConfig, WanTransformer
from filmwright.spec.errors import BadRequest
from filmwright.spec.plan import Strategy
from filmwright.weights.card import load_card
from filmwright.weights.lora import adapt, read_lora
from filmwright.weights.wan_folder import WanFolder
from reference_wan import save

CONFIG = WanConfig(dim=24, heads=2, layers=2, ffn=32, text_dim=8)
MODEL = "wan2.2-t2v-a14b"


def net_of(seed: int) -> WanTransformer:
    torch.manual_seed(seed)
    return WanTransformer(CONFIG).eval().requires_grad_(False)


def shown(net: WanTransformer, seed: int, frames: int = 2) -> tuple[Tensor, Tensor, Context]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 16, frames, 4, 4, generator=g)
    return x, torch.rand(1, 1, generator=g), net.context(torch.randn(1, 6, 8, generator=g))


def stand_in(compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    place = compute()

    def replay() -> None:
        place.copy_(compute())

    return replay, place


def stale(compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Plays what it saw when it recorded, whatever its inputs are."""
    place = compute()
    return lambda: None, place


def impossible(compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    raise RuntimeError("operation not permitted when stream is capturing")


@torch.inference_mode()
def test_new_inputs_are_played_and_no_result_is_overwritten() -> None:
    net = net_of(0)
    graphed = GraphedPass(stand_in)
    x, _, context = shown(net, 0)
    inputs = [(x + i, torch.full((1, 1), 1 - i / 4)) for i in range(4)]
    found = [graphed(net, *each, context) for each in inputs]
    for each, v in zip(inputs, found, strict=True):
        assert torch.equal(v, net(*each, context))
    assert graphed.proof == {"captures": 1.0, "difference": 0.0, "dropped": 0.0}


@torch.inference_mode()
def test_what_is_new_is_recorded_anew(tmp_path: Path) -> None:
    net = net_of(0)
    graphed = GraphedPass(stand_in)

    def captures(net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> float:
        before = graphed.proof["captures"]
        for _ in range(2):
            assert torch.equal(graphed(net, x, levels, context), net(x, levels, context))
        return graphed.proof["captures"] - before

    x, levels, context = shown(net, 0)
    assert captures(net, x, levels, context) == 1
    assert captures(net, x + 1, levels / 2, context) == 0
    longer = shown(net, 1, frames=3)
    assert captures(net, longer[0], levels, context) == 1
    assert captures(net, longer[0], levels.expand(1, 3), context) == 1  # a level for each frame
    assert captures(net, x, levels, net.context(torch.randn(1, 6, 8))) == 1  # other words
    other = net_of(1)
    assert captures(other, x, levels, other.context(torch.randn(1, 6, 8))) == 1
    assert captures(net, x, levels, context) == 1
    path = tmp_path / "a.safetensors"
    pair = {"down": torch.randn(2, 24), "up": torch.randn(24, 2)}
    save_file({f"diffusion_model.blocks.1.self_attn.q.lora_{k}.weight": v for k, v in pair.items()}, path)
    take_off = adapt(net, [(read_lora(path.name, pairs_of(path), net, str), 1.0)])
    assert captures(net, x, levels, context) == 1
    take_off()
    assert captures(net, x, levels, context) == 1
    net.blocks[0].ffn[0].weight = torch.nn.Parameter(net.blocks[0].ffn[0].weight.clone(), requires_grad=False)
    assert captures(net, x, levels, context) == 1


def pairs_of(path: Path) -> dict[str, Tensor]:
    from filmwright.weights.files import read_weights

    return read_weights(path)


@torch.inference_mode()
@pytest.mark.parametrize("capture", [stale, impossible])
def test_what_cannot_be_recorded_or_reads_no_new_inputs_is_dropped(capture: Capture) -> None:
    net = net_of(0)
    graphed = GraphedPass(capture)
    x, levels, context = shown(net, 0)
    for i in range(3):
        assert torch.equal(graphed(net, x + i, levels, context), net(x + i, levels, context))
    assert graphed.proof["dropped"]
    assert graphed.proof["captures"] == 1
    assert graphed.proof["difference"] > 0.1


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers")
    return save(MODEL, tmp_path_factory.mktemp("wan") / "model", num_layers=2)


def latents(model: Path, nets: str, *, quantize: str = "none", cuda_graphs: bool) -> tuple[Tensor, WanRunner]:
    request = build_request(
        "a red ball", model=MODEL, size=(64, 64), num_frames=5, steps=6, seed=2, quantize=quantize,
        cuda_graphs=cuda_graphs,
    )  # fmt: skip
    runner = WanRunner(load_card(MODEL), WanFolder(model, dtype=torch.float32), {}, Strategy(nets=nets))
    with torch.inference_mode():
        return runner.denoise(
            request, runner.prepare(request), lambda *_: None, lambda net: net
        ).picture, runner


@pytest.mark.parametrize(("nets", "quantize"), [("held", "none"), ("staged", "none"), ("held", "int8")])
def test_each_expert_and_each_side_has_a_graph_of_its_own(
    model: Path, nets: str, quantize: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("filmwright.engine.wan_runner.recorder", lambda _: stand_in)
    graphed, runner = latents(model, nets, quantize=quantize, cuda_graphs=True)
    assert runner.proofs["CUDA graph"] == {"captures": 4, "difference": 0, "dropped": 0}
    eager, runner = latents(model, nets, quantize=quantize, cuda_graphs=False)
    assert torch.equal(graphed, eager)
    assert "CUDA graph" not in runner.proofs


def test_streamed_blocks_are_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filmwright.engine.wan_runner.recorder", lambda _: stand_in)
    with pytest.raises(BadRequest, match=r"blocks that are read as they are needed.*--memory"):
        latents(model, "streamed", cuda_graphs=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", MODEL, "--device", "cpu"], "--cuda-graphs needs an NVIDIA GPU, and this is a CPU"),
        (["--model", MODEL, "--cache", "0.1"], "--cuda-graphs and --cache do not go together"),
        (["--model", "self-forcing-t2v-1.3b"], "takes no --cuda-graphs: each of its chunks sees more"),
        ([], "'pocket' takes no --cuda-graphs"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("generate", "plan"):
        if command == "plan" and "--cache" in words:
            continue
        assert run([command, "a red ball", "--cuda-graphs", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_plan_counts_what_graphs_keep(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filmwright.engine.plan import plan_for

    # what this process has in use moves a little between two plans
    monkeypatch.setattr("filmwright.engine.plan.resident", lambda _: 500_000_000)
    request = build_request("a red ball", model=MODEL, size=(256, 256), num_frames=17)
    plain, graphed = (
        plan_for(request.model_copy(update={"cuda_graphs": on}), device="cpu", weights=model, budget=10**12)
        for on in (False, True)
    )
    assert graphed.phases[1].peak > plain.phases[1].peak + 5 * 10**6
    assert graphed.phases[2].peak == plain.phases[2].peak


@pytest.mark.gpu
@torch.inference_mode()
def test_a_gpu_plays_what_it_recorded() -> None:
    net = net_of(0).to("cuda")
    x, levels, _ = (t.to("cuda") if isinstance(t, Tensor) else t for t in shown(net_of(0), 0))
    contexts = [net.context(torch.randn(1, 6, 8, device="cuda")) for _ in range(2)]
    capture = recorder("cuda")
    sides = [partial(GraphedPass(capture), net, context=context) for context in contexts]
    for i in range(4):
        for side, context in zip(sides, contexts, strict=True):
            assert torch.allclose(side(x + i, levels), net(x + i, levels, context), atol=1e-5)
    assert all(not side.func.proof["dropped"] for side in sides)


def test_a_gpu_is_not_asked_for_before_it_is_known_to_be_there() -> None:
    request = build_request("a red ball", model=MODEL, cuda_graphs=True)
    with pytest.raises(BadRequest, match="this is a CPU"):
        check_place(request, "cpu")
