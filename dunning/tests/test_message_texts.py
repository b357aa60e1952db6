"""The texts themselves: five languages, every figure a field, nothing that nobody should be told. No database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from billingops.llm.texts import frame_problem
from billingops.stripe.facts import CustomerFacts, InvoiceFacts, PaymentFailure
from dunning import messages
from dunning.facts import Snapshot
from dunning.messages import bundle, languages, overrides, rendering, texts
from dunning.messages.bundle import Entry
from dunning.plan import notices

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FOLDER = Path(settings.BASE_DIR) / "templates" / "email" / "dunning"
ALL = [(language, name) for language in languages.LANGUAGES for name in texts.TEXTS]


def snapshot(
    locale: str = "en", amount: int = 7900, currency: str = "eur", invoice: str = "in_1", **more: Any
) -> Snapshot:
    facts = InvoiceFacts(
        id=invoice, account="", status="open", currency=currency, total=amount, amount_due=amount, amount_paid=0,
        amount_remaining=amount, created=NOW - timedelta(days=3), number=f"NR-{invoice}",
        hosted_invoice_url="https://invoice.stripe.com/i/1", customer_id="cus_1", **more,
    )  # fmt: skip
    return Snapshot(facts, PaymentFailure(), CustomerFacts("cus_1", "", locale=locale), None, dispute_open=False)


@pytest.mark.parametrize(("language", "name"), ALL)
def test_every_text_is_there_in_every_language_and_keeps_its_own_rules(language: str, name: str) -> None:
    subject, body = texts.built_in(name, language)
    assert overrides.problem(name=name, language=language, subject=subject, body=body) == ("", "")


@pytest.mark.parametrize("language", languages.LANGUAGES)
@pytest.mark.parametrize("name", texts.PIECES)
def test_every_part_is_there_in_every_language_and_keeps_its_own_rules(language: str, name: str) -> None:
    assert (FOLDER / language / f"{name}.txt").exists()
    body = texts.piece(name, language)
    assert overrides.problem(name=name, language=language, subject="", body=body) == ("", "")


def test_no_file_is_left_over() -> None:
    for language in languages.LANGUAGES:
        assert {path.stem for path in (FOLDER / language).glob("*.txt")} == {*texts.TEXTS, *texts.PIECES}


def test_texts_of_one_name_have_the_same_fields_in_all_languages() -> None:
    def fields(words: str) -> set[str]:
        return set(re.findall(r"\{[a-z]+\}", words))

    for name in texts.TEXTS:
        found = {language: fields("\n".join(texts.built_in(name, language))) for language in languages.LANGUAGES}
        assert len(set(map(frozenset, found.values()))) == 1, (name, found)


def test_every_template_the_planner_names_exists() -> None:
    source = Path(notices.__file__).read_text()
    assert set(re.findall(r'return "([a-z_]+)"|template, deadline = "([a-z_]+)"', source))
    named = {
        name for pair in re.findall(r'return "([a-z_]+)"|template, deadline = "([a-z_]+)"', source) for name in pair
    }
    assert named - {""} <= set(texts.TEXTS)


@pytest.mark.parametrize(
    ("language", "amount", "currency", "written"),
    [
        ("en", 123450, "eur", "EUR 1,234.50"),
        ("de", 123450, "eur", "1.234,50\u00a0EUR"),
        ("fr", 123450, "eur", "1\u202f234,50\u00a0EUR"),
        ("es", 123450, "eur", "1234,50\u00a0EUR"),
        ("es", 12345600, "eur", "123.456,00\u00a0EUR"),
        ("ja", 123450, "eur", "EUR 1,234.50"),
        ("ja", 7900, "jpy", "7,900円"),
        ("de", 7900, "jpy", "7.900\u00a0JPY"),
        ("de", 1234567, "kwd", "1.234,567\u00a0KWD"),
    ],
)
def test_amounts_are_written_as_the_language_writes_them(
    language: str, amount: int, currency: str, written: str
) -> None:
    assert languages.money_text(amount, currency, language) == written


@pytest.mark.parametrize(
    ("language", "written"),
    [("en", "1 December 2026"), ("de", "1. Dezember 2026"), ("fr", "1er décembre 2026"),
     ("es", "1 de diciembre de 2026"), ("ja", "2026年12月1日")],
)  # fmt: skip
def test_days_are_written_as_the_language_writes_them(language: str, written: str) -> None:
    assert languages.day_text(datetime(2026, 12, 1, tzinfo=UTC), language) == written


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Your card was stolen."), ("de", "Ihre Karte wurde als gestohlen gemeldet."),
        ("de", "Verdacht auf Betrug."), ("de", "Ihre Karte ist gesperrt."), ("de", "Karte verloren?"),
        ("fr", "Votre carte a été volée."), ("fr", "Votre carte est bloquée."), ("fr", "Une fraude est possible."),
        ("fr", "Carte perdue ?"), ("es", "Su tarjeta fue robada."), ("es", "Su tarjeta está bloqueada."),
        ("es", "Posible fraude."), ("es", "¿Tarjeta perdida?"), ("ja", "カードの盗難"), ("ja", "不正利用の疑い"),
        ("ja", "カードの紛失"), ("ja", "カードがブロックされています"), ("fr", "This is fraud."), ("pt", "gestohlen"),
    ],
)  # fmt: skip
def test_what_nobody_should_be_told_is_found_in_five_languages(language: str, words: str) -> None:
    assert languages.never_say(words, language)
    assert overrides.own_words_problem(words, language)


@pytest.mark.parametrize(
    ("language", "words"),
    [("de", "Zahlen Sie fünfzig Euro."), ("de", "in zwei Wochen"), ("de", "einundzwanzig"), ("fr", "six jours"),
     ("fr", "quarante euros"), ("es", "en dos semanas"), ("es", "veinte euros"), ("ja", "三千円"),
     ("ja", "十日以内に")],
)  # fmt: skip
def test_a_number_in_words_is_found_in_the_languages_own_words(language: str, words: str) -> None:
    assert "writes a figure" in overrides.own_words_problem(words, language)


def test_a_japanese_reminder_reads_as_one() -> None:
    draft = messages.draft(template="reminder", snapshot=snapshot("ja-JP", 7900, "jpy"), deadline=NOW)
    assert draft.language == "ja"
    assert "請求書 NR-in_1（7,900円）のお支払いがまだ完了しておりません。" in draft.body
    assert "2026年11月22日までに" in draft.body
    assert "{link}\n\nリンクの有効期限が切れている場合は、こちらからもお支払いいただけます: {hosted}" in draft.body


def test_tones_add_their_paragraph_before_the_thanks_where_it_matters() -> None:
    def body(template: str, tone: str) -> str:
        return messages.draft(template=template, snapshot=snapshot(), deadline=NOW, tone=tone).body

    assert body("reminder", "friendly") == body("reminder", "")
    assert "go on without interruption.\n\nThank you" in body("reminder", "firm")
    assert "our last reminder before we decide" in body("payment_failed", "final")
    assert body("last_notice", "final") == body("last_notice", "")
    assert body("recovered", "firm") == body("recovered", "")


def test_the_link_of_a_bank_confirmation_is_the_hosted_page_so_it_stands_there_once() -> None:
    draft = messages.draft(template="confirm_payment", snapshot=snapshot(), deadline=NOW)
    assert "{hosted}" not in draft.body
    assert draft.body.count("{link}") == 1


def test_several_invoices_are_listed_with_sums_per_currency_the_own_one_first() -> None:
    others = [
        snapshot(invoice="in_3", amount=2000, currency="usd"),
        Entry("in_2", "NR-in_2", 100, "eur", NOW - timedelta(days=40), due=NOW - timedelta(days=30)),
        snapshot(),
    ]
    draft = messages.draft(template="reminder", snapshot=snapshot(), deadline=NOW, bundle=others)
    assert draft.invoices == ["in_1", "in_2", "in_3"]
    assert (
        "Altogether, these invoices are open at the moment:\n\n"
        "• NR-in_1 of 19 November 2026: EUR 79.00\n"
        "• NR-in_2 of 13 October 2026: EUR 1.00, due on 23 October 2026\n"
        "• NR-in_3 of 19 November 2026: USD 20.00\n"
        "In total: EUR 80.00 and USD 20.00\n\n"
    ) in draft.body
    assert draft.params()["invoices"] == draft.invoices
    assert bundle.WRITTEN.search(draft.body)


def test_one_invoice_makes_no_list() -> None:
    draft = messages.draft(template="reminder", snapshot=snapshot(), deadline=NOW, bundle=[snapshot()])
    assert "•" not in draft.body
    assert draft.invoices == ["in_1"]


@pytest.mark.parametrize("language", languages.LANGUAGES)
def test_a_long_list_ends_with_how_many_more_and_still_sums_up_all(language: str) -> None:
    listed = [Entry(f"in_{number}", f"NR-{number}", 100, "eur", NOW) for number in range(25)]
    text = bundle.as_text(listed, language)
    assert len(text.splitlines()) == bundle.MAX_LISTED + 2
    assert languages.money_text(2500, "eur", language) in text
    assert "5" in text.splitlines()[-2]


@pytest.mark.parametrize("channel", ["phone", "post"])
@pytest.mark.parametrize("language", languages.LANGUAGES)
def test_a_call_and_a_letter_have_words_of_their_own(language: str, channel: str) -> None:
    draft = messages.draft(template="last_notice", snapshot=snapshot(language), deadline=NOW, channel=channel)
    assert (draft.template, draft.channel, draft.language) == (f"{channel}_last_notice", channel, language)
    assert "{" not in draft.subject + draft.body
    assert "NR-in_1" in draft.body


def test_the_footer_can_be_told_from_the_words_again() -> None:
    whole = rendering.whole_text("Hello\n\nThank you", ["Bakery\nMain Street", "Unsubscribe: {unsubscribe}"])
    assert rendering.parted(whole) == ("Hello\n\nThank you", ["Bakery\nMain Street", "Unsubscribe: {unsubscribe}"])
    assert rendering.parted("Hello") == ("Hello", [])


def test_the_frame_of_every_text_holds_no_figure() -> None:
    for language, name in ALL:
        subject, body = texts.built_in(name, language)
        allowed = (*texts.ALL_FIELDS,)
        assert frame_problem(f"{subject}\n{body}", allowed=allowed, limit=4000) is None


def test_html_says_its_language_and_speaks_the_same_words_in_light_and_dark() -> None:
    html = messages.as_html("件名", "お客様\n\n{link}\n\nThe end", "ja", "https://x.example/1", "")
    assert '<html lang="ja"' in html
    assert 'name="color-scheme" content="light dark"' in html
    assert "prefers-color-scheme: dark" in html
    assert 'href="https://x.example/1"' in html
    assert "請求ポータルを開く" in html


def test_an_address_breaks_where_it_must_and_the_words_in_its_place_between_words() -> None:
    html = rendering.as_html("Subject", "Pay here: {hosted}", "en", "", "https://invoice.example/" + "x" * 200)
    assert "overflow-wrap:anywhere" in html
    assert "break-all" not in html
