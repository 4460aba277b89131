"""Each process has its own device, the right backends, and leaves the others cleanly, also after an error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from filmwright.spec.errors import BadRequest
from filmwright.training.processes import backends, joined, own_device
from training_runs import two_processes

FOUR = {"RANK": "6", "LOCAL_RANK": "2", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
ALONE = {"RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}


def test_cuda_is_the_gpu_of_this_process() -> None:
    assert own_device("cuda", FOUR) == "cuda:2"
    assert own_device("cuda", ALONE) == "cuda:0"
    assert own_device("cuda:3", ALONE) == "cuda:3"
    assert own_device("cuda:3", {}) == "cuda:3"
    assert own_device("cuda", {}) == "cuda"
    assert own_device("cpu", FOUR) == "cpu"
    with pytest.raises(
        BadRequest, match=r"cuda:0 is one GPU, and torchrun started 4 processes: say --device cuda"
    ):
        own_device("cuda:0", FOUR)


def test_numbers_on_the_cpu_never_wait_for_nccl() -> None:
    assert backends("cuda") == backends("cuda:1") == "cpu:gloo,cuda:nccl"
    assert backends("cpu") == "gloo"


@pytest.mark.skipif(torch.cuda.device_count() > 2, reason="has the GPU that is asked for")
def test_more_processes_than_gpus_are_said_before_any_of_them_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FOUR.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(BadRequest, match=r"cuda:2 was asked for, and this machine has \d GPUs"),
        joined("cuda"),
    ):
        pass


LEAVING = """
import sys
import torch.distributed as dist
from filmwright.training.processes import agree, joined, largest, wait_for_all
for run in range(2):  # a second group in one process finds nothing of the first
    with joined("cpu", 1) as rank:
        assert largest(float(rank.index), rank) == 1.0
        assert agree([rank.index == 0, rank.index == 1], rank) == [True, False]
        wait_for_all(rank)
    assert not dist.is_initialized()
try:
    with joined("cpu") as rank:
        raise ValueError("mine")
except ValueError:
    assert not dist.is_initialized()
    print(f"left {rank.index} of {rank.count}", flush=True)
"""


def test_processes_agree_and_leave_also_after_an_error(tmp_path: Path) -> None:
    script = tmp_path / "leaving.py"
    script.write_text(LEAVING)
    done = two_processes(script)
    assert done.returncode == 0, done.stderr
    assert "left 0 of 2" in done.stdout
    assert "left 1 of 2" in done.stdout
    assert "destroy_process_group" not in done.stderr  # which torch asks for when it was forgotten
