from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from filmwright.cli.main import run
from filmwright.engine.delivery import deliver_file, still_file
from filmwright.media.deliver import Audio, deliver
from filmwright.media.source import open_source
from filmwright.media.video import probe, read_video
from filmwright.provenance.manifest import Generation, clip_manifest
from filmwright.provenance.signing import MARK, sign_file
from filmwright.provenance.verdict import verify_file
from filmwright.spec.errors import BadRequest
from filmwright.spec.events import Event, Finished, Started, Warned

PROMPT = "a red ball \u001b[31m drops"  # and words that would colour a terminal


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A signed clip of 24 frames with one second of sound."""
    path = tmp_path / "clip.mp4"
    frames = np.stack([np.full((64, 96, 3), 10 * i, np.uint8) for i in range(24)])
    sound = (0.1 * np.sin(np.arange(48_000) / 7)).astype(np.float32)
    deliver([frames], path, format="h264", width=96, height=64, fps=Fraction(24),
            audio=Audio(samples=np.stack([sound, sound]), rate=48_000), comment=MARK)  # fmt: skip
    made = Generation(prompt=PROMPT, negative="", model="pocket", seed=7, request_digest="ab", weights={})
    sign_file(path, clip_manifest("clip.mp4", made))
    return path


def test_a_delivery_is_signed_and_leads_back_to_the_words(clip: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    made = deliver_file(clip, tmp_path / "a.mov", format="prores-422-hq", size=(128, 128), fps=Fraction(24000, 1001),
                        loudness=-18, on_event=events.append)  # fmt: skip
    assert made.delivered.loudness == pytest.approx(-18)
    assert probe(tmp_path / "a.mov").num_frames == 24
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    verdict = verify_file(tmp_path / "a.mov")
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert verdict.made.actions == ("c2pa.opened", "c2pa.transcoded")
    assert verdict.made.ingredients[0].generation is not None
    assert verdict.made.ingredients[0].generation["prompt"] == PROMPT
    assert made.signed is not None
    assert made.signed.manifest == verdict.made.manifest


def test_a_timecode_is_kept_or_given(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["deliver", str(clip), "--format", "prores-422-hq", "-o", str(tmp_path / "a.mov")]
    assert run([*words, "--timecode", "10:00:00:12"]) == 0
    deliver_file(tmp_path / "a.mov", tmp_path / "b.mov", format="prores-422-hq")
    deliver_file(tmp_path / "a.mov", tmp_path / "c.mov", format="prores-422-hq", fps=Fraction(12))
    told = [open_source(tmp_path / f"{name}.mov").timecode for name in "abc"]
    assert told == ["10:00:00:12", "10:00:00:12", "01:00:00:00"]  # there is no frame 12 at 12 frames a second
    assert verify_file(tmp_path / "b.mov").state == "valid"
    capsys.readouterr()
    assert run(["deliver", str(clip), "--timecode", "10:00:00:12", "-o", str(tmp_path / "d.mp4")]) == 2
    said = capsys.readouterr().err
    assert "h264 carries no timecode: leave it out, or take prores-422-hq or dnxhr-hqx" in said
    assert run([*words[:-1], str(tmp_path / "d.mov"), "--timecode", "10:00:00:30"]) == 2
    assert "timecode 10:00:00:30 does not exist at 24 frames a second" in capsys.readouterr().err
    assert not list(tmp_path.glob("d.*"))


def test_each_picture_of_a_sequence_is_signed_and_exr_says_that_it_is_not(clip: Path, tmp_path: Path) -> None:
    deliver_file(clip, tmp_path / "seq", format="png", fps=Fraction(3))
    files = sorted((tmp_path / "seq").iterdir())
    assert [file.name for file in files] == [f"seq.{i:06d}.png" for i in range(1, 4)]
    for file in files:
        verdict = verify_file(file)
        assert verdict.state == "valid"
        assert verdict.made is not None
        assert [part.title for part in verdict.made.ingredients] == ["clip.mp4"]
        assert verdict.made.ingredients[0].generation is not None
    events: list[Event] = []
    made = deliver_file(clip, tmp_path / "exr", format="exr", fps=Fraction(3), on_event=events.append)
    assert made.signed is None
    assert any(isinstance(event, Warned) and "NOT SIGNED" in event.message for event in events)


def test_a_source_that_was_changed_is_said_now_and_later(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    data[-2000] ^= 1
    clip.write_bytes(data)
    events: list[Event] = []
    deliver_file(clip, tmp_path / "a.mov", format="prores-422-hq", on_event=events.append)
    assert [event.code for event in events if isinstance(event, Warned)] == ["tampered"]
    verdict = verify_file(tmp_path / "a.mov")
    assert verdict.state == "broken-chain"
    assert verdict.made is not None
    assert [problem.where for problem in verdict.made.ingredients[0].problems] == ["c2pa.hash.bmff.v3"]
    del events[:]
    deliver_file(tmp_path / "a.mov", tmp_path / "b.mp4", format="h264", on_event=events.append)
    assert [event.code for event in events if isinstance(event, Warned)] == ["broken-chain"]
    assert verify_file(tmp_path / "b.mp4").state == "broken-chain"


@pytest.mark.parametrize("comment", [MARK, None])
def test_a_source_without_credentials_is_where_the_chain_ends(tmp_path: Path, comment: str | None) -> None:
    source = tmp_path / "stripped.mp4"
    frames = np.zeros((4, 64, 96, 3), np.uint8)
    deliver([frames], source, format="h264", width=96, height=64, fps=Fraction(24), comment=comment)
    events: list[Event] = []
    deliver_file(source, tmp_path / "a.mov", format="prores-422-hq", on_event=events.append)
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert warned.code == "chain-ends"
    assert ("Filmwright signed it" in warned.message) == (comment is not None)
    still_file(source, tmp_path / "a.png", kind="poster", on_event=events.append)
    assert [event.code for event in events if isinstance(event, Warned)] == ["chain-ends", "chain-ends"]


def test_a_private_delivery_does_not_tell_the_words(clip: Path, tmp_path: Path) -> None:
    deliver_file(clip, tmp_path / "a.mp4", format="h264", private=True)
    verdict = verify_file(tmp_path / "a.mp4")
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert (verdict.made.source, verdict.made.ingredients) == ("trainedAlgorithmicMedia", ())
    assert b"pocket" not in (tmp_path / "a.mp4").read_bytes()


def test_a_file_is_not_overwritten_by_itself(clip: Path) -> None:
    before = clip.read_bytes()
    with pytest.raises(BadRequest, match="overwrite"):
        deliver_file(clip, clip, format="h264")
    assert clip.read_bytes() == before


def test_the_commands_write_verify_and_refuse(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["deliver", str(clip), "--format", "h265-10", "--hdr", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["fps"], said["num_frames"]) == (str(tmp_path / "clip-h265-10.mp4"), "24", 24)
    assert run(["verify", said["path"], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["publicly_trusted"]) == ("valid", False)
    assert run(["verify", said["path"]]) == 0
    shown = capsys.readouterr().out
    assert "prompt: a red ball  [31m drops" in shown
    assert "\u001b" not in shown
    for words in (["sheet", str(clip), "--count", "4"], ["poster", str(clip)]):
        assert run(words) == 0
    capsys.readouterr()
    assert verify_file(tmp_path / "clip-poster.png").state == "valid"
    data = clip.read_bytes()
    clip.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    assert run(["verify", str(clip)]) == 1
    assert "tampered" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["deliver", "none.mp4"], "no such file"),
        (["deliver", "clip.mp4", "--format", "gif"], "no delivery format 'gif'"),
        (["deliver", "clip.mp4", "--size", "97x64"], "both sides must be even; take 96x64"),
        (["deliver", "clip.mp4", "--size", "big"], "no size"),
        (["deliver", "clip.mp4", "--fps", "0"], "1 to 240"),
        (["deliver", "clip.mp4", "--fps", "1/0"], "no frame rate"),
        (["deliver", "clip.mp4", "--hdr"], "cannot carry HDR10"),
        (["deliver", "clip.mp4", "--loudness", "0"], "out of range"),
        (["deliver", "clip.mp4", "-o", "a.mov"], "must end in .mp4"),
        (["deliver", "broken.mp4"], "broken or not a video|Invalid data"),
        (["verify", "none.mp4"], "no such file"),
        (["verify", "film.yaml"], "cannot carry"),
        (["verify", "clip.mp4", "--trust", "broken.mp4"], "not a certificate"),
        (["sheet", "clip.mp4", "--count", "0"], "cannot be"),
        (["generate", "a red ball", "--private", "--no-sign"], "give one of them"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    import re

    (tmp_path / "broken.mp4").write_bytes(b"no film at all")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert run(words) == 2
    captured = capsys.readouterr()
    assert re.search(said, captured.err), captured.err
    assert captured.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_ctrl_c_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Finished | Warned):
            raise KeyboardInterrupt

    def stop_early(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver_file(clip, tmp_path / "a.mov", format="prores-422-hq", on_event=stop_early)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]
    frames, _ = read_video(clip)
    assert len(frames) == 24
