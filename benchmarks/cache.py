"""Step caches on a random Wan: passes saved, seconds of a clip's denoising, and how far off its latents are.

Random weights tell how a cache works and what it costs, and nothing about how pictures look: the nets of published
weights change otherwise from step to step. Of the sinusoids that a level becomes, this net hears only the slow ones, as a
net that was trained does, or no two steps would be alike; and TeaCache's polynomial is fitted to this net, by least
squares over the steps of one exact run with other noise, as its authors fit theirs to published ones. Processor time is what a
busy machine tells best, with one thread; on a GPU only the seconds count.

    python -m benchmarks.cache [--dim 256] [--layers 12] [--tokens 512] [--steps 30] [--rounds 3] [--device cpu] [--dry]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from benchmarks.common import Spread, interleaved, machine, ratio, save, table
from torch import Tensor

from filmwright.diffusion.schedules import timesteps
from filmwright.engine.attention import choose_attention
from filmwright.engine.cache import FirstBlockCache, StepCache, TeaCache
from filmwright.engine.devices import fast_dtype
from filmwright.engine.proofs import relative
from filmwright.engine.wan import Expert, denoise_wan
from filmwright.models.wan import Context, WanConfig, WanTransformer

WORDS = 512
ROWS = 32  # of latents, and as many columns: 256 tokens a frame
SHIFT = 5.0
GUIDANCE = 5.0
SLOW = 2e-3  # radians a thousandth of a level: the fastest sinusoid that the net hears
CASES = ("exact", "first-block 0.05", "first-block 0.1", "first-block 0.2", "tea 0.02", "tea 0.05", "tea 0.1")


def main() -> None:
    """Times all cases, prints the table, writes benchmarks/results/cache.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache")
    parser.add_argument("--dim", type=int, default=256, help="divides by 128")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=512, help="divides by 256")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dry", action="store_true", help="write no result")
    asked = parser.parse_args()
    told = machine()
    figures = {k: v for k, v in vars(asked).items() if k != "dry"} | measured(asked)
    if not asked.dry:
        print(f"\n{save('cache', told, figures)}")


@torch.inference_mode()
def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """A row a case."""
    net = heard(asked)
    words = torch.randn(2, WORDS, net.config.text_dim).to(asked.device, net.patch_embedding.weight.dtype)
    coefficients = fitted(net, words, asked)
    made: dict[str, list[StepCache]] = {}
    latents: dict[str, Tensor] = {}
    processor: dict[str, list[float]] = {name: [] for name in CASES}

    def case(name: str) -> Callable[[], None]:
        kind, _, threshold = name.partition(" ")

        def passes(levels: Sequence[float]) -> StepCache:
            at = float(threshold)
            cache = FirstBlockCache(at) if kind == "first-block" else TeaCache(at, coefficients, levels)
            made[name].append(cache)
            return cache

        def run() -> None:
            made[name] = []
            began = time.process_time()
            latents[name] = denoised(net, words, asked, seed=1, passes=None if kind == "exact" else passes)
            processor[name].append(time.process_time() - began)

        return run

    sync = torch.cuda.synchronize if asked.device != "cpu" else None
    seconds = interleaved({name: case(name) for name in CASES}, rounds=asked.rounds, warmup=0, sync=sync)
    rows = [["cache", "seconds", "processor", "times less of it", "passes saved", "proof", "latents off by"]]
    figures: dict[str, Any] = {"coefficients": coefficients, "cases": {}}
    for name in CASES:
        spread, busy, less = (
            Spread.of(seconds[name]),
            Spread.of(processor[name]),
            ratio(processor, "exact", name),
        )
        saved = sum(c.saved for c in made[name])
        passes_of = sum(c.passes for c in made[name]) or 2 * asked.steps
        proof = max((c.difference or 0.0 for c in made[name]), default=0.0)
        dropped = any(c.dropped for c in made[name])
        off = relative(latents[name], latents["exact"])
        rows.append([
            name, spread.text(digits=2), busy.text(digits=2), less.text("", 2),
            f"{saved} of {passes_of}",
            f"{proof:.2%}" + (", dropped" if dropped else ""), f"{off:.2%}",
        ])  # fmt: skip
        figures["cases"][name] = {
            "seconds": spread, "processor": busy, "times less": less, "passes": passes_of, "saved": saved, "proof": proof,
            "dropped": dropped, "latents": off,
        }  # fmt: skip
    told = f"{asked.layers} blocks of {asked.dim}, {asked.tokens} tokens, {asked.steps} steps with guidance"
    table(f"{told} on {asked.device}: random weights, which say nothing about pictures", rows)
    return figures


def heard(asked: argparse.Namespace) -> WanTransformer:
    """A random net that hears the slow sinusoids of its level."""
    dtype = fast_dtype(asked.device)
    config = WanConfig(
        dim=asked.dim, heads=asked.dim // 128, layers=asked.layers, ffn=4 * asked.dim, text_dim=256
    )
    torch.manual_seed(0)
    net = WanTransformer(config).to(asked.device, dtype).eval().requires_grad_(False)
    net.time_embedding.float()
    half = net.time_embedding[0].weight.shape[1] // 2
    speed = torch.exp(torch.arange(half) * (-np.log(10_000.0) / half)).to(asked.device)
    net.time_embedding[0].weight *= (speed < SLOW).repeat(2) * 4  # as loud as all of them
    net.attend, _ = choose_attention(asked.device, dtype, asked.tokens, 128)
    return net


def fitted(net: WanTransformer, words: Tensor, asked: argparse.Namespace) -> list[float]:
    """A polynomial of the fourth degree from the change of the modulation to that of the velocity."""
    seen: list[tuple[Tensor, Tensor]] = []

    def noted(net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> Tensor:
        v: Tensor = net(x, levels, context)
        wave = net.time_embedding(net._wave(levels)).to(x.dtype)  # noqa: SLF001 (what the net hears)
        seen.append((net.time_projection(wave).float(), v.float()))
        return v

    denoised(net, words, asked, seed=2, passes=lambda _: noted)
    with_prompt = seen[::2]

    def moved(kind: int) -> list[float]:
        return [
            float((b[kind] - a[kind]).abs().mean() / a[kind].abs().mean()) for a, b in pairwise(with_prompt)
        ]

    return [float(c) for c in np.polyfit(moved(0), moved(1), 4)]


def denoised(
    net: WanTransformer, words: Tensor, asked: argparse.Namespace, *, seed: int, passes: Any
) -> Tensor:
    """Latents of one clip."""
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 16, asked.tokens // 256, ROWS, ROWS, generator=g).to(asked.device)
    expert = Expert(net=lambda: net, guidance=GUIDANCE)
    times = timesteps(asked.steps, shift=SHIFT)
    return denoise_wan([expert], words[:1], words[1:], noise, times, passes=passes)


if __name__ == "__main__":
    main()
