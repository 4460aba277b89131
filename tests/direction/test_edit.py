"""The conform: frames and samples by numbers."""

from __future__ import annotations

import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from filmwright.direction.edit.conform import conformed, fitted, joined, mixed, resized
from filmwright.direction.edit.deliver import deliver
from filmwright.direction.edit.parts import parts_of
from filmwright.direction.edit.titles import titled
from filmwright.media.joining import join_videos
from filmwright.media.lossless import LosslessWriter, stream_frames
from filmwright.media.post.grade import graded
from filmwright.media.sound import RATE, stream_sound
from filmwright.media.video import VideoWriter, read_video
from filmwright.spec.cut import Cut, CutEvent, Grade, Join, Sound, Source, Title
from filmwright.spec.errors import MediaError

SIZE = (24, 32)  # height, width


def flat(levels: list[int]) -> NDArray[np.uint8]:
    """Frames of one grey each."""
    return np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, *SIZE, 3), np.uint8)


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    """Two clips of 10 frames: greys 0, 10, ... 90, and 100, 110, ... 190."""
    made = []
    for n in range(2):
        path = tmp_path / f"{n}.mkv"
        with LosslessWriter(path, SIZE[1], SIZE[0], 16) as out:
            out.write(flat([100 * n + 10 * k for k in range(10)]))
        made.append(
            Source(shot="ab"[n], take=1, num_frames=10, fps=16, width=32, height=24, path=path, blob=str(n))
        )
    return made


def event(source: Source, start: int, **others: object) -> CutEvent:
    values: dict[str, object] = {"source_start": 0, "num_source_frames": 10, "num_frames": 10} | others
    return CutEvent(source=source, record_start=start, **values)  # type: ignore[arg-type]


def cut(*events: CutEvent, **others: object) -> Cut:
    return Cut(title="x", fps=16, width=32, height=24, events=events, **others)  # type: ignore[arg-type]


def greys(frames: object) -> list[int]:
    """The one grey of each frame, which must have one."""
    found = []
    for frame in frames:  # type: ignore[attr-defined]
        assert (frame == frame[0, 0, 0]).all()
        found.append(int(frame[0, 0, 0]))
    return found


def test_lossless_files_hold_frames_to_the_bit_and_are_the_same_twice(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 48, 80, 3), np.uint8)
    for name in ("one.mkv", "two.mkv"):
        with LosslessWriter(tmp_path / name, 80, 48, 24) as out:
            out.write(frames[:2])
            out.write(frames[2:])
    assert (np.stack(list(stream_frames(tmp_path / "one.mkv"))) == frames).all()
    assert (tmp_path / "one.mkv").read_bytes() == (tmp_path / "two.mkv").read_bytes()
    assert (read_video(tmp_path / "one.mkv")[0] == frames).all()  # a prefix is read so
    with pytest.raises(MediaError, match="missing or damaged"):
        list(stream_frames(tmp_path / "three.mkv"))


def test_a_cut_plays_its_stretches(sources: list[Source]) -> None:
    a, b = sources
    film = cut(event(a, 0, source_start=2, num_source_frames=3, num_frames=3), event(b, 3))
    assert greys(conformed(film)) == [20, 30, 40, 100, 110, 120, 130, 140, 150, 160, 170, 180, 190]


def test_speed_leaves_frames_out_or_repeats_them(sources: list[Source]) -> None:
    fast = cut(event(sources[0], 0, speed=2.0, num_frames=5))
    slow = cut(event(sources[0], 0, speed=0.5, source_start=1, num_source_frames=3, num_frames=6))
    assert greys(conformed(fast)) == [0, 20, 40, 60, 80]
    assert greys(conformed(slow)) == [10, 10, 20, 20, 30, 30]


def test_a_source_of_another_rate_keeps_its_time(sources: list[Source]) -> None:
    half = replace(sources[0], fps=8)
    assert greys(conformed(cut(event(half, 0, num_frames=6)))) == [0, 0, 10, 10, 20, 20]


def test_a_dissolve_mixes_evenly_between_the_neighbours(sources: list[Source]) -> None:
    a, b = sources
    film = cut(event(a, 0), event(b, 7, join=Join(kind="dissolve", num_frames=3)))
    # frames 7, 8, 9: 70 and 100, 80 and 110, 90 and 120, by 1/4, 2/4, 3/4
    assert greys(conformed(film))[6:11] == [60, 78, 95, 113, 130]
    assert film.num_frames == 17


@pytest.mark.parametrize(
    ("direction", "new"),
    [
        ("right", np.s_[:, :8]),
        ("left", np.s_[:, 24:]),
        ("down", np.s_[:6, :]),
        ("up", np.s_[18:, :]),
    ],
)
def test_a_wipe_moves_its_edge(direction: str, new: tuple[slice, slice]) -> None:
    old = np.zeros((*SIZE, 3), np.uint8)
    picture = joined(old, old + 200, Join(kind="wipe", num_frames=3, direction=direction), 0.25)  # type: ignore[arg-type]
    expected = old.copy()
    expected[new] = 200
    assert (picture == expected).all()


def test_fades_start_and_end_on_their_colour(sources: list[Source]) -> None:
    film = cut(event(sources[1], 0, fade_in=4, fade_out=2, fade_color="#640000"))
    frames = list(conformed(film))
    assert [tuple(frames[n][0, 0]) for n in (0, 1, 4, 7, 8, 9)] == [
        (100, 0, 0),
        (103, 28, 28),  # a quarter of 110, three quarters of the colour: 102.5 is rounded up
        (140, 140, 140),
        (170, 170, 170),
        (140, 90, 90),  # half of 180
        (100, 0, 0),
    ]


def test_cdl_is_slope_offset_power_then_saturation() -> None:
    frame = np.array([[[51, 102, 204]]], np.uint8)
    grade = Grade(slope=(1.5, 1.0, 0.5), offset=(0.1, 0.0, -0.1), power=(1.0, 2.0, 1.0))
    assert graded(frame, grade).tolist() == [
        [[102, 41, 77]]
    ]  # 0.2*1.5+0.1, 0.4**2, 0.8*0.5-0.1, each times 255
    grey = graded(frame, Grade(saturation=0.0))[0, 0]
    luma = 0.2126 * 51 + 0.7152 * 102 + 0.0722 * 204
    assert abs(grey.astype(float) - luma).max() <= 0.5
    assert graded(frame, Grade()) is frame


def test_cube_tables_are_followed_and_are_linear_between_entries(tmp_path: Path) -> None:
    swap, curve = tmp_path / "swap.cube", tmp_path / "curve.cube"
    rows = [
        f"{b} {g} {r}" for b in (0, 1) for g in (0, 1) for r in (0, 1)
    ]  # red fastest; red and blue change places
    swap.write_text("TITLE x\n# words\nLUT_3D_SIZE 2\n" + "\n".join(rows) + "\n")
    curve.write_text("LUT_1D_SIZE 3\n0 0 0\n0.25 0.5 1\n1 1 1\n")
    frame = np.array([[[51, 102, 204]]], np.uint8)
    assert graded(frame, Grade(lut=swap)).tolist() == [[[204, 102, 51]]]
    # 0.2, 0.4, 0.8 between entries at 0, 0.5 and 1: 0.1, 0.4, 1.0
    assert np.abs(graded(frame, Grade(lut=curve)).astype(int) - [[[26, 102, 255]]]).max() <= 1


def test_titles_show_when_and_where_they_should() -> None:
    frame = np.full((120, 200, 3), 100, np.uint8)
    title = Title(
        text="Filmwright", record_start=4, num_frames=6, place="lower", size=0.2, color="#ffff00", fade=2
    )
    assert titled(frame, 3, title) is frame
    assert titled(frame, 10, title) is frame
    changed = [np.abs(titled(frame, n, title).astype(int) - 100).sum() for n in range(4, 10)]
    assert changed[2] == changed[3] == max(changed)
    assert changed[0] == pytest.approx(changed[2] / 3, rel=0.05)
    shown = titled(frame, 6, title)
    rows, columns = np.nonzero((shown != 100).any(axis=-1))
    assert rows.min() > 60
    assert rows.max() < 120 * 0.95
    assert abs((columns.min() + columns.max()) / 2 - 99.5) <= 2
    assert (shown == [255, 255, 0]).all(axis=-1).any()
    long = titled(frame, 6, replace(title, text="a very long title that does not fit at this size"))
    assert np.nonzero((long != 100).any(axis=(0, 2)))[0].min() > 5


def test_frames_are_cropped_to_fill_another_size() -> None:
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:, 5:35] = 200
    assert (resized(frame, 10, 10) == 200).all()
    assert resized(frame, 40, 20) is frame


def test_another_rate_shows_the_frame_of_each_moment(sources: list[Source]) -> None:
    film = cut(event(sources[0], 0))
    assert greys(fitted(conformed(film), film, 32, 24, 8)) == [0, 20, 40, 60, 80]
    assert greys(fitted(conformed(film), film, 32, 24, 32))[:5] == [0, 0, 10, 10, 20]


@given(data=st.data())
def test_parts_together_are_the_whole(data: st.DataObject) -> None:
    """Any edit, in parts: each frame of the film is in one part, where the same events play the same frames."""
    base = Source(shot="a", take=1, num_frames=40, fps=16, width=32, height=24)
    events: list[CutEvent] = []
    for n in range(data.draw(st.integers(1, 5))):
        length = data.draw(st.integers(8, 30))
        join = data.draw(st.integers(0, 4)) if n else 0
        start = (events[-1].record_end if events else 0) - join
        how = Join(kind="dissolve", num_frames=join) if join else None
        events.append(
            event(replace(base, take=n + 1), start, num_frames=length, num_source_frames=length, join=how)
        )
    whole = cut(*events)

    def playing(film: Cut, index: int) -> list[tuple[int, int]]:
        return [
            (e.source.take, e.source_frame(index - e.record_start, 16))
            for e in film.events
            if e.record_start <= index < e.record_end
        ]

    seen = [playing(part.cut, n) for part in parts_of(whole) for n in range(part.num_frames)]
    assert seen == [playing(whole, n) for n in range(whole.num_frames)]
    assert next(part.start for part in parts_of(whole)) == 0


def test_coded_parts_join_to_the_same_frames_as_they_have_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (40, 6, 8, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    parts, at = [], 0
    for n, length in enumerate((1, 2, 3, 9, 25)):
        path = tmp_path / f"{n}.mp4"
        with VideoWriter(path, 64, 48, 24) as video:
            video.write(noise[at : at + length])
        parts.append((path, at))
        at += length
    join_videos(parts, tmp_path / "all.mp4", fps=24)
    frames, rate = read_video(tmp_path / "all.mp4")
    assert rate == 24
    assert (frames == np.concatenate([read_video(path)[0] for path, _ in parts])).all()
    with VideoWriter(tmp_path / "other.mp4", 32, 48, 24) as video:
        video.write(noise[:3, :, :32])
    with pytest.raises(MediaError, match="coded otherwise"):
        join_videos([*parts, (tmp_path / "other.mp4", at)], tmp_path / "none.mp4", fps=24)
    assert not (tmp_path / "none.mp4").exists()


def tone(path: Path, level: float, seconds: float, rate: int = 16_000) -> Path:
    """A mono file of a 1 kHz sine."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        t = np.arange(round(seconds * rate)) / rate
        file.writeframes((level * np.sin(2 * np.pi * 1000 * t) * 32767).astype("<i2").tobytes())
    return path


def peak(samples: NDArray[np.float32], start: float, end: float) -> float:
    """The loudest sample of both channels between two times in seconds."""
    return float(np.abs(samples[:, round(start * RATE) : round(end * RATE)]).max())


def test_sounds_have_their_times_levels_and_fades(tmp_path: Path, sources: list[Source]) -> None:
    file = tone(tmp_path / "tone.wav", 0.5, 2.0)
    film = cut(
        event(sources[0], 0, speed=0.25, num_frames=40),  # 2.5 s
        sounds=(
            Sound(
                path=file,
                digest="x",
                at=0.5,
                start=0.25,
                seconds=1.5,
                level=-6.0206,
                fade_in=0.5,
                fade_out=0.5,
            ),
        ),
    )
    samples = np.concatenate(list(mixed(film, seconds=0.3)), axis=1)
    assert samples.shape == (2, 120_000)
    assert (samples[0] == samples[1]).all()
    assert peak(samples, 0, 0.5) == 0
    assert peak(samples, 0.74, 0.76) == pytest.approx(0.125, rel=0.05)  # half of the fade, half of the level
    assert peak(samples, 1.1, 1.4) == pytest.approx(0.25, rel=0.02)
    assert peak(samples, 1.74, 1.76) == pytest.approx(0.125, rel=0.05)
    assert peak(samples, 2.0, 2.5) < 1e-4
    twice = replace(film, sounds=(*film.sounds, *film.sounds))
    assert peak(np.concatenate(list(mixed(twice)), axis=1), 1.1, 1.4) == pytest.approx(0.5, rel=0.02)
    loud = replace(film, sounds=(replace(film.sounds[0], level=24.0),))
    assert peak(np.concatenate(list(mixed(loud)), axis=1), 1.1, 1.4) == 1.0


def test_sound_comes_out_of_the_film_as_it_went_in(tmp_path: Path, sources: list[Source]) -> None:
    film = cut(
        event(sources[0], 0, speed=0.25, num_frames=40),
        sounds=(Sound(path=tone(tmp_path / "tone.wav", 0.5, 9.0), digest="x", at=1.0),),
    )
    target = tmp_path / "film.mp4"
    deliver(conformed(film), target, format="h264", width=32, height=24, fps=Fraction(16), audio=mixed(film))
    samples = np.concatenate(list(stream_sound(target)), axis=1)
    assert samples.shape[1] / RATE == pytest.approx(2.5, abs=0.05)
    assert peak(samples, 0.1, 0.95) < 0.01
    assert peak(samples, 1.1, 2.4) == pytest.approx(0.5, rel=0.05)
    assert greys([np.full((1, 1, 3), frame[12, 16, 0]) for frame in read_video(target)[0]])[
        -1
    ] == pytest.approx(90, abs=2)
    with pytest.raises(MediaError, match="holds no sound"):
        list(stream_sound(sources[0].path or ""))
