"""How much memory there is and how much is in use: of this process on a CPU, of the device on a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

__all__ = ["available", "give_back", "keep_exact", "leave_imported", "peak", "resident", "start_peak"]

SHARE = 0.9  # of what is free: the system and others go on living
LARGE = 1 << 20  # bytes from which a tensor is mapped by itself
MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
STATUS = Path("/proc/self/status")
CGROUP = Path("/sys/fs/cgroup")


def available(device: str = "cpu") -> int:
    """Bytes that a run may come to use in all: what is free now, beside what this process has already."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(SHARE * (free + torch.cuda.memory_reserved(device)))
    free = _kilobytes(Path("/proc/meminfo"), "MemAvailable")
    with contextlib.suppress(OSError, ValueError):  # a container may have less than the machine
        limit = int((CGROUP / "memory.max").read_text())
        free = min(free, limit - int((CGROUP / "memory.current").read_text()))
    return int(SHARE * max(free, 0)) + resident()


def resident(device: str = "cpu") -> int:
    """Bytes in use now."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.memory_reserved(device)
    return _kilobytes(STATUS, "VmRSS")


def start_peak(device: str = "cpu") -> None:
    """From here on `peak` counts."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # a kernel that does not let us: the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: str = "cpu") -> int:
    """The most bytes in use since `start_peak`."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_reserved(device)
    return _kilobytes(STATUS, "VmHWM")


def keep_exact() -> None:
    """From here on a tensor's memory goes back to the system when the tensor goes: what is in use is what is needed.

    Without it the C library keeps what it thinks will be wanted again, up to a fifth more. Only on Linux with glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE)


@contextlib.contextmanager
def leave_imported() -> Iterator[None]:
    """Within it a search for cycles passes over all that was there before: with torch imported that is 0.15 s each."""
    if gc.get_freeze_count():  # somebody else's choice, or a run within a run
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def give_back(device: str = "cpu") -> None:
    """Gives what is not used any more back to the system, or to the device's other programs."""
    gc.collect()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _kilobytes(path: Path, key: str) -> int:
    """The value of a line "key: 123 kB", in bytes."""
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) * 1024
    raise OSError(f"{path} does not say {key}")
