"""Wan from a folder to frames, ours against diffusers' pipeline: same random weights, dtypes, prompt, steps and shape.

Each run is a process of its own, as a user's is; runs of both sides take turns. Measured a run: seconds from the start
of the process to the first denoising step (import, weights, words), seconds a step (two passes: guidance is on), seconds
of decoding, and the highest memory of each phase. In fp32 the frames of both are compared; in bf16 both round differently.

Both run transformers and words in `--dtype` and the VAE in fp32, as diffusers advises and as we do on a CPU.

    python -m benchmarks.wan [--config small|mid] [--video 256x160x17] [--steps 4] [--rounds 3] [--dtype bf16] [--dry]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.common import Spread, machine, ratio, save, table

MODEL = "wan2.1-t2v-1.3b"
PROMPT = "a red ball"
# transformer, text encoder, VAE's width; a text encoder of some size, since loading it is part of the wait
CONFIGS: dict[str, dict[str, Any]] = {
    "small": {"net": {"num_attention_heads": 4, "ffn_dim": 2560, "num_layers": 6}, "text": 4, "vae": 32},
    "mid": {"net": {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 4}, "text": 8, "vae": 96},
}
VIDEOS = {"small": "256x160x17", "mid": "832x480x33"}
TEXT_DIM = 1024
MEASURES = ("first step", "step", "decode")
PHASES = ("encode", "denoise", "decode")


def main() -> None:
    """Runs both sides in turns, prints the table, writes benchmarks/results/wan-CONFIG.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wan")
    parser.add_argument("--config", default="small", choices=CONFIGS)
    parser.add_argument("--video", help="width x height x frames")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--dry", action="store_true", help="write no result")
    parser.add_argument("--side", choices=["ours", "diffusers"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.video = asked.video or VIDEOS[asked.config]
    if asked.side:
        found = (ours if asked.side == "ours" else theirs)(asked)
        print(json.dumps(found))
        return
    told = machine()
    if find_spec("diffusers") is None:
        print(
            "diffusers is not installed, so there is nothing to compare with: pip install diffusers transformers"
        )
        return
    with tempfile.TemporaryDirectory() as name:
        folder = build(asked.config, Path(name) / "model")
        os.environ["FILMWRIGHT_HOME"] = str(Path(name) / "home")
        add = ["models", "add", str(folder), "--as", MODEL, "--any-size"]  # once, as a user does
        subprocess.run([sys.executable, "-m", "filmwright.cli", *add], check=True, capture_output=True)
        runs: dict[str, list[dict[str, Any]]] = {"ours": [], "diffusers": []}
        for _ in range(asked.rounds):
            for side, results in runs.items():
                results.append(child(side, folder, asked))
        apart = None
        if asked.dtype == "fp32":
            import numpy as np

            a, b = (np.load(folder / f"{side}.npy") for side in runs)
            apart = float(np.abs(a.astype(float) - b.astype(float)).max())
    figures = report(runs) | {"config": asked.config, "video": asked.video, "dtype": asked.dtype}
    if apart is not None:
        print(f"largest difference of the frames: {apart:g} of 255")
        figures["largest difference"] = apart
    if not asked.dry:
        print(f"\n{save(f'wan-{asked.config}-{asked.dtype}', told, figures)}")


def child(side: str, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own."""
    words = ["--config", asked.config, "--video", asked.video, "--steps", asked.steps, "--dtype", asked.dtype]
    command = [sys.executable, "-m", "benchmarks.wan", "--side", side, "--folder", folder, *words]
    done = subprocess.run(
        [*map(str, command), "--began", str(time.time())], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The table of both sides, and the same as figures."""
    rows = [["measure", "ours", "diffusers", "diffusers / ours"]]
    figures: dict[str, Any] = {}
    for measure in MEASURES:
        seconds = {side: [run["seconds"][measure] for run in results] for side, results in runs.items()}
        spreads = {side: Spread.of(values) for side, values in seconds.items()}
        times = ratio(seconds, "diffusers", "ours")
        rows.append([f"{measure}, s", *(s.text(digits=2) for s in spreads.values()), times.text("", 2)])
        figures[measure] = {"seconds": spreads, "diffusers / ours": times}
    for phase in (*PHASES, "all"):
        most = {
            side: max(max(r["peaks"].values()) if phase == "all" else r["peaks"][phase] for r in results)
            for side, results in runs.items()
        }
        share = most["ours"] / most["diffusers"]
        rows.append(
            [f"peak, {phase}, MB", *(f"{v / 1e6:.0f}" for v in most.values()), f"ours is {share:.2f} of it"]
        )
        figures[f"peak {phase}"] = {"bytes": most, "ours / diffusers": round(share, 3)}
    table("Wan: median (quartiles)", rows)
    return figures


def ours(asked: argparse.Namespace) -> dict[str, Any]:
    """Our run, as `filmwright generate` makes it."""
    from filmwright.cli.main import hasten

    hasten()
    import numpy as np
    import torch

    from filmwright.engine import wan_runner
    from filmwright.engine.build_request import build_request
    from filmwright.engine.generate import generate_clip
    from filmwright.spec.events import Event, Finished, Progress, Started

    if asked.dtype == "fp32":  # frames are compared: the same levels, which diffusers ends otherwise
        from diffusers import FlowMatchEulerDiscreteScheduler

        scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
        scheduler.set_timesteps(asked.steps)
        wan_runner.wan_dtypes = lambda _: (torch.float32, torch.float32)
        wan_runner.timesteps = lambda *_, **__: [float(s) for s in scheduler.sigmas]
    width, height, frames = map(int, asked.video.split("x"))
    request = build_request(
        PROMPT, model=MODEL, size=(width, height), num_frames=frames, steps=asked.steps, seed=1, guidance=5.0,
        sampler="euler", negative="",
    )  # fmt: skip
    marks: dict[str, float] = {}

    def on_event(event: Event) -> None:
        match event:
            case Started(stage="denoise"):
                marks["begin"] = time.time()
            case Progress(stage="denoise"):
                marks["last"] = time.time()
            case Finished(stage="decode"):
                marks["end"] = time.time()

    clip = generate_clip(request, on_event=on_event, lone=True)
    np.save(asked.folder / "ours.npy", clip.frames)
    peaks = json.loads(clip.sidecar)["memory"]
    return {"seconds": spans(marks, asked), "peaks": {phase: peaks[phase] for phase in PHASES}}


def theirs(asked: argparse.Namespace) -> dict[str, Any]:
    """The run that diffusers' documentation shows for Wan."""
    import numpy as np
    import torch
    from diffusers import AutoencoderKLWan, WanPipeline

    torch.empty(1)  # torch has read its settings: none of ours reach it now
    from filmwright.engine.memory import peak, start_peak

    dtype = torch.float32 if asked.dtype == "fp32" else torch.bfloat16
    start_peak()
    vae = AutoencoderKLWan.from_pretrained(asked.folder / "vae", torch_dtype=torch.float32)
    pipeline = WanPipeline.from_pretrained(asked.folder, vae=vae, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    width, height, frames = map(int, asked.video.split("x"))
    shape = (1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    marks: dict[str, float] = {}
    peaks: dict[str, int] = {}
    prepare, decode = pipeline.prepare_latents, vae.decode

    def begun(*arguments: Any, **options: Any) -> Any:
        latents = prepare(*arguments, **options)
        peaks["encode"] = peak()
        start_peak()
        marks["begin"] = time.time()
        return latents

    def stepped(_: Any, step: int, time_step: Any, kept: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        marks["last"] = time.time()
        return kept

    def decoded(*arguments: Any, **options: Any) -> Any:
        peaks["denoise"] = peak()
        start_peak()
        frames = decode(*arguments, **options)
        peaks["decode"] = peak()
        return frames

    pipeline.prepare_latents, vae.decode = begun, decoded
    made = pipeline(
        PROMPT, negative_prompt="", width=width, height=height, num_frames=frames, num_inference_steps=asked.steps,
        guidance_scale=5.0, latents=noise, output_type="np", callback_on_step_end=stepped,
    )  # fmt: skip
    marks["end"] = time.time()
    np.save(asked.folder / "diffusers.npy", (made.frames[0] * 255).round().astype(np.uint8))
    return {"seconds": spans(marks, asked), "peaks": peaks}


def spans(marks: dict[str, float], asked: argparse.Namespace) -> dict[str, float]:
    """Moments as durations."""
    return {
        "first step": marks["begin"] - asked.began,
        "step": (marks["last"] - marks["begin"]) / asked.steps,
        "decode": marks["end"] - marks["last"],
    }


def build(config: str, folder: Path) -> Path:
    """A random Wan of a configuration, saved by diffusers' own classes."""
    import diffusers
    import tokenizers
    import torch
    import transformers

    sizes = CONFIGS[config]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *((f"\u2581{w}", -1.0) for w in PROMPT.split())]
    inner = tokenizers.Tokenizer(tokenizers.models.Unigram(words, unk_id=2))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    text = transformers.UMT5Config(
        vocab_size=32_000, d_model=TEXT_DIM, d_kv=64, d_ff=2816, num_layers=sizes["text"], num_heads=16
    )
    torch.manual_seed(0)
    pipeline = diffusers.WanPipeline(
        tokenizer=transformers.PreTrainedTokenizerFast(
            tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
        ),
        text_encoder=transformers.UMT5EncoderModel(text).to(torch.bfloat16),
        transformer=diffusers.WanTransformer3DModel(text_dim=TEXT_DIM, **sizes["net"]).to(torch.bfloat16),
        vae=diffusers.AutoencoderKLWan(base_dim=sizes["vae"]),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
    )
    pipeline.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
