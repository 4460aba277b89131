"""Content credentials of a generated clip: what its request says of itself, signed when the file is finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filmwright.engine.sidecar import Sidecar, SignedRecord
from filmwright.spec.request import Keyframe, Prefix, Request

if TYPE_CHECKING:
    from filmwright.provenance.authority import Authority

__all__ = ["ClipSeal", "Credentials", "credentials_for", "inputs_of"]


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """How the files of a run are signed: by whom, and whether they keep words and model to themselves."""

    authority: Authority
    private: bool = False
    clips: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    """Of a request's pictures and clips, by their paths: the clip that each is of, and its title. A frame holds no
    credentials, the clip does."""

    @property
    def comment(self) -> str:
        """What is written into a file before it is signed."""
        from filmwright.provenance.signing import MARK

        return MARK

    def sign(
        self,
        path: Path,
        title: str,
        request: Request,
        weights: Mapping[str, str],
        frames_digest: str | None,
    ) -> SignedRecord:
        """Signs the file at `path`, which will be called `title`.

        Raises:
            CredentialsError: it cannot be signed; it is as it was.
        """
        from filmwright.provenance.manifest import Generation, Ingredient, clip_manifest
        from filmwright.provenance.signing import sign_file

        generation = Generation(
            prompt=request.prompt,
            negative=request.negative,
            model=request.model,
            seed=request.seed,
            request_digest=request.digest(),
            weights=weights,
            request=request.model_dump(mode="json"),
            frames_digest=frames_digest,
        )
        inputs: list[Ingredient] = []
        for given in inputs_of(request):
            clip, name = self.clips.get(str(given), (given, ""))
            inputs.append(Ingredient(path=clip, relationship="inputTo", title=name))
        manifest = clip_manifest(title, generation, private=self.private, inputs=inputs)
        signed = sign_file(path, manifest, authority=self.authority)
        return SignedRecord(manifest=signed.manifest, signer=signed.signer, private=self.private)


@dataclass(frozen=True, kw_only=True)
class ClipSeal:
    """Signs the file that a clip in memory is saved to, and gives the sidecar that says so."""

    credentials: Credentials
    sidecar: Sidecar

    @property
    def comment(self) -> str:
        """What is written into the file before it is signed."""
        return self.credentials.comment

    def __call__(self, path: Path, title: str) -> str:
        """Sign the file at `path`, which will be called `title`; the text of its sidecar."""
        made = self.sidecar
        record = self.credentials.sign(path, title, made.request, made.weights, made.frames_digest)
        return made.model_copy(update={"signed": record}).text()


def credentials_for(
    *,
    sign: bool,
    private: bool,
    warn: Callable[[str, str], None],
    clips: Mapping[str, tuple[Path, str]] | None = None,
) -> Credentials | None:
    """What a run signs with, made on first use; None where it is not to sign, or cannot, which is said.

    `clips` are those that its pictures are of; see `Credentials`.

    Raises:
        CredentialsError: the keys are unsafe or cannot be written.
    """
    if not sign:
        return None
    from filmwright.provenance.signing import can_sign

    if not can_sign():
        warn("unsigned", "the file will not be signed: c2pa-python is not installed; pip install c2pa-python")
        return None
    from filmwright.provenance.authority import open_authority

    return Credentials(authority=open_authority(), private=private, clips=clips or {})


def inputs_of(request: Request) -> list[Path]:
    """The pictures and clips that a request was given and that are still where they were."""
    paths = []
    for control in request.controls:
        match control:
            case Keyframe(image=given) | Prefix(clip=given):
                paths.append(Path(given.path))
    return [path for path in dict.fromkeys(paths) if path.is_file()]
