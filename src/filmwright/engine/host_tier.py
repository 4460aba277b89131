"""Whether a GPU's host has room for the blocks that are streamed to it, so that each is read from its file once."""

from __future__ import annotations

import os
from dataclasses import replace

from filmwright.engine.memory import available, resident
from filmwright.spec.plan import Strategy

__all__ = ["with_host"]

BESIDE = 2_000_000_000  # bytes that a run on a GPU has on the host: libraries, frames, the video's encoder, a block


def with_host(strategy: Strategy, device: str, blocks: int) -> Strategy:
    """The strategy, with the host's memory for these bytes of blocks where they are streamed to a GPU and fit there.

    Processes of one clip share the host. On a CPU the budget is of that very memory, so nothing is kept in it.
    """
    if strategy.nets != "streamed" or device == "cpu":
        return strategy
    room = (available() - resident()) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return replace(strategy, host=blocks) if blocks + BESIDE <= room else strategy
