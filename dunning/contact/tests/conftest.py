"""A customer who was written to: case, suggestion and message, without Stripe, for what happens afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from approvals.models import Suggestion
from dunning.contact.addresses import address_hash
from dunning.contact.tests import mails
from dunning.models import DunningCase, Message
from dunning.states import CaseState, MessageState


@pytest.fixture(autouse=True)
def _as_it_comes(settings: Any) -> None:
    """Nothing counted by an earlier test; quiet hours as they are by default, which other rooms' tests switch off."""
    cache.clear()
    settings.DUNNING = {}


@pytest.fixture
def make_message(db: None) -> Callable[..., Message]:
    """`make_message(customer="cus_1", at=…)`: a message that went out; each of a case of its own."""
    made = 0

    def make(
        *,
        customer: str = "cus_1",
        account: str = "",
        at: datetime | None = None,
        message_id: str = "",
        address: str = mails.ADDRESS,
        state: str = MessageState.SENT,
        **fields: Any,
    ) -> Message:
        nonlocal made
        made += 1
        now = timezone.now()
        case = DunningCase.objects.create(
            invoice=f"in_{made}",
            account=account,
            customer=customer,
            currency="eur",
            amount_remaining=7900,
            category="later",
            state=CaseState.WAITING,
            last_failed_at=now - timedelta(days=2),
            next_step_at=now + timedelta(days=5),
        )
        suggestion = Suggestion.objects.create(
            kind="notify_customer",
            state="executed",
            account=account,
            customer=customer,
            subject=case.invoice,
            facts_hash="0" * 64,
            suggested_by="test",
            dedupe_key=f"test:{made}",
        )
        went = at or now - timedelta(days=2)
        return Message.objects.create(
            suggestion=suggestion,
            case=case,
            account=account,
            customer=customer,
            template="reminder",
            language="en",
            subject="Invoice NR-1 is still open",
            body_text="Hello",
            body_html="<p>Hello</p>",
            state=state,
            message_id=message_id or (mails.OURS if made == 1 else f"<dunning.{made}@shop.example>"),
            address_hash=address_hash(address),
            sending_at=went,
            sent_at=went if state == MessageState.SENT else None,
            **fields,
        )

    return make


@pytest.fixture
def message(make_message: Callable[..., Message]) -> Message:
    return make_message()
