"""Reads .cube files (Adobe Cube LUT 1.0) without numpy, so that a check of a film names a bad one at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from filmwright.spec.errors import MediaError

__all__ = ["CubeHead", "check_cube", "read_cube"]

MAX_BYTES = 100_000_000
MAX_SIZE = {1: 65_536, 3: 256}
Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class CubeHead:
    """What a table is: 1 or 3 dimensions, entries a dimension, and the input range that they cover."""

    dimensions: int
    size: int
    domain_min: Triple = (0.0, 0.0, 0.0)
    domain_max: Triple = (1.0, 1.0, 1.0)

    @property
    def rows(self) -> int:
        """Lines of numbers in the file."""
        return int(self.size**self.dimensions)


def check_cube(path: Path) -> CubeHead:
    """The head of a file whose rows are as many as it says; their numbers are not read.

    Raises:
        MediaError: it is no such file.
    """
    head, rows = _split(path)
    _check_count(path, head, len(rows))
    return head


def read_cube(path: Path) -> tuple[CubeHead, list[Triple]]:
    """The whole table, a row an entry, red changing fastest.

    Raises:
        MediaError: it is no such file.
    """
    head, lines = _split(path)
    _check_count(path, head, len(lines))
    return head, [_triple(path, number, line.split()) for number, line in lines]


def _split(path: Path) -> tuple[CubeHead, list[tuple[int, str]]]:
    """The head, and the lines of numbers with their line numbers."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MediaError(f"cannot read {path}: {path.stat().st_size / 1e6:.0f} MB is no .cube file")
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}; check the path") from error
    dimensions, size = 0, 0
    domain: dict[str, Triple] = {}
    rows: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "TITLE":
            continue
        if words[0] in {"LUT_1D_SIZE", "LUT_3D_SIZE"}:
            dimensions = int(words[0][4])
            size = int(words[1]) if len(words) == 2 and words[1].isdigit() else 0
            if not 2 <= size <= MAX_SIZE[dimensions]:
                raise MediaError(
                    f"cannot read {path}: line {number} says no size from 2 to {MAX_SIZE[dimensions]}"
                )
        elif words[0] in {"DOMAIN_MIN", "DOMAIN_MAX"}:
            domain[words[0].lower()] = _triple(path, number, words[1:])
        elif words[0][0] in "+-.0123456789":
            rows.append((number, line))
        else:
            raise MediaError(f"cannot read {path}: line {number} is {line[:30]!r}, which no .cube file has")
    if not dimensions:
        raise MediaError(f"cannot read {path}: it has no LUT_3D_SIZE or LUT_1D_SIZE; export it as .cube")
    head = CubeHead(dimensions=dimensions, size=size, **domain)
    if any(high <= low for low, high in zip(head.domain_min, head.domain_max, strict=True)):
        raise MediaError(f"cannot read {path}: its domain is empty; export it anew")
    return head, rows


def _check_count(path: Path, head: CubeHead, count: int) -> None:
    if count != head.rows:
        raise MediaError(
            f"cannot read {path}: {count} rows, its size {head.size} needs {head.rows}; export it anew"
        )


def _triple(path: Path, number: int, words: list[str]) -> Triple:
    try:
        red, green, blue = map(float, words)
    except ValueError as error:
        raise MediaError(f"cannot read {path}: line {number} is not three numbers; export it anew") from error
    if not all(abs(value) < 1e6 for value in (red, green, blue)):  # false for NaN too
        raise MediaError(f"cannot read {path}: line {number} is out of range; export it anew")
    return red, green, blue
