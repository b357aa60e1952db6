"""One failed payment and everything that will decide about it, drawn once: the same for every policy.

`failure(seed, number, assumptions)` is a function of its arguments. What a policy may know stands in `Known`; the rest
of `Case` is the truth, for bank.py, engine.py and referee.py. Times are seconds since calendars.EPOCH.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from random import Random
from zoneinfo import ZoneInfo

from dunning.proof import calendars
from dunning.proof.assumptions import BRANDS, CURRENCIES, LANGUAGES, MEDIAN_AMOUNTS, PAYDAYS, ZONES, Assumptions, Shares
from dunning.proof.calendars import DAY, HOUR

HORIZON = 45 * DAY  # what is not paid by then counts as not recovered
MESSAGES = 16  # answers drawn per case; no policy writes that often

FUNDS, TRANSIENT, TECHNICAL, NEVER, CUSTOMER = "funds", "transient", "technical", "never", "customer"
_BEHAVIOUR = {
    "insufficient_funds": FUNDS,
    "card_velocity_exceeded": TRANSIENT,
    "processing_error": TECHNICAL,
    "issuer_not_available": TECHNICAL,
    "try_again_later": TECHNICAL,
    "authentication_required": CUSTOMER,
    "expired_card": NEVER,
    "incorrect_number": NEVER,
    "invalid_account": NEVER,
    "transaction_not_allowed": NEVER,
    "lost_card": NEVER,
    "stolen_card": NEVER,
    "pickup_card": NEVER,
    "revocation_of_authorization": NEVER,
    "account_closed": NEVER,
    "no_account": NEVER,
    "debit_not_authorized": NEVER,
}
_GROUPS = {
    "insufficient_funds": "no funds",
    "card_velocity_exceeded": "no funds",
    "do_not_honor": "no reason given",
    "generic_decline": "no reason given",
    "processing_error": "technical",
    "issuer_not_available": "technical",
    "try_again_later": "technical",
    "expired_card": "expired",
    "authentication_required": "authentication",
    "incorrect_number": "wrong data",
}
# Advice that comes with a code (share of its failures); Stripe: https://docs.stripe.com/declines/card
_ADVICE_LATER = 0.5
_ADVICE_NEVER = 0.25
# Mastercard's merchant advice codes 24 to 30 come with a share of its declines for missing funds (assumed).
_NETWORK_SHARE = 0.3
_NETWORK_WAIT = (("24", 1), ("25", 24), ("26", 48), ("27", 96), ("28", 144), ("29", 192), ("30", 240))


@dataclass(frozen=True, slots=True)
class Known:
    """What the platform sees of the failed payment: the part a policy may look at."""

    number: int
    invoice: str
    amount: int
    currency: str
    country: str
    language: str
    zone: str
    method_type: str
    brand: str
    expires: tuple[int, int] | None
    code: str
    advice_code: str
    network_advice_code: str
    failed_at: int
    earlier_attempts: tuple[int, ...]
    customer_since: int
    value: int
    recoveries: int
    losses: int
    paydays: tuple[int, ...]
    has_email: bool
    dispute_open: bool


@dataclass(frozen=True, slots=True)
class Case:
    """The whole truth about one failed payment.

    funded          when the account behind the method covers the amount: starts and ends, in order
    clears_at       from when on a transient or technical fault is gone (None: never)
    approval        chance of one attempt after that, drawn per four hours
    updated_at      when the network replaces the card by itself (None: never)
    answers         per message: (drawn number, seconds until they act, whether they pay at once)
    alone_at        when they would pay without any message (None: not within the horizon)
    leaves_at       when they would cancel anyway (None: not within the horizon)
    """

    known: Known
    behaviour: str
    group: str
    true_zone: str
    offset: int
    noise_key: int
    noise: float
    night_approval: float
    funded: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    clears_at: int | None = None
    approval: float = 1.0
    updated_at: int | None = None
    reads: bool = True
    stays: bool = True
    answer_chance: float = 0.0
    answers_decay: float = 1.0
    answers_crowded: float = 1.0
    answers: tuple[tuple[float, int, bool], ...] = ()
    fatigue: float = 0.0
    fatigue_draws: tuple[float, ...] = ()
    alone_at: int | None = None
    leaves_at: int | None = None
    new_card_works: bool = True
    dispute_base: float = 0.0
    dispute_more: float = 0.0
    dispute_draw: float = 1.0

    @property
    def is_debit(self) -> bool:
        return self.known.method_type != "card"

    def has_funds(self, at: int) -> bool:
        starts, ends = self.funded
        place = bisect_right(starts, at) - 1
        return place >= 0 and at < ends[place]


def pick(rng: Random, shares: Shares) -> str:
    mark = rng.random()
    for name, share in shares:
        mark -= share
        if mark < 0:
            return name
    return shares[-1][0]


def _lasting(rng: Random, median: float, spread: float) -> int:
    """Seconds, log-normal around a median in hours."""
    return int(median * HOUR * exp(rng.gauss(0, spread)))


def _within(rng: Random, start: int, mean_days: float) -> int | None:
    """An exponential waiting time; None when it ends after the horizon."""
    if mean_days <= 0:
        return None
    wait = int(rng.expovariate(1 / mean_days) * DAY)
    return start + wait if wait < HORIZON else None


def failure(seed: int, number: int, world: Assumptions) -> Case:
    """The `number`-th failed payment of the world. The same for the same arguments, whatever else is drawn."""
    rng = Random(seed * 1_000_003 + number)  # noqa: S311 - a simulation, not a secret
    country = pick(rng, world.countries)
    currency = CURRENCIES[country]
    debit = ""
    if rng.random() < world.debit_share and currency in ("eur", "usd"):
        debit = "sepa_debit" if currency == "eur" else "us_bank_account"
    code = pick(rng, world.debit_reasons if debit else world.card_reasons)
    unnamed = rng.random()
    behaviour = _BEHAVIOUR.get(code, "")
    if not behaviour:  # the bank gives no reason
        if unnamed < world.unnamed_funds_share:
            behaviour = FUNDS
        elif unnamed < world.unnamed_funds_share + world.unnamed_transient_share:
            behaviour = TRANSIENT
        else:
            behaviour = NEVER
    zone = pick(rng, ZONES[country])
    zone_known = rng.random() < world.zone_known_share
    amount = max(100, int(MEDIAN_AMOUNTS[currency] * exp(rng.gauss(0, 0.9))))
    at = rng.randrange(0, 365 * DAY)
    offset = int(ZoneInfo(zone).utcoffset(calendars.moment(at)).total_seconds())  # type: ignore[union-attr]
    brand = "" if debit else pick(rng, BRANDS)
    funded: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    on_credit = not debit and rng.random() < world.credit_share
    if behaviour == FUNDS:
        at, funded = _without_funds(rng, world, country, at, offset, on_credit=on_credit)
    tenure = min(int(rng.expovariate(1 / 500)) + 31, 2000)
    months = tenure // 30
    clears, approval = _clearing(rng, world, behaviour, code, at)
    updated = None
    if behaviour == NEVER and not debit:
        share = world.updater_expired if code == "expired_card" else world.updater_hard
        wait = rng.expovariate(1 / world.updater_days)
        if rng.random() < share and wait * DAY < HORIZON:
            updated = at + int(wait * DAY)
    reads, stays = rng.random() < world.reads_share, rng.random() < world.stays_share
    if code in ("revocation_of_authorization", "debit_not_authorized"):
        stays = stays and rng.random() < 0.3  # they told their bank to stop paying (assumed)
    alone = _within(rng, at, 1 / world.pays_alone_per_day)
    leaves = _within(rng, at, 1 / (world.leaves_per_day if stays else world.leaving_per_day))
    has_email = rng.random() >= world.no_email_share
    answers = tuple(
        (rng.random(), 60 + _lasting(rng, world.answer_hours, 1.2), rng.random() < world.pays_at_once)
        for _ in range(MESSAGES)
    )
    advice, network = _advice(rng, code, behaviour, brand)
    # Attempts on the same card for other invoices, within the last 30 days: they count towards the networks' caps.
    earlier = tuple(sorted(at - rng.randrange(DAY, 30 * DAY) for _ in range(_earlier(rng)))) if not debit else ()
    recoveries = sum(rng.random() < 0.04 for _ in range(min(months, 24)))
    expiry = None if debit else _expiry(rng, code, at)
    known = Known(
        number=number,
        invoice=f"in_{number}",
        amount=amount,
        currency=currency,
        country=country.upper(),
        language=LANGUAGES[country],
        zone=zone if zone_known else "",
        method_type=debit or "card",
        brand=brand,
        expires=expiry,
        code=code,
        advice_code=advice,
        network_advice_code=network,
        failed_at=at,
        earlier_attempts=earlier,
        customer_since=at - tenure * DAY,
        value=amount * months,
        recoveries=recoveries,
        losses=int(rng.random() < 0.02),
        paydays=_days_recovered(at, offset, funded, months) if behaviour == FUNDS else (),
        has_email=has_email,
        dispute_open=rng.random() < world.dispute_open_share,
    )
    act = behaviour in (NEVER, CUSTOMER)
    return Case(
        known=known,
        behaviour=behaviour,
        group=_GROUPS.get(code, "lost, closed, revoked"),
        true_zone=zone,
        offset=offset,
        noise_key=rng.getrandbits(63),
        noise=world.noise,
        night_approval=world.night_approval,
        funded=funded,
        clears_at=clears,
        approval=approval,
        updated_at=updated,
        reads=reads,
        stays=stays,
        answer_chance=world.answers_must_act if act else world.answers_bank,
        answers_decay=world.answers_decay,
        answers_crowded=world.answers_crowded,
        answers=answers,
        fatigue=world.fatigue,
        fatigue_draws=tuple(rng.random() for _ in range(MESSAGES)),
        alone_at=alone if stays else None,
        leaves_at=leaves,
        new_card_works=rng.random() < world.new_card_works,
        dispute_base=0.25 if known.dispute_open else world.disputes,
        dispute_more=world.disputes_more,
        dispute_draw=rng.random(),
    )


def _earlier(rng: Random) -> int:
    mark = rng.random()
    return 0 if mark < 0.85 else 1 if mark < 0.95 else 3 if mark < 0.99 else 11


def _expiry(rng: Random, code: str, at: int) -> tuple[int, int]:
    months = -1 if code == "expired_card" else rng.randrange(2, 48)
    when = calendars.moment(at)
    index = when.year * 12 + when.month - 1 + months
    return index // 12, index % 12 + 1


def _clearing(rng: Random, world: Assumptions, behaviour: str, code: str, at: int) -> tuple[int | None, float]:
    if behaviour == TECHNICAL:
        wait = _lasting(rng, world.technical_hours, 1.3)
        return (None if rng.random() < world.technical_stuck else at + wait), 1.0
    if behaviour == TRANSIENT:
        if code == "card_velocity_exceeded":  # limits of a day, else of a month
            wait = rng.randrange(2 * HOUR, 26 * HOUR) if rng.random() < 0.6 else rng.randrange(DAY, 25 * DAY)
            return at + wait, 1.0
        return at + _lasting(rng, world.transient_hours, 1.2), world.transient_approval
    return None, 1.0


def _advice(rng: Random, code: str, behaviour: str, brand: str) -> tuple[str, str]:
    mark, network, which = rng.random(), rng.random(), rng.random()
    advice = ""
    if code in ("do_not_honor", "generic_decline"):
        if behaviour == NEVER and mark < _ADVICE_NEVER:
            advice = "do_not_try_again"
        elif behaviour != NEVER and mark < _ADVICE_LATER:
            advice = "try_again_later"
    elif code == "insufficient_funds" and mark < _ADVICE_LATER:
        advice = "try_again_later"
    elif code == "incorrect_number":
        advice = "confirm_card_data"
    found = ""
    if brand == "mastercard" and behaviour == FUNDS and network < _NETWORK_SHARE:
        found = _NETWORK_WAIT[int(which * len(_NETWORK_WAIT))][0]
    return advice, found


def _without_funds(
    rng: Random, world: Assumptions, country: str, at: int, offset: int, *, on_credit: bool
) -> tuple[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """When the account covers the amount, around a moment at which it does not.

    Money comes on paydays, and lasts for a part of the time until the next one: a part of their own, different from
    period to period. The failure's moment is drawn again until it falls where the money is missing, so that those who
    are short of it more often fail more often. A credit card's limit is free again when its bill is paid, monthly.
    """
    usual = min(max(rng.gauss(world.funded_mean, 0.25), 0.03), 0.97)
    kind = "credit" if on_credit else pick(rng, PAYDAYS[country])
    irregular = rng.random() < world.irregular_share
    phase, dom, hour = rng.randrange(2), rng.randrange(1, 29), rng.choice((0, 0, 3, 6, 9)) * HOUR
    empty = rng.random() < world.empty_share
    span = HORIZON // DAY + 12
    for _ in range(40):
        today = at // DAY
        first, last = today - 220, today + span
        if irregular:
            days: list[int] = []
            day = float(first)
            while day < last:
                days.append(int(day))
                day += 1 + rng.expovariate(1 / 9)
        else:
            table = calendars.monthly(dom) if on_credit else calendars.by_calendar(kind, phase)
            days = [day for day in table if first <= day <= last]
        starts, ends = [], []
        for one, following in pairwise(days):
            part = min(max(rng.gauss(usual, world.funded_spread), 0.0), 1.0)
            if empty and one >= today - 20:
                part = 0.0
            start = one * DAY + hour - offset
            end = start + int(part * ((following - one) * DAY))
            if part > 0:
                starts.append(start)
                ends.append(end)
        if not _covers(starts, ends, at):
            break
        at = rng.randrange(0, 365 * DAY)
    if not empty:
        _top_up(rng, world, starts, ends, at)
    return at, (tuple(starts), tuple(ends))


def _covers(starts: Sequence[int], ends: Sequence[int], at: int) -> bool:
    place = bisect_right(starts, at) - 1
    return place >= 0 and at < ends[place]


def _top_up(rng: Random, world: Assumptions, starts: list[int], ends: list[int], at: int) -> None:
    """Money that comes on other days: a transfer, a sale. Merged into the intervals, after the failure only."""
    moment = at + int(rng.expovariate(world.topups_per_day) * DAY)
    found = list(zip(starts, ends, strict=True))
    while moment < at + HORIZON:
        found.append((moment, moment + int(rng.expovariate(1 / world.topup_hours) * HOUR)))
        moment += int(rng.expovariate(world.topups_per_day) * DAY) + 1
    found.sort()
    starts.clear()
    ends.clear()
    for start, end in found:
        if starts and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        elif end > start:
            starts.append(start)
            ends.append(end)


def _days_recovered(
    at: int, offset: int, funded: tuple[tuple[int, ...], tuple[int, ...]], months: int
) -> tuple[int, ...]:
    """What dunning/loading.py would have learnt: days of the month on which earlier lacks of funds were made good, at
    least twice, the two most frequent. Earlier failures were tried again on days 3, 5, 7, 14 and 21, as by a ladder."""
    counts: dict[int, int] = {}
    today = (at + offset) // DAY
    clock = at + offset - today * DAY
    same = [day for day in calendars.monthly(min(calendars.day_of_month(today), 28)) if day < today - 20]
    for billed in same[-min(months, 6) :]:
        moments = [billed * DAY + clock - offset + wait * DAY for wait in (0, 3, 5, 7, 14, 21)]
        paid = next((moment for moment in moments if _covers(*funded, moment)), None)
        if paid is not None and paid != moments[0]:
            day = calendars.day_of_month((paid + offset) // DAY)
            counts[day] = counts.get(day, 0) + 1
    often = sorted((day for day in counts if counts[day] >= 2), key=lambda day: (-counts[day], day))
    return tuple(often[:2])
