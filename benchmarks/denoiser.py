"""Our denoiser step and VAE decode against diffusers, in one run, as ratios: same width, depth, tokens and dtype.

What is compared, and what is not alike:
- our step, as `generate` runs it (context tokens cached), and our whole forward (context computed anew);
- `DiTTransformer2DModel`: one noise level a picture, no text, no control channels; its picture is square, so it has
  the nearest square number of tokens (361 for 360), and its MLP is 4 x width where ours is SwiGLU of about that size;
- `WanTransformer3DModel`: the tokens exactly, and cross-attention to as many text tokens as ours has in its context;
- our VAE decode, in chunks and whole, against `AutoencoderKLWan` of the 2.2 layout with our latents (16x16x4, 16
  channels), once as wide as ours at its widest, once with the parameters of ours.
Nets are cast to the dtype whole, also where diffusers would keep norms in fp32, which is to its advantage. Weights are
random: the time does not depend on them. GFLOP are counted from the products that were called.

    python -m benchmarks.denoiser [--size lite] [--video 256x160x33] [--dtype bf16] [--rounds 10] [--compile]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from benchmarks.common import Spread, interleaved, machine, ratio, save, table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from filmwright.models.attention import HEAD_DIM
from filmwright.models.catalog import SIZES, BackboneConfig
from filmwright.models.dit import CONTROL_CHANNELS, DiT
from filmwright.models.vae import VAE
from filmwright.spec.shapes import LatentShape, VideoShape

Case = tuple[Callable[[], Tensor], int]
"""What to time, and the parameters that it uses."""

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
DECODE_CHUNK = 3  # latent frames, as the engine does


def main() -> None:
    """Times everything that is installed, prints the tables, writes benchmarks/results/denoiser.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.denoiser")
    parser.add_argument("--size", default="lite", choices=SIZES)
    parser.add_argument("--video", default="256x160x33", help="width x height x frames")
    parser.add_argument("--dtype", default="bf16" if _native_bf16() else "fp32", choices=DTYPES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="compile all of them")
    parser.add_argument("--only", choices=["denoiser", "decode"], help="one half of the benchmark")
    parser.add_argument("--dry", action="store_true", help="write no result")
    asked = parser.parse_args()
    torch.manual_seed(0)
    told = machine()
    config = SIZES[asked.size]
    width, height, frames = map(int, asked.video.split("x"))
    shape = VideoShape(width=width, height=height, num_frames=frames, fps=16).latent(
        config.dit.latent_channels
    )
    place: dict[str, Any] = {"device": torch.device(asked.device), "dtype": DTYPES[asked.dtype]}
    sync = torch.cuda.synchronize if place["device"].type == "cuda" else None
    has_peer = _has_diffusers()
    if not has_peer:
        print("diffusers is not installed, so only our side is timed: pip install diffusers")
    figures: dict[str, Any] = {
        "size": asked.size,
        "video": asked.video,
        "dtype": asked.dtype,
        "device": asked.device,
    }
    wrap = torch.compile if asked.compile else (lambda function: function)
    with torch.inference_mode():
        for half, ours, peers in (
            ("denoiser", _our_denoiser, _their_denoisers),
            ("decode", _our_vae, _their_vae),
        ):
            if asked.only not in (None, half):
                continue
            cases = ours(config, shape, place) | (peers(config, shape, place) if has_peer else {})
            seconds = interleaved(
                {name: wrap(run) for name, (run, _) in cases.items()},
                rounds=asked.rounds,
                warmup=2,
                sync=sync,
            )
            figures[half] = _report(half, cases, seconds)
    if not asked.dry:
        print(f"\n{save('denoiser', told, figures)}")


def _report(half: str, cases: dict[str, Case], seconds: dict[str, list[float]]) -> dict[str, Any]:
    first = next(iter(cases))
    rows = [["case", "seconds", f"times {first}", "M parameters", "GFLOP"]]
    figures: dict[str, Any] = {}
    for name, (run, parameters) in cases.items():
        spent, times, flop = Spread.of(seconds[name]), ratio(seconds, name, first), _gflop(run)
        figures[name] = {
            "seconds": spent,
            f"times {first}": times,
            "parameters": parameters,
            "gflop": round(flop, 2),
        }
        rows.append([name, spent.text(digits=4), times.text("", 2), f"{parameters / 1e6:.2f}", f"{flop:.1f}"])
    table(f"{half}: median (quartiles)", rows)
    return figures


# ------------------------------------------------------------------------------------------------ ours


def _our_denoiser(config: BackboneConfig, shape: LatentShape, place: dict[str, Any]) -> dict[str, Case]:
    dit = _ready(DiT(config.dit), place)
    x = _latents(shape, place)
    levels = torch.full((1, shape.num_frames), 0.5, device=place["device"])
    text = torch.randn(1, config.text.length, config.text.dim, **place)
    controls = torch.randn(1, CONTROL_CHANNELS, *x.shape[2:], **place)
    pooled, cache = text[:, 0], dit.cache_context(text)
    size = _count(dit)
    return {
        "our step": (lambda: dit.step(x, levels, cache, pooled, controls)[0], size),
        "our whole forward": (lambda: dit(x, levels, text, pooled, controls), size),
    }


def _our_vae(config: BackboneConfig, shape: LatentShape, place: dict[str, Any]) -> dict[str, Case]:
    vae = _ready(VAE(config.vae), place).to(memory_format=torch.channels_last)
    z = _latents(shape, place)

    def in_chunks() -> Tensor:
        memory, last = vae.start(), z
        for i in range(0, z.shape[2], DECODE_CHUNK):
            last = vae.decode_chunk(z[:, :, i : i + DECODE_CHUNK], memory, first=i == 0)
        return last

    size = _count(vae.decoder)
    return {"our decode, in chunks": (in_chunks, size), "our decode, whole": (lambda: vae.decode(z), size)}


# ------------------------------------------------------------------------------------------------ theirs


def _their_denoisers(config: BackboneConfig, shape: LatentShape, place: dict[str, Any]) -> dict[str, Case]:
    from diffusers import DiTTransformer2DModel, WanTransformer3DModel

    patch, dit = config.dit.patch, config.dit
    tokens = shape.num_frames * (shape.height // patch) * (shape.width // patch)
    side = round(tokens**0.5)
    common = {
        "num_attention_heads": dit.dim // HEAD_DIM,
        "attention_head_dim": HEAD_DIM,
        "in_channels": dit.latent_channels,
        "out_channels": dit.latent_channels,
        "num_layers": dit.depth,
    }
    flat = _ready(DiTTransformer2DModel(**common, sample_size=side * patch, patch_size=patch), place)
    picture = torch.randn(1, dit.latent_channels, side * patch, side * patch, **place)
    when, label = torch.tensor([500], device=place["device"]), torch.tensor([1], device=place["device"])
    wan = _ready(
        WanTransformer3DModel(
            **common,
            patch_size=(1, patch, patch),
            text_dim=config.text.dim,
            ffn_dim=dit.hidden * 3 // 2,  # two matrices of this width have the parameters of SwiGLU's three
        ),
        place,
    )
    x = _latents(shape, place)
    text = torch.randn(1, config.text.length, config.text.dim, **place)
    return {
        f"diffusers DiT, {side * side} tokens": (
            lambda: flat(picture, when, label, return_dict=False)[0],
            _count(flat),
        ),
        f"diffusers Wan DiT, {tokens} tokens": (
            lambda: wan(x, when, text, return_dict=False)[0],
            _count(wan),
        ),
    }


def _their_vae(config: BackboneConfig, shape: LatentShape, place: dict[str, Any]) -> dict[str, Case]:
    size = _count(VAE(config.vae).decoder)
    with torch.device("meta"):
        sizes = {base: _count(_wan_vae(config, base).decoder) for base in range(4, 65, 4)}
    wide = max(4, max(config.vae.decoder_widths) // 4)  # its widest level is four times its base
    alike = min(sizes, key=lambda base: abs(sizes[base] - size))
    z = _latents(shape, place)
    cases: dict[str, Case] = {}
    for base, how in {wide: "our width", alike: "our parameters"}.items():
        vae = _ready(_wan_vae(config, base), place)
        cases[f"diffusers Wan VAE, {how}"] = (partial(_decode_whole, vae, z), _count(vae.decoder))
    return cases


def _decode_whole(vae: Any, z: Tensor) -> Tensor:
    frames: Tensor = vae.decode(z, return_dict=False)[0]
    return frames


def _wan_vae(config: BackboneConfig, base: int) -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=base,
        z_dim=config.vae.latent_channels,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )


# ------------------------------------------------------------------------------------------------ both


def _ready(net: Any, place: dict[str, Any]) -> Any:
    return net.to(**place).eval().requires_grad_(False)


def _latents(shape: LatentShape, place: dict[str, Any]) -> Tensor:
    return torch.randn(1, shape.channels, shape.num_frames, shape.height, shape.width, **place)


def _count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def _gflop(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def _native_bf16() -> bool:
    return torch.cuda.is_available() or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def _has_diffusers() -> bool:
    if find_spec("diffusers") is None:
        return False
    from diffusers.utils import logging

    logging.set_verbosity_error()  # it warns of every cast
    return True


if __name__ == "__main__":
    main()
