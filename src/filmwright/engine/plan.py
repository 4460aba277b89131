"""Before a run: what each phase will need at its peak and how long it takes, and the first strategy that fits.

Nets are built without weights on the meta device and traced (`engine.trace`), so the plan knows any shape of any model
from its files' headers alone. To what a phase computes with come the weights that are in memory then, what the process
has in use already, the frames, and the video encoder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from filmwright.engine.attention import candidates
from filmwright.engine.devices import fast_dtype
from filmwright.engine.memory import available, give_back, resident
from filmwright.spec.errors import DoesNotFit, WeightsError
from filmwright.spec.plan import Phase, Plan, Strategy, say_bytes
from filmwright.spec.request import Keyframe, Request
from filmwright.weights.card import load_card

if TYPE_CHECKING:
    from filmwright.engine.families_plan import FamilyNeeds
    from filmwright.models.wan import WanTransformer
    from filmwright.models.wan_past import WanPast
    from filmwright.models.wan_vae import WanVAE
    from filmwright.models.wan_vae_layers import Memory
    from filmwright.weights.wan_folder import WanFolder
    from filmwright.weights.wan_sketch import WanSketch

__all__ = ["plan_for"]

MARGIN = 1.05  # a budget is met with this to spare: no prediction is exact
# measured on a CPU: bytes that kernels and threads keep, a phase
KERNELS = (20_000_000, 45_000_000, 90_000_000)
ENCODER = 20_000_000, 150  # bytes, and bytes a pixel, that x264 keeps
READING = 30_000_000  # bytes: a tensor on its way from a file
# bytes, and bytes a token, of size `lite` in bf16; a test holds them to a trace
POCKET_DENOISE = (2_100_000, 32_000)
POCKET_DECODE = 79  # bytes a pixel of a chunk
BANDS = 0.6  # of the products that a VAE's convolutions take plainly
GPU_FLOPS = 3e14  # a guess where nothing can be measured beforehand
STRATEGIES = (Strategy(nets="held"), Strategy(nets="staged"), Strategy(nets="streamed"))


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a phase computes: bytes beside the weights, and operations."""

    bytes: int = 0
    products: float = 0.0
    convolutions: float = 0.0

    def seconds(self, rates: tuple[float, float]) -> float:
        """At operations a second of products and of convolutions."""
        return self.products / rates[0] + self.convolutions / rates[1]


def plan_for(
    request: Request,
    *,
    device: str = "cpu",
    weights: Path | None = None,
    budget: int | None = None,
    as_published: bool = False,
    hold_frames: bool = False,
) -> Plan:
    """The plan of a run; `budget` in bytes, or what is free if not given.

    `hold_frames` counts all frames, which are held where a clip is wanted and not only a file.
    `as_published` plans a model that is not on this machine by its published sizes.

    Raises:
        DoesNotFit: no strategy fits; the message says the smallest budget that would do.
        WeightsError: the model's files are missing or damaged.
    """
    free = available(device) if budget is None else budget
    video = _video_bytes(request, device, hold=hold_frames)
    family = load_card(request.model).family
    if family == "wan":
        files = _wan_files(request.model, device, weights, as_published=as_published)
        plans = [_wan_plan(request, files, strategy, free, video) for strategy in STRATEGIES]
    elif family != "pocket":
        from filmwright.engine.families_plan import family_needs

        needs = family_needs(request, device, weights)
        plans = [_family_plan(request, needs, device, strategy, free, video) for strategy in STRATEGIES[:2]]
    else:
        plans = [_pocket_plan(request, device, weights, free, video)]
    for index, plan in enumerate(plans):
        if plan.peak * MARGIN <= free:
            others = [f"{p.strategy.said} would need {say_bytes(p.peak)}" for p in plans[:index]]
            fits = f"{plan.strategy.said}: {say_bytes(plan.peak)} of {say_bytes(free)}"
            return replace(plan, why="; ".join([fits, *others]))
    least = min(plans, key=lambda plan: plan.peak)
    highest = max(least.phases, key=lambda phase: phase.peak)
    what = "is free" if budget is None else "is the budget"
    needed = least.peak * MARGIN
    unit = 10**8 if needed >= 10**9 else 10**6
    enough = say_bytes(math.ceil(needed / unit) * unit)  # what is said must be enough: up, not to the nearest
    raise DoesNotFit(
        f"{request.width}x{request.height} with {request.num_frames} frames on {request.model} needs "
        f"{enough} (while it {highest.name}s, {least.strategy.said}) and {say_bytes(free)} {what}: "
        f"allow --memory {enough.replace(' ', '')}, or make it smaller or shorter"
    )


def _wan_files(model: str, device: str, weights: Path | None, *, as_published: bool) -> WanFolder | WanSketch:
    from filmwright.engine.wan_runner import wan_dtypes, wan_files
    from filmwright.weights.places import places
    from filmwright.weights.wan_sketch import WanSketch

    if as_published and weights is None and model not in places():
        return WanSketch(model, device, *wan_dtypes(device))
    return wan_files(model, device, weights)[0]


def _wan_plan(
    request: Request, folder: WanFolder | WanSketch, strategy: Strategy, free: int, video: int
) -> Plan:
    device = folder.device
    sizes = folder.sizes()
    works = _wan_works(folder, request)
    base = _base(device)
    denoisers = sizes["transformer"] + sizes.get("transformer_2", 0)
    pictured = any(isinstance(c, Keyframe) for c in request.controls)
    text = 2 * sizes["text_block"] + READING if strategy.nets == "streamed" else sizes["text"]
    encode = {"text": text + works["text"].bytes}
    if pictured:
        encode["vae"] = sizes["vae"] + works["pictures"].bytes
        encode["eye"] = 2 * sizes.get("eye", 0)
    one = max(sizes["transformer"], sizes.get("transformer_2", 0))
    if strategy.nets == "streamed":
        layers = folder.configs[0].layers
        one += (2 - layers) * sizes["block"] + READING
    decode = works["decode"].bytes + video
    if strategy.nets == "held":
        held = sizes["text"] + (sizes["vae"] + sizes.get("eye", 0) if pictured else 0)
        peaks = (
            base + held + max(v - sizes.get(k, 0) for k, v in encode.items()),
            base + held + denoisers + works["denoise"].bytes,
            base + held + denoisers + (0 if pictured else sizes["vae"]) + decode,
        )
    else:
        peaks = (
            base + max(encode.values()),
            base + one + works["denoise"].bytes,
            base + sizes["vae"] + decode,
        )
    rates = _rates(device, folder.dtype, folder.vae_dtype)
    seconds = (
        works["text"].seconds(rates) + (works["pictures"].seconds(rates) if pictured else 0.0),
        works["denoise"].seconds(rates),
        works["decode"].seconds(rates),
    )
    return _plan(request, device, folder.dtype, strategy, peaks, seconds, free)


@lru_cache(maxsize=4)
@torch.no_grad()
def _wan_works(folder: WanFolder | WanSketch, request: Request) -> dict[str, Work]:
    """What each part of a run on Wan computes."""
    from filmwright.engine.wan import given_frames
    from filmwright.engine.wan_runner import latent_shape, past_for
    from filmwright.models.wan import WanTransformer
    from filmwright.models.wan_vae import WanVAE
    from filmwright.weights.wan_folder import running_dtype
    from filmwright.weights.wan_text import WORDS

    config, shape = folder.configs[0], latent_shape(folder, request)
    works: dict[str, Work] = {}
    with torch.device("meta"):
        text = folder.text.shell()
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
            if folder.device == "cpu":  # a GPU's kernels keep no scores, as the trace takes torch's own to do
                net.attend = next(iter(candidates(folder.device, folder.dtype).values()))
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
    if suit(vae, folder.device):
        most, saved = (
            traced()[0],
            BANDS,
        )  # bands show what is in memory at once, and only one of them is traced
    more = max(shape[2] - 3, 0)
    products, convolutions = (
        len(strips) * (last + more * (last - before))
        for last, before in zip(chunks[-1], chunks[max(len(chunks) - 2, 0)], strict=True)
    )
    return Work(bytes=most, products=products, convolutions=convolutions * saved)


def _family_plan(
    request: Request, needs: FamilyNeeds, device: str, strategy: Strategy, free: int, video: int
) -> Plan:
    """A net is read while the file it comes from is in the host's memory too; after that a phase computes."""
    rates = _rates(device, needs.dtype, needs.vae_dtype)  # first: the kernels that it loads are in use then
    give_back(device)
    held, peaks = {"": _base_of_families(device)}, []
    for phase, more in ((needs.encode, 0), (needs.denoise, 0), (needs.decode, video)):
        if strategy.nets == "staged":
            held = {"": held[""]}
        highest = 0
        for name in phase.nets:
            new = needs.loading[name] if device == "cpu" and name not in held else 0
            held[name] = phase.nets[name]
            highest = max(highest, sum(held.values()) + new)
        peaks.append(max(highest, sum(held.values()) + phase.bytes + more))
    works = [Work(products=p.products, convolutions=p.convolutions) for p in needs.phases]
    encode, denoise, decode = (work.seconds(rates) for work in works)
    return _plan(request, device, needs.dtype, strategy, tuple(peaks), (encode, denoise, decode), free)


def _pocket_plan(request: Request, device: str, weights: Path | None, free: int, video: int) -> Plan:
    """The pocket model is small: its needs are lines through what a trace found, so that no run waits for one."""
    from filmwright.engine.pocket import DECODE_CHUNK
    from filmwright.models.vae import GROUP
    from filmwright.weights.backbone import NETS, read_manifest
    from filmwright.weights.files import shipped

    folder = weights or shipped(request.model)
    read_manifest(folder)
    dtype = fast_dtype(device)
    wide = dtype.itemsize // 2
    try:
        held = sum((folder / f"{net}.safetensors").stat().st_size for net in NETS)
    except OSError as error:
        raise WeightsError(
            f"{folder} holds no whole set of weights ({error.strerror}): pack it anew"
        ) from error
    shape = request.shape.latent(16)
    tokens = shape.num_frames * shape.height * shape.width // 4
    pixels = request.width * request.height * min(shape.num_frames, DECODE_CHUNK) * GROUP
    base = _base(device) + wide * held
    peaks = (
        base,
        base + wide * (POCKET_DENOISE[0] + POCKET_DENOISE[1] * tokens),
        base + wide * POCKET_DECODE * pixels + video,
    )
    return _plan(request, device, dtype, STRATEGIES[0], peaks, (None, None, None), free)


def _plan(
    request: Request,
    device: str,
    dtype: torch.dtype,
    strategy: Strategy,
    peaks: tuple[int, ...],
    seconds: tuple[float | None, float | None, float | None],
    free: int,
) -> Plan:
    if device == "cpu":
        # the pocket model's sums are small, and the libraries of the other families have a part of it in use already
        share = 1.0 if load_card(request.model).family == "wan" else 0.45
        peaks = tuple(int(p + share * k) for p, k in zip(peaks, KERNELS, strict=True))
    phases = (
        Phase(name="encode", peak=peaks[0], seconds=seconds[0]),
        Phase(name="denoise", peak=peaks[1], seconds=seconds[1]),
        Phase(name="decode", peak=peaks[2], seconds=seconds[2]),
    )
    return Plan(
        model=request.model,
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        strategy=strategy,
        phases=phases,
        budget=free,
    )


def _work(device: str, nets: tuple[nn.Module, ...], function: Callable[[], object]) -> Work:
    """What a function on the meta device holds and computes."""
    from filmwright.engine.trace import Trace

    with Trace(*nets, device=device) as trace:
        kept = function()
    del kept
    return Work(bytes=trace.peak, products=trace.product_flops, convolutions=trace.convolution_flops)


def _video_bytes(request: Request, device: str, *, hold: bool) -> int:
    """The frames that are held, and the encoder; on the host, so nothing on a GPU."""
    if device != "cpu":
        return 0
    pixels = request.width * request.height
    return pixels * (ENCODER[1] + (3 * request.num_frames if hold else 0)) + ENCODER[0]


@lru_cache(maxsize=4)
def _base(device: str) -> int:
    """What was in use before anything was loaded."""
    return resident(device)


@lru_cache(maxsize=4)
def _base_of_families(device: str) -> int:
    """As `_base`, once their libraries are there, which have some hundred megabytes."""
    return resident(device)


@lru_cache(maxsize=4)
def _rates(device: str, dtype: torch.dtype, vae_dtype: torch.dtype) -> tuple[float, float]:
    """Operations a second of products and convolutions, as a net gets them out of this machine; takes 0.1 s."""
    if device != "cpu":
        return GPU_FLOPS, GPU_FLOPS / 3
    a = torch.randn(512, 1024).to(dtype)
    b = torch.randn(1024, 1024).to(dtype)
    x = torch.randn(1, 64, 4, 48, 48).to(vae_dtype)
    w = torch.randn(64, 64, 3, 3, 3).to(vae_dtype)
    share = 0.6  # of what a bare operation reaches: norms, gates and copies take the rest
    products = _rate(lambda: a @ b, 2 * 512 * 1024 * 1024)
    convolved = 2 * 64 * 64 * 27 * 4 * 48 * 48
    convolutions = _rate(lambda: torch.nn.functional.conv3d(x, w, padding=1), convolved)
    return share * products, share * convolutions


def _rate(function: Callable[[], object], flops: float) -> float:
    function()
    began, runs = time.perf_counter(), 0
    while time.perf_counter() - began < 0.05:
        function()
        runs += 1
    return flops * runs / (time.perf_counter() - began)
