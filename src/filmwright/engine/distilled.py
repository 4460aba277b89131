"""What a model distilled to few steps lost on the way, and what the user should know of it; no tensor library."""

from __future__ import annotations

from filmwright.spec.errors import BadRequest
from filmwright.spec.request import Request
from filmwright.spec.words import Finding
from filmwright.weights.card import ModelCard

__all__ = ["check_distilled", "distilled_findings"]


def check_distilled(request: Request, card: ModelCard) -> None:
    """See that a model distilled to few steps is asked for nothing that it lost on the way.

    Raises:
        BadRequest: it is asked for other steps, guidance, a negative prompt or a cache.
    """
    if not card.levels:
        return
    if request.steps != len(card.levels):
        raise BadRequest(
            f"model {card.name!r} was distilled to {len(card.levels)} steps and takes no other number, "
            f"not {request.steps}: leave out --steps"
        )
    if request.guidance != 1:
        raise BadRequest(
            f"model {card.name!r} was distilled with its guidance and takes no more, not {request.guidance:g}: "
            "leave out --guidance"
        )
    if request.negative:
        raise BadRequest(
            f"model {card.name!r} has no guidance, so it cannot be told what not to show: leave out --negative"
        )
    if request.cache:
        raise BadRequest(f"model {card.name!r} takes no --cache: none of its few steps can be saved")
    if request.compile and card.chunk is not None:
        raise BadRequest(
            f"model {card.name!r} takes no --compile: what each of its chunks sees is new to the compiler"
        )
    if request.cuda_graphs and card.chunk is not None:
        raise BadRequest(
            f"model {card.name!r} takes no --cuda-graphs: each of its chunks sees more than the last"
        )


def distilled_findings(request: Request, card: ModelCard, *, sparse: bool) -> list[Finding]:
    """Where a run is not as a model was trained: longer than what it saw, or dense where it had `sparse` attention."""
    found = []
    if card.chunk is not None and request.num_frames > card.num_frames:
        message = (
            f"{card.name} was trained on {card.num_frames} frames: after them colours and motion may drift"
        )
        found.append(Finding(code="beyond-training", message=message))
    if sparse:
        message = (
            f"{card.name} was trained with sparse attention, which this program does not have: it runs with dense "
            "attention, without the gates of the sparse one"
        )
        found.append(Finding(code="dense-attention", message=message))
    return found
