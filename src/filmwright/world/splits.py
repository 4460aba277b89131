"""Which clips are never trained on: attribute combinations held out by a fixed hash, and seeds kept for validation.

Hashes are BLAKE2 of plain text, so that a split is the same on every machine and for ever; a changed rule is a new
`HELD_OUT_VERSION`.
"""

from __future__ import annotations

import hashlib

from filmwright.world.scene import Script

__all__ = [
    "HELD_OUT_SHARE",
    "HELD_OUT_VERSION",
    "VALIDATION_SHARE",
    "held_out",
    "held_out_combination",
    "split_of",
]

HELD_OUT_VERSION = 1
HELD_OUT_SHARE = 0.08
VALIDATION_SHARE = 0.02


def held_out(script: Script) -> bool:
    """Whether a clip shows a combination of main subject, its colour, event and setting that training must not see."""
    main = script.subjects[0]
    return held_out_combination(main.kind, main.colour, script.event, script.setting)


def held_out_combination(subject: str, colour: str, event: str, setting: str) -> bool:
    """The same for names of the vocabulary: about 8 % of all combinations are held out."""
    return _draw(f"held-out/{HELD_OUT_VERSION}/{subject}/{colour}/{event}/{setting}") < HELD_OUT_SHARE


def split_of(seed: int) -> str:
    """`train` or, for about 2 % of the seeds, `validation`."""
    return "validation" if _draw(f"split/{seed}") < VALIDATION_SHARE else "train"


def _draw(text: str) -> float:
    """A number in [0, 1) that follows from the text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
