"""The conform: a cut becomes frames and sound, in constant memory, each source read once from its lossless file.

Dissolves, wipes and fades mix code values, as editors do. In a transition of n frames, frame k (from 0) shows the new
picture by (k + 1) / (n + 1), so that neither end repeats a neighbour. A fade's first or last frame is its colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from filmwright.direction.edit.titles import titled
from filmwright.media.lossless import stream_frames
from filmwright.media.post.grade import graded
from filmwright.media.sound import RATE, sound_seconds, stream_sound
from filmwright.spec.cut import Cut, CutEvent, Join, Sound
from filmwright.spec.errors import MediaError

__all__ = ["conformed", "fitted", "mixed", "resized"]

Frame = NDArray[np.uint8]


def conformed(cut: Cut, num_frames: int | None = None) -> Iterator[Frame]:
    """The film's frames, uint8 [H,W,3] each, in order; the first `num_frames`, or all.

    Raises:
        MediaError: a source is missing or damaged, or a font or table cannot be read.
    """
    playing: list[_Player] = []
    coming = list(cut.events)
    for index in range(cut.num_frames if num_frames is None else num_frames):
        while coming and coming[0].record_start <= index:
            playing.append(_Player(coming.pop(0), cut))
        for over in [player for player in playing if player.event.record_end <= index]:
            over.close()
            playing.remove(over)
        frame = playing[0].frame(index)
        for player in playing[1:]:
            join = player.event.join
            assert join is not None
            share = (index - player.event.record_start + 1) / (join.num_frames + 1)
            frame = joined(frame, player.frame(index), join, share)
        for title in cut.titles:
            frame = titled(frame, index, title)
        yield frame
    for player in playing:
        player.close()


def joined(old: Frame, new: Frame, join: Join, share: float) -> Frame:
    """Two pictures [H,W,3] in a transition of which `share` (0 to 1) is over."""
    height, width, _ = old.shape
    if join.kind == "dissolve":
        weight: NDArray[np.float32] | float = share
    else:
        across = join.direction in {"left", "right"}
        length = width if across else height
        ramp = np.clip(share * length - np.arange(length, dtype=np.float32), 0, 1)
        if join.direction in {"left", "up"}:
            ramp = ramp[::-1]
        weight = ramp[None, :, None] if across else ramp[:, None, None]
    mixed = old.astype(np.float32) * (1 - weight) + new.astype(np.float32) * weight
    return (mixed + 0.5).astype(np.uint8)


def fitted(
    frames: Iterator[Frame], cut: Cut, width: int, height: int, fps: Fraction | int
) -> Iterator[Frame]:
    """A cut's frames at another size and rate: the frame that shows at each moment, none made up."""
    index = -1
    frame: Frame | None = None
    for n in range(max(round(cut.num_frames * fps / cut.fps), 1)):
        wanted = min(n * cut.fps // fps, cut.num_frames - 1)
        while index < wanted or frame is None:
            frame = resized(next(frames), width, height)
            index += 1
        yield frame


def resized(frame: Frame, width: int, height: int) -> Frame:
    """A picture [H,W,3] at another size: it fills it, and what sticks out is cropped away evenly."""
    have_height, have_width, _ = frame.shape
    if (have_width, have_height) == (width, height):
        return frame
    aspect = width / height
    crop_width = min(have_width, have_height * aspect)
    crop_height = min(have_height, have_width / aspect)
    left, top = (have_width - crop_width) / 2, (have_height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    picture = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS, box=box)
    return np.asarray(picture, dtype=np.uint8)


class _Player:
    """Plays one event: its source, forwards, at its speed, in the film's size, graded and faded."""

    def __init__(self, event: CutEvent, cut: Cut) -> None:
        self.event, self.cut = event, cut
        if event.source.path is None:
            raise MediaError(f"shot {event.source.shot} is not rendered: build the film")
        self._frames = stream_frames(event.source.path)
        self._at = -1
        self._shown: Frame | None = None
        self._color = np.array([int(event.fade_color[i : i + 2], 16) for i in (1, 3, 5)], np.float32)

    def frame(self, index: int) -> Frame:
        """The picture at record frame `index`, which never goes back."""
        event, at = self.event, index - self.event.record_start
        wanted = event.source_frame(at, self.cut.fps)
        raw: Frame | None = None
        while self._at < wanted:
            raw = next(self._frames, None)
            if raw is None:
                raise MediaError(
                    f"{event.source.path} ends before frame {wanted}: it is damaged; build the film again"
                )
            self._at += 1
        if raw is not None:
            self._shown = graded(resized(raw, self.cut.width, self.cut.height), event.grade)
        assert self._shown is not None
        share = 1.0
        if at < event.fade_in:
            share = at / event.fade_in
        if (left := event.num_frames - 1 - at) < event.fade_out:
            share = min(share, left / event.fade_out)
        if share == 1.0:
            return self._shown
        return (self._shown * share + self._color * (1 - share) + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Lets the file go."""
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()


def mixed(cut: Cut, seconds: float = 1.0) -> Iterator[NDArray[np.float32]]:
    """The film's sound, float32 [2, n] at 48 kHz in pieces of `seconds`, as long as the pictures.

    What several sounds say at once is added up, and what is louder than full scale is cut off there.

    Raises:
        MediaError: a sound file is missing or broken.
    """
    total = round(cut.seconds * RATE)
    tracks = [_Track(sound, cut) for sound in cut.sounds]
    step = max(round(seconds * RATE), 1)
    for start in range(0, total, step):
        mix = np.zeros((2, min(step, total - start)), np.float32)
        for track in tracks:
            track.add(mix, start)
        yield np.clip(mix, -1, 1)


class _Track:
    """One sound file on its way into the mix."""

    def __init__(self, sound: Sound, cut: Cut) -> None:
        self.sound = sound
        self.begin = round(sound.at * RATE)
        room = round(cut.seconds * RATE) - self.begin
        file = round((sound_seconds(sound.path) - sound.start) * RATE)
        wanted = file if sound.seconds is None else min(round(sound.seconds * RATE), file)
        self.length = max(min(wanted, room), 0)
        self.gain = 10 ** (sound.level / 20)
        self._pieces = stream_sound(sound.path)
        self._rest = np.zeros((2, 0), np.float32)
        self._skip = round(sound.start * RATE)

    def add(self, mix: NDArray[np.float32], start: int) -> None:
        """Adds what sounds from sample `start` of the film on to `mix` [2, n]."""
        first, last = max(start, self.begin), min(start + mix.shape[1], self.begin + self.length)
        if first >= last:
            return
        samples = self._next(last - first)
        at = np.arange(first - self.begin, first - self.begin + samples.shape[1], dtype=np.float32)
        gain = np.full(at.shape, self.gain, np.float32)
        if self.sound.fade_in:
            gain *= np.clip(at / (self.sound.fade_in * RATE), 0, 1)
        if self.sound.fade_out:
            gain *= np.clip((self.length - at) / (self.sound.fade_out * RATE), 0, 1)
        mix[:, first - start : first - start + samples.shape[1]] += samples * gain

    def _next(self, count: int) -> NDArray[np.float32]:
        """The next `count` samples, fewer where the file ends."""
        while self._skip or self._rest.shape[1] < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            cut = min(self._skip, piece.shape[1])
            self._skip -= cut
            self._rest = np.concatenate([self._rest, piece[:, cut:]], axis=1)
        taken, self._rest = self._rest[:, :count], self._rest[:, count:]
        return taken
