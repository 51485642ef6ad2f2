"""A server on this machine that speaks as much of wandb's protocol as a run or ``wandb sync`` needs."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0" * 40


class WandbServer:
    """Takes runs and keeps what they send.

    Attributes:
        url: For ``WANDB_BASE_URL``.
        rows: The rows of the history, by run id.
        runs: The variables of every ``UpsertBucket``.
        files: Bytes of each uploaded file, by run id and name.
        artifacts: The input of every ``CreateArtifact``.
        broken: Answer every request with an error that wandb retries.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.runs: list[dict[str, Any]] = []
        self.files: dict[tuple[str, str], bytes] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.broken = False
        self._web = _Web(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._web.server_port}"

    def environment(self) -> dict[str, str]:
        """Variables that lead wandb here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"}

    def serve(self) -> None:
        self._web.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        self._web.shutdown()
        self._web.server_close()

    def answer(self, path: str, body: bytes) -> Any:
        if path == "/graphql":
            request = json.loads(body)
            name = request.get("operationName") or ""
            act = getattr(self, f"_{name}", None)
            # The question after an artifact's type has no name; no project, no type.
            return {"data": act(request.get("variables") or {}) if act else {"project": None}}
        if path.endswith("/file_stream"):
            run = path.split("/")[-2]
            for name, part in (json.loads(body).get("files") or {}).items():
                if name == "wandb-history.jsonl":
                    rows = self.rows.setdefault(run, [])
                    rows[part["offset"] :] = [json.loads(line) for line in part["content"]]
            return {}
        if path.startswith("/upload/"):
            _, _, run, name = path.split("/", 3)
            self.files[run, name] = body
        return {}

    def _Viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        teams = {"edges": [{"node": {"id": "e", "name": "someone"}}]}
        viewer = {"id": "v", "entity": "someone", "username": "someone", "email": "a@b.c", "flags": "{}"}
        return {"viewer": {**viewer, "teams": teams}}

    def _UpsertBucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.runs.append(variables)
        return {"upsertBucket": {"bucket": self._bucket(variables), "inserted": True}}

    def _bucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        project = variables.get("project") or "uncategorized"
        run = {key: variables[key] for key in ("name", "config") if variables.get(key)}
        entity = {"id": "e", "name": variables.get("entity") or "someone"}
        return {"id": "b", **run, "project": {"id": "p", "name": project, "entity": entity}}

    def _RunResumeStatus(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = variables["name"]
        if not any(r.get("name") == run for r in self.runs):
            return {
                "model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "someone"}, "bucket": None}
            }
        rows = self.rows.get(run, [])
        tail = json.dumps([json.dumps(rows[-1])] if rows else [])
        bucket = {"id": "b", "name": run, "config": "{}", "summaryMetrics": "{}", "displayName": run}
        bucket |= {"historyLineCount": len(rows), "eventsLineCount": 0, "logLineCount": 0, "tags": []}
        bucket |= {"historyTail": tail, "eventsTail": "[]", "wandbConfig": '{"t": {}}'}
        return {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "someone"}, "bucket": bucket}}

    def _CreateRunFiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = variables["run"]
        files = [{"name": n, "uploadUrl": f"{self.url}/upload/{run}/{n}"} for n in variables["files"]]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}

    def _CreateArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.artifacts.append(variables["input"])
        artifact = {"id": f"a{len(self.artifacts)}", "state": "COMMITTED"}  # so its files need not be sent
        return {"createArtifact": {"artifact": {**artifact, "artifactSequence": {"latestArtifact": None}}}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self._body()
                reply = {} if server.broken else server.answer(self.path, body)
                data = json.dumps(reply).encode()
                self.send_response(503 if server.broken else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_PUT = do_GET = do_POST

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    parts = []
                    while size := int(self.rfile.readline(), 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    body = b"".join(parts)
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        return Handler


class _Web(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """wandb's process ends without closing its connections; that is no error here."""


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """Run a server while the block runs."""
    server = WandbServer()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
