from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from filmwright.media.video import VideoWriter, probe, read_video
from filmwright.spec.errors import MediaError

PATCHES = np.array(
    [
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255),
        (255, 255, 255), (0, 0, 0), (200, 60, 20), (20, 120, 60),
    ],
    dtype=np.uint8,
)  # fmt: skip
SIDE = 32
EDGE = 8  # pixels at a patch's rim where 4:2:0 mixes neighbours


def patches(num_frames: int = 5) -> np.ndarray:
    row = np.repeat(PATCHES, SIDE, axis=0)  # [W, 3]
    return np.broadcast_to(row, (num_frames, 64, len(row), 3)).copy()


def write(path: Path, frames: np.ndarray, fps: int = 16) -> None:
    with VideoWriter(path, frames.shape[2], frames.shape[1], fps) as video:
        video.write(frames)


def boxes(path: Path) -> list[str]:
    """Names of the top-level MP4 boxes, in order."""
    content, at, names = path.read_bytes(), 0, []
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        names.append(content[at + 4 : at + 8].decode())
        at += size
    return names


def test_tags_size_and_rate_are_read_back(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", patches(9), fps=12)
    info = probe(tmp_path / "a.mp4")
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert (info.width, info.height, info.num_frames, info.fps) == (320, 64, 9, 12.0)
    assert (info.matrix, info.primaries, info.transfer, info.value_range) == ("bt709",) * 3 + ("limited",)


def test_the_index_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", patches())
    names = boxes(tmp_path / "a.mp4")
    assert names.index("moov") < names.index("mdat")


def test_saturated_colours_survive(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", patches())
    frames, fps = read_video(tmp_path / "a.mp4")
    assert fps == 16
    assert frames.shape == (5, 64, 320, 3)
    for index, colour in enumerate(PATCHES):
        inside = frames[:, EDGE:-EDGE, index * SIDE + EDGE : (index + 1) * SIDE - EDGE].astype(float)
        assert np.abs(inside - colour).mean() < 2


def test_the_stored_luma_is_the_709_one(tmp_path: Path) -> None:
    """Independent of the reader: Y' of pure green is 16 + 219 * 0.7152 by BT.709, 16 + 219 * 0.587 by BT.601."""
    import av

    green = np.zeros((2, 64, 64, 3), dtype=np.uint8)
    green[..., 1] = 255
    write(tmp_path / "g.mp4", green)
    with av.open(str(tmp_path / "g.mp4")) as container:
        luma = next(container.decode(video=0)).to_ndarray(format="yuv420p")[:64].astype(float)
    assert abs(luma.mean() - (16 + 219 * 0.7152)) < 1.5


def test_a_grey_ramp_stays_monotone(tmp_path: Path) -> None:
    levels = np.arange(0, 256, 8, dtype=np.uint8)
    row = np.repeat(levels, 16)
    ramp = np.broadcast_to(row[None, None, :, None], (3, 64, len(row), 3)).copy()
    write(tmp_path / "r.mp4", ramp)
    frames, _ = read_video(tmp_path / "r.mp4")
    seen = [frames[1, 16:48, i * 16 + 4 : i * 16 + 12].astype(float).mean() for i in range(len(levels))]
    assert (np.diff(seen) > 0).all()
    assert np.abs(np.array(seen) - levels).max() < 2


def test_chunks_equal_the_whole(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 64, 3), dtype=np.uint8)
    write(tmp_path / "whole.mp4", frames)
    with VideoWriter(tmp_path / "chunks.mp4", 64, 32, 16) as video:
        for first, last in ((0, 1), (1, 5), (5, 9)):
            video.write(frames[first:last])
    whole, chunks = read_video(tmp_path / "whole.mp4")[0], read_video(tmp_path / "chunks.mp4")[0]
    assert np.array_equal(whole, chunks)


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"an earlier film")

    def fail() -> None:
        with VideoWriter(path, 320, 64, 16) as video:
            video.write(patches())
            raise RuntimeError("the decoder failed")

    with pytest.raises(RuntimeError, match="decoder"):
        fail()
    assert path.read_bytes() == b"an earlier film"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_nothing_appears_before_it_is_whole(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 320, 64, 16) as video:
        video.write(patches())
        assert not (tmp_path / "a.mp4").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("width", "height", "fps", "said"), [(63, 64, 16, "even"), (0, 64, 16, "even"), (64, 64, 0, "rate")]
)
def test_impossible_shapes(tmp_path: Path, width: int, height: int, fps: int, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        VideoWriter(tmp_path / "a.mp4", width, height, fps)
    assert not list(tmp_path.iterdir())


def test_frames_of_another_shape_and_no_frames(tmp_path: Path) -> None:
    with (
        pytest.raises(MediaError, match=r"uint8 \[T, 64, 320, 3\]"),
        VideoWriter(tmp_path / "a.mp4", 320, 64, 16) as v,
    ):
        v.write(np.zeros((1, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(MediaError, match="no frame"), VideoWriter(tmp_path / "a.mp4", 320, 64, 16):
        pass
    assert not list(tmp_path.iterdir())


FILL = """
import resource, sys
import numpy as np
from filmwright.media.video import VideoWriter
from filmwright.spec.errors import MediaError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
noise = np.random.default_rng(0).integers(0, 256, (12, 128, 128, 3), dtype=np.uint8)
try:
    with VideoWriter(sys.argv[1], 128, 128, 16) as video:
        video.write(noise)
except MediaError as error:
    print(error)
"""


@pytest.mark.parametrize("share", [0.4, 0.99])  # the disk fills up among the frames, and with the index
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, share: float) -> None:
    def fill(room: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", FILL, str(tmp_path / "a.mp4"), str(room)]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    assert fill(10_000_000).stdout == ""
    size = (tmp_path / "a.mp4").stat().st_size
    (tmp_path / "a.mp4").unlink()
    done = fill(int(size * share))
    assert "disk is full" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 100])
def test_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    for read in (read_video, probe):
        with pytest.raises(MediaError, match="cannot read") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_missing_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        read_video(tmp_path / "a.mp4")


def test_a_truncated_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write(path, patches())
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(MediaError, match="cannot read"):
        read_video(path)
