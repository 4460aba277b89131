"""The film file: every mistake with its line and column, and what the words become."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from PIL import Image

from filmwright.direction.film.change import add_takes, select_take
from filmwright.direction.film.drafts import default_seed
from filmwright.direction.film.new import new_film, schema_text
from filmwright.direction.film.opened import OpenFilm, open_film
from filmwright.engine.options import KINDS
from filmwright.spec.errors import BadFilm, BadRequest
from filmwright.spec.film import Shot, film_schema

ROOT = Path(__file__).parents[2]
HEAD = """title: A film
size: 128x128
sequences:
  - id: one
    shots:
"""


def mistakes(folder: Path, text: str) -> list[str]:
    """All mistakes of a film file, as "line:column: what"."""
    path = folder / "film.yaml"
    path.write_text(text)
    with pytest.raises(BadFilm) as told:
        open_film(path)
    assert all("\n" not in line and line.startswith(f"{path}:") for line in told.value.mistakes)
    return [line.removeprefix(f"{path}:") for line in told.value.mistakes]


def opened(folder: Path, text: str) -> OpenFilm:
    path = folder / "film.yaml"
    path.write_text(text)
    return open_film(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            HEAD + "      - {id: a, promt: a ball}\n",
            ["6:17: unknown key 'promt': did you mean 'prompt'?"],
        ),
        (HEAD + "      - {id: a, prompt: a ball, seed: x}\n", ['6:39: seed is "x": it should be a valid integer']),
        (HEAD + "      - {id: a, prompt: a ball, seed: true}\n", ["6:39: seed is true: it should be a valid integer"]),
        (
            HEAD + "      - {id: A ball, prompt: a ball}\n",
            ['6:14: id is "A ball": a name has small letters, digits, - and _, at most 40'],
        ),
        (
            HEAD + "      - {id: a, prompt: a ball, camera: 3}\n",
            ["6:41: camera is 3: it should be a valid string"],
        ),
        ("title: x\n", ["1:1: 'sequences' is missing: give one"]),
        ("- a\n", ["1:1: a film file is a mapping with title and sequences; `filmwright film new` writes an example"]),
        (
            "title: a\ntitle: b\n",
            [
                ('2:1: this is not YAML: while constructing a mapping found duplicate key "title" with value "b" '
                '(original value: "a"); mend it, and mind spaces and colons')
            ],
        ),
        ("title: [a\nb: c\n", [("2:2: this is not YAML: while parsing a flow sequence expected ',' or ']', but got ':'; "
                               "mend it, and mind spaces and colons")]),
        ("title: !!python/object:os.system x\nsequences: 1\n", [
            "1:8: the tag tag:yaml.org,2002:python/object:os.system is not used in film files: leave it out"]),
        ("title: x\nsequences: !foo [a]\n", ["2:12: the tag !foo is not used in film files: leave it out"]),
        ("title: !!python/object/apply:os.system [x]\n", [
            "1:8: the tag tag:yaml.org,2002:python/object/apply:os.system is not used in film files: leave it out"]),
        (HEAD + "      - &x {id: a, <<: *x}\n", [
            "1:1: this is not YAML: a mapping is merged into itself with <<; leave that out"]),
        (HEAD + "      - {id: a, prompt: 2020-13-45}\n", ["6:25: this is not YAML: month must be in 1..12; mend it"]),
        (HEAD + '      - {id: a, prompt: "a b\\0ll"}\n', ["6:25: this has a control character (U+0000): leave it out"]),
    ],
)  # fmt: skip
def test_what_the_types_refuse_is_told_at_its_place(tmp_path: Path, text: str, told: list[str]) -> None:
    assert mistakes(tmp_path, text) == told


@pytest.mark.parametrize(
    ("shots", "told"),
    [
        (
            ("      - {id: a, prompt: x, continues: b}\n      - {id: b, prompt: x, continues: c}\n"
            "      - {id: c, prompt: x, continues: a}\n"),
            "8:39: shots start from each other in a circle: a -> b -> c -> a; let one start by itself",
        ),
        (
            "      - {id: a, prompt: x, continues: a}\n",
            "6:39: shots start from each other in a circle: a -> a; let one start by itself",
        ),
        ("      - {id: a, prompt: x, keyframe: b}\n", "6:38: there is no shot 'b': there is a"),
        (
            "      - {id: a, prompt: x, keyframe: b}\n      - {id: b, prompt: x}\n",
            "6:38: shot b is no keyframe: add still: true to it, or use continues",
        ),
        ("      - {id: a, prompt: x}\n      - {id: a, prompt: y}\n", "7:14: there are two shots 'a': rename one"),
        (
            "      - {id: a, prompt: x, takes: [4, 5, 4]}\n",
            "6:42: takes 1 and 3 overlap: both have seed 4; change one",
        ),
        (
            "      - {id: a, prompt: x, takes: [4, 5], take: 3}\n",
            "6:49: shot a has 2 takes, not 3: select one of them",
        ),
        (
            "      - {id: a, prompt: x, seed: 1, takes: [4, 5]}\n",
            "6:44: shot a has both a seed and takes: give one of them",
        ),
        ("      - {id: a}\n", "6:9: shot a has neither a brief nor a prompt: give one of them"),
        (
            '      - {id: a, prompt: "{hero} rolls"}\n',
            "6:25: shot a: shot a names the subject {hero}: there is none; add it to subjects",
        ),
        (
            "      - {id: a, prompt: x, frames: 34}\n",
            "6:36: shot a: 34 frames are out of range: model 'pocket' makes 1 to 33",
        ),
        (
            "      - {id: a, prompt: x, camera: push-on}\n",
            "6:36: shot a: unknown camera move 'push-on': did you mean 'push-in'?",
        ),
        ("      - {id: a, prompt: x, model: pockets}\n", "6:35: shot a: unknown model 'pockets': did you mean 'pocket'?"),
        (
            "      - {id: a, prompt: x, image: gone.png}\n",
            "6:35: shot a: cannot read FOLDER/gone.png: no such file or directory; check the path",
        ),
        (
            "      - {id: a, prompt: x, image: ../x.png}\n",
            "6:35: shot a: ../x.png leaves the film's folder: put the file inside, or give its absolute path",
        ),
        (
            "      - {id: a, prompt: x}\n      - {id: b, prompt: x, continues: {shot: a, frames: 6}}\n",
            "7:39: shot b: 6 frames cannot be carried on: 4k+1, such as 5",
        ),
        (
            "      - {id: a, prompt: x, frames: 5}\n      - {id: b, prompt: x, continues: {shot: a, frames: 9}}\n",
            "7:39: shot a has 5 frames, not 9: carry on fewer",
        ),
        (
            "      - {id: a, prompt: x, controls: {camera: {poses: [{at: 0, eye: [0, 1]}]}}}\n",
            "6:69: an item is missing: give one",
        ),
        (
            "      - {id: a, prompt: x, controls: {camera: {poses: [{at: soon, eye: [0, 1, 1]}]}}}\n",
            '6:61: at is "soon": write a frame, such as 24, or seconds, such as 1.5s',
        ),
        (
            "      - {id: a, prompt: x, controls: {camera: {mover: push-in}}}\n",
            "6:48: unknown key 'mover': did you mean 'move'?",
        ),
        (
            "      - {id: a, prompt: x, controls: {keyframes: [{at: 0, image: ../k.png}]}}\n",
            "6:38: shot a: ../k.png leaves the film's folder: put the file inside",
        ),
        (
            "      - {id: a, prompt: x, controls: {kling: {dynamic_masks: [{mask: ../m.png, trajectories: []}]}}}\n",
            "6:38: shot a: ../m.png leaves the film's folder: put the file inside",
        ),
        (
            "      - {id: a, prompt: x, controls: {keyframes: [{at: 9s, image: k.png}]}}\n",
            "6:38: shot a: a keyframe at 9s is past the end: the clip has 33 frames",
        ),
        (
            "      - {id: a, prompt: x, camera: orbit-left, controls: {camera: {move: push-in}}}\n",
            "6:58: shot a: both camera and controls say a camera: leave one out",
        ),
        ("      - {id: a, prompt: x, look: noir}\n", "6:34: there is no look 'noir': there is none"),
    ],
)  # fmt: skip
def test_what_a_shot_cannot_be_is_told_at_its_place(tmp_path: Path, shots: str, told: str) -> None:
    found = mistakes(tmp_path, HEAD + shots)
    assert len(found) == 1
    assert found[0].replace(str(tmp_path), "FOLDER").startswith(told)


TWO = (
    HEAD + "      - {id: a, frames: 33, prompt: x}\n      - {id: b, frames: 9, prompt: x}\n"
)  # 2.06 s and 0.56 s


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("edit: [{shot: c}]\n", "8:15: there is no shot 'c': there is a, b"),
        ("edit: [{shot: a, trim: [0, 3]}]\n", "8:24: a trim to 3 s is past the end of shot a: it has 2.062 s"),
        ("edit: [{shot: a, trim: [1, 0.5]}]\n", "8:24: a trim from 1 to 0.5 s leaves nothing: swap them"),
        ("edit: [{shot: a, trim: [1, 1.01]}]\n", "8:24: a trim from 1 to 1.01 s of shot a is less than one frame at 16 fps"),
        ("edit: [{shot: a, trim: [1]}]\n", "8:24: an item is missing: give one"),
        (
            "edit: [{shot: a}, {shot: b, transition: {kind: dissolve, seconds: 0.75}}]\n",
            "8:41: a dissolve of 0.75 s (12 frames) is longer than shot b plays: it can have 0.5 s at most",
        ),
        (
            ("edit: [{shot: a}, {shot: b, transition: {kind: wipe, seconds: 0.3}}, "
            "{shot: a, transition: {kind: dissolve, seconds: 0.3}}]\n"),
            "8:92: a dissolve of 0.3 s (5 frames) is longer than shot b plays: it can have 0.25 s at most",
        ),
        (
            "edit: [{shot: a, transition: {kind: dissolve}}]\n",
            "8:30: a dissolve of 0.5 s (8 frames) has nothing before it: use fade_in on the first event",
        ),
        ("edit: [{shot: b, fade_in: 0.5, fade_out: 0.5}]\n", "8:27: fades of 8 and 8 frames do not fit 9 frames of shot b"),
        ("sound: [{file: gone.wav}]\n", "8:16: cannot read FOLDER/gone.wav: No such file or directory; check the path"),
        ("sound: [{file: noise.wav}]\n", "8:16: cannot read FOLDER/noise.wav: it is broken or no sound"),
        ("sound: [{file: beep.wav, trim: [0, 9]}]\n", "8:32: this trim is past the end of beep.wav: it has 1 s"),
        ("sound: [{file: beep.wav, at: 60}]\n", "8:30: this sound begins after the film's end at 2.625 s"),
        ("titles: [{text: late, at: 60}]\n", "8:27: this title begins after the film's end at 2.625 s"),
        ("edit: [{shot: a, grade: {lut: bad.cube}}]\n", "8:31: cannot read FOLDER/bad.cube: 1 rows, its size 2 needs 8"),
        ("titles: [{text: x, font: noise.wav}]\n", "8:26: noise.wav is no font: give a TrueType or OpenType file"),
        ("edit: [{shot: a, grade: {lut: nan.cube}}]\n", "8:31: cannot read FOLDER/nan.cube:3:1: 1e9, which is out of range"),
        ("deliverables: [{path: ../film.mp4}]\n", "8:23: ../film.mp4 leaves the film's folder"),
        ("deliverables: [{path: out/film.mp4}]\n", "8:23: out/film.mp4 leaves the film's folder"),  # by a link
        ("deliverables: [{path: film.mov}]\n", "8:23: film.mov must end in .mp4 to hold h264: rename it"),
        ("deliverables: [{path: f.mp4, format: vhs}]\n", "8:38: unknown format 'vhs': there is h264, h265"),
        ("deliverables: [{path: f.mov, format: h265}]\n", "8:23: f.mov must end in .mp4 to hold h265: rename it"),
        ("deliverables: [{path: f.mp4, hdr: true}]\n", "8:35: h264 cannot carry HDR10: take one of h265-10, av1-10"),
        (
            "deliverables: [{path: f.mp4, loudness: -16}]\n",
            "8:40: there is no sound whose loudness could be set: leave loudness out",
        ),
        ("deliverables: [{path: f.wav, format: wav}]\n", "8:38: there is no sound to deliver as wav"),
        ("deliverables: [{path: f.mp4, fps: 300}]\n", "8:35: 300 frames a second are out of range: take 1 to 240"),
        ("deliverables: [{path: f.mp4, fps: fast}]\n", "8:35: 'fast' is no frame rate: give a number such as 24"),
        ("deliverables: [{path: f.mp4, fps: [24]}]\n", "8:35: fps is [24]: it should be a valid number"),
        ("deliverables: [{path: f.mov, format: dnxhr-hqx}]\n", "8:38: dnxhr-hqx cannot hold 128x128: 256x120 is the least"),
        (
            "deliverables: [{path: out2, format: png}, {path: out2/f.mp4}]\n",
            "8:50: out2/f.mp4 and another deliverable lie within each other: rename one",
        ),
        (
            "deliverables: [{path: p.png, format: poster, hdr: true}]\n",
            "8:51: a poster is one picture without sound: leave hdr and loudness out",
        ),
        ("deliverables: [{path: f.mp4}, {path: ./f.mp4}]\n", "8:38: two deliverables go to ./f.mp4: rename one"),
        ("deliverables: [{path: f.mp4, size: 255x160}]\n", "8:36: h264 cannot hold 255x160: both sides must be even"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_or_delivered_is_told_at_its_place(tmp_path: Path, rest: str, told: str) -> None:
    (tmp_path / "noise.wav").write_bytes(b"this is no sound" * 9)
    (tmp_path / "bad.cube").write_text("LUT_3D_SIZE 2\n0 0 0\n")
    (tmp_path / "nan.cube").write_text("LUT_1D_SIZE 2\n0 0 0\n1e9 1 1\n")
    folder = tmp_path / "film"
    (tmp_path / "elsewhere").mkdir()
    folder.mkdir()
    for name in ("noise.wav", "bad.cube", "nan.cube"):
        (tmp_path / name).rename(folder / name)
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    with wave.open(str(folder / "beep.wav"), "wb") as beep:
        beep.setnchannels(1)
        beep.setsampwidth(2)
        beep.setframerate(8000)
        beep.writeframes(bytes(16_000))
    found = mistakes(folder, TWO + rest)
    assert len(found) == 1
    assert found[0].replace(str(folder), "FOLDER").startswith(told)


def test_all_mistakes_are_told_at_once_in_the_file_s_order(tmp_path: Path) -> None:
    text = TWO + "edit:\n  - {shot: z}\n  - {shot: a, trim: [0, 9]}\ndeliverables: [{path: ../x.mp4}]\n"
    assert [line.split(":")[0] for line in mistakes(tmp_path, text)] == ["9", "10", "11"]


def test_aliases_that_grow_are_refused_at_once(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    found = mistakes(tmp_path, "\n".join(rows) + "\n")
    assert "more than 100,000 parts" in found[0]


def test_words_come_from_shot_look_and_subjects(tmp_path: Path) -> None:
    film = opened(
        tmp_path,
        """title: x
look: day
looks:
  day: {light: noon light, negative: blur}
  night: {light: night light, mood: cold tones}
subjects: {hero: a red ball}
sequences:
  - id: s
    shots:
      - {id: a, brief: {subject: "{hero}", action: rolls, setting: on sand}}
      - {id: b, look: night, brief: {subject: "{ hero }", action: rests, light: warm sunset light}}
      - {id: c, prompt: "{hero} spins", negative: words, camera: {move: push-in, amount: 0.5}}
""",
    )
    a, b, c = film.drafts
    assert a.request.prompt == "a red ball rolls on sand, noon light"
    assert b.request.prompt == "a red ball rests, warm sunset light, cold tones"
    assert c.request.prompt == "a red ball spins, noon light"
    assert (a.request.negative, b.request.negative, c.request.negative) == ("blur", "", "words")
    assert [(control.kind, control.move, control.amount) for control in c.request.controls] == [
        ("camera", "push-in", 0.5)
    ]  # type: ignore[union-attr]
    assert (a.request.seed, b.request.seed) == (default_seed("a"), default_seed("b"))
    assert a.request.seed != b.request.seed


def test_shots_come_after_those_that_they_start_from(tmp_path: Path) -> None:
    film = opened(
        tmp_path,
        HEAD
        + "      - {id: c, prompt: x, continues: {shot: b, frames: 5}}\n      - {id: b, prompt: x, keyframe: a}\n"
        "      - {id: a, prompt: x, still: true}\n",
    )
    assert [draft.shot for draft in film.drafts] == ["a", "b", "c"]
    assert film.drafts[0].request.num_frames == 1
    assert [(need.what, need.shot, need.num_frames) for need in film.drafts[2].needs] == [("prefix", "b", 5)]
    assert film.drafts[1].request.controls == ()  # the picture comes when there is one


def test_the_edit_in_frames(tmp_path: Path) -> None:
    film = opened(
        tmp_path,
        TWO
        + "      - {id: c, frames: 9, prompt: x, continues: b}\nedit:\n  - {shot: a, trim: [0.5, 1.5], fade_in: 0.25}\n"
        "  - {shot: a, speed: 2, transition: {kind: wipe, seconds: 0.25, direction: up}}\n  - {shot: b}\n  - {shot: c}\n",
    )
    cut = film.cut()
    rows = [
        (e.source.shot, e.source_start, e.num_source_frames, e.record_start, e.num_frames) for e in cut.events
    ]
    # c starts from b's last frame, which is left out, so that it does not show twice
    assert rows == [("a", 8, 16, 0, 16), ("a", 0, 33, 12, 17), ("b", 0, 9, 29, 9), ("c", 1, 8, 38, 8)]
    assert (cut.num_frames, cut.fps, cut.width, cut.height, cut.start_timecode) == (
        46,
        16,
        128,
        128,
        "01:00:00:00",
    )
    assert cut.events[0].fade_in == 4
    assert cut.events[1].join is not None
    assert (cut.events[1].join.kind, cut.events[1].join.num_frames, cut.events[1].join.direction) == (
        "wipe",
        4,
        "up",
    )
    assert [cut.events[1].source_frame(n, 16) for n in (0, 1, 16)] == [0, 2, 32]


def test_a_picture_is_part_of_a_request_by_its_bytes(tmp_path: Path) -> None:
    text = HEAD + "      - {id: a, prompt: x, image: first.png}\n"
    digests = []
    for color in ("red", "red", "blue"):
        Image.new("RGB", (128, 128), color).save(tmp_path / "first.png")
        digests.append(opened(tmp_path, text).drafts[0].request.digest())
    assert digests[0] == digests[1] != digests[2]


COMMENTED = """# the head
title:   "A film"     # odd spaces stay
size: 128x128
sequences:
- id: one
  shots:
  - id: a   # first
    prompt: 'x'
    takes: [3, 4]    # seeds
  - {id: b, prompt: x, seed: 7}   # in a row
  - id: c
    prompt: x
    takes:
    - 5
    - 6   # last
"""


def test_selecting_and_adding_takes_changes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(COMMENTED)
    select_take(path, "a", 2)
    assert path.read_text() == COMMENTED.replace("# first\n", "# first\n    take: 2\n")
    select_take(path, "a", 1)
    assert path.read_text() == COMMENTED.replace("# first\n", "# first\n    take: 1\n")
    path.write_text(COMMENTED)
    assert add_takes(path, "a", 2) == (5, 6)
    assert add_takes(path, "b", 1) == (8,)
    assert add_takes(path, "c", 1) == (7,)
    expected = COMMENTED.replace("[3, 4]", "[3, 4, 5, 6]").replace("seed: 7", "takes: [7, 8]")
    assert path.read_text() == expected.replace("- 6   # last\n", "- 6   # last\n    - 7\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.yaml"]
    with pytest.raises(BadRequest, match="shot b has 2 takes, not 3"):
        select_take(path, "b", 3)
    with pytest.raises(BadRequest, match="there is no shot 'z': there is a, b, c"):
        select_take(path, "z", 1)


def test_the_example_has_no_mistakes_and_is_never_written_over_a_file(tmp_path: Path) -> None:
    path = new_film(tmp_path / "mine.yaml")
    film = open_film(path)
    assert len(film.film.shots) == 4
    assert film.outputs[0].path == tmp_path / "mine.mp4"
    path.write_text("mine\n")
    with pytest.raises(BadRequest, match="is there already and stays as it is"):
        new_film(path)
    assert path.read_text() == "mine\n"


def test_the_long_example_has_no_mistakes() -> None:
    film = open_film(ROOT / "examples" / "minute" / "film.yaml")
    assert len(film.film.shots) >= 12
    assert 55 <= film.cut().seconds <= 65
    events = film.cut().events
    assert {event.join.kind for event in events if event.join} == {"dissolve", "wipe"}
    assert {event.speed for event in events} > {1.0}
    assert film.cut().titles
    assert any(not event.grade.is_plain for event in events)


def test_the_published_schema_is_current() -> None:
    assert (ROOT / "docs" / "film.schema.json").read_text("utf-8") == schema_text(), (
        "write it anew: filmwright film schema > docs/film.schema.json"
    )
    assert set(film_schema()["required"]) == {"title", "sequences"}
    assert json.loads(schema_text())["additionalProperties"] is False


def test_a_check_loads_no_tensor_library(tmp_path: Path) -> None:
    path = new_film(tmp_path / "film.yaml")
    code = (
        "import sys; from filmwright.direction.film.opened import open_film; open_film(sys.argv[1]).cut();"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'numpy', 'av', 'cv2'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bad_transition_is_said_of_itself_alone(tmp_path: Path) -> None:
    shots = "".join(f"      - {{id: {name}, prompt: a red ball rolls on grass}}\n" for name in "abcd")
    edit = """edit:
  - {shot: a}
  - {shot: b, transition: {kind: dissolve, seconds: 9}}
  - {shot: c, trim: [5, 6]}
  - {shot: d, transition: {kind: wipe, seconds: 1.5}}
"""
    told = mistakes(tmp_path, HEAD + shots + edit)
    assert [line.split(": ")[1].split(" is ")[0] for line in told] == [
        "a dissolve of 9 s (144 frames)",
        "a trim to 6 s",
    ]


def test_where_all_shots_are_wrong_no_deliverable_is_blamed(tmp_path: Path) -> None:
    (told,) = mistakes(
        tmp_path, HEAD.replace("size: 128x128\n", "") + "      - {id: a, prompt: a ball, camera: nowhere}\n"
    )
    assert "nowhere" in told


def test_a_device_is_no_file_of_a_film(tmp_path: Path) -> None:
    sound = "sound: [{file: /dev/zero}]\n"
    (told,) = mistakes(tmp_path, HEAD + "      - {id: a, prompt: a ball rolls}\n" + sound)
    assert told.startswith("7:16: /dev/zero is no file but a device or a pipe")
    with pytest.raises(BadRequest, match="is no file"):
        open_film("/dev/zero")


def test_shots_are_made_with_all_that_one_clip_can_be_made_with() -> None:
    options = set(KINDS) - {"base", "controls", "aspect", "num_frames"}  # `frames` here; a film has one size
    assert options - {"sound"} <= set(Shot.model_fields)  # a film's sound is its sound files


def test_how_shots_are_made_is_said_of_the_film_and_of_a_shot(tmp_path: Path) -> None:
    settings = "model: wan2.1-t2v-1.3b\nsize: 832x480\nquantize: int8\ncompile: true\ncache: tea:0.1\n"
    shots = "a, prompt: a cat sits", "b, prompt: a cat sits, quantize: none, compile: false, cache: 0.05"
    text = (
        settings
        + HEAD.replace("size: 128x128\n", "")
        + "".join(f"      - {{id: {shot}}}\n" for shot in shots)
    )
    a, b = (draft.request for draft in opened(tmp_path, text).drafts)
    assert (a.quantize, a.compile, a.cache, a.cache_by) == ("int8", True, 0.1, "tea")
    assert (b.quantize, b.compile, b.cache, b.cache_by) == ("none", False, 0.05, "first-block")
    wrong = text.replace("quantize: none", "quantize: int4").replace("tea:0.1", "much")
    told = mistakes(tmp_path, wrong)
    assert len(told) == 2, told
    assert mistakes(tmp_path, text.replace("0.05", "1.5")) == [
        "11:76: cache is 1.5: it should be less than or equal to 1"
    ]
    assert told[0] == '5:8: cache is "much": write a change from 0 to 1, such as 0.1, or tea:0.1 for TeaCache'
    assert "quantize" in told[1]
    assert "int8" in told[1]
