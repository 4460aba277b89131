"""Trains the text encoder and the denoiser together by flow matching on encoded clips.

Every sample is one of the tasks that the model will be asked for: text to video, a given first frame, a keyframe at
the end, given history, with or without the camera, motion tracks and words. Cells that the subject passes weigh
more: it is a tenth of the picture and most of what the prompt is about. They do so the less, the more noise hides
where it is: a weight that tells what cannot be seen yet would bias the velocity towards a subject everywhere.
Small heads that ask for the truth teach the rest; see `training.truth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import register_fsdp_forward_method

from filmwright.data.live import LiveWorld
from filmwright.diffusion.flow import mix, sample_levels, shift_for, velocity
from filmwright.models.catalog import size
from filmwright.models.dit import CONTROL_CHANNELS, DiT
from filmwright.models.text import TextEncoder
from filmwright.spec.errors import BadRequest
from filmwright.training.latents import LatentSet, track_controls
from filmwright.training.live import EncodedClip, LiveLatents
from filmwright.training.loop import LoopConfig, run, wants_compile
from filmwright.training.processes import Rank, joined
from filmwright.training.sharding import cut
from filmwright.training.truth import TruthHeads

__all__ = ["DenoiserObjective", "DenoiserTraining", "train_denoiser"]

HELD_OUT_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, kw_only=True)
class DenoiserTraining:
    """What to train on, from where, and how often each condition is given."""

    latents: Path | LiveWorld  # a folder of latents, or clips that are simulated and encoded as it goes
    held_out: Path | None = None  # latents to measure on, beside the held-out clips among `latents`
    size: str = "lite"
    init: Path | None = None  # a folder with text.safetensors and denoiser.safetensors to go on from
    vocabulary: Path | None = None  # the shipped one
    vae: Path | None = None  # encodes live clips and decodes sample sheets; none of these without it
    drop_caption: float = 0.1
    give_first: float = 0.25
    give_last: float = 0.15  # a share of the batches: their sequences are longer
    give_camera: float = 0.8
    give_tracks: float = 0.25
    subject_weight: float = 4.0  # how much more a clean cell of the subject counts
    truth: float = 1.0  # weight of the truth heads' loss; 0 trains without them
    mixture: tuple[float, float, float] = (0.6, 0.25, 0.15)  # see `flow.sample_levels`


class Seen(list[Tensor]):
    """Tokens after each block. Not a plain list: hooks of nets that are cut would hand a copy to the net."""


class DenoiserObjective:
    """Text encoder and denoiser, their latents and their loss."""

    def __init__(self, training: DenoiserTraining, config: LoopConfig, rank: Rank) -> None:
        from filmwright.weights.files import shipped

        torch.manual_seed(config.seed)
        self.training, self.config = training, config
        self.device = rank.device
        sizes = size(training.size)
        vocabulary = training.vocabulary or shipped() / "vocabulary.json"
        self.text, self.dit = TextEncoder(sizes.text), DiT(sizes.dit)
        if training.init is not None:
            from filmwright.weights.files import load_net

            load_net(self.text, training.init / "text.safetensors")
            load_net(self.dit, training.init / "denoiser.safetensors")
        else:
            from filmwright.training.words import word_vectors
            from filmwright.weights.tokenizer import Tokenizer

            tokenizer = Tokenizer.load(vocabulary)
            vectors = word_vectors(tokenizer, sizes.text.dim, torch.Generator().manual_seed(config.seed))
            self.text.embed.weight.data[: len(vectors)] = vectors
        self.truth = TruthHeads(sizes.dit)
        self.modules: dict[str, nn.Module] = {"text": self.text, "denoiser": self.dit, "truth": self.truth}
        for module in self.modules.values():
            module.to(self.device)
        self.data: LatentSet | LiveLatents
        if isinstance(training.latents, LiveWorld):
            if training.vae is None:
                raise BadRequest("clips of a live world must be encoded: give the --vae that encodes them")
            make = EncodedClip(
                world=training.latents,
                vae=training.vae,
                vocabulary=vocabulary,
                size=training.size,
                device=str(self.device),
            )
            self.data = LiveLatents(make, training.held_out, (rank.index, rank.count))
        else:
            self.data = LatentSet(training.latents, training.held_out)
        self.shift = shift_for(self.data.numbers)
        if wants_compile(config, on_cpu=True):
            for block in self.dit.blocks:  # one block is compiled for all of them: seconds instead of minutes
                block.compile(dynamic=False)

    def cut(self, mesh: DeviceMesh) -> None:
        """Every block of the denoiser, what remains of it, and the small nets, each whole while it runs."""
        cut([*self.dit.blocks, self.dit, self.text, self.truth], mesh)
        for name in ("cache_context", "step"):  # called when clips are generated for a sample sheet
            register_fsdp_forward_method(self.dit, name)

    def close(self) -> None:
        """Ends the processes that simulate clips."""
        if isinstance(self.data, LiveLatents):
            self.data.stream.close()

    def loss(self, step: int, rank: Rank) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted velocity error of a batch drawn from (seed, step)."""
        if isinstance(self.data, LiveLatents):
            self.data.refresh(step)
        rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        batch = self._batch(self.config.batch, rng)
        mine = {k: v[rank.part(self.config.batch)].to(self.device) for k, v in batch.items()}
        return self._weighted(**mine)

    def _batch(self, count: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Everything `_weighted` takes, drawn from `rng`; tensors are those of the whole batch."""
        t, give = self.data.tensors, self.training
        chosen = self.data.train[torch.randint(len(self.data.train), (count,), generator=rng)]
        x = t["latents"][chosen].float()
        captions = torch.randint(t["tokens"].shape[1], (count,), generator=rng)
        tokens = t["tokens"][chosen, captions].long()
        told = torch.rand(count, generator=rng) >= give.drop_caption
        tokens[~told] = self._null(tokens.shape[1])
        levels, counted = sample_levels(
            count,
            x.shape[2],
            self.dit.config.chunk,
            rng,
            shift=self.shift,
            mixture=give.mixture,
            first_frame_given=give.give_first,
        )
        camera = t["camera"][chosen].float()
        camera *= (torch.rand(count, generator=rng) < give.give_camera).float()[:, None, None, None, None]
        tracks = t["tracks"][chosen]
        use = (torch.rand(count, tracks.shape[1], generator=rng) < torch.rand(count, 1, generator=rng)) & (
            torch.rand(count, 1, generator=rng) < give.give_tracks
        )
        paths = track_controls(x, tracks, t["seen"][chosen], use)
        cover = t["weight"][chosen].float()
        extra = give.subject_weight * (1 - levels)[:, :, None, None] * cover
        weight = counted[:, :, None, None] * (1 + extra)
        batch = {
            "x": x,
            "tokens": tokens,
            "levels": levels,
            "weight": weight / weight.mean().clamp(min=1e-6),  # over the whole batch, whoever computes it
            "controls": torch.cat([camera, paths], dim=1),
            "noise": torch.randn(x.shape, generator=rng),
            "cover": cover,
            "labels": t["labels"][chosen],
            "told": told,
        }
        if float(torch.rand((), generator=rng)) < give.give_last:
            batch["last"] = t["last"][chosen].float()[:, None]
        return batch

    def _null(self, length: int) -> Tensor:
        """The caption that says nothing."""
        tokens = torch.zeros(length, dtype=torch.long)
        tokens[0] = 2  # <null>
        return tokens

    def _weighted(
        self,
        x: Tensor,
        tokens: Tensor,
        levels: Tensor,
        weight: Tensor,
        controls: Tensor,
        noise: Tensor,
        cover: Tensor,
        labels: Tensor,
        told: Tensor,
        last: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Clean latents and noise [b,c,t,h,w], levels [b,t], weight and cover [b,t,h,w], labels [b,10], told [b]."""
        text, pooled = self.text(tokens)
        seen = Seen() if self.training.truth else None
        times = None if last is None else torch.full((1,), x.shape[2] - 1, device=x.device)
        v = self.dit(mix(x, noise, levels), levels, text, pooled, controls, last, times, seen=seen)
        error = (v.float() - velocity(x, noise)).square().mean(1)  # [b, t, h, w]
        loss: Tensor = (error * weight).mean()
        parts = {"velocity": loss}
        if seen is not None:
            more, lessons = self.truth(seen[self.truth.after], pooled, labels, cover, told)
            loss, parts = loss + self.training.truth * more, parts | lessons
        return loss, parts

    def evaluate(self) -> dict[str, float]:
        """Velocity error on held-out clips at fixed levels, seeds and captions; no controls."""
        chosen = self.data.validation[:32]
        t = self.data.tensors
        if len(chosen) == 0:
            return {}
        rng = torch.Generator().manual_seed(7)
        x = t["latents"][chosen].float().to(self.device)
        text, pooled = self.text(t["tokens"][chosen, 0].long().to(self.device))
        controls = torch.zeros(len(x), CONTROL_CHANNELS, *x.shape[2:]).to(x)
        figures = {}
        for level in HELD_OUT_LEVELS:
            noise = torch.randn(x.shape, generator=rng).to(x)
            levels = torch.full((len(x), x.shape[2]), level, device=x.device)
            v = self.dit(mix(x, noise, levels), levels, text, pooled, controls)
            figures[f"t{level}"] = float((v.float() - velocity(x, noise)).square().mean())
        return figures | {"mean": sum(figures.values()) / len(figures)}

    def sample(self, path: Path, *, writes: bool) -> None:
        """Five frames each of six held-out prompts, generated."""
        if self.training.vae is None:
            return
        from PIL import Image

        from filmwright.diffusion.guidance import guided
        from filmwright.diffusion.samplers import SAMPLERS
        from filmwright.diffusion.schedules import timesteps
        from filmwright.models.vae import VAE
        from filmwright.weights.files import load_net

        chosen = self.data.validation[:6]
        t = self.data.tensors
        vae = VAE(size(self.training.size).vae)
        load_net(vae, self.training.vae)
        vae.to(self.device)
        tokens = t["tokens"][chosen, 0].long().to(self.device)
        null = self._null(tokens.shape[1]).to(self.device).expand_as(tokens)
        contexts = []
        for ids in (tokens, null):
            text, pooled = self.text(ids)
            contexts.append((self.dit.cache_context(text), pooled))

        def of(which: int):  # type: ignore[no-untyped-def]
            cache, pooled = contexts[which]
            return lambda x, levels: self.dit.step(x, levels, cache, pooled)[0].float()

        noise = torch.randn(t["latents"][chosen].shape, generator=torch.Generator().manual_seed(3)).to(
            self.device
        )
        denoise = guided(of(0), of(1), 3.0)
        x = SAMPLERS["unipc"](denoise, noise, timesteps(16, shift=self.shift))
        frames = vae.decode(x).float().clamp(-1, 1)  # [b, 3, t, h, w]
        picked = frames[:, :, :: max(1, (frames.shape[2] - 1) // 4)][:, :, :5]
        sheet = ((picked + 1) * 127.5).round().byte().permute(0, 3, 2, 4, 1).flatten(2, 3).flatten(0, 1)
        if writes:
            Image.fromarray(sheet.cpu().numpy()).save(path)


def train_denoiser(training: DenoiserTraining, config: LoopConfig) -> dict[str, float]:
    """Trains and writes `out/text.safetensors` and `out/denoiser.safetensors` (averaged weights).

    Raises:
        BadRequest: no latents, a run folder in use, or a batch or device that the processes cannot share.
        WeightsError: `init` holds nets of another size.
    """
    from filmwright.training.checkpoint import NAME, averaged_weights
    from filmwright.weights.files import write_weights

    with joined(config.device, config.threads) as rank:
        objective = DenoiserObjective(training, config, rank)
        try:
            figures = run(objective, config, rank)
        finally:
            objective.close()
        if rank.index == 0:
            ema = averaged_weights(config.out / NAME)
            for net in ("text", "denoiser"):
                write_weights(
                    config.out / f"{net}.safetensors",
                    {k.removeprefix(f"{net}."): v for k, v in ema.items() if k.startswith(f"{net}.")},
                    note={"net": net, "size": training.size} | figures,
                )
    return figures
