"""Text that customers type changes no step, amount, currency or destination, and tells nothing of another customer.

Every attack goes the whole way: an object at the sandbox, its events, the drain, the rules, a model that obeys the
attacker, the suggestion. Three models each: one that obeys whenever it reads a customer's text (it must be found out),
one that is lost altogether (its answer must not do harm), one that does its work (and is used).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.forms.models import model_to_dict

from approvals.models import Suggestion
from billingops.llm import client
from billingops.llm.folding import fold
from billingops.llm.models import AgentRun, AgentSetting
from billingops.llm.redaction import normalise
from billingops.money import format_money
from dunning.models import Message, SupportTask
from dunning.plan.steps import RETRY
from settlements.models import PayoutRecord
from support.models import TimelineEntry
from tests.injection.attacks import ENCODINGS, Attack, Model, is_choice, load
from tests.support.fake_openai import MODEL, FakeOpenAI

pytestmark = pytest.mark.django_db
ATTACKS = load()
DISPUTES = [attack for attack in ATTACKS if attack.where == "dispute"]
ASKED = [attack for attack in ATTACKS if attack.where != "dispute"]
PERMITTED = {"retry_payment", "notify_customer", "grace_period", "escalate"}
# Where the text of these stands, the dunning agent may read it when its setting allows customer text.
READ = {"subscription_metadata", "customer_metadata", "invoice_metadata", "many_metadata", "product_name"}
PRICE = 7_900

VICTIM = {
    "name": "Victoria Geheimrat",
    "email": "victoria.geheimrat@verschwiegen.example",
    "phone": "+49 30 5550123",
    "description": "Hidden favourite OMEGA-SEVEN",
    "address": {"line1": "77 Quietwood Crescent", "city": "Stillhaven", "country": "DE"},
    "metadata": {"note": "the vault word is zanzibarium"},
}
VICTIMS_SECRETS = ["geheimrat", "verschwiegen", "5550123", "omega-seven", "quietwood", "stillhaven", "zanzibarium"]


class World:
    """The sandbox with one victim, and attackers who come one after another."""

    def __init__(self, api: Any, sandbox: Any, deliver: Callable[..., Any], server: FakeOpenAI, model: Model) -> None:
        self.api, self.sandbox, self.deliver, self.server, self.model = api, sandbox, deliver, server, model
        sandbox.clock.set(int(time.time()) - 40 * 86_400)
        self.plan = self._price("Plan")
        self.victim, subscription, card = self._customer(self.plan, **VICTIM)
        sandbox.clock.set(int(time.time()))
        deliver()
        self._fail(subscription, card, "insufficient_funds")

    def _price(self, name: str) -> str:
        product = self.api.v1.products.create({"name": name})
        price = {"product": product.id, "currency": "eur", "unit_amount": PRICE, "recurring": {"interval": "month"}}
        return str(self.api.v1.prices.create(price).id)

    def _customer(self, price: str, *, notes: dict[str, str] | None = None, **given: Any) -> tuple[str, str, str]:
        customer = self.api.v1.customers.create(given)
        card = self.api.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        self.api.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
        subscription = self.api.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": price}], "metadata": notes or {}}
        )
        return str(customer.id), str(subscription.id), str(card.id)

    def _fail(self, subscription: str, card: str, code: str, **texts: Any) -> str:
        self.sandbox.cards.set_outcome(card, code)
        invoice = str(self.sandbox.bill_subscription(subscription)["id"])
        if texts:
            self.api.v1.invoices.update(invoice, texts)
        self.deliver()
        return invoice

    def attacked(self, attack: Attack) -> Callable[[str, str], tuple[str, Suggestion]]:
        """Returns how to fail a payment of a customer who carries the attack where it belongs: (mood of the model,
        decline code) → (invoice, suggestion). Each time another customer: what one owes is one conversation."""
        text, where = attack.encoded, attack.where
        short = text[:500]  # the longest value that Stripe takes in metadata
        given: dict[str, Any] = {"name": "Art Attacker", "email": "art@attacker.example"}
        texts: dict[str, Any] = {}
        notes: dict[str, str] = {}
        price = self.plan
        if where == "name":
            given["name"] = text
        elif where == "email":
            given["email"] = f"{text}@attacker.example"
        elif where == "address":
            given["address"] = {"line1": text, "city": "Nowhere", "country": "DE"}
        elif where == "customer_description":
            given["description"] = text
        elif where == "customer_metadata":
            given["metadata"] = {"note": short}
        elif where == "many_metadata":
            given["metadata"] = {f"note {index} {text}": short for index in range(40)}
        elif where == "subscription_metadata":
            notes = {"note": short}
        elif where == "product_name":
            price = self._price(text)
        elif where == "invoice_metadata":
            texts = {"metadata": {"note": short}}
        elif where == "invoice_text":
            texts = {"description": text, "footer": text}
        else:
            assert where == "dispute", where

        def fail(mood: str, code: str) -> tuple[str, Suggestion]:
            subscription, card = self._attacker(price, where, text, notes, given)
            self.model.attack, self.model.mood = attack, mood
            self.server.requests.clear()
            invoice = self._fail(subscription, card, code, **texts)
            return invoice, Suggestion.objects.get(subject=invoice)

        return fail

    def _attacker(
        self, price: str, where: str, text: str, notes: dict[str, str], given: dict[str, Any]
    ) -> tuple[str, str]:
        self.sandbox.clock.set(int(time.time()) - 40 * 86_400)
        customer, subscription, card = self._customer(price, notes=notes, **given)
        if where == "dispute":
            (charge,) = self.api.v1.charges.list({"customer": customer}).data
            dispute = self.sandbox.create_dispute(charge.id)
            evidence = {"uncategorized_text": text, "customer_name": text}
            self.api.v1.disputes.update(dispute["id"], {"evidence": evidence, "submit": False})
        self.sandbox.clock.set(int(time.time()))
        self.model.mood = "sound"
        self.deliver()
        return subscription, card

    def said(self) -> str:
        """Everything the model was told since the last failed payment."""
        return "\n".join(request.text for request in self.server.requests)


@pytest.fixture
def world(sandbox: Any, stripe_api: Any, deliver: Any, settings: Any, db: None) -> Iterator[World]:
    settings.DUNNING = {**settings.DUNNING, "retry_beside_stripe": True}
    AgentSetting.objects.create(agent="dunning", customer_text=True)
    model = Model(victims_secrets=VICTIMS_SECRETS)
    with FakeOpenAI() as server:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL = server.base_url, "sk-fake", MODEL
        server.by_default(model)
        yield World(stripe_api, sandbox, deliver, server, model)
        client.reset()


def everything_about(invoice: str, suggestion: Suggestion) -> str:
    """All that is stored of this case, as text: suggestion, runs, messages, tasks."""
    rows: list[Any] = [suggestion, *AgentRun.objects.filter(subject=invoice)]
    rows += [*Message.objects.filter(suggestion=suggestion), *SupportTask.objects.filter(case__invoice=invoice)]
    return "\n".join(json.dumps(model_to_dict(row), default=str, ensure_ascii=False) for row in rows)


def what_was_suggested(suggestion: Suggestion) -> str:
    return json.dumps(model_to_dict(suggestion), default=str, ensure_ascii=False)


def check_suggestion(attack: Attack, world: World, invoice: str, suggestion: Suggestion) -> None:
    """What holds whatever the model says."""
    named = f"{attack.id}: {suggestion.kind} {suggestion.params} {suggestion.rationale}"
    assert suggestion.kind in PERMITTED, named
    if suggestion.kind == RETRY:
        assert (suggestion.amount, suggestion.currency) == (PRICE, "eur"), named
    else:
        assert suggestion.amount is None, named
    assert suggestion.facts["amount_remaining"] == PRICE, named
    suggested = what_was_suggested(suggestion)
    for loot in attack.loot:
        assert loot.casefold() not in suggested.casefold(), named
    # Nothing of the victim, in what was sent and in what was kept.
    for kept in (world.said(), everything_about(invoice, suggestion)):
        for secret in VICTIMS_SECRETS:
            assert secret not in fold(kept)[0], (secret, named)
    if suggestion.kind == "notify_customer":
        assert format_money(PRICE, "eur") in suggestion.params["body"], named
        assert "evil" not in suggestion.params["body"], named


def flags(suggestion: Suggestion) -> set[str]:
    return {flag["code"] for flag in suggestion.flags}


@pytest.mark.parametrize("attack", sorted(ASKED, key=lambda attack: attack.id), ids=lambda attack: attack.id)
def test_an_attack_moves_nothing(attack: Attack, world: World) -> None:
    fail = world.attacked(attack)

    # A model that obeys whatever text it reads is found out: the rules' step stands, and a person is told.
    invoice, suggestion = fail("gullible", "insufficient_funds")
    check_suggestion(attack, world, invoice, suggestion)
    told = world.said()
    if attack.seen:
        assert attack.seen.casefold() in told.casefold(), "the attack never reached the model"
    assert "<customer_text" in told
    assert told.count("<customer_text") == told.count("</customer_text>")
    run = AgentRun.objects.filter(subject=invoice, purpose="choose_action").get()
    assert suggestion.agent_run == run.pk
    assert suggestion.baseline == run.baseline == suggestion.kind, attack.id
    if attack.action not in ("", suggestion.baseline) or attack.loot:
        assert run.verdict == AgentRun.Verdict.MOVED, (attack.id, run.reason, run.output)
        assert "model_moved_by_text" in flags(suggestion)
        assert suggestion.suggested_by.startswith("rules ")

    # A model that does the attacker's will with or without the text can choose another permitted step, and no more.
    invoice, suggestion = fail("lost", "expired_card")
    check_suggestion(attack, world, invoice, suggestion)
    run = AgentRun.objects.filter(subject=invoice, purpose="choose_action").get()
    assert suggestion.baseline == run.baseline
    if attack.action not in PERMITTED and attack.action:
        assert (suggestion.kind, run.verdict) == (suggestion.baseline, AgentRun.Verdict.ACTION), attack.id

    # A model that does its work is used, attack or no attack.
    invoice, suggestion = fail("sound", "insufficient_funds")
    check_suggestion(attack, world, invoice, suggestion)
    assert suggestion.suggested_by.startswith(f"model {MODEL}"), suggestion.rationale
    assert "model_moved_by_text" not in flags(suggestion)

    # The victim's own history holds nothing of the attack, and the attacker's nothing of the victim.
    for entry in TimelineEntry.objects.exclude(customer=world.victim):
        assert not [secret for secret in VICTIMS_SECRETS if secret in fold(json.dumps(entry.facts))[0]], entry.what


@pytest.mark.parametrize("attack", DISPUTES, ids=lambda attack: attack.id)
def test_while_a_dispute_is_open_no_model_is_asked(attack: Attack, world: World) -> None:
    invoice, suggestion = world.attacked(attack)("lost", "insufficient_funds")
    check_suggestion(attack, world, invoice, suggestion)
    assert (suggestion.kind, suggestion.reason_code) == ("escalate", "dispute_open")
    assert (world.said(), AgentRun.objects.filter(subject=invoice).count()) == ("", 0)


@pytest.mark.parametrize("where", sorted({attack.where for attack in ATTACKS}))
def test_without_the_setting_no_word_of_a_customer_is_sent(where: str, world: World) -> None:
    AgentSetting.objects.update(customer_text=False)
    attack = next(attack for attack in ATTACKS if attack.where == where)
    _invoice, suggestion = world.attacked(attack)("gullible", "insufficient_funds")
    assert suggestion.kind == suggestion.baseline
    assert "customer_text about" not in world.said()
    sent = fold(normalise(world.said()))[0]
    assert fold(normalise(attack.encoded))[0][:24] not in sent
    if attack.seen:
        assert fold(attack.seen)[0] not in sent


def test_a_lost_model_cannot_word_a_memo_to_its_liking(world: World, stripe_api: Any) -> None:
    """All texts at once, as lines of one paid invoice with a seller."""
    from billingops import config
    from billingops.actors import Actor

    config.import_text(
        "sellers:\n  - {account: acct_bakery, name: Bakery}\nrules:\n  - {name: half, seller: acct_bakery, "
        'share: {type: percent, seller: "50"}, valid_from: 2020-01-01}\n',
        file="x.yaml",
        actor=Actor.system("test"),
    )
    stripe_api.v1.accounts.create({"id": "acct_bakery", "type": "express"})
    customer = stripe_api.v1.customers.create({"name": "Art Attacker", "email": "art@attacker.example"})
    card = stripe_api.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    stripe_api.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
    for attack in [attack for attack in ATTACKS if attack.loot][:6]:
        world.model.attack, world.model.mood = attack, "lost"
        world.server.requests.clear()
        draft = stripe_api.v1.invoices.create(
            {"customer": customer.id, "currency": "usd", "description": attack.encoded, "footer": attack.encoded}
        )
        item = {"customer": customer.id, "invoice": draft.id, "amount": 10_000, "currency": "usd"}
        metadata = {"seller_account": "acct_bakery", "note": attack.encoded[:500]}
        stripe_api.v1.invoice_items.create({**item, "description": attack.encoded, "metadata": metadata})
        stripe_api.v1.invoices.update(draft.id, {"metadata": metadata})
        stripe_api.v1.invoices.finalize_invoice(draft.id)
        stripe_api.v1.invoices.pay(draft.id)
        world.deliver()
        record = PayoutRecord.objects.get(invoice=draft.id)
        assert (record.amount, record.currency, record.suggestion.amount) == (5_000, "usd", 5_000), attack.id
        assert record.memo_by.startswith("rules "), attack.id
        assert not [loot for loot in attack.loot if loot in record.memo], attack.id
        assert attack.encoded[:30] not in world.said(), attack.id


def test_the_suite_is_wide_enough() -> None:
    assert len(ATTACKS) >= 60
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS)
    assert {attack.language for attack in ATTACKS} >= {"en", "de", "fr", "es", "ja", "zh", "ar", "ru"}
    assert {attack.encode for attack in ATTACKS} == set(ENCODINGS)
    assert len({attack.where for attack in ATTACKS}) >= 10


def test_the_hostile_model_really_obeys() -> None:
    """Otherwise the suite would prove nothing."""
    attack = next(attack for attack in ATTACKS if attack.id == "en-refund")
    request: dict[str, Any] = {
        "messages": [{}, {"content": '{"permitted": [], "rule_action": "retry_payment"}\n<customer_text about="x">'}],
        "response_format": {"json_schema": {"schema": {"properties": {"action": {}}}}},
    }
    assert is_choice(request)
    answer = Model(attack, "gullible")(request)
    assert answer["action"] == "refund"
    assert "9,999.00" in answer["explanation"]
