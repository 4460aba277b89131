"""Bits that rot in the store, without a new size or time of change: they are found before they are used, and healed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from filmwright.cli.film_drawing import FilmDrawing
from filmwright.cli.main import run
from filmwright.direction.build.builder import Built, build
from filmwright.direction.build.events import BuildEvent, Counted, Making, Told
from filmwright.direction.build.forecast import forecast, to_make
from filmwright.direction.build.graph import takes_of
from filmwright.direction.build.status import states
from filmwright.direction.build.store import DamagedBlob, Node, Store
from filmwright.direction.film.opened import open_film
from filmwright.media.boxes import boxes_of
from filmwright.provenance.verdict import verify_file
from filmwright.spec.errors import MediaError


def node_of(film: Path, name: str) -> Node:
    node = takes_of(open_film(film), Store())[name].node
    assert node is not None
    return node


def rot(path: Path) -> None:
    """Flips one bit in the middle of the media, and keeps the size and the time of change."""
    state, data = path.stat(), bytearray(path.read_bytes())
    boxes = boxes_of(data) if path.suffix == ".mp4" else []
    media = next((box for box in boxes if box.path == "mdat"), None)
    data[len(data) // 2 if media is None else (media.content + media.end) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def blob(film: Path, name: str, output: str) -> Path:
    return Store().blob_path(node_of(film, name).outputs[output])


def change(film: Path, old: str, new: str) -> None:
    text = film.read_text()
    assert old in text
    film.write_text(text.replace(old, new))


def rebuilt(film: Path) -> tuple[Built, list[str]]:
    """What a build made, and what it said was damaged."""
    told: list[BuildEvent] = []
    built = build(open_film(film), on_event=told.append)
    return built, [event.message for event in told if isinstance(event, Told) and event.code == "damaged"]


SHORTER = ("{shot: c, ", "{shot: c, trim: [0, 0.25], ")


@pytest.mark.parametrize(
    ("output", "edit"),
    [
        ("clip", SHORTER),  # which the film's credentials nest
        ("frames", SHORTER),  # which are coded anew
        ("frames", ("edit:", "deliverables: [{path: film.mov, format: prores-422-hq}]\nedit:")),
        ("frames", ("edit:", "deliverables: [{path: poster.png, format: poster}]\nedit:")),
    ],
)
def test_a_shot_that_rots_is_rendered_anew_when_the_film_is(
    film: Path, output: str, edit: tuple[str, str]
) -> None:
    place = blob(film, "c#1", output)
    rot(place)
    assert build(open_film(film)).made == (), "what is not used is not read"
    change(film, *edit)
    built, damaged = rebuilt(film)
    assert built.made == ("c#1", f"-> {open_film(film).outputs[0].path.name}")
    assert damaged == [f"{place} is damaged and made anew"]
    assert verify_file(built.files[0]).state == "valid"
    assert Store().check(remove=False) == []


@pytest.mark.parametrize("output", ["frames", "clip", "last"])
def test_what_a_shot_starts_from_is_read_before(film: Path, output: str) -> None:
    """The frame, and the clip that it is of, which its credentials nest."""
    first = "k#1" if output == "last" else "a#1"
    rot(blob(film, first, output))
    if output == "last":
        change(film, "keyframe: k, prompt: a red ball rolls", "keyframe: k, prompt: a red ball slides")
    else:
        change(film, "frames: 5}, prompt: a red ball rolls", "frames: 5}, prompt: a red ball slides")
    built, damaged = rebuilt(film)
    assert built.made[0] == first
    assert bool(damaged) == (output == "clip"), "frames are read before anything is said"
    verdict = verify_file(built.files[0])
    assert verdict.state == "valid", "no shot nests what was damaged"


def test_post_reads_what_it_works_on(film: Path) -> None:
    rot(blob(film, "c#1", "frames"))
    change(film, "take: 1, prompt", "take: 1, post: [deflicker], prompt")
    built, damaged = rebuilt(film)
    assert built.made == ("c#1", "c#1 deflicker", "-> film.mp4")
    assert len(damaged) == 1


def test_coded_parts_and_films_are_read_before_they_are_put_together(film: Path) -> None:
    store = Store()
    keys = {path.stem for path in (store.folder / "nodes").glob("*/*.json")}
    nodes = [node for key in keys if (node := store.recall(key)) is not None]
    for node in nodes:
        if node.stage in {"part", "cut"}:
            rot(store.blob_path(node.outputs["file"]))
    (film.parent / "film.mp4").unlink()
    built, damaged = rebuilt(film)
    assert built.made == ("-> film.mp4",)
    assert len(damaged) == 1
    assert verify_file(film.parent / "film.mp4").state == "valid"
    assert Store().check(remove=False) == []


def test_status_reads_all_of_it_when_asked(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rot(blob(film, "c#1", "clip"))

    def said(*options: str) -> list[str]:
        capsys.readouterr()
        assert run(["film", "status", str(film), *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if not line.startswith("clean") and line != "missing    c#2"]

    assert said() == []
    assert said("--verify") == ["damaged  * c#1", "waits      -> film.mp4"]
    assert said()[0] == "damaged  * c#1", "it is known from then on"
    assert [row.name for row in forecast(open_film(film), Store())] == ["c#1"]
    assert build(open_film(film)).made == ("c#1",)
    assert said("--verify") == []


@pytest.mark.parametrize("options", [[], ["--private"]])
def test_what_rots_is_not_given_to_editors(
    film: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    rot(blob(film, "c#1", "clip"))
    words = ["film", "export", str(film.parent / "cut.otio"), "--film", str(film), *options]
    assert run(words) == 0
    assert "missing: c: damaged in the store; `filmwright film build" in capsys.readouterr().err
    media = film.parent / "media"
    assert sorted(path.name for path in media.iterdir()) == ["film_a_v001.mp4", "film_b_v001.mp4"]
    assert build(open_film(film)).made == ("c#1",)
    assert run(words) == 0
    assert verify_file(media / "film_c_v001.mp4").state == "valid"


def test_a_private_copy_that_rots_is_made_anew(film: Path) -> None:
    words = ["film", "export", str(film.parent / "cut.otio"), "--film", str(film), "--private"]
    assert run(words) == 0
    store, copy = Store(), film.parent / "media" / "film_c_v001.mp4"
    place = next(
        path for path in (store.folder / "blobs").glob("*/*.mp4") if path.read_bytes() == copy.read_bytes()
    )
    rot(place)
    copy.unlink()
    assert run(words) == 0
    assert verify_file(copy).state == "valid"


@pytest.mark.parametrize("edit", [SHORTER, ("take: 1, prompt", "take: 1, post: [deflicker], prompt")])
def test_a_clip_whose_credentials_do_not_hold_is_damaged(film: Path, edit: tuple[str, str]) -> None:
    """Its bytes are those that were put into the store, but they had been changed before."""
    store, node = Store(), node_of(film, "c#1")
    wrong = film.parent / "wrong.mp4"
    wrong.write_bytes(store.blob_path(node.outputs["clip"]).read_bytes())
    rot(wrong)
    files = {}
    for name in ("frames", "last", "sidecar"):
        kept = store.blob_path(node.outputs[name])
        files[name] = Path(shutil.copy(kept, film.parent / f"{name}{kept.suffix}"))
    store.put(node.key, node.stage, node.inputs, {**files, "clip": wrong}, node.seconds, node.facts)
    assert "damaged" not in {state.state for state in states(open_film(film), store, thorough=True)}
    change(film, *edit)
    built, damaged = rebuilt(film)
    assert (built.made[0], built.made[-1]) == ("c#1", "-> film.mp4")
    assert len(damaged) == 1
    assert verify_file(film.parent / "film.mp4").state == "valid"


def test_a_disk_that_keeps_nothing_is_no_endless_build(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rot(blob(film, "c#1", "frames"))
    change(film, *SHORTER)
    put = Store.put

    def losing(self: Store, *given: object, **more: object) -> Node:
        node = put(self, *given, **more)  # type: ignore[arg-type]
        if node.stage == "render":
            rot(self.blob_path(node.outputs["frames"]))
        return node

    monkeypatch.setattr(Store, "put", losing)
    with pytest.raises(MediaError, match="is damaged as soon as it is written: check the disk of the store"):
        build(open_film(film))


def test_a_blob_is_read_once_a_process(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    from filmwright.direction.build import store as module

    digest: Callable[[Path | str], str] = module.digest_file
    monkeypatch.setattr(module, "digest_file", lambda path: (read.append(Path(path).name), digest(path))[1])
    store, place = Store(), blob(film, "c#1", "clip")
    assert build(open_film(film), store=store).made == ()
    assert read == [], "a build with no change reads no film"
    for _ in range(2):
        assert store.proved(place) == place
    assert read == [place.name]
    rot(place)
    with pytest.raises(DamagedBlob, match=r"is damaged: `filmwright film build` makes it anew"):
        store.proved(place)


def test_status_and_plan_say_the_same_of_what_was_swept(
    film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(film, "take: 1, prompt", "take: 1, post: [deflicker], prompt")
    build(open_film(film))
    store = Store()
    for path in (store.folder / "nodes").glob("*/*.json"):
        node = store.recall(path.stem)
        assert node is not None
        age = {"render": 3e9, "part": 2e9}.get(node.stage, 1e9)
        os.utime(path, (age, age))
    size = store.size()
    words = ["film", "gc", "--keep", f"{size - 1}B"]
    capsys.readouterr()
    assert run([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"-> film.mp4 of {film}: " in said or f"c#1 deflicker of {film}: " in said
    assert "would be removed" in said.splitlines()[-1]
    assert store.size() == size
    assert {state.state for state in states(open_film(film), store)} == {"clean", "missing"}

    store.gc(
        sum(b.size for name in ("k#1", "a#1", "b#1", "c#1") for b in node_of(film, name).outputs.values())
    )
    assert run(["film", "status", str(film)]) == 0
    said = capsys.readouterr().out
    assert "swept    * c#1 deflicker" in said
    assert "damaged" not in said
    assert [state.name for state in to_make(open_film(film), store)] == ["c#1 deflicker", "-> film.mp4"]
    assert run(["film", "plan", str(film)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "c#1",
        "deflicker",
        "made",
        "of",
        "what",
        "is",
        "rendered;",
        "was",
        "swept,",
        "made",
        "again",
    ]
    assert lines[-1] == "nothing to render, 2 results to make"
    assert build(open_film(film)).made == ("c#1 deflicker", "-> film.mp4")
    assert run(["film", "plan", str(film)]) == 0
    assert capsys.readouterr().out == "nothing to render\n"


def test_a_bar_that_begins_anew_takes_the_place_of_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bars = []
    with FilmDrawing() as drawing:
        for count in (2, 1):  # a build that found damage counts again
            drawing(Counted(to_make=count, kept=0))
            drawing(Making(name="a#1", index=1, count=count))
            bars.append(drawing._bar)
        assert [bar.live.is_started for bar in bars if bar is not None] == [False, True]
