"""The build, on the real pocket model at its smallest: what is made, what is kept, and what survives."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from filmwright.direction.build.builder import Built, build
from filmwright.direction.build.clock import BuildClock, Work
from filmwright.direction.build.events import BuildEvent, BuildProgress, Counted, Made
from filmwright.direction.build.forecast import forecast
from filmwright.direction.build.graph import takes_of
from filmwright.direction.build.status import explain, states
from filmwright.direction.build.store import Store
from filmwright.direction.film.change import select_take
from filmwright.direction.film.opened import open_film
from filmwright.media.lossless import stream_frames
from filmwright.media.video import probe, read_video
from filmwright.spec.errors import BadRequest, MediaError

CHILD = """
import os, signal, sys
from filmwright.direction.build.builder import build
from filmwright.direction.build.events import BuildProgress
from filmwright.direction.film.opened import open_film

def follow(event):
    if len(sys.argv) > 2 and isinstance(event, BuildProgress) and f"{event.name} {event.stage}" == sys.argv[2]:
        if event.share > follow.share > 0:
            os.kill(os.getpid(), signal.SIGKILL)
        follow.share = event.share
follow.share = 0
print(*build(open_film(sys.argv[1]), on_event=follow).made, sep="\\n")
"""


def rebuild(path: Path, old: str = "", new: str = "", **options: object) -> Built:
    """Builds the film, after a change of its text."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else text)
    return build(open_film(path), **options)  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def parts(store: Store) -> set[str]:
    """Keys of coded parts."""
    keys = {path.stem for path in (store.folder / "nodes").glob("*/*.json")}
    return {key for key in keys if (node := store.recall(key)) is not None and node.stage == "part"}


def test_a_build_with_no_change_makes_nothing_and_changes_nothing(film: Path, home: Path) -> None:
    before = tree(home) | tree(film.parent)
    done = rebuild(film)
    assert done.made == ()
    assert done.kept == ("k#1", "a#1", "b#1", "c#1", "-> film.mp4")
    assert tree(home) | tree(film.parent) == before


def test_a_build_loads_what_it_needs(film: Path) -> None:
    code = (
        "import sys\nfrom filmwright.cli.main import run\nassert run(['film', 'build', sys.argv[1]]) == 0\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'numpy', 'av', 'cv2'}))"
    )

    def loaded() -> str:
        command = [sys.executable, "-c", code, str(film)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]

    assert loaded() == "[]"
    film.write_text(film.read_text().replace("trim: [0.3125, 0.5625]", "trim: [0.25, 0.5]"))
    assert loaded() == "['av', 'numpy']"  # a cut alone is no work for a tensor library, nor for OpenCV


def test_the_film_is_what_its_cut_says(film: Path, home: Path) -> None:
    frames, rate = read_video(film.parent / "film.mp4")
    assert (len(frames), rate) == (9 + 4 + 5 - 2, 16)
    store = Store()
    takes = takes_of(open_film(film), store)
    shots = {name: np.stack(list(stream_frames(store.blob_path(take.node.outputs["frames"])))) for name, take in takes.items() if take.node}  # fmt: skip
    assert shots["a#1"].shape == (9, 128, 128, 3)
    assert np.abs(frames[3].astype(int) - shots["a#1"][3]).mean() < 3  # what H.264 costs
    assert np.abs(frames[15].astype(int) - shots["c#1"][4]).mean() < 3
    info = probe(film.parent / "film.mp4")
    assert (info.codec, info.matrix, info.transfer, info.value_range) == ("h264", "bt709", "bt709", "limited")


def test_shots_start_from_frames_of_others(film: Path, home: Path) -> None:
    store = Store()
    takes = takes_of(open_film(film), store)
    shots = {name: np.stack(list(stream_frames(store.blob_path(take.node.outputs["frames"])))).astype(int) for name, take in takes.items() if take.node}  # fmt: skip
    near, far = (
        np.abs(shots["a#1"][0] - shots["k#1"][0]).mean(),
        np.abs(shots["c#1"][0] - shots["k#1"][0]).mean(),
    )
    assert near < far / 3
    near, far = (
        np.abs(shots["b#1"][:5] - shots["a#1"][-5:]).mean(),
        np.abs(shots["c#1"][:5] - shots["a#1"][-5:]).mean(),
    )
    assert near < far / 3


@pytest.mark.parametrize(
    ("old", "new", "made"),
    [
        ("a blue cube spins on sand", "a blue cube spins on grass", ["c#1", "-> film.mp4"]),
        ("{id: a, frames: 9, keyframe: k, prompt: a red ball rolls", "{id: a, frames: 9, keyframe: k, prompt: a red ball slides",
         ["a#1", "b#1", "-> film.mp4"]),
        ("take: 1", "take: 2", ["c#2", "-> film.mp4"]),
    ],
)  # fmt: skip
def test_a_changed_word_renders_that_shot_and_what_starts_from_it(
    film: Path, old: str, new: str, made: list[str]
) -> None:
    assert list(rebuild(film, old, new).made) == made


@pytest.mark.parametrize(
    ("old", "new", "coded"),
    [
        ("trim: [0.3125, 0.5625]", "trim: [0.25, 0.5]", 2),  # b, and c, which comes out of it
        ("- {shot: a}", "- {shot: a, speed: 0.5}", 1),  # what comes later only moves
        ("seconds: 0.125}", "seconds: 0.1875}", 2),
        ("edit:", "titles: [{text: x, at: 0.0, seconds: 0.2}]\nedit:", 1),
        ("- {shot: c, ", "- {shot: c, grade: {cdl: {saturation: 0.0}}, ", 1),
    ],
)
def test_a_changed_edit_renders_nothing_and_codes_its_part(
    film: Path, old: str, new: str, coded: int
) -> None:
    store = Store()
    before = parts(store)
    assert len(before) == 3
    assert rebuild(film, old, new).made == ("-> film.mp4",)
    assert len(parts(store) - before) == coded


def test_a_film_s_name_and_its_notes_make_nothing(film: Path) -> None:
    assert rebuild(film, "title: Four shots", "title: Others").made == ()


def test_two_films_share_what_they_have_in_common(film: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(film, other / "mine.yaml")
    assert rebuild(other / "mine.yaml").made == ()
    assert (other / "mine.mp4").read_bytes() == (film.parent / "film.mp4").read_bytes()
    assert list(rebuild(other / "mine.yaml", "spins", "rests").made) == ["c#1", "-> mine.mp4"]
    assert rebuild(film).made == ()


def test_a_deliverable_that_was_changed_or_removed_is_put_back(film: Path) -> None:
    target = film.parent / "film.mp4"
    right = target.read_bytes()
    for change in (target.unlink, lambda: target.write_bytes(right[:-1] + b"x")):
        change()
        assert rebuild(film).made == ()
        assert target.read_bytes() == right


def test_two_builds_at_once_render_each_shot_once(film: Path, home: Path) -> None:
    film.write_text(
        film.read_text().replace("on a wooden floor", "on a marble floor").replace("sand", "grass")
    )
    command = [sys.executable, "-c", CHILD, str(film)]
    builds = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    made = []
    for process in builds:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        made += out.split("\n")
    assert sorted(filter(None, made)) == ["-> film.mp4", "a#1", "b#1", "c#1", "k#1"]
    assert rebuild(film).made == ()
    assert Store().check() == []


def test_a_build_that_is_killed_loses_nothing_that_was_finished(film: Path, home: Path) -> None:
    old, new = "a red ball rests", "a yellow ball rests"
    film.write_text(film.read_text().replace(old, new))
    whole = film.parent.parent / "whole"
    shutil.copytree(home, whole)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(film), "a#1 decode"], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert list((home / "runs").glob("*/latents.safetensors"))  # what shot a had reached is kept
    left = set((home / "store").glob("**/.*"))
    assert left
    assert all("work" in path.parts for path in left)
    other = film.with_name("other.yaml")
    other.write_text(film.read_text().replace("on sand", "on grass"))
    assert rebuild(other, only="c").made == ("c#1",)
    assert not list((home / "store").glob("**/.*"))  # the next build that makes anything sweeps them
    assert list((home / "runs").glob("*/latents.safetensors"))
    built = rebuild(film)
    assert built.made == ("a#1", "b#1", "-> film.mp4")  # k was finished
    assert not list((home / "runs").iterdir())
    digests = [event.source.blob for event in built.cut.events]
    again = build(open_film(film), store=Store(whole / "store"))
    assert "a#1" in again.made
    assert [event.source.blob for event in again.cut.events] == digests  # to the bit


def test_what_is_half_written_is_swept_unless_its_process_lives(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead, made_now, resumed = (store.folder / "work" / (letter * 64) for letter in "abc")
    for work in (dead, made_now, resumed):
        work.mkdir(parents=True)
    left = dead / f".clip.{gone.pid}.signed-{gone.pid}.mp4"
    of_my_number = dead / f".frames.{os.getpid()}.mkv"  # in a container every build may have the same
    pictures = dead / f".film.{gone.pid}"
    pictures.mkdir()
    kept = [dead / "clip.mp4", made_now / f".clip.{gone.pid}.mp4", resumed / f".clip.{os.getppid()}.mp4"]
    for path in (left, of_my_number, pictures / "film.000000.png", *kept):
        path.write_bytes(b"x")
    with store.making(made_now.name) as mine, store.in_use():
        assert mine == made_now
        assert not left.exists()
        assert not of_my_number.exists()
        assert not pictures.exists()
        assert all(path.exists() for path in kept)
    aside = store.folder / "nodes" / "ab" / f".{'ab' * 32}.{gone.pid}.json"
    aside.parent.mkdir(parents=True)
    aside.write_text("{}")
    store.gc(0)
    assert not aside.exists()
    assert not list((store.folder / "work").iterdir())


def test_a_damaged_blob_is_found_by_its_hash_and_made_anew(film: Path) -> None:
    store = Store()
    node = takes_of(open_film(film), store)["c#1"].node
    assert node is not None
    blob = store.blob_path(node.outputs["frames"])
    right, state = blob.read_bytes(), blob.stat()
    blob.write_bytes(right[:-9] + b"123456789")
    assert [state.state for state in explain(open_film(film), store, "c") if state.take == 1] == ["damaged"]
    assert rebuild(film).made == ("c#1",)  # the same frames again: nothing depends on anything new
    assert blob.read_bytes() == right

    blob.write_bytes(right[:-9] + b"123456789")
    os.utime(blob, ns=(state.st_atime_ns, blob.stat().st_mtime_ns))
    kept = store.recall(node.key)
    assert kept is not None
    os.utime(
        blob, ns=(0, kept.outputs["frames"].changed)
    )  # rot leaves no new time of change: only its bytes tell
    assert rebuild(film).made == ()
    assert store.check() == [str(blob)]
    assert rebuild(film).made == ("c#1",)
    assert store.check() == []


def test_blobs_that_were_copied_with_other_times_are_still_known(film: Path, home: Path) -> None:
    for path in home.rglob("*.*"):
        if path.is_file():
            os.utime(path, (4e9, 4e9))  # a clock that is a lifetime ahead
    os.utime(film, (1, 1))
    assert rebuild(film).made == ()
    store = Store()
    assert all(path.stat().st_mtime < 4e9 for path in (store.folder / "blobs").glob("*/*.mkv"))
    assert store.gc(10**9).nodes == 0


def test_explain_names_the_input_with_its_old_and_new_value(film: Path) -> None:
    film.write_text(
        film.read_text().replace("cube spins on sand", "cube spins on grass").replace("steps: 1", "steps: 2")
    )
    found = explain(open_film(film), Store(), "c")
    assert [(state.name, state.state) for state in found] == [("c#1", "dirty"), ("c#2", "missing")]
    assert {reason.line for reason in found[0].reasons} == {
        'prompt: "a blue cube spins on sand" -> "a blue cube spins on grass"',
        "steps: 1 -> 2",
    }
    b = {state.name: state for state in explain(open_film(film), Store(), "b")}
    assert list(b) == ["k#1", "a#1", "b#1"]
    assert b["b#1"].reasons[0].line == "waits for shot a, which is not rendered"
    assert "steps: 1 -> 2" in [reason.line for reason in b["b#1"].reasons]


def test_explain_says_which_edit_changed_the_film(film: Path) -> None:
    film.write_text(film.read_text().replace("trim: [0.3125, 0.5625]", "trim: [0.25, 0.5625]"))
    last = states(open_film(film), Store())[-1]
    assert (last.name, last.state) == ("-> film.mp4", "dirty")
    assert "cut.events.2.source_start: 5 -> 4" in [reason.line for reason in last.reasons]


def test_all_takes_are_rendered_until_one_is_selected(film: Path) -> None:
    assert rebuild(film, ", take: 1", "").made == ("c#2",)
    select_take(film, "c", 2)
    assert rebuild(film).made == ("-> film.mp4",)
    assert rebuild(film, "takes: [3, 4]", "takes: [3, 4, 5]").made == ()
    assert rebuild(film, all_takes=True).made == ("c#3",)


def test_only_renders_one_shot_and_what_it_starts_from(film: Path) -> None:
    film.write_text(
        film.read_text()
        .replace("keyframe: k, prompt: a red", "keyframe: k, prompt: a blue")
        .replace("on sand", "on grass")
    )
    before = (film.parent / "film.mp4").read_bytes()
    assert rebuild(film, only="a").made == ("a#1",)
    assert (film.parent / "film.mp4").read_bytes() == before
    assert {state.name for state in states(open_film(film), Store()) if state.state == "dirty"} == {
        "b#1",
        "c#1",
    }
    with pytest.raises(BadRequest, match="there is no shot 'z': there is k, a, b, c"):
        rebuild(film, only="z")


def test_progress_is_over_the_whole_film(film: Path) -> None:
    events: list[BuildEvent] = []
    text = film.read_text().replace("frames: 5}, prompt: a red", "frames: 5}, prompt: a white")
    film.write_text(text.replace("on sand", "on a marble floor"))
    rebuild(film, on_event=events.append)
    assert events[0] == Counted(to_make=3, kept=2)
    assert [event.name for event in events if isinstance(event, Made)] == ["b#1", "c#1", "-> film.mp4"]
    steps = [event for event in events if isinstance(event, BuildProgress)]
    shares = [event.share for event in steps]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(1)
    assert len(set(shares)) > 8
    assert all(0 <= event.share <= 1 for event in steps)
    assert all(event.seconds_left is not None for event in steps)  # the model's pace is known from before


def test_time_left_is_the_plans_until_something_was_seen(tmp_path: Path) -> None:
    takes = {name: Work(pace="some model", units=1e6) for name in ("a#1", "b#1")}
    quick = {"a#1 grade": Work(pace="post.grade", units=1e4), "-> film.mp4": Work(pace="cut", units=1e4)}
    left: list[float | None] = []

    def note(event: BuildEvent) -> None:
        assert isinstance(event, BuildProgress)
        left.append(event.seconds_left)

    clock = BuildClock(takes | quick, Store(tmp_path / "store"), note)
    clock.start("a#1")
    clock.expect(takes["a#1"], 3600.0)
    clock.start("a#1")
    clock.end("a#1", 1800.0)
    clock.start("b#1")
    assert left == [None, pytest.approx(7200, rel=0.01), pytest.approx(1800, rel=0.01)]


def test_a_plan_says_what_will_be_rendered_and_what_it_needs(film: Path) -> None:
    assert forecast(open_film(film), Store()) == ()
    film.write_text(film.read_text().replace("on sand", "on grass"))
    (row,) = forecast(open_film(film), Store())
    assert (row.name, row.num_frames, row.width) == ("c#1", 5, 128)
    assert row.seconds is not None
    assert 0 < row.seconds < 60
    assert 5e7 < row.peak < 2e9


def test_what_does_not_fit_is_said_before_anything_is_rendered(film: Path, home: Path) -> None:
    before = tree(home)
    with pytest.raises(BadRequest, match=r"^shot k: 128x128 with 1 frames on pocket needs .* allow --memory"):
        rebuild(film, "a red ball", "a white ball", memory=10**6)
    assert tree(home) == before


def test_gc_sweeps_what_was_not_used_for_longest(film: Path) -> None:
    store = Store()
    rebuild(film, "cube spins", "cube rests")
    size, opened = store.size(), open_film(film)
    for name, take in takes_of(opened, store).items():
        if take.node:
            age = 1e9 if name == "b#1" else 2e9
            path = store.folder / "nodes" / take.node.key[:2] / f"{take.node.key}.json"
            os.utime(path, (age, age))
    swept = store.gc(size - 1)
    assert swept.freed > 0
    assert swept.kept == store.size() == size - swept.freed
    assert [state.name for state in states(opened, store) if state.state == "swept"] == ["b#1"]
    with store.in_use(), pytest.raises(BadRequest, match="a build is at work"):
        store.gc(0)
    store.gc(0)
    assert store.size() == 0
    assert {state.state for state in states(opened, store)} >= {"swept", "missing", "waits"}
    assert rebuild(film, only="c").made == ("c#1",)


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user who may write nowhere, if we are root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_store_that_cannot_be_written_serves_what_it_has_and_says_what_it_cannot(film: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(home, place / "home")
        shutil.copytree(film.parent, place / "film")
        monkeypatch.setenv("FILMWRIGHT_HOME", str(place / "home"))
        path = place / "film" / "film.yaml"
        for item in [place, *place.rglob("*")]:
            item.chmod(0o555 if item.is_dir() else 0o444)
        before = tree(place)
        with as_nobody():
            assert build(open_film(path)).made == ()
            other = path.read_text().replace("on sand", "on grass")
        try:
            path.chmod(0o644)
            path.write_text(other)
            path.chmod(0o444)
            (place / "film").chmod(0o777)
            with as_nobody(), pytest.raises(MediaError) as told:
                build(open_film(path))
        finally:
            for item in [place, *place.rglob("*")]:
                item.chmod(0o755)
        assert re.search(
            r"the store .*home/store cannot be used .*not writable.*set FILMWRIGHT_HOME", str(told.value)
        )
        assert "\n" not in str(told.value)
        assert {k: v for k, v in tree(place).items() if not k.endswith("film.yaml")} == {
            k: v for k, v in before.items() if not k.endswith("film.yaml")
        }


def test_a_full_disk_breaks_nothing(film: Path, home: Path) -> None:
    """A limit on the size of files stands for the end of the disk."""
    before = tree(home / "store" / "nodes")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, limits[1]))
    try:
        with pytest.raises(MediaError, match="the disk is full") as told:
            rebuild(film, "on sand", "on grass")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(told.value)
    assert tree(home / "store" / "nodes") == before
    assert Store().check() == []
    assert rebuild(film).made == ("c#1", "-> film.mp4")
