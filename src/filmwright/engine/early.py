"""What a run would fail on for sure is found before a tensor library is loaded, so that the answer comes at once.

What is read here is kept: weights are not hashed again when they are loaded, nor keys made anew when a file is signed.
"""

from __future__ import annotations

import re
from pathlib import Path

from filmwright.spec.errors import BadRequest, DoesNotFit, WeightsError
from filmwright.spec.plan import say_bytes
from filmwright.spec.request import Request
from filmwright.weights.card import load_card
from filmwright.weights.whole import check_set, shipped

__all__ = ["check_device", "check_memory", "check_start", "has_gpu_driver"]

# what drivers of GPUs leave in the file system: of NVIDIA, under Windows (WSL) and on Jetson too, and of AMD, whose
# builds of torch say cuda as well
DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg", "/dev/nvmap", "/dev/kfd")
LEAST = {
    "cpu": 100_000_000,
    "cuda": 30_000_000,
}  # bytes that torch alone, or the smallest nets alone, are above


def has_gpu_driver() -> bool:
    """Whether a driver is there that torch could find a GPU by; without one there is none."""
    return any(Path(path).exists() for path in DRIVERS)


def check_device(device: str | None) -> None:
    """See that a device is of a kind that the nets run on and, for a GPU, that a driver is there.

    Raises:
        BadRequest: it is not.
    """
    if device is None:
        return
    if not re.fullmatch(r"cpu|cuda(:\d{1,2})?", str(device)):
        raise BadRequest(f"unknown device {device!r}: cpu, cuda or cuda:0")
    if device != "cpu" and not has_gpu_driver():
        raise BadRequest(f"there is no {device} on this machine: 0 GPUs are found; take cpu")


def check_memory(budget: int | None, device: str | None) -> None:
    """See that a budget in bytes is not below what any run needs; `engine.plan` says what this one does.

    Raises:
        DoesNotFit: it is.
    """
    if device is None:
        device = "cuda" if has_gpu_driver() else "cpu"
    least = LEAST[device.partition(":")[0]]
    if budget is not None and budget < least:
        raise DoesNotFit(
            f"{say_bytes(budget)} is the budget, and every run needs more than {say_bytes(least)}: allow --memory 1GB, "
            "and if that is too little, it is said how much is enough"
        )


def check_start(
    request: Request,
    *,
    device: str | None = None,
    weights: Path | None = None,
    memory: int | None = None,
    sign: bool = True,
) -> None:
    """See that a run can begin: the device, the budget, the weights' files, and the keys that its clip is signed with.

    Raises:
        BadRequest: there is no such device.
        CredentialsError: the keys are unsafe or cannot be written.
        DoesNotFit: no run fits the budget.
        WeightsError: files are missing or damaged.
    """
    check_device(device)
    check_memory(memory, device)
    if load_card(request.model).family == "pocket":
        check_set(weights or shipped(request.model))
    elif weights is not None and not any(weights.rglob("*.safetensors")):
        raise WeightsError(f"{weights} holds no safetensors: name the folder of a downloaded model")
    if sign:
        from filmwright.provenance.signing import can_sign

        if can_sign():
            from filmwright.provenance.authority import open_authority

            open_authority()
