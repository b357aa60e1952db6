"""Several overdue invoices of one customer are one conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from approvals.models import Suggestion
from approvals.states import State
from dunning.models import DunningCase, Message
from dunning.plan.steps import NOTIFY
from dunning.tests.conftest import Debtor, waiting
from dunning.tests.smtp import Mailbox


def test_a_second_invoice_joins_the_message_that_waits(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    first = debtor.fail("expired_card")
    deliver()
    (alone,) = waiting()
    assert (alone.kind, alone.params["invoices"]) == (NOTIFY, [first])
    second = debtor.fail("expired_card")
    deliver()
    alone.refresh_from_db()
    assert alone.state == State.SUPERSEDED
    (both,) = waiting()
    assert both.subject == first
    assert sorted(both.params["invoices"]) == sorted([first, second])
    assert {one["invoice"] for one in both.facts["bundle"]} == {second}
    names = [case.invoice_number for case in DunningCase.objects.all()]
    assert all(name in both.params["body"] for name in names)


def test_one_mail_goes_out_and_counts_for_every_invoice(
    debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion], smtp: Mailbox
) -> None:
    for _ in range(3):
        debtor.fail("expired_card")
    deliver()
    (suggestion,) = [one for one in waiting() if one.kind == NOTIFY]
    assert len(suggestion.params["invoices"]) == 3
    assert decide(suggestion).state == State.CONFIRMED
    assert len(smtp.mails) == 1
    assert len(Message.objects.get().invoices) == 3
    assert not [one for one in waiting() if one.kind == NOTIFY]
