"""Blocks of a net that are in memory only while they compute: the next one is read in the meantime.

A net whose blocks are on the meta device gets each block's weights when its turn comes and gives them back after it,
so two blocks are in memory instead of all. The sums are those of the whole net, to the bit. Where the device has a
memory of its own and the host's has room, a block is read once, with its weights made what they run in, and comes from
there in the passes that follow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = ["StreamedBlocks"]

ALIGNED = 256  # bytes: where each tensor of a block may begin
PORTABLE = 1  # cudaHostRegisterPortable
Load = Callable[[int], dict[str, Tensor]]
"""The weights of block i by their names within it, on the host."""


class StreamedBlocks:
    """`blocks`, each with its weights while it is its turn; again and again, in the same order.

    A net of ours iterates over them; in a net of somebody else's they `hook` themselves.
    """

    def __init__(self, blocks: Sequence[nn.Module], load: Load, device: str, keep: int = 0) -> None:
        """`keep` bytes of blocks at most stay in the host's memory once they were read."""
        self.blocks, self.load, self.device, self.keep = blocks, load, torch.device(device), keep
        self.kept: dict[int, _Kept] = {}
        # looked up once: a LoRA may wrap a layer later, its weights still have their place in the layer itself
        self.places = [
            {name: _owner(block, name) for name, _ in block.named_parameters()} for block in blocks
        ]
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="blocks")
        self.coming: tuple[int, Future[dict[str, Tensor]]] | None = None
        self.empty: dict[tuple[nn.Module, str], nn.Parameter | None] = {}
        self.hooks: list[RemovableHandle] = []
        self.side = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def __call__(self) -> Iterator[nn.Module]:
        """The blocks from the first on; a pass that is left early begins anew the next time."""
        for index, block in enumerate(self.blocks):
            self._fill(index)
            try:
                yield block
            finally:
                self._empty(index)

    def hook(self) -> None:
        """Until it is closed, a block that is called has its weights while it computes."""

        def fill(index: int, *_: object) -> None:
            self._fill(index)

        def empty(index: int, *_: object) -> None:
            self._empty(index)

        for index, block in enumerate(self.blocks):
            self.hooks.append(block.register_forward_pre_hook(partial(fill, index)))
            self.hooks.append(block.register_forward_hook(partial(empty, index), always_call=True))

    def close(self) -> None:
        """Stops reading and lets go of what was read ahead."""
        for hook in self.hooks:
            hook.remove()
        self.hooks.clear()
        self.coming = None
        self.reader.shutdown(wait=True, cancel_futures=True)
        for block in self.kept.values():
            block.close()
        self.kept.clear()

    def _fill(self, index: int) -> None:
        weights = self._weights(index)
        following = (index + 1) % len(self.blocks)
        self.coming = (following, self.reader.submit(self._fetch, following))
        for name, (owner, last) in self.places[index].items():
            self.empty[owner, last] = owner._parameters[last]  # noqa: SLF001 (setattr would refuse another device)
            owner._parameters[last] = nn.Parameter(weights[name], requires_grad=False)  # noqa: SLF001

    def _empty(self, index: int) -> None:
        for owner, last in self.places[index].values():
            if (owner, last) in self.empty:
                owner._parameters[last] = self.empty.pop((owner, last))  # noqa: SLF001

    def _weights(self, index: int) -> dict[str, Tensor]:
        coming, self.coming = self.coming, None
        if coming is not None and coming[0] == index:
            weights = coming[1].result()
        else:
            weights = self.reader.submit(self._fetch, index).result()
        if self.side is not None:
            for tensor in weights.values():
                tensor.record_stream(torch.cuda.current_stream(self.device))
        return weights

    def _fetch(self, index: int) -> dict[str, Tensor]:
        """Runs in the reader's thread; a GPU is copied to on a stream of its own, beside the sums."""
        if self.side is None:
            return self._read(index)
        with torch.cuda.stream(self.side):
            weights, kept = self._read(index), index in self.kept
            placed = {
                k: (v if kept else v.pin_memory()).to(self.device, non_blocking=True)
                for k, v in weights.items()
            }
        self.side.synchronize()
        return placed

    def _read(self, index: int) -> dict[str, Tensor]:
        """The weights on the host: those that are kept, or as they are read, and then kept if there is room."""
        if index in self.kept:
            return self.kept[index].weights
        weights = self.load(index)
        size = sum(tensor.nbytes for tensor in weights.values())
        if size > self.keep:
            return weights
        self.keep -= size
        self.kept[index] = _Kept(weights, pinned=self.side is not None)
        return self.kept[index].weights


class _Kept:
    """A block's weights in one piece of the host's memory, which a GPU can copy from beside its sums if it is pinned.

    The piece is pinned where it lies: torch's own pinned tensors take up to twice their size, and are never given back.
    """

    def __init__(self, weights: dict[str, Tensor], *, pinned: bool) -> None:
        starts, total = [], 0
        for tensor in weights.values():
            starts.append(total)
            total += _bytes(tensor)
        self.slab = torch.empty(total, dtype=torch.uint8)
        self.weights = {}
        for start, (name, tensor) in zip(starts, weights.items(), strict=True):
            place = self.slab[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
            self.weights[name] = place.copy_(tensor)
        self.pinned = pinned and _pin(self.slab)

    def close(self) -> None:
        """Lets go of the memory; nothing is copied from it any more."""
        if self.pinned:
            torch.cuda.cudart().cudaHostUnregister(self.slab.data_ptr())
            self.pinned = False


def _pin(slab: Tensor) -> bool:
    """Whether the current GPU now copies from it by itself; where a system refuses, copies are slower and the same."""
    if int(torch.cuda.cudart().cudaHostRegister(slab.data_ptr(), slab.nbytes, PORTABLE)) == 0:
        return True
    with contextlib.suppress(RuntimeError):  # which torch would raise at its next kernel: here is one
        torch.zeros(1, device="cuda")
    return False


def _bytes(tensor: Tensor) -> int:
    """What a tensor takes in a `_Kept`."""
    return -(-tensor.nbytes // ALIGNED) * ALIGNED


def _owner(block: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, last = name.rpartition(".")
    return block.get_submodule(path), last
