"""How much of a picture a clip has no room for; no torch."""

from __future__ import annotations

import math
from pathlib import Path

from filmwright.media.image import upright_size
from filmwright.spec.request import Keyframe, Request
from filmwright.spec.words import Finding
from filmwright.weights.card import load_card

__all__ = ["crop_findings"]

MOST_CUT = 0.05  # share of a picture's width or height that may go without a word


def crop_findings(request: Request) -> list[Finding]:
    """Pictures of another shape than the clip's, of which more than a few percent are cut off.

    Raises:
        MediaError: a picture cannot be read.
    """
    found = []
    for control in request.controls:
        if not isinstance(control, Keyframe):
            continue
        width, height = upright_size(control.image.path)
        kept = (request.width / request.height) / (width / height)
        cut = 1 - min(kept, 1 / kept)
        if cut <= MOST_CUT:
            continue
        common = math.gcd(width, height)
        remedy = f"; --aspect {width // common}:{height // common} would keep more of it"
        message = (
            f"{Path(control.image.path).name} is {width}x{height} and the clip {request.width}x{request.height}: "
            f"{cut:.0%} of the picture's {'width' if kept < 1 else 'height'} is cut off"
            f"{'' if load_card(request.model).only_native else remedy}"
        )
        found.append(Finding(code="cropped", message=message))
    return found
