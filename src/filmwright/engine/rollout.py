"""A clip that Wan makes chunk by chunk, each clean before the next begins: what streaming models were distilled to do.

A chunk of latent frames goes from noise to clean while it sees the chunks before it. One more pass at level 0 then
leaves its keys and values for those after it. These passes never go through the journal: of a run that died they are
made again, so that the past is there when the first answer that was not kept is asked for.

Self Forcing (Huang et al. 2025), after CausVid (Yin et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from filmwright.diffusion.flow import Denoise
from filmwright.diffusion.samplers import OnStep, Sampler
from filmwright.engine.parallel import Ulysses, team_for
from filmwright.models.wan import WanTransformer
from filmwright.models.wan_past import WanPast

__all__ = ["roll_out"]


@torch.inference_mode()
def roll_out(
    net: WanTransformer,
    words: Tensor,
    noise: Tensor,
    times: Sequence[float],
    past: WanPast,
    *,
    solve: Sampler,
    on_step: OnStep | None = None,
    through: Callable[[Denoise], Denoise] | None = None,
) -> Iterator[Tensor]:
    """Clean latents [1, c, chunk, h, w], a chunk at a time, as soon as it is there.

    Args:
        net: a denoiser that was trained to see no later chunk.
        words: the prompt's features [1, l, d], zero where it ends.
        noise: of the whole clip, fp32 [1, c, t, h, w].
        times: levels that each chunk goes through, from 1 to 0.
        past: of a clip that has not begun; it says how many latent frames a chunk has and what it sees.
        solve: takes a chunk from noise to clean.
        on_step: is told after each step, of all chunks together.
        through: the sampler is given `through(denoiser)`, or the denoiser itself.
    """
    team = team_for(guided=False)
    net.share = None if team is None or team.tokens is None else Ulysses(team.tokens, net.config.heads)
    context = net.context(words)
    steps = len(times) - 1
    chunks = noise.split(past.chunk, dim=2)

    def velocity(x: Tensor, levels: Tensor) -> Tensor:
        seen = x.to(net.patch_embedding.weight.dtype)
        v: Tensor = net(seen, levels[:, :1], context, past=past)
        return v.to(x.dtype)

    model = velocity if through is None else through(velocity)
    for index, chunk in enumerate(chunks):

        def told(done: int, _: int, before: int = index * steps) -> None:
            if on_step is not None:
                on_step(before + done, len(chunks) * steps)

        clean = solve(model, chunk, times, on_step=told)
        yield clean
        if index + 1 < len(chunks):
            velocity(clean, clean.new_zeros(1, 1))
            past.advance()
