"""What holds for every test: no network, no test that needs more than it is given."""

from __future__ import annotations

import gc
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import filmwright  # noqa: F401  (before torch, whose threads it tells how to wait)

if count := int(
    os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")
):  # also before torch: each process has its cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))

SOURCE = Path(__file__).parents[1] / "src"
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")])
)  # for children
# a shell's background job ignores SIGINT, and its children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("filmwright", deadline=None)  # a busy machine is no bug
settings.load_profile("filmwright")

LOCAL = {"localhost", "127.0.0.1", "::1"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run tests that take more than half a minute")
    parser.addoption("--network", action="store_true", help="run tests that reach other machines")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for name in ("slow", "network"):
            if name in item.keywords and not config.getoption(f"--{name}"):
                item.add_marker(pytest.mark.skip(reason=f"needs --{name}"))
        if "gpu" in item.keywords and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish() -> None:
    """What was imported is searched for cycles no more: each search would take half a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def offline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that dials out fails, unless it is marked `network`; processes of one machine may talk."""
    if "network" in request.keywords:
        return
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in LOCAL and address[0] != socket.gethostname():
            pytest.fail(f"the test reaches for the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in a folder of its own, so that a default output path lands nowhere else; so do its runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FILMWRIGHT_HOME", str(tmp_path.with_name(f"{tmp_path.name}-home")))
