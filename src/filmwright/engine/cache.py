"""Step caching: where a step changes little after the first block, what the others added last time is added again.

First-block cache (ParaAttention, Cheng 2024); that a cheap sign tells how little a step changes is the idea of TeaCache
(Liu et al. 2024). It is not exact, so it proves itself: the first time that it would save a pass, the pass is computed
as well, and the difference goes into the clip's sidecar; a cache that is too far off is dropped.
"""

from __future__ import annotations

import math

from torch import Tensor

from filmwright.models.wan import Context, WanTransformer

__all__ = ["FirstBlockCache"]

TOO_FAR = 0.25  # relative difference of velocities from which a cache is dropped


class FirstBlockCache:
    """For the passes of one kind (one expert, with or without the prompt) of one clip; see `models.wan.Reuse`."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.passes = self.saved = 0
        self.difference: float | None = None  # of the first pass that was saved, to the exact one
        self.dropped = False
        self._change: Tensor | None = None  # what the first block added in the last computed pass
        self._rest: Tensor | None = None  # what the others added
        self._first: Tensor | None = None

    def __call__(self, net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> Tensor:
        """The velocity, from the net or from what is kept."""
        self.passes += 1
        if self.dropped:
            return net(x, levels, context)  # type: ignore[no-any-return]
        saved = self.saved
        v: Tensor = net(x, levels, context, self)
        if self.saved == saved or self.difference is not None:
            return v
        exact: Tensor = net(x, levels, context)
        self.difference = float((v.float() - exact.float()).norm() / exact.float().norm().clamp(min=1e-12))
        self.dropped = not math.isfinite(self.difference) or self.difference > TOO_FAR
        self.saved -= 1  # it was computed after all
        return exact

    def after_first(self, before: Tensor, tokens: Tensor) -> Tensor | None:
        """Tokens after the last block, if this pass can do without it."""
        change = tokens - before
        if self._change is not None and self._rest is not None:
            moved = (change - self._change).float().abs().mean() / self._change.float().abs().mean()
            if float(moved) < self.threshold:
                self.saved += 1
                return tokens + self._rest
        self._change, self._first = change, tokens
        return None

    def after_last(self, tokens: Tensor) -> None:
        """Keeps what the blocks after the first have added."""
        assert self._first is not None
        self._rest, self._first = tokens - self._first, None
