"""Runs that have not ended: folders in $FILMWRIGHT_HOME/runs that say what is being made and how far it has come.

    run.json                   the request, where the clip goes, the weights' hashes, the device
    lock                       locked while a process works on it
    velocity-0000.safetensors  what the denoiser said in its first call, and so on
    latents.safetensors        what decoding starts from

Listing them needs no tensor library; `engine.journal` fills the folders.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, ValidationError

from filmwright.spec.errors import BadRequest
from filmwright.spec.home import home
from filmwright.spec.request import Request
from filmwright.weights.card import CARDS, load_card

__all__ = [
    "LATENTS",
    "LOCK",
    "RECORD",
    "RunRecord",
    "Unfinished",
    "begun",
    "folder_of",
    "forget_old",
    "pick_run",
    "unfinished",
]

KEPT_DAYS = 30
RECORD, LOCK, LATENTS = "run.json", "lock", "latents.safetensors"


class RunRecord(BaseModel):
    """What a run makes, and with what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filmwright: str
    request: Request
    path: Path  # absolute, of the clip
    device: str
    weights_folder: Path | None
    weights: dict[str, str]  # name -> SHA-256
    sign: bool = True
    private: bool = False


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A run that was begun and not ended."""

    folder: Path
    record: RunRecord
    calls: int  # answers of the denoiser that are kept
    denoised: bool
    running: bool  # a process works on it now
    changed: float  # seconds since 1970

    @property
    def steps(self) -> int:
        """Of the whole clip; as the request says where its model is not known any more."""
        request = self.record.request
        if request.model not in CARDS:
            return request.steps
        return load_card(request.model).steps_of(request.num_frames, request.steps)

    @property
    def calls_a_step(self) -> int:
        """How often the denoiser is asked a step."""
        model = self.record.request.model
        return load_card(model).calls if model in CARDS else 1

    @property
    def steps_done(self) -> int:
        """Steps of which all answers are kept; a model that asks its denoiser less often than usual has done more."""
        return min(self.calls // self.calls_a_step, self.steps)

    @property
    def said(self) -> str:
        """How far it has come, in words."""
        if self.denoised:
            return "denoised, not decoded"
        if self.calls_a_step > 1:
            return f"{self.calls} answers of the denoiser are kept"
        return f"{self.steps_done} of {self.steps} steps"

    @property
    def goes_on(self) -> str:
        """A line for whoever has asked for the same clip again."""
        seed = self.record.request.seed
        return f"{self.record.path.name} was begun with seed {seed} and goes on, {self.said}; a seed makes another take"


def folder_of(request: Request, target: Path) -> Path:
    """Where the run that makes `target` of `request` keeps what it has reached."""
    name = blake3(f"{request.digest()} {target.absolute()}".encode()).hexdigest()[:24]
    return home() / "runs" / name


def unfinished() -> list[Unfinished]:
    """All runs that have not ended, the newest first; folders that cannot be read are left out."""
    found = []
    for path in (home() / "runs").glob(f"*/{RECORD}"):
        try:
            record = RunRecord.model_validate_json(path.read_text("utf-8"))
            changed = max(map(_changed, path.parent.iterdir()))
        except (OSError, ValueError, ValidationError):
            continue
        found.append(
            Unfinished(
                folder=path.parent,
                record=record,
                calls=len(list(path.parent.glob("velocity-*.safetensors"))),
                denoised=(path.parent / LATENTS).exists(),
                running=_is_locked(path.parent / LOCK),
                changed=changed,
            )
        )
    return sorted(found, key=lambda run: run.changed, reverse=True)


def _changed(path: Path) -> float:
    """When a file was last written; never, if its writer has given it another name meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def pick_run(path: Path | None) -> Unfinished:
    """The unfinished run that makes the clip `path`, or the newest that no process works on.

    Raises:
        BadRequest: there is none, or a process works on it.
    """
    runs = unfinished()
    if path is not None:
        runs = [run for run in runs if run.record.path == path.absolute()]
        if not runs:
            raise BadRequest(f"no unfinished run makes {path}: `filmwright resume --list` shows all")
    waiting = [run for run in runs if not run.running]
    if not waiting:
        what = f"a process is working on {runs[0].record.path}" if runs else "no run is unfinished"
        raise BadRequest(f"{what}: there is nothing to resume")
    return waiting[0]


def begun(request: Request, path: Path) -> Unfinished | None:
    """The unfinished run, on which no process works, that makes the clip `path` of this request but for the seed.

    Whoever gives no seed and asks for the same clip again gets that one: with another seed nothing of it could be used.
    """
    for run in unfinished():
        if run.record.path == path.absolute() and not run.running:
            asked = request.model_copy(update={"seed": run.record.request.seed})
            if asked.digest() == run.record.request.digest():
                return run
    return None


def forget_old() -> None:
    """Removes what unfinished runs have left more than thirty days ago."""
    oldest = time.time() - KEPT_DAYS * 86_400
    for run in unfinished():
        if run.changed < oldest and not run.running:
            shutil.rmtree(run.folder, ignore_errors=True)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
