"""What the parts of a run on Wan compute, and what they hold in memory meanwhile; see `engine.plan`.

Nets are built without weights on the meta device and traced (`engine.trace`). All blocks of a transformer are alike,
all chunks of a decoder from the third on, and all bands of a convolution: one or two tell what any number takes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from filmwright.engine.attention import candidates
from filmwright.spec.home import home
from filmwright.spec.request import Keyframe, Request
from filmwright.weights.card import load_card

if TYPE_CHECKING:
    from filmwright.models.wan import WanTransformer
    from filmwright.models.wan_past import WanPast
    from filmwright.models.wan_vae import WanVAE
    from filmwright.models.wan_vae_layers import Memory
    from filmwright.weights.wan_folder import WanFolder
    from filmwright.weights.wan_sketch import WanSketch

__all__ = ["Work", "wan_works"]

KEPT = 200  # works on disk, a kilobyte each
BANDS = 0.6  # of the products that a VAE's convolutions take plainly
BESIDE = 1.2  # what convolving in bands takes, with what oneDNN and the C library keep beside it; measured


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a phase computes: bytes beside the weights, and operations."""

    bytes: int = 0
    products: float = 0.0
    convolutions: float = 0.0

    def seconds(self, rates: tuple[float, float]) -> float:
        """At operations a second of products and of convolutions."""
        return self.products / rates[0] + self.convolutions / rates[1]


@lru_cache(maxsize=4)
def wan_works(folder: WanFolder | WanSketch, request: Request) -> dict[str, Work]:
    """What each part of a run on Wan computes; what was found once is kept in $FILMWRIGHT_HOME/works."""
    from filmwright.engine.wan_runner import latent_shape

    card = load_card(request.model)
    decides = (
        latent_shape(folder, request), request.guidance != 1, request.steps, request.quantize, request.compile,
        request.attention,
        sorted(c.at for c in request.controls if isinstance(c, Keyframe)), (card.chunk, card.window, card.sink),
        folder.configs[0], folder.vae_config, folder.text.config, folder.device, folder.dtype, folder.vae_dtype,
        folder.first_frame_is_given, torch.__version__, _sources(),
    )  # fmt: skip
    path = home() / "works" / f"{hashlib.sha256(repr(decides).encode()).hexdigest()[:32]}.json"
    pictured = any(isinstance(c, Keyframe) for c in request.controls)
    works = _read(path, {"text", "denoise", "decode"} | ({"pictures"} if pictured else set()))
    if works is None:
        works = _traced(folder, request)
        with contextlib.suppress(OSError):  # a disk that takes nothing: the next plan traces again
            _write(path, works)
    return works


def _read(path: Path, parts: set[str]) -> dict[str, Work] | None:
    """The works of these parts that are kept in a file; None where there are none, or it is damaged."""
    try:
        told = json.loads(path.read_text("utf-8"))
        works = {name: Work(**item) for name, item in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    plain = {name: asdict(work) for name, work in works.items()}
    numbers = [number for item in plain.values() for number in item.values()]
    counts = all(isinstance(n, int | float) and 0 <= n < math.inf for n in numbers)
    return works if plain == told and works.keys() == parts and counts else None


def _write(path: Path, works: Mapping[str, Work]) -> None:
    """Keeps works in a file, whole or not at all, and forgets the oldest ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps({name: asdict(work) for name, work in works.items()}), "utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    for old in sorted(path.parent.glob("*.json"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)


@cache
def _sources() -> list[tuple[str, int, int]]:
    """The code whose change makes another work of the same request: names, sizes and times of change."""
    rooms = [Path(__file__).parents[1] / room for room in ("engine", "models", "weights")]
    files = sorted(p for room in rooms for p in room.glob("*.py"))
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]


@torch.no_grad()
def _traced(folder: WanFolder | WanSketch, request: Request) -> dict[str, Work]:
    from filmwright.engine.wan import given_frames
    from filmwright.engine.wan_runner import latent_shape, past_for
    from filmwright.models.quantized import QuantizedLinear, quantize_layers
    from filmwright.models.wan import WanTransformer
    from filmwright.models.wan_vae import WanVAE
    from filmwright.weights.wan_folder import running_dtype
    from filmwright.weights.wan_text import WORDS

    config, shape = folder.configs[0], latent_shape(folder, request)
    works: dict[str, Work] = {}
    with torch.device("meta"):
        text = folder.text.shell(request.quantize)
        ids = torch.zeros(1, WORDS, dtype=torch.long)
        guided = request.guidance != 1
        works["text"] = _work(folder.device, (text,), lambda: [text(ids) for _ in range(2 if guided else 1)])
        levels = torch.zeros(1, shape[2] if folder.first_frame_is_given else 1)

        def denoise(net: WanTransformer) -> object:
            words = torch.zeros(2 if guided else 1, WORDS, config.text_dim, dtype=folder.dtype)
            seen = None
            if config.image_dim is not None:
                seen = torch.zeros(1, config.image_tokens or 257, config.image_dim, dtype=folder.dtype)
            contexts = [net.context(words[:1], seen) for _ in range(2 if guided else 1)]
            x = torch.zeros(1, config.in_channels, *shape[2:], dtype=folder.dtype)
            kept = [torch.zeros(shape) for _ in range(6)]  # the sampler's
            return kept, [net(x, levels, context) for context in contexts]

        def built(layers: int) -> WanTransformer:
            net = WanTransformer(replace(config, layers=layers))
            for name, p in net.named_parameters():
                p.data = p.data.to(running_dtype(name, folder.dtype))
            if request.quantize != "none":
                quantize_layers(net.blocks, request.quantize)
                for module in net.modules():
                    if isinstance(module, QuantizedLinear):
                        module.fused = request.compile
            # the kernels of a GPU and flex keep no scores, as the trace takes torch's own to do
            if folder.device == "cpu" and request.attention != "flex":
                net.attend = next(iter(candidates(folder.device, folder.dtype, request.attention).values()))
            return net

        past = past_for(load_card(request.model), shape[2])
        if past is not None:  # its size is that of all blocks
            works["denoise"] = _rollout_work(built(config.layers), folder, shape, past, request.steps)
        else:  # all blocks are alike: nets of one and of two tell what any number takes
            one, two = (_work(folder.device, (net,), partial(denoise, net)) for net in map(built, (1, 2)))
            works["denoise"] = Work(
                bytes=two.bytes,
                products=(one.products + (config.layers - 1) * (two.products - one.products)) * request.steps,
                convolutions=one.convolutions * request.steps,
            )
        vae = WanVAE(folder.vae_config).to(folder.vae_dtype)
        works["decode"] = _decode_work(vae, folder, shape)
        shown = sorted(c.at for c in request.controls if isinstance(c, Keyframe))
        if shown:
            picture = torch.zeros(1, 3, request.height, request.width, dtype=folder.vae_dtype)
            works["pictures"] = _work(
                folder.device,
                (vae,),
                lambda: given_frames(
                    vae,
                    picture,
                    picture if len(shown) > 1 else None,
                    request.num_frames,
                    as_channels=not folder.first_frame_is_given,
                ),
            )
    return works


def _rollout_work(
    net: WanTransformer,
    folder: WanFolder | WanSketch,
    shape: tuple[int, ...],
    past: WanPast,
    steps: int,
) -> Work:
    """What making a clip chunk by chunk computes: each has its steps and the pass that it leaves behind, the last none.

    Its memory is that of the passes: they keep their past, which has its full size from the first on.
    """
    from filmwright.engine.trace import Trace
    from filmwright.weights.wan_text import WORDS

    marks = []
    with Trace(net, device=folder.device) as trace:
        kept = [torch.zeros(shape) for _ in range(2)]  # noise and what is clean
        context = net.context(torch.zeros(1, WORDS, net.config.text_dim, dtype=folder.dtype))
        own = [torch.zeros(*shape[:2], past.chunk, *shape[3:]) for _ in range(4)]  # the sampler's
        chunks = shape[2] // past.chunk
        x = own[0].to(folder.dtype)
        for index in (0, chunks - 1):
            past.done = index
            before = (trace.product_flops, trace.convolution_flops)
            net(x, torch.zeros(1, 1), context, past=past)
            after = (trace.product_flops, trace.convolution_flops)
            marks.append(tuple(a - b for a, b in zip(after, before, strict=True)))
    del kept, own
    # what a pass computes grows evenly with the chunks that it sees, until these are as many as it may see
    seen = [min(index + 1, past.places) for index in range(chunks)]
    passes = sum(steps + (index + 1 < chunks) for index in range(chunks))
    share = sum((steps + (i + 1 < chunks)) * (n - 1) for i, n in enumerate(seen)) / max(seen[-1] - 1, 1)
    products, convolutions = (
        first * passes + (last - first) * share for first, last in zip(*marks, strict=True)
    )
    return Work(bytes=trace.peak, products=products, convolutions=convolutions)


def _decode_work(vae: WanVAE, folder: WanFolder | WanSketch, shape: tuple[int, ...]) -> Work:
    """What decoding latents of `shape` computes: its strips one after the other, each like one from the middle."""
    from filmwright.engine.trace import Trace
    from filmwright.engine.wan_runner import WIDEST_STRIP
    from filmwright.models.strips import strips_of
    from filmwright.weights.wan_folder import suit

    strips = strips_of(shape, WIDEST_STRIP)
    strip = None if len(strips) == 1 else strips[len(strips) // 2]

    def traced() -> tuple[int, list[tuple[int, int]]]:
        """Bytes at the peak, and operations after each chunk; all chunks from the third on are alike."""
        chunks = []
        with Trace(vae, device=folder.device) as trace:
            memory: Memory = {}
            for _ in range(min(shape[2], 3)):
                z = torch.zeros(*shape[:2], 1, *shape[3:], dtype=folder.vae_dtype)
                vae.decode_chunk(z, memory, strip).float()
                chunks.append((trace.product_flops, trace.convolution_flops))
        return trace.peak, chunks

    most, chunks = traced()
    saved = 1.0
    if suit(vae, folder.device, folder.vae_dtype):
        # bands show what is in memory at once, and only the first of them is traced
        most, saved = int(BESIDE * traced()[0]), BANDS
    more = max(shape[2] - 3, 0)
    products, convolutions = (
        len(strips) * (last + more * (last - before))
        for last, before in zip(chunks[-1], chunks[max(len(chunks) - 2, 0)], strict=True)
    )
    return Work(bytes=most, products=products, convolutions=convolutions * saved)


def _work(device: str, nets: tuple[nn.Module, ...], function: Callable[[], object]) -> Work:
    """What a function on the meta device holds and computes."""
    from filmwright.engine.trace import Trace

    with Trace(*nets, device=device) as trace:
        kept = function()
    del kept
    return Work(bytes=trace.peak, products=trace.product_flops, convolutions=trace.convolution_flops)
