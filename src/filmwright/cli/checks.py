"""What several commands look at before they load anything: numbers, folders, weights, and the device."""

from __future__ import annotations

import math
from pathlib import Path

from filmwright.spec.errors import BadRequest

__all__ = [
    "MAX_SEED",
    "check_clips",
    "check_file",
    "check_folder",
    "check_from_one",
    "check_latents",
    "check_place",
    "check_positive",
    "check_seed",
    "check_weights",
]

MAX_SEED = 2**32 - 1  # commands make the seeds of their clips and steps from it, which must fit into 63 bits
MAKE_SHARDS = "make one with `filmwright world shards --out DIR`"
MAKE_LATENTS = "make one with `filmwright train latents --out DIR`"
PACK = "`filmwright train pack --out DIR` writes one"
PACKED = ("weights.json", "vocabulary.json", "text.safetensors", "denoiser.safetensors", "vae.safetensors")


def check_seed(seed: int) -> None:
    """Raises BadRequest for a seed that is negative or too large."""
    if not 0 <= seed <= MAX_SEED:
        raise BadRequest(f"--seed {seed} is out of range: it must be from 0 to {MAX_SEED}")


def check_positive(option: str, value: float) -> None:
    """Raises BadRequest for what is not more than 0, or no finite number."""
    if not 0 < value < math.inf:
        raise BadRequest(f"{option} {value:g} is out of range: it must be more than 0 and finite")


def check_from_one(option: str, value: int | None, most: int) -> None:
    """Raises BadRequest for what is below 1 or above `most`; None was not given."""
    if value is not None and not 1 <= value <= most:
        raise BadRequest(f"{option} {value} is out of range: it must be from 1 to {most}")


def check_folder(option: str, folder: Path | None, remedy: str) -> None:
    """Raises BadRequest for a folder that is not there; None was not given."""
    if folder is not None and not folder.is_dir():
        raise BadRequest(f"{option} {folder} is not a folder: {remedy}")


def check_file(option: str, file: Path | None) -> None:
    """Raises BadRequest for a file that is not there; None was not given."""
    if file is not None and not file.is_file():
        raise BadRequest(f"{option} {file} is not a file: check the path")


def check_clips(option: str, folder: Path | None) -> None:
    """Raises BadRequest for a folder that is missing or holds no shards; None was not given."""
    check_folder(option, folder, MAKE_SHARDS)
    if folder is not None and not any(folder.glob("clips-*.jsonl")):
        raise BadRequest(f"{option} {folder} holds no clips: {MAKE_SHARDS}")


def check_latents(option: str, folder: Path | None) -> None:
    """Raises BadRequest for a folder that is missing or holds no latents; None was not given."""
    check_folder(option, folder, MAKE_LATENTS)
    if folder is not None and not any(folder.glob("latents-*.safetensors")):
        raise BadRequest(f"{option} {folder} holds no latents: {MAKE_LATENTS}")


def check_weights(folder: Path | None) -> None:
    """Raises BadRequest for weights that are no whole folder of `filmwright train pack`; None was not given."""
    check_folder("--weights", folder, PACK)
    if folder is not None and (missing := [name for name in PACKED if not (folder / name).is_file()]):
        raise BadRequest(f"--weights {folder} lacks {', '.join(missing)}: {PACK}")


def check_place(device: str) -> None:
    """See that this machine has the device; loads torch for a GPU only, so it comes last.

    Raises:
        BadRequest: it has not, or there is no such kind.
    """
    from filmwright.engine.build_request import check_device

    check_device(device)
    if device != "cpu":
        from filmwright.engine.devices import pick_device

        pick_device(device)
