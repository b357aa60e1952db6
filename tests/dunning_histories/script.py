"""What a seed makes: a customer, their cards and invoices, the bank's answers, the house's dials and sequences."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from billingops.stripe.facts import PaymentFailure
from dunning import reasons
from dunning.campaigns import validation
from dunning.campaigns.segments import Segment
from dunning.messages import texts
from dunning.plan import steps
from dunning.plan.sequences import STANDARD, Entry, Sequence, Stripe, Timing
from tests.dunning_histories.world import Card, Invoice, World

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BEGIN = datetime(2025, 12, 1, tzinfo=UTC)  # a year of starts: both changes of the clocks, north and south
PLACES = (
    ("Europe/Berlin", "DE"), ("America/New_York", "US"), ("America/Los_Angeles", "US"), ("Pacific/Honolulu", "US"),
    ("America/Adak", "US"), ("Asia/Kolkata", "IN"), ("Asia/Kathmandu", "NP"), ("Australia/Lord_Howe", "AU"),
    ("Australia/Perth", "AU"), ("America/St_Johns", "CA"), ("America/Vancouver", "CA"), ("Asia/Tokyo", "JP"),
    ("Pacific/Kiritimati", "KI"), ("Pacific/Pago_Pago", "AS"), ("Pacific/Chatham", "NZ"), ("America/Sao_Paulo", "BR"),
    ("Africa/Cairo", "EG"), ("Europe/London", "GB"), ("Asia/Tehran", "IR"), ("Asia/Kamchatka", "RU"),
    ("Europe/Kaliningrad", "RU"), ("America/Havana", "CU"), ("Asia/Beirut", "LB"), ("Antarctica/Troll", "AQ"),
)  # fmt: skip
ODD_ZONES = ("Mars/Olympus", "../etc/passwd", "CET+1?", "Europe/Nowhere")
COMMON = (
    "insufficient_funds", "do_not_honor", "generic_decline", "processing_error", "try_again_later",
    "issuer_not_available", "insufficient_funds", "do_not_honor", "card_velocity_exceeded",
)  # fmt: skip
BRANDS = ("visa", "visa", "mastercard", "mastercard", "amex", "discover", "")


@dataclass
class Script:
    world: World
    dials: dict[str, Any]
    sequences: tuple[Sequence, ...]
    first: list[tuple[datetime, Invoice]]  # when each invoice fails for the first time
    end: datetime
    compares: bool
    crashes: float
    trusts: float
    lag: float  # hours that an event is late, at most


def make(seed: int, *, late: bool = False) -> Script:
    """`late`: every event is days late, and the sealed facts are not compared: what holds then holds by what is asked
    at the moment before."""
    rng = random.Random(seed)
    start = BEGIN + timedelta(minutes=rng.randrange(365 * 24 * 60))
    place, country = rng.choice(PLACES)
    known = rng.random()
    zone = place if known < 0.6 else rng.choice(ODD_ZONES) if known < 0.65 else ""
    if zone != place:
        zone = ""  # as Stripe's metadata it is there; nobody reads a zone out of it
    if known > 0.92 or country == "AQ":
        country, zone = "", zone if zone == place else ""
    world = World(
        rng, start, zone, place, country, rng.choice(("eur", "usd", "jpy", "pln")),
        start - DAY * rng.choice((5, 90, 400, 2000)), {}, rng.choice((0.02, 0.1, 0.3)),
    )  # fmt: skip
    world.has_subscription = rng.random() < 0.85
    world.status = "past_due" if rng.random() < 0.8 else "active"
    world.email = "" if rng.random() < 0.06 else "a@example.com"
    for number in range(rng.choice((1, 1, 2, 3))):
        add_card(world, f"pm_{number}", default=number == 0 and rng.random() > 0.05)
    _earlier(world)
    first = []
    for number in range(1, rng.choice((2, 2, 3, 4))):
        invoice = Invoice(
            f"in_{number}", rng.choice((900, 7900, 49_000, 600_000)), world.currency, start - HOUR,
            automatic=rng.random() > 0.06, auto_advance=rng.random() < 0.75,
        )  # fmt: skip
        if rng.random() < 0.2:
            invoice.own_method = rng.choice(list(world.cards))
        at = start + HOUR * rng.uniform(0, 240) * (number > 1)
        invoice.created = at - HOUR
        first.append((at, invoice))
    return Script(
        world, dials(rng), sequences(rng), first, start + DAY * rng.choice((30, 45, 70)),
        compares=rng.random() < 0.85 and not late, crashes=rng.choice((0, 0.03, 0.15)),
        trusts=rng.choice((0.97, 0.8, 0.5)), lag=rng.choice((0.1, 2, 24, 72)) if not late else 720,
    )  # fmt: skip


def add_card(world: World, name: str, *, default: bool, number: str = "") -> Card:
    """A new payment method; `number`: the same card again."""
    rng = world.rng
    again = next((one for one in world.cards.values() if one.number == number), None)
    kind = again.type if again else rng.choice(("card",) * 8 + ("us_bank_account", "sepa_debit"))
    brand = again.brand if again else rng.choice(BRANDS) if kind == "card" else ""
    expires = None
    if kind == "card":
        day = world.now.date() + DAY * rng.choice((10, 20, 400, 1000, -20))
        expires = (date(day.year + day.month // 12, day.month % 12 + 1, 1)) - DAY
    told = again is not None or rng.random() < 0.93
    card = Card(name, kind, brand, number or f"fp_{name}", expires, told, agreed=rng.random() < 0.6)
    world.cards[name] = card
    world.codes.setdefault(card.number, [failure(rng, card) for _ in range(rng.choice((1, 2, 5)))])
    if default:
        world.default = name
    return card


def failure(rng: random.Random, card: Card) -> PaymentFailure:
    """What a bank says: mostly what banks say mostly, else anything of the tables, codes together as they may come."""
    if card.type != "card":
        code = "insufficient_funds" if rng.random() < 0.55 else rng.choice(list(reasons.DEBITS))
        network = rng.choice(list(reasons.RETURNS[card.type])) if rng.random() < 0.3 else ""
        return PaymentFailure(code, "", network_decline_code=network, payment_method_type=card.type)
    how = rng.random()
    decline = rng.choice(COMMON) if how < 0.65 else rng.choice(list(reasons.DECLINES)) if how < 0.93 else ""
    code = "card_declined" if decline or how < 0.96 else rng.choice(list(reasons.ERROR_CODES))
    network = rng.choice(list(reasons.NETWORKS.get(card.brand, {"": 1}))) if rng.random() < 0.15 else ""
    advised = rng.choice(list(reasons.ADVICES)) if rng.random() < 0.12 else ""
    mastercard = rng.choice(list(reasons.MASTERCARD_ADVICES)) if rng.random() < 0.12 else ""
    risk = "highest" if rng.random() < 0.02 else ""
    lands = "IN" if rng.random() < 0.03 else "US"
    return PaymentFailure(
        code, decline, advised, network, mastercard, "blocked" if risk else "issuer_declined", risk, "", "card",
        card.brand, lands,
    )  # fmt: skip


def _earlier(world: World) -> None:
    """Attempts on an older invoice, given up since: the card is near its network's caps, or was declined for good."""
    rng, now = world.rng, world.now
    card = world.cards.get(world.default)
    count = rng.choice((0, 0, 0, 0, 3, 9, 12, 14, 33, 34))
    if card is None or card.type != "card" or not count:
        return
    old = Invoice("in_0", 100, world.currency, now - 40 * DAY, status="void")
    world.invoices["in_0"] = old
    days = rng.choice((0.9, 5, 29))
    for at in sorted(now - DAY * rng.uniform(0.01, days) for _ in range(count)):
        world.now = at
        old.status, world.luck, luck = "open", 0.0, world.luck
        kept, world.codes[card.number] = world.codes[card.number], [_soft(card)]
        charge = world.pay(old, card, "stripe")
        world.codes[card.number], world.luck, old.status = kept, luck, "void"
        assert charge is not None
        charge.heard = True
    old.next_attempt = None
    world.now = now


def _soft(card: Card) -> PaymentFailure:
    return PaymentFailure("card_declined", "insufficient_funds", payment_method_type="card", card_brand=card.brand)


def dials(rng: random.Random) -> dict[str, Any]:
    return {
        "retry_beside_stripe": rng.random() < 0.15,
        "escalate_after_attempts": rng.choice((4, 6, 20)),
        "notice_days": rng.choice((3, 7)),
        "grace_days": rng.choice((3, 7)),
        "soon_hours": rng.choice(((1, 6, 24), (1, 1, 1), (2,))),
        "contested_days": rng.choice(((3, 5), (1,), (2, 2, 2, 2))),
        "funds_days": rng.choice((1, 2, 4)),
        "quiet_from": rng.choice((18, 20, 22)),
        "quiet_until": rng.choice((7, 8, 9)),
        "messages_a_week": rng.choice((1, 2, 3, 5)),
        "propose_ahead_hours": rng.choice((2, 24, 48)),
        "message_before_retry_hours": rng.choice((0, 30)),
        "use_saved_methods": rng.random() < 0.8,
    }


def sequences(rng: random.Random) -> tuple[Sequence, ...]:
    """One, or the two arms of a test."""
    pool = valid_sequences()
    if rng.random() < 0.3:
        return (STANDARD,)
    return tuple(rng.sample(pool, rng.choice((1, 1, 2))))


@cache
def valid_sequences() -> tuple[Sequence, ...]:
    """A fixed draw of what a campaign's version may be: without an error of dunning.campaigns.validation."""
    rng, found = random.Random(20261122), []
    templates = set(texts.TEXTS)
    while len(found) < 60:
        one = _sequence(rng, len(found))
        if not validation.errors(validation.check(one, Segment(), templates=templates)):
            found.append(one)
    return tuple(found)


def _sequence(rng: random.Random, number: int) -> Sequence:
    fixed = rng.random() < 0.4
    window = rng.choice((14, 28, 45))
    entries = [Entry(0, steps.NOTIFY, needs=rng.choice(("", "customer")))]
    for day in sorted(rng.sample(range(1, 12), rng.choice((1, 2, 3)))):
        entries.append(
            Entry(day, steps.NOTIFY, template="reminder", tone=rng.choice(("friendly", "firm")))
            if rng.random() < 0.85
            else Entry(day, steps.NOTIFY, channel=rng.choice(("phone", "post")))
        )
    if rng.random() < 0.8:
        entries.append(Entry(12, steps.NOTIFY, template="last_notice", tone="final"))
    if rng.random() < 0.3:
        entries.append(Entry(rng.choice((1, 5)), steps.GRACE, days=rng.choice((3, 10))))
    if rng.random() < 0.4:
        entries.append(Entry(rng.choice((4, 9)), steps.PAUSE))
    if rng.random() < 0.3:
        entries.append(Entry(rng.choice((6, 14)), steps.DOWNGRADE, price="price_small"))
    if rng.random() < 0.4:
        entries.append(Entry(rng.choice((15, 20)), steps.UNCOLLECTIBLE))
    if rng.random() < 0.4:
        entries.append(Entry(rng.choice((16, 21)), steps.CANCEL, over={"eur": 100} if rng.random() < 0.1 else {}))
    if rng.random() < 0.6:
        entries.append(Entry(13, steps.ESCALATE))
    return Sequence(
        f"drawn_{number}", 1 + number % 3, Timing.FIXED if fixed else Timing.BY_REASON,
        tuple(sorted(rng.sample(range(1, 15), rng.choice((2, 3, 5))))) if fixed else (),
        window, rng.choice((4, 8, 15)), rng.choice((4, 6)),
        rng.choice((Stripe.ADVISE, Stripe.TAKE_OVER, Stripe.BESIDE)), tuple(entries),
    )  # fmt: skip
