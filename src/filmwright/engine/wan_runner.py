"""Runs requests on Wan's nets: which are in memory when, on what, with which LoRAs and caches; see `engine.wan`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.samplers import OnStep, sampler_for
from filmwright.diffusion.schedules import few_steps, timesteps
from filmwright.engine.attention import choose_attention
from filmwright.engine.cache import FirstBlockCache, StepCache, TeaCache
from filmwright.engine.check_sampling import guidances_of, shift_of
from filmwright.engine.compiled import apart, compiled_run
from filmwright.engine.devices import fast_dtype
from filmwright.engine.distilled import distilled_findings
from filmwright.engine.gate import GuidanceGate
from filmwright.engine.graphs import GraphedPass, GraphProof, recorder, worst
from filmwright.engine.journal import Latents
from filmwright.engine.memory import give_back
from filmwright.engine.proofs import exact_instead, prove_denoiser, prove_text
from filmwright.engine.rollout import roll_out
from filmwright.engine.stream import StreamedBlocks
from filmwright.engine.strips import joined
from filmwright.engine.wan import Expert, Given, Pass, denoise_wan, given_frames
from filmwright.engine.wan_loras import adapted, check_merge, loras_for, merged
from filmwright.media.image import load_image
from filmwright.models.strips import Strip, strips_of
from filmwright.models.wan import Attend, Context, WanTransformer, plainly
from filmwright.models.wan_past import WanPast
from filmwright.models.wan_vae import GROUP
from filmwright.models.wan_vae_layers import Memory
from filmwright.spec.clip import Sound
from filmwright.spec.compositions import Composition, check_together
from filmwright.spec.errors import WeightsError
from filmwright.spec.plan import Strategy
from filmwright.spec.request import Keyframe, Request
from filmwright.spec.words import Finding
from filmwright.weights.card import ModelCard, load_card
from filmwright.weights.places import Place, PlacedLora, hashed, place_of
from filmwright.weights.wan_folder import WanFolder
from filmwright.weights.wan_parts import parts_of
from filmwright.weights.wan_sketch import WanSketch
from filmwright.weights.wan_text import WORDS

__all__ = ["WIDEST_STRIP", "WanRunner", "latent_shape", "past_for", "wan_dtypes", "wan_files", "wan_runner"]

N = TypeVar("N")
# latents across a picture that is decoded at once. Two strips of 832x480 take 7 % longer than one and 44 % less memory;
# how many there are is the picture's affair and not the budget's, so that a request gives the same bits everywhere
WIDEST_STRIP = 64
PROOF_WORDS = 64  # tokens of a prompt that the text encoder is tried on
CLIP_TOKENS = 257  # of a picture


class WanRunner:
    """Runs requests on Wan's nets; see `engine.generate.Runner`."""

    def __init__(
        self,
        card: ModelCard,
        folder: WanFolder,
        hashes: dict[str, str],
        strategy: Strategy | None = None,
        loras: Sequence[PlacedLora] = (),
    ) -> None:
        """`loras` belong to the model, whatever else a request asks for."""
        self.card, self.folder, self.hashes, self.loras = card, folder, hashes, loras
        self.strategy = strategy or Strategy()
        self.proofs: dict[str, dict[str, float]] = {}
        self._held: dict[str, Any] = {}
        self._mode = "none"  # what the held nets are in
        self._attend: Attend = F.scaled_dot_product_attention  # what `prepare` has chosen

    def findings(self, request: Request) -> Sequence[Finding]:
        """Nothing of the words, these models were trained on everybody's; but what goes beyond a model's training."""
        return distilled_findings(request, self.card, sparse=self.folder.was_sparse)

    def prepare(self, request: Request) -> tuple[Tensor, Given | None, Tensor | None]:
        """Features of the prompt and of what is not wanted [2, l, d], what is given, and CLIP's tokens.

        Without guidance nobody asks what is not wanted: [1, l, d]. First of all, what computes attention is chosen.

        Raises:
            BadRequest: the attention that is asked for is not right here, or there is no LoRA to merge.
        """
        check_merge(request, self.loras)
        folder = self.folder
        shapes, head_dim = _attended(self.card, folder, request), folder.configs[0].head_dim
        self._attend, found = choose_attention(
            folder.device, folder.dtype, shapes, head_dim, request.attention
        )
        self.proofs = dict(found)
        if request.quantize != self._mode:
            self._held.clear()
            self._mode = request.quantize
        prompts = [request.prompt, request.negative][: 1 if request.guidance == 1 else 2]
        words = self._words(prompts, request.quantize)
        shown = {c.at: c.image.path for c in request.controls if isinstance(c, Keyframe)}
        if not shown:
            return words, None, None
        pictures = [load_image(shown[at], request.width, request.height) for at in sorted(shown)]
        vae = self._net("vae encoder", partial(self.folder.vae, "encoder"))
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

    def _words(self, prompts: list[str], mode: str = "none") -> Tensor:
        """Features of prompts [b, 512, d]."""
        files, nets = self.folder.text, self.strategy.nets
        if mode != "none":
            proof = prove_text(files, mode, PROOF_WORDS)
            self.proofs |= proof.found
            mode = proof.mode
            nets = nets if mode != "none" else self._instead("the text encoder")
        if nets != "streamed":
            return self._net(f"text {mode}", partial(files.load, mode), nets)(prompts)
        text = files.load_outside(mode)
        stream = StreamedBlocks(list(text.encoder.block), partial(files.block, mode=mode), self.folder.device)
        text.encoder.stream = stream
        with closing(stream):
            return text(prompts)

    def denoise(
        self,
        request: Request,
        prepared: tuple[Tensor, Given | None, Tensor | None],
        on_step: OnStep,
        through: Callable[[Denoise], Denoise],
    ) -> Latents:
        """Clean latents [1, c, t, h, w]."""
        words, given, tokens = prepared
        card = self.card
        guidances = guidances_of(request, card)
        reaches = (0.0,) if self.folder.boundary is None else (self.folder.boundary, 0.0)
        shape = latent_shape(self.folder, request)
        draw = partial(torch.randn, generator=torch.Generator().manual_seed(request.seed))
        noise = draw(shape).to(words.device)
        shift = shift_of(request, card) or 1.0
        times = few_steps(card.levels, shift=shift) if card.levels else timesteps(request.steps, shift=shift)
        attend = self._attend
        caches: list[StepCache] = []
        graphs: list[GraphProof] = []
        capture = recorder(self.folder.device) if request.cuda_graphs else None
        gate = GuidanceGate(request.guidance_down_to) if request.guidance_down_to else None

        def passes(levels: Sequence[float]) -> Pass:
            if capture is not None:
                graphed = GraphedPass(capture)
                graphs.append(graphed.proof)
                return graphed
            tea = request.cache_by == "tea"
            cache: StepCache = (
                TeaCache(request.cache, card.tea, levels) if tea else FirstBlockCache(request.cache)
            )
            caches.append(cache)
            return cache

        with ExitStack() as stack:
            past = past_for(card, shape[2])
            if past is not None:
                net = self._expert(0, request, attend, stack, partial(self._see, noise, prepared, reaches))
                solve = sampler_for(request.sampler, draw)
                chunks = roll_out(
                    net, words[:1], noise, times, past, solve=solve, on_step=on_step, through=through
                )
                return Latents(picture=torch.cat(list(chunks), dim=2))
            experts = [
                Expert(
                    net=partial(
                        self._expert,
                        index,
                        request,
                        attend,
                        stack,
                        partial(self._see, noise, prepared, reaches),
                    ),
                    guidance=guidance,
                    down_to=down_to,
                )
                for index, (guidance, down_to) in enumerate(zip(guidances, reaches, strict=False))
            ]
            latents = denoise_wan(
                experts,
                words[:1],
                words[1:],
                noise,
                times,
                sampler=request.sampler,
                draw=draw,
                given=given,
                picture=tokens,
                on_step=on_step,
                through=through,
                passes=passes if request.cache or request.cuda_graphs else None,
                gate=gate,
            )
        if gate is not None:
            self.proofs["guidance gate"] = gate.proof
        if caches:
            self.proofs["cache"] = _proof(caches)
        if graphs:
            self.proofs["CUDA graph"] = worst(graphs)
        return Latents(picture=latents)

    def _see(
        self,
        noise: Tensor,
        prepared: tuple[Tensor, Given | None, Tensor | None],
        reaches: Sequence[float],
        index: int,
        net: WanTransformer,
    ) -> tuple[Tensor, Tensor, Context]:
        """What expert `index` sees when its turn comes, as far as noise alone can tell: latents, levels, context."""
        words, given, tokens = prepared
        level = 1.0 if index == 0 else reaches[index - 1]
        given = given or Given()
        x = noise if given.channels is None else torch.cat([noise, given.channels.to(noise)], dim=1)
        levels = torch.full((1, 1), level, device=noise.device)
        if given.known is not None and given.given is not None:
            x = torch.where(given.given[:, None, None], given.known.to(x), x)
            levels = torch.where(given.given[None], 0.0, levels)
        return x.to(net.patch_embedding.weight.dtype), levels, net.context(words[:1], tokens)

    def _instead(self, what: str) -> Literal["held", "staged", "streamed"]:
        """How the exact nets fit in place of those of eight bits.

        Raises:
            DoesNotFit: they do not.
        """
        off = max(
            p["difference"]
            for n, p in self.proofs.items()
            if p.get("dropped") and not n.startswith("attention")
        )
        return exact_instead(self.strategy, what, off)

    def _expert(
        self,
        index: int,
        request: Request,
        attend: Attend,
        stack: ExitStack,
        see: Callable[[int, WanTransformer], tuple[Tensor, Tensor, Context]],
    ) -> WanTransformer:
        """The transformer of an expert, with the request's LoRAs until `stack` closes; closes what was on it."""
        stack.close()
        mode, compiled, nets = str(request.quantize), request.compile, self.strategy.nets
        if mode != "none" or compiled:
            proof = prove_denoiser(self.folder, index, mode, attend, partial(see, index), compiled=compiled)
            self.proofs |= proof.found
            if mode != proof.mode and (nets := self._instead("the denoiser")) != "held":
                self._held.clear()
            mode, compiled = proof.mode, proof.compiled
            give_back(self.folder.device)
        streamed = nets == "streamed"
        check_together(
            Composition(nets=nets, cuda_graphs=request.cuda_graphs, merged=bool(request.merge_lora))
        )
        loras = loras_for(index, request, self.loras)
        name, load = f"transformer {index} {mode}", partial(self.folder.transformer, index, mode)
        if streamed:
            load = partial(self.folder.transformer_shell, index, mode)
        elif loras and request.merge_lora:
            name, load = f"{name} with {loras}", partial(merged, load, loras)
        self._hold_only(name, f"transformer {index} ")
        net = self._net(name, load, nets)
        net.attend = apart(attend) if compiled else attend
        net.run = compiled_run(self.folder.device) if compiled else plainly
        if streamed:
            block = partial(self.folder.block, index, mode=mode)
            blocks = StreamedBlocks(list(net.blocks), block, self.folder.device, self.strategy.host)
            net.stream = blocks  # type: ignore[assignment]
            stack.callback(blocks.close)
        if loras and not request.merge_lora:
            stack.callback(adapted(net, loras))
        return net

    def _hold_only(self, name: str, kind: str) -> None:
        """Of a kind of nets, such as an expert with these LoRAs merged or those, none but `name` stays held."""
        for other in [held for held in self._held if held.startswith(kind) and held != name]:
            del self._held[other]

    def _net(self, name: str, load: Callable[[], N], nets: str | None = None) -> N:
        """A net, held for the next time if the strategy says so; else it is gone when the caller is done with it."""
        if name in self._held:
            held: N = self._held[name]
            return held
        net = load()
        if (nets or self.strategy.nets) == "held":
            self._held[name] = net
        return net

    def sound(self, latents: Latents) -> Sound | None:  # noqa: ARG002
        """None: these are silent models."""
        return None

    def chunks(self, latents: Latents) -> int:
        """How many pieces `decode` gives."""
        shape = latents.picture.shape
        return shape[2] * len(strips_of(shape, WIDEST_STRIP))

    def decode(self, latents: Latents) -> Iterator[NDArray[np.uint8]]:
        """Frames uint8 [n, H, W, 3], a latent frame at a time; none of them while all but the last strip are made."""
        vae = self._net("vae decoder", partial(self.folder.vae, "decoder"))
        pieces = latents.picture.to(vae.conv2.weight.dtype).split(1, dim=2)

        def decoded(strip: Strip | None) -> Iterator[NDArray[np.uint8]]:
            memory: Memory = {}
            for z in pieces:
                frames = vae.decode_chunk(z, memory, strip)[0].float()
                yield ((frames + 1) * 127.5).round().byte().permute(1, 2, 3, 0).cpu().numpy()

        strips = strips_of(latents.picture.shape, WIDEST_STRIP)
        yield from decoded(None) if len(strips) == 1 else joined(strips, decoded)


def _proof(caches: Sequence[StepCache]) -> dict[str, float]:
    """What caches have saved, and how far the first saved pass of the worst was from the exact one."""
    differences = [c.difference for c in caches if c.difference is not None]
    return {
        "passes": sum(c.passes for c in caches),
        "saved": sum(c.saved for c in caches),
        "dropped": sum(c.dropped for c in caches),
        "difference": max(differences, default=0.0),
    }


def past_for(card: ModelCard, num_frames: int) -> WanPast | None:
    """What a streaming model keeps of a clip of latent frames; None where a clip is made as a whole."""
    if card.chunk is None:
        return None
    return WanPast(chunk=card.chunk, num_frames=num_frames, window=card.window, sink=card.sink)


def wan_dtypes(device: str) -> tuple[torch.dtype, torch.dtype]:
    """What Wan's transformers and its VAE run in; a CPU convolves in fp32."""
    dtype = fast_dtype(device)
    return dtype, torch.float32 if device == "cpu" else dtype


def wan_files(
    model: str, device: str = "cpu", weights: Path | None = None
) -> tuple[WanFolder, dict[str, str]]:
    """The files of the Wan model called `model`, from where it was added or from the folder `weights`, and their
    hashes.

    Raises:
        WeightsError: it was not added, is damaged, has changed, or is another variant than its name says.
    """
    place = _hashed(weights) if weights else place_of(model)
    hashes = place.check()
    return _files(model, device, place.model_dump_json()), hashes


def wan_runner(
    model: str, device: str = "cpu", weights: Path | None = None, strategy: Strategy | None = None
) -> WanRunner:
    """The Wan model called `model`; see `wan_files`. The last one is kept, while its files are where they were."""
    folder, hashes = wan_files(model, device, weights)
    loras = () if weights else place_of(model).loras
    return _runner(model, folder, tuple(hashes.items()), strategy, loras)


_hashed = lru_cache(maxsize=1)(hashed)


@lru_cache(maxsize=1)
def _files(model: str, device: str, written: str) -> WanFolder:
    """The files of a place, which is `written` as JSON, so that a model added anew is read anew."""
    card, place = load_card(model), Place.model_validate_json(written)
    dtype, vae_dtype = wan_dtypes(device)
    folder = WanFolder(parts_of(place, card), device=device, dtype=dtype, vae_dtype=vae_dtype)
    if (folder.boundary is not None) != (card.boundary is not None):
        experts = "two experts" if folder.boundary is not None else "one transformer"
        raise WeightsError(f"{place.path} holds {experts}, which is not {model!r}: add it under its own name")
    return folder


@lru_cache(maxsize=1)
def _runner(
    model: str,
    folder: WanFolder,
    hashes: tuple[tuple[str, str], ...],
    strategy: Strategy | None,
    loras: tuple[PlacedLora, ...],
) -> WanRunner:
    return WanRunner(load_card(model), folder, dict(hashes), strategy, loras)


def _attended(card: ModelCard, folder: WanFolder, request: Request) -> dict[str, tuple[int, int]]:
    """What a pass attends to -> how many tokens attend to how many."""
    shape, config = latent_shape(folder, request), folder.configs[0]
    past = past_for(card, shape[2])
    frames, seen = (shape[2], shape[2]) if past is None else (past.chunk, past.chunk * past.places)
    a_frame = shape[3] * shape[4] // 4
    count = frames * a_frame
    found = {"itself": (count, seen * a_frame), "words": (count, WORDS)}
    if config.image_dim is not None:
        found["pictures"] = (count, config.image_tokens or CLIP_TOKENS)
    return found


def latent_shape(folder: WanFolder | WanSketch, request: Request) -> tuple[int, int, int, int, int]:
    """Of a request's latents [1, c, t, h, w]."""
    config = folder.vae_config
    factor = 8 * config.patch
    frames = (request.num_frames - 1) // GROUP + 1
    return (1, config.channels, frames, request.height // factor, request.width // factor)
