"""Signing files with content credentials: the last thing that is done to a file, aside, and then renamed over it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filmwright.provenance.authority import Authority, open_authority
from filmwright.provenance.manifest import Manifest, ingredient_label
from filmwright.spec.errors import CredentialsError

__all__ = ["MARK", "Signed", "can_hold", "can_sign", "context", "mime_of", "sign_file"]

MARK = "Made with Filmwright; signed with content credentials"
"""Written as a comment into files that will be signed: where the credentials are cut off, it says that they were."""

MIME = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".wav": "audio/wav",
}


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A signature that was made: the manifest's own name, and who signed."""

    manifest: str
    signer: str


OTHER = "application/octet-stream"  # an ingredient of any other kind: its bytes are hashed whole


def can_sign() -> bool:
    """Whether the library is installed, without loading it."""
    return find_spec("c2pa") is not None


def can_hold(path: Path) -> bool:
    """Whether a file of this ending can carry credentials; OpenEXR, MKV and WebM cannot."""
    return path.suffix.lower() in MIME


def mime_of(path: Path) -> str:
    """The media type of a file that can carry credentials.

    Raises:
        CredentialsError: it cannot.
    """
    if not can_hold(path):
        raise CredentialsError(
            f"{path} cannot carry content credentials: its name ends in {path.suffix or 'nothing'!r}, "
            f"it must end in {', '.join(MIME)}"
        )
    return MIME[path.suffix.lower()]


def sign_file(path: Path | str, manifest: Manifest, *, authority: Authority | None = None) -> Signed:
    """Put `manifest` into the file at `path`, signed by this machine's authority, which is made on first use.

    Ingredients are read, and their own manifests are nested with what was found wrong with them. Nothing is sent or
    fetched. The file is replaced when all is well, and is as it was when it is not.

    Raises:
        CredentialsError: the keys are unsafe, the file cannot carry credentials, or cannot be read or written.
    """
    path = Path(path)
    mime = mime_of(path)
    if not can_sign():
        raise CredentialsError(f"cannot sign {path}: c2pa-python is not installed; pip install c2pa-python")
    import c2pa

    authority = authority or open_authority()
    part = path.with_name(f".{path.stem}.signed-{os.getpid()}{path.suffix}")
    try:
        with (
            c2pa.Signer.from_callback(authority.sign, c2pa.C2paSigningAlg.ES256, authority.chain) as signer,
            c2pa.Builder(manifest.definition(), context=context(authority.root)) as builder,
        ):
            for index, part_of in enumerate(manifest.ingredients):
                said = {
                    "title": part_of.title or part_of.path.name,
                    "relationship": part_of.relationship,
                    "label": ingredient_label(index),
                }
                with part_of.path.open("rb") as file:
                    builder.add_ingredient(said, MIME.get(part_of.path.suffix.lower(), OTHER), file)
            with path.open("rb") as source, part.open("w+b") as target:
                builder.sign(signer, mime, source, target)
                target.flush()
                os.fsync(target.fileno())
        name = _active(part, mime)
        part.replace(path)
    except OSError as error:
        raise CredentialsError(f"cannot sign {path}: {(error.strerror or str(error)).lower()}") from error
    except c2pa.C2paError as error:
        raise CredentialsError(f"cannot sign {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return Signed(manifest=name, signer=authority.name)


def context(*roots: str, checks: bool = True) -> Any:
    """The library's settings: whom to trust, no network, no thumbnails; `checks` is whether reading verifies."""
    import c2pa

    settings: dict[str, Any] = {
        "version": 1,
        "verify": {
            "verify_after_sign": False,  # it would read the whole film once more
            "verify_after_reading": checks,
            "verify_trust": True,
            "ocsp_fetch": False,
            "remote_manifest_fetch": False,
        },
        "builder": {"thumbnail": {"enabled": False}},
    }
    if roots:
        settings["trust"] = {"trust_anchors": "\n".join(roots)}
    return c2pa.Context.from_dict(settings)


def _active(path: Path, mime: str) -> str:
    """The name of the manifest in a file, without hashing the file."""
    import c2pa

    with path.open("rb") as file, c2pa.Reader(mime, file, context=context(checks=False)) as reader:
        return str(json.loads(reader.json())["active_manifest"])
