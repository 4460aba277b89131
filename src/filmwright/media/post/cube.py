"""Reads .cube files (Adobe Cube LUT 1.0, 2013) without numpy, so that a check of a film names a bad one at once.

Strict: each line is a comment, a keyword or three plain decimal numbers, and what is neither is said with its line and
column. Of the dialects it knows `LUT_1D_INPUT_RANGE` and `LUT_3D_INPUT_RANGE`, which some editors write for the domain.
A file is read a line at a time, and its numbers are kept as 64-bit floats, so a large one stays small.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filmwright.spec.errors import MediaError

__all__ = ["CubeHead", "check_cube", "read_cube"]

MAX_BYTES = 100_000_000
MAX_SIZE = {
    1: 65_536,
    3: 129,
}  # the format allows 256 in three dimensions: 50 million numbers that no tool writes
MAX_LINE = 1000  # bytes; the format says 250
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WORD = re.compile(r"\S+")
SIZES = {"LUT_1D_SIZE": 1, "LUT_3D_SIZE": 3}
DOMAINS = ("DOMAIN_MIN", "DOMAIN_MAX")
RANGES = ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE")
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
    """The head of a file, all of which has been read and found right.

    Raises:
        MediaError: it is no such file.
    """
    return read_cube(path)[0]


def read_cube(path: Path) -> tuple[CubeHead, array[float]]:
    """The whole table: three numbers an entry, red changing fastest.

    Raises:
        MediaError: it is no such file; with line and column.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise MediaError(f"cannot read {path}: {size / 1e6:.0f} MB is no .cube file; give a smaller one")
        with path.open("rb") as file:
            return _Reader(path).read(file)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}; check the path") from error


class _Reader:
    """Reads one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        self.dimensions, self.size = 0, 0
        self.domain: dict[str, Triple] = {}
        self.values: array[float] = array("d")

    def read(self, file: BinaryIO) -> tuple[CubeHead, array[float]]:
        """Head and table."""
        while raw := file.readline(MAX_LINE + 1):
            self.line += 1
            if len(raw) > MAX_LINE:
                raise self._bad(MAX_LINE, f"a line of more than {MAX_LINE} bytes")
            try:
                text = raw.decode("utf-8-sig" if self.line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise self._bad(error.start + 1, "bytes that are no text") from error
            words = [(match.start() + 1, match.group()) for match in WORD.finditer(text)]
            if words and not words[0][1].startswith("#"):
                self._take(words)
        if not self.dimensions:
            raise MediaError(
                f"cannot read {self.path}: it has no LUT_3D_SIZE or LUT_1D_SIZE; export it as .cube"
            )
        head = CubeHead(dimensions=self.dimensions, size=self.size, **self.domain)
        if len(self.values) != 3 * head.rows:
            raise MediaError(
                f"cannot read {self.path}: {len(self.values) // 3} rows, its size {head.size} needs {head.rows}; "
                "export it anew"
            )
        if any(high <= low for low, high in zip(head.domain_min, head.domain_max, strict=True)):
            raise MediaError(
                f"cannot read {self.path}: its domain from {list(head.domain_min)} to {list(head.domain_max)} is "
                "empty; export it anew"
            )
        return head, self.values

    def _take(self, words: list[tuple[int, str]]) -> None:
        """One line, as its words with their columns."""
        column, key = words[0]
        if key == "TITLE":
            return
        if key in SIZES:
            self._take_size(SIZES[key], words)
        elif key in DOMAINS:
            name = key.lower()
            if name in self.domain:
                raise self._bad(column, f"a second {key}")
            self.domain[name] = self._triple(words[1:], column)
        elif key in RANGES:
            if self.domain:
                raise self._bad(column, "a second domain")
            if len(words) != 3:
                raise self._bad(column, f"{key} with {len(words) - 1} numbers, not 2")
            low, high = (self._number(*word) for word in words[1:])
            self.domain = {"domain_min": (low, low, low), "domain_max": (high, high, high)}
        elif key[0] in "+-.0123456789":
            if not self.dimensions:
                raise self._bad(column, "numbers before LUT_3D_SIZE or LUT_1D_SIZE")
            if len(self.values) == 3 * self.size**self.dimensions:
                raise self._bad(column, f"more rows than the {len(self.values) // 3} of its size")
            self.values.extend(self._triple(words, column))
        else:
            raise self._bad(column, f"{key[:30]!r}, which no .cube file has")

    def _take_size(self, dimensions: int, words: list[tuple[int, str]]) -> None:
        column, key = words[0]
        if self.dimensions:
            raise self._bad(column, "a second size: a table of one and of three dimensions in one file")
        text = words[1][1] if len(words) == 2 else ""
        size = int(text) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else 0
        if not 2 <= size <= MAX_SIZE[dimensions]:
            raise self._bad(
                words[1][0] if len(words) > 1 else column, f"{key} not from 2 to {MAX_SIZE[dimensions]}"
            )
        self.dimensions, self.size = dimensions, size

    def _triple(self, words: list[tuple[int, str]], column: int) -> Triple:
        if len(words) != 3:
            raise self._bad(words[3][0] if len(words) > 3 else column, f"{len(words)} numbers, not three")
        red, green, blue = (self._number(*word) for word in words)
        return red, green, blue

    def _number(self, column: int, word: str) -> float:
        if not NUMBER.fullmatch(word):
            raise self._bad(column, f"{word[:30]!r}, which is no number")
        value = float(word)
        if not abs(value) < 1e6:
            raise self._bad(column, f"{word[:30]}, which is out of range")
        return value

    def _bad(self, column: int, what: str) -> MediaError:
        return MediaError(f"cannot read {self.path}:{self.line}:{column}: {what}; export it anew as .cube")
