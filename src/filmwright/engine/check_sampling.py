"""How a request is sampled beyond its steps: the shift of its levels, and the guidance of each expert; no torch."""

from __future__ import annotations

from filmwright.spec.errors import BadRequest, NotThisModel
from filmwright.spec.request import Request
from filmwright.weights.card import ModelCard

__all__ = ["MAX_SHIFT", "check_sampling", "guidances_of", "resolved", "shift_of"]

MAX_SHIFT = 100.0


def check_sampling(request: Request, card: ModelCard) -> None:
    """See that a model takes the shift and the second expert's guidance of a request.

    Raises:
        BadRequest: it does not.
    """
    if request.shift is not None:
        _check_shift(request.shift, card)
    if request.guidance_low is not None:
        _check_guidance_low(request.guidance_low, request.guidance, card)


def _check_shift(shift: float, card: ModelCard) -> None:
    if not 0 < shift <= MAX_SHIFT:  # false for NaN too
        own = "" if card.shift is None else f"; model {card.name!r} has {card.shift:g}"
        raise BadRequest(
            f"shift {shift:g} is out of range: it must be above 0 and at most {MAX_SHIFT:g}{own}"
        )
    if card.levels and shift != card.shift:
        raise NotThisModel(
            f"model {card.name!r} was distilled at shift {card.shift:g} and takes no other, not {shift:g}: "
            "leave out --shift"
        )
    if card.shift is None and card.family != "pocket":
        raise NotThisModel(
            f"model {card.name!r} takes no --shift, its sampler has levels of its own: leave it out"
        )


def _check_guidance_low(low: float, guidance: float, card: ModelCard) -> None:
    if card.boundary is None or card.levels:
        what = "has one expert" if card.boundary is None else "was distilled with its guidance"
        raise NotThisModel(f"model {card.name!r} {what} and takes no --guidance-low: leave it out")
    if not 0 <= low <= card.max_guidance:
        raise BadRequest(
            f"guidance {low:g} of the second expert is out of range: model {card.name!r} takes 0 to "
            f"{card.max_guidance:g}, {card.guidance_low:g} by default"
        )
    if guidance == 1 != low:
        raise BadRequest(
            f"--guidance-low {low:g} is for clips that are guided, and --guidance is 1: leave it out"
        )


def shift_of(request: Request, card: ModelCard) -> float | None:
    """The shift of a request's levels; None: after the number of latents, or as a family's sampler has it."""
    return card.shift if request.shift is None else request.shift


def guidances_of(request: Request, card: ModelCard) -> tuple[float, float]:
    """The guidance of the first expert and of the second, which keeps the card's proportion where nobody asks."""
    if request.guidance_low is not None:
        return request.guidance, request.guidance_low
    low = card.guidance if card.guidance_low is None else card.guidance_low
    proportion = 1.0 if request.guidance == 1 else low / card.guidance  # none is none for both
    return request.guidance, request.guidance * proportion


def resolved(request: Request, card: ModelCard) -> dict[str, float]:
    """What a run takes where a request leaves it to the card: name -> number, as far as a card has one."""
    found: dict[str, float] = {}
    if (shift := shift_of(request, card)) is not None:
        found["shift"] = shift
    if card.boundary is not None:
        found["guidance_low"] = guidances_of(request, card)[1]
    return found
