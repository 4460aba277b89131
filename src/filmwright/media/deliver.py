"""Delivery: frames and sound become a file that others can play, edit or grade, with constant memory.

Frames are sRGB and come in pieces; colour tags, sample entries and frame times are set and are read back by the tests.
Sound is held to the picture's length: padded with silence or cut. Loudness is set by one gain for the whole (ITU-R
BS.1770, EBU R 128), never by a limiter: where the gain would lift the true peak above -1 dBTP it stops there, and the
result says so. The file appears whole or not at all, and what is to be done last (signing) is done before it appears.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray

from filmwright.media.encoders import LAYOUTS, Encoder, FilmEncoder, PictureEncoder, SoundEncoder
from filmwright.media.files import check_output, hidden_beside, say_os_error
from filmwright.media.formats import DELIVERIES, Delivery, Hdr, check_delivery, check_timecode
from filmwright.spec.cut import START_TIMECODE
from filmwright.spec.errors import MediaError

__all__ = ["DELIVERIES", "Audio", "Delivered", "Delivery", "Hdr", "check_target", "deliver"]

PEAK = -1.0  # dBTP: what EBU R 128 and every streaming service leave free
PIECE = 1 << 15  # samples a channel that are held at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Audio:
    """Sound float32 from -1 to 1, [channels, samples] in one piece or several; `rate` in samples a second.

    Channels: 1, 2, or 6 in the order left, right, centre, LFE, left and right surround.
    """

    samples: NDArray[np.float32] | Iterable[NDArray[np.float32]]
    rate: int

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """The samples in pieces of at most a second or so."""
        whole = [self.samples] if isinstance(self.samples, np.ndarray) else self.samples
        for piece in whole:
            if piece.ndim != 2 or piece.dtype != np.float32 or piece.shape[0] not in LAYOUTS:
                raise MediaError(
                    f"cannot deliver sound {piece.dtype} {list(piece.shape)}: expected float32 [channels, samples] "
                    "with 1, 2 or 6 channels"
                )
            for start in range(0, piece.shape[1], PIECE):
                yield piece[:, start : start + PIECE]


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What was written. `loudness` (LUFS) and `true_peak` (dBTP) are of the delivered sound, where it was measured."""

    path: Path
    format: str
    width: int
    height: int
    fps: Fraction
    num_frames: int
    sound_seconds: float = 0.0
    gain: float = 0.0  # decibel that the sound was raised by
    loudness: float | None = None
    true_peak: float | None = None
    notes: tuple[str, ...] = ()


def check_target(path: Path | str, form: Delivery) -> Path:
    """See that `form` can be written at `path`, before any work is done.

    Raises:
        MediaError: it cannot; or a folder for pictures holds something already.
    """
    if form.kind != "pictures":
        return check_output(path, suffixes=(form.suffix,))
    path = Path(path)
    if path.is_dir() and any(path.iterdir()):
        raise MediaError(f"cannot write {path}: the folder is not empty; name a new one")
    if path.is_file():
        raise MediaError(f"cannot write {path}: it is a file; name a folder for the pictures")
    check_output(path.parent / f"{path.name}.folder")
    return path


def deliver(
    frames: Iterable[NDArray[Any]],
    path: Path | str,
    *,
    format: str,  # noqa: A002 (the word that users type)
    width: int,
    height: int,
    fps: Fraction,
    audio: Audio | None = None,
    hdr: Hdr | None = None,
    loudness: float | None = None,
    comment: str | None = None,
    timecode: str = START_TIMECODE,
    seal: Callable[[Path], object] | None = None,
    on_frame: Callable[[int], object] | None = None,
) -> Delivered:
    """Write a film, a folder of pictures or a sound file.

    Args:
        frames: pieces uint8 or uint16 [n, height, width, 3] sRGB, taken one by one.
        path: the file, or for picture sequences a folder that is not there yet or is empty.
        format: a name in `DELIVERIES`.
        width: of the frames, in pixels.
        height: of the frames, in pixels.
        fps: frames a second, exactly.
        audio: the sound; taken piece by piece.
        hdr: write HDR10 instead of BT.709.
        loudness: integrated loudness to bring the sound to, in LUFS; left as it is when None.
        comment: a line to write into the file where its form has a place for one.
        timecode: of the first frame, for the timecode track of a MOV; see `media.formats.check_timecode`.
        seal: called with each finished file under its hidden name, such as to sign it.
        on_frame: called with the number of frames written so far.

    Raises:
        BadRequest: the form cannot hold this; nothing was begun.
        TimelineError: no timecode, or one that does not exist at the rate; nothing was begun.
        MediaError: the file cannot be written, or a piece has another shape; nothing is left then.
    """
    fps = Fraction(fps)
    form = check_delivery(
        format,
        width=width,
        height=height,
        fps=fps,
        hdr=hdr is not None,
        loudness=loudness,
        sound=audio is not None,
    )
    check_timecode(timecode, fps)
    target = check_target(path, form)
    part = hidden_beside(target)
    notes: list[str] = []
    if audio is not None and form.kind == "pictures":
        notes.append(f"{form.name} carries no sound: deliver wav beside it")
        audio = None
    with ExitStack() as stack:
        stack.callback(_remove, part)
        try:
            sound = None if audio is None else _Sound(audio, loudness, target.parent, stack)
            encoder = _encoder(part, target, form, width, height, fps, hdr, sound, comment, timecode)
            stack.callback(encoder.discard)
            count = 0
            for piece in frames if form.kind != "sound" else ():
                _check_piece(piece, width, height)
                for frame in piece:
                    encoder.picture(frame)
                    count += 1
                    if sound is not None:
                        sound.feed(encoder, upto=count / fps)
                    if on_frame is not None:
                        on_frame(count)
            if form.kind != "sound" and not count:
                raise MediaError(f"cannot write {target}: no frame was given")
            if sound is not None and form.kind == "sound":
                sound.feed(encoder, upto=None)
            encoder.close()
            if seal is not None:
                for made in sorted(part.iterdir()) if form.kind == "pictures" else [part]:
                    seal(made)
            if form.kind == "pictures" and target.is_dir():
                target.rmdir()  # it is empty
            part.replace(target)
        except av.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise say_os_error(target, error) from error
            raise MediaError(
                f"cannot write {target}: the encoder refuses it ({error}); take another format"
            ) from error
        except OSError as error:
            raise say_os_error(target, error) from error
    return Delivered(
        path=target,
        format=form.name,
        width=width,
        height=height,
        fps=fps,
        num_frames=count,
        sound_seconds=0.0 if sound is None else sound.given / sound.rate,
        gain=0.0 if sound is None else sound.gain,
        loudness=None if sound is None else sound.reached,
        true_peak=None if sound is None else sound.peak,
        notes=(*notes, *(() if sound is None else sound.notes)),
    )


class _Sound:
    """Sound on its way into an encoder: measured and spooled to disk first where its loudness is to be set."""

    def __init__(self, audio: Audio, loudness: float | None, folder: Path, stack: ExitStack) -> None:
        self.rate, self.given, self.gain = audio.rate, 0, 0.0
        self.reached: float | None = None
        self.peak: float | None = None
        self.notes: list[str] = []
        pieces = audio.pieces()
        first = next(pieces, None)
        self.channels = 2 if first is None else first.shape[0]
        self._pieces = _and_then(first, pieces)
        if loudness is not None:
            spool = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 (the stack closes it)
            self._normalise(loudness, spool)
        self._waiting = np.zeros((self.channels, 0), np.float32)

    def _normalise(self, wanted: float, spool: IO[bytes]) -> None:
        from filmwright.media.loudness import LoudnessMeter  # scipy's filters take half a second to load

        meter = LoudnessMeter(self.rate, self.channels)
        for piece in self._pieces:
            meter.add(piece)
            spool.write(np.ascontiguousarray(piece.T, np.float32).data)
        measured, peak = meter.integrated, meter.true_peak
        self._pieces = _spooled(spool, self.channels)
        if math.isinf(measured):
            self.notes.append("the sound is silent or shorter than 0.4 s: its loudness was left as it is")
            return
        raised = wanted - measured
        if peak + raised > PEAK:
            raised = PEAK - peak
            self.notes.append(
                f"the sound reaches {measured + raised:.1f} LUFS, not {wanted:g}: more would lift its peak over "
                f"{PEAK:g} dBTP"
            )
        self.gain = raised
        self.reached, self.peak = measured + raised, peak + raised

    def feed(self, encoder: Encoder, *, upto: Fraction | None) -> None:
        """Give the encoder sound up to a time in seconds, silence where it has ended; all of it when None."""
        if upto is None:
            for piece in self._pieces:
                self._give(encoder, piece)
            return
        need = round(upto * self.rate) - self.given
        while self._waiting.shape[1] < need:
            silence = np.zeros((self.channels, need - self._waiting.shape[1]), np.float32)
            piece = next(self._pieces, silence)
            self._waiting = np.concatenate([self._waiting, piece], axis=1)
        self._give(encoder, self._waiting[:, :need])
        self._waiting = self._waiting[:, need:]

    def _give(self, encoder: Encoder, piece: NDArray[np.float32]) -> None:
        if piece.shape[0] != self.channels:
            raise MediaError(
                f"cannot deliver sound that changes from {self.channels} channels to {piece.shape[0]}"
            )
        encoder.sound(piece * np.float32(10 ** (self.gain / 20)))
        self.given += piece.shape[1]


def _encoder(
    part: Path,
    target: Path,
    form: Delivery,
    width: int,
    height: int,
    fps: Fraction,
    hdr: Hdr | None,
    sound: _Sound | None,
    comment: str | None,
    timecode: str,
) -> Encoder:
    heard = None if sound is None else (sound.rate, sound.channels)
    if form.kind == "pictures":
        return PictureEncoder(part, target.name, form, comment)
    if form.kind == "sound":
        assert heard is not None
        return SoundEncoder(part, form, heard, comment)
    return FilmEncoder(
        part, form, width, height, fps, hdr=hdr, sound=heard, comment=comment, timecode=timecode
    )


def _check_piece(piece: NDArray[Any], width: int, height: int) -> None:
    if piece.dtype not in (np.uint8, np.uint16) or piece.ndim != 4 or piece.shape[1:] != (height, width, 3):
        raise MediaError(
            f"cannot deliver frames {piece.dtype} {list(piece.shape)}: expected uint8 or uint16 [n, {height}, "
            f"{width}, 3]"
        )


def _and_then(
    first: NDArray[np.float32] | None, rest: Iterator[NDArray[np.float32]]
) -> Iterator[NDArray[np.float32]]:
    if first is not None:
        yield first
    yield from rest


def _spooled(file: IO[bytes], channels: int) -> Iterator[NDArray[np.float32]]:
    file.seek(0)
    while content := file.read(PIECE * channels * 4):
        yield np.frombuffer(content, np.float32).reshape(-1, channels).T


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
