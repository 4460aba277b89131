"""Step caching: where a step changes little, what the blocks have added before is added again.

First-block cache (ParaAttention, Cheng 2024) looks at what the first block adds. TeaCache (Liu et al. 2024) looks at
the step's level alone: a polynomial, which its authors fitted to a model, tells from it how far the velocity moves.
Neither is exact, so each proves itself: the first time that it would save a pass, the pass is computed as well, and the
difference goes into the clip's sidecar; a cache that is too far off is dropped.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from filmwright.engine.proofs import relative
from filmwright.models.wan import Context, Share, WanTransformer

__all__ = ["FirstBlockCache", "StepCache", "TeaCache"]

TOO_FAR = 0.25  # relative difference of velocities from which a cache is dropped
RETAINED = 5  # first steps that TeaCache's polynomials say nothing of
IN_A_ROW = 3  # passes that are saved one after the other, whatever a polynomial says
STEPS = 1000  # of a unit of change, in which a polynomial is searched for its end
SAME = 1e-6  # levels that are no further apart are one, rounded


class StepCache(ABC):
    """For the passes of one kind (one expert, with or without the prompt) of one clip; see `models.wan.Reuse`."""

    def __init__(self) -> None:
        self.passes = self.saved = 0
        self.difference: float | None = None  # of the first pass that was saved, to the exact one
        self.dropped = False
        self._share: Share | None = None

    def __call__(self, net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> Tensor:
        """The velocity, from the net or from what is kept."""
        self.passes += 1
        if self.dropped:
            return net(x, levels, context)  # type: ignore[no-any-return]
        saved, self._share = self.saved, net.share
        v: Tensor = net(x, levels, context, self)
        if self.saved == saved or self.difference is not None:
            return v
        exact: Tensor = net(x, levels, context)
        self.difference = self._ratio(relative(v, exact), 1.0)
        self.dropped = self.difference > TOO_FAR
        self.saved -= 1  # it was computed after all
        return exact

    def _moved(self, now: Tensor, before: Tensor) -> float:
        """The mean change of a tensor over the mean of its size."""
        return self._ratio(float((now - before).float().abs().sum()), float(before.float().abs().sum()))

    def _ratio(self, part: float, whole: float) -> float:
        """Over all processes that share tokens: they must come to the same end."""
        if self._share is not None:
            part, whole = self._share.total([part, whole])
        return part / whole if whole else math.inf

    def before_first(self, tokens: Tensor, modulation: Tensor) -> Tensor | None:  # noqa: ARG002 (of a protocol)
        """See `models.wan.Reuse`."""
        return None

    def after_first(self, before: Tensor, tokens: Tensor) -> Tensor | None:  # noqa: ARG002 (of a protocol)
        """See `models.wan.Reuse`."""
        return None

    @abstractmethod
    def after_last(self, tokens: Tensor) -> None:
        """See `models.wan.Reuse`."""


class FirstBlockCache(StepCache):
    """Saves all blocks but the first where what that adds has changed by less than `threshold`."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self._change: Tensor | None = None  # what the first block added in the last computed pass
        self._rest: Tensor | None = None  # what the others added
        self._first: Tensor | None = None

    def after_first(self, before: Tensor, tokens: Tensor) -> Tensor | None:
        """Tokens after the last block, if this pass can do without it."""
        change = tokens - before
        if self._change is not None and self._rest is not None:
            moved = self._moved(change, self._change)
            if moved < self.threshold:
                self.saved += 1
                return tokens + self._rest
        self._change, self._first = change, tokens
        return None

    def after_last(self, tokens: Tensor) -> None:
        """Keeps what the blocks after the first have added."""
        assert self._first is not None
        self._rest, self._first = tokens - self._first, None


class TeaCache(StepCache):
    """Saves all blocks until the changes that a polynomial expects since the last computed pass reach `threshold`.

    The first steps and the last one are always computed, and so is what lies beyond the maximum of a polynomial that
    falls for ever after, where it was fitted to nothing. A change below 0 counts as none.

    Args:
        threshold: of the sum of the changes.
        coefficients: of the polynomial, from the highest power down; see `weights.card.ModelCard.tea`.
        levels: of the steps that the cache is for, in their order.
    """

    def __init__(self, threshold: float, coefficients: Sequence[float], levels: Sequence[float]) -> None:
        super().__init__()
        self.threshold, self.coefficients, self.levels = threshold, tuple(coefficients), tuple(levels)
        falls = self.coefficients[0] < 0
        at_most = max(range(STEPS + 1), key=lambda i: self._expected(i / STEPS)) / STEPS
        self._reach = at_most if falls else math.inf
        self._at_end = True
        self._sum, self._row = 0.0, 0  # of changes since a pass was computed, and how many were saved since
        self._modulation: Tensor | None = None  # of the last pass
        self._start: Tensor | None = None
        self._rest: Tensor | None = None  # what all blocks added in the last computed pass

    def __call__(self, net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> Tensor:
        """See `StepCache`."""
        level = float(levels.max())
        done = sum(known > level + SAME for known in self.levels)
        self._at_end = done < RETAINED or done >= len(self.levels) - 1
        return super().__call__(net, x, levels, context)

    def before_first(self, tokens: Tensor, modulation: Tensor) -> Tensor | None:
        """Tokens after the last block, if this pass can do without all of them."""
        before, self._modulation = self._modulation, modulation
        if before is not None and self._rest is not None and not self._at_end:
            moved = self._moved(modulation, before)
            self._sum += max(self._expected(moved), 0.0) if moved <= self._reach else math.inf
            if self._sum < self.threshold and self._row < IN_A_ROW:
                self.saved += 1
                self._row += 1
                return tokens + self._rest
        self._sum, self._row, self._start = 0.0, 0, tokens
        return None

    def after_last(self, tokens: Tensor) -> None:
        """Keeps what all blocks have added."""
        assert self._start is not None
        self._rest, self._start = tokens - self._start, None

    def _expected(self, moved: float) -> float:
        """How far the velocity moves when the modulation does by this much."""
        value = 0.0
        for coefficient in self.coefficients:
            value = value * moved + coefficient
        return value
