"""Every step that is not in a table is refused; the rows' own small truths."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from billingops.exceptions import InvalidTransition
from billingops.stripe.facts import CustomerFacts, InvoiceFacts, PaymentFailure
from dunning import config, messages, states
from dunning.facts import Snapshot
from dunning.states import CASE_TRANSITIONS, MESSAGE_TRANSITIONS, TASK_TRANSITIONS, CaseState, MessageState, TaskState
from dunning.tests.factories import NOW

FORBIDDEN = [
    (states.check_case, a, b) for a, b in product(CaseState, CaseState) if b not in CASE_TRANSITIONS[a]
] + [
    (states.check_message, a, b) for a, b in product(MessageState, MessageState) if b not in MESSAGE_TRANSITIONS[a]
] + [(states.check_task, a, b) for a, b in product(TaskState, TaskState) if b not in TASK_TRANSITIONS[a]]  # fmt: skip


@pytest.mark.parametrize(("check", "current", "target"), FORBIDDEN)
def test_a_step_that_is_not_in_the_table_is_refused(check: Callable[..., None], current: str, target: str) -> None:
    with pytest.raises(InvalidTransition):
        check(current, target)


def test_a_dial_that_does_not_exist_is_refused(settings: Any) -> None:
    settings.DUNNING = {"max_notes": 3}
    with pytest.raises(ImproperlyConfigured, match="max_notes"):
        config.current()


def snapshot(locale: str = "", hosted: str = "", number: str = "BAR-2", currency: str = "eur") -> Snapshot:
    invoice = InvoiceFacts(
        id="in_1", account="", status="open", currency=currency, total=7900, amount_due=7900, amount_paid=0,
        amount_remaining=7900, created=NOW, number=number, hosted_invoice_url=hosted,
    )  # fmt: skip
    return Snapshot(invoice, PaymentFailure(), CustomerFacts("cus_1", "", locale=locale), None, dispute_open=False)


TEMPLATES = (
    "payment_failed",
    "retry_planned",
    "card_expired",
    "confirm_payment",
    "check_details",
    "new_method_needed",
    "reminder",
)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_is_filled_but_for_the_link(name: str) -> None:
    draft = messages.draft(template=name, snapshot=snapshot(), deadline=datetime(2026, 12, 1, tzinfo=UTC))
    rest = f"{draft.subject}\n{draft.body}".replace("{link}", "")
    assert "{" not in rest
    assert draft.body.count("{link}") == 1
    assert "BAR-2" in rest or "card" in draft.subject
    assert "EUR 79.00" in draft.body


def test_an_amount_without_decimals_stays_without() -> None:
    draft = messages.draft(template="reminder", snapshot=snapshot(currency="jpy"), deadline=NOW)
    assert "JPY 7,900" in draft.body


@pytest.mark.parametrize("locale", ["", "en-GB", "pt-BR", "../../etc", "zh_Hant_TW"])
def test_a_language_without_templates_falls_back_to_english(locale: str) -> None:
    assert messages.language_of("reminder", locale) == "en"


def test_a_new_language_is_a_new_folder(settings: Any, tmp_path: Any) -> None:
    folder = tmp_path / "email/dunning/nl"
    folder.mkdir(parents=True)
    (folder / "reminder.txt").write_text("Subject: Factuur {invoice}\n\n{amount} voor {deadline}: {link}")
    templates = [dict(settings.TEMPLATES[0])]
    templates[0]["DIRS"] = [*templates[0]["DIRS"], tmp_path]
    settings.TEMPLATES = templates
    draft = messages.draft(template="reminder", snapshot=snapshot("nl-BE"), deadline=datetime(2026, 12, 1, tzinfo=UTC))
    assert (draft.language, draft.subject) == ("nl", "Factuur BAR-2")
    assert draft.body == "EUR 79.00 voor 1 december 2026: {link}"


def test_the_hosted_page_stands_in_for_a_link_that_expired() -> None:
    draft = messages.draft(
        template="reminder", snapshot=snapshot(hosted="https://invoice.stripe.com/i/1"), deadline=NOW
    )
    assert "{link}\n\nShould the link have expired, you can also pay here: {hosted}\n\n" in draft.body
    page = "https://invoice.stripe.com/i/1"
    html = messages.as_html(draft.subject, draft.body, "en", "https://billing.stripe.com/p/session/x", page)
    assert 'href="https://billing.stripe.com/p/session/x"' in html
    assert 'href="https://invoice.stripe.com/i/1"' in html


def test_a_hosted_page_that_is_gone_takes_its_sentence_along() -> None:
    body = "Pay here:\n\n{link}\n\nOr here: {hosted}\n\nThank you"
    assert messages.with_links(body, link="https://x.example/1", hosted="") == (
        "Pay here:\n\nhttps://x.example/1\n\nThank you"
    )
    assert "(the invoice's hosted page)" in messages.as_shown(body)


def test_words_are_escaped_in_html() -> None:
    html = messages.as_html("<b>", "<script>alert(1)</script> {link}", "en", 'https://x.example/"onclick="')
    assert "<script>" not in html
    assert '"onclick="' not in html
