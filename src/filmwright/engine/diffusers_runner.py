"""Runs requests on diffusers' pipelines, in three phases with the nets that each needs; see `engine.families`.

A pipeline is one call in diffusers, prompt to frames. Here it is made anew for each phase, nets that the phase does
not need standing in it as shells without weights, and is left at the VAE's door: what it hands to the VAE's `decode`,
and of a pipeline with sound to its audio VAE's, is what a run keeps, and what decoding starts from. Its denoiser's
answers go through the journal on their way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.samplers import OnStep
from filmwright.engine.check_sampling import shift_of
from filmwright.engine.devices import fast_dtype
from filmwright.engine.families import FAMILIES, as_pixels
from filmwright.engine.families_loras import adapted
from filmwright.engine.families_proofs import prove_net
from filmwright.engine.families_tiles import as_weights, both_ways, decoded, nearness, say_tiles
from filmwright.engine.journal import Latents
from filmwright.engine.memory import give_back
from filmwright.engine.proofs import exact_instead
from filmwright.engine.stream import StreamedBlocks
from filmwright.media.image import load_image
from filmwright.spec.clip import Sound
from filmwright.spec.errors import WeightsError
from filmwright.spec.plan import Strategy
from filmwright.spec.request import Keyframe, Request
from filmwright.spec.words import Finding
from filmwright.weights.card import ModelCard, load_card
from filmwright.weights.diffusers_folder import DiffusersFolder, diffusers_library, quiet
from filmwright.weights.places import hashed, place_of

__all__ = [
    "DiffusersRunner",
    "LeftAtDoor",
    "as_method",
    "build_pipeline",
    "call_pipeline",
    "diffusers_files",
    "diffusers_runner",
    "family_dtypes",
    "heard",
    "sounders",
]


class LeftAtDoor(Exception):
    """A pipeline was left where it hands latents to the last `decode` that matters."""


class DiffusersRunner:
    """Runs requests on a saved pipeline; see `engine.generate.Runner`."""

    def __init__(
        self,
        card: ModelCard,
        folder: DiffusersFolder,
        hashes: dict[str, str],
        strategy: Strategy | None = None,
    ) -> None:
        self.card, self.folder, self.hashes = card, folder, hashes
        self.family = FAMILIES[card.family]
        self.strategy = strategy or Strategy()
        self.proofs: dict[str, dict[str, float]] = {}
        self._held: dict[str, nn.Module] = {}
        self._light = folder  # with the weights that a request asks for
        # nets that are not in eight bits after all, and how they fit
        self._exact: dict[str, Literal["held", "staged", "streamed"]] = {}

    def findings(self, request: Request) -> Sequence[Finding]:  # noqa: ARG002
        """Nothing of the words, these models were trained on everybody's; but that frames will not be exact."""
        return (Finding(code="tiles", message=say_tiles(self.strategy)),) if self.strategy.tiles else ()

    def prepare(self, request: Request) -> dict[str, Any]:
        """The words as arguments of the pipeline's call; a picture is looked at when the denoising begins."""
        self.proofs = {}
        self._exact.clear()
        if self._light is not (light := self.folder.in_mode(request.quantize)):
            self._held.clear()
            self._light = light
        for name in self.family.readers:
            self._prove(name, "the text encoder", partial(self._read_with, request, name))
        with quiet(), ExitStack() as stack:
            nets = {name: self._net(name, stack) for name in self.family.readers}
            pipe = build_pipeline(self.folder, self.card, request, nets, self.folder.device)
            return self.family.encode(pipe, request, self.folder.device)

    def _read_with(self, request: Request, name: str, net: nn.Module) -> None:
        """Goes as far as `net`, which reads the words first."""
        with quiet():
            pipe = build_pipeline(self.folder, self.card, request, {name: net}, self.folder.device)
            self.family.encode(pipe, request, self.folder.device)

    def _denoise_with(self, request: Request, prepared: dict[str, Any], net: nn.Module) -> None:
        """Goes as far as `net`, the denoiser."""
        with ExitStack() as stack:
            nets = {name: self._net(name, stack) for name in self._beside(request)} | {
                self.folder.denoiser: net
            }
            pipe = build_pipeline(self.folder, self.card, request, nets, self.folder.device)
            call_pipeline(pipe, self.card, request, prepared)

    def _beside(self, request: Request) -> tuple[str, ...]:
        """The nets that a denoiser needs beside it."""
        return (*self.family.beside, *(self.family.lookers if request.controls else ()))

    def _prove(self, name: str, said: str, run: Callable[[nn.Module], object]) -> None:
        """Sees whether a net may be in eight bits, where that is asked for.

        Raises:
            DoesNotFit: it may not, and the exact one does not fit.
        """
        if (mode := self._light.mode_of(name)) == "none" or not self.folder.streams(name):
            return
        proof = prove_net(self.folder, name, self._light.quantize, run)
        self.proofs[f"{mode} of {said}"] = proof
        give_back(self.folder.device)
        if proof["dropped"]:
            self._exact[name] = exact_instead(self.strategy, said, proof["difference"])

    def denoise(
        self,
        request: Request,
        prepared: dict[str, Any],
        on_step: OnStep,
        through: Callable[[Denoise], Denoise],
    ) -> Latents:
        """What decoding starts from, scaled and shifted as the VAEs take it."""
        folder = self.folder
        self._prove(folder.denoiser, "the denoiser", partial(self._denoise_with, request, prepared))
        with ExitStack() as stack:
            nets = {name: self._net(name, stack) for name in (folder.denoiser, *self._beside(request))}
            pipe = build_pipeline(folder, self.card, request, nets, folder.device, on_step)
            net = nets[folder.denoiser]
            if request.loras:
                stack.callback(adapted(net, request.loras, folder.device, folder.dtype))
            stack.enter_context(as_method(net, "forward", self._answered(net.forward, through)))
            return call_pipeline(pipe, self.card, request, prepared)

    def _answered(
        self, forward: Callable[..., Any], through: Callable[[Denoise], Denoise]
    ) -> Callable[..., Any]:
        """`forward`, which gives a tuple of tensors, through a journal of single ones: laid out in a row."""
        now: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

        def denoise(x: Tensor, levels: Tensor) -> Tensor:  # noqa: ARG001
            args, kwargs = now.pop()
            return _in_a_row(forward(*args, **kwargs))

        answer = through(denoise)

        def answered(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
            likes = self.family.answer(*args, **kwargs)
            now[:] = [(args, kwargs)]
            row = answer(_in_a_row(likes), likes[0].new_zeros(()))
            parts = row.split([like.numel() for like in likes])
            return tuple(part.view(like.shape) for part, like in zip(parts, likes, strict=True))

        return answered

    def _net(self, name: str, stack: ExitStack | None = None) -> nn.Module:
        """A net, held for the next time if the strategy says so; else it is gone when the caller is done with it.

        A net whose blocks are streamed computes until `stack` closes.
        """
        folder, nets = self._light, self.strategy.nets
        if name in self._exact:
            folder, nets = self.folder, self._exact[name]
        if stack is not None and nets == "streamed" and folder.streams(name):
            net, blocks = folder.outside(name)
            keep = self.strategy.host if name == folder.denoiser else 0
            stream = StreamedBlocks(blocks, partial(folder.block, name), folder.device, keep)
            stream.hook()
            stack.callback(stream.close)
            return net
        key = f"{name} {folder.quantize}"
        net = self._held[key] if key in self._held else folder.net(name)
        if nets == "held":
            self._held[key] = net
        return net

    def sound(self, latents: Latents) -> Sound | None:
        """What is heard, as long as the pipeline makes it."""
        if latents.sound is None:
            return None
        nets: list[Any] = [self._net(name) for name in self.family.sounders]
        waves = heard(nets, self.card, latents.sound)[0].float().clamp(-1, 1)
        return Sound(samples=waves.cpu().numpy(), rate=nets[-1].config.output_sampling_rate)

    def chunks(self, latents: Latents) -> int:
        """How many pieces `decode` gives."""
        return latents.picture.shape[2]

    def decode(self, latents: Latents) -> Iterator[NDArray[np.uint8]]:
        """Frames uint8 [n, H, W, 3], a latent frame's at a time; the VAE decodes all of them at once, or in tiles."""
        vae = self._net("vae")
        if self.strategy.tiles and self.strategy.proof:
            self.proofs["frames in tiles"] = nearness(
                *both_ways(vae, self.card, latents.picture[:, :, : self.strategy.proof])
            )
        frames = decoded(vae, self.card, latents.picture, tiles=self.strategy.tiles)
        del vae
        count, whole = latents.picture.shape[2], frames.shape[2]
        step = 1 if count == 1 else (whole - 1) // (count - 1)
        ends = [whole - (count - 1 - i) * step for i in range(count)]
        for start, end in zip([0, *ends], ends, strict=False):
            yield as_pixels(frames[:, :, start:end]).cpu().numpy()


def heard(nets: Sequence[nn.Module], card: ModelCard, latents: Tensor) -> Tensor:
    """Samples [1, channels, n] of the sound that `DiffusersRunner.denoise` gave; `nets` are the family's sounders."""
    hear = FAMILIES[card.family].hear
    assert hear is not None
    return hear(*nets, as_weights(latents, nets[0]))


def sounders(card: ModelCard, request: Request) -> tuple[str, ...]:
    """The nets that make the sound of a request; none where it is to be silent."""
    return FAMILIES[card.family].sounders if request.sound else ()


def build_pipeline(
    folder: DiffusersFolder,
    card: ModelCard,
    request: Request,
    nets: dict[str, Any],
    device: str,
    on_step: OnStep | None = None,
) -> Any:
    """The family's pipeline with these nets and shells of the others, on `device` whatever its shells are on."""
    family = FAMILIES[card.family]
    kind = getattr(
        diffusers_library(), family.pictured if family.pictured and request.controls else family.pipeline
    )

    @contextmanager
    def steps(_: Any, iterable: Any = None, total: int | None = None) -> Iterator[_Bar]:  # noqa: ARG001
        yield _Bar(total or 0, on_step)

    phase = type(
        kind.__name__,
        (kind,),
        {"_execution_device": property(lambda _: torch.device(device)), "progress_bar": steps},
    )
    parts = folder.options | folder.plain
    scheduler = parts["scheduler"]
    shift = shift_of(request, card)
    shifted = {} if shift is None else {"shift": shift}
    parts["scheduler"] = type(scheduler).from_config(scheduler.config, **shifted)
    if "guider" in parts:
        parts["guider"] = parts["guider"].new(guidance_scale=request.guidance)
    parts |= {name: nets.get(name) or folder.shell(name) for name in folder.nets}
    taken = inspect.signature(kind.__init__).parameters
    absent = {name: None for name, p in taken.items() if p.default is p.empty and name != "self"}
    with quiet():
        return phase(**absent | {name: part for name, part in parts.items() if name in taken})


def call_pipeline(pipe: Any, card: ModelCard, request: Request, prepared: dict[str, Any]) -> Latents:
    """Runs a pipeline as far as its VAE's door, or its audio VAE's behind it: what it hands to `decode`."""
    doors = [pipe.vae, *([pipe.audio_vae] if sounders(card, request) else [])]
    handed: list[Tensor] = []

    def decode(z: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        handed.append(z)
        if len(handed) == len(doors):
            raise LeftAtDoor
        return (z.new_zeros(1, 3, 1, 8, 8),)  # frames that nobody looks at

    shown = [c.image.path for c in request.controls if isinstance(c, Keyframe)]
    picture = Image.fromarray(load_image(shown[0], request.width, request.height)) if shown else None
    settings = FAMILIES[card.family].settings(pipe, request, picture)
    generator = torch.Generator().manual_seed(request.seed)
    on_host = nullcontext() if pipe._execution_device.type == "cpu" else _DrawnOnHost()  # noqa: SLF001
    with quiet(), on_host, ExitStack() as stack:
        for door in doors:
            stack.enter_context(as_method(door, "decode", decode))
        try:
            pipe(
                **prepared,
                **settings,
                num_inference_steps=request.steps,
                generator=generator,
                output_type="pt",
            )
        except LeftAtDoor:
            picture_latents, *sound = handed
            if picture_latents.ndim == 4:
                picture_latents = picture_latents.transpose(0, 1)[None]
            return Latents(picture=picture_latents, sound=sound[0] if sound else None)
    raise AssertionError("a pipeline decodes")


class _DrawnOnHost(TorchFunctionMode):
    """Noise of a generator on the CPU is drawn there, whatever device it is for: LTX asks torch for it plainly."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Draws noise; all else is as it was."""
        kwargs = kwargs or {}
        if func is torch.randn and kwargs.get("generator") is not None:
            return func(*args, **kwargs | {"device": "cpu"}).to(kwargs.get("device") or "cpu")
        return func(*args, **kwargs)


class _Bar:
    """A progress bar as diffusers moves it."""

    def __init__(self, total: int, on_step: OnStep | None) -> None:
        self.total, self.on_step, self.done = total, on_step, 0

    def update(self, count: int = 1) -> None:
        """`count` steps more are done."""
        self.done += count
        if self.on_step is not None:
            self.on_step(self.done, self.total)


@contextmanager
def as_method(net: nn.Module, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Within, `net` has another method of this name."""
    setattr(net, name, method)
    try:
        yield
    finally:
        delattr(net, name)


def _in_a_row(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def family_dtypes(card: ModelCard, device: str) -> tuple[torch.dtype, torch.dtype]:
    """What a model's nets and its VAE run in."""
    dtype = fast_dtype(device)
    alike = FAMILIES[card.family].same_dtype or device != "cpu"
    return dtype, dtype if alike else torch.float32


@lru_cache(maxsize=1)
def diffusers_files(
    model: str, device: str = "cpu", weights: Path | None = None
) -> tuple[DiffusersFolder, dict[str, str]]:
    """The files of the model called `model`, from where it was added or from the folder `weights`, and their hashes.

    Raises:
        WeightsError: it was not added, is damaged, or is of another family than its name says.
    """
    card = load_card(model)
    place = hashed(weights) if weights else place_of(model)
    hashes = place.check()
    dtype, vae_dtype = family_dtypes(card, device)
    folder = DiffusersFolder(place.path, device=device, dtype=dtype, vae_dtype=vae_dtype)
    if folder.family != card.family:
        raise WeightsError(
            f"{place.path} is a {folder.pipeline}, which is not {model!r}: add it under its own name"
        )
    return folder, hashes


@lru_cache(maxsize=1)
def diffusers_runner(
    model: str, device: str = "cpu", weights: Path | None = None, strategy: Strategy | None = None
) -> DiffusersRunner:
    """The model called `model`; see `diffusers_files`."""
    folder, hashes = diffusers_files(model, device, weights)
    return DiffusersRunner(load_card(model), folder, hashes, strategy)
