"""The controls over HTTP, for other processes: JSON under `/_sandbox/`. `client.py` wraps them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..api import Request, Response, as_json
from ..errors import StripeError
from ..faults import Fault

if TYPE_CHECKING:
    from ..server import SandboxServer

PREFIX = "/_sandbox/"
Body = dict[str, Any]
Control = Callable[..., Any]
_CONTROLS: list[tuple[str, re.Pattern[str], Control]] = []


def control(method: str, path: str) -> Callable[[Control], Control]:
    """Register a control: it gets the server, the JSON body, and the path's segments."""

    def register(function: Control) -> Control:
        _CONTROLS.append((method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", path)), function))
        return function

    return register


def handle(sandbox: SandboxServer, request: Request) -> Response:
    """Answer one control request; errors are `{"error": …}`."""
    path = request.path.removeprefix(PREFIX)
    try:
        body = json.loads(request.body) if request.body else {}
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object")
        for method, pattern, function in _CONTROLS:
            if method == request.method and (match := pattern.fullmatch(path)):
                return Response(200, as_json(function(sandbox, body, *match.groups())))
        return Response(404, as_json({"error": f"no such control: {request.method} {request.path}"}))
    except StripeError as error:
        return Response(error.status, as_json({"error": error.message}))
    except (ValueError, TypeError, KeyError, LookupError) as error:
        return Response(400, as_json({"error": f"{type(error).__name__}: {error}"}))


@control("GET", "healthz")
def _healthz(sandbox: SandboxServer, body: Body) -> Any:
    return {"ok": True, "url": sandbox.url}


@control("GET", "clock")
def _clock(sandbox: SandboxServer, body: Body) -> Any:
    return {"now": sandbox.clock.now()}


@control("POST", "clock")
def _set_clock(sandbox: SandboxServer, body: Body) -> Any:
    """{"set": unix} or {"advance": seconds}"""
    if "set" in body:
        sandbox.clock.set(int(body["set"]))
    if "advance" in body:
        sandbox.clock.advance(seconds=float(body["advance"]))
    return {"now": sandbox.clock.now()}


@control("GET", "faults")
def _faults(sandbox: SandboxServer, body: Body) -> Any:
    return {"faults": [asdict(fault) for fault in sandbox.faults.armed()]}


@control("POST", "faults")
def _add_fault(sandbox: SandboxServer, body: Body) -> Any:
    return asdict(sandbox.faults.add(Fault(**body)))


@control("POST", "faults/clear")
@control("DELETE", "faults")
def _clear_faults(sandbox: SandboxServer, body: Body) -> Any:
    sandbox.faults.clear()
    return {"faults": []}


@control("GET", "requests")
def _requests(sandbox: SandboxServer, body: Body) -> Any:
    return {"requests": [asdict(record) for record in list(sandbox.requests)]}


@control("POST", "requests/clear")
def _clear_requests(sandbox: SandboxServer, body: Body) -> Any:
    sandbox.requests.clear()
    return {"requests": []}


@control("POST", "cards/{pm}/outcome")
def _outcome(sandbox: SandboxServer, body: Body, pm: str) -> Any:
    with sandbox.world.lock:
        sandbox.cards.set_outcome(pm, **body)
    return {"payment_method": pm, **body}


@control("POST", "cards/{pm}/renew")
def _renew_card(sandbox: SandboxServer, body: Body, pm: str) -> Any:
    """{"token"?, "exp_month"?, "exp_year"?, "account"?}"""
    return sandbox.renew_card(pm, **body)


@control("POST", "cards/{pm}/mandate")
def _mandate(sandbox: SandboxServer, body: Body, pm: str) -> Any:
    """{"status": "inactive"|"active", "account"?}"""
    return sandbox.set_mandate(pm, **body)


@control("POST", "debits/{id}/settle")
def _settle_debit(sandbox: SandboxServer, body: Body, id: str) -> Any:
    """{"failure"?, "network"?, "account"?}"""
    return sandbox.settle_debit(id, **body)


@control("POST", "invoices/{id}/finalization")
def _finalization(sandbox: SandboxServer, body: Body, id: str) -> Any:
    """{"code": "…"|null, "account"?}"""
    return sandbox.fail_finalization(id, **body)


@control("GET", "webhooks")
def _webhooks(sandbox: SandboxServer, body: Body) -> Any:
    hooks = sandbox.webhooks
    return {
        "endpoints": [{**asdict(endpoint), "secret": "…"} for endpoint in hooks.endpoints],
        "queued": hooks.queued(),
        "attempts": [asdict(attempt) for attempt in list(hooks.attempts)],
    }


@control("POST", "webhooks")
def _add_webhook(sandbox: SandboxServer, body: Body) -> Any:
    """{"url", "secret", "connect"?, "enabled_events"?}"""
    return {"id": sandbox.webhooks.add(**body).id}


@control("POST", "webhooks/pause")
def _pause(sandbox: SandboxServer, body: Body) -> Any:
    sandbox.webhooks.pause()
    return {"paused": True}


@control("POST", "webhooks/resume")
def _resume(sandbox: SandboxServer, body: Body) -> Any:
    sandbox.webhooks.resume()
    return {"paused": False}


@control("POST", "webhooks/repeat")
def _repeat(sandbox: SandboxServer, body: Body) -> Any:
    """{"event": "evt_…"}"""
    return {"deliveries": sandbox.webhooks.repeat(body["event"])}


@control("POST", "webhooks/shuffle")
def _shuffle(sandbox: SandboxServer, body: Body) -> Any:
    return {"queued": sandbox.webhooks.shuffle(body.get("seed"))}


@control("POST", "webhooks/deliver_all")
def _deliver_all(sandbox: SandboxServer, body: Body) -> Any:
    return {"idle": sandbox.webhooks.deliver_all(float(body.get("timeout", 30)))}


@control("POST", "webhooks/wait_idle")
def _wait_idle(sandbox: SandboxServer, body: Body) -> Any:
    return {"idle": sandbox.webhooks.wait_idle(float(body.get("timeout", 10)))}


@control("GET", "events")
def _events(sandbox: SandboxServer, body: Body) -> Any:
    return {"events": sandbox.events()}


@control("POST", "events")
def _emit(sandbox: SandboxServer, body: Body) -> Any:
    """{"type", "object", "account"?}: an event about an object as it is now."""
    return sandbox.emit(body["type"], body["object"], body.get("account"))


@control("POST", "disputes")
def _dispute(sandbox: SandboxServer, body: Body) -> Any:
    """{"charge", "reason"?, "amount"?, "days"?, "account"?}"""
    return sandbox.create_dispute(**body)


@control("POST", "disputes/{id}/close")
def _close_dispute(sandbox: SandboxServer, body: Body, id: str) -> Any:
    """{"won": true|false, "account"?}"""
    return sandbox.close_dispute(id, **body)


@control("POST", "accounts/{id}/restrict")
def _restrict(sandbox: SandboxServer, body: Body, id: str) -> Any:
    return sandbox.restrict_account(id)


@control("POST", "accounts/{id}/state")
def _account_state(sandbox: SandboxServer, body: Body, id: str) -> Any:
    """{"disabled_reason"?, "currently_due"?, "past_due"?, "pending_verification"?, "errors"?, "future"?…}"""
    return sandbox.set_account_state(id, **body)


@control("POST", "accounts/{id}/deauthorize")
def _deauthorize(sandbox: SandboxServer, body: Body, id: str) -> Any:
    return sandbox.deauthorize_account(id)


@control("POST", "accounts/{id}/reauthorize")
def _reauthorize(sandbox: SandboxServer, body: Body, id: str) -> Any:
    return sandbox.reauthorize_account(id)


@control("POST", "refunds")
def _refund(sandbox: SandboxServer, body: Body) -> Any:
    """{"charge", "amount"?, "account"?, "reason"?…}"""
    return sandbox.refund(**body)


@control("POST", "refunds/{id}/fail")
def _fail_refund(sandbox: SandboxServer, body: Body, id: str) -> Any:
    """{"reason"?, "account"?}"""
    return sandbox.fail_refund(id, **body)


@control("POST", "topups")
def _top_up(sandbox: SandboxServer, body: Body) -> Any:
    """{"amount", "currency"?}"""
    return sandbox.top_up(**body)


@control("POST", "payouts/manual")
def _pay_out(sandbox: SandboxServer, body: Body) -> Any:
    """{"amount", "currency"?, "account"?}"""
    return sandbox.pay_out(**body)


@control("POST", "balance/{act}")
def _balance(sandbox: SandboxServer, body: Body, act: str) -> Any:
    """find, hide, show, duplicate, change, add: with the arguments of `Balance`."""
    if act not in ("find", "hide", "show", "duplicate", "change", "add"):
        raise LookupError(f"no such act: {act}")
    return {"result": getattr(sandbox.balance, act)(**body)}


@control("POST", "bulk/{act}")
def _bulk(sandbox: SandboxServer, body: Body, act: str) -> Any:
    """paid_invoices {"entries"}, payouts {"accounts"?, "currency"?, "complete"?}"""
    if act not in ("paid_invoices", "payouts"):
        raise LookupError(f"no such act: {act}")
    return {"result": getattr(sandbox.bulk, act)(**body)}


@control("POST", "subscriptions/{id}/renew")
def _renew(sandbox: SandboxServer, body: Body, id: str) -> Any:
    return sandbox.bill_subscription(id, **body)


@control("POST", "invoices/{id}/retry")
def _retry(sandbox: SandboxServer, body: Body, id: str) -> Any:
    return sandbox.retry_invoice(id, **body)


@control("POST", "customers/{id}/discount")
def _discount(sandbox: SandboxServer, body: Body, id: str) -> Any:
    """{"coupon", "account"?}"""
    return sandbox.set_customer_discount(id, **body)


@control("POST", "payouts")
def _payout(sandbox: SandboxServer, body: Body) -> Any:
    """{"account"?, "currency"?}: the automatic payout."""
    return sandbox.auto_payout(**body)


@control("POST", "payouts/{id}/{status}")
def _mark_payout(sandbox: SandboxServer, body: Body, id: str, status: str) -> Any:
    return sandbox.mark_payout(id, status, **body)


@control("POST", "reset")
def _reset(sandbox: SandboxServer, body: Body) -> Any:
    sandbox.reset()
    return {"ok": True}


@control("GET", "state")
def _state(sandbox: SandboxServer, body: Body) -> Any:
    with sandbox.world.lock:
        return {"counts": sandbox.state.counts()}
