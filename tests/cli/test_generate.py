"""`filmwright generate` around the clip itself: what it will not overwrite, what it goes on with, and what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dying import die_at_step
from filmwright.cli.main import run
from filmwright.cli.options import CAMERAS
from filmwright.engine.early import has_gpu_driver
from filmwright.engine.runs import unfinished
from filmwright.weights.card import load_card
from filmwright.weights.files import shipped

PROMPT = "a red ball rolls to the left on a wooden floor"
SMALL = ("--size", "128x128", "--frames", "5", "--steps", "2")
TRACE = """
import sys
from filmwright.cli.main import run
code = run(sys.argv[1:])
print(code, "torch" in sys.modules, file=sys.stderr)
"""


def refused(*arguments: str | Path) -> str:
    """What a fresh process says that refuses, in one line, and without torch."""
    done = subprocess.run(
        [sys.executable, "-c", TRACE, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    line, last = done.stderr.splitlines()
    assert (done.stdout, last) == ("", "2 False")
    return line


def made(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["generate", *map(str, arguments), *SMALL, "--json"]) == 0
    (clip,) = json.loads(capsys.readouterr().out)["clips"]
    return dict(clip)


def test_a_file_that_is_no_sidecar_is_not_lost_to_one(tmp_path: Path) -> None:
    other = tmp_path / "package.json"
    other.write_text('{"name": "mine"}')
    (tmp_path / "package-2.mp4").touch()
    said = refused("generate", PROMPT, "-o", tmp_path / "package.mp4")
    assert "package.json, which is no Filmwright sidecar" in said
    assert "such as" in said
    assert "package-3.mp4" in said
    assert other.read_text() == '{"name": "mine"}'


def test_the_files_that_a_clip_is_made_from_are_not_lost_to_it(tmp_path: Path) -> None:
    controls = tmp_path / "shot.json"
    controls.write_text('{"camera": {"move": "push-in"}}')
    said = refused("generate", PROMPT, "--controls", controls, "-o", tmp_path / "shot.mp4")
    assert "the clip is made from" in said
    earlier = tmp_path / "earlier.mp4"
    earlier.write_bytes(b"a clip")
    controls.write_text('{"prefix": {"clip": "earlier.mp4", "num_frames": 5}}')
    assert "which it would replace" in refused("generate", PROMPT, "--controls", controls, "-o", earlier)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["earlier.mp4", "shot.json"]


def test_a_clip_that_was_given_no_place_replaces_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "film-2.json").write_text("[]")
    paths = [made(PROMPT, "--seed", "1", capsys=capsys)["path"] for _ in range(2)]
    assert paths == ["film.mp4", "film-3.mp4"]
    before = Path("film.mp4").stat().st_mtime_ns
    assert made(PROMPT, "--seed", "2", "-o", "film.mp4", capsys=capsys)["path"] == "film.mp4"
    assert Path("film.mp4").stat().st_mtime_ns > before, "a place that was given is taken"
    again = [made("--from", "film.json", capsys=capsys)["path"] for _ in range(2)]
    assert again == ["film-again.mp4", "film-again-2.mp4"]


def test_the_same_command_without_a_seed_goes_on_with_the_one_that_was_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"size": "128x128", "num_frames": 5, "steps": 2}
    die_at_step(1, PROMPT, tmp_path / "film.mp4", seed=77, **options)
    assert made("a blue cube slides on sand", "-o", "film.mp4", capsys=capsys)["resumed"] is False
    assert made(PROMPT, "-o", "other.mp4", capsys=capsys)["seed"] != 77
    assert made(PROMPT, "-o", "film.mp4", "--seed", "5", capsys=capsys)["resumed"] is False
    assert [run.record.request.seed for run in unfinished()] == [77]
    assert run(["generate", PROMPT, "-o", "film.mp4", *SMALL]) == 0
    said = capsys.readouterr()
    assert "film.mp4 was begun with seed 77 and goes on, 1 of 2 steps" in said.err
    assert "seed 77" in said.out
    assert unfinished() == []


def test_a_clip_made_again_says_whether_it_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made(PROMPT, "--seed", "1", capsys=capsys)["same_frames"] is None
    assert run(["generate", "--from", "film.json", "-o", "b.mp4"]) == 0
    assert "the same frames as before, bit for bit" in capsys.readouterr().out
    assert made("--from", "film.json", "-o", "b.mp4", capsys=capsys)["same_frames"] is True
    assert made("--from", "film.json", "-o", "b.mp4", "--seed", "2", capsys=capsys)["same_frames"] is None
    older = json.loads(Path("film.json").read_text())
    del older["digest"]
    older["frames_digest"] = "0" * 64
    older["versions"] |= {"torch": "1.0"}
    Path("film.json").write_text(json.dumps(older))
    clip = made("--from", "film.json", "-o", "b.mp4", capsys=capsys)
    assert clip["same_frames"] is False
    (said,) = [w["message"] for w in clip["warnings"] if w["code"] == "other-frames"]
    assert said.startswith("the frames are not those of the earlier clip: torch ")
    assert said.endswith(" was 1.0")


@pytest.mark.skipif(has_gpu_driver(), reason="there may be a GPU")
def test_a_gpu_is_missed_without_torch() -> None:
    assert "there is no cuda:0 on this machine" in refused("generate", "x", "--device", "cuda:0")
    assert "there is no cuda on this machine" in refused("plan", "x", "--device", "cuda")


def test_a_budget_for_nothing_is_refused_without_torch() -> None:
    assert "1 KB is the budget" in refused("generate", "x", "--memory", "1KB")
    assert "no amount of memory" in refused("generate", "x", "--memory", "")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("empty", "holds no weights.json"),
        ("manifest", "weights.json does not say 'size'"),
        ("cut", "vae.safetensors has SHA-256"),
        ("gone", "text.safetensors is missing: restore it"),
        ("vocabulary", "vocabulary.json is missing"),
    ],
)
def test_weights_that_are_not_whole_are_refused_without_torch(tmp_path: Path, damage: str, said: str) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(shipped(), folder)
    match damage:
        case "empty":
            shutil.rmtree(folder)
            folder.mkdir()
        case "manifest":
            (folder / "weights.json").write_text("{}")
        case "cut":
            (folder / "vae.safetensors").write_bytes((folder / "vae.safetensors").read_bytes()[:-1])
        case "gone":
            (folder / "text.safetensors").unlink()
        case _:
            (folder / "vocabulary.json").unlink()
    line = refused("generate", "x", "--weights", folder)
    assert said in line
    assert "train pack" in line, "they are the user's own, so no package is to be installed"


def test_keys_that_cannot_be_kept_are_refused_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILMWRIGHT_HOME", "/dev/null/home")
    assert "cannot keep signing keys in /dev/null/home/credentials" in refused("generate", "x")


def test_an_unquoted_prompt_is_told_of_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a", "red", "ball", "--seed", "1"]) == 2
    assert 'put it in quotes, as in filmwright generate "a red ball"' in capsys.readouterr().err


def test_an_empty_camera_is_not_no_camera(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", PROMPT, "--camera", ""]) == 2
    assert "unknown camera move ''" in capsys.readouterr().err


def test_help_is_grouped_and_says_what_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "--help"]) == 0
    shown = capsys.readouterr().out
    card = load_card("pocket")
    for panel in ("What to make", "Controls", "Model and speed", "Memory and machines", "Output"):
        assert f"─ {panel} ─" in shown
    words = " ".join(shown.replace("│", " ").split())
    for default in (card.steps, card.guidance, card.fps):
        assert f"({default:g} of pocket)" in words
    assert "(random)" in words
    assert ", ".join(card.cameras) == CAMERAS
    assert all(move in shown for move in card.cameras)
