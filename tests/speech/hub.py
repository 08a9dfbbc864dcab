"""A model hub of the tests' own on loopback: enough of it for one small model, whoever asks by name."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

REVISION = "a" * 40


class Hub:
    """Gives these files, those in `damaged` with a byte too many the first time."""

    def __init__(self, files: Mapping[str, bytes], *, damaged: frozenset[str] = frozenset()) -> None:
        self._files = files
        self._damaged = damaged
        self.given: Counter[str] = Counter()
        hub = self

        class Answers(_Answers):
            def do_GET(self) -> None:
                hub._answer(self)

            do_HEAD = do_GET

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, asked: "_Answers") -> None:
        if "/tree/" in asked.path:
            tree = [{"type": "file", "path": n, "size": len(d), "oid": "1"} for n, d in self._files.items()]
            asked.answer(json.dumps(tree).encode(), "application/json")
            return
        if asked.path.startswith("/api/models/"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self._files.items()]
            info = {"_id": "1", "id": "x/y", "sha": REVISION, "siblings": siblings}
            asked.answer(json.dumps(info).encode(), "application/json")
            return
        name = asked.path.split("?")[0].rpartition("/")[2]
        bad = name in self._damaged and not self.given[name]
        asked.answer(self._files[name] + b"?" * bad, "application/octet-stream")
        self.given[name] += asked.command == "GET"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
