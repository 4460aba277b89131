"""Signing files with content credentials: the last thing that is done to a file, aside, and then renamed over it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filmwright.provenance.authority import Authority, open_authority
from filmwright.provenance.manifest import Manifest, ingredient_label
from filmwright.provenance.streams import Watched, interruptible
from filmwright.spec.errors import CredentialsError

__all__ = [
    "EXPIRED",
    "MARK",
    "UNKNOWN",
    "SharedManifest",
    "Signed",
    "can_hold",
    "can_sign",
    "context",
    "failures_of",
    "mime_of",
    "sign_file",
]

EXPIRED = {"signingCredential.expired", "claimSignature.outsideValidity"}
UNKNOWN = {"signingCredential.untrusted"}

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
    """A signature that was made: the manifest's own name, and who signed.

    `broken` are the titles of the ingredients that were not as their own credentials say; it is written in the file.
    """

    manifest: str
    signer: str
    broken: tuple[str, ...] = ()

    def plain(self) -> dict[str, str]:
        """As JSON data."""
        return {"manifest": self.manifest, "signer": self.signer}


HELD = 16  # MB of a file that signing may hold; the rest goes through a temporary file, or a film would be held twice
HASHED = 4096  # kB that are hashed at once where the media is hashed in pieces; else up to 512 MB are held
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
    with _said(path):
        authority = authority or open_authority()
        pieces = _has_one_media_box(path, mime)
        with _builder(manifest, context(authority.root, pieces=pieces)) as builder:
            return _sign(path, mime, builder, authority)


class SharedManifest:
    """One manifest for many files, such as the pictures of a sequence: its ingredients are read and hashed once."""

    def __init__(self, manifest: Manifest, *, authority: Authority | None = None) -> None:
        """Read the ingredients.

        Raises:
            CredentialsError: the keys are unsafe, or an ingredient cannot be read.
        """
        with _said(Path(manifest.title)):
            self._authority = authority or open_authority()
            self._archive = io.BytesIO()
            with _builder(manifest, context(self._authority.root)) as builder:
                builder.to_archive(self._archive)

    def sign(self, path: Path | str) -> Signed:
        """As `sign_file`."""
        path = Path(path)
        mime = mime_of(path)
        with _said(path):
            import c2pa

            self._archive.seek(0)
            with c2pa.Builder({}, context=context(self._authority.root)) as empty:
                return _sign(path, mime, empty.with_archive(self._archive), self._authority)


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Whatever goes wrong within becomes one line."""
    if not can_sign():
        raise CredentialsError(f"cannot sign {path}: c2pa-python is not installed; pip install c2pa-python")
    import c2pa

    try:
        yield
    except OSError as error:
        which = f" ({error.filename})" if error.filename and str(error.filename) != str(path) else ""
        raise CredentialsError(
            f"cannot sign {path}: {(error.strerror or str(error)).lower()}{which}"
        ) from error
    except c2pa.C2paError as error:
        raise CredentialsError(f"cannot sign {path}: {error}") from error


def _builder(manifest: Manifest, settings: Any) -> Any:
    """The library's builder of a manifest, with its ingredients."""
    import c2pa

    builder = c2pa.Builder(manifest.definition(), context=settings)
    for index, part_of in enumerate(manifest.ingredients):
        said = {
            "title": part_of.title or part_of.path.name,
            "relationship": part_of.relationship,
            "label": ingredient_label(index),
        }
        with interruptible() as came, Watched(part_of.path, came) as file:
            builder.add_ingredient(said, MIME.get(part_of.path.suffix.lower(), OTHER), file)
    return builder


def _sign(path: Path, mime: str, builder: Any, authority: Authority) -> Signed:
    """Signs aside and replaces the file."""
    import c2pa

    part = path.with_name(f".{path.stem}.signed-{os.getpid()}{path.suffix}")
    try:
        with (
            c2pa.Signer.from_callback(authority.sign, c2pa.C2paSigningAlg.ES256, authority.chain) as signer,
            interruptible() as came,
            Watched(path, came) as source,
            part.open("w+b") as target,
        ):
            builder.sign(signer, mime, source, target)
            target.flush()
            os.fsync(target.fileno())
        name, broken = _active(part, mime)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Signed(manifest=name, signer=authority.name, broken=broken)


def context(*roots: str, checks: bool = True, pieces: bool = False) -> Any:
    """The library's settings: whom to trust, no network, no thumbnails.

    `checks` is whether reading verifies, `pieces` whether signing hashes the media in pieces (a Merkle tree in
    `c2pa.hash.bmff.v3`), so that memory does not grow with the film.
    """
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
        "core": {"backing_store_memory_threshold_in_mb": HELD},
    }
    if pieces:
        settings["core"]["merkle_tree_chunk_size_in_kb"] = HASHED
    if roots:
        settings["trust"] = {"trust_anchors": "\n".join(roots)}
    return c2pa.Context.from_dict(settings)


def failures_of(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was found wrong with an ingredient when it was used, but for a signer who is not known."""
    failures = part.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    return [failure for failure in failures if failure.get("code") not in UNKNOWN]


def _active(path: Path, mime: str) -> tuple[str, tuple[str, ...]]:
    """The name of the manifest in a file, and its broken ingredients, without hashing the file."""
    import c2pa

    settings = context(checks=False)
    with (
        interruptible() as came,
        Watched(path, came) as file,
        c2pa.Reader(mime, file, context=settings) as reader,
    ):
        found = json.loads(reader.json())
    name = str(found["active_manifest"])
    broken = (
        str(part.get("title", ""))
        for part in found["manifests"][name].get("ingredients", [])
        if any(failure.get("code") not in EXPIRED for failure in failures_of(part))
    )
    return name, tuple(broken)


def _has_one_media_box(path: Path, mime: str) -> bool:
    """Whether an MP4 or MOV has one `mdat`, as all of ours have; pieces of several fail to verify (c2pa-rs 0.91)."""
    if mime not in {"video/mp4", "video/quicktime"}:
        return False
    at, found, size = 0, 0, path.stat().st_size
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            found += kind == b"mdat"
            if length < 8:  # 0 is "to the end"
                break
            at += length
    return found == 1
