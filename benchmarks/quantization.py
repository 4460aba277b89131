"""Eight-bit weights and compiled code on a stack of Wan's blocks: seconds a pass, memory, and how far off the result is.

Random weights in the dtype that a run on this machine would take, one shape, every mode in turns. "Beside" is what a
pass takes beyond the weights; "first block" is the difference of what the first block adds, as a run's proof has it;
"velocity" that of the whole pass. `--outliers` makes one weight in a thousand thirty times as large, which is what
rounding to eight bits by rows bears worst. fp8-dynamic takes part on a GPU of compute capability 8.9 or higher.

    python -m benchmarks.quantization [--dim 1024] [--layers 2] [--tokens 512] [--rounds 5] [--device cpu]
                                      [--compile] [--outliers]
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.common import Spread, interleaved, machine, ratio, save, table
from torch import Tensor

from filmwright.engine.attention import choose_attention
from filmwright.engine.compiled import apart, compiled_run
from filmwright.engine.devices import fast_dtype
from filmwright.engine.memory import give_back, keep_exact, peak, resident, start_peak
from filmwright.engine.proofs import block_adds, relative
from filmwright.models.quantized import QuantizedLinear, quantize_layers, quantize_rows
from filmwright.models.wan import Attend, WanConfig, WanTransformer, plainly
from filmwright.spec.compositions import FP8_CAPABILITY

WORDS = 512
ROWS = 32  # of latents, and as many columns: 256 tokens a frame


def main() -> None:
    """Times all modes, prints the table, writes benchmarks/results/quantization.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantization")
    parser.add_argument("--dim", type=int, default=1024, help="divides by 128")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=512, help="divides by 256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--compile", action="store_true", help="compiled code too, which takes a minute to make"
    )
    parser.add_argument("--outliers", action="store_true")
    asked = parser.parse_args()
    told = machine()
    figures = {**vars(asked), "modes": measured(asked)}
    print(f"\n{save('quantization', told, figures)}")


@torch.inference_mode()
def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """A row a mode."""
    device, dtype = asked.device, fast_dtype(asked.device)
    config = WanConfig(
        dim=asked.dim, heads=asked.dim // 128, layers=asked.layers, ffn=4 * asked.dim, text_dim=256
    )
    torch.manual_seed(0)
    exact = WanTransformer(config).to(device, dtype).eval().requires_grad_(False)
    if asked.outliers:
        for p in exact.blocks.parameters():
            p.mul_(1 + 29 * (torch.rand_like(p) < 1e-3))
    attend, _ = choose_attention(device, dtype, asked.tokens, 128)
    x = torch.randn(1, 16, asked.tokens // 256, ROWS, ROWS).to(device, dtype)
    words = torch.randn(1, WORDS, config.text_dim).to(device, dtype)
    level = torch.full((1, 1), 0.7, device=device)
    modes = ["none", "int8", "int8-dynamic", "fp8"]
    if device != "cpu" and torch.cuda.get_device_capability(device) >= FP8_CAPABILITY:
        modes.append("fp8-dynamic")
    nets: dict[str, WanTransformer] = {}
    runs: dict[str, Callable[[], Tensor]] = {}
    facts: dict[str, dict[str, float]] = {}
    for compiled in (False, True) if asked.compile else (False,):
        for mode in modes:
            name = f"{mode}, compiled" if compiled else mode
            nets[name] = in_mode(exact, mode)
            runs[name] = passes(nets[name], attend, device, x, level, words, compiled=compiled)
            began = time.perf_counter()
            runs[name]()
            facts[name] = {"first pass, seconds": round(time.perf_counter() - began, 2)}
    seconds = interleaved(runs, rounds=asked.rounds, sync=torch.cuda.synchronize if device != "cpu" else None)
    keep_exact()  # from here on memory is measured, which takes time
    first: Tensor | None = None
    velocity: Tensor | None = None
    for name, net in nets.items():
        give_back(device)
        before = resident(device)
        start_peak(device)
        v = runs[name]()
        beside = peak(device) - before
        added = block_adds(
            net.blocks[0],
            net,
            lambda n: (x, level, n.context(words)),
            compiled_run(device) if name.endswith("compiled") else plainly,
        )
        first = added if first is None else first
        velocity = v if velocity is None else velocity
        facts[name] |= {
            "weights": sum(p.nbytes for p in net.parameters()),
            "beside": beside,
            "first block": relative(added, first),
            "velocity": relative(v, velocity),
        }
    rows = [
        ["mode", "seconds a pass", "times as fast", "weights, MB", "beside, MB", "first block", "velocity"]
    ]
    figures: dict[str, Any] = {}
    for name, fact in facts.items():
        spread, faster = Spread.of(seconds[name]), ratio(seconds, "none", name)
        rows.append([
            name, spread.text(), faster.text("", 2), f"{fact['weights'] / 1e6:.0f}", f"{fact['beside'] / 1e6:.0f}",
            f"{fact['first block']:.2%}", f"{fact['velocity']:.2%}",
        ])  # fmt: skip
        figures[name] = {"seconds": spread, "times as fast": faster, **fact}
    table(f"{asked.layers} blocks of {asked.dim}, {asked.tokens} tokens, {dtype} on {device}", rows)
    return figures


def in_mode(exact: WanTransformer, mode: str) -> WanTransformer:
    """The same net with its blocks in eight bits."""
    net = copy.deepcopy(exact)
    if mode == "none":
        return net
    wide = {k: m.weight for k, m in net.blocks.named_modules() if isinstance(m, torch.nn.Linear)}
    quantize_layers(net.blocks, mode)
    for name, weight in wide.items():
        layer = net.blocks.get_submodule(name)
        assert isinstance(layer, QuantizedLinear)
        layer.weight.data, layer.scale.data = quantize_rows(weight, layer.weight.dtype, weight.dtype)
    return net


def passes(
    net: WanTransformer,
    attend: Attend,
    device: str,
    x: Tensor,
    level: Tensor,
    words: Tensor,
    *,
    compiled: bool,
) -> Callable[[], Tensor]:
    """One pass of a net."""
    net.attend = apart(attend) if compiled else attend
    kept = net.context(words)

    def run() -> Tensor:
        net.run = compiled_run(device) if compiled else plainly
        return net(x, level, kept)  # type: ignore[no-any-return]

    return run


if __name__ == "__main__":
    main()
