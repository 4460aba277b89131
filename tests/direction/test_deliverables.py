"""Deliverables of a film in every format, signed with their shots, and what they leave alone."""

from __future__ import annotations

import shutil
import wave
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from filmwright.cli.main import run
from filmwright.direction.build.builder import build
from filmwright.direction.build.events import Told
from filmwright.direction.build.graph import takes_of
from filmwright.direction.build.status import states
from filmwright.direction.build.store import Store
from filmwright.direction.film.opened import open_film
from filmwright.media.video import read_video
from filmwright.provenance.signing import MARK
from filmwright.provenance.verdict import Made, verify_file
from filmwright.spec.errors import MediaError

PROMPTS = [
    "a red ball rolls on a wooden floor",
    "a red ball rolls on a wooden floor",
    "a blue cube spins on sand",
]


def with_sound(film: Path, deliverables: str) -> Path:
    """The film with a tone of a second, delivered otherwise."""
    with wave.open(str(film.parent / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        tone = 0.25 * np.sin(2 * np.pi * 997 * np.arange(48_000) / 48_000)
        file.writeframes((tone * 32767).astype("<i2").tobytes())
    film.write_text(f"{film.read_text()}sound: [{{file: tone.wav}}]\ndeliverables:\n{deliverables}")
    return film


def prompts_in(made: Made) -> list[str]:
    """The prompts of the shots that a file's credentials nest, in order."""
    placed = [part for part in made.ingredients if part.relationship == "componentOf"]
    return [str(part.generation["prompt"]) for part in placed if part.generation]


def facts(path: Path) -> tuple[str, str, int, str]:
    """Codec, pixels, transfer, tag of a file's pictures."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        context = stream.codec_context
        return context.name, str(context.pix_fmt), int(context.color_trc), str(stream.codec_tag)


def test_a_film_in_every_format_is_built_once(film: Path) -> None:
    """One build makes them all; the next makes nothing and changes nothing."""
    with_sound(
        film,
        "  - {path: film.mp4}\n"
        "  - {path: web.mp4, loudness: -20}\n"
        "  - {path: tv.mp4, format: h265-10, hdr: true, size: 64x64}\n"
        "  - {path: h265.mp4, format: h265, fps: 23.976}\n"
        "  - {path: small.mp4, format: av1, size: 64x64}\n"
        "  - {path: deep.mp4, format: av1-10, size: 64x64}\n"
        "  - {path: edit.mov, format: prores-422-hq}\n"
        "  - {path: avid.mov, format: dnxhr-hqx, size: 256x144}\n"
        "  - {path: frames, format: png, fps: 8}\n"
        "  - {path: light, format: exr, size: 64x64, fps: 4}\n"
        "  - {path: sound.wav, format: wav}\n"
        "  - {path: poster.png, format: poster}\n",
    )
    told: list[Told] = []
    built = build(
        open_film(film), on_event=lambda event: told.append(event) if isinstance(event, Told) else None
    )
    assert len(built.made) == 12
    folder = film.parent
    assert facts(folder / "tv.mp4")[1:] == ("yuv420p10le", 16, "hvc1")  # PQ
    assert facts(folder / "edit.mov")[3] == "apch"
    assert facts(folder / "avid.mov")[1] == "yuv422p10le"
    assert facts(folder / "deep.mp4")[1] == "yuv420p10le"
    with av.open(str(folder / "h265.mp4")) as file:
        assert str(file.streams.video[0].average_rate) == "24000/1001"
        assert file.streams.video[0].frames == 24
        assert file.streams.audio[0].codec_context.name == "aac"
    frames = sorted(path.name for path in (folder / "frames").iterdir())
    assert frames == [f"frames.{n:06d}.png" for n in range(1, 9)]
    assert len(list((folder / "light").iterdir())) == 4
    with av.open(str(folder / "sound.wav")) as sound:
        assert sound.streams.audio[0].codec_context.name == "pcm_s24le"
        assert sum(frame.samples for frame in sound.decode(audio=0)) == 48_000
    whole, _ = read_video(folder / "film.mp4")
    with Image.open(folder / "frames" / "frames.000003.png") as third:  # at 8 a second: frame 4 of 16
        assert np.abs(np.asarray(third, int) - whole[4]).mean() < 3
    with Image.open(folder / "poster.png") as poster:
        found = np.asarray(poster, int)
    assert min(np.abs(found - frame).mean() for frame in whole[5:11]) < 3  # of the middle third
    unsigned = [event.name for event in told if event.code == "unsigned"]
    assert unsigned == ["-> light"]
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()
    }
    assert build(open_film(film)).made == ()
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before}

    # the sound's own file does not depend on pictures, nor pictures on the sound
    film.write_text(film.read_text().replace("spins", "rests"))
    assert "-> sound.wav" not in build(open_film(film)).made
    film.write_text(film.read_text().replace("file: tone.wav", "file: tone.wav, level: -3"))
    made = build(open_film(film)).made
    assert "-> sound.wav" in made
    assert not {"-> frames", "-> light", "-> poster.png"} & set(made)


def test_a_film_names_its_shots_and_their_prompts(film: Path) -> None:
    with_sound(
        film,
        "  - {path: film.mp4}\n  - {path: frames, format: png}\n  - {path: s.wav, format: wav}\n"
        "  - {path: edit.mov, format: prores-422-hq}\n",
    )
    build(open_film(film))
    for name in ("film.mp4", "edit.mov"):
        verdict = verify_file(film.parent / name)
        assert verdict.state == "valid"
        assert verdict.made is not None
        assert verdict.made.source == "compositeWithTrainedAlgorithmicMedia"  # the tone was not generated
        assert prompts_in(verdict.made) == PROMPTS
        assert [part.title for part in verdict.made.ingredients] == [
            "a, take 1",
            "b, take 1",
            "c, take 1",
            "tone.wav",
        ]
    shown = {}
    for number in (1, 12, 16):
        verdict = verify_file(film.parent / "frames" / f"frames.{number:06d}.png")
        assert verdict.state == "valid"
        assert verdict.made is not None
        shown[number] = [part.title for part in verdict.made.ingredients]
    # the dissolve from b to c is in frames 12 and 13
    assert shown == {1: ["a, take 1"], 12: ["b, take 1", "c, take 1"], 16: ["c, take 1"]}
    sound = verify_file(film.parent / "s.wav").made
    assert sound is not None
    assert (sound.source, [part.title for part in sound.ingredients]) == ("composite", ["tone.wav"])


def test_a_private_film_is_signed_without_words(film: Path) -> None:
    shutil.copy(film.parent / "film.mp4", film.parent / "open.mp4")
    film.write_text(film.read_text() + "private: true\n")
    assert build(open_film(film)).made == ("-> film.mp4",)
    verdict = verify_file(film.parent / "film.mp4")
    assert verdict.state == "valid"
    assert verdict.made is not None
    assert (verdict.made.source, verdict.made.ingredients) == ("compositeSynthetic", ())
    content, told = (film.parent / "film.mp4").read_bytes(), (film.parent / "open.mp4").read_bytes()
    for words in (b"wooden floor", b"take 1", b"pocket"):
        assert words in told
        assert words not in content
    assert build(open_film(film)).made == ()


def test_signing_is_left_out_where_it_is_not_wanted(film: Path) -> None:
    """And a film that was signed is there again when it is wanted, without being signed anew."""
    signed = (film.parent / "film.mp4").read_bytes()
    assert run(["film", "build", str(film), "--no-sign"]) == 0
    assert verify_file(film.parent / "film.mp4").state == "unsigned"
    assert MARK.encode() not in (film.parent / "film.mp4").read_bytes()
    assert build(open_film(film)).made == ()
    assert (film.parent / "film.mp4").read_bytes() == signed
    assert run(["film", "build", str(film), "--no-sign", "--private"]) == 2


@pytest.mark.parametrize("said_by", ["film", "build", "export"])
def test_a_private_film_goes_to_editors_without_words(film: Path, said_by: str) -> None:
    if said_by == "film":
        film.write_text(film.read_text() + "private: true\n")
        build(open_film(film))
    if said_by == "build":
        build(open_film(film), private=True)
    options = ["--film", str(film), *(["--private"] if said_by == "export" else [])]
    for _ in range(2):
        before = {path: path.stat().st_mtime_ns for path in (film.parent / "media").glob("*")}
        assert run(["film", "export", str(film.parent / "cut.otioz"), *options]) == 0
    assert len(before) == 3
    assert before == {path: path.stat().st_mtime_ns for path in before}, "what has not changed stays as it is"
    shots = {
        take.draft.shot: take.node
        for take in takes_of(open_film(film), Store()).values()
        if take.draft.selected
    }
    for path in before:
        verdict = verify_file(path)
        assert verdict.state == "valid"
        assert verdict.made is not None
        assert (verdict.made.source, verdict.made.generation) == ("trainedAlgorithmicMedia", None)
        assert verdict.made.ingredients == ()
        node = shots[path.stem.split("_")[1]]
        assert node is not None
        clip = Store().blob_path(node.outputs["clip"])
        assert np.array_equal(read_video(path)[0], read_video(clip)[0])
        assert read_video(path)[1] == read_video(clip)[1]
        assert b"pocket" in clip.read_bytes()
    with zipfile.ZipFile(film.parent / "cut.otioz") as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    for words in (b"red ball", b"pocket", str(node.facts["request"]).encode()):
        assert words not in everything


def test_words_of_an_earlier_export_do_not_go_along(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are private now, and the shot that could take their place is not rendered."""
    words = ["film", "export", str(film.parent / "cut.otioz"), "--film", str(film)]
    assert run(words) == 0
    film.write_text(film.read_text().replace("cube spins", "cube rests"))
    (film.parent / "cut.otioz").unlink()
    assert run([*words, "--private"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "film_c_v001.mp4 is of an earlier export and holds the words of shot c" in told
    assert not (film.parent / "cut.otioz").exists()
    (film.parent / "media" / "film_c_v001.mp4").unlink()
    assert run([*words, "--private"]) == 0


def test_other_films_go_to_editors_with_words(film: Path) -> None:
    build(open_film(film), private=True)
    build(open_film(film))
    assert run(["film", "export", str(film.parent / "cut.otio"), "--film", str(film)]) == 0
    made = verify_file(film.parent / "media" / "film_a_v001.mp4").made
    assert made is not None
    assert made.generation is not None
    assert made.generation["prompt"] == PROMPTS[0]


def test_status_says_how_a_film_was_sealed(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def status() -> str:
        capsys.readouterr()
        assert run(["film", "status", str(film)]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    text = film.read_text()
    assert status() == "clean      -> film.mp4"
    film.write_text(f"{text}private: true\n")
    assert status() == "dirty      -> film.mp4", "it names its words, and the film says that it must not"
    film.write_text(text)
    for option, word in (("--private", " (private)"), ("--no-sign", " (unsigned)")):
        assert run(["film", "build", str(film), option]) == 0
        assert status() == f"clean      -> film.mp4{word}"
    film.write_text(text.replace("seconds: 0.125}", "seconds: 0.1875}"))
    assert status() == "dirty      -> film.mp4 (unsigned)"
    reasons = {reason.what for reason in states(open_film(film), Store())[-1].reasons}
    assert reasons
    assert not any(what.startswith("signed") for what in reasons), "the cut has changed, not the seal"
    film.write_text(f"{text}private: true\n")
    build(open_film(film))
    assert status() == "clean      -> film.mp4", "as the film says"


def test_a_film_that_is_signed_again_changes_nothing_before_it(film: Path) -> None:
    """Signatures are other bytes each time; no shot, and no other film, is made anew for it."""
    store, target = Store(), film.parent / "film.mp4"
    before, frames = target.read_bytes(), read_video(target)[0]
    key = store.read_film(film)["-> film.mp4"]
    node = store.recall(key)
    assert node is not None
    store.blob_path(node.outputs["file"]).unlink()
    assert build(open_film(film)).made == ("-> film.mp4",)
    after = target.read_bytes()
    assert after != before
    assert store.read_film(film)["-> film.mp4"] == key
    assert np.array_equal(read_video(target)[0], frames)
    assert build(open_film(film)).made == ()
    assert target.read_bytes() == after


def test_a_folder_of_pictures_is_the_film_s_or_is_left_alone(film: Path) -> None:
    folder = film.parent / "frames"
    film.write_text(film.read_text() + "deliverables: [{path: frames, format: png}]\n")
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(MediaError, match=r"it holds mine\.txt, which is not of this film; name a new folder"):
        build(open_film(film))
    (folder / "mine.txt").unlink()
    build(open_film(film))
    assert len(list(folder.iterdir())) == 16
    (folder / "frames.000003.png").unlink()
    (folder / "frames.000099.png").write_bytes(b"of a longer film")
    assert build(open_film(film)).made == ()  # put back from the store
    assert sorted(path.name for path in folder.iterdir()) == [f"frames.{n:06d}.png" for n in range(1, 17)]
    film.write_text(film.read_text().replace("trim: [0.3125, 0.5625]", "trim: [0.3125, 0.5]"))
    build(open_film(film))
    assert len(list(folder.iterdir())) == 15
    assert not [path for path in film.parent.iterdir() if path.name.startswith(".")]
