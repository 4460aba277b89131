"""What runs need of models that are not on this machine: found by their outlines, and kept in $FILMWRIGHT_HOME/works.

Tracing a published net takes seconds, ten of them a minute, and `models pick` asks for all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch

from filmwright.engine.families_needs import FamilyNeeds, PhaseNeeds, TileNeeds
from filmwright.media.files import write_atomic
from filmwright.spec.home import home
from filmwright.spec.request import Request
from filmwright.weights.diffusers_sketch import DiffusersSketch

__all__ = ["kept_needs", "kept_tiles", "sketch_of"]

DECIDING = ("torch", "diffusers", "transformers")  # packages that a trace depends on
SOURCES = ("families.py", "families_plan.py", "families_tiles.py", "diffusers_runner.py", "trace.py")

N = TypeVar("N")


@lru_cache(maxsize=4)
def sketch_of(model: str, device: str, dtype: torch.dtype, vae_dtype: torch.dtype) -> DiffusersSketch:
    """The model called `model` as it is published, on what it would run on."""
    return DiffusersSketch(model, device=device, dtype=dtype, vae_dtype=vae_dtype)


def kept_needs(sketch: DiffusersSketch, request: Request, find: Callable[[], FamilyNeeds]) -> FamilyNeeds:
    """What `find` finds, or what it has found of such a request before."""
    return _kept(sketch, request, "needs", find, _needs_of)


def kept_tiles(sketch: DiffusersSketch, request: Request, find: Callable[[], TileNeeds]) -> TileNeeds:
    """What `find` finds, or what it has found of such a request before."""
    return _kept(sketch, request, "tiles", find, _tiles_of)


def _kept(
    sketch: DiffusersSketch, request: Request, what: str, find: Callable[[], N], read: Callable[[Any], N]
) -> N:
    """A file that is damaged, or of other code, is as none; a disk that takes nothing lets the next plan find anew."""
    here = Path(__file__).parent
    written = [(name, (here / name).stat().st_mtime_ns) for name in SOURCES]
    decides = (
        what, sketch.told, sketch.device, sketch.dtype, sketch.vae_dtype, request.model, request.width, request.height,
        request.num_frames, request.fps, request.steps, request.guidance, request.sound, bool(request.controls),
        bool(request.negative), request.quantize, [version(name) for name in DECIDING], written,
    )  # fmt: skip
    path = home() / "works" / f"{what}-{hashlib.sha256(repr(decides).encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        return read(json.loads(path.read_text("utf-8")))
    found = find()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(asdict(found), default=str).encode())  # type: ignore[call-overload]
    return found


def _needs_of(told: dict[str, Any]) -> FamilyNeeds:
    shape, dtype = told["latents"]
    return FamilyNeeds(
        encode=PhaseNeeds(**told["encode"]),
        denoise=PhaseNeeds(**told["denoise"]),
        sound=None if told["sound"] is None else PhaseNeeds(**told["sound"]),
        decode=PhaseNeeds(**told["decode"]),
        dtype=_dtype(told["dtype"]),
        vae_dtype=_dtype(told["vae_dtype"]),
        loading=told["loading"],
        streamed=told["streamed"],
        latents=(tuple(shape), _dtype(dtype)),
    )


def _tiles_of(told: dict[str, Any]) -> TileNeeds:
    proofs = {int(count): most for count, most in told["proofs"].items()}
    return TileNeeds(decode=PhaseNeeds(**told["decode"]), proofs=proofs)


def _dtype(name: str) -> torch.dtype:
    """Of "torch.bfloat16" and the like."""
    found = getattr(torch, name.removeprefix("torch."))
    if not isinstance(found, torch.dtype):
        raise TypeError(name)
    return found
