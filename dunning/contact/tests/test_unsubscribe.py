"""The page behind the link in a message, and a mail program's one click."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.test import Client
from django.urls import reverse

from approvals.models import AuditEntry
from billingops.brands.models import Brand
from dunning.contact import gatekeeping, tokens, views, words
from dunning.contact.models import ContactPreference
from dunning.contact.tokens import Subscription

pytestmark = pytest.mark.django_db
ABOUT = Subscription("acct_1", "cus_1", "email")


@pytest.fixture(autouse=True)
def _reached(settings: Any) -> None:
    settings.BASE_URL = "https://billing.shop.example"


def page(about: Subscription = ABOUT) -> str:
    return reverse("contact:unsubscribe", args=[tokens.sign(about)])


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


def test_get_says_what_would_stop_and_what_not_and_stops_nothing(client: Client) -> None:
    Brand.objects.create(slug="shop", account="acct_1", name="Shop & Sons")
    text = text_of(client.get(page()))
    assert "from Shop &amp; Sons?" in text
    assert "notices that a contract or the law asks for" in text
    assert '<button type="submit">' in text
    assert not ContactPreference.objects.exists()


def test_the_button_stops_it_and_says_so_from_then_on(client: Client) -> None:
    assert client.post(page(), {"stop": "1"}).status_code == 200
    row = ContactPreference.objects.get()
    assert (row.account, row.customer, row.channel, row.state) == ("acct_1", "cus_1", "email", "unsubscribed")
    assert "You will get no more reminders" in text_of(client.get(page()))
    entry = AuditEntry.objects.get(action="contact.preference")
    assert (entry.subject, entry.account) == ("customer:cus_1", "acct_1")


def test_one_click_needs_no_cookie_no_page_and_no_csrf_token() -> None:
    """RFC 8058, 3.2: a POST of List-Unsubscribe=One-Click, to which nothing but success is of interest."""
    client = Client(enforce_csrf_checks=True)
    answer = client.post(page(), {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert not answer.cookies
    assert ContactPreference.objects.get().reason == "with one click in the mail program"


def test_one_click_as_a_form_of_its_own_media_type_works_too(client: Client) -> None:
    answer = client.post(page(), "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    assert ContactPreference.objects.count() == 1


def test_a_post_that_does_not_ask_for_it_stops_nothing(client: Client) -> None:
    assert client.post(page(), {"other": "1"}).status_code == 400
    assert not ContactPreference.objects.exists()


def test_twice_is_once(client: Client) -> None:
    for _ in range(2):
        client.post(page(), {"stop": "1"})
    assert AuditEntry.objects.filter(action="contact.preference").count() == 1


@pytest.mark.parametrize("method", ["put", "delete", "patch", "options"])
def test_nothing_else_is_answered(method: str, client: Client) -> None:
    assert getattr(client, method)(page()).status_code == 405


FORGED = [
    "x",
    "x:y",
    tokens.sign(ABOUT)[:-1] + ("A" if not tokens.sign(ABOUT).endswith("A") else "B"),
    "eyJhIjoxfQ:" + tokens.sign(ABOUT).rpartition(":")[2],
    signing.Signer(salt="another.purpose").sign_object(["email", "acct_1", "cus_1"]),
    signing.Signer(salt="contact.unsubscribe").sign_object(["pigeon", "acct_1", "cus_1"]),
    signing.Signer(salt="contact.unsubscribe").sign_object(["email", "acct_1"]),
    signing.Signer(salt="contact.unsubscribe").sign_object({"email": 1}),
    signing.Signer(salt="contact.unsubscribe").sign("no json"),
    "é" * 20,
    "a" * 5000,
]


@pytest.mark.parametrize("token", FORGED, ids=lambda token: token[:24])
def test_a_link_that_we_have_not_made_is_nothing(token: str, client: Client) -> None:
    url = reverse("contact:unsubscribe", args=[token])
    for answer in (client.get(url), client.post(url, {"List-Unsubscribe": "One-Click"})):
        assert answer.status_code == 404
        assert "cus_" not in text_of(answer)
    assert not ContactPreference.objects.exists()


def test_a_customer_that_exists_and_one_that_does_not_look_the_same(client: Client, message: Any) -> None:
    known, unknown = page(Subscription("", message.customer, "email")), page(Subscription("", "cus_none", "email"))
    assert client.get(known).content == client.get(unknown).content
    assert client.post(known, {"stop": "1"}).content == client.post(unknown, {"stop": "1"}).content


def test_whoever_tries_links_is_slowed_down_and_whoever_has_one_is_not(client: Client) -> None:
    wrong = reverse("contact:unsubscribe", args=["x:y"])
    codes = [client.get(wrong).status_code for _ in range(views.MOST_WRONG + 1)]
    assert (codes[0], codes[-1]) == (404, 429)
    assert client.post(page(), {"List-Unsubscribe": "One-Click"}).status_code == 200


def test_one_link_is_not_opened_without_end(client: Client) -> None:
    codes = [client.get(page()).status_code for _ in range(views.MOST_OPENED + 1)]
    assert (codes[0], codes[-1]) == (200, 429)


def test_the_link_is_told_to_nobody_else(client: Client) -> None:
    answer = client.get(page())
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "src=" not in text_of(answer)


def test_the_token_names_no_person() -> None:
    assert "@" not in signing.Signer(salt="contact.unsubscribe").unsign(tokens.sign(ABOUT))
    assert tokens.unsign(tokens.sign(ABOUT)) == ABOUT


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_the_page_is_whole_in_every_language(language: str, client: Client) -> None:
    said = words.of(language, sender="Shop")
    assert said.keys() == words.of("en", sender="Shop").keys()
    text = text_of(client.get(f"{page()}?l={language}"))
    assert f'lang="{language}"' in text
    assert said["stops"] in text
    assert "{" not in "".join(said.values())


def test_without_a_language_in_the_link_the_browsers_counts(client: Client) -> None:
    text = text_of(client.get(page(), headers={"Accept-Language": "it, fr-CH;q=0.9, de;q=0.5"}))
    assert 'lang="fr"' in text
    assert 'lang="en"' in text_of(client.get(page(), headers={"Accept-Language": "xx"}))


def test_what_a_message_carries_leads_here(client: Client) -> None:
    url = gatekeeping.unsubscribe_url(account="acct_1", customer="cus_1", language="de")
    assert url.startswith("https://billing.shop.example/contact/unsubscribe/")
    parts = urlsplit(url)
    assert 'lang="de"' in text_of(client.get(f"{parts.path}?{parts.query}"))
    headers = gatekeeping.unsubscribe_headers(account="acct_1", customer="cus_1", template="reminder")
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert gatekeeping.unsubscribe_headers(account="acct_1", customer="cus_1", template="last_notice") == {}


def test_one_click_is_not_offered_without_https(settings: Any) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    headers = gatekeeping.unsubscribe_headers(account="", customer="cus_1", template="reminder")
    assert list(headers) == ["List-Unsubscribe"]
    settings.BASE_URL = ""
    assert gatekeeping.unsubscribe_url(account="", customer="cus_1") == ""
