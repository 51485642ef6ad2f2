"""A web server on this machine that gives files well, badly, or not at all."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch


def checkpoint_bytes(size: int = 40_000, seed: int = 0) -> bytes:
    """A checkpoint of PyTorch with ``size`` numbers."""
    weights = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    file = io.BytesIO()
    torch.save({"state_dict": {"a": weights}}, file)
    return file.getvalue()


def hashed_name(content: bytes, stem: str = "net", digits: int = 8) -> str:
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:digits]}.pth"


@dataclass
class Server:
    """What the server does; tests change it between requests.

    Attributes:
        files: Path → content.
        close_after: Bytes of each answer after which it closes the connection.
        knows_ranges: Whether it answers Range requests with the piece that is asked for.
        heeds_if_range: Whether it gives the whole file when the version is another.
        etags: Whether it tells versions.
        tells_size: Whether it sends a Content-Length.
        status: Answers with these, one after the other, before it does anything else.
        delay_s: Waits so long before each answer, and ``stall`` in its middle.
        redirects: Path → the address that it leads to.
        requests: What was asked: (path, the Range header or None).
        headers, missing_headers: Sent as well with each file, and where there is none.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    close_after: int | None = None
    knows_ranges: bool = True
    heeds_if_range: bool = True
    etags: bool = True
    tells_size: bool = True
    status: list[int] = field(default_factory=list)
    stall: threading.Event | None = None
    delay_s: float = 0.0
    content_type: str = "application/octet-stream"
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    missing_headers: dict[str, str] = field(default_factory=dict)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Any

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        plan: Server = self.server.plan
        path = self.path.partition("?")[0]
        plan.requests.append((path, self.headers.get("Range")))
        if plan.delay_s:
            threading.Event().wait(plan.delay_s)
        if plan.status:
            return self.send_error(plan.status.pop(0))
        if path in plan.redirects:
            self.send_response(302)
            self.send_header("Location", plan.redirects[path])
            self.end_headers()
            return None
        if path not in plan.files:
            self.send_response(404)
            for name, value in plan.missing_headers.items():
                self.send_header(name, value)
            self.end_headers()
            return None
        return self._give(plan, plan.files[path])

    def _give(self, plan: Server, content: bytes) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        version = self.headers.get("If-Range")
        start = int(asked[1]) if asked and plan.knows_ranges else 0
        if plan.heeds_if_range and version and version != etag:
            start = 0
        if start >= len(content) > 0 and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", plan.content_type)
        for name, value in plan.headers.items():
            self.send_header(name, value)
        if plan.etags:
            self.send_header("ETag", etag)
        if plan.tells_size:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = content[start:]
        self.wfile.write(body[: plan.close_after])
        if plan.stall and plan.close_after is not None:
            self.wfile.flush()
            plan.stall.wait(20)
        self.close_connection = True


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """A client that goes away is no news."""


@contextmanager
def serving(**plan: Any) -> Iterator[Server]:
    """A server in a thread of this process."""
    http_server = _Http(("127.0.0.1", 0), _Handler)
    http_server.plan = server = Server(**plan)
    server.url = f"http://127.0.0.1:{http_server.server_port}"
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http_server.shutdown()
        http_server.server_close()
        thread.join()
