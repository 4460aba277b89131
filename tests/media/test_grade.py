"""Grades and tables of colours against the numbers of their specifications, and files that are no tables."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from filmwright.media.post.cube import CubeHead, check_cube, read_cube
from filmwright.media.post.grade import graded
from filmwright.spec.cut import Grade
from filmwright.spec.errors import MediaError


def cube(path: Path, function, size: int = 5, head: str = "", low: float = 0.0, high: float = 1.0) -> Path:  # type: ignore[no-untyped-def]
    rows = [
        " ".join(f"{v:.8f}" for v in function(*(low + (high - low) * x / (size - 1) for x in (r, g, b))))
        for b, g, r in product(range(size), repeat=3)
    ]
    path.write_text(f'TITLE "x"\n# a comment\nLUT_3D_SIZE {size}\n{head}' + "\n".join(rows) + "\n")
    return path


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)


def test_cdl_is_slope_offset_power_then_saturation() -> None:
    frames = noise()
    grade = Grade(slope=(1.2, 0.9, 1.0), offset=(-0.05, 0.02, 0.1), power=(1.1, 0.8, 1.0), saturation=1.3)
    x = frames / 255
    out = np.clip(x * grade.slope + np.array(grade.offset), 0, 1) ** np.array(grade.power)
    luma = (out * (0.2126, 0.7152, 0.0722)).sum(axis=-1, keepdims=True)
    wanted = np.clip(luma + 1.3 * (out - luma), 0, 1) * 255
    assert np.abs(graded(frames, grade) - wanted).max() <= 0.51
    assert (graded(frames, Grade(power=(1.0, 1.0, 1.0001))) == frames).all()


def test_an_identity_table_is_the_identity(tmp_path: Path) -> None:
    frames = noise()
    assert (graded(frames, Grade(lut=cube(tmp_path / "one.cube", lambda *x: x))) == frames).all()
    wide = cube(tmp_path / "wide.cube", lambda *x: x, 9, "DOMAIN_MIN -1 -1 -1\nDOMAIN_MAX 3 3 3\n", -1, 3)
    assert (graded(frames, Grade(lut=wide)) == frames).all()
    resolve = cube(tmp_path / "range.cube", lambda *x: x, 9, "LUT_3D_INPUT_RANGE -1.0 3.0\n", -1, 3)
    assert (graded(frames, Grade(lut=resolve)) == frames).all()


def test_between_entries_the_tetrahedron_answers(tmp_path: Path) -> None:
    # a cube of two entries a side, 1 at the white corner alone: inside it the answer is the least of the three
    corner = cube(tmp_path / "corner.cube", lambda r, g, b: (r * g * b,) * 3, 2)
    frames = noise()
    assert (
        np.abs(graded(frames, Grade(lut=corner)) - frames.min(axis=-1, keepdims=True).astype(int)).max() <= 1
    )
    # and for 1 at black's red neighbour alone: red less the greater of the others, if it is the greatest
    red = cube(tmp_path / "red.cube", lambda r, g, b: (r * (1 - g) * (1 - b),) * 3, 2)
    x = frames.astype(int)
    wanted = np.maximum(x[..., 0] - np.maximum(x[..., 1], x[..., 2]), 0)
    assert np.abs(graded(frames, Grade(lut=red))[..., 0] - wanted).max() <= 1


def test_outside_its_domain_a_table_holds_its_edge(tmp_path: Path) -> None:
    path = tmp_path / "half.cube"
    path.write_text("LUT_1D_SIZE 2\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 0.5 0.5 0.5\n0 0 0\n1 1 0.5\n")
    made = graded(np.array([[[255, 51, 255]]], np.uint8), Grade(lut=path))
    assert made.tolist() == [[[255, 102, 128]]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has no LUT_3D_SIZE"),
        (b"LUT_3D_SIZE 2\n0 0 0\n", "1 rows, its size 2 needs 8"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 9, r":10:1: more rows than the 8"),
        (b"LUT_3D_SIZE 2\n0 0 x\n", r":2:1: 3 numbers|:2:5: 'x', which is no number"),
        (b"LUT_3D_SIZE 2\n0 0\n", r":2:1: 2 numbers, not three"),
        (b"LUT_3D_SIZE 2\n0 0 0 0\n", r":2:7: 4 numbers, not three"),
        (b"LUT_3D_SIZE 2\n0 -nan 0\n", r":2:3: '-nan', which is no number"),
        (b"LUT_3D_SIZE 2\n0 0 1e999\n", r":2:5: 1e999, which is out of range"),
        (b"LUT_3D_SIZE 2\n0 1_0 0\n", r":2:3: '1_0', which is no number"),
        ("LUT_3D_SIZE ²\n".encode(), r":1:13: LUT_3D_SIZE not from 2 to 129"),
        (b"LUT_3D_SIZE 256\n", r":1:13: LUT_3D_SIZE not from 2 to 129"),
        (b"LUT_3D_SIZE\n", r":1:1: LUT_3D_SIZE not from"),
        (b"LUT_3D_SIZE 99999999999999999999\n", r":1:13"),
        (b"LUT_1D_SIZE 2\nLUT_3D_SIZE 2\n", r":2:1: a second size"),
        (b"0 0 0\nLUT_3D_SIZE 2\n", r":1:1: numbers before"),
        (b"LUT_3D_SIZE 2\nSHAPER 3\n", r":2:1: 'SHAPER', which no .cube file has"),
        (b"LUT_1D_SIZE 2\nDOMAIN_MIN 0 0\n0 0 0\n1 1 1\n", r":2:1: 2 numbers, not three"),
        (b"LUT_1D_SIZE 2\nDOMAIN_MIN 1 0 0\n0 0 0\n1 1 1\n", "its domain .* is empty"),
        (b"LUT_1D_SIZE 2\nDOMAIN_MIN 0 0 0\nDOMAIN_MIN 0 0 0\n", r":3:1: a second DOMAIN_MIN"),
        (b"LUT_3D_SIZE 2\n\x00\x01\xff\n", r":2:3: bytes that are no text"),
        (b"LUT_3D_SIZE 2\n" + b"0" * 5000, r":2:1000: a line of more than 1000 bytes"),
        (b"<html>", r":1:1: '<html>', which no"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.cube"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=said) as caught:
        check_cube(path)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


def test_what_editors_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.cube"
    path.write_bytes(b'\xef\xbb\xbfTITLE "a b"\r\n#x\r\n\r\nLUT_1D_SIZE 2\r\n 0 -.5 1e-3\r\n1. +1 1E0\r\n')
    head, values = read_cube(path)
    assert head == CubeHead(dimensions=1, size=2)
    assert list(values) == [0, -0.5, 0.001, 1, 1, 1]
    with pytest.raises(MediaError, match="check the path"):
        check_cube(tmp_path / "none.cube")
