from __future__ import annotations

import base64
import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from filmwright.engine.build_request import build_request
from filmwright.media.clips import Clip
from filmwright.media.sheet import contact_sheet, save_png_atomic
from filmwright.media.video import probe, read_video
from filmwright.spec.clip import Sound
from filmwright.spec.errors import MediaError


def clip_of(level: int, num_frames: int = 9) -> np.ndarray:
    return np.full((num_frames, 32, 64, 3), level, dtype=np.uint8)


def test_every_clip_is_on_the_sheet(tmp_path: Path) -> None:
    levels = [10, 60, 110, 160, 210]
    sheet = contact_sheet([clip_of(v) for v in levels], ["a ball " * 30] * 5, columns=2, frames_per_clip=3)
    pixels = np.asarray(sheet)
    for level in levels:
        assert (pixels == level).all(-1).sum() >= 3 * 32 * 64
    save_png_atomic(sheet, tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as stored:
        assert stored.size == sheet.size
    assert [p.name for p in tmp_path.iterdir()] == ["s.png"]


def test_first_and_last_frame_are_shown() -> None:
    clip = clip_of(0, 9)
    clip[0], clip[-1] = 90, 190
    pixels = np.asarray(contact_sheet([clip], ["x"], columns=4))
    for level in (90, 190):
        assert (pixels == level).all(-1).sum() == 32 * 64


def test_captions_are_drawn() -> None:
    with_words, without = (
        np.asarray(contact_sheet([clip_of(9)], [text], columns=1)) for text in ("red ball", "")
    )
    assert not np.array_equal(with_words, without)


def test_one_frame_clips_and_wrong_counts() -> None:
    contact_sheet([clip_of(9, 1)], ["still"], columns=1)
    for clips, labels in (([], []), ([clip_of(1)], [])):
        with pytest.raises(MediaError, match="cannot lay out"):
            contact_sheet(clips, labels, columns=1)


def test_a_clip_saves_itself_with_its_sidecar(tmp_path: Path) -> None:
    clip = Clip(frames=clip_of(120), fps=16, sidecar='{"a": 1}\n')
    assert clip.save(tmp_path / "x.mp4") == tmp_path / "x.mp4"
    assert probe(tmp_path / "x.mp4").num_frames == 9
    assert (tmp_path / "x.json").read_text() == '{"a": 1}\n'
    Clip(frames=clip_of(120), fps=16).save(str(tmp_path / "y.mp4"))
    assert not (tmp_path / "y.json").exists()
    with pytest.raises(MediaError, match=r"must end in .mp4"):
        clip.save(tmp_path / "x.avi")


def test_a_clip_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    html = Clip(frames=clip_of(120), fps=16)._repr_html_()
    found = re.search(r'src="data:video/mp4;base64,([^"]+)"', html)
    assert found
    (tmp_path / "shown.mp4").write_bytes(base64.b64decode(found[1]))
    frames, fps = read_video(tmp_path / "shown.mp4")
    assert (frames.shape, fps) == ((9, 32, 64, 3), 16.0)
    assert 'width="64"' in html


def test_a_notebook_shows_the_frames_that_a_clip_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    earlier, later = (Clip(frames=clip_of(level), fps=16, path=path) for level in (40, 200))
    earlier.save(path)
    later.save(path)
    found = re.search(r'base64,([^"]+)"', earlier._repr_html_())
    assert found
    (tmp_path / "shown.mp4").write_bytes(base64.b64decode(found[1]))
    assert abs(read_video(tmp_path / "shown.mp4")[0].mean() - 40) < 5


def test_a_clip_is_one_line_in_words(tmp_path: Path) -> None:
    plain = Clip(frames=clip_of(1), fps=16)
    assert repr(plain) == "<Clip 64x32, 9 frames, 16 fps, 0.56 s>"
    request = build_request("a red ball drops onto a wooden floor and bounces, warm light", seed=1)
    whole = Clip(
        frames=clip_of(1),
        fps=16,
        request=request,
        path=Path("film.mp4"),
        sound=Sound(samples=np.zeros((1, 9), np.float32), rate=16_000),
        sidecar="x" * 10_000,
    )
    assert repr(whole) == (
        "<Clip 64x32, 9 frames, 16 fps, 0.56 s, with sound, film.mp4, "
        "'a red ball drops onto a wooden floor and bounces...'>"
    )


def test_a_clip_replaces_no_file_that_is_not_a_sidecar(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(MediaError, match=r"x.json, which is no Filmwright sidecar; give another name"):
        Clip(frames=clip_of(120), fps=16, sidecar='{"sidecar_version": 1}').save(tmp_path / "x.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json"]
    Clip(frames=clip_of(120), fps=16).save(tmp_path / "x.mp4")  # it has none
    assert (tmp_path / "x.json").read_text() == "{}"


@pytest.mark.parametrize(("channels", "samples"), [(2, 9_000), (1, 30_000), (2, 5_000)])
def test_sound_lies_in_the_file_in_step_with_the_picture(tmp_path: Path, channels: int, samples: int) -> None:
    """Noise, so that one sample's shift would show; as long as the picture, whatever there was of it."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (channels, samples)).astype(np.float32)
    path = tmp_path / "a.mp4"
    Clip(frames=clip_of(90), fps=24, sound=Sound(samples=noise, rate=24_000)).save(path)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        assert abs(float(stream.duration * stream.time_base) - 9 / 24) < 1024 / 24_000
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1)
    assert probe(path).num_frames == 9
    wanted = np.repeat(noise, 3 - channels, axis=0)[:, :4_900]
    for ours, theirs in zip(wanted, heard, strict=True):
        near = [float(np.corrcoef(ours, theirs[shift : shift + 4_900])[0, 1]) for shift in range(3)]
        assert near[0] > 0.9 > 0.2 > max(near[1:])
    if samples < 9_000:
        assert np.abs(heard[:, 6_100:9_000]).max() < 0.01
