"""Days by chance: whatever comes and whoever decides in between, looking at what is new leaves nothing to a look at
everything."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db.models import Sum
from django.utils import timezone

from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.stripe.models import MirroredBalanceTransaction
from settlements.ledger.models import JournalEntry
from settlements.reconciliation import config, corrections, engine, services
from settlements.reconciliation.models import ReconciliationItem, ReconciliationLink
from settlements.reconciliation.states import How
from settlements.reconciliation.tests.books import FAULTS, Books, post, store_transactions
from settlements.reconciliation.tests.test_corrections import carry_out
from settlements.reconciliation.tests.test_engine import found, look

pytestmark = pytest.mark.django_db


def change(rng: random.Random, was: dict[str, Any]) -> None:
    """Stripe's list says something else of some, and of others again what it said at first (`was`)."""
    rows = list(MirroredBalanceTransaction.objects.order_by("object_id"))
    back = [row for row in rows if row.object_id in was]
    for row in rng.sample(rows, min(2, len(rows))) + rng.sample(back, min(2, len(back))):
        if row.object_id in was:
            row.net, row.fee = was.pop(row.object_id)
        else:
            was[row.object_id] = row.net, row.fee
            row.net, row.fee = rng.choice([(row.net - 7, row.fee), (row.net - 3, row.fee + 3)])
        row.synced_at = timezone.now()
        row.save()


def decide(rng: random.Random, finance: Any, lead: Any) -> None:
    """Somebody corrects a difference, writes it off, matches some by hand, or takes such a match apart."""
    items = list(ReconciliationItem.objects.open().order_by("pk"))
    matched = list(ReconciliationItem.objects.filter(how=How.HAND).order_by("pk"))
    with suppress(InvalidInput, InvalidTransition, PermissionDenied):
        match rng.randint(0, 2):
            case 0 if items:
                one, write_off = rng.choice(items), rng.random() < 0.3
                carry_out(
                    corrections.suggest(item_id=one.pk, write_off=write_off, reason="?", actor=Actor.person(lead)),
                    finance,
                )
            case 1 if len(items) > 1:
                one, *others = (item.pk for item in rng.sample(items, min(len(items), rng.randint(2, 3))))
                services.match_by_hand(item_id=one, others=others, reason="?", actor=Actor.person(finance))
            case 2 if matched:
                services.unmatch(item_id=rng.choice(matched).pk, reason="?", actor=Actor.person(finance))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_made_between_two_looks_ends_where_looking_at_everything_ends(
    seed, monkeypatch, settings, finance, lead
):
    """As it goes all day: Stripe makes it, both sides hear of it in any order, and are looked at, one book or all;
    Stripe says something else, people decide. And what is open is all that is between the books and Stripe."""
    settings.RECONCILIATION_TRANSACTION_GRACE_HOURS = settings.RECONCILIATION_ENTRY_GRACE_DAYS = 0
    monkeypatch.setattr(config, "OVERLAP", timedelta(0))
    rng = random.Random(seed)
    books = Books()
    books.agree(25)
    books.agree(10, account="acct_bakery")
    for name in rng.choices(sorted(FAULTS), k=14):
        FAULTS[name](books)
    ways: list[dict[str, str]] = [{}, {}, {"balance_transaction": ""}, {"book": "acct_elsewhere"}]
    twice = [{**one, "key": f"{one['key']}:again", **rng.choice(ways)} for one in rng.sample(books.entries, 6)]
    arrivals = [("t", one) for one in books.transactions] + [("e", one) for one in (*books.entries, *twice)]
    rng.shuffle(arrivals)
    made: dict[str, Any] = {}
    was: dict[str, Any] = {}
    look(full=True)
    while arrivals:
        size = rng.randint(1, 12)
        part, arrivals = arrivals[:size], arrivals[size:]
        if rng.random() < 0.3:
            part += [("t", one) for kind, one in arrivals if kind == "t" and one["object_id"] in made]
            arrivals = [one for one in arrivals if one not in part]
        for side, one in part:
            at = made.setdefault(one["object_id"] if side == "t" else one["balance_transaction"], timezone.now())
            store_transactions(one | {"created": at}) if side == "t" else post(one | {"occurred_at": at})
        match rng.randint(0, 8):
            case 0:
                ids = sorted(ReconciliationItem.objects.open().values_list("pk", flat=True))
                engine.look_again(rng.sample(ids, min(4, len(ids))))
            case 1:
                look(account=rng.choice(["", "acct_bakery"]))
            case 2 | 3:
                look()
            case 4:
                listed = [one["object_id"] for one in books.transactions if one["object_id"] in made]
                again = MirroredBalanceTransaction.objects.filter(object_id__in=rng.sample(listed, min(5, len(listed))))
                again.update(synced_at=timezone.now())
            case 5:
                change(rng, was)
            case 6 | 7:
                decide(rng, finance, lead)
    look()
    change(rng, was)
    look()
    of_what_is_new = found()
    look(full=True)
    assert sorted(map(str, of_what_is_new ^ found())) == []
    assert len(of_what_is_new) > 10
    open_items = ReconciliationLink.objects.filter(item__in=ReconciliationItem.objects.open())
    sides = [open_items.filter(transaction=None), open_items.filter(entry=None)]
    apart = [rows.aggregate(sum=Sum("net", default=0))["sum"] for rows in sides]
    whole = [
        JournalEntry.objects.aggregate(sum=Sum("cash", default=0))["sum"],
        MirroredBalanceTransaction.objects.aggregate(sum=Sum("net", default=0))["sum"],
    ]
    assert apart[0] - apart[1] == whole[0] - whole[1]
