"""Wan with random weights, as Filmwright's engine runs it and as diffusers does: the two sides of `benchmarks.wan_nets`."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from filmwright.engine.memory import give_back, peak, start_peak
from filmwright.engine.wan_runner import WanRunner, wan_dtypes
from filmwright.models.outline import outline
from filmwright.models.umt5 import UMT5Encoder
from filmwright.models.wan import WanTransformer
from filmwright.models.wan_vae import WanVAE
from filmwright.spec.plan import Strategy
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.wan import vae_to_own_names
from filmwright.weights.wan_folder import running_dtype, suit
from filmwright.weights.wan_sketch import WanSketch
from filmwright.weights.wan_text import WORDS, WanText

TINY = {"dim": 256, "heads": 2, "layers": 2, "ffn": 512, "text_dim": 64}
TINY_TEXT = {"vocabulary": 256, "dim": 64, "head_dim": 16, "heads": 4, "ffn": 128, "layers": 1}
TINY_VAE = {"width": 8, "decoder_width": 8}
TOKENS = 60  # of a prompt: ours reads these, diffusers' pipeline all 512


@dataclass(kw_only=True)
class Phases:
    """Seconds and peak bytes of a run's phases; diffusers' pipeline does not tell them apart."""

    seconds: dict[str, float]
    peaks: dict[str, int]

    @property
    def whole(self) -> float:
        return sum(self.seconds.values())


class RandomWan(WanSketch):
    """What the engine asks of a Wan's folder, with random weights that are made where a folder's would be read."""

    def __init__(self, model: str, device: str, *, tiny: bool) -> None:
        super().__init__(model, device, *wan_dtypes(device))
        if tiny:
            self.configs = [replace(config, **TINY) for config in self.configs]
            self.vae_config = replace(self.vae_config, **TINY_VAE)
            self.text.config = replace(self.text.config, **TINY_TEXT)
        self.text.load = self._text

    def transformer(self, index: int = 0, mode: str = "none") -> WanTransformer:
        assert mode == "none"
        with outline():
            net = WanTransformer(self.configs[index])
        return filled(net, self.device, lambda name: running_dtype(name, self.dtype))

    def transformer_shell(self, index: int = 0) -> WanTransformer:
        with outline():
            net = WanTransformer(self.configs[index])
        return filled(net, self.device, lambda name: running_dtype(name, self.dtype), but="blocks.")

    def block(self, index: int, block: int, mode: str = "none") -> dict[str, Tensor]:
        assert mode == "none"
        with outline():
            net = WanTransformer(replace(self.configs[index], layers=1))
        head = "blocks.0."
        named = {name: p for name, p in net.named_parameters() if name.startswith(head)}
        torch.manual_seed(block)
        return {
            name.removeprefix(head): torch.randn(p.shape).mul(0.02).to(running_dtype(name, self.dtype))
            for name, p in named.items()
        }

    def vae(self, *_: str) -> WanVAE:
        with outline():
            net = WanVAE(self.vae_config)
        filled(net, self.device, lambda _: self.vae_dtype)
        suit(net, self.device, self.vae_dtype)
        return net

    def _text(self, mode: str = "none") -> WanText:
        assert mode == "none"
        with outline():
            net = UMT5Encoder(self.text.config)
        return WanText(
            filled(net, self.device, lambda _: self.dtype), lambda _: [*range(1, TOKENS + 1)], self.device
        )


class Theirs:
    """diffusers' nets and pipeline of the same sizes, random as well; each is made when it is first asked for."""

    def __init__(self, ours: RandomWan) -> None:
        self.ours, self.device, self.dtype = ours, ours.device, ours.dtype

    @staticmethod
    def installed() -> bool:
        return find_spec("diffusers") is not None and find_spec("transformers") is not None

    @cached_property
    def transformer(self) -> Any:
        from diffusers import WanTransformer3DModel

        config = self.ours.configs[0]
        pictures = (
            {}
            if config.image_dim is None
            else {"image_dim": config.image_dim, "added_kv_proj_dim": config.dim}
        )
        with torch.device("meta"):
            net = WanTransformer3DModel(
                num_attention_heads=config.heads, attention_head_dim=config.head_dim, in_channels=config.in_channels,
                out_channels=config.out_channels, text_dim=config.text_dim, ffn_dim=config.ffn,
                num_layers=config.layers, **pictures,
            )  # fmt: skip
        rope = type(net.rope)(net.rope.attention_head_dim, net.rope.patch_size, net.rope.max_seq_len)
        net.rope = rope.to(self.device)
        return filled(net, self.device, lambda _: self.dtype)

    @cached_property
    def vae(self) -> Any:
        from diffusers import AutoencoderKLWan

        config = self.ours.vae_config
        patched = {"patch_size": config.patch, "scale_factor_spatial": 16} if config.shortcuts else {}
        net = AutoencoderKLWan(
            base_dim=config.width, decoder_base_dim=config.decoder_width, z_dim=config.channels,
            latents_mean=list(config.mean), latents_std=list(config.std), is_residual=config.shortcuts,
            in_channels=3 * config.patch**2, out_channels=3 * config.patch**2, **patched,
        ).to(self.device, self.ours.vae_dtype)  # fmt: skip
        mine = self.ours.vae().state_dict()
        names = {name: name for name in net.state_dict()}
        net.load_state_dict({name: mine[own] for own, name in vae_to_own_names(names).items()})
        return net.eval().requires_grad_(False)

    @cached_property
    def text(self) -> Any:
        import transformers

        config = self.ours.text.config
        told = transformers.UMT5Config(
            vocab_size=config.vocabulary, d_model=config.dim, d_kv=config.head_dim, d_ff=config.ffn,
            num_heads=config.heads, num_layers=config.layers, feed_forward_proj="gated-gelu",
        )  # fmt: skip
        with torch.device("meta"):
            net = transformers.UMT5EncoderModel(told)
        return filled(net, self.device, lambda _: self.dtype)

    def words(self) -> Tensor:
        """As the pipeline reads a prompt: all 512 places, then those after its end set to zero."""
        ids = torch.zeros(1, WORDS, dtype=torch.long, device=self.device)
        ids[:, :TOKENS] = torch.arange(1, TOKENS + 1, device=self.device)
        found: Tensor = self.text(ids, (ids > 0).long()).last_hidden_state
        return found * (ids > 0)[..., None]

    def run(self, request: Request) -> Phases:
        """The whole of a text-to-video pipeline, to frames on the host."""
        from diffusers import UniPCMultistepScheduler, WanPipeline

        scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        )
        pipe = WanPipeline(
            tokenizer=None, text_encoder=None, vae=self.vae, scheduler=scheduler, transformer=self.transformer
        )
        pipe.set_progress_bar_config(disable=True)

        def whole() -> None:
            words = [self.words() for _ in range(2)]
            pipe(
                prompt_embeds=words[0], negative_prompt_embeds=words[1], height=request.height, width=request.width,
                num_frames=request.num_frames, num_inference_steps=request.steps, guidance_scale=request.guidance,
                generator=torch.Generator().manual_seed(0), output_type="np",
            )  # fmt: skip

        seconds, most = timed(whole, self.device)
        return Phases(seconds={"whole": seconds}, peaks={"whole": most})


class Ours:
    """The engine's runner on random nets, which it holds from one run to the next."""

    def __init__(self, model: str, folder: RandomWan) -> None:
        self.device = folder.device
        shared: Any = folder
        self.runner = WanRunner(load_card(model), shared, {}, Strategy(nets="held"))

    def run(self, request: Request) -> Phases:
        """The whole of a request, to frames on the host; `through` a journal nothing goes."""
        seconds, peaks, kept = {}, {}, {}

        def phase(name: str, work: Callable[[], Any]) -> None:
            def keep() -> None:
                kept[name] = work()

            give_back(self.device)
            seconds[name], peaks[name] = timed(keep, self.device)

        runner = self.runner
        phase("encode", lambda: runner.prepare(request))
        phase(
            "denoise",
            lambda: runner.denoise(request, kept["encode"], lambda *_: None, lambda denoise: denoise),
        )
        phase("decode", lambda: sum(len(piece) for piece in runner.decode(kept["denoise"])))
        assert kept["decode"] == request.num_frames
        return Phases(seconds=seconds, peaks=peaks)


def filled(net: Any, device: str, dtype_of: Callable[[str], torch.dtype], but: str | None = None) -> Any:
    """A net of the meta device with random weights on another, `but` those whose names begin so."""
    torch.manual_seed(0)
    made: dict[int, nn.Parameter] = {}
    for name, p in list(net.named_parameters(remove_duplicate=False)):  # one may have two names
        if but is not None and name.startswith(but):
            continue
        path, _, last = name.rpartition(".")
        if id(p) not in made:
            weight = torch.empty(p.shape, dtype=dtype_of(name), device=device).normal_(std=0.02)
            made[id(p)] = nn.Parameter(weight, requires_grad=False)
        setattr(net.get_submodule(path), last, made[id(p)])
    return net.eval().requires_grad_(False)


def timed(work: Callable[[], object], device: str) -> tuple[float, int]:
    """Seconds, and the most bytes meanwhile."""
    sync(device)
    start_peak(device)
    began = time.perf_counter()
    work()
    sync(device)
    return time.perf_counter() - began, peak(device)


def sync(device: str) -> None:
    """Waits for a device, if it need be waited for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def tidy(device: str) -> None:
    """Nothing of a row is left for the next."""
    gc.collect()
    torch.compiler.reset()
    give_back(device)
