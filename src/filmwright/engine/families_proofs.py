"""Eight-bit weights of a net of diffusers' or transformers' prove themselves on its first block; see `engine.proofs`.

What the block sees in a run is caught at its door: the pipeline goes its way with a net whose blocks have no weights
yet, and is left where the first one is called.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from filmwright.engine.memory import give_back
from filmwright.engine.proofs import SMALL, TOO_FAR, entry, or_none
from filmwright.weights.diffusers_folder import DiffusersFolder

__all__ = ["prove_net"]

PAST = ("cache", "past_key_values", "past_key_value")  # what transformers calls them


class _AtFirstBlock(Exception):
    """A pipeline was left where a net calls its first block; holds what the block is given."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.given = args, kwargs


@torch.inference_mode()
def prove_net(
    folder: DiffusersFolder, name: str, mode: str, run: Callable[[nn.Module], object]
) -> dict[str, float]:
    """How far the first block of a net in `mode` is from the exact one, as an entry of a sidecar's proofs.

    `run` goes as far as the net's first block, at least; it is given the net without its blocks.
    """
    net, blocks = folder.outside(name)
    handle = blocks[0].register_forward_pre_hook(_leave, with_kwargs=True)
    try:
        run(net)
    except _AtFirstBlock as left:
        args, kwargs = left.given
    else:
        raise AssertionError(f"a run computes with {name}")
    finally:
        handle.remove()
    del net, blocks
    give_back(folder.device)  # what the pipeline held is gone before a block is loaded
    plain = _adds(folder, name, args, kwargs)
    near = or_none(lambda: _adds(folder.in_mode(mode), name, args, kwargs))
    return entry(near, plain, TOO_FAR[folder.in_mode(mode).mode_of(name)])


def _leave(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # keys and values of earlier tokens would grow with each pass
    raise _AtFirstBlock(args, {k: None if k in PAST else v for k, v in kwargs.items()})


def _adds(folder: DiffusersFolder, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """What the first block adds to its tokens, made small first: they are its first input and its first output."""
    block = deepcopy(folder.shell(name).get_submodule(folder.blocks(name)[0]))
    weights = {key: tensor.to(folder.device) for key, tensor in folder.block(name, 0).items()}
    block.load_state_dict(weights, assign=True)
    tokens: Tensor = SMALL * (args[0] if args else kwargs["hidden_states"])
    if args:
        args = (tokens, *args[1:])
    else:
        kwargs = kwargs | {"hidden_states": tokens}
    out = block(*args, **kwargs)
    found: Tensor = out[0] if isinstance(out, tuple) else out
    return found - tokens
