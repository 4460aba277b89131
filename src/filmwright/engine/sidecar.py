"""The sidecar: a JSON file beside each clip with the whole request and what made it, so that it can be made again."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, ValidationError

from filmwright.engine.check_sampling import resolved
from filmwright.media.beside import MAX_SIDECAR_BYTES, sidecar_path
from filmwright.media.files import write_atomic
from filmwright.spec.errors import BadRequest
from filmwright.spec.request import REQUEST_VERSION, Request
from filmwright.version import VERSION
from filmwright.weights.card import load_card

if TYPE_CHECKING:
    from filmwright.spec.clip import Sound

__all__ = [
    "SIDECAR_VERSION",
    "USELESS",
    "Sidecar",
    "SignedRecord",
    "SoundRecord",
    "differences",
    "make_sidecar",
    "read_sidecar",
    "runtime_versions",
    "sidecar_path",
    "write_sidecar",
]

SIDECAR_VERSION: Final = 1
USELESS: Final = 10.0  # in proofs, the difference of what fails or gives no numbers
DECIDING = ("torch", "numpy", "av")  # packages that pixels depend on


class SignedRecord(BaseModel):
    """The credentials that the file beside a sidecar was signed with: the manifest's name, who signed, and whether
    prompt and model were left out of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: str
    signer: str
    private: bool = False


class SoundRecord(BaseModel):
    """The sound of the file beside a sidecar, as it was before it was encoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str  # BLAKE3 (hex) of its samples, float32 [channels, samples]
    rate: int
    channels: int
    samples: int

    @classmethod
    def of(cls, sound: Sound) -> Self:
        """The record of a sound."""
        channels, samples = sound.samples.shape
        digest = blake3(sound.samples.tobytes()).hexdigest()
        return cls(digest=digest, rate=sound.rate, channels=channels, samples=samples)


class Sidecar(BaseModel):
    """What a clip was made from: the request and its digest, weights (name -> SHA-256), versions; and what it took:
    seconds and peak bytes a stage, and how far from the exact result each inexact means was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    filmwright: str
    sidecar_version: Literal[1] = SIDECAR_VERSION
    request: Request
    request_digest: str
    frames_digest: str | None = None  # BLAKE3 (hex) of the frames before they were encoded
    sound: SoundRecord | None = None
    weights: dict[str, str] = {}
    versions: dict[str, str] = {}
    resolved: dict[
        str, float
    ] = {}  # what the request left to the model's card, such as the shift of its levels
    timings: dict[str, float] = {}
    memory: dict[str, int] = {}
    proofs: dict[str, dict[str, float]] = {}
    warnings: tuple[str, ...] = ()
    signed: SignedRecord | None = None
    digest: str | None = None  # BLAKE3 (hex) of all the rest, see `digest_of`; older sidecars have none

    def sealed(self) -> Self:
        """The same with the digest of what it says now."""
        return self.model_copy(update={"digest": digest_of(self.model_dump(mode="json"))})

    def text(self) -> str:
        """The file's content: JSON, indented, keys in the order above."""
        return json.dumps(self.sealed().model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def digest_of(content: Mapping[str, object]) -> str:
    """BLAKE3 (hex) of a sidecar's JSON less its own digest: sorted keys, no spaces."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return str(blake3(text.encode()).hexdigest())


def runtime_versions() -> dict[str, str]:
    """Versions of Python, the machine and the packages that pixels depend on, read without importing them."""
    versions = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in DECIDING:
        try:
            versions[name] = installed_version(name)
        except PackageNotFoundError:  # vendored by a distributor under another name
            versions[name] = "unknown"
    return versions


def make_sidecar(
    request: Request,
    *,
    weights: Mapping[str, str],
    timings: Mapping[str, float],
    memory: Mapping[str, int] | None = None,
    proofs: Mapping[str, Mapping[str, float]] | None = None,
    warnings: Iterable[str] = (),
    frames_digest: str | None = None,
    sound: SoundRecord | None = None,
    signed: SignedRecord | None = None,
    device: str | None = None,
) -> Sidecar:
    """The sidecar of a clip that this program has just made from `request`, on `device` in words."""
    return Sidecar(
        filmwright=VERSION,
        request=request,
        request_digest=request.digest(),
        frames_digest=frames_digest,
        sound=sound,
        weights=dict(weights),
        resolved=resolved(request, load_card(request.model)),
        versions=runtime_versions() | ({} if device is None else {"device": device}),
        timings={stage: round(seconds, 4) for stage, seconds in timings.items()},
        memory=dict(memory or {}),
        proofs={name: dict(proof) for name, proof in (proofs or {}).items()},
        warnings=tuple(warnings),
        signed=signed,
    ).sealed()


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write it so that it appears whole or not at all.

    Raises:
        MediaError: the disk is full, or the folder cannot be written.
    """
    write_atomic(path, sidecar.text())


def read_sidecar(path: Path | str) -> Sidecar:
    """Read a sidecar and see that it, and its request, is the one that was written.

    Raises:
        BadRequest: missing, no sidecar, from a newer Filmwright, or edited by hand.
    """
    path = Path(path)
    remedy = "give the .json file that lies beside a clip"
    try:
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            raise BadRequest(
                f"cannot read sidecar {path}: {path.stat().st_size / 1e6:.0f} MB is no sidecar; {remedy}"
            )
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise BadRequest(f"cannot read sidecar {path}: {reason}; {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"cannot read sidecar {path}: it is not JSON; {remedy}") from error
    if not isinstance(content, dict) or not isinstance(content.get("sidecar_version"), int):
        raise BadRequest(f"cannot read sidecar {path}: it is no Filmwright sidecar; {remedy}")
    _refuse_newer(path, "sidecar", content["sidecar_version"], SIDECAR_VERSION, content)
    request = content.get("request")
    if isinstance(request, dict):
        _refuse_newer(path, "request", request.get("version"), REQUEST_VERSION, content)
    try:
        sidecar = Sidecar.model_validate(content)
        digest = sidecar.request.digest()
        whole = digest_of(content)
    except (ValidationError, UnicodeEncodeError) as error:
        if _is_newer(content.get("filmwright")):
            raise BadRequest(
                f"cannot use sidecar {path}: it is from a newer version, filmwright {content['filmwright']}, and says "
                f"what filmwright {VERSION} does not know; update filmwright"
            ) from error
        what = _first(error) if isinstance(error, ValidationError) else "the prompt is not text"
        raise BadRequest(
            f"cannot use sidecar {path}: it was edited by hand or damaged ({what}); give the options instead"
        ) from error
    if digest != sidecar.request_digest:
        raise BadRequest(
            f"cannot use sidecar {path}: it was edited by hand (its request has digest {digest[:12]}, "
            f"{sidecar.request_digest[:12]} was written); change it by options, such as --from {path.name} --seed 2"
        )
    if sidecar.digest is not None and sidecar.digest != whole:
        raise BadRequest(
            f"cannot use sidecar {path}: it was edited by hand or damaged (all of it has digest {whole[:12]}, "
            f"{sidecar.digest[:12]} was written); take it from a copy, or give the options instead"
        )
    return sidecar


def differences(earlier: Sidecar, later: Sidecar) -> list[str]:
    """What made two clips otherwise, such as "torch 2.12 was 2.11": versions, the machine, the device, the weights."""
    before = {"filmwright": earlier.filmwright, **earlier.versions}
    now = {"filmwright": later.filmwright, **later.versions}
    changed = [
        f"{name} {now[name]} was {before[name]}" for name in now if before.get(name, now[name]) != now[name]
    ]
    weights = sorted(name for name, sha in later.weights.items() if earlier.weights.get(name, sha) != sha)
    return changed + [f"the weights of {', '.join(weights)} are others"] * bool(weights)


def _is_newer(version: object) -> bool:
    """Whether a version is a later one than this program's."""
    if not isinstance(version, str):
        return False
    found, ours = (tuple(map(int, re.findall(r"\d{1,9}", text)[:3])) for text in (version, VERSION))
    return found > ours


def _refuse_newer(path: Path, what: str, found: object, known: int, content: dict[str, object]) -> None:
    if isinstance(found, int) and found > known:
        raise BadRequest(
            f"cannot use sidecar {path}: {what} version {found}, written by filmwright {content.get('filmwright')}, "
            f"is newer than the {known} that filmwright {VERSION} reads; update filmwright"
        )


def _first(error: ValidationError) -> str:
    """The first complaint in a few words."""
    detail = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
