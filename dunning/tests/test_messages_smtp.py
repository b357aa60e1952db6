"""Messages over a real SMTP server: what arrives, what is refused, what is shown beforehand and kept afterwards."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from django.utils import timezone

from approvals import registry
from approvals.models import Execution, Suggestion
from approvals.sealing import seal
from approvals.states import State
from billingops.actors import Actor
from billingops.brands import services as brands
from billingops.brands.models import Brand
from billingops.stripe.models import MirroredObject
from dunning import facts, messages, support_tasks
from dunning.messages import bundle, letter, overrides, preview
from dunning.models import Message, SupportTask
from dunning.plan.steps import NOTIFY
from dunning.states import MessageState
from dunning.tests.conftest import Debtor, waiting
from dunning.tests.smtp import Mailbox

pytestmark = pytest.mark.django_db
ADDRESS = "debtor@example.com"


def png(width: int = 120, height: int = 40) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + b"\x1a\x5a\x86" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture
def brand(lead: Any) -> Callable[..., Brand]:
    def make(account: str = "", **values: Any) -> Brand:
        given = {"slug": "bakery", "name": "Bäckerei Süß", "colour": "#7a3b00", **values}
        logo = given.pop("logo", png())
        return brands.change(account=account, values=given, logo=logo, version=None, actor=Actor.person(lead))

    return make


@pytest.fixture
def notice(debtor: Debtor, deliver: Callable[..., Any]) -> Suggestion:
    return drafted(debtor, deliver)


def drafted(debtor: Debtor, deliver: Callable[..., Any], locale: str = "") -> Suggestion:
    if locale:
        debtor.stripe.v1.customers.update(debtor.customer, {"preferred_locales": [locale]}, debtor.options)
    debtor.fail("expired_card")
    deliver()
    (suggestion,) = [one for one in waiting() if one.kind == NOTIFY]
    return suggestion


def parts(mail: EmailMessage) -> tuple[str, str]:
    return preview.text_of(mail).replace("\r\n", "\n"), preview.html_of(mail).replace("\r\n", "\n")


def without_links(text: str, message: Message) -> str:
    """Addresses made while sending, taken out of what arrived or was shown."""
    words = [
        re.escape(one) for one in (messages.LINK_SHOWN, messages.HOSTED_SHOWN, "(the customer's page to unsubscribe)")
    ]
    words += [one.replace("'", "&\\#x27;") for one in words]
    text = re.sub(r' href="[^"]*"', "", text)
    text = re.sub(r' title="[^"]*"', "", text)
    text = re.sub(r'src="(cid|data):[^"]*"', "src", text)
    return (
        re.sub("|".join([r"https?://[^\s<\"]+", *words]), "LINK", text)
        .replace("<span>", "<a>")
        .replace("</span>", "</a>")
    )


def as_links(html: str) -> str:
    return re.sub(r"<a[^>]*>", "<a>", html)


def test_a_brands_message_arrives_as_text_and_html_with_its_logo(
    brand: Any,
    debtor: Debtor,
    deliver: Callable[..., Any],
    decide: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:
    brand(
        from_address="rechnung@baeckerei.example", reply_to="hilfe@baeckerei.example", footer="Backt seit jeher.",
        postal_address="Bäckerei Süß GmbH\nHauptstraße 1\n10115 Berlin", help_url="https://baeckerei.example/hilfe",
    )  # fmt: skip
    notice = drafted(debtor, deliver, "de-DE")
    assert (notice.params["brand"], notice.params["language"]) == ("bakery", "de")
    before = preview.of_suggestion(notice)
    assert decide(notice).state == State.CONFIRMED
    (received,) = smtp.received
    assert received.recipients == [ADDRESS]
    assert received.sender == "rechnung@baeckerei.example"
    mail, message = received.mail, Message.objects.get()
    assert mail["From"] == "Bäckerei Süß <rechnung@baeckerei.example>"
    assert mail["Reply-To"] == "hilfe@baeckerei.example"
    assert mail["Message-ID"] == message.message_id
    assert message.message_id.endswith("@baeckerei.example>")
    assert (mail["Auto-Submitted"], mail["Content-Language"]) == ("auto-generated", "de")
    assert mail["Subject"].strip() == notice.params["subject"] == before.subject == "Ihre Karte ist abgelaufen"
    assert mail["List-Unsubscribe"] is None  # no law asks for it where money is owed
    assert mail.get_content_type() == "multipart/related"
    text, html = parts(mail)
    assert "79,00\u00a0EUR" in text
    assert text.endswith("Fragen? https://baeckerei.example/hilfe\n\nBackt seit jeher.")
    assert "Hauptstraße 1" in html
    (image,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert image.get_payload(decode=True) == png()
    cid = image["Content-ID"].strip("<>")
    assert f'src="cid:{cid}"' in html
    assert image.get_content_disposition() == "inline"
    # What was shown before, what arrived, and what is kept are the same, links aside.
    kept = preview.of_message(message)
    assert without_links(before.text, message) == without_links(text, message) == without_links(kept.text, message)
    arrived, shown, stored = (as_links(without_links(one, message)) for one in (html, before.html, kept.html))
    assert arrived == shown
    assert arrived == stored
    assert "data:image/png;base64," in kept.html


def test_japanese_arrives_unharmed(
    debtor: Debtor,
    deliver: Callable[..., Any],
    decide: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:
    assert decide(drafted(debtor, deliver, "ja")).state == State.CONFIRMED
    (mail,) = smtp.mails
    assert mail["Subject"].strip() == "ご登録のカードの有効期限が切れています"
    text, html = parts(mail)
    for words in ("お客様", "ご登録のカードの有効期限が切れているため", "よろしくお願いいたします。"):
        assert words in text
        assert words in html
    assert mail.get_body(("plain",)).get_content_charset() == "utf-8"  # type: ignore[union-attr]


def test_what_is_kept_holds_neither_address_nor_link(
    notice: Suggestion,
    decide: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:
    decide(notice)
    text, _html = parts(smtp.mails[0])
    links = re.findall(r"https?://\S+", text)
    assert len(links) == 2
    message = Message.objects.get()
    kept = f"{message.body_text}{message.body_html}{[(row.body_text, row.body_html) for row in message.history.all()]}"
    assert ADDRESS not in kept
    assert not any(link in kept for link in links)


def test_three_invoices_in_two_currencies_make_one_message(
    brand: Any,
    debtor: Debtor,
    deliver: Callable[..., Any],
    decide: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:
    notice = drafted(debtor, deliver)
    product = debtor.stripe.v1.products.create({"name": "Extra"})
    for currency, amount in (("usd", 2000), ("eur", 500)):
        invoice = debtor.stripe.v1.invoices.create({"customer": debtor.customer, "currency": currency, "collection_method": "send_invoice", "days_until_due": 30})  # fmt: skip  # noqa: E501
        debtor.stripe.v1.invoice_items.create({"customer": debtor.customer, "invoice": invoice.id, "currency": currency, "amount": amount})  # fmt: skip  # noqa: E501
        debtor.stripe.v1.invoices.finalize_invoice(invoice.id)
    assert product
    deliver()
    rows = MirroredObject.objects.filter(object_type="invoice", customer_id=debtor.customer, status="open")
    ids = list(rows.values_list("object_id", flat=True)) or [
        one.id for one in debtor.stripe.v1.invoices.list({"customer": debtor.customer, "status": "open"}).data
    ]
    assert len(ids) == 3
    live = [found for one in ids if (found := facts.read(one, "", live=True))]
    snapshot = next(one for one in live if one.invoice.id == notice.subject)
    draft = messages.draft(
        template="reminder", snapshot=snapshot, deadline=timezone.now() + timedelta(days=7), bundle=live
    )
    params = draft.params()
    sealed = facts.sealed(NOTIFY, snapshot, params)
    assert [one["invoice"] for one in sealed["bundle"]] == draft.invoices[1:]
    Suggestion.objects.filter(pk=notice.pk).update(params=params, facts=sealed)
    notice.refresh_from_db()
    Suggestion.objects.filter(pk=notice.pk).update(facts_hash=seal(sealed))
    notice.refresh_from_db()
    assert decide(notice).state == State.CONFIRMED
    (mail,) = smtp.mails
    text, html = parts(mail)
    assert "In total: EUR 84.00 and USD 20.00" in text
    assert "In total: EUR 84.00 and USD 20.00" in html
    assert text.count("• ") == 3
    assert Message.objects.get().invoices == draft.invoices


def test_a_bundle_of_which_one_was_paid_goes_back(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    notice = drafted(debtor, deliver)
    snapshot = facts.read(notice.subject, "", live=True)
    assert snapshot is not None
    entry = bundle.Entry("in_gone", "NR-2", 100, "eur", timezone.now())
    assert facts.sealed(NOTIFY, snapshot, {"invoices": [notice.subject, entry.invoice]})["bundle"] == []
    assert "bundle" not in facts.sealed(NOTIFY, snapshot, {"invoices": [notice.subject]})


def test_an_address_that_the_server_refuses_is_a_failure_that_may_be_tried_again(
    notice: Suggestion,
    decide: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:
    smtp.refuse(ADDRESS)
    assert decide(notice).state == State.FAILED
    message, execution = Message.objects.get(), Execution.objects.get()
    assert (message.state, message.error) == (MessageState.FAILED, "SMTPRecipientsRefused")
    assert execution.error_code == "mail_refused"
    assert ADDRESS not in message.error + execution.error
    assert smtp.received == []


def test_a_server_that_hangs_up_after_it_took_the_message_leaves_an_unknown_result(
    notice: Suggestion,
    attempt: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:
    smtp.hangs_up_after_data = True
    assert attempt(notice).state == State.UNKNOWN
    assert Message.objects.get().state == MessageState.UNKNOWN
    assert len(smtp.received) == 1


def test_a_server_that_answers_no_to_the_message_has_not_taken_it(
    notice: Suggestion,
    decide: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:
    smtp.answer_to_data = "554 5.7.1 message refused"
    assert decide(notice).state == State.FAILED
    assert Message.objects.get().error == "SMTPDataError 554"


def test_an_unsubscribe_address_stands_in_the_text_and_in_the_headers(
    brand: Any, debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion], smtp: Mailbox,
    settings: Any,
) -> None:  # fmt: skip
    settings.BASE_URL = "https://office.example"
    brand(unsubscribe="always")
    assert decide(drafted(debtor, deliver)).state == State.CONFIRMED
    (mail,) = smtp.mails
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    page = mail["List-Unsubscribe"].strip(" <>")
    assert page.startswith("https://office.example/")
    text, html = parts(mail)
    assert f"Unsubscribe here: {page}" in text
    assert page.replace("&", "&amp;") in html
    assert page not in Message.objects.get().body_text
    assert "{unsubscribe}" in Message.objects.get().body_text


def test_without_an_address_to_unsubscribe_the_sentence_is_left_out_everywhere(
    brand: Any, debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion], smtp: Mailbox,
    settings: Any,
) -> None:  # fmt: skip
    settings.BASE_URL = ""
    brand(unsubscribe="always")
    assert decide(drafted(debtor, deliver)).state == State.CONFIRMED
    (mail,) = smtp.mails
    assert mail["List-Unsubscribe"] is None
    assert "nsubscribe" not in "".join(parts(mail))
    assert "{unsubscribe}" not in Message.objects.get().body_text


def test_a_text_of_the_brands_own_takes_the_built_in_ones_place(
    brand: Any, lead: Any, debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:  # fmt: skip
    own = brand()
    overrides.use(
        brand=own, name="card_expired", language="en", subject="A new card, please", seen=0, actor=Actor.person(lead),
        body="Hi,\n\n{amount} for {invoice} did not go through.\n\n{link}\n\nYours, {brand}",
    )  # fmt: skip
    notice = drafted(debtor, deliver)
    assert notice.params["subject"] == "A new card, please"
    assert decide(notice).state == State.CONFIRMED
    text, _html = parts(smtp.mails[0])
    assert text.startswith("Hi,\n\nEUR 79.00 for ")
    assert "Yours, Bäckerei Süß" in text


def test_a_brand_of_another_account_lends_neither_name_nor_texts(brand: Any, lead: Any, notice: Suggestion) -> None:
    own = brand(account="acct_other", slug="other", name="Other")
    overrides.use(
        brand=own, name="card_expired", language="en", subject="Other", seen=0, actor=Actor.person(lead),
        body="{amount} {invoice}\n\n{link}",
    )  # fmt: skip
    shown = preview.of_suggestion(notice)
    assert shown.subject == "Your card has expired"
    assert "Other" not in shown.text + shown.sender


def test_a_customer_who_paid_something_within_the_hour_gets_no_message(
    notice: Suggestion, debtor: Debtor, decide: Callable[..., Suggestion], smtp: Mailbox
) -> None:
    debtor.mend()
    debtor.stripe.v1.payment_intents.create(
        {"amount": 500, "currency": "eur", "customer": debtor.customer, "payment_method": debtor.method,
         "confirm": True, "off_session": True}
    )  # fmt: skip
    assert decide(notice).state == State.FAILED  # its events have not come in yet
    assert Execution.objects.get().error_code == "just_paid"
    assert smtp.received == []


def test_an_older_suggestion_without_the_new_parameters_is_still_sent(
    notice: Suggestion,
    decide: Callable[..., Suggestion],
    smtp: Mailbox,
) -> None:
    old = {key: notice.params[key] for key in ("template", "language", "subject", "body")}
    Suggestion.objects.filter(pk=notice.pk).update(params=old)
    assert decide(notice).state == State.CONFIRMED
    assert len(smtp.mails) == 1


@pytest.mark.parametrize("channel", ["phone", "post"])
def test_a_call_or_a_letter_is_a_task_and_its_message_ends_with_it(
    notice: Suggestion,
    decide: Callable[..., Suggestion],
    lead: Any,
    smtp: Mailbox,
    channel: str,
) -> None:
    snapshot = facts.read(notice.subject, "", live=True)
    assert snapshot is not None
    draft = messages.draft(template="last_notice", snapshot=snapshot, deadline=timezone.now(), channel=channel)
    Suggestion.objects.filter(pk=notice.pk).update(params=draft.params())
    notice.refresh_from_db()
    assert "Nothing is sent by itself" in registry.get(NOTIFY).preview(notice).sentence
    assert decide(notice).state == State.CONFIRMED
    assert smtp.received == []
    task, message = SupportTask.objects.get(), Message.objects.get()
    assert (task.channel, task.title, task.text) == (channel, draft.subject, draft.body)
    assert task.due_at is not None
    assert task.due_at > timezone.now()
    assert (message.channel, message.state) == (channel, MessageState.SENDING)
    support_tasks.complete(task_id=task.pk, actor=Actor.person(lead), version=task.version, result="Talked to them.")
    message.refresh_from_db()
    assert message.state == MessageState.SENT
    if channel == "post":
        assert letter.render(message).startswith(b"%PDF-")
