"""`filmwright film` from the shell's point of view."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from filmwright.cli.main import run

TRACE = """
import sys
from filmwright.cli.main import run
code = run(sys.argv[1:])
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "numpy", "av", "cv2"})
print(code, *heavy, file=sys.stderr)
"""
BAD = """title: x
sequences:
  - id: s
    shots:
      - {id: a, prompt: a ball, sped: 2}
edit: [{shot: b}]
"""
SMALL = """title: <b>small</b>
size: 128x128
steps: 1
guidance: 1.0
sequences:
  - id: s
    shots:
      - {id: a, frames: 5, prompt: a red ball rests on sand, note: "a & b"}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FILMWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    """What a command prints with --json."""
    capsys.readouterr()
    assert run(["film", *arguments, "--json"]) == code
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


@pytest.mark.parametrize(
    "arguments",
    [
        ["film", "--help"],
        ["film", "check", "film.yaml"],
        ["film", "status", "film.yaml"],
        ["film", "build", "bad.yaml"],
    ],
)
def test_help_checks_and_mistakes_load_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "film.yaml").write_text(SMALL)
    (tmp_path / "bad.yaml").write_text(BAD)
    done = subprocess.run(
        [sys.executable, "-c", TRACE, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == ("2" if "bad.yaml" in arguments else "0")


def test_every_mistake_is_a_line_and_the_store_is_not_touched(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "bad.yaml").write_text(BAD.replace("sped: 2", "speed: 2, prompts: 3"))
    for command in ("check", "plan", "build", "status", "sheet"):
        assert run(["film", command, "bad.yaml"]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(": ")[0] for line in lines] == ["bad.yaml:5:33", "bad.yaml:5:43"]
    (tmp_path / "bad.yaml").write_text(BAD.replace(", sped: 2", ""))
    told = answer(capsys, "build", "bad.yaml", code=2)
    assert told == {
        "error": {
            "code": "bad_film",
            "message": "bad.yaml:6:15: there is no shot 'b': there is a",
            "mistakes": ["bad.yaml:6:15: there is no shot 'b': there is a"],
        }
    }
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["check", "none.yaml"],
            "cannot read film file none.yaml: no such file or directory; `filmwright film new`",
        ),
        (["build", "film.yaml", "--device", "tpu"], "unknown device 'tpu'"),
        (["build", "film.yaml", "--only", "z"], "there is no shot 'z': there is a"),
        (["explain", "z"], "there is no shot 'z': there is a"),
        (["select", "a", "2"], "shot a has 1 takes, not 2"),
        (["takes", "a", "--add", "0"], "0 takes cannot be added to 1: a shot has 1 to 99"),
        (["gc", "--keep", "much"], "'much' is no amount of memory"),
        (["new"], "film.yaml is there already and stays as it is"),
        (["sheet", "film.yaml", "-o", "none/x"], "cannot write none/x.png: the folder none does not exist"),
    ],
)
def test_bad_arguments_are_told_in_a_line(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:  # fmt: skip
    (tmp_path / "film.yaml").write_text(SMALL)
    assert run(["film", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {told}")
    assert err.count("\n") == 1
    assert not home.exists()
    assert (tmp_path / "film.yaml").read_text() == SMALL


def test_the_way_of_a_film(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "film.yaml").write_text(SMALL)
    assert answer(capsys, "check")["num_frames"] == 5
    assert [row["name"] for row in answer(capsys, "plan")["to_render"]] == ["a#1"]  # type: ignore[attr-defined]
    began = time.monotonic()
    built = answer(capsys, "build")
    took: dict[str, float] = built["took"]  # type: ignore[assignment]
    assert built["made"] == list(took) == ["a#1", "-> film.mp4"]
    assert min(took.values()) > 0
    assert sum(took.values()) < time.monotonic() - began
    built = answer(capsys, "build")
    assert (built["made"], built["took"]) == ([], {})
    assert answer(capsys, "plan")["to_render"] == []
    assert [row["state"] for row in answer(capsys, "status")["results"]] == ["clean", "clean"]  # type: ignore[attr-defined]
    assert answer(capsys, "takes", "a", "--add", "1")["takes"][1]["state"] == "missing"  # type: ignore[index]
    assert answer(capsys, "select", "a", "1") == {"shot": "a", "take": 1}
    assert answer(capsys, "build")["made"] == []
    assert answer(capsys, "takes", "a")["takes"][0]["clip"].endswith(".mp4")  # type: ignore[index]

    answer(capsys, "sheet")
    assert (tmp_path / "film-sheet.html").read_text().count("data:image/jpeg;base64,") == 3

    path = tmp_path / "film.yaml"
    path.write_text(path.read_text().replace("rests on sand", "rests on grass"))
    assert run(["film", "explain", "a"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "a#1: dirty: it was built from other inputs",
        '    prompt: "a red ball rests on sand" -> "a red ball rests on grass"',
    ]
    assert run(["film", "explain", "film.mp4"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "-> film.mp4: waits for another shot",
        "    waits for shot a, which is not finished",
    ]
    named = [row["name"] for row in answer(capsys, "explain")["results"]]  # type: ignore[attr-defined]
    assert named == ["a#1", "a#2", "-> film.mp4"]
    files = answer(capsys, "sheet")["files"]
    assert files == ["film-sheet.png", "film-sheet.html"]
    page = (tmp_path / "film-sheet.html").read_text()
    assert "&lt;b&gt;small&lt;/b&gt;" in page
    assert "<p>a &amp; b</p>" in page
    assert "not rendered" in page
    assert "<img" not in page

    assert answer(capsys, "check", "--store")["damaged"] == []
    blob = next((tmp_path / "home" / "store" / "blobs").glob("*/*.png"))
    blob.write_bytes(b"x")
    assert answer(capsys, "check", "--store")["damaged"] == [str(blob)]
    swept = answer(capsys, "gc", "--keep", "0")
    assert swept["kept"] == 0
    assert (tmp_path / "film.mp4").exists()


def test_new_writes_an_example_with_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "new", "mine.yaml") == {"path": "mine.yaml", "schema": "film.schema.json"}
    assert answer(capsys, "check", "mine.yaml")["shots"] == 4
    assert run(["film", "schema"]) == 0
    assert capsys.readouterr().out == (tmp_path / "film.schema.json").read_text()
