"""Judges every act of the house from the truth, with rules and tables of its own: nothing of dunning.plan,
dunning.reasons or dunning.contact is imported, so that a mistake made there shows here.

What the house could not know is counted apart (`unheard`), never passed over: the hour of a customer of whom neither
X
house asks Stripe.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dunning.proof import sources

if TYPE_CHECKING:
    from tests.dunning_histories.world import Card, Charge, Invoice, World

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
# Never again without another card, whatever invoice. dunning.proof.sources says where each is published; the last:
# "Stripe blocks", https://docs.stripe.com/declines/codes (fraudulent, merchant_blacklist).
OF_THE_INVOICE = frozenset({"authentication_required", "expired_card", "incorrect_number"})  # the customer can lift it
FOR_GOOD = (sources.HARD - OF_THE_INVOICE) | {sources.ADVISED_AGAINST, "fraudulent", "merchant_blacklist"}
# Visa's category 1, never to be approved: https://developers.tabapay.com/docs/excessive-retry-rules
VISA_NEVER = frozenset({"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"})
# Mastercard's advice: https://docs.stripe.com/declines/network-codes (03, 21: do not try again)
MASTERCARD_NEVER = frozenset({"03", "21"})
# Nacha: https://www.nacha.org/rules (R02 closed, R03 no account, R04 invalid, R07, R10, R29 not authorised)
ACH_NEVER = frozenset({"R02", "R03", "R04", "R07", "R10", "R29"})
SEPA_NEVER = frozenset({"AC01", "AC04", "MD01", "MD06"})
TIMES = {"us_bank_account": 2, "sepa_debit": 2}  # more presentments of one debit: dunning.proof.sources
FINAL_WORDS = "last_notice"
MEASURES = ("pause_collection", "downgrade_subscription", "mark_uncollectible", "cancel_subscription")


class Broken(AssertionError):
    """A rule was broken: the history is what is looked for."""


@dataclass
class Referee:
    """`quiet`: (from, until) local hours; `a_week`: messages in any seven days; `days`: a measure's first day."""

    world: World
    quiet: tuple[int, int]
    a_week: int
    rules: dict[str, tuple[int, dict[str, int]]] = field(default_factory=dict)  # invoice → (attempts, measure → day)
    complained: bool = False
    moved: bool = False
    no_mail: str = ""
    sent: list[datetime] = field(default_factory=list)
    heard_dispute: bool = False
    held: dict[str, str] = field(default_factory=dict)  # invoice → what a person holds it with
    unheard: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)

    # -- a charge ----------------------------------------------------------------------------------------------------

    def charge(self, invoice: Invoice, card: Card) -> None:
        """At the moment before the money moves. What Stripe could have told counts, its event heard of or not."""
        world, now = self.world, self.world.now
        self._ended(invoice, "charged")
        self._contested("charged")
        self._held(invoice, "charged")
        demand(invoice.pending is None, f"{invoice.id}: a second charge while one is under way")
        demand(invoice.automatic, f"{invoice.id}: charged though the customer pays it by hand")
        demand(card.id in world.cards, f"{invoice.id}: {card.id} is gone")
        first = world.on_file(invoice)
        demand(card.agreed or card is first, f"{invoice.id}: {card.id} may not be charged while they are away")
        demand(card.expires is None or card.expires >= now.date(), f"{invoice.id}: {card.id} expired {card.expires}")
        same = [one for one in world.charges if one.number == card.number and one.failed and one.known_at <= now]
        for one in same:
            demand(not forbids(one), f"{invoice.id}: {card.number} was declined for good: {one}; charged at {now}")
        mine = [one for one in same if one.invoice == invoice.id]
        if mine and code_of(mine[-1]) & OF_THE_INVOICE:
            was, now_until = mine[-1].expires, card.expires
            renewed = "expired_card" in code_of(mine[-1]) and was is not None and now_until is not None
            longer = renewed and now_until > was  # type: ignore[operator]
            demand(longer, f"{invoice.id}: {card.id} is charged again after {code_of(mine[-1])}")
        if card.type == "card":
            self._caps(card, same)
        else:
            demand(len(mine) <= TIMES[card.type], f"{invoice.id}: a debit presented {len(mine) + 1} times")
        tried = [one for one in invoice.charges if one.known_at <= now]
        # Not tried for a month, and another card than the last, or valid for longer: put forward anew.
        last = tried[-1] if tried else None
        longer = last is not None and bool(last.expires and card.expires and card.expires > last.expires)
        other = last is not None and last.number != card.number
        anew = (other or longer) and not any(one.at > now - 30 * DAY for one in mine)
        if tried and tried[0].number == card.number and not anew:
            count = sum(one.failed for one in tried)
            demand(
                count < self.rules[invoice.id][0], f"{invoice.id}: attempt {count + 1} of {self.rules[invoice.id][0]}"
            )

    def _caps(self, card: Card, same: list[Charge]) -> None:
        now, brand = self.world.now, card.brand
        most = sources.CAP_MONTH.get(brand, sources.CAP_MONTH_OTHERS)
        month = [one for one in same if one.at > now - 30 * DAY]
        day = [one for one in same if one.at > now - DAY]
        daily = sources.CAP_DAY.get(brand, 1 << 30)
        demand(
            len(month) < most and len(day) < daily,
            f"{card.number} ({brand}): {len(month)} in 30 days, {len(day)} in one, and one more at {now}",
        )

    # -- a message ---------------------------------------------------------------------------------------------------

    def message(self, invoice: Invoice, about: list[Invoice], params: dict[str, Any], *, by_mail: bool) -> None:
        now = self.world.now
        for one in about:
            self._ended(one, "written about")
        self._contested("written to")
        paid = [one for one in self.world.charges if not one.failed and now - HOUR <= one.known_at <= now]
        demand(not paid, f"written to at {now} within an hour of {paid}")
        self._held(invoice, "written to")
        first = not self.told[invoice.id]
        demand(
            not first or (params["tone"] != "final" and not params["template"].endswith(FINAL_WORDS)),
            f"{invoice.id}: a last notice is the first word",
        )
        for one in about:
            self.told[one.id] += 1
        if not by_mail:
            return
        demand(not self.no_mail, f"written to though: {self.no_mail}")
        self._hours(now)
        for one in self.sent:
            demand(now - one >= DAY, f"messages at {one} and {now}")
            if self.world.zone or self.world.country:
                place = self._place()
                same = one.astimezone(place).date() == now.astimezone(place).date()
                demand(not same, f"messages at {one} and {now}, one day where they live")
        week = [one for one in self.sent if one > now - 7 * DAY]
        demand(len(week) < self.a_week, f"message {len(week) + 1} of a week at {now}")
        self.sent.append(now)

    def repeated(self, before: datetime) -> None:
        """A person wants a message once more, of which nobody can tell whether it went out: same Message-ID."""
        self.sent.remove(before)
        self.unheard["repeats of a message whose sending nobody can tell"] += 1

    def _place(self) -> ZoneInfo:
        return ZoneInfo(self.world.place)

    def _hours(self, now: datetime) -> None:
        start, end = self.quiet
        hour = now.astimezone(self._place()).hour
        quiet = start <= hour < end if start <= end else hour >= start or hour < end
        if quiet and not self.world.zone and self.world.country in ("", "RU"):
            self.unheard["night where nobody knows the zone"] += 1  # eleven zones leave no hour in common
            return
        demand(not quiet, f"a message at {now}: {hour} o'clock in {self.world.place}")

    # -- a measure ---------------------------------------------------------------------------------------------------

    def measure(self, kind: str, invoice: Invoice) -> None:
        self._ended(invoice, kind)
        self._contested(kind)
        self._held(invoice, kind)
        first = invoice.first_failed_at or invoice.created
        place = self._place() if self.world.zone else ZoneInfo("UTC")
        since = (self.world.now.astimezone(place).date() - first.astimezone(place).date()).days
        slack = 0 if self.world.zone and not self.moved else 1  # it was planned where they lived then
        least = self.rules[invoice.id][1].get(kind)
        demand(least is not None, f"{invoice.id}: {kind}, which the sequence does not name")
        assert least is not None
        demand(since + slack >= least, f"{invoice.id}: {kind} on day {since}, its day is {least}")
        if kind in ("mark_uncollectible", "cancel_subscription"):
            self.unheard["final measures before any message"] += not self.told[invoice.id]

    # -- what they share ---------------------------------------------------------------------------------------------

    def _ended(self, invoice: Invoice, what: str) -> None:
        demand(invoice.owed, f"{invoice.id}: {what} while it is {invoice.status}")
        world = self.world
        demand(world.cancelled_at is None, f"{invoice.id}: {what} after its subscription was cancelled")

    def _contested(self, what: str) -> None:
        demand(not self.complained, f"{what} though they have complained")
        demand(not self.world.disputes, f"{what} in an open dispute")

    def _held(self, invoice: Invoice, what: str) -> None:
        why = self.held.get(invoice.id, "")
        if why.startswith("promise:"):
            until = datetime.fromisoformat(why.partition(":")[2])
            why = why if self.world.now < until else ""
        demand(not why, f"{invoice.id}: {what} at {self.world.now} though a person noted {why}")


def code_of(charge: Charge) -> set[str]:
    assert charge.failure is not None
    return {charge.failure.decline_code, charge.failure.code, charge.failure.advice_code} - {""}


def forbids(charge: Charge) -> bool:
    """Whether that decline forbids every further charge of the card."""
    failure, kind = charge.failure, charge.card.type
    assert failure is not None
    if code_of(charge) & FOR_GOOD:
        return True
    if kind == "us_bank_account":
        return failure.network_decline_code in ACH_NEVER
    if kind == "sepa_debit":
        return failure.network_decline_code in SEPA_NEVER
    if charge.card.brand == "visa":
        return failure.network_decline_code in VISA_NEVER
    return charge.card.brand == "mastercard" and failure.network_advice_code in MASTERCARD_NEVER


def demand(holds: bool, sentence: str) -> None:
    if not holds:
        raise Broken(sentence)


__all__ = ["MEASURES", "UTC", "Broken", "Referee", "demand"]
