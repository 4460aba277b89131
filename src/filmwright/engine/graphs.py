"""A denoiser's pass as a CUDA graph: its kernels are recorded once and played again, which saves launching each.

That helps where kernels are short, so with small nets and few tokens; a pass that takes seconds gains nothing.
A graph reads its inputs and weights where they lay when it was recorded: inputs are copied there before it is played,
and another net, other weights, words or shapes are recorded anew. The first pass of each form is computed exactly as
well; a graph that is off, or that cannot be recorded, is dropped, and the run goes on without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from filmwright.engine.proofs import COMPILED_TOO_FAR, relative
from filmwright.engine.sidecar import USELESS
from filmwright.models.wan import Context, WanTransformer

__all__ = ["Capture", "GraphProof", "GraphedPass", "recorder", "worst"]

WARM_UPS = 2  # passes before the recorded one, in which libraries choose kernels and make their workspaces

Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""What computes a tensor -> what computes it again into the same place, and that place."""
GraphProof = dict[str, float]
"""Of a sidecar: `captures`, the largest `difference` of a graph's first result, and whether it was `dropped`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Graph:
    """What was recorded, of what, and where its inputs and its output are."""

    form: tuple[object, ...]
    context: Context  # held, so that no other lies in its place
    x: Tensor
    levels: Tensor
    replay: Callable[[], None]
    v: Tensor


class GraphedPass:
    """Runs the passes of one kind (one expert, with or without the prompt) of one clip; see `engine.wan.Pass`."""

    def __init__(self, capture: Capture) -> None:
        self.proof: GraphProof = {"captures": 0.0, "difference": 0.0, "dropped": 0.0}
        self._capture = capture
        self._graph: _Graph | None = None

    def __call__(self, net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> Tensor:
        """The velocity [b, c, t, h, w], in a place of its own."""
        if self.proof["dropped"]:
            return net(x, levels, context)  # type: ignore[no-any-return]
        form = _form(net, x, levels, context)
        if self._graph is None or self._graph.form != form:
            return self._recorded(net, x, levels, context, form)
        return _played(self._graph, x, levels)

    def _recorded(
        self, net: WanTransformer, x: Tensor, levels: Tensor, context: Context, form: tuple[object, ...]
    ) -> Tensor:
        """Records a graph on inputs that are all 0, so that what it gives for `x` shows whether it reads them anew.

        The exact pass comes first: what a net keeps between passes must not lie in a graph's memory.
        """
        self._graph = None  # its memory is free for the next one
        exact: Tensor = net(x, levels, context)
        at, level = torch.zeros_like(x), torch.zeros_like(levels)
        try:
            replay, v = self._capture(lambda: net(at, level, context))
            graph = _Graph(form=form, context=context, x=at, levels=level, replay=replay, v=v)
            off = relative(_played(graph, x, levels), exact)
        except RuntimeError:  # what a pass does cannot be recorded, or there is no memory for it
            graph, off = None, USELESS
        self.proof["captures"] += 1
        self.proof["difference"] = max(self.proof["difference"], off)
        if graph is None or not off <= COMPILED_TOO_FAR[x.dtype]:
            self.proof["dropped"] = 1.0
        else:
            self._graph = graph
        return exact


def recorder(device: str) -> Capture:
    """Records on a GPU; what one recorder has recorded shares its memory, so it is not played at once."""
    pool = torch.cuda.graph_pool_handle()

    def capture(compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        with torch.cuda.device(device):
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    compute()
            here.wait_stream(aside)
            torch.cuda.empty_cache()  # what the passes so far have left, which a graph cannot take
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                v = compute()
        return graph.replay, v

    return capture


def worst(proofs: Iterable[GraphProof]) -> GraphProof:
    """Those of a clip as one: captures of all, the largest difference, and how many were dropped."""
    found = list(proofs)
    return {
        "captures": sum(p["captures"] for p in found),
        "difference": max(p["difference"] for p in found),
        "dropped": sum(p["dropped"] for p in found),
    }


def _form(net: WanTransformer, x: Tensor, levels: Tensor, context: Context) -> tuple[object, ...]:
    """What a graph is for: shapes, words, the net's modules (a LoRA changes them) and the places of its weights."""
    shapes = (x.shape, x.dtype, x.device, levels.shape, levels.dtype)
    places = tuple(p.data_ptr() for p in net.parameters())
    return (shapes, id(context), net.run, net.attend, tuple(map(id, net.modules())), places)


def _played(graph: _Graph, x: Tensor, levels: Tensor) -> Tensor:
    graph.x.copy_(x)
    graph.levels.copy_(levels)
    graph.replay()
    return graph.v.clone()
