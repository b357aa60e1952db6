"""A receiver as a platform would have one: a real HTTP server on loopback that keeps what came and answers as told."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[3] / "docs" / "outgoing-webhooks.md"


def documented_verify() -> Any:
    """The function that the documentation gives receivers."""
    code = DOCS.read_text().partition("```python\n")[2].partition("```")[0]
    found: dict[str, Any] = {}
    exec(compile(code, str(DOCS), "exec"), found)
    return found["verify"]


@dataclass(frozen=True)
class Came:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """`answers`: (status, headers) or a number of seconds to hang, one per request; 200 when they are used up."""

    url: str = ""
    came: list[Came] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def fail(self, times: int, status: int = 500) -> None:
        self.answers += [(status, {})] * times

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.came]


class Server:
    def __enter__(self) -> Receiver:
        receiver = Receiver()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came.append(
                    Came(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                )
                answer = receiver.answers.pop(0) if receiver.answers else (200, {})
                if answer == "drip":
                    self.drip()
                    return
                if isinstance(answer, int):
                    time.sleep(answer)
                    return
                status, headers = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                try:
                    self.end_headers()
                    self.wfile.write(b"an answer that nobody keeps")
                except OSError:
                    pass  # they have hung up

            def drip(self) -> None:
                """A byte at a time, each well within any time-out of a single read."""
                try:
                    for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 400:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        time.sleep(0.1)
                except OSError:
                    pass  # they have hung up, as they should

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        receiver.url = f"http://127.0.0.1:{self.server.server_port}/hooks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return receiver

    def __exit__(self, *args: Any) -> None:
        self.server.shutdown()
        self.server.server_close()
