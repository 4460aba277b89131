"""Another frame rate at the same speed. All times are fractions, so that no clip drifts, however long.

Frame j of the new clip is at j / target seconds; all of those whose time lies in the clip are made, so its length
differs by less than a new frame. Between two frames: the nearest, a mix, or both fetched along the motion to where
it is at that moment (the flows of the moment between are put together as by Jiang et al. 2018, equation 4) and mixed.
Over a cut nothing is mixed; after the last frame it stays.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from filmwright.media.post.flow import Flow, fetched, flow_between, is_cut, softened
from filmwright.media.post.windows import Chunks, Frame, singles
from filmwright.spec.post import retimed_count

__all__ = ["retimed"]

HALF = Fraction(1, 2)
Method = Literal["flow", "blend", "nearest"]


def retimed(chunks: Chunks, *, source: Fraction, target: Fraction, method: Method) -> Chunks:
    """Frames [1,H,W,3] at the rate `target` of frames at the rate `source`; it looks one frame ahead.

    Args:
        chunks: uint8 [n,H,W,3].
        source: frames a second that come.
        target: frames a second that go.
        method: what stands between two frames.
    """
    step = source / target
    made, count = 0, 0
    old: Frame | None = None
    for frame in singles(chunks):
        if old is not None:
            between = _Between(old, frame, method)
            while made * step < count:
                yield between.at(made * step - (count - 1))[None]
                made += 1
        old = frame.copy()
        count += 1
    for _ in range(retimed_count(count, source, target) - made):
        assert old is not None
        yield old[None].copy()


class _Between:
    """What there is from one frame to the next; motion is looked for when first asked."""

    def __init__(self, old: Frame, new: Frame, method: Method) -> None:
        self.old, self.new, self.method = old, new, method
        self._flows: tuple[Flow, Flow] | None = None
        self._cut: bool | None = None

    def at(self, share: Fraction) -> Frame:
        """The picture when `share` (0 to below 1) of the time is over."""
        if share == 0:
            return self.old
        if self.method == "nearest" or self._is_cut():
            return self.old if share < HALF else self.new
        t = float(share)
        old, new = self._fetched(t) if self.method == "flow" else (self.old, self.new)
        return np.asarray((1 - t) * old.astype(np.float32) + t * new.astype(np.float32) + 0.5, np.uint8)

    def _fetched(self, t: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._flows is None:
            a, b = softened(self.old), softened(self.new)
            self._flows = flow_between(a, b), flow_between(b, a)
        forth, back = self._flows
        old = fetched(self.old, (-(1 - t) * t * forth + t * t * back).astype(np.float32))
        new = fetched(self.new, ((1 - t) ** 2 * forth - t * (1 - t) * back).astype(np.float32))
        return old, new

    def _is_cut(self) -> bool:
        if self._cut is None:
            self._cut = is_cut(self.old, self.new)
        return self._cut
