"""The backends of attention by name: on what each runs, and where it comes from. No tensor library is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

__all__ = ["ATTENTION_BACKENDS", "NEEDS", "AttentionBackend", "Needs", "is_installed"]

AttentionBackend = Literal["auto", "blocks", "sdpa", "flash2", "flash3", "flex", "sage"]
"""What computes attention; auto: the first of a fixed order that proves itself exact."""
ATTENTION_BACKENDS: tuple[AttentionBackend, ...] = get_args(AttentionBackend)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a backend needs."""

    device: Literal["cpu", "cuda"] | None = None  # the only kind that it runs on
    module: str | None = None  # that it is imported from, where torch and this package are not enough
    install: str = ""  # how that comes here
    compiler: bool = False


NEEDS: dict[AttentionBackend, Needs] = {
    "auto": Needs(),
    "blocks": Needs(device="cpu"),
    "sdpa": Needs(),
    "flash2": Needs(
        device="cuda", module="flash_attn", install="pip install flash-attn --no-build-isolation"
    ),
    "flash3": Needs(
        device="cuda",
        module="flash_attn_interface",
        install="build it from the folder hopper of https://github.com/Dao-AILab/flash-attention",
    ),
    "flex": Needs(compiler=True),
    "sage": Needs(device="cuda", module="sageattention", install="pip install sageattention"),
}


def is_installed(backend: AttentionBackend) -> bool:
    """Whether what a backend is imported from is there; nothing is imported."""
    module = NEEDS[backend].module
    return module is None or find_spec(module) is not None
