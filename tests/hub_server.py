"""A hub of models on this machine: the two endpoints that a pull asks, over real HTTP, with faults to order."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

__all__ = ["HubServer"]

IN_LFS = (".safetensors", ".bin", ".pth")


@dataclass
class HubServer:
    """Serves the files of `folder` as the repository `hub` at `commit`, which is also its main."""

    folder: Path
    hub: str
    commit: str
    cut: dict[str, list[int]] = field(
        default_factory=dict
    )  # file -> after how many bytes each answer breaks off
    altered: set[str] = field(default_factory=set)  # files that come with a wrong byte
    claimed: dict[str, int] = field(default_factory=dict)  # file -> a size that it has not
    listed: list[str] = field(default_factory=list)  # more names that the listing has
    refused: tuple[int, str] | None = None  # status and X-Error-Code of every answer
    knows_ranges: bool = True
    held: threading.Event = field(
        default_factory=threading.Event
    )  # what a file in `holding` waits for, half sent
    holding: set[str] = field(default_factory=set)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # (path, Range) of each request
    tokens: set[str | None] = field(default_factory=set)

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def names(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file())

    def fetched(self) -> list[tuple[str, str | None]]:
        """(name, Range) of each file that was sent."""
        mark = f"/resolve/{self.commit}/"
        return [(path.split(mark)[1], wanted) for path, wanted in self.asked if mark in path]

    def sibling(self, name: str) -> dict[str, Any]:
        content = (self.folder / name).read_bytes()
        size = self.claimed.get(name, len(content))
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        row: dict[str, Any] = {"rfilename": name, "size": size, "blobId": blob}
        if name.endswith(IN_LFS):
            row["blobId"] = hashlib.sha1(b"pointer" + content).hexdigest()
            row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 130}
        return row


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        hub, path = self.server_hub, unquote(urlsplit(self.path).path)
        hub.asked.append((path, self.headers.get("Range")))
        if not path.startswith("/cdn/"):
            hub.tokens.add(self.headers.get("Authorization"))
        if hub.refused is not None:
            status, code = hub.refused
            return self.answer(status, b"{}", {"X-Error-Code": code})
        if (
            path == f"/api/models/{hub.hub}/revision/{hub.commit}"
            or path == f"/api/models/{hub.hub}/revision/main"
        ):
            rows = [hub.sibling(name) for name in hub.names]
            rows += [{"rfilename": name, "size": 1, "blobId": "0" * 40} for name in hub.listed]
            told = {"id": hub.hub, "modelId": hub.hub, "sha": hub.commit, "siblings": rows, "tags": []}
            return self.answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})
        found = re.fullmatch(rf"/{hub.hub}/resolve/{hub.commit}/(.+)", path)
        if found and found[1] in hub.names:
            if found[1].endswith(IN_LFS):  # as the hub does: from another address
                return self.answer(302, b"", {"Location": f"/cdn/{found[1]}", "X-Repo-Commit": hub.commit})
            return self.send_file(found[1])
        if path.startswith("/cdn/"):
            return self.send_file(path.removeprefix("/cdn/"))
        code = "RevisionNotFound" if "/revision/" in path else "EntryNotFound"
        return self.answer(404, b"{}", {"X-Error-Code": code})

    def send_file(self, name: str) -> None:
        hub = self.server_hub
        content = (hub.folder / name).read_bytes()
        if name in hub.altered:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"X-Repo-Commit": hub.commit, "ETag": hub.sibling(name)["blobId"]}
        wanted, status, start = self.headers.get("Range"), 200, 0
        if wanted and hub.knows_ranges:
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        content = content[start:]
        cuts, wait = hub.cut.get(name), None
        if name in hub.holding:
            cuts, wait = [len(content) // 2], hub.held
        self.answer(
            status, content[: cuts.pop(0)] if cuts else content, headers, length=len(content), wait=wait
        )

    def answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        *,
        length: int | None = None,
        wait: threading.Event | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if wait is not None:
            wait.wait(30)
        self.close_connection = True
