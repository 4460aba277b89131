"""One clip on several devices: a process each, all with the whole net and the same noise.

Guidance comes first: where there are two processes or another even number, one half computes what the prompt says and
the other what it does not. Within a half, tokens are shared (Ulysses: Jacobs et al. 2023): every process has a part of
every frame's tokens for all heads, and for attention all tokens for a part of the heads.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
import torch.distributed as dist
from torch import Tensor

from filmwright.engine.workers import STOPPING, TEAM
from filmwright.models.wan import Attend
from filmwright.spec.errors import BadRequest

__all__ = ["Team", "Ulysses", "agree", "join", "leave", "sharing", "team_for"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Team:
    """Who computes what: `side` 0 with the prompt, 1 without, None both; `tokens` is who shares this side's tokens."""

    side: int | None
    tokens: dist.ProcessGroup | None
    pair: dist.ProcessGroup | None  # this process and its like on the other side

    def both(self, mine: Tensor) -> tuple[Tensor, Tensor]:
        """What was computed with the prompt and without, from what each side has."""
        found = [torch.empty_like(mine) for _ in range(2)]
        dist.all_gather(found, mine.contiguous(), group=self.pair)
        return found[0], found[1]


class Ulysses:
    """Shares the tokens of `models.wan.WanTransformer` among a group's processes; see `models.wan.Share`."""

    def __init__(self, group: dist.ProcessGroup, heads: int) -> None:
        self.group, self.rank, self.count = group, dist.get_rank(group), dist.get_world_size(group)
        if heads % self.count:
            raise BadRequest(
                f"{heads} heads cannot be shared by {self.count} processes: use a number that divides {heads}"
            )
        self.sizes: list[int] = []  # tokens of each process

    def mine(self, tokens: Tensor, frames: int) -> Tensor:
        """This process's part of each frame of [..., t*s, d] -> [..., t*part, d]."""
        parts = tokens.unflatten(-2, (frames, -1)).tensor_split(self.count, dim=-2)
        self.sizes = [frames * part.shape[-2] for part in parts]
        part: Tensor = parts[self.rank].flatten(-3, -2)
        return part

    def whole(self, tokens: Tensor, frames: int) -> Tensor:
        """All tokens [b, t*s, d] from each process's part."""
        most = max(self.sizes)
        padded = torch.nn.functional.pad(tokens, (0, 0, 0, most - tokens.shape[1])).contiguous()
        found = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(found, padded, group=self.group)
        parts = [f[:, :n].unflatten(1, (frames, -1)) for f, n in zip(found, self.sizes, strict=True)]
        return torch.cat(parts, dim=2).flatten(1, 2)

    def attend(self, attend: Attend) -> Attend:
        """Attention over all tokens, for callers that have their part of them."""

        def shared(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            y = attend(*(self._to_heads(x) for x in (q, k, v)))
            return self._to_tokens(y)

        return shared

    def total(self, numbers: Sequence[float]) -> list[float]:
        """The sums of the numbers that the group's processes have, the same to the bit for all of them."""
        found: list[Sequence[float]] = [()] * self.count
        dist.all_gather_object(found, list(numbers), group=self.group)
        return [sum(each) for each in zip(*found, strict=True)]

    def _to_heads(self, x: Tensor) -> Tensor:
        """[b, g, part, e] of all heads -> [b, g/p, n, e] of some, tokens in the order of processes."""
        b, g, n, e = x.shape
        share = g // self.count
        send = x.unflatten(1, (self.count, share)).transpose(0, 1).contiguous().flatten()  # p b g/p part e
        each = b * share * e
        found = x.new_empty(each * sum(self.sizes))
        dist.all_to_all_single(
            found, send, [each * s for s in self.sizes], [each * n] * self.count, group=self.group
        )
        parts = found.split([each * s for s in self.sizes])
        return torch.cat([p.view(b, share, s, e) for p, s in zip(parts, self.sizes, strict=True)], dim=2)

    def _to_tokens(self, x: Tensor) -> Tensor:
        """The inverse of `_to_heads`."""
        b, share, _, e = x.shape
        n, each = self.sizes[self.rank], b * share * e
        send = torch.cat([part.contiguous().flatten() for part in x.split(self.sizes, dim=2)])
        found = x.new_empty(each * n * self.count)
        dist.all_to_all_single(
            found, send, [each * n] * self.count, [each * s for s in self.sizes], group=self.group
        )
        return found.view(self.count, b, share, n, e).transpose(0, 1).flatten(1, 2)


def join(device: str) -> str:
    """Joins the others where torchrun or `engine.workers` started this process; the device that is this one's."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    if not dist.is_initialized():
        backend = "nccl" if device.startswith("cuda") else "gloo"
        where = f"file://{os.environ[TEAM]}/meeting" if TEAM in os.environ else "env://"
        rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        with _stoppable():
            dist.init_process_group(backend, init_method=where, rank=rank, world_size=count)
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    return device


@contextmanager
def _stoppable() -> Iterator[None]:
    """Within, Ctrl-C ends this process at once: nothing is begun, and who waits in C++ hears of no exception."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave() -> None:
    """Ends the company of processes when all have come so far: one that goes first would pull the others down."""
    if dist.is_initialized():
        dist.barrier()
        team_for.cache_clear()
        dist.destroy_process_group()


def agree(number: int) -> int:
    """The first process's number, for all; a plain number where there is only one process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return number
    found: list[int] = [number]
    dist.broadcast_object_list(found, src=0)
    return found[0]


def sharing(count: int, *, guided: bool) -> int:
    """How many of `count` processes share one pass's tokens: half of an even number where guidance has two sides."""
    return count // 2 if guided and count % 2 == 0 else count


@cache
def team_for(*, guided: bool) -> Team | None:
    """How the processes of this run share a clip; None where there is only one."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return None
    count, rank = dist.get_world_size(), dist.get_rank()
    half = sharing(count, guided=guided)
    if half == count:
        return Team(side=None, tokens=dist.new_group(list(range(count))), pair=None)
    sides = [list(range(half)), list(range(half, count))]
    token_groups = [dist.new_group(side) for side in sides]
    pairs = [dist.new_group([i, i + half]) for i in range(half)]
    side = rank // half
    return Team(side=side, tokens=token_groups[side] if half > 1 else None, pair=pairs[rank % half])
