"""A film to an editor and back into its file: what the editor decided, and nothing else of the text."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from filmwright.cli.main import run
from filmwright.direction.film.opened import OpenFilm, open_film
from filmwright.direction.timeline.edit import Edit, Join
from filmwright.direction.timeline.exchange import SUFFIXES, read_timeline, write_timeline
from filmwright.direction.timeline.film_edit import TakenOver, edit_of_film, take_over
from filmwright.media.video import probe
from filmwright.spec.errors import BadRequest, TimelineError
from filmwright.spec.timecode import parse_rate

FILM = """# my film
title: Three balls
size: 256x160
fps: 16 # of the pocket model

sequences:
  - id: one
    shots:
      - {id: red, prompt: a red ball rolls, seed: 1} # the first
      - id: blue
        prompt: "a blue ball rolls" # the second
        seed: 2
      - {id: green, prompt: a green ball rolls, seed: 3, frames: 17}

# the cut
edit:
  - {shot: red, trim: [0.25, 1.5]} # keep
  - shot: blue
    trim: [0.25, 1.75]
    transition: {kind: dissolve, seconds: 0.25}
    note: the blue one
  - {shot: green, trim: [0.0, 1.0], fade_out: 0.25}

titles:
  - {text: Balls, at: 0.5, seconds: 1.0}
"""


@pytest.fixture
def film(tmp_path: Path) -> OpenFilm:
    path = tmp_path / "film.yaml"
    path.write_text(FILM)
    return open_film(path)


def came(film: OpenFilm, after: Edit, suffix: str = ".fcpxml", *, write: bool = True) -> TakenOver:
    """The film after `after` came back in a file of a format."""
    folder = film.folder / "media"
    path = film.folder / f"cut{suffix}"
    write_timeline(after, path)
    before, _ = edit_of_film(film, folder)
    return take_over(film, folder, read_timeline(path, rate=before.rate, start=before.start), write=write)


def exported(film: OpenFilm) -> Edit:
    return edit_of_film(film, film.folder / "media")[0]


def test_media_have_constant_names(film: OpenFilm) -> None:
    edit = exported(film)
    names = [event.media.file_name for event in edit.events if event.media]
    assert names == ["film_red_v001.mp4", "film_blue_v001.mp4", "film_green_v001.mp4"]
    assert [(e.start, e.duration, e.source_start) for e in edit.events] == [
        (0, 20, 4),
        (16, 24, 4),
        (40, 16, 0),
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_unchanged_cut_changes_nothing(suffix: str, film: OpenFilm) -> None:
    assert came(film, exported(film), suffix).found.changes == ()
    assert film.path.read_text() == FILM


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_trims_and_order_are_taken_over(suffix: str, film: OpenFilm) -> None:
    edit = exported(film)
    red, blue, green = edit.events
    after = replace(edit, events=(
        replace(green, start=0), replace(red, start=16, duration=14),
        replace(blue, start=24, duration=20, join=Join(frames=6, before=3)),
    ))  # fmt: skip
    taken = came(film, after, suffix)
    assert taken.left == ()
    assert dict(taken.rerender) == {}
    changed = film.path.read_text()
    again = open_film(film.path)
    assert [(e.start, e.duration, e.source_start) for e in exported(again).events] == [
        (0, 16, 0),
        (16, 14, 4),
        (24, 20, 4),
    ]
    assert [draft.request for draft in again.drafts] == [draft.request for draft in film.drafts], (
        "nothing is rendered"
    )
    untouched = FILM.split("edit:", maxsplit=1)[0]
    assert changed.startswith(untouched), "everything above the edit is as it was"
    assert "{shot: green, trim: [0.0, 1.0], fade_out: 0.25}" in changed
    assert "note: the blue one" in changed
    assert changed.endswith("titles:\n  - {text: Balls, at: 0.5, seconds: 1.0}\n")
    assert came(again, after, suffix).found.changes == (), "what is taken over is no change any more"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_the_shot_that_became_longer_is_rendered_again(suffix: str, film: OpenFilm) -> None:
    edit = exported(film)
    red, blue, green = edit.events
    after = replace(edit, events=(red, blue, replace(green, duration=24)))
    taken = came(film, after, suffix)
    assert dict(taken.rerender) == {"green": 25}, "24 frames are asked, and a shot has 4k+1"
    again = open_film(film.path)
    assert exported(again).events[2].duration == 24
    changed = {
        draft.shot
        for draft, was in zip(again.drafts, film.drafts, strict=True)
        if draft.request != was.request
    }
    assert changed == {"green"}
    assert taken.found.rerender == ("green",)


@pytest.mark.parametrize(
    ("model", "frames", "asked", "rendered"),
    [("ltx-video", 17, 24, 25), ("mochi-1", 19, 20, 25), ("self-forcing-t2v-1.3b", 21, 22, 33)],
)
def test_a_longer_shot_has_a_length_that_its_model_makes(
    model: str, frames: int, asked: int, rendered: int, tmp_path: Path
) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(
        f"title: One\nmodel: {model}\nsequences:\n  - id: one\n    shots:\n"
        f"      - {{id: red, prompt: a red ball rolls, frames: {frames}}}\n"
    )
    film = open_film(path)
    edit = exported(film)
    taken = came(film, replace(edit, events=(replace(edit.events[0], duration=asked),)), ".otio")
    assert dict(taken.rerender) == {"red": rendered}
    assert open_film(path).drafts[0].request.num_frames == rendered


def test_frames_before_the_first_are_put_before_it(film: OpenFilm) -> None:
    edit = exported(film)
    red, blue, green = edit.events
    after = replace(edit, events=(red, blue, replace(green, source_start=-3, duration=19)))
    taken = came(film, after, ".otio")
    assert dict(taken.rerender) == {"green": 21}
    assert exported(open_film(film.path)).events[2].source_start == 0


def test_what_a_film_cannot_say_is_listed(film: OpenFilm) -> None:
    edit = exported(film)
    red, blue, green = edit.events
    stock = replace(green, name="stock", shot="", take=0, digest="", media=None, start=40)
    after = replace(edit, events=(red, blue, stock, replace(green, start=64, speed=-green.speed)))
    taken = came(film, after)
    assert [line.split(":")[0] for line in taken.left] == ["'stock' at 01", "green", "green"]
    assert any("-1 times the speed" in line for line in taken.left)
    assert [entry.shot for entry in open_film(film.path).film.edit or ()] == ["red", "blue", "green"]


def test_a_dry_run_changes_nothing(film: OpenFilm) -> None:
    edit = exported(film)
    after = replace(edit, events=edit.events[:1])
    assert [c.kind for c in came(film, after, write=False).found.changes] == ["removed", "removed", "marker"]
    assert film.path.read_text() == FILM
    assert sorted(path.name for path in film.folder.iterdir()) == ["cut.fcpxml", "film.yaml"]


def test_a_cut_that_the_film_cannot_play_leaves_the_file(film: OpenFilm) -> None:
    edit = exported(film)
    green = replace(edit.events[2], duration=20_000)
    taken = came(film, replace(edit, events=(*edit.events[:2], green)))
    assert [change.kind for change in taken.found.changes] == ["trim", "rerender"], (
        "what the editor did is said all the same"
    )
    assert "film.yaml cannot take this cut over: shot green would need 20" in taken.refusal
    assert "makes 33 at most; play it at 0" in taken.refusal
    assert film.path.read_text() == FILM
    nothing = replace(edit, events=(replace(green, duration=9, name="x", shot="", media=None),))
    with pytest.raises(BadRequest, match="nothing of the film is left"):
        came(film, nothing)


def test_a_film_of_24_can_be_told_as_23_976(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(
        FILM.replace("fps: 16", "fps: 24")
        .replace("size: 256x160", "size: 1280x704\nmodel: wan2.2-ti2v-5b")
        .replace("1.0]", "0.5]")
    )
    film = open_film(path)
    edit, _ = edit_of_film(film, tmp_path, parse_rate("23.976"))
    assert edit.at(0) == "01:00:00:00"
    assert 1001 * edit.rate.fps == 24000
    with pytest.raises(TimelineError, match="cannot be told as 25"):
        edit_of_film(film, tmp_path, parse_rate("25"))
    for suffix in SUFFIXES:
        target, words = tmp_path / f"cut{suffix}", ["--film", str(path), "--json"]
        assert run(["film", "export", str(target), "--fps", "23.976", *words]) == 0
        assert read_timeline(target).edit.rate == parse_rate("24000/1001")
        assert "not on this machine" in json.loads(capsys.readouterr().out)["missing"]["red"]
        assert run(["film", "import", str(target), *words]) == 0
        assert json.loads(capsys.readouterr().out)["changes"] == []


def test_colours_and_notes_go_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "film.yaml"
    cdl = "grade: {cdl: {slope: [1.05, 1.0, 0.9], saturation: 0.8}}"
    path.write_text(FILM.replace("note: the blue one", f"note: the blue one\n    {cdl}"))
    film = open_film(path)
    assert [[marker.name for marker in event.markers] for event in exported(film).events] == [
        [],
        ["the blue one"],
        [],
    ]
    assert run(["film", "export", str(tmp_path / "cut.edl"), "--film", str(path)]) == 0
    assert "grades" not in capsys.readouterr().err
    lines = (tmp_path / "cut.edl").read_text().splitlines()
    at = lines.index("* ASC_SOP (1.05 1 0.9)(0 0 0)(1 1 1)")
    assert lines[at + 1] == "* ASC_SAT 0.8"
    assert "blue" in lines[at - 1]
    assert any(line.startswith("* LOC:") and line.endswith("the blue one") for line in lines)
    assert run(["film", "import", str(tmp_path / "cut.edl"), "--film", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == []
    assert run(["film", "export", str(tmp_path / "cut.xml"), "--film", str(path)]) == 0
    assert "not in .xml: grades stay in the film: 1" in capsys.readouterr().err


def test_a_refused_cut_is_told_with_what_changed(film: OpenFilm, capsys: pytest.CaptureFixture[str]) -> None:
    edit = exported(film)
    long = replace(edit.events[2], duration=60)
    write_timeline(replace(edit, events=(*edit.events[:2], long)), film.folder / "cut.fcpxml")
    words = ["film", "import", str(film.folder / "cut.fcpxml"), "--film", str(film.path)]
    assert run([*words, "--dry-run"]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("trim ")
    assert said.err.startswith("error: ")
    assert run([*words, "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["code"] == "bad_request"
    assert not told["written"]
    assert film.path.read_text() == FILM


def test_export_and_import_on_the_command_line(film: OpenFilm, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--film", str(film.path), "--json"]
    target = film.folder / "cut.edl"
    assert run(["film", "export", str(target), *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["missing"] == dict.fromkeys(["red", "blue", "green"], "not rendered yet")
    assert told["copied"] == []
    assert "16 frames a second" in told["notes"][0]
    text = target.read_text().replace("01:00:02:08 01:00:03:08", "01:00:02:08 01:00:03:00").replace(
        "00:00:00:00 00:00:00:12 01:00:02:08 01:00:03:04", "00:00:00:00 00:00:00:10 01:00:02:08 01:00:03:02")  # fmt: skip
    assert text != target.read_text()
    target.write_text(text)
    assert run(["film", "import", str(target), *words, "--dry-run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["written"]
    assert {change["shot"] for change in told["changes"]} == {"green"}
    assert run(["film", "import", str(film.folder / "none.edl"), *words]) == 2


def test_rendered_shots_go_along(film: OpenFilm, capsys: pytest.CaptureFixture[str]) -> None:
    text = film.path.read_text().replace("size: 256x160", "size: 128x128\nsteps: 1")
    film.path.write_text(text.replace("trim: [0.0, 1.0]", "trim: [0.0, 0.25]"))
    words = ["--film", str(film.path), "--json"]
    assert run(["film", "build", str(film.path), "--only", "green", "--json"]) == 0, capsys.readouterr()
    capsys.readouterr()
    target = film.folder / "cut.otioz"
    assert run(["film", "export", str(target), *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["copied"] == ["film_green_v001.mp4"]
    assert list(told["missing"]) == ["red", "blue"]
    clip = film.folder / "media" / "film_green_v001.mp4"
    assert probe(clip).num_frames == 17
    with zipfile.ZipFile(target) as archive:
        assert archive.read("media/film_green_v001.mp4") == clip.read_bytes()
    assert run(["film", "import", str(target), *words]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == []


def test_a_film_without_an_edit_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    text = FILM.split("# the cut", maxsplit=1)[0]
    path.write_text(text)
    film = open_film(path)
    edit = exported(film)
    red, blue, green = edit.events
    assert (red.duration, blue.duration, green.duration) == (33, 33, 17)
    after = replace(edit, events=(red, replace(green, start=33), replace(blue, start=50, duration=20)))
    assert [c.kind for c in came(film, after).found.changes] == ["moved", "trim"]
    assert path.read_text().startswith(text.rstrip())
    again = open_film(path)
    assert [(e.shot, e.duration) for e in exported(again).events] == [
        ("red", 33),
        ("green", 17),
        ("blue", 20),
    ]
    assert again.film.edit is not None
    assert again.film.edit[0].trim is None, "what did not change is not written out"
