"""A real HTTP server on loopback that speaks `POST /v1/chat/completions`, told beforehand what to answer.

    with FakeOpenAI() as server:
        server.answer({"action": "retry_payment"})     # queued; each call takes the next one
        server.refuse()
        server.by_default(lambda request: {…})         # what answers once the queue is empty
        settings.OPENAI_BASE_URL = server.base_url
        …
        assert server.requests[0].json["model"] == "fake-model"

Without a script it makes the smallest answer that fits the schema of the request, so a whole flow runs without one.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "fake-model"


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived: the bytes, and what they say."""

    path: str
    headers: dict[str, str]
    body: bytes
    json: dict[str, Any]

    @property
    def text(self) -> str:
        """Everything the model was told, in one string."""
        return "\n".join(message["content"] for message in self.json["messages"])


@dataclass(frozen=True)
class Reply:
    """One answer of the server. `content` None with `refusal` set is a refusal; `raw` replaces the whole body."""

    content: str | None = None
    refusal: str | None = None
    finish_reason: str = "stop"
    status: int = 200
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    dribble: float = 0.0
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 40},
        }
    )

    def body(self, model: str) -> bytes:
        if self.raw is not None:
            return self.raw
        message = {"role": "assistant", "content": self.content, "refusal": self.refusal}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        completion = {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [choice],
            "usage": self.usage,
        }
        return json.dumps(completion).encode()


class FakeOpenAI:
    """`requests` holds what arrived, oldest first; `base_url` ends in /v1."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.model = MODEL
        self._script: deque[Reply] = deque()
        self._default: Callable[[dict[str, Any]], Any] = smallest_answer
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = _QuietServer(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeOpenAI:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    # -- the script --------------------------------------------------------------------------------------------------

    def reply(self, *replies: Reply) -> None:
        with self._lock:
            self._script.extend(replies)

    def by_default(self, answer: Callable[[dict[str, Any]], Any]) -> None:
        """`answer` gets the request's JSON and returns a Reply, or a value that is sent as the JSON answer."""
        self._default = answer

    def answer(self, *values: Any, **options: Any) -> None:
        """Structured answers, in this order."""
        self.reply(*(Reply(content=json.dumps(value), **options) for value in values))

    def say(self, text: str, **options: Any) -> None:
        """Any text as the answer, JSON or not."""
        self.reply(Reply(content=text, **options))

    def refuse(self, text: str = "I cannot help with that.") -> None:
        self.reply(Reply(refusal=text))

    def truncate(self, text: str = '{"action": "retry_pay') -> None:
        self.reply(Reply(content=text, finish_reason="length"))

    def fail(self, status: int, *, code: str = "", param: str = "", retry_after: str = "", times: int = 1) -> None:
        error = {"message": "the server says no", "type": "error", "code": code or None, "param": param or None}
        headers = {"Retry-After": retry_after} if retry_after else {}
        self.reply(*[Reply(status=status, raw=json.dumps({"error": error}).encode(), headers=headers)] * times)

    def drop(self, times: int = 1) -> None:
        """Reads the request, then resets the connection."""
        self.reply(*[Reply(drop=True)] * times)

    def slow(self, seconds: float, value: Any = None) -> None:
        self.reply(Reply(content=json.dumps(value), delay=seconds))

    def dribble(self, seconds_per_byte: float, value: Any = None) -> None:
        """Headers at once, then the body byte by byte: no single read ever takes long."""
        self.reply(Reply(content=json.dumps(value), dribble=seconds_per_byte))

    # -- serving -----------------------------------------------------------------------------------------------------

    def _next(self, request: dict[str, Any]) -> Reply:
        with self._lock:
            if self._script:
                return self._script.popleft()
        answer = self._default(request)
        return answer if isinstance(answer, Reply) else Reply(content=json.dumps(answer))

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = json.loads(body)
        with self._lock:
            self.requests.append(Recorded(handler.path, dict(handler.headers), body, request))
        reply = self._next(request)
        if reply.delay:
            self._stopping.wait(reply.delay)
        if reply.drop:
            # An RST instead of a tidy end, as when a process dies.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True
            return
        payload = reply.body(self.model)
        handler.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        if not reply.dribble:
            handler.wfile.write(payload)
            return
        for index in range(len(payload)):
            handler.wfile.write(payload[index : index + 1])
            handler.wfile.flush()
            if self._stopping.wait(reply.dribble):
                return


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what many of these tests are about; anything else is printed as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler_for(fake: FakeOpenAI) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            fake._serve(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def smallest_answer(request: dict[str, Any]) -> Any:
    """The smallest value of the request's schema: first of an enum, empty lists, "A text." for any other text."""
    schema = request["response_format"]["json_schema"]["schema"]
    return _smallest(schema, schema.get("$defs", {}))


def _smallest(node: dict[str, Any], definitions: dict[str, Any]) -> Any:
    if "$ref" in node:
        return _smallest(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return node["enum"][0]
    if "anyOf" in node:
        return _smallest(node["anyOf"][0], definitions)
    kind = node.get("type")
    if kind == "object":
        return {name: _smallest(child, definitions) for name, child in node.get("properties", {}).items()}
    return {"array": [], "integer": 0, "number": 0, "boolean": False, "null": None}.get(kind or "", "A text.")
