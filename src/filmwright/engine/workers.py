"""Several processes for one clip: who is the first of them, and starting them. Nothing here loads a tensor library."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filmwright.engine.sidecar import make_sidecar, write_sidecar
from filmwright.spec.request import Request

__all__ = ["is_first", "run_workers"]


def is_first() -> bool:
    """Whether this process is the one that writes files and speaks; true where there is only one."""
    return os.environ.get("RANK", "0") == "0"


def run_workers(request: Request, path: Path, count: int, device: str, options: Sequence[str]) -> int:
    """Makes a clip with `count` processes of `filmwright generate`, a device each, and gives their exit code.

    `options` are further ones of the command. On a CPU the processes share the cores.
    """
    environment = dict(os.environ)
    if device == "cpu":
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "request.json"
        write_sidecar(job, make_sidecar(request, weights={}, timings={}))
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        work = ["-m", "filmwright.cli", "generate", "--from", str(job), "-o", str(path), "--device", device]
        return subprocess.run(  # noqa: S603 (this interpreter, and words that were checked)
            [sys.executable, *launch, *work, *options], check=False, env=environment
        ).returncode
