"""Blocks of a denoiser that are in memory only while they compute: the next one is read in the meantime.

A net whose blocks are on the meta device gets each block's weights when its turn comes and gives them back after it,
so two blocks are in memory instead of all. The sums are those of the whole net, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor, nn

__all__ = ["StreamedBlocks"]

Load = Callable[[int], dict[str, Tensor]]
"""The weights of block i by their names within it, on the host."""


class StreamedBlocks:
    """Iterates over `blocks`, each with its weights while it is its turn; again and again, in the same order."""

    def __init__(self, blocks: Sequence[nn.Module], load: Load, device: str) -> None:
        self.blocks, self.load, self.device = blocks, load, torch.device(device)
        # looked up once: a LoRA may wrap a layer later, its weights still have their place in the layer itself
        self.places = [
            {name: _owner(block, name) for name, _ in block.named_parameters()} for block in blocks
        ]
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="blocks")
        self.coming: tuple[int, Future[dict[str, Tensor]]] | None = None
        self.side = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def __call__(self) -> Iterator[nn.Module]:
        """The blocks from the first on; a pass that is left early begins anew the next time."""
        for index, block in enumerate(self.blocks):
            weights = self._weights(index)
            following = (index + 1) % len(self.blocks)
            self.coming = (following, self.reader.submit(self._fetch, following))
            empty = {}
            for name, (owner, last) in self.places[index].items():
                empty[name] = owner._parameters[last]  # noqa: SLF001 (setattr would refuse another device)
                owner._parameters[last] = nn.Parameter(weights[name], requires_grad=False)  # noqa: SLF001
            try:
                yield block
            finally:
                for name, (owner, last) in self.places[index].items():
                    owner._parameters[last] = empty[name]  # noqa: SLF001
            del weights

    def close(self) -> None:
        """Stops reading and lets go of what was read ahead."""
        self.coming = None
        self.reader.shutdown(wait=True, cancel_futures=True)

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
        weights = self.load(index)
        if self.side is None:
            return weights
        with torch.cuda.stream(self.side):
            placed = {k: v.pin_memory().to(self.device, non_blocking=True) for k, v in weights.items()}
        self.side.synchronize()
        return placed


def _owner(block: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, last = name.rpartition(".")
    return block.get_submodule(path), last
