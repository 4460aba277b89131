"""A model that cannot do what is asked is refused in one line, which names those that can and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from filmwright.engine.build_request import build_request
from filmwright.spec.errors import BadRequest, NotThisModel
from filmwright.spec.request import ImageRef, Keyframe

FIRST = (  # those that take words and a first picture
    "fastwan2.2-ti2v-5b, hunyuanvideo-1.5-i2v-480p, hunyuanvideo-1.5-i2v-720p, lightx2v-i2v-14b-480p, "
    "lightx2v-i2v-14b-720p, lightx2v-i2v-a14b, ltx-2, ltx-video, pocket, wan2.1-i2v-14b-480p, "
    "wan2.1-i2v-14b-720p, wan2.2-i2v-a14b, wan2.2-ti2v-5b would"
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "first.png"
    Image.new("RGB", (64, 40), "red").save(path)
    return path


def refused(*words: str | None, **options: Any) -> str:
    with pytest.raises(NotThisModel) as caught:
        build_request(*words, **options)
    assert "\n" not in str(caught.value)
    assert (caught.value.code, caught.value.exit_code) == ("bad_request", 2)
    return str(caught.value)


@pytest.mark.parametrize("model", ["wan2.2-ti2v-5b", "fastwan2.2-ti2v-5b"])
@pytest.mark.parametrize("shape", [{"aspect": "4:3"}, {"size": "640x480"}, {"size": "1280x720"}])
def test_the_5b_makes_two_sizes_and_no_others(model: str, shape: dict[str, str]) -> None:
    said = refused("a ball", model=model, **shape)
    assert "it makes 1280x704, 704x1280 and no other" in said
    able = said.rpartition("; ")[2]
    assert "wan2.1-t2v-1.3b" in able
    assert "ti2v-5b" not in able
    assert "i2v" not in able, "they want a picture"
    for size in ("1280x704", "704x1280"):
        assert build_request("a ball", model=model, size=size).model == model
    near = build_request("a ball", model=model, aspect="16:9")
    assert (near.width, near.height) == (1280, 704)


def test_those_that_take_a_picture_with_words_are_named_and_no_others(picture: Path) -> None:
    said = refused("a ball", model="wan2.1-t2v-1.3b", image=picture)
    assert said == f"model 'wan2.1-t2v-1.3b' takes no keyframe: it takes words alone; {FIRST}"
    said = refused("a ball", model="wan2.1-flf2v-14b", image=picture)
    assert "not 1 picture at frame 0" in said
    assert said.endswith(FIRST)
    said = refused("a ball", model="svd", image=picture)
    assert "takes no words" in said
    assert said.endswith(FIRST)


def test_three_pictures_are_refused_with_their_frames_and_those_that_take_them(picture: Path) -> None:
    image = ImageRef(path=str(picture), digest=build_request("a", image=picture).controls[0].image.digest)  # type: ignore[union-attr]
    keyframes = [Keyframe(at=at, image=image) for at in (0, 8, 16)]
    said = refused("a ball", model="wan2.1-flf2v-14b", controls=iter(keyframes), num_frames=17)
    assert "not 3 pictures at frame 0, 8, 16; pocket would" in said
    said = refused("a ball", model="wan2.1-flf2v-14b", controls=keyframes, num_frames=81)
    assert said.endswith("; no other model would")


def test_a_length_that_is_too_long_names_those_that_make_it(picture: Path) -> None:
    assert refused("a ball", seconds=9).endswith("; ltx-2, ltx-video, self-forcing-t2v-1.3b would")
    said = refused(None, model="svd", image=picture, seconds=10)
    assert "makes 2.00 seconds and no other at 7 fps" in said
    assert said.endswith("; with a prompt ltx-2, ltx-video would")


def test_a_mistake_that_no_model_mends_names_none() -> None:
    for options in ({"num_frames": 30}, {"steps": 0}, {"sampler": "unpic"}, {"size": "250x160"}):
        with pytest.raises(BadRequest) as caught:
            build_request("a ball", **options)  # type: ignore[arg-type]
        assert "would" not in str(caught.value)


def test_a_name_that_is_near_none_is_offered_none() -> None:
    with pytest.raises(BadRequest) as caught:
        build_request("a ball", model="nosuch")
    assert str(caught.value) == (
        "unknown model 'nosuch': there is pocket, and `filmwright models` lists 27 more"
    )
    with pytest.raises(BadRequest, match=r"did you mean 'wan2\.1-t2v-1\.3b'\?"):
        build_request("a ball", model="Wan2.1-T2V-1.3B")


def test_all_models_are_tried_without_torch() -> None:
    code = (
        "import sys\nfrom filmwright.engine.build_request import build_request\n"
        "try:\n    build_request('a ball', model='wan2.2-ti2v-5b', aspect='4:3')\n"
        "except ValueError as error:\n    print('mochi-1' in str(error), 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
