"""What a run on one of diffusers' pipelines needs: the pipeline itself, traced on the meta device.

All nets are shells (see `weights.diffusers_folder`), the pipeline believes that it runs on the meta device, and goes
its way from the words to the VAE's door: so every family is planned by what it does, not by a formula for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial, wraps
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from filmwright.engine.diffusers_runner import (
    as_method,
    build_pipeline,
    call_pipeline,
    diffusers_files,
    family_dtypes,
    heard,
    sounders,
)
from filmwright.engine.families import FAMILIES, as_pixels
from filmwright.engine.families_needs import FamilyNeeds, PhaseNeeds, TileNeeds
from filmwright.engine.families_sketch import kept_needs, kept_tiles, sketch_of
from filmwright.engine.families_tiles import both_ways, decoded
from filmwright.engine.trace import Trace
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.diffusers_folder import DiffusersFolder, quiet
from filmwright.weights.diffusers_sketch import DiffusersSketch
from filmwright.weights.places import places

__all__ = ["family_needs", "tile_needs"]

STEPS = 2  # that are traced; all others are as these
PROOFS = (5, 3, 1)  # latent frames that may be decoded both ways, whole and in tiles


def family_needs(
    request: Request, device: str, weights: Path | None, *, as_published: bool = False
) -> FamilyNeeds:
    """What a run of `request` needs; `as_published` that of a model that is not on this machine.

    Raises:
        WeightsError: the model's files are missing or damaged.
    """
    folder = _folder(request.model, device, weights, as_published=as_published).in_mode(request.quantize)
    asked = request.model_copy(update={"seed": 0, "steps": STEPS})
    find = partial(_needs, folder, asked, request.steps)
    return kept_needs(folder, request, find) if isinstance(folder, DiffusersSketch) else find()


def tile_needs(
    request: Request, device: str, weights: Path | None, *, as_published: bool = False
) -> TileNeeds:
    """What decoding in tiles needs; see `family_needs`."""
    folder = _folder(request.model, device, weights, as_published=as_published).in_mode(request.quantize)
    latents = family_needs(request, device, weights, as_published=as_published).latents
    asked = request.model_copy(update={"seed": 0, "steps": STEPS})
    find = partial(_tile_needs, folder, asked, latents)
    return kept_tiles(folder, request, find) if isinstance(folder, DiffusersSketch) else find()


def _folder(
    model: str, device: str, weights: Path | None, *, as_published: bool
) -> DiffusersFolder | DiffusersSketch:
    if as_published and weights is None and model not in places():
        return sketch_of(model, device, *family_dtypes(load_card(model), device))
    return diffusers_files(model, device, weights)[0]


@lru_cache(maxsize=4)
@torch.no_grad()
def _needs(folder: DiffusersFolder, request: Request, steps: int) -> FamilyNeeds:
    card = load_card(request.model)
    family = FAMILIES[card.family]
    folder.check(sounders(card, request))
    shells = {name: folder.shell(name) for name in folder.nets}
    sizes = {name: _bytes(net) for name, net in shells.items()}
    guided = request.guidance > 1
    pipe = build_pipeline(folder, card, request, {}, "meta")
    pipe.scheduler.set_timesteps = _on_cpu(pipe.scheduler.set_timesteps)
    blocks = [
        folder.shell(name).get_submodule(block) for name in folder.nets for block in folder.blocks(name)
    ]
    with quiet(), _Trace(shells.values(), folder.device, guided=guided) as trace, _alike(trace.trace, blocks):
        prepared = family.encode(pipe, request, "meta")
    encode = _phase(trace, {name: sizes[name] for name in family.readers})
    wanted = (folder.denoiser, *family.beside, *(family.lookers if request.controls else ()))
    with _Trace(shells.values(), folder.device, guided=guided) as trace, _alike(trace.trace, blocks):
        latents = call_pipeline(pipe, card, request, prepared)
    denoise = _phase(trace, {name: sizes[name] for name in wanted})
    z, sound = latents.picture, None
    if latents.sound is not None:
        names = sounders(card, request)
        with _Trace([shells[name] for name in names], folder.device, guided=guided) as trace:
            waves = heard([shells[name] for name in names], card, latents.sound)
        sound = _phase(trace, {name: sizes[name] for name in names})
        del waves
    decode = _decode_needs(folder, request, z)
    return FamilyNeeds(
        encode=encode,
        denoise=replace(
            denoise,
            products=denoise.products * steps / STEPS,
            convolutions=denoise.convolutions * steps / STEPS,
        ),
        sound=sound,
        decode=decode,
        dtype=folder.dtype,
        vae_dtype=folder.vae_dtype,
        loading={name: folder.largest_file(name) for name in folder.nets if not folder.streams(name)},
        streamed={name: folder.streamed_bytes(name) for name in folder.nets if folder.streams(name)},
        latents=(tuple(z.shape), z.dtype),
    )


@lru_cache(maxsize=4)
@torch.no_grad()
def _tile_needs(
    folder: DiffusersFolder, request: Request, latents: tuple[tuple[int, ...], torch.dtype]
) -> TileNeeds:
    shape, dtype = latents
    z = torch.zeros(shape, dtype=dtype, device="meta")
    known: Known = {}
    decode = _decode_needs(folder, request, z, known, tiles=True)
    card, vae, proofs = load_card(request.model), folder.shell("vae"), {}
    for count in (count for count in PROOFS if count < shape[2]):
        with _Trace([vae], folder.device) as trace, _decoding(vae, trace.trace, known) as calls:
            held = both_ways(vae, card, z[:, :, :count])
        half = len(calls) // 2
        if calls[:half] != calls[half:]:  # else both ways are one
            proofs[count] = trace.trace.peak
        del held
    return TileNeeds(decode=decode, proofs=proofs)


def _decode_needs(
    folder: DiffusersFolder, request: Request, z: Tensor, known: Known | None = None, *, tiles: bool = False
) -> PhaseNeeds:
    """What decoding latents needs."""
    vae, card = folder.shell("vae"), load_card(request.model)
    with _Trace([vae], folder.device) as trace, _decoding(vae, trace.trace, known):
        frames = decoded(vae, card, z, tiles=tiles)
        held = frames, as_pixels(frames[:, :, :8])
    needs = _phase(trace, {"vae": _bytes(vae)})
    del held
    return needs


@contextmanager
def _decoding(vae: Any, trace: Trace, known: Known | None = None) -> Iterator[list[object]]:
    """Within, pieces are traced as `_alike` does, and what blends them is left out, which takes nothing but time."""
    with ExitStack() as stack:
        for name in ("blend_v", "blend_h", "blend_t"):
            if hasattr(vae, name):
                stack.enter_context(as_method(vae, name, lambda _, after, __: after))
        yield stack.enter_context(_alike(trace, [vae.decoder], known))


Known = dict[object, tuple[int, int, int, int, Any]]
"""Of passes, by what they are like: bytes at the peak and left behind, operations, and what comes out."""


@contextmanager
def _alike(trace: Trace, modules: Iterable[nn.Module], known: Known | None = None) -> Iterator[list[object]]:
    """Within, of these modules' passes those that are alike are traced once, since there are many: of the blocks of a
    net, and of the pieces that a VAE decodes. Gives what each pass was like.
    """
    calls: list[object] = []
    known = {} if known is None else known
    behind: list[Tensor] = []  # what passes leave in memory beside what comes out, such as keys and values

    def once(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        weights = [tuple(p.shape) for p in module.parameters()]
        like = str((type(module), weights, tree_map(_form, (args, kwargs))))
        calls.append(like)
        if like in known:
            most, left, products, convolutions, out = known[like]
            trace.peak = max(trace.peak, trace.live + most)
            trace.product_flops += products
            trace.convolution_flops += convolutions
            behind.append(torch.empty(left, dtype=torch.uint8, device="meta"))
            return tree_map(_made, out)
        live, peak, trace.peak = trace.live, trace.peak, trace.live
        before = trace.product_flops, trace.convolution_flops
        out = forward(*args, **kwargs)
        most = trace.peak - live
        came = sum(x.nbytes for x in tree_leaves(out) if isinstance(x, Tensor))
        flops = trace.product_flops - before[0], trace.convolution_flops - before[1]
        known[like] = (most, max(trace.live - live - came, 0), *flops, tree_map(_form, out))
        trace.peak = max(peak, trace.peak)
        return out

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(as_method(module, "forward", partial(once, module, module.forward)))
        yield calls


@dataclass(frozen=True)
class _Form:
    """What a tensor is like."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def _form(x: object) -> object:
    return _Form(tuple(x.shape), x.dtype) if isinstance(x, Tensor) else x


def _made(x: object) -> object:
    return torch.empty(x.shape, dtype=x.dtype, device="meta") if isinstance(x, _Form) else x


def _phase(trace: _Trace, nets: dict[str, int]) -> PhaseNeeds:
    counted = trace.trace
    return PhaseNeeds(
        bytes=counted.peak, products=counted.product_flops, convolutions=counted.convolution_flops, nets=nets
    )


def _bytes(net: nn.Module) -> int:
    return sum(p.nbytes for p in (*net.parameters(), *net.buffers()))


def _on_cpu(set_timesteps: Callable[..., None]) -> Callable[..., None]:
    """A scheduler's levels are numbers that its steps read: they stay where they can be read."""

    @wraps(set_timesteps)
    def set_on_cpu(*args: Any, device: Any = None, **kwargs: Any) -> None:  # noqa: ARG001
        set_timesteps(*args, **kwargs)

    return set_on_cpu


class _Trace:
    """A `Trace` in which whatever a net is given is on the meta device, as it is."""

    def __init__(self, nets: Iterable[nn.Module], device: str, *, guided: bool = False) -> None:
        self.trace = Trace(*nets, device=device)
        self.nets = list(nets)
        self.answers = _Answers(guided=guided)
        self.hooks: list[Any] = []

    def __enter__(self) -> Self:
        for net in self.nets:
            rope: Any = getattr(net, "rope", None)
            if hasattr(rope, "_create_rope"):
                rope._create_rope = _mochi_rope  # noqa: SLF001 (its own asks for an autocast that meta has not)
            self.hooks.append(net.register_forward_pre_hook(_to_meta, with_kwargs=True))
        self.answers.__enter__()  # type: ignore[no-untyped-call]
        self.trace.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.trace.__exit__(*error)
        self.answers.__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self.hooks:
            hook.remove()


def _mochi_rope(freqs: Tensor, pos: Tensor) -> tuple[Tensor, Tensor]:
    turns = torch.einsum("nd,dhf->nhf", pos, freqs.float())
    return torch.cos(turns), torch.sin(turns)


def _to_meta(
    _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    moved = tree_map(lambda x: x.to("meta") if isinstance(x, Tensor) else x, (args, kwargs))
    return moved[0], moved[1]


class _Answers(TorchFunctionMode):
    """What the meta device does not know of contents: a mask picks half of the rows and its opposite the rest, not all
    tokens are words though each may be one, and what is asked of the guidance (the only other question) is `guided`.

    Numbers of the host that meet a tensor of the meta device go there.
    """

    def __init__(self, *, guided: bool) -> None:
        super().__init__()
        self.guided = guided

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answers what the meta device cannot; all else is as it was."""
        kwargs = kwargs or {}
        if func is torch.Tensor.__bool__ and args[0].is_meta:
            return self.guided and not hasattr(args[0], "of_all")
        if func is torch.Tensor.__getitem__ and _is_empty_mask(args[1]):
            rows = args[1].numel()
            count = rows // 2 if hasattr(args[1], "opposite") else rows - rows // 2
            return args[0].new_empty((count, *args[0].shape[args[1].ndim :]))
        if func in (torch.nonzero, torch.Tensor.nonzero) and args[0].is_meta:
            return args[0].new_empty((args[0].numel(), args[0].ndim), dtype=torch.long)
        tensors = [x for x in args if isinstance(x, Tensor)]
        if any(x.is_meta for x in tensors) and any(x.ndim and not x.is_meta for x in tensors):
            args = tuple(x.to("meta") if isinstance(x, Tensor) else x for x in args)
        found = func(*args, **kwargs)
        if func is torch.Tensor.__invert__:
            found.opposite = True
        elif func in (torch.Tensor.all, torch.all) and found.is_meta:
            found.of_all = True
        return found


def _is_empty_mask(index: object) -> bool:
    return isinstance(index, Tensor) and index.is_meta and index.dtype is torch.bool
