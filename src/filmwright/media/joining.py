"""Videos one after the other in one file, their packets copied: nothing is decoded or coded again.

The parts must come from one encoder with the same settings, so that one header (SPS and PPS of H.264) serves all; each
starts with a frame that needs no other. Their time stamps are shifted to where they stand in the whole; the times of
decoding are counted anew, since an encoder delays a short part less than a long one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from filmwright.media.files import check_output, hidden_beside, say_os_error
from filmwright.media.video import AUDIO_BITS, audio_frame
from filmwright.spec.errors import MediaError

__all__ = ["join_videos"]

DELAY = 2  # frames that decoding runs ahead of showing, at most, with B-frames that others refer to


def join_videos(
    parts: Sequence[tuple[Path, int]],
    target: Path,
    *,
    fps: int,
    audio: Iterator[NDArray[np.float32]] | None = None,
    audio_rate: int = 48_000,
    comment: str | None = None,
) -> None:
    """Writes `target` (.mp4) from parts, each a file and its first frame in the whole, and sound, float32 [2, n].

    `comment` is written into the file.

    Raises:
        MediaError: a part is missing or coded otherwise, or the target cannot be written.
    """
    check_output(target, suffixes=(".mp4",))
    aside = hidden_beside(target)
    try:
        with av.open(str(aside), "w", options={"movflags": "+faststart"}) as out:
            if comment:
                out.metadata["comment"] = comment
            with av.open(str(parts[0][0])) as first:
                head = first.streams.video[0].codec_context.extradata
                stream = out.add_stream_from_template(first.streams.video[0])
            sound = None
            if audio is not None:
                sound = out.add_stream("aac", rate=audio_rate, layout="stereo")
                sound.codec_context.bit_rate = AUDIO_BITS
            samples, decoded = 0, 0
            for path, start in parts:
                while audio is not None and sound is not None and samples < (start / fps) * audio_rate:
                    piece = next(audio, None)
                    if piece is None:
                        break
                    out.mux(sound.encode(audio_frame(piece, samples, audio_rate)))
                    samples += piece.shape[1]
                with av.open(str(path)) as part:
                    video = part.streams.video[0]
                    assert video.time_base is not None
                    one = 1 / (fps * video.time_base)  # ticks a frame
                    if video.codec_context.extradata != head or one.denominator != 1:
                        raise MediaError(
                            f"cannot join {path}: it is coded otherwise than the parts before it"
                        )
                    tick = one.numerator
                    for packet in part.demux(video):
                        if packet.pts is None:
                            continue
                        packet.pts += start * tick
                        packet.dts = (decoded - DELAY) * tick
                        decoded += 1
                        if packet.dts > packet.pts:
                            raise MediaError(
                                f"cannot join {path}: its frames are coded too far from their order"
                            )
                        packet.stream = stream
                        out.mux(packet)
            if audio is not None and sound is not None:
                for piece in audio:
                    out.mux(sound.encode(audio_frame(piece, samples, audio_rate)))
                    samples += piece.shape[1]
                out.mux(sound.encode(None))
        aside.replace(target)
    except OSError as error:
        raise say_os_error(target, error) from error
    finally:
        aside.unlink(missing_ok=True)
