"""A run that is killed at a step of its denoiser: in a process of its own, by SIGKILL, and never too late."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

CHILD = """
import json, os, signal, sys
from filmwright.engine.build_request import build_request
from filmwright.engine.generate import generate_file
from filmwright.spec.events import Progress

prompt, path, step, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])

def follow(event):
    if isinstance(event, Progress) and event.stage == "denoise" and event.done == step:
        os.kill(os.getpid(), signal.SIGKILL)

generate_file(build_request(prompt, **options), path, on_event=follow)
"""


def die_at_step(step: int, prompt: str, path: Path, **options: object) -> None:
    """Makes `path` of the request that `options` describe, until `step` steps are done."""
    command = [sys.executable, "-c", CHILD, prompt, str(path), str(step), json.dumps(options)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not path.exists()
