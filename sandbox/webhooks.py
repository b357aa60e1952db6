"""Webhooks: who listens, the queue, and the threads that deliver, sign, retry, shuffle and repeat.

Nothing here holds the world's lock while it talks to a receiver. Signatures carry real time.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import http.client
import itertools
import json
import random
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .errors import Json

TIMEOUT_SECONDS = 10.0
RETRY_DELAYS = (0.2, 0.5, 1.0, 2.0, 4.0)


def sign_payload(body: bytes, secret: str, timestamp: int | None = None) -> str:
    """The `Stripe-Signature` header of a body."""
    moment = int(time.time()) if timestamp is None else timestamp
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


@dataclass
class Endpoint:
    """A receiver. `connect`: events of connected accounts instead of `account`'s own (None: the platform)."""

    url: str
    secret: str
    connect: bool = False
    enabled_events: Sequence[str] = ("*",)
    id: str = field(default_factory=lambda: f"we_{secrets.token_hex(12)}")
    account: str | None = None
    enabled: bool = True

    def wants(self, event: Json) -> bool:
        """Whether this event goes here."""
        origin = event.get("account")
        mine = origin is not None if self.connect else origin == self.account
        if not self.enabled or not mine:
            return False
        return "*" in self.enabled_events or event["type"] in self.enabled_events


@dataclass(order=True)
class Delivery:
    """One attempt to come. Ordered by when it is due, then by arrival."""

    due: float
    order: int
    event: Json = field(compare=False)
    endpoint: Endpoint = field(compare=False)
    attempt: int = field(default=1, compare=False)
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Attempt:
    """What happened to one delivery; `status` is None when no answer came."""

    event_id: str
    type: str
    url: str
    attempt: int
    status: int | None
    error: str | None = None


class Webhooks:
    """The queue and its workers. One worker delivers in order; more of them overlap, as Stripe's do."""

    def __init__(
        self,
        *,
        workers: int = 1,
        retry_delays: Sequence[float] = RETRY_DELAYS,
        on_acknowledged: Callable[[Json], None] = lambda event: None,
        render: Callable[[Json], Json] = dict,
        find_event: Callable[[str], Json] | None = None,
    ) -> None:
        self.endpoints: list[Endpoint] = []
        self.attempts: deque[Attempt] = deque(maxlen=20_000)
        self.retry_delays = tuple(retry_delays)
        self._workers = workers
        self._on_acknowledged = on_acknowledged
        self._render = render
        self._find_event = find_event
        self._queue: list[Delivery] = []
        self._order = itertools.count()
        self._in_flight = 0
        self._paused = False
        self._stopping = False
        self._repeat, self._delay = 0.0, 0.0
        self._random = random.Random(0)  # noqa: S311  chance, not a secret
        self.counts: Counter[str] = Counter()  # deliveries put into the queue: `new`, `repeated`, `retried`
        self._change = threading.Condition()
        self._threads: list[threading.Thread] = []

    # Life

    def start(self) -> None:
        """Start the workers."""
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"sandbox-webhooks-{n}", daemon=True) for n in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the workers; what is queued stays undelivered."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(timeout=TIMEOUT_SECONDS + 1)
        self._threads = []

    def clear(self) -> None:
        """Drop what is queued and remembered; the endpoints stay."""
        with self._change:
            self._queue.clear()
            self.attempts.clear()
            self._paused = False
            self._repeat, self._delay = 0.0, 0.0
            self.counts.clear()
            self._change.notify_all()

    # Controls

    def add(self, url: str, secret: str, connect: bool = False, enabled_events: Sequence[str] = ("*",)) -> Endpoint:
        """Register a receiver: of the platform's own events, or with `connect` of the connected accounts'."""
        endpoint = Endpoint(url, secret, connect, tuple(enabled_events))
        self.endpoints.append(endpoint)
        return endpoint

    def pause(self) -> None:
        """Queue, deliver nothing."""
        with self._change:
            self._paused = True

    def resume(self) -> None:
        """Deliver again."""
        with self._change:
            self._paused = False
            self._change.notify_all()

    def shuffle(self, seed: int | None = None) -> int:
        """Reorder what is queued (pause first); returns how many."""
        with self._change:
            random.Random(seed).shuffle(self._queue)  # noqa: S311  an order, not a secret
            now = time.monotonic()
            for delivery in self._queue:
                delivery.due, delivery.order = now, next(self._order)
            heapq.heapify(self._queue)
            return len(self._queue)

    def disturb(self, *, repeat: float = 0.0, delay: float = 0.0, seed: int = 0) -> None:
        """From now on each delivery leaves up to `delay` seconds late, so their order is by chance, and comes once more
        with the probability `repeat`."""
        with self._change:
            self._repeat, self._delay = repeat, delay
            self._random.seed(seed)

    def repeat(self, event_id: str) -> int:
        """Deliver an event once more to everybody who wants it; returns how many deliveries that makes."""
        if self._find_event is None:
            raise LookupError(event_id)
        event = self._find_event(event_id)
        return self._put(event, repeated=True)

    def queued(self) -> list[str]:
        """The ids of the events that wait, in order."""
        with self._change:
            return [delivery.event["id"] for delivery in sorted(self._queue)]

    def deliver_all(self, timeout: float = 30.0) -> bool:
        """Deliver everything that is queued, also when paused, and wait for it."""
        with self._change:
            was_paused, self._paused = self._paused, False
            self._change.notify_all()
        try:
            return self.wait_idle(timeout)
        finally:
            if was_paused:
                self.pause()

    def wait_idle(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is queued (unless paused) or in flight; False when `timeout` seconds passed first."""
        deadline = time.monotonic() + timeout
        with self._change:
            while self._in_flight or (self._queue and not self._paused):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._change.wait(left)
            return True

    # The way of an event

    def publish(self, event: Json) -> int:
        """Queue an event for everybody who wants it; returns for how many."""
        return self._put(event, repeated=False)

    def _put(self, event: Json, *, repeated: bool) -> int:
        receivers = [endpoint for endpoint in self.endpoints if endpoint.wants(event)]
        if receivers:
            with self._change:
                for endpoint in receivers:
                    self._queue_one(event, endpoint, repeated)
                    if self._repeat and self._random.random() < self._repeat:
                        self._queue_one(event, endpoint, True)
                self._change.notify_all()
        return len(receivers)

    def _queue_one(self, event: Json, endpoint: Endpoint, repeated: bool) -> None:
        due = time.monotonic() + (self._random.uniform(0, self._delay) if self._delay else 0.0)
        heapq.heappush(self._queue, Delivery(due, next(self._order), event, endpoint, repeated=repeated))
        self.counts["repeated" if repeated else "new"] += 1

    def _take(self) -> Delivery | None:
        with self._change:
            while not self._stopping:
                if self._queue and not self._paused:
                    wait = self._queue[0].due - time.monotonic()
                    if wait <= 0:
                        self._in_flight += 1
                        return heapq.heappop(self._queue)
                    self._change.wait(wait)
                else:
                    self._change.wait()
            return None

    def _run(self) -> None:
        while (delivery := self._take()) is not None:
            retry: Delivery | None = None
            try:
                retry = self._deliver(delivery)
            finally:
                with self._change:
                    self._in_flight -= 1
                    if retry is not None and not self._stopping:
                        heapq.heappush(self._queue, retry)
                        self.counts["retried"] += 1
                    self._change.notify_all()

    def _deliver(self, delivery: Delivery) -> Delivery | None:
        """Send once; gives the retry to queue, or None when acknowledged or given up."""
        event, endpoint = delivery.event, delivery.endpoint
        body = json.dumps(self._render(event), indent=2).encode()
        status, error = self._post(endpoint, body)
        self.attempts.append(Attempt(event["id"], event["type"], endpoint.url, delivery.attempt, status, error))
        if status is not None and 200 <= status < 300:
            if not delivery.repeated:
                self._on_acknowledged(event)
            return None
        if delivery.attempt > len(self.retry_delays):
            return None
        due = time.monotonic() + self.retry_delays[delivery.attempt - 1]
        return Delivery(due, next(self._order), event, endpoint, delivery.attempt + 1, delivery.repeated)

    @staticmethod
    def _post(endpoint: Endpoint, body: bytes) -> tuple[int | None, str | None]:
        parts = urlsplit(endpoint.url)
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = make(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT_SECONDS)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign_payload(body, endpoint.secret),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Accept": "*/*; q=0.5, application/xml",
        }
        try:
            connection.request("POST", target, body=body, headers=headers)
            response = connection.getresponse()
            response.read()
            return response.status, None
        except (OSError, http.client.HTTPException) as error:
            return None, f"{type(error).__name__}: {error}"
        finally:
            connection.close()
