"""Wan's way from noise to latents: what it is conditioned on, which expert denoises when, and guidance by expert.

Variants differ in how they are told of given frames. Those with further input channels (2.1 and A14B image to video,
first and last frame) see a mask and the latents of a clip that is grey where nothing is given; TI2V-5B has the first
latent frame itself, clean, at level 0. The rest of the clip is denoised by the samplers that the pocket model uses.

Axes: b batch, c channels, t latent frames, h rows, w columns of latents; l words, m picture tokens, d features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.samplers import Draw, OnStep, sampler_for
from filmwright.diffusion.schedules import with_given
from filmwright.engine.gate import GuidanceGate
from filmwright.engine.parallel import Ulysses, team_for
from filmwright.models.wan import Context, WanTransformer
from filmwright.models.wan_vae import GROUP, WanVAE

__all__ = ["Expert", "Given", "Pass", "denoise_wan", "given_frames"]

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
    draw: Draw | None = None,
    given: Given | None = None,
    picture: Tensor | None = None,
    on_step: OnStep | None = None,
    through: Callable[[Denoise], Denoise] | None = None,
    passes: Callable[[Sequence[float]], Pass] | None = None,
    gate: GuidanceGate | None = None,
) -> Tensor:
    """Clean latents [1, c, t, h, w].

    Args:
        experts: from the noisiest level down; one for most variants, two for A14B.
        words: the prompt's features [1, l, d], zero where it ends; `negative` those of what is not wanted.
        negative: see `words`; not looked at where guidance is 1.
        noise: fp32 [1, c, t, h, w].
        times: levels from 1 to 0, see `diffusion.schedules`.
        sampler: a name that `diffusion.samplers.sampler_for` knows.
        draw: where a sampler that needs fresh noise gets it.
        given: what is known, or None.
        picture: CLIP's tokens [1, m, d] for variants with an eye.
        on_step: is told after each step.
        through: the sampler is given `through(denoiser)`, or the denoiser itself.
        passes: makes what runs the passes of one kind (an expert's, with or without the prompt) at these levels, such
            as an `engine.cache.StepCache`; the net itself runs them without.
        gate: where guidance ends; at level 0 without.

    Raises:
        ValueError: no experts, or experts that leave levels to nobody.
    """
    if not experts or experts[-1].down_to > 0:
        raise ValueError("the last expert must reach down to level 0")
    given = given or Given()
    team = team_for(guided=any(e.guidance != 1 for e in experts))
    now: dict[int, tuple[WanTransformer, Context, Context | None, Pass, Pass]] = {}

    def expert_at(level: float) -> int:
        return next(i for i, e in enumerate(experts) if level >= e.down_to)

    def begun(index: int) -> tuple[WanTransformer, Context, Context | None, Pass, Pass]:
        if index not in now:
            now.clear()  # an expert is done when the next one begins
            net = experts[index].net()
            tokens = None if team is None else team.tokens
            net.share = None if tokens is None else Ulysses(tokens, net.config.heads)
            guided = experts[index].guidance != 1
            own = [level for level in times[:-1] if expert_at(level) == index]
            run, run_plain = (_exact if passes is None else passes(own) for _ in range(2))
            now[index] = (
                net,
                net.context(words, picture),
                net.context(negative, picture) if guided else None,
                run,
                run_plain,
            )
        return now[index]

    def velocity(x: Tensor, levels: Tensor) -> Tensor:
        index = expert_at(float(levels.max()))
        net, prompted, unprompted, run, run_plain = begun(index)
        seen = x if given.channels is None else torch.cat([x, given.channels.to(x)], dim=1)
        seen = seen.to(net.patch_embedding.weight.dtype)
        told = levels if given.given is not None else levels[:, :1]
        level = float(levels.max())
        if unprompted is None:
            return run(net, seen, told, prompted).to(x.dtype)
        if team is not None and team.side is not None:
            mine = (
                run(net, seen, told, prompted) if team.side == 0 else run_plain(net, seen, told, unprompted)
            )
            v, plain = team.both(mine.to(x.dtype))
        else:
            v = run(net, seen, told, prompted).to(x.dtype)
            if gate is not None and gate.leaves_out(level):
                return v
            plain = run_plain(net, seen, told, unprompted).to(x.dtype)
        both = plain + experts[index].guidance * (v - plain)
        return both if gate is None else gate.velocity(level, v, both)

    x, levels = noise, None
    if given.known is not None and given.given is not None:
        x = torch.where(given.given[:, None, None], given.known.to(noise), noise)
        levels = with_given(given.given[None])
    model = velocity if through is None else through(velocity)
    return sampler_for(sampler, draw)(model, x, times, levels=levels, on_step=on_step)


def _exact(net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> Tensor:
    return net(x, levels, context)  # type: ignore[no-any-return]
