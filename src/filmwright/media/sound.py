"""Sound: of files that FFmpeg decodes, as float32 [2, n] at 48 kHz, piece by piece; and fitted to a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from filmwright.spec.clip import Sound
from filmwright.spec.errors import MediaError

__all__ = ["RATE", "fit_sound", "sound_seconds", "stereo", "stream_sound"]

RATE = 48_000


def stream_sound(path: Path | str) -> Iterator[NDArray[np.float32]]:
    """The sound of a file, float32 [2, n] at 48 kHz with any n, in constant memory; mono goes to both channels alike.

    Raises:
        MediaError: missing, broken, or without sound.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError(f"cannot hear {path}: it holds no sound")
            stream = container.streams.audio[0]
            # FFmpeg takes 3 dB off a mono sound that becomes stereo: here it stays mono until it is doubled
            layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
            resampler = AudioResampler(format="fltp", layout=layout, rate=RATE)
            for frame in container.decode(stream):
                yield from _pieces(resampler.resample(frame))
            yield from _pieces(resampler.resample(None))
    except OSError as error:
        reason = (
            "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        )
        raise MediaError(f"cannot read {path}: {reason.lower()}; give a sound file") from error
    except (ValueError, av.FFmpegError) as error:
        raise MediaError(f"cannot read {path}: it is broken or no sound; give a sound file") from error


def sound_seconds(path: Path | str) -> float:
    """How long a file's sound plays: as its header says, else counted.

    Raises:
        MediaError: missing, broken, or without sound.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0] if container.streams.audio else None
            if stream is not None and stream.duration is not None and stream.time_base is not None:
                return float(stream.duration) * float(stream.time_base)
    except OSError as error:
        reason = (
            "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        )
        raise MediaError(f"cannot read {path}: {reason.lower()}; give a sound file") from error
    except (ValueError, av.FFmpegError) as error:
        raise MediaError(f"cannot read {path}: it is broken or no sound; give a sound file") from error
    return float(sum(piece.shape[1] for piece in stream_sound(path))) / RATE


def fit_sound(sound: Sound, seconds: float) -> Sound:
    """A sound that plays as long as its picture: cut, or with silence after it."""
    count = round(seconds * sound.rate)
    more = max(count - sound.samples.shape[1], 0)
    return Sound(samples=np.pad(sound.samples[:, :count], ((0, 0), (0, more))), rate=sound.rate)


def stereo(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples [2, n] of [1, n], which goes to both channels alike, or of [2, n].

    Raises:
        MediaError: more channels.
    """
    if samples.shape[0] > 2:
        raise MediaError(f"a clip has one channel of sound or two, not {samples.shape[0]}")
    return samples if samples.shape[0] == 2 else np.repeat(samples, 2, axis=0)


def _pieces(frames: list[AudioFrame]) -> Iterator[NDArray[np.float32]]:
    for frame in frames:
        yield stereo(np.asarray(frame.to_ndarray(), dtype=np.float32))
