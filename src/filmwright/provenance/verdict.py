"""Verifying a file: is it as it was signed, by whom, and from which words; or was it changed, stripped or never signed.

What can be told, and what not: a changed file fails a hash, and the assertion that fails is named. A signature of an
unknown authority proves only that nobody changed the file since that somebody signed it. A file may be as it was
signed, and yet be made from one that was not: then the chain is broken there, and that one is named. A file without
credentials was stripped if something says so that survives copying: the mark in its metadata, or a sidecar beside it;
without either, it looks like one that was never signed.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filmwright.provenance.authority import credentials_folder, root_of
from filmwright.provenance.manifest import GENERATION, SOURCE
from filmwright.provenance.signing import (
    EXPIRED,
    MARK,
    UNKNOWN,
    can_hold,
    can_sign,
    context,
    failures_of,
    mime_of,
)
from filmwright.provenance.streams import Watched, interruptible
from filmwright.spec.errors import CredentialsError

__all__ = ["Made", "Problem", "State", "Verdict", "verify_file", "verify_folder"]

State = Literal["valid", "unknown-signer", "expired", "tampered", "broken-chain", "stripped", "unsigned"]

MAX_SIDECAR = 10_000_000
MAX_DEPTH = 32  # manifests nest as films hold films; a deeper chain is a trap


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that is wrong: C2PA's code, the assertion (or other part) that it is about, and what that means."""

    code: str
    where: str
    said: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """One manifest of the chain: what was done, by which software, from which words and from which other files."""

    title: str
    relationship: str = ""
    manifest: str | None = None  # None: it came without credentials
    software: str = ""
    signer: str = ""
    source: str = ""  # IPTC's word, such as trainedAlgorithmicMedia
    actions: tuple[str, ...] = ()
    generation: Mapping[str, Any] | None = None  # what `Generation.plain` wrote, if it is not private
    problems: tuple[Problem, ...] = ()  # found when it was used in the one above
    ingredients: tuple[Made, ...] = ()

    @property
    def kind(self) -> str:
        """What it is in IPTC's word; of what was made from one other, what that is. Empty where nothing says so."""
        parent = next((part for part in self.ingredients if part.relationship == "parentOf"), None)
        return self.source or (parent.kind if parent is not None else "")

    def broken(self) -> Iterator[Made]:
        """All below that were not as they had been signed when they were used; an expired signer breaks nothing."""
        for part in self.ingredients:
            if any(problem.code not in EXPIRED for problem in part.problems):
                yield part
            yield from part.broken()

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "title": self.title,
            "relationship": self.relationship,
            "manifest": self.manifest,
            "software": self.software,
            "signer": self.signer,
            "source": self.source,
            "actions": list(self.actions),
            "generation": None if self.generation is None else dict(self.generation),
            "problems": [vars(problem) for problem in self.problems],
            "ingredients": [made.plain() for made in self.ingredients],
        }


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is known of a file. `said` is one line for the user, `made` the chain where there are credentials."""

    path: Path
    state: State
    said: str
    signer: str = ""
    problems: tuple[Problem, ...] = ()
    made: Made | None = None

    @property
    def is_valid(self) -> bool:
        """Unchanged, as is all that it was made from, and signed by an authority that is known here."""
        return self.state == "valid"

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "path": str(self.path),
            "state": self.state,
            "valid": self.is_valid,
            "said": self.said,
            "signer": self.signer,
            "publicly_trusted": False,
            "problems": [vars(problem) for problem in self.problems],
            "made": None if self.made is None else self.made.plain(),
        }


def verify_file(path: Path | str, *, trust: Sequence[Path] = ()) -> Verdict:
    """What the credentials of the file at `path` say, and whether they hold.

    Args:
        path: an MP4, MOV, PNG, JPEG or WAVE file; it is only read, and no network is used.
        trust: root certificates (PEM) of other studios to be known, beside this machine's own.

    Raises:
        CredentialsError: there is no such file, it is of another kind, or a certificate cannot be read.
    """
    path = Path(path)
    mime = mime_of(path)
    if not path.is_file():
        raise CredentialsError(f"cannot verify {path}: there is no such file; check the path")
    if not can_sign():
        raise CredentialsError(f"cannot verify {path}: c2pa-python is not installed; pip install c2pa-python")
    import c2pa

    own = root_of(credentials_folder())
    roots = [*([] if own is None else [own]), *(_certificate(other) for other in trust)]
    try:
        with (
            interruptible() as came,
            Watched(path, came) as file,
            c2pa.Reader(mime, file, context=context(*roots)) as reader,
        ):
            found = json.loads(reader.json())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CredentialsError(f"cannot verify {path}: {reason}") from error
    except c2pa.C2paError.ManifestNotFound:
        return _bare(path)
    except c2pa.C2paError as error:
        problem = Problem(code="unreadable", where="file", said=str(error))
        return Verdict(
            path=path,
            state="tampered",
            said=f"changed or damaged since it was made: it cannot be parsed ({error})",
            problems=(problem,),
        )
    return _judged(path, found)


def _judged(path: Path, found: dict[str, Any]) -> Verdict:
    """The verdict on a file whose credentials can be read."""
    made = _made(found["manifests"], found["active_manifest"], path.name)
    results = found.get("validation_results", {})
    failures = list(results.get("activeManifest", {}).get("failure", []))
    for delta in results.get("ingredientDeltas", []):
        failures += delta.get("validationDeltas", {}).get("failure", [])
    codes = {str(failure["code"]) for failure in failures}
    problems = tuple(_problem(failure) for failure in failures)
    if broken := [p for p in problems if p.code not in EXPIRED | UNKNOWN]:
        state: State = "tampered"
        said = f"changed since it was signed: {_places(broken)}"
    elif codes & EXPIRED:
        state = "expired"
        said = (
            f"unchanged since {made.signer} signed it, but that certificate has run out and no time-stamp says "
            "that it was valid then"
        )
    elif codes & UNKNOWN or found.get("validation_state") != "Trusted":
        state = "unknown-signer"
        said = (
            f"unchanged since it was signed, by somebody who says to be {made.signer!r} and is not known here: "
            "--trust takes the certificate of an authority that you know"
        )
    elif below := list(made.broken()):
        state = "broken-chain"
        said = f"unchanged since {made.signer} signed it, but made from what was not: " + "; ".join(
            dict.fromkeys(
                f"{_printable(part.title)} was changed before ({_places(part.problems)})" for part in below
            )
        )
    else:
        state = "valid"
        said = f"unchanged since {made.signer} signed it: an authority known here, not on a public trust list"
    return Verdict(path=path, state=state, said=said, signer=made.signer, problems=problems, made=made)


def verify_folder(folder: Path | str, *, trust: Sequence[Path] = ()) -> tuple[Verdict, ...]:
    """The verdict on each file in a folder that can carry credentials, in order, such as the pictures of a sequence.

    Raises:
        CredentialsError: there is none, or a certificate cannot be read.
    """
    folder = Path(folder)
    try:
        paths = sorted(
            path
            for path in folder.iterdir()
            if can_hold(path) and path.is_file() and not path.name.startswith(".")
        )
    except OSError as error:
        raise CredentialsError(f"cannot verify {folder}: {(error.strerror or str(error)).lower()}") from error
    if not paths:
        raise CredentialsError(
            f"cannot verify {folder}: no file in it can carry content credentials; give a folder of PNG pictures"
        )
    return tuple(verify_file(path, trust=trust) for path in paths)


def _bare(path: Path) -> Verdict:
    """The verdict on a file without credentials."""
    if (manifest := _sidecar_manifest(path)) is not None:
        said = f"its credentials are gone: the sidecar beside it says that it was signed as {manifest}"
        return Verdict(path=path, state="stripped", said=said)
    if _is_marked(path):
        said = "its credentials are gone: a mark in its metadata says that Filmwright signed it"
        return Verdict(path=path, state="stripped", said=said)
    said = "never signed, or so thoroughly stripped that nothing is left to tell"
    return Verdict(path=path, state="unsigned", said=said)


def _sidecar_manifest(path: Path) -> str | None:
    """The manifest that a Filmwright sidecar beside the file names."""
    sidecar = path.with_suffix(".json")
    try:
        if sidecar.stat().st_size > MAX_SIDECAR:
            return None
        content = json.loads(sidecar.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    signed = content.get("signed") if isinstance(content, dict) else None
    manifest = signed.get("manifest") if isinstance(signed, dict) else None
    return manifest if isinstance(manifest, str) else None


def _is_marked(path: Path) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(MARK.encode()) >= 0


def _made(
    manifests: Mapping[str, Any],
    label: str | None,
    title: str,
    relationship: str = "",
    problems: tuple[Problem, ...] = (),
    depth: int = 0,
) -> Made:
    """The manifest `label` and all below it."""
    found = manifests.get(label or "")
    if found is None or depth == MAX_DEPTH:
        return Made(title=title, relationship=relationship, manifest=label, problems=problems)
    assertions = {a["label"]: a.get("data", {}) for a in found.get("assertions", [])}
    actions = [
        action
        for name, data in assertions.items()
        if name.startswith("c2pa.actions")
        for action in data.get("actions", [])
    ]
    source = next((a["digitalSourceType"] for a in actions if a.get("digitalSourceType")), "")
    software = (found.get("claim_generator_info") or [{}])[0]
    generation = assertions.get(GENERATION)
    return Made(
        title=str(found.get("title") or title) if not depth else title,
        relationship=relationship,
        manifest=label,
        software=" ".join(str(software[key]) for key in ("name", "version") if software.get(key)),
        signer=str((found.get("signature_info") or {}).get("common_name") or "somebody unnamed"),
        source=str(source).removeprefix(SOURCE),
        actions=tuple(str(action.get("action", "")) for action in actions),
        generation=generation if isinstance(generation, dict) else None,
        problems=problems,
        ingredients=tuple(
            _made(
                manifests,
                part.get("active_manifest"),
                str(part.get("title", "")),
                str(part.get("relationship", "")),
                tuple(map(_problem, failures_of(part))),
                depth + 1,
            )
            for part in found.get("ingredients", [])
        ),
    )


def _places(problems: Sequence[Problem]) -> str:
    """What is wrong where, each once."""
    return ", ".join(dict.fromkeys(_printable(f"{p.where} ({p.code})") for p in problems))


def _printable(text: str) -> str:
    """Words from a file that anybody may have made: one line, and nothing that steers a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def _problem(failure: Mapping[str, Any]) -> Problem:
    where = str(failure.get("url", "")).rstrip("/").rpartition("/")[2] or "file"
    return Problem(code=str(failure.get("code")), where=where, said=str(failure.get("explanation", "")))


def _certificate(path: Path) -> str:
    """A root certificate as text."""
    from cryptography import x509

    try:
        text = path.read_text("ascii")
        x509.load_pem_x509_certificate(text.encode())
    except (OSError, ValueError) as error:
        raise CredentialsError(
            f"--trust {path} is not a certificate in PEM: give an authority.pem"
        ) from error
    return text
