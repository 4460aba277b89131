"""Post in a film: each stage a result of its own, made when what it works on or how it works has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from filmwright.cli.main import run
from filmwright.direction.build.builder import Built, build
from filmwright.direction.build.graph import rendered, steps_of, takes_of
from filmwright.direction.build.status import explain, states
from filmwright.direction.build.store import Store
from filmwright.direction.film.opened import open_film
from filmwright.media.lossless import stream_frames
from filmwright.media.video import probe, read_video
from filmwright.provenance.verdict import Made, verify_file
from filmwright.spec.errors import BadFilm

WORDS = "{id: c, frames: 5, takes: [3, 4], take: 1, prompt: a blue cube spins on sand}"
POSTED = WORDS[:-1] + ", post: [deflicker, {stabilise: {crop: 0.1}}, {grade: {cdl: {saturation: 0.5}}}]}"


def rebuild(path: Path, old: str = "", new: str = "", **options: object) -> Built:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else text)
    return build(open_film(path), **options)  # type: ignore[arg-type]


def test_only_the_stages_that_a_change_touches_run_again(film: Path) -> None:
    first = rebuild(film, WORDS, POSTED)
    assert first.made == ("c#1 deflicker", "c#1 stabilise", "c#1 grade", "-> film.mp4")
    assert rebuild(film).made == ()
    assert rebuild(film, "saturation: 0.5", "saturation: 0.4").made == ("c#1 grade", "-> film.mp4")
    assert (
        rebuild(film, "saturation: 0.4", "saturation: 0.5").made == ()
    )  # both are there; the film is put back
    assert rebuild(film, "crop: 0.1", "crop: 0.2").made == ("c#1 stabilise", "c#1 grade", "-> film.mp4")
    assert rebuild(film, "take: 1", "take: 2").made[:2] == ("c#2", "c#2 deflicker")


def test_the_film_plays_what_post_made(film: Path) -> None:
    rebuild(film, WORDS, WORDS[:-1] + ", post: [{grade: {cdl: {saturation: 0.0}}}]}")
    opened, store = open_film(film), Store()
    take = takes_of(opened, store)["c#1"]
    assert take.node is not None
    source = rendered(take, opened, store)
    assert source.path is not None
    assert source.clip is not None
    plain = np.stack(list(stream_frames(store.blob_path(take.node.outputs["frames"]))))
    grey = np.stack(list(stream_frames(source.path)))
    assert np.ptp(grey, axis=-1).max() <= 1
    assert np.ptp(plain, axis=-1).max() > 20
    assert np.abs(grey[..., 0] - plain @ [0.2126, 0.7152, 0.0722]).max() <= 1
    assert probe(source.clip).num_frames == 5


def made_of(path: Path) -> Made:
    verdict = verify_file(path)
    assert verdict.state == "valid"
    assert verdict.made is not None
    return verdict.made


def chain(made: Made) -> list[tuple[str, tuple[str, ...]]]:
    """A file and what it was made from, as (title, actions), down to the first."""
    below = [part for part in made.ingredients if part.relationship == "parentOf"]
    return [(made.title, made.actions), *(chain(below[0]) if below else [])]


def test_a_shot_with_post_keeps_its_words_its_model_and_its_seed(film: Path) -> None:
    rebuild(film, WORDS, POSTED)
    shot = made_of(film.parent / "film.mp4").ingredients[-1]
    assert (shot.title, shot.relationship) == ("c, take 1", "componentOf")
    assert chain(shot) == [
        ("c, take 1", ("c2pa.opened", "c2pa.color_adjustments")),
        ("after stabilise", ("c2pa.opened", "c2pa.edited")),
        ("after deflicker", ("c2pa.opened", "c2pa.edited")),
        ("as it was rendered", ("c2pa.created",)),
    ]
    while shot.generation is None:
        (shot,) = shot.ingredients
    told = {key: shot.generation[key] for key in ("prompt", "model", "seed")}
    assert told == {"prompt": "a blue cube spins on sand", "model": "pocket", "seed": "3"}


def test_a_film_that_is_posted_otherwise_says_so_even_if_it_looks_the_same(film: Path) -> None:
    plain = "{cdl: {saturation: 1.0}}"
    rebuild(film, WORDS, f"{WORDS[:-1]}, post: [{{grade: {plain}}}]}}")
    before = read_video(film.parent / "film.mp4")[0]
    assert rebuild(film, f"{{grade: {plain}}}", "{resize: {size: 128x128}}").made[-1] == "-> film.mp4"
    assert chain(made_of(film.parent / "film.mp4").ingredients[-1])[0][1] == ("c2pa.opened", "c2pa.resized")
    assert np.array_equal(read_video(film.parent / "film.mp4")[0], before)


def test_editors_get_what_post_made_once_and_signed(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rebuild(film, WORDS, POSTED[:-2] + ", {retime: {fps: 32}}]}")
    words = ["film", "export", str(film.parent / "cut.otio"), "--film", str(film)]
    assert run(words) == 0
    assert "3 shots in " in capsys.readouterr().out
    given = film.parent / "media" / "film_c_v001.mp4"
    opened, store = open_film(film), Store()
    last = steps_of(takes_of(opened, store)["c#1"], opened, store)[-1].node
    assert last is not None
    assert given.read_bytes() == store.blob_path(last.outputs["clip"]).read_bytes()
    assert run(["verify", str(given)]) == 0
    assert "prompt: a blue cube spins on sand" in capsys.readouterr().out
    public = read_video(given)
    assert run([*words, "--private"]) == 0
    made = made_of(given)
    assert (made.source, made.ingredients) == ("trainedAlgorithmicMedia", ())
    assert made.actions == (
        "c2pa.created",
        "c2pa.edited",
        "c2pa.edited",
        "c2pa.color_adjustments",
        "c2pa.edited",
    )
    for word in (b"blue cube", b"pocket"):
        assert word not in given.read_bytes()
    assert np.array_equal(read_video(given)[0], public[0])
    assert read_video(given)[1] == public[1] == 32
    assert run([*words[:2], str(film.parent / "cut.edl"), *words[3:]]) == 0
    (film.parent / "media" / "film_c_v001.mp4").unlink()
    film.write_text(film.read_text().replace("crop: 0.1", "crop: 0.2"))
    assert run(words) == 0
    assert "missing: c: not rendered yet" in capsys.readouterr().err
    assert not given.exists(), "the shot without its post is not the shot"


def test_a_films_post_is_that_of_its_shots_and_changes_rate_and_size(film: Path) -> None:
    common = "post: [{retime: {fps: 32, method: nearest}}, {resize: {size: 64x96}}]"
    text = film.read_text().replace("title: Four shots", f"title: Four shots\n{common}")
    film.write_text(text.replace("{id: a,", "{id: a, post: [],"))
    opened = open_film(film)
    assert {shot: [stage.name for stage in stages] for shot, stages in opened.post.items()} == {
        "b": ["retime", "resize"],
        "c": ["retime", "resize"],
    }
    by_shot = {event.source.shot: event.source for event in opened.cut().events}
    rate = by_shot["a"].fps
    assert (by_shot["a"].width, by_shot["a"].num_frames) == (128, 9)
    assert (by_shot["c"].fps, by_shot["c"].width, by_shot["c"].height) == (32, 64, 96)
    assert by_shot["c"].num_frames == -(-5 * 32 // rate)


def test_a_films_own_size_and_rate_are_those_that_its_post_makes(film: Path) -> None:
    common = "fps: 16\npost: [{retime: {fps: 24}}, {resize: {size: 256x256}}]"
    film.write_text(film.read_text().replace("title: Four shots", f"title: Four shots\n{common}"))
    opened = open_film(film)
    cut = opened.cut()
    assert (cut.width, cut.height, cut.fps) == (256, 256, 24)
    assert (opened.drafts[0].request.width, opened.drafts[0].request.fps) == (128, 16)
    assert (opened.outputs[0].width, opened.outputs[0].fps) == (256, 24)
    assert cut.seconds == pytest.approx((9 + 4 + 5 - 2) / 16, abs=3 / 24)


def test_a_shot_that_goes_on_leaves_out_the_shared_time_at_another_rate(film: Path) -> None:
    text = film.read_text().replace(", trim: [0.3125, 0.5625]", "")
    film.write_text(text.replace("title: Four shots", "title: Four shots\npost: [{retime: {fps: 24}}]"))
    opened = open_film(film)
    a, b, _ = opened.cut().events
    request = opened.selected()["b"].request
    assert a.source.fps == 24
    assert b.source_start == -(-5 * 24 // request.fps)
    assert b.source_start + b.num_source_frames == b.source.num_frames


def test_explain_names_the_parameter_and_status_names_the_stages(film: Path) -> None:
    rebuild(film, WORDS, POSTED)
    film.write_text(film.read_text().replace("crop: 0.1", "crop: 0.2"))
    found = {state.name: state for state in explain(open_film(film), Store(), "c")}
    assert list(found) == ["c#1", "c#1 deflicker", "c#1 stabilise", "c#1 grade", "c#2"]
    assert [state.state for state in found.values()] == ["clean", "clean", "dirty", "waits", "missing"]
    assert [reason.line for reason in found["c#1 stabilise"].reasons] == ["parameters.crop: 0.1 -> 0.2"]
    assert states(open_film(film), Store())[-1].reasons[0].line == "waits for shot c, which is not finished"


def test_one_shot_builds_its_own_post_and_others_start_from_what_was_rendered(film: Path) -> None:
    posted = film.read_text().replace("title: Four shots", "title: Four shots\npost: [deflicker]")
    film.write_text(posted)
    assert build(open_film(film), only="b").made == (
        "b#1 deflicker",
    )  # nothing of b itself, though a has post now
    assert build(open_film(film)).made == ("a#1 deflicker", "c#1 deflicker", "-> film.mp4")


def test_a_table_counts_by_its_bytes(film: Path) -> None:
    table = film.parent / "x.cube"
    table.write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n")
    assert "c#1 grade" in rebuild(film, WORDS, WORDS[:-1] + ", post: [{grade: {lut: x.cube}}]}").made
    shutil.copy(table, film.parent / "y.cube")
    assert rebuild(film, "x.cube", "y.cube").made == ()
    (film.parent / "y.cube").write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 0\n")
    assert rebuild(film).made == ("c#1 grade", "-> film.mp4")


def test_a_missing_stage_is_found_and_made_again(film: Path) -> None:
    rebuild(film, WORDS, POSTED)
    opened, store = open_film(film), Store()
    step = steps_of(takes_of(opened, store)["c#1"], opened, store)[1]
    assert step.node is not None
    store.blob_path(step.node.outputs["frames"]).unlink()
    assert build(opened).made == ("c#1 stabilise",)  # it comes out the same, so nothing after it is made


@pytest.mark.parametrize(
    ("post", "said"),
    [
        (
            "[sharpen]",
            "there is no stage 'sharpen': there is deflicker, denoise, stabilise, retime, resize, grade",
        ),
        ("[resize]", "resize has to be told what to do"),
        ("[{resize: {size: 63x64}}]", "cannot make 63x64: both sides must be even"),
        ("[{resize: {size: big}}]", "write it as width x height"),
        ("[{stabilise: {crop: 0.9}}]", "it should be less than or equal to 0.4"),
        ("[{stabilise: {crob: 0.1}}]", "unknown key 'crob': did you mean 'crop'?"),
        ("[{stabilize: {}}]", "unknown key 'stabilize': did you mean 'stabilise'?"),
        ("[{deflicker: {}, denoise: {}}]", "an item of post is one stage, not 2"),
        ("[{}]", "an item of post is one stage, not 0"),
        ("[{retime: {}}]", "'fps' is missing"),
        ("[{grade: {lut: bad.cube}}]", "bad.cube:2:5: 'x', which is no number"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, post: str, said: str) -> None:
    (tmp_path / "bad.cube").write_text("LUT_1D_SIZE 2\n0 0 x\n")
    path = tmp_path / "film.yaml"
    path.write_text(
        f"title: x\nsequences:\n  - id: s\n    shots:\n      - {{id: a, prompt: a ball, post: {post}}}\n"
    )
    with pytest.raises(BadFilm) as caught:
        open_film(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert lines[0].startswith(f"{path}:5:")
