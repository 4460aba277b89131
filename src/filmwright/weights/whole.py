"""Sees that a folder holds a whole set of the pocket model's weights, and the right bytes, before torch is loaded."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from filmwright.spec.errors import WeightsError

__all__ = ["MANIFEST", "NETS", "VOCABULARY", "check_hash", "check_set", "read_set", "sha256_of", "shipped"]

NETS = ("text", "denoiser", "vae")
MANIFEST, VOCABULARY = "weights.json", "vocabulary.json"
PACK = "`filmwright train pack --out DIR` writes a whole set"


def shipped(model: str = "pocket") -> Path:
    """The folder of the weights that come with the package."""
    return Path(__file__).parent / model


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(path: Path, sha256: str | None = None) -> None:
    """See that a weights file is there and, where `sha256` is given, has these bytes.

    A file is hashed once a process, unless it changes: what is checked before a run is not read again to be loaded.

    Raises:
        WeightsError: it is missing, cannot be read, or has other bytes.
    """
    try:
        if not path.is_file():
            raise WeightsError(f"weights file {path} is missing: {_remedy(path)}")
        actual = None if sha256 is None else _hashed(path, _state(path))
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read: {error.strerror or error}") from error
    if actual != sha256:
        raise WeightsError(
            f"weights file {path} has SHA-256 {str(actual)[:12]}..., expected {str(sha256)[:12]}...: it is damaged or "
            f"was changed; {_remedy(path)}"
        )


def check_set(folder: Path) -> None:
    """See that a folder holds the manifest, the vocabulary and the nets that the manifest names, to the byte.

    Raises:
        WeightsError: it does not; the message says which file.
    """
    hashes = read_set(folder)[1]
    if not (folder / VOCABULARY).is_file():
        raise WeightsError(f"{folder / VOCABULARY} is missing: {_remedy(folder / VOCABULARY)}")
    for net in NETS:
        check_hash(folder / f"{net}.safetensors", hashes.get(net))


def read_set(folder: Path) -> tuple[str, dict[str, str]]:
    """What the manifest says: the name of the nets' sizes, and the SHA-256 of each net's file.

    Raises:
        WeightsError: it is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{folder} holds no {MANIFEST}, so no set of weights: {_remedy(path)}") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON"
        raise WeightsError(f"{path} cannot be read ({reason}): {_remedy(path)}") from error
    for key, kind in (("size", str), ("sha256", dict)):
        if not isinstance(found, dict) or not isinstance(found.get(key), kind):
            raise WeightsError(f"{path} does not say {key!r}, so it names no set of weights: {_remedy(path)}")
    return found["size"], {str(net): str(sha) for net, sha in found["sha256"].items()}


def _remedy(path: Path) -> str:
    """What to do about a file: the package's own comes with it, any other is its user's."""
    if path.absolute().is_relative_to(Path(__file__).parent):
        return "install filmwright anew"
    return f"restore it, or take another; {PACK}"


def _state(path: Path) -> tuple[int, ...]:
    """What changes when a file does."""
    state = path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


@lru_cache(maxsize=64)
def _hashed(path: Path, state: tuple[int, ...]) -> str:  # noqa: ARG001 (another state is another file)
    return sha256_of(path)
