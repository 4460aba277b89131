"""What every bench does: pair prompts with clips, measure a clip against a truth, make the clips to print beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from filmwright.evaluation.consistency import steadiness
from filmwright.evaluation.geometry import camera_motion
from filmwright.evaluation.metrics import Measured, psnr, ssim
from filmwright.evaluation.prompts import PromptRecord, Truth, another_take
from filmwright.evaluation.reader import Reader
from filmwright.evaluation.tracking import ColourModel, jumps
from filmwright.spec.errors import BadRequest

__all__ = [
    "ROWS",
    "Frames",
    "Generate",
    "GenerateFromImage",
    "Judge",
    "RoundTrip",
    "companions",
    "paired",
    "retaken",
]

Frames = NDArray[np.uint8]
Generate = Callable[[list[PromptRecord]], Iterable[Frames]]
"""Makes one clip uint8 [T,H,W,3] a prompt, in order; may do so lazily."""
GenerateFromImage = Callable[[list[PromptRecord], list[Frames]], Iterable[Frames]]
"""The same from each prompt and its first picture uint8 [H,W,3]."""
RoundTrip = Callable[[Frames], Frames]
"""Encodes and decodes a clip uint8 [T,H,W,3] to one of the same shape."""

ROWS: dict[str, str] = {
    "generated": "generated",
    "truth": "truth",
    "another_take": "truth, another take of the same words",
    "vae": "truth through the VAE",
    "frozen": "frozen clip (the truth's first frame)",
    "noise": "noise",
    "shuffled": "generated, against shuffled prompts",
}


def paired(records: Sequence[PromptRecord], clips: Iterable[Frames]) -> Iterator[tuple[PromptRecord, Frames]]:
    """Prompts with their clips, one by one.

    Raises:
        BadRequest: not one clip a prompt, or something that is no clip.
    """
    count = 0
    for clip in clips:
        if count == len(records):
            raise BadRequest(f"more than {count} clips came for {count} prompts: give one clip a prompt")
        if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3 or len(clip) < 2:
            raise BadRequest(
                f"clip {count} is {clip.dtype} {list(clip.shape)}: a clip is uint8 [T, H, W, 3] with T >= 2"
            )
        yield records[count], clip
        count += 1
    if count < len(records):
        raise BadRequest(f"{count} clips came for {len(records)} prompts: give one clip a prompt")


class Judge:
    """Measures clips against one truth."""

    def __init__(self, reader: Reader, truth: Truth) -> None:
        self.reader, self.truth = reader, truth
        self.colours = ColourModel.from_truth(truth.frames, truth.mask)
        self.coloured = truth.take.script.mood != "monochrome"

    def __call__(
        self, clip: Frames, *, aligned: bool = False, colours: ColourModel | None = None
    ) -> Measured:
        """`aligned`: pixels can be compared with the truth's."""
        track = (colours or self.colours).track(clip) if self.coloured else None
        return Measured(
            reading=self.reader.read(clip),
            camera=camera_motion(clip).name,
            steady=steadiness(clip),
            psnr=psnr(clip, self.truth.frames) if aligned else None,
            ssim=ssim(clip, self.truth.frames) if aligned else None,
            lost=track.lost if track else None,
            jumps=jumps(track, clip.shape[1]) if track else None,
        )


def companions(
    truth: Truth, round_trip: RoundTrip | None, rng: np.random.Generator
) -> Iterator[tuple[str, Frames]]:
    """The clips that a generated one is printed beside."""
    yield "truth", truth.frames
    yield "frozen", np.repeat(truth.frames[:1], len(truth.frames), axis=0)
    yield "noise", rng.integers(0, 256, truth.frames.shape, dtype=np.uint8)
    if round_trip:
        yield "vae", round_trip(truth.frames)


def retaken(record: PromptRecord) -> PromptRecord:
    """The same prompt with the script of another take."""
    return replace(record, script=another_take(record.script))
