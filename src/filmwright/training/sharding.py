"""Parameters, gradients and optimizer state cut over processes (FSDP2), for nets that one GPU does not hold.

Every tensor is cut along its first axis, as `torch.chunk` cuts. What works number by number (averages, AdamW,
momentum) works on `local` parts; files hold whole tensors, so that a run goes on with any number of processes, cut or
not. Newton-Schulz needs whole matrices: each process gets some of them from all the others, and gives their updates
back in parts (the idea of distributed Muon, Liu et al. 2025).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from filmwright.training.processes import Rank

__all__ = ["between_owners", "cut", "cut_like", "local", "mesh_of", "norm_of", "whole"]


def mesh_of(rank: Rank) -> DeviceMesh:
    """All processes in a row."""
    return init_device_mesh(rank.device.type, (rank.count,))


def cut(units: Iterable[nn.Module], mesh: DeviceMesh) -> None:
    """Cuts the parameters of `units`, inner ones first: each is gathered while its `forward` runs.

    Single numbers cannot be cut: they stay whole in every process.
    """
    # that outputs are views is told at every step; nothing here changes an output in place
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view", UserWarning)
    for unit in units:
        single = {p for p in unit.parameters() if p.ndim == 0}
        fully_shard(unit, mesh=mesh, ignored_params=single)


def local(tensor: Tensor) -> Tensor:
    """This process's part, sharing memory; a tensor that is not cut is its own."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The tensor of all parts; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of `like`, cut as that is; nothing is sent."""
    tensor = tensor.to(like.device)
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def norm_of(tensors: list[Tensor]) -> Tensor:
    """The norm of all numbers of tensors of which some may be cut."""
    in_parts = [t.to_local() for t in tensors if isinstance(t, DTensor)]
    square = torch.nn.utils.get_total_norm([t for t in tensors if not isinstance(t, DTensor)]).square()
    if in_parts:
        of_parts = torch.nn.utils.get_total_norm(in_parts).square()
        dist.all_reduce(of_parts)
        square = square.to(of_parts) + of_parts
    return square.sqrt()


def between_owners(parts: list[Tensor], rows: int, function: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Applies `function` to whole matrices [k, rows, columns] of which every process holds `parts` [r, columns] of all.

    Matrix i belongs to process i modulo their count, which alone computes it. Returns the results' parts.
    """
    count, mine = dist.get_world_size(), dist.get_rank()
    height = -(-rows // count)  # rows of a part; the last parts are shorter, or empty
    each = -(-len(parts) // count)  # matrices of an owner; the last owners may have none for some
    sent = parts[0].new_zeros(each, count, height, parts[0].shape[1])
    for i, part in enumerate(parts):
        sent[i // count, i % count, : len(part)] = part
    sent = sent.transpose(0, 1).contiguous()  # [owner, each, height, columns]
    got = torch.empty_like(sent)  # [holder, each, height, columns] of mine
    dist.all_to_all_single(got, sent)
    owned = len(range(mine, len(parts), count))
    matrices = got.transpose(0, 1).flatten(1, 2)  # [each, count*height, columns]
    result = torch.zeros_like(matrices)
    if owned:
        result[:owned, :rows] = function(matrices[:owned, :rows])
    back = result.unflatten(1, (count, height)).transpose(0, 1).contiguous()
    dist.all_to_all_single(got, back)
    return [got[i % count, i // count, : len(part)] for i, part in enumerate(parts)]
