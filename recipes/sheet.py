"""The README's picture: eight prompts, first seed, three frames each, by the shipped weights.

usage: python recipes/sheet.py [docs/sheet.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import filmwright
from filmwright.media.sheet import contact_sheet, save_png_atomic

PROMPTS = (
    "a red ball drops onto a wooden floor and bounces, warm sunset light, the camera pushes in",
    "a blue cube slides to the left on a marble floor at noon",
    "a green cone spins on a checkered floor, overcast light",
    "a yellow ball rolls to the right across the grass in the morning",
    "a white cylinder rests on sand at night, the camera orbits to the left",
    "a purple cube drops onto the grass at noon, the camera pulls back",
    "a pink ball rolls to the left on a wooden floor, black and white",
    "an orange cylinder slides to the right on a marble floor, the camera pans right",
)


def main(out: Path) -> None:
    """Generates the clips and writes the sheet."""
    clips = [filmwright.generate(prompt, seed=1).frames for prompt in PROMPTS]
    save_png_atomic(contact_sheet(clips, labels=list(PROMPTS), columns=2, frames_per_clip=3), out)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/sheet.png"))
