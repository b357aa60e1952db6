"""Rows as the gate, the case and the mirror would have left them, past every check: for what reads them."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from approvals.models import Execution, Suggestion
from billingops.stripe import sync
from billingops.stripe.models import MirroredObject
from dunning.models import DunningCase, Message
from dunning.plan.steps import NOTIFY, RETRY
from dunning.states import CaseState, ClosedReason, MessageState

_numbers = count(1)


def case(name: str, opened: datetime, amount: int, currency: str = "usd", **changes: Any) -> DunningCase:
    """Of one failed payment. `paid_after`: recovered then, the whole amount unless another is given."""
    paid_after: timedelta | None = changes.pop("paid_after", None)
    given: dict[str, Any] = {
        "invoice": f"in_{name}", "customer": f"cus_{name}", "currency": currency, "amount_remaining": amount,
        "amount_at_opening": amount,
        "attempt_count": 1, "code": "card_declined", "category": "later", "payment_method": f"pm_{name}",
        "payment_method_type": "card", "card_brand": "visa", "opened_at": opened, "last_failed_at": opened,
    }  # fmt: skip
    if paid_after is not None:
        given |= {"state": CaseState.RECOVERED, "closed_reason": ClosedReason.PAID, "closed_at": opened + paid_after}
        given |= {"recovered_amount": amount}
    return DunningCase.objects.create(**{**given, **changes})


def _suggestion(kind: str, of: DunningCase, state: str, facts: dict[str, Any]) -> Suggestion:
    return Suggestion.objects.create(
        kind=kind,
        subject=of.invoice,
        account=of.account,
        customer=of.customer,
        state=state,
        facts=facts,
        facts_hash="0" * 64,
        suggested_by="test",
        dedupe_key=f"test:{next(_numbers)}",
    )


def charge(of: DunningCase, at: datetime, state: str = "confirmed", kind: str = RETRY, **changes: Any) -> Execution:
    """A step of ours that was carried out (a retry, of the method that failed), answered a second later."""
    method = changes.pop("method", of.payment_method)
    suggestion = _suggestion(kind, of, state, {"payment_method": method})
    given = {"attempt": 1, "idempotency_key": f"key{suggestion.pk}", "state": state, "request_id": "req_1"}
    given |= {"started_at": at, "finished_at": at + timedelta(seconds=1)}
    return Execution.objects.create(suggestion=suggestion, **{**given, **changes})


def message(of: DunningCase, at: datetime, **changes: Any) -> Message:
    given = {
        "account": of.account, "customer": of.customer, "template": "reminder", "language": "en", "subject": "s",
        "body_text": "t", "body_html": "h", "state": MessageState.SENT, "message_id": f"<{next(_numbers)}@x>",
        "sent_at": at,
    }  # fmt: skip
    return Message.objects.create(suggestion=_suggestion(NOTIFY, of, "executed", {}), case=of, **{**given, **changes})


def invoice(of: DunningCase, attempts: int) -> None:
    """As Stripe has it now: paid, after so many attempts by its own count."""
    customer(of)
    problems = sync.store_many(
        [
            {
                "id": of.invoice, "object": "invoice", "created": int(of.opened_at.timestamp()), "status": "paid",
                "customer": of.customer, "livemode": False, "currency": of.currency, "total": of.amount_remaining,
                "amount_due": of.amount_remaining, "amount_paid": of.amount_remaining, "amount_remaining": 0,
                "attempt_count": attempts, "metadata": {}, "lines": {"object": "list", "data": []},
            }
        ]
    )  # fmt: skip
    assert not problems, problems


def customer(of: DunningCase, *, country: str = "", zone: str = "") -> None:
    problems = sync.store_many(
        [
            {
                "id": of.customer, "object": "customer", "created": 1_600_000_000, "email": "x@example.invalid",
                "livemode": False, "metadata": {"timezone": zone} if zone else {},
                "address": {"country": country} if country else None, "currency": "usd", "balance": 0,
            }
        ]
    )  # fmt: skip
    assert not problems, problems


def failed_charges(of: DunningCase, times: list[datetime], brand: str = "visa") -> None:
    """Declined charges of the case's card, and the card, in the mirror."""
    card = {"brand": brand, "last4": "4242", "fingerprint": f"fp_{of.customer}", "exp_month": 12, "exp_year": 2031}
    method = {
        "id": of.payment_method, "object": "payment_method", "created": 1_600_000_000, "type": "card", "card": card,
        "customer": of.customer, "livemode": False, "metadata": {}, "billing_details": {},
    }  # fmt: skip
    charges = [
        {
            "id": f"ch_{of.customer}_{number}", "object": "charge", "created": int(at.timestamp()), "status": "failed",
            "customer": of.customer, "livemode": False, "currency": of.currency, "amount": of.amount_remaining,
            "amount_refunded": 0, "paid": False, "captured": False, "disputed": False, "refunded": False,
            "failure_code": "card_declined", "metadata": {}, "payment_method": of.payment_method,
            "outcome": {"type": "issuer_declined", "reason": "insufficient_funds", "risk_level": "normal"},
            "payment_method_details": {"type": "card", "card": card},
        }
        for number, at in enumerate(times)
    ]  # fmt: skip
    customer(of)
    problems = sync.store_many([method, *charges])
    assert not problems, problems


def dispute(of: DunningCase, at: datetime, *, charge_id: str = "ch_x", status: str = "needs_response") -> None:
    MirroredObject.objects.create(
        object_type="dispute", object_id=f"du_{next(_numbers)}", account=of.account, customer_id=of.customer,
        parent_id=charge_id, status=status, created=at,
    )  # fmt: skip
