"""The plan of a run: what each phase needs at its peak, how long it takes, and the strategy chosen to fit a budget."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from filmwright.spec.errors import BadRequest

__all__ = ["Phase", "Plan", "Strategy", "parse_memory", "say_bytes", "say_seconds"]

UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How a run fits its budget; the result is the same to the bit, whichever it is, unless it is decoded in `tiles`.

    `nets` are held: all in memory, and kept for the next clip; staged: each loaded when its phase begins and dropped
    when it ends; or streamed: staged, and of text encoder and denoiser two blocks at a time, the next being read
    while one computes. `exact` is how the exact nets would fit where eight bits are asked for, since those may be
    dropped; None where they would not. `host` bytes of the denoiser's streamed blocks at most stay in the memory of a
    GPU's host once they were read, so that later passes read no file.

    `tiles`, of models whose frames are decoded at once, are what decoding does piece by piece where the whole does not
    fit. They blend where they meet, which is near the whole and not the same: `proof` latent frames are decoded both
    ways, so that the run can say how near.
    """

    nets: Literal["held", "staged", "streamed"] = "held"
    exact: Literal["held", "staged", "streamed"] | None = None
    host: int = 0
    tiles: bool = False
    proof: int = 0

    @property
    def said(self) -> str:
        """In words."""
        nets = {
            "held": "all nets held in memory",
            "staged": "each net loaded for its phase and dropped after it",
            "streamed": "each net loaded for its phase, two blocks at a time, streamed "
            + ("from memory" if self.host else "from disk"),
        }[self.nets]
        return f"{nets}, frames decoded in tiles" if self.tiles else nets


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the run; peak bytes of the whole process on a CPU, of the device's memory on a GPU."""

    name: Literal["encode", "denoise", "decode"]
    peak: int
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do and need."""

    model: str
    device: str
    dtype: str
    strategy: Strategy
    phases: tuple[Phase, ...]
    budget: int
    why: str = ""

    @property
    def peak(self) -> int:
        """Bytes at the highest phase."""
        return max(phase.peak for phase in self.phases)

    @property
    def seconds(self) -> float | None:
        """Of all phases, if all are known."""
        known = [p.seconds for p in self.phases if p.seconds is not None]
        return sum(known) if len(known) == len(self.phases) else None

    def plain(self) -> dict[str, Any]:
        """For JSON; sizes in bytes."""
        return asdict(self) | {"peak": self.peak, "seconds": self.seconds}

    @property
    def line(self) -> str:
        """One line for the start of a run."""
        highest = max(self.phases, key=lambda p: p.peak)
        time = "" if self.seconds is None else f", about {say_seconds(self.seconds)}"
        return f"{say_bytes(self.peak)} at most (while it {highest.name}s){time}; {self.dtype}, {self.strategy.said}"


def parse_memory(text: str) -> int:
    """An amount such as "8GB", "512 MiB" or "6.5gb" in bytes.

    Raises:
        BadRequest: no size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if found is not None and not found[2] and float(found[1]) > 0:
        raise BadRequest(
            f"{text!r} is no amount of memory without a unit: write {found[1]}GB, or {found[1]}B for bytes"
        )
    if found is None or found[2].lower() not in UNITS or float(found[1]) <= 0:
        raise BadRequest(f"{text!r} is no amount of memory: write it like 8GB or 512MB")
    return int(float(found[1]) * UNITS[found[2].lower()])


def say_bytes(count: float) -> str:
    """Bytes as "1.2 GB", "85 MB" or "1 KB"."""
    if 0 < count < 5e5:
        return f"{count / 1e3:.0f} KB" if count >= 1e3 else f"{count:.0f} bytes"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def say_seconds(seconds: float) -> str:
    """Seconds as "12 s", "3 min" or "2.5 h"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
