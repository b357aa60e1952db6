"""The load generator: a fixed number of requests over a fixed number of keep-alive connections, each sent once.

One thread over epoll, with requests made beforehand, so that on two cores the server gets nearly all of them: it sends
some 20,000 requests/s to a server that costs nothing, an order of magnitude above what it measures here.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

STALLED_SECONDS = 60


@dataclass(frozen=True)
class Run:
    """`seconds` from the first byte sent to the last answer read; `statuses` counts answers; latencies in ms."""

    requests: int
    seconds: float
    statuses: dict[int, int]
    median_ms: float
    p99_ms: float
    first_failure: str

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Accept: */*",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: keep-alive",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Connection:
    """One connection: a request under way, and what of its answer has come so far."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=STALLED_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.sent_at = 0.0

    def send(self, data: bytes) -> None:
        self.received = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body once the answer is complete. Raises ConnectionError when the server hangs up."""
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("The server closed a connection while a request was under way.")
        self.received += chunk
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return None
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"connection" and value.strip().lower() == b"close":
                raise ConnectionError("The server does not keep connections alive.")
        return (int(head[9:12]), body) if len(body) >= length else None


def fire(port: int, requests: Sequence[bytes], *, connections: int) -> Run:
    """Send all requests, each connection the next one as soon as its answer is there.

    Raises ConnectionError when the server hangs up, TimeoutError when no answer comes.
    """
    pending = iter(requests)
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    first_failure = ""
    opened = [_Connection(port) for _ in range(min(connections, len(requests)))]
    with selectors.DefaultSelector() as selector:
        started = time.perf_counter()
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(next(pending))
        waiting = len(opened)
        while waiting:
            ready = selector.select(STALLED_SECONDS)
            if not ready:
                raise TimeoutError(f"No answer within {STALLED_SECONDS} s.")
            for key, _ in ready:
                answer = key.data.answer()
                if answer is None:
                    continue
                status, body = answer
                latencies.append(time.perf_counter() - key.data.sent_at)
                statuses[status] += 1
                if status != 200 and not first_failure:
                    first_failure = f"{status}: {body[:300].decode('utf-8', 'replace')}"
                following = next(pending, None)
                if following is None:
                    waiting -= 1
                else:
                    key.data.send(following)
        seconds = time.perf_counter() - started
    for connection in opened:
        connection.socket.close()
    latencies.sort()
    return Run(
        requests=len(latencies),
        seconds=seconds,
        statuses=dict(statuses),
        median_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1000,
        first_failure=first_failure,
    )
