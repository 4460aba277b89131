"""Stages one after the other over a stream of frames, each holding only its window."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from filmwright.media.post.deflicker import deflickered
from filmwright.media.post.denoise import denoised
from filmwright.media.post.grade import graded
from filmwright.media.post.resize import resized
from filmwright.media.post.retime import retimed
from filmwright.media.post.stabilise import stabilised
from filmwright.media.post.windows import Chunks, radius_of
from filmwright.spec.cut import Grade
from filmwright.spec.post import Deflicker, Denoise, GradeStage, PostStage, Resize, Retime, Stabilise

__all__ = ["applied"]


def applied(stages: Sequence[PostStage], chunks: Chunks, fps: Fraction) -> Chunks:
    """Frames [n,H,W,3] uint8 through `stages` in order; they come at `fps`.

    Raises:
        MediaError: frames of changing size, or a table of colours that cannot be read.
    """
    for stage in stages:
        match stage:
            case Deflicker(seconds=seconds, limit=limit):
                chunks = deflickered(chunks, radius=radius_of(seconds, float(fps)), limit=limit)
            case Denoise(strength=strength):
                chunks = denoised(chunks, strength=strength)
            case Stabilise(seconds=seconds, crop=crop):
                chunks = stabilised(chunks, radius=radius_of(seconds, float(fps)), crop=crop)
            case Retime(fps=target, method=method):
                chunks = retimed(chunks, source=fps, target=Fraction(target), method=method)
                fps = Fraction(target)
            case Resize(width=width, height=height, fit=fit, linear=linear):
                chunks = resized(chunks, width=width, height=height, fit=fit, linear=linear)
            case GradeStage(grade=grade):
                chunks = _graded(chunks, grade)
    return chunks


def _graded(chunks: Chunks, grade: Grade) -> Chunks:
    for chunk in chunks:
        for frame in chunk:  # one at a time: a grade works in 32-bit floats
            yield np.asarray(graded(frame, grade), np.uint8)[None].copy()
