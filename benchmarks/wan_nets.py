"""Wan's nets at their published sizes on one GPU, ours against diffusers': random weights, one shape, in one run.

A pass of the transformer: seconds, operations a second and their share of what the device reaches in a large product
measured here; decoding: seconds and peak memory. End to end is steps * 2 passes + decode. `--dry-run` takes small nets on
the CPU, to see that it runs.

    python -m benchmarks.wan_nets [--model wan2.1-t2v-1.3b] [--video 832x480x81] [--device cuda] [--rounds 5]
    python -m benchmarks.wan_nets --dry-run
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from benchmarks.common import Spread, interleaved, machine, ratio, save, table
from torch import Tensor, nn

from filmwright.engine.memory import peak, start_peak
from filmwright.engine.trace import Trace
from filmwright.models.wan import WanConfig, WanTransformer
from filmwright.models.wan_vae import WAN21_VAE, WAN22_VAE, WanVAE, WanVAEConfig
from filmwright.models.wan_vae_layers import Memory
from filmwright.weights.card import load_card
from filmwright.weights.wan import WAN_SIZES, vae_to_own_names

WORDS = 512
SMALL = {"dim": 256, "heads": 2, "layers": 2, "ffn": 512, "text_dim": 64}


def main() -> None:
    """Times both sides, prints the tables, writes benchmarks/results/wan_nets-MODEL.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wan_nets")
    parser.add_argument(
        "--model", default="wan2.1-t2v-1.3b", choices=[n for n in WAN_SIZES if "i2v-14b" not in n]
    )
    parser.add_argument("--video", default="832x480x81", help="width x height x frames")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry-run", action="store_true", help="small nets on the CPU; writes no result")
    asked = parser.parse_args()
    if asked.dry_run:
        asked.device, asked.video, asked.rounds = "cpu", "64x64x9", 1
    elif not torch.cuda.is_available():
        print("there is no GPU here: --dry-run shows that the benchmark runs")
        return
    told = machine()
    card = load_card(asked.model)
    config = WAN_SIZES[card.variant or card.name]
    vae = WAN22_VAE if config.out_channels == WAN22_VAE.channels else WAN21_VAE
    if asked.dry_run:
        config, vae = replace(config, **SMALL), replace(vae, width=8, decoder_width=8)
    width, height, frames = map(int, asked.video.split("x"))
    factor = 8 * vae.patch
    shape = (1, config.in_channels, (frames - 1) // 4 + 1, height // factor, width // factor)
    figures: dict[str, Any] = {"model": asked.model, "video": asked.video, "device": asked.device}
    with torch.inference_mode():
        figures["pass"] = passes(config, shape, asked)
        gc.collect()
        figures["decode"] = decodes(vae, (1, vae.channels, *shape[2:]), asked)
    step = 2 * figures["pass"]["ours"]["seconds"].median
    whole = card.steps * step + figures["decode"]["ours"]["seconds"].median
    print(f"\nend to end, {card.steps} steps with guidance: {whole:.1f} s")
    figures["end to end, seconds"] = round(whole, 2)
    if not asked.dry_run:
        print(f"\n{save(f'wan_nets-{asked.model}', told, figures)}")


def passes(config: WanConfig, shape: tuple[int, ...], asked: argparse.Namespace) -> dict[str, Any]:
    """One pass of the transformer, and its share of the device's products."""
    with torch.device("meta"), torch.no_grad(), torch.inference_mode(mode=False):
        net = WanTransformer(config).to(torch.bfloat16)
        words = torch.zeros(1, WORDS, config.text_dim, dtype=torch.bfloat16)
        context = net.context(words)
        x = torch.zeros(shape, dtype=torch.bfloat16)
        with Trace(net, device=asked.device) as trace:
            net(x, torch.zeros(1, 1), context)
        tokens = shape[2] * shape[3] * shape[4] // 4
        flops = trace.product_flops + 4 * config.layers * config.dim * tokens * (tokens + WORDS)  # attention
    cases: dict[str, Callable[[], Tensor]] = {}
    place: dict[str, Any] = {"device": asked.device, "dtype": torch.bfloat16}
    x = torch.randn(shape, **place)
    words = torch.randn(1, WORDS, config.text_dim, **place)
    mine = random(net, asked.device)
    kept = mine.context(words)
    cases["ours"] = lambda: mine(x, torch.full((1, 1), 0.5, device=asked.device), kept)
    if find_spec("diffusers"):
        from diffusers import WanTransformer3DModel

        with torch.device("meta"):
            other = WanTransformer3DModel(
                num_attention_heads=config.heads, attention_head_dim=config.head_dim, in_channels=config.in_channels,
                out_channels=config.out_channels, text_dim=config.text_dim, ffn_dim=config.ffn, num_layers=config.layers,
            ).to(torch.bfloat16)  # fmt: skip
        theirs = random(other, asked.device, rope=True)
        when = torch.tensor([500.0], device=asked.device)
        cases["diffusers"] = lambda: theirs(x, when, words, return_dict=False)[0]
    seconds = interleaved(cases, rounds=asked.rounds, warmup=1, sync=sync_of(asked.device))
    reached = roofline(asked.device)
    rows = [["side", "seconds", "TFLOP/s", "share of a large product", "times ours"]]
    figures: dict[str, Any] = {"TFLOP": round(flops / 1e12, 2), "product, TFLOP/s": round(reached / 1e12, 1)}
    for name, values in seconds.items():
        spread = Spread.of(values)
        rate = flops / spread.median
        times = ratio(seconds, name, "ours")
        rows.append([name, spread.text(), f"{rate / 1e12:.1f}", f"{rate / reached:.0%}", times.text("", 2)])
        figures[name] = {"seconds": spread, "share": round(rate / reached, 3), "times ours": times}
    table(f"one pass, {flops / 1e12:.1f} TFLOP", rows)
    return figures


def decodes(config: WanVAEConfig, shape: tuple[int, ...], asked: argparse.Namespace) -> dict[str, Any]:
    """Decoding in bf16 (fp32 on a CPU), with peak memory, one side after the other."""
    dtype = torch.float32 if asked.device == "cpu" else torch.bfloat16
    z = torch.randn(shape, device=asked.device, dtype=dtype)
    with torch.device("meta"):
        net = WanVAE(config).to(dtype)
    mine = random(net, asked.device)

    def ours() -> None:
        memory: Memory = {}
        for part in z.split(1, dim=2):
            mine.decode_chunk(part, memory).float().cpu()  # frames leave the device as they come

    cases: dict[str, Callable[[], object]] = {"ours": ours}
    if find_spec("diffusers"):
        from diffusers import AutoencoderKLWan

        patched = {"patch_size": config.patch, "scale_factor_spatial": 16} if config.shortcuts else {}
        theirs = AutoencoderKLWan(
            base_dim=config.width, decoder_base_dim=config.decoder_width, z_dim=config.channels,
            latents_mean=list(config.mean), latents_std=list(config.std), is_residual=config.shortcuts,
            in_channels=3 * config.patch**2, out_channels=3 * config.patch**2, **patched,
        ).to(asked.device, dtype)  # fmt: skip
        theirs.load_state_dict(matched(theirs, mine))
        cases["diffusers"] = lambda: theirs.decode(z, return_dict=False)[0].cpu()  # noqa: PLW0108
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    peaks: dict[str, int] = {}
    sync = sync_of(asked.device) or (lambda: None)
    for _ in range(asked.rounds):
        for name, case in cases.items():
            start_peak(asked.device)
            began = time.perf_counter()
            case()
            sync()
            seconds[name].append(time.perf_counter() - began)
            peaks[name] = max(peaks.get(name, 0), peak(asked.device))
    rows = [["side", "seconds", "peak, GB", "times ours"]]
    figures: dict[str, Any] = {}
    for name, values in seconds.items():
        times = ratio(seconds, name, "ours")
        rows.append([name, Spread.of(values).text(), f"{peaks[name] / 1e9:.2f}", times.text("", 2)])
        figures[name] = {"seconds": Spread.of(values), "peak": peaks[name], "times ours": times}
    table("decode", rows)
    return figures


def random(net: Any, device: str, *, rope: bool = False) -> Any:
    """A net of the meta device with random weights on another; `rope` makes tables that are no weights anew."""
    net = net.to_empty(device=device)
    for p in net.parameters():
        nn.init.normal_(p, std=0.02)
    if rope:
        fresh = type(net.rope)(net.rope.attention_head_dim, net.rope.patch_size, net.rope.max_seq_len)
        net.rope = fresh.to(device)
    return net.eval().requires_grad_(False)


def matched(theirs: nn.Module, ours: WanVAE) -> dict[str, Tensor]:
    """Our weights under their names."""
    names = {name: name for name in theirs.state_dict()}
    mine = ours.state_dict()
    return {name: mine[own] for own, name in vae_to_own_names(names).items()}


def roofline(device: str) -> float:
    """Operations a second of a large product in bf16."""
    side = 8192 if device.startswith("cuda") else 1024
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    sync = sync_of(device) or (lambda: None)
    a @ a
    sync()
    began = time.perf_counter()
    for _ in range(10):
        a @ a
    sync()
    return 10 * 2 * side**3 / (time.perf_counter() - began)


def sync_of(device: str) -> Callable[[], None] | None:
    """What waits for a device, if it need be waited for."""
    return torch.cuda.synchronize if device.startswith("cuda") else None


if __name__ == "__main__":
    main()
