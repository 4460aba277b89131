"""Wan's nets at their published sizes on one GPU, ours and diffusers', with random weights: the table of a card.

A row is one thing of one side: a pass of the denoiser as the engine would run it (its choice of attention, compiled code,
CUDA graphs) and as diffusers does; decoding; and a whole clip from words to frames, through the engine's own runner and
through diffusers' pipeline. Each row has its seconds and its peak memory; a pass also its operations a second, as a share
of what a large product reaches here and of the card's data sheet. Sides are timed one after the other, each alone in
memory, so that a 14B model fits twice.

A whole clip is run at two numbers of steps, n and m, and said for all S of the model's steps by

    T(S) = T(m) + (S - m) * (T(m) - T(n)) / (m - n)

or run with all of them where the time that is left allows; the row says which. Words count: ours reads a prompt's own
tokens, diffusers' pipeline all 512 places.

Rows are written as they come. A run that is cut off, or whose --max-minutes are over, goes on with --resume.
`--dry-run` takes small nets on the CPU, to see that it runs. I2V-14B has passes and decoding; its whole clip needs a
picture's encoder and is left out.

    python -m benchmarks.wan_nets [--max-minutes 9] [--resume] [--models wan2.1-t2v-1.3b wan2.1-t2v-14b] [--i2v]
    python -m benchmarks.wan_nets --dry-run
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from benchmarks._wan_sides import TOKENS, Ours, RandomWan, Theirs, sync, tidy, timed
from benchmarks.common import RESULTS, Spread, machine, save, table

from filmwright.engine.attention import choose_attention
from filmwright.engine.build_request import build_request
from filmwright.engine.compiled import apart, can_compile, compiled_run
from filmwright.engine.graphs import GraphedPass, recorder
from filmwright.engine.memory import give_back
from filmwright.engine.trace import Trace
from filmwright.engine.wan_runner import CLIP_TOKENS
from filmwright.models.outline import outline
from filmwright.models.wan import WanTransformer
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.wan_text import WORDS

MODELS = ("wan2.1-t2v-1.3b", "wan2.1-t2v-14b")
PICTURED = "wan2.1-i2v-14b-480p"
SHEETS = (  # part of a card's name -> operations a second in bf16, dense, of its data sheet; the first that fits
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H200 NVL", 835e12),
    ("H100", 989e12),
    ("H200", 989e12),
    ("A100", 312e12),
)
VARIANTS = {  # of our pass -> (compiled, CUDA graph); attention is always the engine's choice
    "ours": (False, False),
    "ours, CUDA graph": (False, True),
    "ours, compiled": (True, False),
    "ours, compiled, CUDA graph": (True, True),
}
FEW = (2, 4)  # steps of a whole clip, n and m


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the rows that are not there yet, prints the tables, writes benchmarks/results/wan_nets.json."""
    asked = arguments(argv)
    if asked.dry_run:
        asked.device, asked.video, asked.rounds, asked.models = "cpu", "64x64x5", 1, asked.models[:1]
    elif not torch.cuda.is_available():
        print("there is no GPU here: --dry-run shows that the benchmark runs")
        return
    began, told = time.monotonic(), machine()
    asked.until = began + 60 * asked.max_minutes
    figures = earlier(asked, told)
    done: dict[str, Any] = figures["rows"]
    left = [(key, make) for key, make in rows(asked) if key not in done]
    with torch.inference_mode():
        for index, (key, make) in enumerate(left):
            if time.monotonic() > asked.until:
                print(f"\nthe time is over, {len(left) - index} rows are left: go on with --resume")
                break
            try:
                done[key] = make()
            except torch.cuda.OutOfMemoryError as error:
                done[key] = {"failed": str(error).splitlines()[0]}
            tidy(asked.device)
            print(f"{time.monotonic() - began:7.1f} s  {key}", flush=True)
            if asked.out is not None:
                save("wan_nets", told, figures, path=asked.out)
    tables(figures)
    if asked.out is not None:
        print(f"\n{asked.out}")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wan_nets")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=[*MODELS, PICTURED])
    parser.add_argument("--i2v", action="store_true", help=f"{PICTURED} as well")
    parser.add_argument("--video", default="832x480x81", help="width x height x frames")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5, help="of a pass and of decoding")
    parser.add_argument("--max-minutes", type=float, default=9.0, help="after which no row is begun")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are written already")
    parser.add_argument("--out", type=Path, help="where rows are written")
    parser.add_argument(
        "--dry-run", action="store_true", help="small nets on the CPU; written only with --out"
    )
    asked = parser.parse_args(argv)
    if asked.i2v and PICTURED not in asked.models:
        asked.models.append(PICTURED)
    if asked.out is None and not asked.dry_run:
        asked.out = RESULTS / "wan_nets.json"
    return asked


def earlier(asked: argparse.Namespace, told: dict[str, Any]) -> dict[str, Any]:
    """The figures to go on with: those that are written, if they are of this card and these versions; or none."""
    fresh: dict[str, Any] = {"video": asked.video, "prompt, tokens": TOKENS, "rows": {}}
    if not (asked.resume and asked.out is not None and asked.out.exists()):
        return fresh
    written = json.loads(asked.out.read_text())
    same = all(written["machine"].get(key) == told.get(key) for key in ("gpu", "cpu", "versions"))
    if not same or written["figures"]["video"] != asked.video:
        raise SystemExit(
            f"{asked.out} is of another machine, other versions or another video: leave --resume out"
        )
    figures: dict[str, Any] = written["figures"]
    return figures


def rows(asked: argparse.Namespace) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """What there is to do, by name, what matters most first."""
    yield "large product", lambda: product(asked)
    sides = ["ours", *(["diffusers"] if Theirs.installed() else [])]
    compiles = not asked.dry_run and can_compile(asked.device)
    for model in asked.models:
        for side in sides:
            yield f"{model}: pass: {side}", lambda m=model, s=side: one_pass(asked, m, s)
            yield f"{model}: decode: {side}", lambda m=model, s=side: decode(asked, m, s)
        for side in sides if model != PICTURED else []:
            yield f"{model}: whole: {side}", lambda m=model, s=side: whole(asked, m, s)
    for model in asked.models if not asked.dry_run else []:
        variants = [v for v, (compiled, _) in VARIANTS.items() if v != "ours" and (compiles or not compiled)]
        for side in [*variants, *(["diffusers, compiled"] if compiles and len(sides) > 1 else [])]:
            yield f"{model}: pass: {side}", lambda m=model, s=side: one_pass(asked, m, s)
        if compiles and model != PICTURED:
            yield f"{model}: whole: ours, compiled", lambda m=model: whole(asked, m, "ours, compiled")


def product(asked: argparse.Namespace) -> dict[str, Any]:
    """Operations a second of a large product in bf16, and of the card's data sheet where it is known."""
    side = 8192 if asked.device.startswith("cuda") else 512
    a = torch.randn(side, side, device=asked.device, dtype=torch.bfloat16)
    a @ a
    seconds, _ = timed(lambda: [a @ a for _ in range(10)], asked.device)
    name = torch.cuda.get_device_name(asked.device) if asked.device.startswith("cuda") else "cpu"
    sheet = next((rate for part, rate in SHEETS if part in name), None)
    return {
        "TFLOP/s": 10 * 2 * side**3 / seconds / 1e12,
        "data sheet, TFLOP/s": sheet and sheet / 1e12,
        "card": name,
    }


def request_of(asked: argparse.Namespace, model: str, **settings: Any) -> Request:
    width, height, frames = map(int, asked.video.split("x"))
    return build_request(
        "a red ball rolls", model=model, size=(width, height), num_frames=frames, seed=0, **settings
    )


def latents_of(asked: argparse.Namespace, folder: RandomWan) -> tuple[int, int, int]:
    """Latent frames, rows and columns."""
    width, height, frames = map(int, asked.video.split("x"))
    factor = 8 * folder.vae_config.patch
    return (frames - 1) // 4 + 1, height // factor, width // factor


def one_pass(asked: argparse.Namespace, model: str, side: str) -> dict[str, Any]:
    """One pass of the denoiser."""
    folder = RandomWan(model, asked.device, tiny=asked.dry_run)
    config, shape = folder.configs[0], latents_of(asked, folder)
    place: dict[str, Any] = {"device": asked.device, "dtype": folder.dtype}
    x = torch.randn(1, config.in_channels, *shape, **place)
    words = torch.randn(1, WORDS, config.text_dim, **place)
    seen = None if config.image_dim is None else torch.randn(1, CLIP_TOKENS, config.image_dim, **place)
    levels, when = (torch.full(s, v, device=asked.device) for s, v in (((1, 1), 0.5), ((1,), 500.0)))
    told: dict[str, Any] = {}
    if side.startswith("ours"):
        compiled, graphed = VARIANTS[side]
        net, count = folder.transformer(), shape[0] * shape[1] * shape[2] // 4
        attended = {"itself": (count, count), "words": (count, WORDS)}
        attend, found = choose_attention(asked.device, folder.dtype, attended, config.head_dim)
        told["attention"] = next(name for name, proof in found.items() if not proof["dropped"]).removeprefix(
            "attention "
        )
        net.attend = apart(attend) if compiled else attend
        if compiled:
            net.run = compiled_run(asked.device)
        context = net.context(words, seen)
        graph = GraphedPass(recorder(asked.device)) if graphed else None
        work = (lambda: graph(net, x, levels, context)) if graph else (lambda: net(x, levels, context))
        if graph is not None:
            told["CUDA graph"] = graph.proof
    else:
        other = Theirs(folder).transformer
        if "compiled" in side:
            other = torch.compile(other, mode="max-autotune-no-cudagraphs", dynamic=False)
        work = lambda: other(x, when, words, seen, return_dict=False)[0]  # noqa: E731
    return told | measured(asked, work) | {"TFLOP": flops(config, shape) / 1e12}


@cache
@torch.inference_mode(mode=False)
@torch.no_grad()
def flops(config: Any, shape: tuple[int, int, int]) -> float:
    """Operations of a pass, attention's two products among them."""
    with outline():
        net = WanTransformer(config).to(torch.bfloat16)
    with torch.device("meta"), Trace(net, device="cuda") as trace:
        seen = (
            None
            if config.image_dim is None
            else torch.zeros(1, CLIP_TOKENS, config.image_dim, dtype=torch.bfloat16)
        )
        context = net.context(torch.zeros(1, WORDS, config.text_dim, dtype=torch.bfloat16), seen)
        net(torch.zeros(1, config.in_channels, *shape, dtype=torch.bfloat16), torch.zeros(1, 1), context)
    return trace.product_flops + trace.convolution_flops


def decode(asked: argparse.Namespace, model: str, side: str) -> dict[str, Any]:
    """Latents to frames on the host, in what each decodes in: ours as the engine does it, in strips where it is wide."""
    folder = RandomWan(model, asked.device, tiny=asked.dry_run)
    z = torch.randn(1, folder.vae_config.channels, *latents_of(asked, folder), device=asked.device)
    if side == "ours":
        from filmwright.engine.journal import Latents

        runner = Ours(model, folder).runner
        return measured(asked, lambda: sum(len(frames) for frames in runner.decode(Latents(picture=z))))
    vae = Theirs(folder).vae

    def theirs() -> None:
        vae.decode(z.to(folder.vae_dtype), return_dict=False)[0].cpu()

    return measured(asked, theirs)


def measured(asked: argparse.Namespace, work: Callable[[], object]) -> dict[str, Any]:
    """Seconds of some rounds after one that does not count, and the most bytes of any, nets and all."""
    work()
    sync(asked.device)
    give_back(asked.device)
    runs = [timed(work, asked.device) for _ in range(asked.rounds)]
    return {
        "seconds": Spread.of([seconds for seconds, _ in runs]).plain(),
        "peak": max(most for _, most in runs),
    }


def whole(asked: argparse.Namespace, model: str, side: str) -> dict[str, Any]:
    """A clip from words to frames, at few steps, and at all where there is time."""
    folder, steps = RandomWan(model, asked.device, tiny=asked.dry_run), load_card(model).steps
    runner: Any = Theirs(folder) if side.startswith("diffusers") else Ours(model, folder)
    settings = {"compile": True} if "compiled" in side else {}
    runner.run(request_of(asked, model, steps=FEW[0], **settings))  # loads, chooses, compiles
    runs = {n: runner.run(request_of(asked, model, steps=n, **settings)) for n in FEW}
    few, more = (runs[n].whole for n in FEW)
    said = more + (steps - FEW[1]) * max(more - few, 0.0) / (FEW[1] - FEW[0])
    told: dict[str, Any] = {
        "steps": steps, "at few steps": {str(n): run.seconds for n, run in runs.items()},
        "peaks": runs[FEW[1]].peaks, "seconds": said, "run whole": False,
    }  # fmt: skip
    if said < asked.until - time.monotonic() and not asked.dry_run:
        run = runner.run(request_of(asked, model, steps=steps, **settings))
        told |= {
            "seconds": run.whole,
            "predicted": said,
            "phases": run.seconds,
            "peaks": run.peaks,
            "run whole": True,
        }
    return told


def tables(figures: dict[str, Any]) -> None:
    """Prints what is known, against diffusers where it is."""
    done, found = figures["rows"], figures["rows"].get("large product", {})
    for what in ("pass", "decode", "whole"):
        head = ["model", "side", "seconds", "peak, GB", "times diffusers"]
        lines = [[*head, *(["TFLOP/s", "of a large product", "of the data sheet"] if what == "pass" else [])]]
        for key, row in done.items():
            model, _, rest = key.partition(": ")
            if not rest.startswith(f"{what}: "):
                continue
            side = rest.removeprefix(f"{what}: ")
            if "failed" in row:
                lines.append([model, side, row["failed"][:60], *[""] * (len(lines[0]) - 3)])
                continue
            seconds, other = median(row), done.get(f"{model}: {what}: diffusers", {})
            times = f"{median(other) / seconds:.2f}" if "seconds" in other else ""
            most = max(row["peaks"].values()) if "peaks" in row else row["peak"]
            line = [model, side, f"{seconds:.3f}", f"{most / 1e9:.2f}", times]
            if what == "pass":
                rate, sheet = row["TFLOP"] / seconds, found.get("data sheet, TFLOP/s")
                shares = [f"{rate / base:.0%}" if base else "" for base in (found.get("TFLOP/s"), sheet)]
                line += [f"{rate:.1f}", *shares]
            lines.append(line)
        if len(lines) > 1:
            table(f"{what}: {figures['video']}", lines)


def median(row: dict[str, Any]) -> float:
    """A row's seconds."""
    seconds = row["seconds"]
    return float(seconds["median"] if isinstance(seconds, dict) else seconds)


if __name__ == "__main__":
    main()
