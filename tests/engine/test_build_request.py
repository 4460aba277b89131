from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from filmwright.engine.build_request import build_request, check_request, size_for_aspect
from filmwright.media.files import digest_file
from filmwright.spec.errors import BadRequest, MediaError
from filmwright.spec.request import CameraPath, ImageRef, Keyframe, MotionBrush, Prefix, Request
from filmwright.spec.vocabulary import PARTS
from filmwright.weights.card import CARDS, load_card

CARD = load_card("pocket")


def picture(path: Path, colour: str = "red") -> Path:
    Image.new("RGB", (64, 40), colour).save(path)
    return path


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises((BadRequest, MediaError)) as caught:
        build_request(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_come_from_the_card() -> None:
    request = build_request("a red ball")
    assert (request.width, request.height, request.num_frames, request.fps) == (256, 160, 33, 16)
    assert (request.steps, request.guidance, request.sampler) == (CARD.steps, CARD.guidance, CARD.sampler)
    assert request.controls == ()
    assert build_request("a red ball").seed != request.seed  # drawn anew


def test_every_card_is_consistent(tmp_path: Path) -> None:
    shown = picture(tmp_path / "a.png")
    pictures = {"first": {"image": shown}, "first_and_last": {"image": shown, "last_image": shown}}
    for name in CARDS:
        card = load_card(name)
        assert card.name == name
        assert card.sampler in card.samplers
        assert (card.part is None) == (card.family != "pocket")
        assert set(card.cameras) <= (set(PARTS[card.part].cameras) if card.part else set())
        for size in card.native_sizes:
            words = "a red ball" if card.takes_words else None
            request = build_request(words, model=name, size=size, **pictures.get(card.pictures, {}))
            check_request(request)
            assert request.negative == card.negative


def test_what_is_stated_is_taken() -> None:
    request = build_request(
        "  a red\n ball ", size="192x192", num_frames=17, fps=12, seed=7, steps=5, guidance=1, sampler="euler",
        negative="blur", camera="push-in",
    )  # fmt: skip
    assert request.prompt == "a red ball"
    assert (request.width, request.height, request.num_frames, request.fps, request.seed) == (
        192,
        192,
        17,
        12,
        7,
    )
    assert (request.steps, request.guidance, request.sampler, request.negative) == (5, 1.0, "euler", "blur")
    assert request.controls == (CameraPath(move="push-in"),)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": ""}, ["prompt is empty"]),
        ({"prompt": " \n\t"}, ["prompt is empty"]),
        ({"prompt": None}, ["no prompt"]),
        ({"prompt": "x" * 1001}, ["1001 letters", "limit is 1000"]),
        ({"prompt": "ball \udc80"}, ["not valid text at letter 6"]),
        ({"negative": "y" * 1200}, ["negative", "1200", "1000"]),
        ({"size": "250x160"}, ["250x160", "divide by 32", "256x160"]),
        ({"size": "250x10"}, ["divide by 32", "256x128"]),
        ({"size": "0x160"}, ["positive"]),
        ({"size": "-32x160"}, ["positive"]),
        ({"size": "640x384"}, ["640x384", "128 to 320", "256x160"]),
        ({"size": "96x160"}, ["96x160", "128 to 320"]),
        ({"size": "big"}, ["'big'", "256x160"]),
        ({"size": "256x160", "aspect": "16:9"}, ["give one"]),
        ({"aspect": "wide"}, ["'wide'", "16:9"]),
        ({"aspect": "0:9"}, ["16:9"]),
        ({"aspect": "10:1"}, ["10:1", "2.5:1"]),
        ({"num_frames": 30}, ["30 frames", "4k+1", "29 or 33"]),
        ({"num_frames": 0}, ["0 frames", "1 to 33"]),
        ({"num_frames": 37}, ["37 frames", "1 to 33"]),
        ({"num_frames": 9, "seconds": 1}, ["give one"]),
        ({"seconds": 9}, ["9 seconds", "0.06 to 2.06"]),
        ({"seconds": 0}, ["0 seconds"]),
        ({"seconds": -1}, ["-1 seconds"]),
        ({"seconds": float("nan")}, ["nan seconds"]),
        ({"seconds": float("inf")}, ["inf seconds"]),
        ({"fps": 0}, ["0 fps", "8 to 24", "16"]),
        ({"fps": 0, "seconds": 1}, ["0 fps"]),
        ({"seed": -1}, ["seed -1"]),
        ({"seed": 2**63}, ["seed", "out of range"]),
        ({"steps": 0}, ["0 steps", "1 to 200", "12"]),
        ({"steps": 1001}, ["1001 steps"]),
        ({"guidance": -1}, ["guidance -1", "0 to 20"]),
        ({"guidance": float("nan")}, ["guidance nan"]),
        ({"model": "poket"}, ["'poket'", "did you mean 'pocket'?"]),
        ({"model": "zzzzzz"}, ["'zzzzzz'", "there is pocket"]),
        ({"sampler": "unpic"}, ["'unpic'", "did you mean 'unipc'?"]),
        ({"camera": "push in"}, ["'push in'", "did you mean 'push-in'?"]),
        ({"camera": "xyz"}, ["'xyz'", "pan-left"]),
        ({"image": "nowhere.png"}, ["nowhere.png", "no such file"]),
        ({"fps": 16.5}, ["fps"]),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_numbers(options: dict[str, Any], said: list[str]) -> None:
    message = refused(**{"prompt": "a red ball", **options})
    for words in said:
        assert words in message


@pytest.mark.parametrize(
    ("seconds", "frames"), [(2, 33), (2.06, 33), (1, 17), (0.5, 9), (0.06, 1), (0.01, 1)]
)
def test_seconds_become_the_nearest_frames(seconds: float, frames: int) -> None:
    assert build_request("a ball", seconds=seconds).num_frames == frames


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        ("16:9", (256, 160)), ("9:16", (160, 256)), ("1:1", (192, 192)), ("16:10", (256, 160)),
        ("4:3", (256, 192)), ("2.39:1", (320, 128)),
    ],
)  # fmt: skip
def test_aspects(aspect: str, size: tuple[int, int]) -> None:
    assert size_for_aspect(aspect, CARD) == size


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40), st.integers(-100, 10_000))
def test_any_shape_is_made_or_refused(width: int, height: int, num_frames: int) -> None:
    try:
        request = build_request("a ball", size=(width, height), num_frames=num_frames)
    except BadRequest as error:
        said = str(error)
    else:
        said = ""
        assert request.shape.latent(16).num_frames == (num_frames - 1) // 4 + 1
        assert not width % 32
        assert not height % 32
    assert "\n" not in said


@given(st.text(max_size=1100))
def test_any_text_is_made_or_refused(text: str) -> None:
    try:
        request = build_request(text, seed=0)
    except BadRequest as error:
        said = str(error)
    else:
        said = ""
        assert Request.model_validate_json(request.canonical()) == request
        assert len(request.digest()) == 64
    assert "\n" not in said


def test_an_image_is_the_first_frame(tmp_path: Path) -> None:
    path = picture(tmp_path / "first.png")
    request = build_request("a ball", image=path)
    assert request.controls == (Keyframe(at=0, image=ImageRef(path=str(path), digest=digest_file(path))),)


def test_a_picture_counts_by_its_bytes_and_not_by_its_place(tmp_path: Path) -> None:
    here, there = picture(tmp_path / "here.png"), picture(tmp_path / "there.png")
    first, moved = build_request("a ball", image=here, seed=1), build_request("a ball", image=there, seed=1)
    assert first.digest() == moved.digest()
    there.write_bytes(picture(tmp_path / "other.png", "blue").read_bytes())
    assert build_request("a ball", image=there, seed=1).digest() != first.digest()


def test_a_base_is_kept_but_for_what_is_given(tmp_path: Path) -> None:
    first = picture(tmp_path / "first.png")
    base = build_request("a ball", image=first, camera="push-in", seed=3, steps=4)
    assert build_request(base=base) == base
    changed = build_request(base=base, camera="pan-left", seed=4)
    assert changed == base.model_copy(
        update={"seed": 4, "controls": (base.controls[0], CameraPath(move="pan-left"))}
    )
    second = picture(tmp_path / "second.png", "blue")
    again = build_request("a cube", base=base, image=second)
    assert again.prompt == "a cube"
    assert [control.kind for control in again.controls] == ["keyframe", "camera"]
    assert again.controls[0] != base.controls[0]


def test_a_changed_picture_is_noticed(tmp_path: Path) -> None:
    path = picture(tmp_path / "first.png")
    base = build_request("a ball", image=path)
    picture(path, "blue")
    assert "has changed since" in refused(base=base)
    path.unlink()
    assert "no such file" in refused(base=base)


def test_controls_that_cannot_be(tmp_path: Path) -> None:
    path = picture(tmp_path / "first.png")
    image = ImageRef(path=str(path), digest=digest_file(path))
    base = build_request("a ball", num_frames=9)
    card = CARD.model_copy(update={"controls": ("keyframe", "camera", "prefix", "brush")})

    def said(*controls: Any, by: Any = card) -> str:
        with pytest.raises(BadRequest) as caught:
            check_request(base.model_copy(update={"controls": controls}), by)
        return str(caught.value)

    assert "past the end" in said(Keyframe(at=9, image=image))
    assert "leaves nothing" in said(Prefix(clip=image, num_frames=9))
    assert "give a keyframe" in said(MotionBrush(tracks=()))
    assert "takes no brush" in said(
        MotionBrush(tracks=()), by=CARD.model_copy(update={"controls": ("keyframe",)})
    )
    check_request(base.model_copy(update={"controls": (Keyframe(at=8, image=image),)}), card)


def test_a_camera_move_that_the_prompt_names_becomes_a_control() -> None:
    named = build_request("a red ball drops, the camera pushes in")
    assert named.controls == (CameraPath(move="push-in"),)
    assert build_request("a red ball drops, the camera pushes in", camera="static").controls == (
        CameraPath(move="static"),
    )
    assert build_request("a red ball drops, the camera pans").controls == ()  # left or right?
    assert build_request(seed=2, base=named).controls == named.controls
