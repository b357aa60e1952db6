"""What mail providers report, posted as they post it, through anymail's own checks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from dunning.contact import checks, providers
from dunning.contact.models import Complaint, ContactPreference, Receipt, Reply
from dunning.contact.tests import mails
from dunning.models import Message

pytestmark = pytest.mark.django_db
SECRET = "user:a-long-webhook-secret"
AUTH = {"Authorization": f"Basic {base64.b64encode(SECRET.encode()).decode()}"}
SIGNING_KEY = "key-for-webhooks"


@pytest.fixture(autouse=True)
def _set_up(settings: Any) -> None:
    settings.CONTACT = {"providers": ("postmark", "mailgun", "amazon_ses")}
    settings.ANYMAIL = {"WEBHOOK_SECRET": SECRET, "MAILGUN_WEBHOOK_SIGNING_KEY": SIGNING_KEY}


@pytest.fixture
def posted(message: Message) -> Message:
    message.provider_id = "b7bc2f4a-e38e-4336-af7d-e6c392c2f817"
    message.save()
    return message


def postmark(client: Client, event: dict[str, Any], *, purpose: str = "tracking", **headers: Any) -> Any:
    url = reverse("contact:from_provider", args=["postmark", purpose])
    return client.post(url, json.dumps(event), content_type="application/json", headers=headers or AUTH)


def bounce(message: Message, **changes: Any) -> dict[str, Any]:
    """As Postmark's documentation prints it."""
    return {
        "RecordType": "Bounce", "ID": 42, "Type": "HardBounce", "TypeCode": 1, "Tag": "",
        "MessageID": message.provider_id,
        "Details": "action: failed\r\nsmtp;550 5.1.1 The email account that you tried to reach does not exist",
        "Email": mails.ADDRESS, "From": "billing@shop.example", "BouncedAt": "2026-11-20T10:00:00Z", "Inactive": True,
        "Description": "The server was unable to deliver your message", "ServerID": 23, "Metadata": {},
    } | changes  # fmt: skip


def test_a_hard_bounce_marks_message_and_address(client: Client, posted: Message) -> None:
    assert postmark(client, bounce(posted)).status_code == 200
    assert postmark(client, bounce(posted)).status_code == 200
    posted.refresh_from_db()
    assert posted.bounced_at is not None
    assert posted.bounce == "there is no such mailbox (5.1.1)"
    assert ContactPreference.objects.get().state == "bounced"
    receipt = Receipt.objects.get()
    assert (receipt.source, receipt.kind, receipt.code) == ("Postmark", "hard", "5.1.1")


@pytest.mark.parametrize(
    "changes",
    [
        {"Type": "SoftBounce", "Details": ""},
        {"Type": "HardBounce", "Details": "smtp;552 5.2.2 Mailbox full"},
        {"Type": "Blocked", "Details": "smtp;550 5.7.1 Blocked"},
    ],
    ids=lambda changes: changes["Type"],
)
def test_what_passes_is_only_noted(changes: dict[str, Any], client: Client, posted: Message) -> None:
    postmark(client, bounce(posted, **changes))
    posted.refresh_from_db()
    assert posted.bounced_at is None
    assert Receipt.objects.get().kind == "soft"
    assert not ContactPreference.objects.exists()


def test_the_messages_own_number_finds_it_whatever_the_provider_calls_it(client: Client, message: Message) -> None:
    postmark(client, bounce(message, MessageID="not-kept", Metadata={"message": str(message.pk)}))
    assert Receipt.objects.get().message_id == message.pk


def test_a_complaint_opens_one(client: Client, posted: Message) -> None:
    postmark(client, bounce(posted, RecordType="SpamComplaint", Type="SpamComplaint"))
    assert Complaint.objects.get().customer == "cus_1"


def test_an_unsubscription_at_the_provider_counts(client: Client, posted: Message) -> None:
    event = {
        "RecordType": "SubscriptionChange", "MessageID": posted.provider_id, "SuppressSending": True,
        "SuppressionReason": "ManualSuppression", "Recipient": mails.ADDRESS, "ChangedAt": "2026-11-20T10:00:00Z",
        "Metadata": {},
    }  # fmt: skip
    assert postmark(client, event).status_code == 200
    assert ContactPreference.objects.get().state == "unsubscribed"


def test_delivery_is_recorded_and_reading_is_not(client: Client, posted: Message) -> None:
    common = {"MessageID": posted.provider_id, "Recipient": mails.ADDRESS, "Metadata": {}}
    postmark(client, {"RecordType": "Delivery", "DeliveredAt": "2026-11-20T10:00:00Z", **common})
    postmark(client, {"RecordType": "Open", "ReceivedAt": "2026-11-20T10:05:00Z", **common})
    posted.refresh_from_db()
    assert posted.delivered_at is not None
    assert [row.kind for row in Receipt.objects.all()] == ["delivered"]


def test_what_another_system_sent_by_the_same_provider_is_none_of_ours(client: Client, posted: Message) -> None:
    assert postmark(client, bounce(posted, MessageID="another")).status_code == 200
    assert not Receipt.objects.exists()


@pytest.mark.parametrize("authorization", ["", "Basic d3Jvbmc6c2VjcmV0", "Bearer x", "Basic ???"])
def test_without_the_secret_nothing_is_let_in(authorization: str, posted: Message) -> None:
    client = Client(raise_request_exception=False)
    assert postmark(client, bounce(posted), Authorization=authorization).status_code == 400
    assert not Receipt.objects.exists()


def mailgun(client: Client, message: Message, *, key: str = SIGNING_KEY) -> Any:
    stamp, token = str(int(time.time())), "t" * 50
    event = {
        "signature": {
            "timestamp": stamp,
            "token": token,
            "signature": hmac.new(key.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest(),
        },
        "event-data": {
            "event": "failed", "severity": "permanent", "reason": "bounce", "id": "ev1", "timestamp": time.time(),
            "recipient": mails.ADDRESS, "user-variables": {}, "tags": [],
            "message": {"headers": {"message-id": message.message_id.strip("<>")}},
            "delivery-status": {"code": 550, "message": "5.1.1 no such user", "description": ""},
        },
    }  # fmt: skip
    url = reverse("contact:from_provider", args=["mailgun", "tracking"])
    return client.post(url, json.dumps(event), content_type="application/json", headers=AUTH)


def test_a_signature_is_checked_and_the_message_id_header_finds_the_message(message: Message) -> None:
    client = Client(raise_request_exception=False)
    assert mailgun(client, message, key="wrong").status_code == 400
    assert not Receipt.objects.exists()
    assert mailgun(client, message).status_code == 200
    assert Receipt.objects.get().kind == "hard"


def test_an_answer_that_a_provider_received_waits_for_a_person(client: Client, message: Message) -> None:
    event = {
        "FromFull": {"Email": mails.ADDRESS, "Name": "Dora"}, "From": mails.ADDRESS, "To": "billing@shop.example",
        "ToFull": [{"Email": "billing@shop.example"}], "Subject": "Re: Invoice", "MessageID": "x",
        "TextBody": "On Friday.",
        "HtmlBody": "", "Attachments": [], "OriginalRecipient": "billing@shop.example", "Date": "",
        "Headers": [
            {"Name": "Message-ID", "Value": "<a1@customer.example>"}, {"Name": "In-Reply-To", "Value": mails.OURS},
        ],
    }  # fmt: skip
    assert postmark(client, event, purpose="inbound").status_code == 200
    assert Reply.objects.get().text == "On Friday."


@pytest.mark.parametrize(("provider", "purpose"), [("sendgrid", "tracking"), ("postmark", "x"), ("nobody", "tracking")])
def test_a_provider_that_is_not_set_up_has_no_address_here(provider: str, purpose: str, client: Client) -> None:
    assert client.post(reverse("contact:from_provider", args=[provider, purpose]), {}, headers=AUTH).status_code == 404


def test_nobody_is_let_in_unchecked(settings: Any) -> None:
    settings.ANYMAIL = {"MAILGUN_WEBHOOK_SIGNING_KEY": SIGNING_KEY}
    assert providers.view_of("postmark", "tracking") is None
    assert providers.view_of("amazon_ses", "tracking") is None
    assert providers.view_of("mailgun", "tracking") is not None
    settings.ANYMAIL = {}
    assert providers.view_of("mailgun", "tracking") is None
    assert {problem.id for problem in checks.contact_settings()} == {"contact.E004"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"colour": "red"}, "contact.E001"),
        ({"reply_address": "nobody"}, "contact.E002"),
        ({"providers": ("pigeon",)}, "contact.E003"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(given: dict[str, Any], found: str, settings: Any) -> None:
    settings.CONTACT = given
    assert [problem.id for problem in checks.contact_settings()] == [found]


def test_what_is_set_up_rightly_passes(settings: Any) -> None:
    settings.CONTACT = {"providers": ("postmark", "mailgun"), "reply_address": "billing@shop.example"}
    assert checks.contact_settings() == []
