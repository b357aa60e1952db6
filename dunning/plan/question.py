"""One case as its planner sees it: the facts, the sequence, the dials, the time, and what follows from them at once.
Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from billingops.money import exceeds, format_money
from billingops.stripe.facts import PaymentFailure, PaymentMethodFacts
from dunning import reasons
from dunning.config import RuleConfig
from dunning.plan import calendar, caps, words
from dunning.plan.facts import Method, PlanFacts
from dunning.plan.sequences import Sequence
from dunning.reasons import Category, Verdict

RUNNING = ("active", "trialing", "past_due", "unpaid")  # a subscription that still gives service
ENDED = ("canceled", "incomplete_expired")  # for good: its invoices are no longer dunned
EXPIRED = ("expired_card", "invalid_expiry_month", "invalid_expiry_year")
CARD_LIKE = ("", "card", "link")  # Link hides which card it charges, and a type nobody names may be a card


def is_another(failed: PaymentMethodFacts | Method, other: PaymentMethodFacts | Method) -> bool:
    """Whether `other` is known to be something else than what failed. In doubt it is the same."""
    if not failed.id or not other.id:
        return False
    if failed.fingerprint and other.fingerprint:
        # Even under one id: the network may have told Stripe the number of the card that came in its place.
        return failed.fingerprint != other.fingerprint
    if failed.id == other.id:
        return False
    return not (failed.type in CARD_LIKE and other.type in CARD_LIKE)


def brand_of(method: Method, facts: PlanFacts) -> str:
    """The method's network: as it is stored, or as the failed charge of this very method says; else "", which has the
    strictest cap."""
    return method.brand or (facts.failure.card_brand if method.id == facts.failure.payment_method_id else "")


def is_renewed(failure: PaymentFailure, failed: Method, other: Method) -> bool:
    """Whether `other` is the card that had expired, valid for longer now: same number, later day."""
    if reasons.judge(failure).code not in EXPIRED or failed.expires is None or other.expires is None:
        return False
    return failed.id == other.id and other.expires > failed.expires


@dataclass(frozen=True)
class Question:
    """`start`: nothing takes effect earlier (a promise, a snooze, or now)."""

    facts: PlanFacts
    sequence: Sequence
    config: RuleConfig
    now: datetime

    @cached_property
    def verdict(self) -> Verdict:
        return reasons.judge(self.facts.failure)

    @cached_property
    def start(self) -> datetime:
        waits = [moment for moment in (self.facts.snoozed_until, self.facts.promised_until) if moment]
        return max([self.now, *waits])

    @cached_property
    def window_ends(self) -> datetime:
        return self.facts.first_failed_at + timedelta(days=self.sequence.window_days)

    @cached_property
    def has_new_method(self) -> bool:
        """Whether another card or account would be charged now than the one that failed, or the same card renewed."""
        facts = self.facts
        return is_another(facts.failed, facts.on_file) or is_renewed(facts.failure, facts.failed, facts.on_file)

    @property
    def stripe_tries_itself(self) -> bool:
        at = self.facts.next_payment_attempt
        return at is not None and at > self.now

    @cached_property
    def refused_until(self) -> datetime | None:
        """Until when a person's no to charging what is on file is not questioned; None without one. A newer failure is
        another question, and so is another payment method."""
        at = self.facts.refused_retries.get(self.facts.on_file.id)
        if at is None or at < self.facts.failed_at:
            return None
        until = at + timedelta(days=self.config.notice_days)
        return until if until > self.now else None

    def may_charge(self, method: Method) -> bool:
        """Whether that method may be charged at all: there, agreed to, not expired, never declined for good."""
        if not method.id or not method.consent or method.refused or not self.facts.automatic:
            return False
        return method.expires is None or method.expires >= self.now.date()

    def cap_of(self, method: Method) -> str:
        """The network's cap that forbids one more charge now, in words, or ""."""
        if method.type not in CARD_LIKE:
            return ""
        return caps.used_up(brand_of(method, self.facts), method.attempts, self.now)

    @cached_property
    def good_customer(self) -> bool:
        """Long with the platform, and no invoice of theirs was ever given up."""
        since = self.facts.customer_since
        if since is None or self.facts.losses:
            return False
        return self.now - since >= timedelta(days=self.config.good_customer_days)

    @property
    def in_grace(self) -> bool:
        """Whether a grace period of the subscription runs, whichever of its cases was given it."""
        ends = (self.facts.grace_until, self.facts.grace_on_file)
        return any(end is not None and end > self.now for end in ends)

    @cached_property
    def offers_grace(self) -> bool:
        """Whether a good customer's service is left on while Stripe tries by itself; once, after the first failure."""
        facts = self.facts
        if facts.subscription_status not in RUNNING or facts.grace_until is not None or facts.attempt_count > 1:
            return False
        if self.in_grace:
            return False  # another case of the subscription was given one; ours would move its end
        if facts.is_done("grace"):
            return False  # a person did not want it
        return self.verdict.may_retry and self.stripe_tries_itself and self.good_customer

    @cached_property
    def is_large(self) -> bool:
        return exceeds(self.facts.amount_remaining, self.facts.currency, self.config.escalate_over)

    @cached_property
    def pressing(self) -> tuple[str, str] | None:
        """Why a person should look at the case rather than the next automatic step; (reason code, words)."""
        facts = self.facts
        if facts.dispute_open:
            return "dispute_open", (
                "The customer has an open dispute; nothing is charged or sent until a person has looked."
            )
        if facts.complaint_open:
            return "complaint_open", "The customer has complained; nothing is charged or sent until that is settled."
        if facts.subscription_status in ENDED:
            return "subscription_ended", (
                "Its subscription has ended, so nothing is charged or sent; what is owed is for a person to decide."
            )
        if self.is_large:
            limit = format_money(self.config.escalate_over[facts.currency], facts.currency)
            return "large_amount", f"The open amount is above {limit}, so a person should look at it first."
        if self.verdict.category == Category.OURS:
            return "ours_to_correct", (
                f"The cause is on our side: {self.verdict.words}. Neither a retry nor a message helps."
            )
        most = min(self.config.escalate_after_attempts, self.sequence.max_attempts)
        if facts.attempt_count >= most and not self.stripe_tries_itself:
            return "attempts_used", (
                f"{facts.attempt_count} attempts have failed; another automatic step hardly helps."
            )
        return None

    @cached_property
    def presses(self) -> bool:
        """Whether a person has yet to look for that reason. Once they have, the sequence goes on, unless the cause is
        ours: then nothing but their work helps."""
        if self.pressing is None:
            return False
        return self.is_ours or not self.facts.is_done(f"pressing:{self.pressing[0]}")

    @property
    def is_ours(self) -> bool:
        return self.verdict.category == Category.OURS

    @cached_property
    def flags(self) -> tuple[tuple[str, str], ...]:
        """(code, text) of what a reviewer should know."""
        facts, on_file, found = self.facts, self.facts.on_file, []
        if self.verdict.secret:
            found.append(("reason_secret", "The reason of this decline must not be told to the customer."))
        if on_file.id and (cap := self.cap_of(on_file)):
            found.append(("network_cap", f"No further attempt on this card: {cap}."))
        if on_file.refused:
            found.append(("refused_for_good", f"The card on file must not be charged again: {on_file.refused}."))
        if on_file.id and not on_file.consent:
            found.append(("no_consent", "The payment method on file may not be charged while the customer is away."))
        if facts.dispute_open:
            found.append(("dispute_open", "The customer has an open dispute."))
        if facts.complaint_open:
            found.append(("complaint_open", "The customer has complained."))
        if self.is_large:
            amount = format_money(facts.amount_remaining, facts.currency)
            found.append(("large_amount", f"{amount} is above the limit from which a person looks first."))
        if facts.losses:
            found.append(("earlier_losses", f"{facts.losses} earlier invoice(s) of this customer were given up."))
        if facts.promises_broken:
            found.append(("promise_broken", f"{facts.promises_broken} promise(s) to pay were not kept."))
        if facts.bundle:
            found.append(("bundle", f"{len(facts.bundle)} more invoice(s) of this customer are overdue."))
        return tuple(found)

    def reaches(self, channel: str) -> bool:
        return not self.facts.unreachable.get(channel, "")

    def open_hours(self, moment: datetime) -> datetime:
        """The first moment from then on at which this customer may be written to."""
        facts = self.facts
        return calendar.next_open(
            moment,
            facts.zone,
            facts.country,
            quiet_from=self.config.quiet_from,
            quiet_until=self.config.quiet_until,
        )

    def nine_of(self, day_number: int) -> datetime:
        """09:00 local of that day of the sequence; day 0 is the day of the first failure."""
        facts = self.facts
        first = calendar.local_day(facts.first_failed_at, facts.zone, facts.country)
        return calendar.morning_of(first + timedelta(days=day_number), facts.zone, facts.country)

    def later(self, moment: datetime) -> datetime | None:
        """None ("as soon as approved") for a moment that is not ahead."""
        return moment if moment > self.now else None


__all__ = ["CARD_LIKE", "RUNNING", "Question", "brand_of", "is_another", "is_renewed", "words"]
