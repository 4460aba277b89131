"""What a run has reached is kept while it runs, so that one that dies goes on where it was; see `engine.runs`.

A sampler is a plain function of the denoiser's answers, so its state needs no format of its own: to go on, it runs
again from the start and is handed the answers that were kept, to the bit; from there the denoiser itself answers.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from filmwright.diffusion.flow import Denoise
from filmwright.engine.runs import LATENTS, LOCK, RECORD, RunRecord, folder_of, forget_old
from filmwright.spec.errors import BadRequest

__all__ = ["Journal", "Latents", "journal_of"]

FOUND = "found"  # in the latents' header

Tell = Callable[[str, str], None]
"""(code, message) of a warning."""


@dataclass(frozen=True, kw_only=True)
class Latents:
    """What decoding starts from: the picture's [1, c, t, h, w], and the sound's where it is asked for."""

    picture: Tensor
    sound: Tensor | None = None


class Journal:
    """The kept answers of one run; without a folder it keeps nothing, and where another process `writes` it reads."""

    def __init__(self, folder: Path | None, tell: Tell, *, writes: bool = True) -> None:
        self.folder, self.tell, self.writes = folder, tell, writes
        self.kept = 0 if folder is None else self._whole_answers(folder)
        self.calls = 0

    def through(self, denoise: Denoise) -> Denoise:
        """`denoise`, first answered from what is kept, then kept itself."""

        def answer(x: Tensor, levels: Tensor) -> Tensor:
            index, self.calls = self.calls, self.calls + 1
            if index < self.kept:
                kept = self._read(_answer(index)).get("x")
                if kept is not None and kept.shape == x.shape:
                    return kept.to(x.device)
                self.kept = index  # damaged: from here on the denoiser answers
            v = denoise(x, levels)
            self._write(_answer(index), {"x": v})
            return v

        return answer

    def latents(self) -> Latents | None:
        """What decoding starts from, if the run has come so far."""
        kept = self._read(LATENTS)
        return Latents(picture=kept["x"], sound=kept.get("sound")) if "x" in kept else None

    def found(self) -> dict[str, Any]:
        """What was found while these latents were made, as it was kept with them."""
        if self.folder is None:
            return {}
        try:
            with safe_open(self.folder / LATENTS, framework="pt") as file:
                told: dict[str, Any] = json.loads((file.metadata() or {}).get(FOUND, "{}"))
        except (SafetensorError, OSError, ValueError):
            return {}
        return told

    def keep_latents(self, latents: Latents, found: Mapping[str, Any] | None = None) -> None:
        """Keeps what decoding starts from and what was found on the way; the answers behind it are needed no more."""
        sound = {} if latents.sound is None else {"sound": latents.sound}
        note = {FOUND: json.dumps(dict(found or {}))}
        self._write(LATENTS, {"x": latents.picture, **sound}, note)
        if self.folder is not None and self.writes:  # the disk has taken them
            for index in range(self.calls):
                (self.folder / _answer(index)).unlink(missing_ok=True)

    def _whole_answers(self, folder: Path) -> int:
        count = 0
        while (folder / _answer(count)).exists():
            count += 1
        return count

    def _read(self, name: str) -> dict[str, Tensor]:
        """The tensors of a file; none where it cannot be read."""
        if self.folder is None:
            return {}
        try:
            with safe_open(self.folder / name, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        except (SafetensorError, OSError):
            return {}

    def _write(self, name: str, tensors: dict[str, Tensor], note: dict[str, str] | None = None) -> None:
        """A disk that refuses ends the keeping, not the run."""
        if self.folder is None or not self.writes:
            return
        aside = self.folder / f".{name}"
        try:
            save_file(
                {key: t.detach().cpu().contiguous() for key, t in tensors.items()}, aside, metadata=note
            )
            aside.replace(self.folder / name)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.tell("no-journal", _lost(self.folder, reason))
            aside.unlink(missing_ok=True)
            self.folder = None


def _answer(index: int) -> str:
    return f"velocity-{index:04d}.safetensors"


def _lost(folder: Path, reason: str | None) -> str:
    return f"the run cannot be kept in {folder} ({reason}): if it dies, it is lost"


@contextmanager
def journal_of(record: RunRecord, tell: Tell) -> Iterator[Journal]:
    """The journal of a run, to work in; what an earlier process kept of the same run is there again.

    Its folder is removed when the block ends well, and when it ends otherwise before anything was kept.

    Raises:
        BadRequest: another process makes this clip now.
    """
    folder = folder_of(record.request, record.path)
    lock = None
    try:
        forget_old()
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
        if lock is not None:
            _begin(folder, record, tell)
    except OSError as error:
        if lock is not None:
            lock.close()
        tell("no-journal", _lost(folder, error.strerror))
        yield Journal(None, tell)
        return
    if lock is None:
        raise BadRequest(f"another process is making {record.path} of the same request: wait for it")
    with lock:
        try:
            yield Journal(folder, tell)
        except BaseException:
            if not any(p.suffix == ".safetensors" for p in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> IO[bytes] | None:
    """The folder's lock, held until it is closed or the process ends; None where another process holds it."""
    file = (folder / LOCK).open("wb")
    for wait in (0.02, 0.1, 0.0):  # whoever lists the runs holds it for a moment
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(wait)
        else:
            return file
    file.close()
    return None


def _begin(folder: Path, record: RunRecord, tell: Tell) -> None:
    """Writes the record; throws away what other weights or another Filmwright have kept."""
    path = folder / RECORD
    try:
        earlier = RunRecord.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        earlier = None
    kept = sorted(folder.glob("*.safetensors"))
    if kept and (
        earlier is None or (earlier.weights, earlier.filmwright) != (record.weights, record.filmwright)
    ):
        tell("begun-anew", "the weights or the program have changed since the run died: it begins anew")
        for file in kept:
            file.unlink(missing_ok=True)
    aside = folder / f".{RECORD}.{os.getpid()}"
    aside.write_text(record.model_dump_json(indent=1) + "\n", "utf-8")
    aside.replace(path)
