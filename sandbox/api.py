"""One API request from its text to its answer: authentication, account, faults, idempotency, validation, handler.

The order is Stripe's as far as it can be seen: 401 and 403 first, then 429, then the idempotency key, then execution.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from . import routes
from .errors import Json, StripeError, api_error, rate_limited
from .faults import EXECUTION_KINDS, Fault
from .http import forms
from .idempotency import Stored
from .params import check
from .render import render
from .resources.accounts import is_reachable, unknown_account
from .world import API_VERSION, Call, Origin, World

KEPT_RECORDS = 20_000
FIRST_VERSION_SERVED = "2025-03-31"


@dataclass(frozen=True)
class Request:
    """What came over the wire; header names in lower case."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Response:
    """What goes back. `drop`: nothing does, the connection closes."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


@dataclass(frozen=True)
class RequestRecord:
    """One API request as the sandbox saw it. `status` is what the caller got; 0 when the connection was dropped."""

    method: str
    path: str
    account: str | None
    idempotency_key: str | None
    params: Json
    status: int
    request_id: str
    replayed: bool


class Api:
    """Answers requests. Thread-safe; handlers run one at a time under the world's lock."""

    def __init__(self, world: World, *, kept_requests: int = KEPT_RECORDS) -> None:
        self.world = world
        self.requests: deque[RequestRecord] = deque(maxlen=kept_requests)
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Response:
        """The whole way of one request."""
        request_id = self.world.store.new_id("req", 14)
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        account = request.headers.get("stripe-account")
        params = forms.parse("&".join(part for part in (request.query, request.body) if part))
        replayed = False
        try:
            _authenticate(request.headers)
            if not is_reachable(self.world.store, account):
                raise unknown_account(account or "")
            replayed, response = self._answer(request, params, key, request_id)
        except StripeError as error:
            response = Response(error.status, self._error_body(error, request_id))
        response.headers = {**self._headers(request, key, request_id), **response.headers}
        record = RequestRecord(
            request.method, request.path, account, key, params, 0 if response.drop else response.status, request_id,
            replayed,
        )  # fmt: skip
        with self._lock:
            self.requests.append(record)
        return response

    def _answer(self, request: Request, params: Json, key: str | None, request_id: str) -> tuple[bool, Response]:
        """(replayed, answer)"""
        faults = self.world.faults
        method, path = request.method, request.path
        drawn = faults.draw(method, path, wanted=lambda kind: kind not in EXECUTION_KINDS)
        kinds = {fault.kind for fault in drawn}
        if kinds & {"rate_limit", "drop_before", "kill_before"}:
            _wait(drawn)
        if "rate_limit" in kinds:
            raise rate_limited()
        if "kill_before" in kinds:
            faults.kill_caller(request.headers)
        if kinds & {"drop_before", "kill_before"}:
            return False, Response(0, b"", drop=True)
        stored = self._claim(request, params, key)
        if stored is not None:
            _wait(drawn)
            answer = Response(
                stored.status or 500, stored.body,
                {"Idempotent-Replayed": "true", "Original-Request": stored.request_id},
            )  # fmt: skip
            answer.drop = self._lost(request, kinds)
            return True, answer
        try:
            inside = faults.draw(method, path, wanted=lambda kind: kind in EXECUTION_KINDS)
            _wait([*drawn, *inside])  # with the key claimed: who comes with it meanwhile gets 409
            status, body, keep = self._execute(request, params, key, request_id, {fault.kind for fault in inside})
        except BaseException:
            if key:
                self.world.keys.release(key)
            raise
        if key and keep:
            self.world.keys.store(key, status=status, body=body, request_id=request_id)
        elif key:
            self.world.keys.release(key)
        return False, Response(status, body, drop=self._lost(request, kinds))

    def _lost(self, request: Request, kinds: Set[str]) -> bool:
        """Whether the answer does not reach the caller; it may be the caller that is lost."""
        if "kill_after" in kinds:
            self.world.faults.kill_caller(request.headers)
        return bool(kinds & {"drop_after", "kill_after"})

    def _claim(self, request: Request, params: Json, key: str | None) -> Stored | None:
        if not key:
            return None
        sent = json.dumps([params, request.headers.get("stripe-account")], sort_keys=True)
        fingerprint = hashlib.sha256(sent.encode()).hexdigest()
        return self.world.keys.claim(key, path=request.path, fingerprint=fingerprint, now=self.world.clock.now())

    def _execute(
        self, request: Request, params: Json, key: str | None, request_id: str, kinds: set[str]
    ) -> tuple[int, bytes, bool]:
        """(status, body, whether the idempotency key keeps it)"""
        world = self.world
        try:
            if "error_before" in kinds:
                raise api_error()
            route, ids = routes.find(request.method, request.path)
            typed = check(route.params, params, extra=route.extra)
            expand = typed.pop("expand", None) or ()
            with world.lock:
                scope = world.store.scope(request.headers.get("stripe-account"))
                if scope is None:
                    raise unknown_account(request.headers.get("stripe-account") or "")
                call = Call(world, scope, request.method, request.path, typed)
                world.origin = Origin(request_id, key)
                try:
                    result = route.handler(call, *(unquote(id) for id in ids))
                    body = json.dumps(render(world, scope, result, expand)).encode()
                finally:
                    world.origin = Origin()
            if "error_after" in kinds:
                raise api_error()
            return 200, body, True
        except StripeError as error:
            return error.status, self._error_body(error, request_id), error.executed
        except Exception as error:  # a bug of the sandbox: say so loudly, and answer like a broken Stripe
            traceback.print_exc()
            bug = StripeError(500, "api_error", f"The sandbox has a bug: {type(error).__name__}: {error}")
            return 500, self._error_body(bug, request_id), False

    def _error_body(self, error: StripeError, request_id: str) -> bytes:
        return json.dumps(error.body(request_id, self.world.clock.now())).encode()

    @staticmethod
    def _headers(request: Request, key: str | None, request_id: str) -> dict[str, str]:
        asked = request.headers.get("stripe-version", API_VERSION)
        headers = {
            "Request-Id": request_id,
            # Older shapes are not served, so the header does not promise them.
            "Stripe-Version": asked if asked >= FIRST_VERSION_SERVED else API_VERSION,
        }
        if key:
            headers["Idempotency-Key"] = key
        if request.headers.get("stripe-account"):
            headers["Stripe-Account"] = request.headers["stripe-account"]
        return headers


def _wait(faults: list[Fault]) -> None:
    """Sleep as the faults want; the lock is not held here."""
    seconds = sum(fault.latency_ms for fault in faults) / 1000
    if seconds:
        time.sleep(seconds)


def _authenticate(headers: Mapping[str, str]) -> None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    key = value.strip()
    if scheme.lower() == "basic":
        key = _basic_user(key)
    if not key:
        raise StripeError(
            401,
            "invalid_request_error",
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            executed=False,
        )
    if re.match(r"(sk|rk)_live_", key):
        raise StripeError(
            401,
            "invalid_request_error",
            "This is a sandbox: it refuses live keys. Use a key that begins with sk_test_ or rk_test_.",
            code="api_key_live_in_sandbox",
            executed=False,
        )
    if not re.match(r"(sk|rk)_test_", key):
        raise StripeError(401, "invalid_request_error", f"Invalid API Key provided: {_masked(key)}", executed=False)


def _basic_user(encoded: str) -> str:
    import base64
    import binascii

    try:
        return base64.b64decode(encoded).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _masked(key: str) -> str:
    return f"{key[:7]}{'*' * 8}{key[-4:]}" if len(key) > 12 else "*" * len(key)


def as_json(value: Any) -> bytes:
    """JSON of what the controls answer."""
    return json.dumps(value, default=vars).encode()
