"""One POST to one URL: to the address that was judged, without redirects or proxies, within a time that ends.

httpcore2 is what httpx2 runs on. It follows no redirect, reads no proxy out of the environment, and lets us bring the
connection: to a fixed address, with a deadline over all of it, so that a receiver that answers a byte at a time does
not hold a worker. The certificate is checked against the URL's name.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import httpcore2
import httpx2

from billingops.exceptions import InvalidInput
from billingops.outbound import addresses

MOST_ADDRESSES = 3
MOST_READ = 64 * 1024  # of an answer, its headers included; its body is not looked at
USER_AGENT = "BillingOps-Webhooks/1"


@dataclass(frozen=True)
class Answer:
    """`error`: "" for a 2xx, else one of: status, redirect, timeout, connection, tls, dns, address, url, answer.
    `ms`: milliseconds. `retry_after`: seconds that the receiver asks us to wait, 0 for none."""

    status: int | None
    error: str
    ms: int
    retry_after: int = 0

    @property
    def is_delivered(self) -> bool:
        return not self.error


class _Stream(httpcore2.NetworkStream):
    """A connection whose every step ends at the deadline, and that gives no more than MOST_READ bytes."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: float) -> None:
        self.inner, self.deadline, self.left = inner, deadline, MOST_READ

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.left <= 0:
            raise httpcore2.ReadError("the answer is too long")
        data = self.inner.read(min(max_bytes, self.left), _remaining(self.deadline))
        self.left -= len(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, _remaining(self.deadline))

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        secured = self.inner.start_tls(ssl_context, server_hostname, _remaining(self.deadline))
        return _Stream(secured, self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


class _To(httpcore2.NetworkBackend):
    """Connects to one of these addresses, whatever name it is asked for."""

    def __init__(self, found: list[str], deadline: float) -> None:
        self.found, self.deadline = found[:MOST_ADDRESSES], deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        problem: Exception = httpcore2.ConnectError("no address")
        for address in self.found:
            try:
                inner = httpcore2.SyncBackend().connect_tcp(address, port, _remaining(self.deadline))
                return _Stream(inner, self.deadline)
            except httpcore2.ConnectError as refused:
                problem = refused
        raise problem


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time for one attempt is over")
    return left


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def post(url: str, *, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
    """Never raises for what a receiver or the network does. What the receiver says beyond its status is not kept."""
    began = time.monotonic()
    try:
        found = addresses.parts(url)
        host, port = str(found.hostname), addresses.port_of(found)
        known = addresses.resolve(host, port, found.scheme)
        status, retry_after = _post(url, known, body, headers, began + seconds)
    except InvalidInput:
        return Answer(None, "url", _since(began))
    except addresses.Refused:
        return Answer(None, "address", _since(began))
    except addresses.NotFound:
        return Answer(None, "dns", _since(began))
    except httpcore2.TimeoutException:
        return Answer(None, "timeout", _since(began))
    except httpcore2.ConnectError as problem:
        is_tls = isinstance(problem.__cause__ or problem.__context__, ssl.SSLError)
        return Answer(None, "tls" if is_tls else "connection", _since(began))
    except httpcore2.NetworkError:
        return Answer(None, "connection", _since(began))
    except httpcore2.ProtocolError:
        return Answer(None, "answer", _since(began))
    error = "" if 200 <= status < 300 else "redirect" if 300 <= status < 400 else "status"
    return Answer(status, error, _since(began), retry_after)


def _post(url: str, known: list[str], body: bytes, headers: Mapping[str, str], deadline: float) -> tuple[int, int]:
    sent = {"content-type": "application/json", "user-agent": USER_AGENT, "connection": "close", **headers}
    backend = _To(known, deadline)
    pool = httpcore2.ConnectionPool(
        ssl_context=_tls(), network_backend=backend, max_connections=1, max_keepalive_connections=0, retries=0
    )
    with pool, pool.stream("POST", url, headers=list(sent.items()), content=body) as response:
        return response.status, _retry_after(response.headers)


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """In seconds; a date is not looked at."""
    value = {name.lower(): value for name, value in headers}.get(b"retry-after", b"").strip()
    return int(value) if value.isdigit() and len(value) < 7 else 0


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
