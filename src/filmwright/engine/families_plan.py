"""What a run on one of diffusers' pipelines needs: the pipeline itself, traced on the meta device.

All nets are shells (see `weights.diffusers_folder`), the pipeline believes that it runs on the meta device, and goes
its way from the words to the VAE's door: so every family is planned by what it does, not by a formula for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from filmwright.engine.diffusers_runner import (
    build_pipeline,
    call_pipeline,
    decoded,
    diffusers_files,
    heard,
    sounders,
)
from filmwright.engine.families import FAMILIES, as_pixels
from filmwright.engine.trace import Trace
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.diffusers_folder import DiffusersFolder, quiet

__all__ = ["FamilyNeeds", "PhaseNeeds", "family_needs"]

STEPS = 2  # that are traced; all others are as these


@dataclass(frozen=True, kw_only=True)
class PhaseNeeds:
    """What a phase computes: bytes beside the weights, and operations; and bytes of the nets that it needs."""

    bytes: int
    products: float
    convolutions: float
    nets: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class FamilyNeeds:
    """Of a run: its phases, and the types that it runs in."""

    encode: PhaseNeeds
    denoise: PhaseNeeds
    sound: PhaseNeeds | None  # before the picture is decoded
    decode: PhaseNeeds
    dtype: torch.dtype
    vae_dtype: torch.dtype
    loading: dict[
        str, int
    ]  # net -> bytes of its largest file, if this is in memory too while the net is read
    streamed: dict[
        str, int
    ]  # net -> bytes of it with two blocks in memory, where its blocks can be read one by one


def family_needs(request: Request, device: str, weights: Path | None) -> FamilyNeeds:
    """What a run of `request` needs.

    Raises:
        WeightsError: the model's files are missing or damaged.
    """
    folder, _ = diffusers_files(request.model, device, weights)
    return _needs(folder, request.model_copy(update={"seed": 0, "steps": STEPS}), request.steps)


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
    with quiet(), _Trace(shells.values(), folder.device, guided=guided) as trace:
        prepared = family.encode(pipe, request, "meta")
    encode = _phase(trace, {name: sizes[name] for name in family.readers})
    wanted = (folder.denoiser, *family.beside, *(family.lookers if request.controls else ()))
    with _Trace(shells.values(), folder.device, guided=guided) as trace:
        latents = call_pipeline(pipe, card, request, prepared)
    denoise = _phase(trace, {name: sizes[name] for name in wanted})
    z, sound = latents.picture, None
    if latents.sound is not None:
        names = sounders(card, request)
        with _Trace([shells[name] for name in names], folder.device, guided=guided) as trace:
            waves = heard([shells[name] for name in names], card, latents.sound)
        sound = _phase(trace, {name: sizes[name] for name in names})
        del waves
    with _Trace([shells["vae"]], folder.device, guided=guided) as trace:
        frames = decoded(shells["vae"], card, z)
        held = frames, as_pixels(frames[:, :, :8])
    decode = _phase(trace, {"vae": sizes["vae"]})
    del held
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
    )


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

    def __init__(self, nets: Iterable[nn.Module], device: str, *, guided: bool) -> None:
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
