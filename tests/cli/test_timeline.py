"""`filmwright timeline` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from direction.timeline.edits import full, simple
from filmwright.cli.main import run
from filmwright.direction.timeline.exchange import read_timeline, write_timeline


def test_convert_says_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_timeline(full("23.976"), tmp_path / "film.otio")
    assert run(["timeline", "convert", str(tmp_path / "film.otio"), str(tmp_path / "film.edl")]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path / 'film.edl'}\n"
    assert "not in .edl: titles are left out: 3\n" in shown.err
    assert (
        run(["timeline", "convert", str(tmp_path / "film.edl"), str(tmp_path / "film.fcpxml"), "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(tmp_path / "film.fcpxml")
    assert {"feature", "count", "sentence"} == set(told["lost"][0])


def test_diff_and_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit = simple(3)
    write_timeline(edit, tmp_path / "film.otio")
    last = replace(edit.events[2], duration=48 + 20)
    write_timeline(replace(edit, events=(*edit.events[:2], last)), tmp_path / "cut.edl")
    words = ["timeline", "diff", str(tmp_path / "film.otio"), str(tmp_path / "cut.edl")]
    assert run([*words, "--json", "--merged", str(tmp_path / "new.otio")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [change["kind"] for change in told["changes"]] == ["trim", "rerender"]
    assert told["rerender"] == ["sh0002"]
    assert read_timeline(tmp_path / "new.otio").edit.events[2].media == edit.events[2].media
    assert run(words) == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[1]
        .startswith("rerender   sh0002: needs 8 frames more at its end")
    )
    assert run(["timeline", "diff", str(tmp_path / "film.otio"), str(tmp_path / "film.otio")]) == 0
    assert capsys.readouterr().out == "nothing changed\n"


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_timeline(full("29.97df"), tmp_path / "film.xml")
    assert run(["timeline", "check", str(tmp_path / "film.xml"), "--handles", "24", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["start"], told["clips"], told["transitions"], told["markers"]) == ("01:00:00;00", 7, 3, 4)
    assert "sh010 at 01:00:00;00: 12 frames before, 48 after" in told["short"]
    assert run(["timeline", "check", str(tmp_path / "film.xml")]) == 0
    assert "from 01:00:00;00" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "none.edl"], "no such file"),
        (["check", "bad.edl", "--fps", "24"], "bad.edl:2:"),
        (["check", "bad.edl"], "--fps"),
        (["check", "bad.edl", "--fps", "fast"], "no frame rate"),
        (["check", "bad.xml"], "bad.xml:1:"),
        (["convert", "good.otio", "good.aaf"], "must end in"),
        (["convert", "good.otio", "nowhere/good.edl"], "does not exist"),
        (["convert", "good.otio", "good.otioz", "--media", "nowhere"], "not a folder"),
        (["diff", "good.otio", "other.otio"], "frames a second"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.edl").write_text("TITLE: x\n001 what\n")
    (tmp_path / "bad.xml").write_text("<xmeml>")
    write_timeline(simple(1), tmp_path / "good.otio")
    write_timeline(simple(1, "25"), tmp_path / "other.otio")
    there = sorted(tmp_path.iterdir())
    assert run(["timeline", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert sorted(tmp_path.iterdir()) == there


def test_nothing_heavy_is_imported_to_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.edl").write_text("TITLE: x\n001 what\n")
    code = (
        "import sys; from filmwright.cli.main import run; "
        f"assert run(['timeline', 'check', {str(tmp_path / 'bad.edl')!r}, '--fps', '24']) == 2; "
        "print(sorted({'torch', 'opentimelineio', 'numpy', 'av', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
