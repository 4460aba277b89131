"""Short runs of `tiny` nets, and what their logs say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from filmwright.training.loop import LoopConfig


def config(out: Path, steps: int, **changes: object) -> LoopConfig:
    options = {
        "batch": 4,
        "max_steps": steps,
        "warmup_steps": 5,
        "log_every": 1,
        "threads": 2,
        "compile": False,
    }
    return LoopConfig(out=out, max_minutes=5, **(options | changes))  # type: ignore[arg-type]


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder: Path, key: str = "loss") -> list[float]:
    return [line[key] for line in records(folder) if key in line]


def two_processes(script: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Runs a script in two processes of one thread, as torchrun starts them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, str(script), *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
