"""Before a run: what each phase will need at its peak and how long it takes, and the first strategy that fits.

Nets are built without weights on the meta device and traced (`engine.trace`), so the plan knows any shape of any model
from its files' headers alone. To what a phase computes with come the weights that are in memory then, what the process
has in use already, the frames, and the video encoder.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from filmwright.diffusion.schedules import timesteps
from filmwright.engine.check_sampling import shift_of
from filmwright.engine.devices import fast_dtype
from filmwright.engine.gate import passes_share
from filmwright.engine.host_tier import with_host
from filmwright.engine.memory import available, give_back, resident
from filmwright.engine.rates import kept_rates, rates_of
from filmwright.engine.wan_work import Work, wan_works
from filmwright.spec.compositions import AS_THEY_ARE
from filmwright.spec.errors import DoesNotFit, WeightsError
from filmwright.spec.plan import Phase, Plan, Strategy, say_bytes
from filmwright.spec.request import Keyframe, Request
from filmwright.weights.card import load_card
from filmwright.weights.places import places
from filmwright.weights.tensor_file import tensor_places

if TYPE_CHECKING:
    from filmwright.engine.families_needs import FamilyNeeds
    from filmwright.weights.wan_folder import WanFolder
    from filmwright.weights.wan_sketch import WanSketch

__all__ = ["plan_for"]

SLACK = 4_000_000  # bytes that the process which is allowed so much may have in use more than this one
MARGIN = 1.05  # a budget is met with this to spare: no prediction is exact
# measured on a CPU: bytes that kernels and threads keep, a phase
KERNELS = (5_000_000, 45_000_000, 45_000_000)  # of Wan
LIGHT_KERNELS = (9_000_000, 20_000_000, 40_000_000)  # of the pocket model, whose sums are small
FAMILY_KERNELS = (
    9_000_000,
    35_000_000,
    40_000_000,
)  # of the others, whose libraries have a part in use already
ENCODER = 20_000_000, 150  # bytes, and bytes a pixel, that x264 keeps
READING = 30_000_000  # bytes: a tensor on its way from a file
SIGNING = 11_000_000  # bytes of what signs a file
RUNNING = 40_000_000  # bytes of what a run imports and a plan alone does not, such as what signs a file
COMPILER = 90_000_000  # bytes that compiling leaves in use, measured on a CPU
# bytes, and bytes a token, of size `lite` in bf16; a test holds them to a trace
POCKET_DENOISE = (2_100_000, 32_000)
POCKET_DECODE = 79  # bytes a pixel of a chunk
STRATEGIES = (Strategy(nets="held"), Strategy(nets="staged"), Strategy(nets="streamed"))


@dataclass(frozen=True, kw_only=True)
class _More:
    """What a run has in memory beside nets and their work."""

    frames: int  # bytes, while it decodes
    loras: int  # numbers, beside the denoiser
    reading: int  # bytes of the LoRAs' files, which are in memory before it works

    def denoising(self, work: int, dtype: torch.dtype) -> int:
        """Bytes beside the weights while a denoiser that runs in `dtype` computes with `work` bytes."""
        return self.loras * dtype.itemsize + max(work, self.reading)


def plan_for(
    request: Request,
    *,
    device: str = "cpu",
    weights: Path | None = None,
    budget: int | None = None,
    as_published: bool = False,
    hold_frames: bool = False,
    elsewhere: bool = False,
    lone: bool = False,
) -> Plan:
    """The plan of a run; `budget` in bytes, or what is free if not given.

    `hold_frames` counts all frames, which are held where a clip is wanted and not only a file.
    A `lone` clip is the only one that its process makes, so no net is kept for the next.
    `as_published` plans a model that is not on this machine by its published sizes. A plan for a run `elsewhere`, in a
    process of its own, leaves out what finding it has brought into this one.

    Raises:
        DoesNotFit: no strategy fits; the message says the smallest budget that would do.
        WeightsError: the model's files are missing or damaged.
    """
    free = available(device) if budget is None else budget
    loras, files_of_loras = _loras(request, device, weights)
    more = _More(frames=_video_bytes(request, device, hold=hold_frames), loras=loras, reading=files_of_loras)
    base = _Base(device, elsewhere=elsewhere)
    family = load_card(request.model).family
    files = _wan_files(request.model, device, weights, as_published=as_published) if family == "wan" else None

    def plans_of(request: Request) -> list[Plan]:
        if files is not None:
            return _wan_plans(request, files, base, free, more, request.quantize)
        if family == "pocket":
            return [_pocket_plan(request, device, weights, base, free, more)]
        return _family_plans(request, device, weights, free, more, as_published=as_published)

    plans = plans_of(request)
    if lone and len(plans) > 1:
        plans = [plan for plan in plans if plan.strategy.nets != "held"]
    for index, plan in enumerate(plans):
        if plan.peak * MARGIN <= free:
            others = [f"{p.strategy.said} would need {say_bytes(p.peak)}" for p in plans[:index]]
            fits = f"{plan.strategy.said}: {say_bytes(plan.peak)} of {say_bytes(free)}"
            if request.quantize != "none":
                # of Wan the work is the request's, which the exact nets do with less
                exact_plans = (
                    _wan_plans(request, files, base, free, more, "none")
                    if files is not None
                    else plans_of(request.model_copy(update={"quantize": "none"}))
                )
                exact = _first_that_fits(exact_plans, free)
                plan = replace(plan, strategy=replace(plan.strategy, exact=exact))
            return replace(plan, why="; ".join([fits, *others]))
    least = min(plans, key=lambda plan: plan.peak)
    highest = max(least.phases, key=lambda phase: phase.peak)
    what = "is free" if budget is None else "is the budget"
    needed = least.peak * MARGIN + SLACK
    tens = (
        math.ceil(needed / 10**7) * 10
    )  # of megabytes: what is said must be enough, up and not to the nearest
    enough = f"{tens / 1000:.2f} GB" if tens >= 1000 else f"{tens} MB"
    raise DoesNotFit(
        f"{request.width}x{request.height} with {request.num_frames} frames on {request.model} needs "
        f"{enough} (while it {highest.name}s, {least.strategy.said}) and {say_bytes(free)} {what}: "
        f"allow --memory {enough.replace(' ', '')}, or make it smaller or shorter"
        + _lighter(request, free, plans_of)
    )


def _first_that_fits(plans: list[Plan], free: int) -> Literal["held", "staged", "streamed"] | None:
    return next((plan.strategy.nets for plan in plans if plan.peak * MARGIN <= free), None)


def _lighter(request: Request, free: int, plans_of: Callable[[Request], list[Plan]]) -> str:
    """What else would do, where eight bits would."""
    if load_card(request.model).family in AS_THEY_ARE or request.quantize != "none":
        return ""
    fits = _first_that_fits(plans_of(request.model_copy(update={"quantize": "int8"})), free)
    return "" if fits is None else "; with --quantize int8 it would fit as it is"


def _wan_files(model: str, device: str, weights: Path | None, *, as_published: bool) -> WanFolder | WanSketch:
    from filmwright.engine.wan_runner import wan_dtypes, wan_files
    from filmwright.weights.wan_sketch import WanSketch

    if as_published and weights is None and model not in places():
        return WanSketch(model, device, *wan_dtypes(device))
    return wan_files(model, device, weights)[0]


def _wan_plans(
    request: Request, files: WanFolder | WanSketch, before: _Base, free: int, more: _More, mode: str
) -> list[Plan]:
    """With each strategy; weights in `mode`, the work that of the request: eight bits take a little more of it."""
    with before.working():
        works = wan_works(files, request)
    base = before.bytes
    rates = rates_of(files.device, files.dtype, files.vae_dtype, anew=before.elsewhere)
    return [
        _wan_plan(request, files, works, base, rates, strategy, free, more, mode) for strategy in STRATEGIES
    ]


def _wan_plan(
    request: Request,
    folder: WanFolder | WanSketch,
    works: dict[str, Work],
    base: int,
    rates: tuple[float, float],
    strategy: Strategy,
    free: int,
    more: _More,
    mode: str,
) -> Plan:
    device = folder.device
    sizes = folder.sizes(mode)
    denoisers = sizes["transformer"] + sizes.get("transformer_2", 0)
    pictured = any(isinstance(c, Keyframe) for c in request.controls)
    text = 2 * sizes["text_block"] + READING if strategy.nets == "streamed" else sizes["text"]
    encode = {"text": text + works["text"].bytes}
    if pictured:
        encode["encoder"] = sizes["encoder"] + works["pictures"].bytes
        encode["eye"] = 2 * sizes.get("eye", 0)
    one = max(sizes["transformer"], sizes.get("transformer_2", 0))
    if strategy.nets == "streamed":
        layers = folder.configs[0].layers
        one += (2 - layers) * sizes["block"] + READING
        strategy = with_host(strategy, device, layers * sizes["block"])
    denoise = more.denoising(works["denoise"].bytes, folder.dtype)
    decode = works["decode"].bytes + more.frames
    if strategy.nets == "held":
        held = sizes["text"] + (sizes["encoder"] + sizes.get("eye", 0) if pictured else 0)
        peaks = (
            base + held + max(v - sizes.get(k, 0) for k, v in encode.items()),
            base + held + denoisers + denoise,
            base + held + denoisers + sizes["decoder"] + decode,
        )
    else:
        peaks = (
            base + max(encode.values()),
            base + one + denoise,
            base + sizes["decoder"] + decode,
        )
    if request.cuda_graphs:  # one keeps what its pass takes while the exact pass of another takes as much
        peaks = (peaks[0], peaks[1] + works["denoise"].bytes, peaks[2])
    if request.compile and device == "cpu":
        peaks = (peaks[0], peaks[1] + COMPILER, peaks[2] + COMPILER)
    times = timesteps(request.steps, shift=shift_of(request, load_card(request.model)) or 1.0)
    seconds = (
        works["text"].seconds(rates) + (works["pictures"].seconds(rates) if pictured else 0.0),
        works["denoise"].seconds(rates) * passes_share(times, request.guidance_down_to),
        works["decode"].seconds(rates),
    )
    return _plan(request, device, folder.dtype, strategy, peaks, seconds, free)


def _family_plans(
    request: Request, device: str, weights: Path | None, free: int, more: _More, *, as_published: bool
) -> list[Plan]:
    """With each strategy; where none fits, with those again that decode in tiles, which are not exact."""
    from filmwright.engine.families_plan import family_needs, tile_needs

    needs = family_needs(request, device, weights, as_published=as_published)
    plans = [_family_plan(request, needs, device, strategy, free, more) for strategy in STRATEGIES]
    if all(plan.peak * MARGIN > free for plan in plans):
        tiles = tile_needs(request, device, weights, as_published=as_published)
        small = replace(needs, decode=tiles.decode)
        for strategy in STRATEGIES:
            tiled = replace(strategy, tiles=True)
            plan = _family_plan(request, small, device, tiled, free, more)
            for count, most in tiles.proofs.items():  # as many as fit
                both = replace(tiles.decode, bytes=max(tiles.decode.bytes, most))
                proved = replace(tiled, proof=count)
                checked = _family_plan(request, replace(small, decode=both), device, proved, free, more)
                if checked.peak * MARGIN <= free:
                    plan = checked
                    break
            plans.append(plan)
    return plans


def _family_plan(
    request: Request, needs: FamilyNeeds, device: str, strategy: Strategy, free: int, more: _More
) -> Plan:
    """A net is read tensor by tensor, or while the file it comes from is in the host's memory too; after that a phase
    computes.
    """
    # first: the kernels that it loads are in use then
    rates = rates_of(device, needs.dtype, needs.vae_dtype, anew=True)
    give_back(device)
    sizes = needs.streamed if strategy.nets == "streamed" else {}  # of nets that are read block by block
    held, peaks, seconds = {"": _base_of_families(device)}, [], []
    for phase in (needs.encode, needs.denoise, needs.sound, needs.decode):
        if phase is None:
            continue
        if strategy.nets != "held":
            held = {"": held[""]}
        highest = 0
        for name in phase.nets:
            new = needs.loading.get(name, READING) if device == "cpu" and name not in held else 0
            held[name] = sizes.get(name, phase.nets[name])
            highest = max(highest, sum(held.values()) + new)
        work = phase.bytes + (more.frames if phase is needs.decode else 0)
        if phase is needs.denoise:
            work = more.denoising(work, needs.dtype)
        reading = READING if device == "cpu" and sizes.keys() & phase.nets.keys() else 0
        peaks.append(max(highest, sum(held.values()) + work + reading))
        seconds.append(Work(products=phase.products, convolutions=phase.convolutions).seconds(rates))
    streamed = max((needs.denoise.nets.get(name, 0) for name in sizes), default=0)
    strategy = with_host(strategy, device, streamed)
    parts = (peaks[0], peaks[1], max(peaks[2:])), (seconds[0], seconds[1], sum(seconds[2:]))
    return _plan(request, device, needs.dtype, strategy, *parts, free)


def _pocket_plan(
    request: Request, device: str, weights: Path | None, before: _Base, free: int, more: _More
) -> Plan:
    """The pocket model is small: its needs are lines through what a trace found, so that no run waits for one.

    Nor does one wait for rates: a plan that is asked for measures them, a run takes those that are kept.
    """
    from filmwright.engine.pocket import DECODE_CHUNK, pocket_works
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
    base = before.bytes + wide * held
    find = partial(rates_of, anew=True) if before.elsewhere else kept_rates
    rates = find(device, dtype, dtype)
    seconds = [None if rates is None else work.seconds(rates) for work in pocket_works(request)]
    peaks = (
        base,
        base + wide * (POCKET_DENOISE[0] + POCKET_DENOISE[1] * tokens),
        base + wide * POCKET_DECODE * pixels + more.frames,
    )
    return _plan(request, device, dtype, STRATEGIES[0], peaks, (seconds[0], seconds[1], seconds[2]), free)


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
        family = load_card(request.model).family
        kernels = {"wan": KERNELS, "pocket": LIGHT_KERNELS}.get(family, FAMILY_KERNELS)
        peaks = tuple(p + k for p, k in zip(peaks, kernels, strict=True))
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


def _loras(request: Request, device: str, weights: Path | None) -> tuple[int, int]:
    """Numbers in the LoRAs that are computed beside a denoiser, the model's own among them; and bytes of their files,
    nothing on a GPU, whose host reads them.
    """
    place = places().get(request.model) if weights is None else None
    own = place.loras if place else ()
    for lora in own:
        lora.check()
    asked = [(lora.expert, lora.path) for lora in own]
    asked += [(lora.expert, Path(lora.path)) for lora in request.loras]
    if request.merge_lora or not asked:
        return 0, 0
    found = [(expert, list(tensor_places([path]).values())) for expert, path in asked]
    experts = [[t for expert, ts in found if expert in ("both", one) for t in ts] for one in ("high", "low")]
    numbers = max(sum(tensor.count for tensor in tensors) for tensors in experts)
    return numbers, max(sum(t.bytes for t in ts) for ts in experts) if device == "cpu" else 0


def _video_bytes(request: Request, device: str, *, hold: bool) -> int:
    """The frames that are held, and the encoder; on the host, so nothing on a GPU."""
    if device != "cpu":
        return 0
    pixels = request.width * request.height
    return pixels * (ENCODER[1] + (3 * request.num_frames if hold else 0)) + ENCODER[0]


@lru_cache(maxsize=4)
def _base(device: str) -> int:
    """What is in use before anything is loaded."""
    return resident(device)


class _Base:
    """Bytes in use before a run loads anything, and what tracing has added to them in this process."""

    grown: ClassVar[dict[str, int]] = {}  # device -> bytes, since the process began

    def __init__(self, device: str, *, elsewhere: bool) -> None:
        self.device, self.elsewhere, self.fresh = device, elsewhere, _base(device)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Within, something may be traced, which brings torch's compiler along."""
        before = resident(self.device)
        yield
        if resident(self.device) - before > READING:
            give_back(self.device)  # what tracing has left behind: only the libraries stay
        more = max(resident(self.device) - before, 0)
        self.grown[self.device] = self.grown.get(self.device, 0) + more

    @property
    def bytes(self) -> int:
        """What a run begins with."""
        if self.elsewhere:
            return self.fresh + (RUNNING if self.device == "cpu" else 0)
        signing = SIGNING if self.device == "cpu" and "c2pa" not in sys.modules else 0
        return self.fresh + self.grown.get(self.device, 0) + signing


@lru_cache(maxsize=4)
def _base_of_families(device: str) -> int:
    """As `_base`, once their libraries are there, which have some hundred megabytes."""
    return resident(device)
