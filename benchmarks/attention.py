"""Backends of attention that are here: how far each is from the exact result, what its trial takes, and one call of it.

The trial is what a run of Wan does before it starts; a call has twelve heads of 128 features, as Wan 1.3B has. Of a trial
the processor's time is told too, which depends less on what else the machine does; OMP_NUM_THREADS=1 is for that.

    python -m benchmarks.attention
    python -m benchmarks.attention --device cuda --tokens 32760
"""

from __future__ import annotations

import argparse
import time

import torch
from benchmarks.common import Spread, interleaved, machine, save, table

from filmwright.engine.attention import candidates, choose_attention
from filmwright.engine.compiled import can_compile
from filmwright.engine.devices import fast_dtype, pick_device
from filmwright.spec.backends import NEEDS, is_installed
from filmwright.spec.errors import BadRequest

HEADS, HEAD_DIM, WORDS = 12, 128, 512
ROUNDS = 5


def main() -> None:
    """Measures, prints and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"))
    given = parser.parse_args()
    device = pick_device(given.device)
    dtype = getattr(torch, given.dtype) if given.dtype else fast_dtype(device)
    told = machine()
    kind = device.partition(":")[0]
    here = [
        name
        for name, needs in NEEDS.items()
        if name != "auto"
        and needs.device in (None, kind)
        and is_installed(name)
        and (not needs.compiler or can_compile(device))
    ]
    shapes = {"itself": (given.tokens, given.tokens), "words": (given.tokens, WORDS)}
    trials, busy, proofs, failed = {}, {}, {}, {}
    for name in here:
        seconds, processor = [], []
        for _ in range(ROUNDS):
            began, worked = time.perf_counter(), time.process_time()
            try:
                found = choose_attention(device, dtype, shapes, HEAD_DIM, name)[1]
            except BadRequest as error:
                failed[name] = str(error)
                break
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - worked)
            proofs[name] = found[f"attention {name}"]["difference"]
        else:
            busy[name] = Spread.of(processor[1:])
            trials[name] = (seconds[0], Spread.of(seconds[1:]))  # the first one loads, or compiles
    q, k, v = (
        torch.randn(1, given.tokens, HEADS, HEAD_DIM, device=device, dtype=dtype).transpose(1, 2)
        for _ in range(3)
    )
    kernels = {name: candidates(device, dtype, name)[name] for name in trials}
    with torch.inference_mode():
        calls = interleaved(
            {name: lambda f=f: f(q, k, v) for name, f in kernels.items()},
            rounds=ROUNDS,
            sync=None if kind == "cpu" else torch.cuda.synchronize,
        )
    spreads = {name: Spread.of(values) for name, values in calls.items()}
    rows = [["backend", "off the exact result", "first trial", "trial", "of the processor", "a call"]]
    rows += [
        [name, f"{proofs[name]:.2g}", f"{first:.2f} s", trial.text(), busy[name].text(), spreads[name].text()]
        for name, (first, trial) in trials.items()
    ]
    rows += [[name, why, "", "", "", ""] for name, why in failed.items()]
    table(f"{given.tokens} tokens on {device}, {str(dtype).removeprefix('torch.')}", rows)
    save(
        "attention",
        told,
        {"proofs": proofs, "trials": trials, "processor": busy, "calls": spreads, "failed": failed},
    )


if __name__ == "__main__":
    main()
