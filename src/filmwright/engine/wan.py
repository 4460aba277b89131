"""Wan's way from noise to latents: what it is conditioned on, which expert denoises when, and guidance by expert.

Variants differ in how they are told of given frames. Those with further input channels (2.1 and A14B image to video,
first and last frame) see a mask and the latents of a clip that is grey where nothing is given; TI2V-5B has the first
latent frame itself, clean, at level 0. The rest of the clip is denoised by the samplers that the pocket model uses.

Axes: b batch, c channels, t latent frames, h rows, w columns of latents; l words, m picture tokens, d features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.samplers import SAMPLERS, OnStep
from filmwright.diffusion.schedules import timesteps, with_given
from filmwright.engine.attention import choose_attention
from filmwright.engine.cache import FirstBlockCache
from filmwright.engine.parallel import Ulysses, team_for
from filmwright.engine.stream import StreamedBlocks
from filmwright.media.image import load_image
from filmwright.models.wan import Attend, Context, WanTransformer
from filmwright.models.wan_vae import GROUP, Memory, WanVAE
from filmwright.spec.errors import BadRequest, WeightsError
from filmwright.spec.plan import Strategy
from filmwright.spec.request import Keyframe, Request
from filmwright.spec.words import Finding
from filmwright.weights.card import ModelCard, load_card
from filmwright.weights.files import read_weights
from filmwright.weights.lora import adapt, read_lora
from filmwright.weights.places import hashed, place_of
from filmwright.weights.wan import own_name
from filmwright.weights.wan_folder import WanFolder
from filmwright.weights.wan_sketch import WanSketch

__all__ = [
    "Expert",
    "Given",
    "WanRunner",
    "denoise_wan",
    "given_frames",
    "latent_shape",
    "wan_folder",
    "wan_runner",
]

N = TypeVar("N")
Pass = Callable[[WanTransformer, Tensor, Tensor, Context], Tensor]
"""Net, latents, levels and context to a velocity."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Expert:
    """A transformer, the guidance it runs at, and the lowest level that is its own; the last one's is 0.

    `net` is asked for when the expert's turn comes; the one before it is not used any more then.
    """

    net: Callable[[], WanTransformer]
    guidance: float
    down_to: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """What is known of a clip: further channels [1, e, t, h, w], or clean latents `known` of frames `given` [t]."""

    channels: Tensor | None = None
    known: Tensor | None = None
    given: Tensor | None = None


def given_frames(
    vae: WanVAE, first: Tensor, last: Tensor | None, num_frames: int, *, as_channels: bool
) -> Given:
    """What a variant is told of its first picture, and of the last one if it takes one.

    Args:
        vae: encodes the pictures.
        first: picture [1, 3, H, W] in -1..1; so is `last`.
        last: the clip's last frame, or None.
        num_frames: 4k+1, of the clip.
        as_channels: a mask and latents as further channels; else the first latent frame itself.

    Raises:
        ValueError: a last picture for a variant that takes only the first.
    """
    if not as_channels:
        if last is not None:
            raise ValueError("this variant of Wan takes a first picture, not a last one")
        latents = vae.encode(first[:, :, None])
        groups = (num_frames - 1) // GROUP + 1
        known = latents.new_zeros(*latents.shape[:2], groups, *latents.shape[3:])
        known[:, :, :1] = latents
        given = torch.zeros(groups, dtype=torch.bool, device=known.device)
        given[0] = True
        return Given(known=known, given=given)
    frames = first.new_zeros(1, 3, num_frames, *first.shape[2:])  # grey
    frames[:, :, 0] = first
    shown = torch.zeros(num_frames, device=first.device, dtype=first.dtype)
    shown[0] = 1
    if last is not None:
        frames[:, :, -1] = last
        shown[-1] = 1
    latents = vae.encode(frames)
    by_group = torch.cat([shown[:1].expand(GROUP - 1), shown]).view(
        -1, GROUP
    )  # [t, 4]: frame 0 fills its group
    mask = by_group.mT[None, :, :, None, None].expand(-1, -1, -1, *latents.shape[3:])  # [1, 4, t, h, w]
    return Given(channels=torch.cat([mask.to(latents), latents], dim=1))


@torch.inference_mode()
def denoise_wan(
    experts: Sequence[Expert],
    words: Tensor,
    negative: Tensor,
    noise: Tensor,
    times: Sequence[float],
    *,
    sampler: str = "unipc",
    given: Given | None = None,
    picture: Tensor | None = None,
    on_step: OnStep | None = None,
    through: Callable[[Denoise], Denoise] | None = None,
    cache: Callable[[], Pass] | None = None,
) -> Tensor:
    """Clean latents [1, c, t, h, w].

    Args:
        experts: from the noisiest level down; one for most variants, two for A14B.
        words: the prompt's features [1, l, d], zero where it ends; `negative` those of what is not wanted.
        negative: see `words`; not looked at where guidance is 1.
        noise: fp32 [1, c, t, h, w].
        times: levels from 1 to 0, see `diffusion.schedules.timesteps`.
        sampler: a name of `diffusion.samplers.SAMPLERS`.
        given: what is known, or None.
        picture: CLIP's tokens [1, m, d] for variants with an eye.
        on_step: is told after each step.
        through: the sampler is given `through(denoiser)`, or the denoiser itself.
        cache: makes what runs the passes of one kind, such as a `FirstBlockCache`; the net itself runs them without.

    Raises:
        BadRequest: a cache where processes share tokens: they would come to different ends.
        ValueError: no experts, or experts that leave levels to nobody.
    """
    if not experts or experts[-1].down_to > 0:
        raise ValueError("the last expert must reach down to level 0")
    given = given or Given()
    team = team_for(guided=any(e.guidance != 1 for e in experts))
    if cache is not None and team is not None and team.tokens is not None:
        raise BadRequest("--cache and tokens shared by several processes do not go together: leave one out")
    now: dict[int, tuple[WanTransformer, Context, Context | None, Pass, Pass]] = {}

    def begun(index: int) -> tuple[WanTransformer, Context, Context | None, Pass, Pass]:
        if index not in now:
            now.clear()  # an expert is done when the next one begins
            net = experts[index].net()
            tokens = None if team is None else team.tokens
            net.share = None if tokens is None else Ulysses(tokens, net.config.heads)
            guided = experts[index].guidance != 1
            now[index] = (
                net,
                net.context(words, picture),
                net.context(negative, picture) if guided else None,
                cache() if cache else _exact,
                cache() if cache else _exact,
            )
        return now[index]

    def velocity(x: Tensor, levels: Tensor) -> Tensor:
        level = float(levels.max())
        index = next(i for i, e in enumerate(experts) if level >= e.down_to)
        net, prompted, unprompted, run, run_plain = begun(index)
        seen = x if given.channels is None else torch.cat([x, given.channels.to(x)], dim=1)
        seen = seen.to(net.patch_embedding.weight.dtype)
        told = levels if given.given is not None else levels[:, :1]
        if unprompted is None:
            return run(net, seen, told, prompted).to(x.dtype)
        if team is not None and team.side is not None:
            mine = (
                run(net, seen, told, prompted) if team.side == 0 else run_plain(net, seen, told, unprompted)
            )
            v, plain = team.both(mine.to(x.dtype))
        else:
            v = run(net, seen, told, prompted).to(x.dtype)
            plain = run_plain(net, seen, told, unprompted).to(x.dtype)
        return plain + experts[index].guidance * (v - plain)

    x, levels = noise, None
    if given.known is not None and given.given is not None:
        x = torch.where(given.given[:, None, None], given.known.to(noise), noise)
        levels = with_given(given.given[None])
    model = velocity if through is None else through(velocity)
    return SAMPLERS[sampler](model, x, times, levels=levels, on_step=on_step)


def _exact(net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> Tensor:
    return net(x, levels, context)  # type: ignore[no-any-return]


class WanRunner:
    """Runs requests on Wan's nets; see `engine.generate.Runner`."""

    def __init__(
        self, card: ModelCard, folder: WanFolder, hashes: dict[str, str], strategy: Strategy | None = None
    ) -> None:
        self.card, self.folder, self.hashes = card, folder, hashes
        self.strategy = strategy or Strategy()
        self.proofs: dict[str, dict[str, float]] = {}
        self._attend: Attend | None = None
        self._held: dict[str, Any] = {}

    def findings(self, request: Request) -> Sequence[Finding]:  # noqa: ARG002
        """Nothing: these models were trained on everybody's words."""
        return ()

    def prepare(self, request: Request) -> tuple[Tensor, Given | None, Tensor | None]:
        """Features of the prompt and of what is not wanted [2, l, d], what is given, and CLIP's tokens."""
        words = self._words([request.prompt, request.negative])
        shown = {c.at: c.image.path for c in request.controls if isinstance(c, Keyframe)}
        if not shown:
            return words, None, None
        pictures = [load_image(shown[at], request.width, request.height) for at in sorted(shown)]
        vae = self._net("vae", self.folder.vae)
        like = vae.conv1.weight
        as_pixels = [
            torch.tensor(p, device=like.device).permute(2, 0, 1)[None].to(like.dtype) / 127.5 - 1
            for p in pictures
        ]
        given = given_frames(
            vae,
            as_pixels[0],
            as_pixels[1] if len(as_pixels) > 1 else None,
            request.num_frames,
            as_channels=not self.folder.first_frame_is_given,
        )
        del vae
        if not self.folder.has_eye:
            return words, given, None
        return words, given, self._net("eye", self.folder.eye)([Image.fromarray(p) for p in pictures])

    def _words(self, prompts: list[str]) -> Tensor:
        """Features of prompts [b, 512, d]."""
        files = self.folder.text
        if self.strategy.nets != "streamed":
            return self._net("text", files.load)(prompts)
        text = files.load_outside()
        stream = StreamedBlocks(list(text.encoder.block), files.block, self.folder.device)
        text.encoder.stream = stream
        with closing(stream):
            return text(prompts)

    def denoise(
        self,
        request: Request,
        prepared: tuple[Tensor, Given | None, Tensor | None],
        on_step: OnStep,
        through: Callable[[Denoise], Denoise],
    ) -> Tensor:
        """Clean latents [1, c, t, h, w]. A second expert's guidance keeps its proportion to the first one's."""
        words, given, tokens = prepared
        card = self.card
        proportion = 1.0 if card.guidance_low is None else card.guidance_low / card.guidance
        guidances = (request.guidance, request.guidance * proportion)
        reaches = (0.0,) if self.folder.boundary is None else (self.folder.boundary, 0.0)
        shape = latent_shape(self.folder, request)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(request.seed)).to(words.device)
        self.proofs = {}
        if self._attend is None:
            count = shape[2] * shape[3] * shape[4] // 4
            self._attend, self.proofs = choose_attention(
                self.folder.device, self.folder.dtype, count, self.folder.configs[0].head_dim
            )
        caches: list[FirstBlockCache] = []

        def cache() -> FirstBlockCache:
            caches.append(FirstBlockCache(request.cache))
            return caches[-1]

        with ExitStack() as stack:
            experts = [
                Expert(net=partial(self._expert, index, request, stack), guidance=guidance, down_to=down_to)
                for index, (guidance, down_to) in enumerate(zip(guidances, reaches, strict=False))
            ]
            latents = denoise_wan(
                experts,
                words[:1],
                words[1:],
                noise,
                timesteps(request.steps, shift=card.shift or 1.0),
                sampler=request.sampler,
                given=given,
                picture=tokens,
                on_step=on_step,
                through=through,
                cache=cache if request.cache else None,
            )
        if caches:
            self.proofs["cache"] = _proof(caches)
        return latents

    def _expert(self, index: int, request: Request, stack: ExitStack) -> WanTransformer:
        """The transformer of an expert, with the request's LoRAs until `stack` closes; closes what was on it."""
        stack.close()
        streamed = self.strategy.nets == "streamed"
        net = self._net(f"transformer {index}", partial(self._transformer, index))
        if streamed:
            blocks = StreamedBlocks(list(net.blocks), partial(self.folder.block, index), self.folder.device)
            net.stream = blocks  # type: ignore[assignment]
            stack.callback(blocks.close)
        wanted = [r for r in request.loras if r.expert in ("both", ("high", "low")[index])]
        loras = [
            (read_lora(Path(r.path).name, read_weights(Path(r.path)), net, own_name), r.weight)
            for r in wanted
        ]
        if loras:
            stack.callback(adapt(net, loras, net.patch_embedding.weight if streamed else None))
        return net

    def _transformer(self, index: int) -> WanTransformer:
        folder = self.folder
        net = (
            folder.transformer_shell(index) if self.strategy.nets == "streamed" else folder.transformer(index)
        )
        if self._attend is not None:
            net.attend = self._attend
        return net

    def _net(self, name: str, load: Callable[[], N]) -> N:
        """A net, held for the next time if the strategy says so; else it is gone when the caller is done with it."""
        if name in self._held:
            held: N = self._held[name]
            return held
        net = load()
        if self.strategy.nets == "held":
            self._held[name] = net
        return net

    def chunks(self, latents: Tensor) -> int:
        """How many pieces `decode` gives."""
        return latents.shape[2]

    def decode(self, latents: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Frames uint8 [n, H, W, 3], a latent frame at a time."""
        vae = self._net("vae", self.folder.vae)
        memory: Memory = {}
        dtype = vae.conv1.weight.dtype
        for z in latents.to(dtype).split(1, dim=2):
            frames = vae.decode_chunk(z, memory)[0].float()
            yield ((frames + 1) * 127.5).round().byte().permute(1, 2, 3, 0).cpu().numpy()


def _proof(caches: Sequence[FirstBlockCache]) -> dict[str, float]:
    """What caches have saved, and how far the first saved pass of the worst was from the exact one."""
    differences = [c.difference for c in caches if c.difference is not None]
    return {
        "passes": sum(c.passes for c in caches),
        "saved": sum(c.saved for c in caches),
        "dropped": sum(c.dropped for c in caches),
        "difference": max(differences, default=0.0),
    }


def latent_shape(folder: WanFolder | WanSketch, request: Request) -> tuple[int, int, int, int, int]:
    """Of a request's latents [1, c, t, h, w]."""
    config = folder.vae_config
    factor = 8 * config.patch
    frames = (request.num_frames - 1) // GROUP + 1
    return (1, config.channels, frames, request.height // factor, request.width // factor)


def wan_dtypes(device: str) -> tuple[torch.dtype, torch.dtype]:
    """What Wan's transformers and its VAE run in; a CPU convolves in fp32."""
    native = device != "cpu" or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 (there is no public name)
    dtype = torch.bfloat16 if native else torch.float32
    return dtype, torch.float32 if device == "cpu" else dtype


@lru_cache(maxsize=1)
def wan_folder(
    model: str, device: str = "cpu", weights: Path | None = None
) -> tuple[WanFolder, dict[str, str]]:
    """The files of the Wan model called `model`, from where it was added or from the folder `weights`, and their
    hashes.

    Raises:
        WeightsError: it was not added, is damaged, or is another variant than its name says.
    """
    card = load_card(model)
    place = hashed(weights) if weights else place_of(model)
    hashes = place.check()
    dtype, vae_dtype = wan_dtypes(device)
    folder = WanFolder(place.path, device=device, dtype=dtype, vae_dtype=vae_dtype)
    if (folder.boundary is not None) != (card.boundary is not None):
        experts = "two experts" if folder.boundary is not None else "one transformer"
        raise WeightsError(f"{place.path} holds {experts}, which is not {model!r}: add it under its own name")
    return folder, hashes


@lru_cache(maxsize=1)
def wan_runner(
    model: str, device: str = "cpu", weights: Path | None = None, strategy: Strategy | None = None
) -> WanRunner:
    """The Wan model called `model`; see `wan_folder`."""
    folder, hashes = wan_folder(model, device, weights)
    return WanRunner(load_card(model), folder, hashes, strategy)
