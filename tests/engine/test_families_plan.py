"""Plans of the families that run through diffusers: what is predicted is what is measured, and a budget is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
SCRIPT = Path(__file__).parents[1] / "measure_families.py"


RUNS = (
    "hunyuanvideo:held",
    "ltx-video:held",
    "ltx-video:staged",
    "svd:held",
    "ltx-2:streamed",
    "ltx-video:tiles",
)


def measured(folder: Path) -> list[dict[str, Any]]:
    """What `measure_families` says of each; in a process of its own, with what the tests run with as its path."""
    paths = os.pathsep.join(p for p in sys.path if p)
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *RUNS],
        check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_each_phase_is_within_a_tenth_and_a_budget_is_kept(tmp_path: Path) -> None:
    found = measured(tmp_path)
    assert [f"{one['name']}:{one['strategy']}" for one in found] == list(RUNS)
    off = {
        (one["name"], one["strategy"], phase): round(peak / one["took"][phase] - 1, 3)
        for one in found
        for phase, peak in one["said"].items()
    }
    assert max(map(abs, off.values())) < 0.10, off
    assert [max(one["took"].values()) < one["budget"] for one in found if one["budget"]] == [True, True, True]
