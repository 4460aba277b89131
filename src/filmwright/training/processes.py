"""Which process this is among those that torchrun started, which device is its own, and how they agree.

`cuda` means each process's own GPU of its machine. On GPUs, tensors talk through NCCL; numbers that the processes
agree on (time used, what is due) stay on the CPU and go through gloo, so that no step waits for the GPU because of
them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from filmwright.spec.errors import BadRequest

__all__ = ["Rank", "agree", "backends", "joined", "largest", "own_device", "wait_for_all"]

_runs = (
    itertools.count()
)  # of this process: what an earlier run left in torchrun's store is no news to the next


@dataclass(frozen=True)
class Rank:
    """This process among its equals, and the device that it computes on."""

    index: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)

    def part(self, batch: int) -> slice:
        """The rows of a global batch that this process computes."""
        share = batch // self.count
        return slice(self.index * share, (self.index + 1) * share)


def own_device(device: str, environment: Mapping[str, str]) -> str:
    """The device that `device` means for this process: `cuda` is the GPU of its number on this machine.

    Raises:
        BadRequest: one GPU is named, and torchrun started several processes.
    """
    if not device.startswith("cuda") or "LOCAL_RANK" not in environment:
        return device
    beside = int(environment.get("LOCAL_WORLD_SIZE", "1"))
    if device == "cuda":
        return f"cuda:{environment['LOCAL_RANK']}"
    if beside > 1:
        raise BadRequest(
            f"--device {device} is one GPU, and torchrun started {beside} processes: say --device cuda, "
            "and each takes its own"
        )
    return device


def backends(device: str) -> str:
    """How processes that compute on `device` talk, for `init_process_group`."""
    return "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"


@contextmanager
def joined(device: str, threads: int | None = None) -> Iterator[Rank]:
    """Inside, this process has its device and, when torchrun started it, has joined the others.

    Raises:
        BadRequest: more processes than GPUs, or one GPU for several processes.
    """
    if threads:
        torch.set_num_threads(threads)
    own = torch.device(own_device(device, os.environ))
    if own.type == "cuda" and own.index is not None:
        if own.index >= torch.cuda.device_count():
            raise BadRequest(
                f"{own} was asked for, and this machine has {torch.cuda.device_count()} GPUs: start as many processes "
                "as it has (torchrun --nproc-per-node), or name another --device"
            )
        torch.cuda.set_device(own)
    if "RANK" not in os.environ:
        yield Rank(device=own)
        return
    store, index, count = next(rendezvous("env://"))
    store = PrefixStore(f"filmwright-{next(_runs)}", store)
    dist.init_process_group(backends(device), store=store, rank=index, world_size=count)
    try:
        yield Rank(index, count, own)
    except BaseException:
        if (everyone := dist.group.WORLD) is not None:
            everyone.abort()  # the others may wait within a sum: no goodbye would end
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def largest(used: float, rank: Rank) -> float:
    """The largest share any process has used: clocks differ, and all must keep one rate and stop at one step."""
    if rank.count == 1:
        return used
    share = torch.tensor(used, dtype=torch.float64)
    dist.all_reduce(share, dist.ReduceOp.MAX)
    return float(share)


def agree(due: Sequence[bool], rank: Rank) -> list[bool]:
    """What is due by the first process's clock, for all."""
    if rank.count == 1:
        return list(due)
    flags = torch.tensor(due, dtype=torch.uint8)
    dist.broadcast(flags, 0)
    return [bool(flag) for flag in flags.tolist()]


def wait_for_all(rank: Rank) -> None:
    """Returns when every process is here."""
    if rank.count > 1:
        dist.barrier(device_ids=[rank.device.index] if rank.device.type == "cuda" else None)
