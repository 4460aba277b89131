"""`filmwright post` from the shell's point of view."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from filmwright.cli.main import run
from filmwright.media.boxes import boxes_of
from filmwright.media.sound import stream_sound
from filmwright.media.video import VideoWriter, probe, read_video
from filmwright.provenance.manifest import Generation, clip_manifest, derived_manifest
from filmwright.provenance.signing import sign_file
from filmwright.provenance.verdict import verify_file

MEMORY = """
import resource, sys
from fractions import Fraction
import numpy as np
from filmwright.media.post.chain import applied
from filmwright.media.video import VideoWriter
from filmwright.spec.post import Deflicker, Denoise, Resize, Retime, Stabilise

def film(count):
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for t in range(0, count, 8):
        yield np.stack([np.roll(wall, t + k, axis=1) for k in range(8)])

stages = [Deflicker(), Denoise(), Stabilise(), Retime(fps=24, method="blend"), Resize(width=64, height=64)]
with VideoWriter(sys.argv[2], 64, 64, 24) as video:
    for chunk in applied(stages, film(int(sys.argv[1])), Fraction(16)):
        video.write(chunk)
print(video.num_frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def clip(path: Path, num_frames: int = 16, audio: bool = False, size: tuple[int, int] = (96, 64)) -> Path:
    rng = np.random.default_rng(0)
    wall = np.repeat(np.repeat(rng.integers(0, 256, (24, 40, 3), dtype=np.uint8), 4, axis=0), 4, axis=1)
    with VideoWriter(path, *size, 16, audio_rate=48_000 if audio else None) as video:
        for t in range(num_frames):
            video.write(wall[None, : size[1], t % 30 : t % 30 + size[0]])
            if audio:
                at = np.arange(3000 * t, 3000 * (t + 1)) / 48_000
                video.write_audio(np.repeat(np.sin(2 * np.pi * 440 * at)[None], 2, axis=0).astype(np.float32))
    return path


def test_every_stage_in_one_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = clip(tmp_path / "in.mp4", audio=True), tmp_path / "out.mp4"
    (tmp_path / "x.cube").write_text("LUT_1D_SIZE 2\n0 0 0\n1 0.5 0\n")
    arguments = [
        "post",
        str(source),
        "-o",
        str(out),
        "--stabilise",
        "--deflicker",
        "--denoise",
        "--resize",
        "64x48",
    ]
    arguments += ["--fps", "24", "--lut", str(tmp_path / "x.cube"), "--cdl", "1,1,1 0,0,0 1,1,1", "--json"]
    assert run(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "path": str(out),
        "stages": ["deflicker", "denoise", "stabilise", "retime", "resize", "grade"],
        "num_frames": 24,
        "fps": 24,
        "width": 64,
        "height": 48,
        "seconds": 1.0,
        "sound": "copied",
        "signed": told["signed"],
        "warnings": told["warnings"],
    }
    info = probe(out)
    assert (info.width, info.height, info.fps, info.num_frames, info.matrix) == (64, 48, 24.0, 24, "bt709")
    frames, _ = read_video(out)
    assert frames[..., 2].mean() < 12  # the table takes blue away and halves green
    assert 0.3 < frames[..., 1].mean() / frames[..., 0].mean() < 0.7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "x.cube"]


def signed_clip(path: Path, audio: bool = False) -> Path:
    """A clip as `generate` signs it."""
    clip(path, audio=audio)
    made = Generation(
        prompt="a crimson balloon", negative="", model="pocket", seed=7, request_digest="ab", weights={}
    )
    sign_file(path, clip_manifest(path.name, made))
    return path


@pytest.mark.parametrize("sound", ["none", "copied", "coded"])
def test_what_post_writes_is_signed_and_leads_back_to_the_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sound: str
) -> None:
    source, out = signed_clip(tmp_path / "in.mp4", audio=sound != "none"), tmp_path / "out.mp4"
    if sound == "coded":
        source = with_pcm(source, tmp_path / "in.mov")
        sign_file(source, derived_manifest("in.mov", tmp_path / "in.mp4"))
    words = ["--deflicker", "--resize", "64x48", "--cdl", "1,1,1 0,0,0 1,1,1 0.5"]
    assert run(["post", str(source), "-o", str(out), *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    verdict = verify_file(out)
    assert (told["sound"], told["warnings"], verdict.state) == (sound, [], "valid")
    made = verdict.made
    assert made is not None
    assert told["signed"] == {"manifest": made.manifest, "signer": made.signer, "private": False}
    assert made.actions == ("c2pa.opened", "c2pa.edited", "c2pa.resized", "c2pa.color_adjustments")
    (parent,) = made.ingredients
    assert (parent.title, parent.relationship) == (source.name, "parentOf")
    assert run(["verify", str(out)]) == 0
    assert "prompt: a crimson balloon" in capsys.readouterr().out
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_private_post_does_not_tell_the_words_and_no_sign_tells_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = signed_clip(tmp_path / "secret-name.mp4"), tmp_path / "out.mp4"
    assert run(["post", str(source), "-o", str(out), "--deflicker", "--private"]) == 0
    assert capsys.readouterr().out.endswith("deflicker; signed\n")
    verdict = verify_file(out)
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert (verdict.made.source, verdict.made.ingredients) == ("trainedAlgorithmicMedia", ())
    assert verdict.made.actions == ("c2pa.created", "c2pa.edited")
    for secret in (b"crimson", b"pocket", b"secret-name"):
        assert secret not in out.read_bytes()
    assert run(["post", str(source), "-o", str(out), "--deflicker", "--no-sign"]) == 0
    assert capsys.readouterr().out.endswith("deflicker; not signed\n")
    assert verify_file(out).state == "unsigned"
    clip(source)  # without credentials: nothing but its name could tell
    assert run(["post", str(source), "-o", str(out), "--deflicker", "--private", "--json"]) == 0
    assert [warned["code"] for warned in json.loads(capsys.readouterr().out)["warnings"]] == ["chain-ends"]
    assert verify_file(out).state == "valid"
    assert b"secret-name" not in out.read_bytes()
    assert run(["post", str(source), "-o", str(out), "--deflicker", "--private", "--no-sign"]) == 2


def test_post_of_a_clip_that_was_changed_says_so_now_and_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = signed_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    data = bytearray(source.read_bytes())
    media = next(box for box in boxes_of(data) if box.path == "mdat")
    data[(media.content + media.end) // 2] ^= 1
    source.write_bytes(data)
    assert run(["post", str(source), "-o", str(out), "--deflicker", "--json"]) == 0
    assert [warned["code"] for warned in json.loads(capsys.readouterr().out)["warnings"]] == ["tampered"]
    assert run(["verify", str(out)]) == 1
    assert "broken-chain: " in capsys.readouterr().out


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]


def test_sound_is_copied_where_mp4_holds_it_and_coded_where_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    source, out = clip(tmp_path / "in.mp4", audio=True), tmp_path / "out.mp4"
    assert run(["post", str(source), "-o", str(out), "--cdl", "1,1,1 0,0,0 1,1,1 0"]) == 0
    assert "its sound copied; grade" in capsys.readouterr().out
    assert packets(out) == packets(source)

    raw = with_pcm(source, tmp_path / "raw.mkv")
    assert run(["post", str(raw), "-o", str(out), "--deflicker"]) == 0
    assert "its sound coded as AAC" in capsys.readouterr().out
    heard = np.concatenate(list(stream_sound(out)), axis=1)
    assert heard.shape[1] == pytest.approx(48_000, abs=3000)
    spectrum = np.abs(np.fft.rfft(heard[0, 4000:44_000]))
    assert spectrum.argmax() * 48_000 / 40_000 == pytest.approx(440, abs=2)


def with_pcm(source: Path, target: Path) -> Path:
    """The clip with sound that MP4 does not hold."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0])
        sound = new.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                new.mux(packet)
        old.seek(0)
        for frame in old.decode(old.streams.audio[0]):
            resampled = av.AudioResampler(format="s16", layout="stereo", rate=48_000).resample(frame)
            for piece in resampled:
                new.mux(sound.encode(piece))
    return target


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing is asked for: add a stage"),
        (["--crop", "0.1"], "--crop says how --stabilise works: add --stabilise"),
        (["--linear"], "--linear says how --resize works"),
        (["--stabilise", "--crop", "0.9"], "should be less than or equal to 0.4"),
        (["--resize", "1280:720"], "'1280:720' is no size"),
        (["--resize", "63x64"], "cannot write 63x64: both sides must be even"),
        (["--resize", "9999x64"], "from 16 to 8192"),
        (["--cdl", "1,1"], "is no CDL: give 3 slopes"),
        (["--cdl", "1,1,1,0,0,0,nan,1,1"], "is no CDL"),
        (["--cdl", "1,1,1,0,0,0,0,1,1"], "powers more than 0"),
        (["--lut", "bad.cube"], "cannot read bad.cube:2:5: 'x', which is no number"),
        (["--lut", "none.cube"], "cannot read none.cube"),
        (["--fps", "0"], "--fps"),
        (["--deflicker", "-o", "out.mkv"], "must end in .mp4"),
        (["--deflicker", "-o", "none/out.mp4"], "the folder none does not exist"),
    ],
)
def test_bad_input_is_a_line_and_loads_nothing_heavy(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "in.mp4").write_bytes(b"x")
    (tmp_path / "bad.cube").write_text("LUT_3D_SIZE 2\n0 0 x\n")
    code = (
        "import sys; from filmwright.cli.main import run; code = run(sys.argv[1:]); "
        "print(code, *sorted({n.partition('.')[0] for n in sys.modules} & {'torch','numpy','av','cv2'}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "post", "in.mp4", "-o", "out.mp4", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    *lines, last = done.stderr.splitlines()
    assert last == "2"
    assert len(lines) == 1
    assert said in lines[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.cube", "in.mp4"]


def test_what_is_no_clip_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "in.mp4"
    assert run(["post", str(bad), "-o", str(tmp_path / "out.mp4"), "--deflicker"]) == 2
    assert "there is no such file" in capsys.readouterr().err
    bad.write_bytes(b"no video")
    assert run(["post", str(bad), "-o", str(tmp_path / "out.mp4"), "--deflicker"]) == 2
    assert "broken or no video" in capsys.readouterr().err
    good = clip(tmp_path / "good.mp4", 4)
    assert run(["post", str(good), "-o", str(good), "--deflicker"]) == 2
    assert "is the clip itself" in capsys.readouterr().err
    odd = tmp_path / "film.mp4"
    with av.open(str(odd), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(24000, 1001))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert run(["post", str(odd), "-o", str(tmp_path / "out.mp4"), "--deflicker"]) == 2
    assert (
        "24000/1001 frames a second and clips are written at whole rates: add --fps 24"
        in capsys.readouterr().err
    )
    assert run(["post", str(odd), "-o", str(tmp_path / "out.mp4"), "--fps", "24"]) == 0


def test_hdr_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hdr.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.color_trc = 16
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24"))
        )
        container.mux(stream.encode(None))
    assert run(["post", str(path), "-o", str(tmp_path / "out.mp4"), "--deflicker"]) == 2
    assert "is HDR (PQ), which post would flatten" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", 200, audio=True)
    command = [sys.executable, "-m", "filmwright.cli", "post", str(source), "-o", str(tmp_path / "out.mp4")]
    child = subprocess.Popen(
        [*command, "--fps", "60", "--resize", "1280x720"],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    until = time.monotonic() + 60
    while not list(tmp_path.glob(".*.mp4")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    warning, error = err.splitlines()
    assert warning.endswith("the chain ends there")
    assert error == "error: cancelled; nothing half written is left"
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    "counts", [(96, 384), pytest.param((960, 9600), marks=pytest.mark.slow)], ids=["seconds", "minutes"]
)
def test_memory_does_not_grow_with_the_film(tmp_path: Path, counts: tuple[int, int]) -> None:
    """Tiny frames at 16 fps, one minute and ten in the slow case; a child each, since memory once had is kept."""
    peaks = []
    for count in counts:
        command = [sys.executable, "-c", MEMORY, str(count), str(tmp_path / "out.mp4")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        frames, peak = map(int, done.stdout.split())
        assert frames == count * 24 // 16
        peaks.append(peak)
    assert peaks[1] < peaks[0] * 1.05 + 4096
