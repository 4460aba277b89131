"""What all benchmarks share: interleaved timing, paired ratios, the machine in words, one JSON file a benchmark.

Cases are timed in turns, each round in another order, so that a machine that warms up or is disturbed treats them all
alike; a ratio is taken within a round and only then summed up. Run alone: a second busy process on the same cores can
slow a step tenfold, which is why the load is part of the result.

`python -m benchmarks.common` prints the machine.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "Spread", "interleaved", "machine", "ratio", "save", "table"]

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numpy", "av", "mujoco", "diffusers")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, quartiles and extremes of some runs."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    least: float
    most: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value; with fewer than four, the quartiles are the extremes."""
        low, _, high = (
            statistics.quantiles(values, n=4, method="inclusive")
            if len(values) > 3
            else (min(values), 0, max(values))
        )
        return cls(
            median=statistics.median(values),
            low=low,
            high=high,
            least=min(values),
            most=max(values),
            runs=len(values),
        )

    def text(self, unit: str = "s", digits: int = 3) -> str:
        """ "0.215 s (0.210-0.223)": the median and the quartiles."""
        return f"{self.median:.{digits}f}{unit and ' ' + unit} ({self.low:.{digits}f}-{self.high:.{digits}f})"

    def plain(self) -> dict[str, float]:
        """For a result."""
        return {k: round(v, 6) for k, v in asdict(self).items()}


def interleaved(
    cases: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    sync: Callable[[], None] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each run by case, `rounds` of them: A B C, B C A, C A B ... after `warmup` runs that do not count.

    `sync` waits for a device before each look at the clock.
    """
    wait = sync or (lambda: None)
    names = list(cases)
    for name in names:
        for _ in range(warmup):
            cases[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            wait()
            began = time.perf_counter()
            cases[name]()
            wait()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], slow: str, fast: str) -> Spread:
    """How many times longer `slow` takes than `fast`, round by round."""
    return Spread.of([a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)])


def machine() -> dict[str, Any]:
    """The machine and the versions that a figure depends on; needs no torch, and names it only where installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    told: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        told["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            told["gpu"] = torch.cuda.get_device_name()
    return told


def save(name: str, told: Mapping[str, Any], figures: Mapping[str, Any], *, path: Path | None = None) -> Path:
    """Writes `benchmarks/results/NAME.json`, or `path`: the machine, the command, and the figures (`Spread`s become
    objects).
    """
    if path is None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}.json"
    spec = sys.modules["__main__"].__spec__
    command = ["python", "-m", spec.name if spec else f"benchmarks.{name}", *sys.argv[1:]]
    content = {"command": " ".join(command), "machine": told, "figures": figures}
    aside = path.with_suffix(".json.part")
    aside.write_text(json.dumps(content, indent=2, default=_plain) + "\n")
    aside.replace(path)
    return path


def table(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Prints rows in columns; the first row is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _plain(value: object) -> object:
    if isinstance(value, Spread):
        return value.plain()
    raise TypeError(f"{type(value).__name__} does not go into a result")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    print(json.dumps(machine(), indent=2))
