"""The platform's side of the outgoing webhooks: a receiver on loopback that checks each signature and keeps count.

It knows of us what docs/outgoing-webhooks.md says, and no more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import loads
from types import TracebackType


class Receiver:
    """`with Receiver() as platform:` listens on `platform.url`. `told`: types of what came with a good signature."""

    def __init__(self) -> None:
        self.secret = ""
        self.told: list[str] = []
        self.refused = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                good = outer.verify({name.lower(): value for name, value in self.headers.items()}, body)
                if good:
                    outer.told.append(str(loads(body)["type"]))
                else:
                    outer.refused += 1
                self.send_response(204 if good else 400)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/told"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> Receiver:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def verify(self, headers: dict[str, str], body: bytes, tolerance: int = 300) -> bool:
        number, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
        if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > tolerance:
            return False
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = f"{number}.{timestamp}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())
