from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from PIL import Image

from filmwright.media.boxes import boxes_of
from filmwright.media.deliver import DELIVERIES, Audio, Hdr, deliver
from filmwright.media.formats import check_timecode
from filmwright.media.source import fitted, open_source
from filmwright.media.video import probe
from filmwright.spec.errors import BadRequest, MediaError, TimelineError

FPS = Fraction(24000, 1001)
FILMS = [name for name, form in DELIVERIES.items() if form.kind == "film"]
# R'G'B' and its Y'CbCr by BT.709, limited range, 8 bit, from the equations of the recommendation
COLOURS = {
    (200, 60, 20): (90.6, 96.3, 191.1),
    (128, 128, 128): (125.9, 128, 128),
    (20, 120, 220): (107.0, 182.0, 80.0),
}


def flat(colour: tuple[int, int, int], count: int = 6, size: tuple[int, int] = (256, 128)) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (count, size[1], size[0], 3)).copy()


def tone(seconds: float, level: float, rate: int = 48_000, channels: int = 2) -> np.ndarray:
    wave = 10 ** (level / 20) * np.sin(2 * np.pi * 997 * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def made(tmp_path: Path, form: str, frames: np.ndarray, **more: object) -> Path:
    path = tmp_path / f"film{DELIVERIES[form].suffix if DELIVERIES[form].kind != 'pictures' else ''}"
    height, width = frames.shape[1:3]
    deliver([frames[:4], frames[4:]], path, format=form, width=width, height=height, fps=FPS, **more)  # type: ignore[arg-type]
    return path


def levels(path: Path) -> tuple[float, ...]:
    """The mean of each plane of the third frame, in levels of 8 bit."""
    with av.open(str(path)) as container:
        frame = list(container.decode(container.streams.video[0]))[2]
        deep = "10" in frame.format.name
        rows = [
            np.frombuffer(p, np.uint16 if deep else np.uint8).reshape(p.height, -1)[:, : p.width]
            for p in frame.planes
        ]
    return tuple(float(r.mean()) / (4 if deep else 1) for r in rows)


def entry_boxes(path: Path) -> dict[str, bytes]:
    """Boxes of the video's sample entry: name -> content."""
    data = path.read_bytes()
    found = [b for b in boxes_of(data) if "/stsd/" in b.path and b.path.count("/") == 7]
    return {b.path.rpartition("/")[2]: data[b.content : b.end] for b in found}


@pytest.mark.parametrize("form", FILMS)
def test_codec_tags_rate_and_colour_are_read_back(tmp_path: Path, form: str) -> None:
    expected = DELIVERIES[form]
    path = made(tmp_path, form, flat((200, 60, 20)), audio=Audio(samples=tone(1, -20), rate=48_000))
    info = probe(path)
    assert (info.matrix, info.primaries, info.transfer, info.value_range) == ("bt709",) * 3 + ("limited",)
    assert info.pixel_format == expected.pixels
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.average_rate, video.frames) == (FPS, 6)
        assert video.codec_context.codec_tag == expected.tag
        assert sound.codec_context.name == expected.sound
        assert sound.rate == 48_000
        assert float(sound.duration * sound.time_base) == pytest.approx(
            6 / FPS, abs=0.03
        )  # the film's, not 1 s
        times = [frame.pts * frame.time_base for frame in container.decode(video)]
    assert times == [i / FPS for i in range(6)]  # exact, so that an hour of 23.976 does not drift
    colr = entry_boxes(path)["colr"]
    assert struct.unpack(">3H", colr[4:10]) == (1, 1, 1)
    for colour, wanted in COLOURS.items():
        path = made(tmp_path, form, flat(colour))
        assert levels(path) == pytest.approx(wanted, abs=1.2), colour


@pytest.mark.parametrize("form", FILMS)
def test_a_mov_has_a_timecode_track(tmp_path: Path, form: str) -> None:
    for asked in (None, "10:20:30:05"):
        more = {} if asked is None else {"timecode": asked}
        path = made(tmp_path, form, flat((200, 60, 20)), **more)
        wanted = (asked or "01:00:00:00") if DELIVERIES[form].timed else None
        assert open_source(path).timecode == wanted
        with av.open(str(path)) as container:
            told = [stream.metadata.get("timecode") for stream in container.streams if stream.type == "data"]
        assert told == ([wanted] if wanted else [])


@pytest.mark.parametrize(
    ("text", "fps", "told"),
    [
        ("1:00:00:00", 24, "is no timecode; it has the form 01:00:00:00"),
        ("24:00:00:00", 24, "timecode 24:00:00:00 does not exist at 24"),
        ("01:00:00:24", 24, "does not exist at 24 frames a second"),
        ("01:00:00;00", 25, "drop frames exist at 29.97 and 59.94 only, not at 25"),
        ("01:01:00;00", Fraction(30000, 1001), "is dropped"),
    ],
)
def test_what_is_no_timecode_is_refused(text: str, fps: int, told: str) -> None:
    with pytest.raises(TimelineError, match=told):
        check_timecode(text, Fraction(fps))


def test_timecodes_that_are() -> None:
    assert check_timecode("01:01:00;02", Fraction(30000, 1001)) == "01:01:00;02"
    assert check_timecode("23:59:59:23", Fraction(24000, 1001)) == "23:59:59:23"
    assert check_timecode("01:00:00:12", Fraction(25, 2)) == "01:00:00:12"  # no rate of a timeline


PROFILES = {"h264": "High", "h265": "Main", "h265-10": "Main 10", "av1": "Main", "av1-10": "Main",
            "prores-422-hq": "HQ", "dnxhr-hqx": "DNXHR HQX"}  # fmt: skip


@pytest.mark.parametrize("form", FILMS)
def test_the_profile_is_the_one_that_was_ordered(tmp_path: Path, form: str) -> None:
    with av.open(str(made(tmp_path, form, flat((9, 9, 9))))) as container:
        assert container.streams.video[0].codec_context.profile == PROFILES[form]


def test_ten_bit_has_the_levels_between(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    frames = np.broadcast_to(ramp[None, None, :, None], (6, 128, 256, 3)).copy()
    with av.open(str(made(tmp_path, "prores-422-hq", frames))) as container:
        frame = next(container.decode(container.streams.video[0]))
        luma = np.frombuffer(frame.planes[0], np.uint16).reshape(128, -1)[:, :256]
    assert len(np.unique(luma[64])) > 235  # 8 bit limited range has 220 levels
    assert luma[:, -1].mean() == pytest.approx(940, abs=1.5)
    back = next(open_source(tmp_path / "film.mov").frames())
    assert back.dtype == np.uint16
    assert np.abs(back[0].astype(float) - frames[0]).mean() / 65535 < 0.002


def pq_level(nits: float) -> float:
    """10-bit limited luma of a grey of so many cd/m2, straight from SMPTE ST 2084."""
    y = (nits / 10000) ** (2610 / 16384)
    return 64 + 876 * ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


@pytest.mark.parametrize("form", ["h265-10", "av1-10"])
def test_hdr10_puts_white_at_203_and_says_so_everywhere(tmp_path: Path, form: str) -> None:
    path = made(tmp_path, form, flat((255, 255, 255)), hdr=Hdr())
    info = probe(path)
    assert (info.matrix, info.primaries, info.transfer) == ("bt2020nc", "bt2020", "smpte2084")
    assert levels(path)[0] * 4 == pytest.approx(pq_level(203), abs=1)
    assert pq_level(203) == pytest.approx(64 + 876 * 0.58, abs=2)  # BT.2408, table 1: 58 %
    grey = made(tmp_path, form, flat((128, 128, 128)), hdr=Hdr())
    assert levels(grey)[0] * 4 == pytest.approx(pq_level(203 * 0.21586), abs=1)  # sRGB 128 is 21.586 % light
    with av.open(str(path)) as container:
        kinds = [side.type for side in next(container.decode(container.streams.video[0])).side_data]
    assert Type.MASTERING_DISPLAY_METADATA in kinds
    assert Type.CONTENT_LIGHT_LEVEL in kinds
    boxes = entry_boxes(path)
    assert struct.unpack(">3H", boxes["colr"][4:10]) == (9, 16, 9)
    assert struct.unpack(">2H", boxes["clli"]) == (203, 203)
    green, peak = struct.unpack(">2H", boxes["mdcv"][:4]), struct.unpack(">2I", boxes["mdcv"][16:])
    assert green == (13250, 34500)
    assert peak == (10_000_000, 1)


def test_saturated_red_keeps_its_light_and_hue_in_bt2020(tmp_path: Path) -> None:
    path = made(tmp_path, "h265-10", flat((255, 0, 0)), hdr=Hdr())
    rgb = [pq_level(203 * share) for share in (0.6274, 0.0691, 0.0164)]  # BT.2087, the column of red
    signal = [(level - 64) / 876 for level in rgb]
    y = 0.2627 * signal[0] + 0.6780 * signal[1] + 0.0593 * signal[2]
    expected = (64 + 876 * y, 512 + 896 * (signal[2] - y) / 1.8814, 512 + 896 * (signal[0] - y) / 1.4746)
    assert [4 * level for level in levels(path)] == pytest.approx(expected, abs=2)


def test_png_sequences_are_lossless_and_numbered(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 48, 3), dtype=np.uint8)
    folder = made(tmp_path, "png", frames, comment="a line")
    names = sorted(p.name for p in folder.iterdir())
    assert names == [f"film.{i:06d}.png" for i in range(1, 7)]
    with Image.open(folder / names[4]) as picture:
        assert (np.asarray(picture) == frames[4]).all()
        assert "srgb" in picture.info
        assert picture.info["Comment"] == "a line"
    deep = np.full((6, 16, 16, 3), 12345, np.uint16)
    (tmp_path / "deep").mkdir()
    with av.open(str(made(tmp_path / "deep", "png", deep) / "film.000001.png")) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "rgb48be"
    assert (frame.to_ndarray() == 12345).all()


def test_exr_holds_linear_light_in_half_floats(tmp_path: Path) -> None:
    folder = made(tmp_path, "exr", flat((255, 128, 0), size=(32, 16)))
    file = folder / "film.000006.exr"
    header = file.read_bytes()[:400]
    assert header[:4] == bytes.fromhex("762f3101")
    at = header.index(b"chlist\0") + 7 + 4  # then each channel: name, 0, type (1 is half)
    assert header[at : at + 2] + header[at + 2 : at + 6] == b"B\0" + struct.pack("<I", 1)
    with av.open(str(file)) as container:
        green, blue, red = (np.frombuffer(p, np.float16)[0] for p in next(container.decode(video=0)).planes)
    assert (red, green, blue) == pytest.approx((1.0, 0.21586, 0.0), abs=2e-4)


def test_wav_is_24_bit_at_48_khz_sample_for_sample(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, (2, 5000)).astype(np.float32)
    path = tmp_path / "a.wav"
    result = deliver(
        (), path, format="wav", width=0, height=0, fps=Fraction(24), audio=Audio(samples=sound, rate=48_000)
    )
    data = path.read_bytes()
    at = data.index(b"fmt ") + 8
    assert struct.unpack("<H", data[at + 2 : at + 4])[0] == 2
    assert struct.unpack("<I", data[at + 4 : at + 8])[0] == 48_000
    assert struct.unpack("<H", data[at + 14 : at + 16])[0] == 24
    start = data.index(b"data") + 8
    raw = np.frombuffer(data[start : start + 30_000], np.uint8).reshape(-1, 2, 3).astype(np.int32)
    values = (raw[..., 0] | raw[..., 1] << 8 | raw[..., 2] << 16) << 8 >> 8
    assert np.abs(values.T / 2**23 - sound).max() < 2 / 2**23
    assert result.sound_seconds == pytest.approx(5000 / 48_000)


def test_sound_that_comes_in_pieces_is_normalised_as_a_whole(tmp_path: Path) -> None:
    def pieces() -> Iterator[np.ndarray]:
        for level in (-30, -20, -30, -20):
            yield tone(1, level)

    path = tmp_path / "a.wav"
    result = deliver(
        (),
        path,
        format="wav",
        width=0,
        height=0,
        fps=Fraction(24),
        audio=Audio(samples=pieces(), rate=48_000),
        loudness=-16,
    )
    assert result.loudness == pytest.approx(-16)
    assert result.notes == ()
    again = deliver((), tmp_path / "b.wav", format="wav", width=0, height=0, fps=Fraction(24),
                    audio=Audio(samples=wav(path), rate=48_000), loudness=-16)  # fmt: skip
    assert again.gain == pytest.approx(0, abs=0.01)


def wav(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        pieces = [frame.to_ndarray().reshape(-1, 2).T for frame in container.decode(audio=0)]
    return (np.concatenate(pieces, axis=1) / 2**31).astype(np.float32)


def test_a_peak_stops_the_gain_and_the_result_says_so(tmp_path: Path) -> None:
    sound = tone(2, -40)
    sound[:, 1000] = 0.5  # a click at -6 dBFS
    result = deliver(
        (),
        tmp_path / "a.wav",
        format="wav",
        width=0,
        height=0,
        fps=Fraction(24),
        audio=Audio(samples=sound, rate=48_000),
        loudness=-14,
    )
    assert result.true_peak == pytest.approx(-1)
    assert result.loudness is not None
    assert result.loudness < -20
    assert "not -14" in result.notes[0]
    assert np.abs(wav(tmp_path / "a.wav")).max() <= 10 ** (-0.95 / 20)


@pytest.mark.parametrize(
    ("form", "more", "said"),
    [
        ("h266", {}, "no delivery format"),
        ("h264", {"hdr": Hdr()}, "h265-10, av1-10"),
        ("h264", {"width": 255}, "both sides must be even; take 254x128"),
        ("dnxhr-hqx", {"width": 128}, "256x120 is the least"),
        ("h264", {"loudness": -16}, "no sound"),
        ("h264", {"loudness": -3, "audio": Audio(samples=tone(1, -20), rate=48_000)}, "-40 to -5"),
        ("exr", {"loudness": -16, "audio": Audio(samples=tone(1, -20), rate=48_000)}, "carries no sound"),
        ("wav", {}, "no sound to deliver"),
        ("h264", {"fps": Fraction(1000)}, "1 to 240"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, form: str, more: dict[str, object], said: str
) -> None:
    given: dict[str, object] = {"width": 256, "height": 128, "fps": FPS} | more
    with pytest.raises(BadRequest, match=said):
        deliver([flat((1, 2, 3))], tmp_path / "film.mp4", format=form, **given)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["h265-10", "png"])
def test_an_end_in_the_middle_leaves_nothing(tmp_path: Path, form: str) -> None:
    def stopped() -> Iterator[np.ndarray]:
        yield flat((1, 2, 3))
        raise KeyboardInterrupt

    for error, frames in (
        (KeyboardInterrupt, stopped()),
        (MediaError, iter([flat((1, 2, 3)), flat((1, 2, 3), size=(64, 64))])),
        (MediaError, iter(())),
    ):
        with pytest.raises(error):
            deliver(
                frames,
                tmp_path / f"film{DELIVERIES[form].suffix if form != 'png' else ''}",
                format=form,
                width=256,
                height=128,
                fps=FPS,
                hdr=Hdr() if form != "png" else None,
            )
        assert list(tmp_path.iterdir()) == []


def test_a_seal_sees_the_finished_file_before_it_has_its_name(tmp_path: Path) -> None:
    seen: list[Path] = []

    def seal(path: Path) -> None:
        assert probe(path).num_frames == 6
        assert not (tmp_path / "film.mp4").exists()
        seen.append(path)

    made(tmp_path, "h265-10", flat((1, 2, 3)), hdr=Hdr(), seal=seal)
    assert len(seen) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_a_filled_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "mine.txt").write_text("mine")
    with pytest.raises(MediaError, match="not empty"):
        made(tmp_path, "png", flat((1, 2, 3)))
    assert (tmp_path / "film" / "mine.txt").read_text() == "mine"


def test_another_rate_keeps_the_length_and_another_shape_gets_bars(tmp_path: Path) -> None:
    frames = np.stack([np.full((128, 256, 3), 20 * i, np.uint8) for i in range(12)])
    deliver([frames], tmp_path / "film.mp4", format="h264", width=256, height=128, fps=Fraction(24))
    source = open_source(tmp_path / "film.mp4")
    half = np.concatenate(list(source.frames(fps=Fraction(12))))
    assert [round(f.mean() / 20) for f in half] == [0, 2, 4, 6, 8, 10]
    more = np.concatenate(list(source.frames(fps=Fraction(30))))
    assert len(more) == 15
    assert [round(f.mean() / 20) for f in more[:6]] == [0, 0, 1, 2, 3, 4]
    tall = fitted(np.full((128, 256, 3), 200, np.uint8), (100, 100))
    assert (tall[:25] == 0).all()
    assert (tall[25:75] == 200).all()
    assert (tall[75:] == 0).all()


def test_hdr_is_not_delivered_from(tmp_path: Path) -> None:
    path = made(tmp_path, "h265-10", flat((1, 2, 3)), hdr=Hdr())
    with pytest.raises(BadRequest, match="HDR already"):
        open_source(path)
