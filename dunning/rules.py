"""What may be done about one failed payment, best first. Pure: no database, no network, no clock.

`permitted` lists every action that the rules allow, the rules' own choice first; an agent may choose another one of the
list and nothing else. `decide` is that first choice. Nothing here ever proposes to charge a payment method again that a
bank, a network or Stripe has said never to charge again; another payment method lifts that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from billingops.money import exceeds, format_money
from billingops.stripe.facts import PaymentFailure, PaymentMethodFacts
from dunning import reasons, schedule
from dunning.config import RuleConfig
from dunning.reasons import Category, Verdict

VERSION = "rules dunning v1"
RETRY, NOTIFY, GRACE, ESCALATE = "retry_payment", "notify_customer", "grace_period", "escalate"
CARD_LIKE = ("", "card", "link")  # Link hides which card it charges, and a type nobody names may be a card


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """What the rules may know beside the failure. Amounts in minor units of `currency`, times aware.

    attempt_count       failed attempts on the invoice: Stripe's count, and those by hand that it leaves out
    next_payment_attempt  when Stripe tries again by itself, None when it does not
    method_on_file      the payment method that a charge would use now, "" when there is none; with its `method_*`
    failed_fingerprint  of the card or account that failed, "" when it is not known
    notices_sent        messages of this case that went out
    card_attempts_*     declined charges of the card that a charge would use now, Stripe's own included
    refused_for_good    how that card was declined once so that it must never be charged again, "" when it was not
    recoveries, losses  earlier cases of this customer that ended paid, or unpaid
    """

    status: str
    amount_remaining: int
    currency: str
    attempt_count: int
    next_payment_attempt: datetime | None = None
    automatic: bool = True
    has_subscription: bool = False
    method_on_file: str = ""
    method_type: str = ""
    method_brand: str = ""
    method_fingerprint: str = ""
    failed_fingerprint: str = ""
    has_email: bool = True
    notices_sent: int = 0
    last_notice_at: datetime | None = None
    grace_until: datetime | None = None
    customer_since: datetime | None = None
    recoveries: int = 0
    losses: int = 0
    dispute_open: bool = False
    card_attempts_day: int = 0
    card_attempts_30_days: int = 0
    refused_for_good: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One permitted action. `when` is for a retry (None: now), `template` for a message, `days`/`until` for grace.

    `confidence` stays None: the rules have no measured hit rate to base a figure on.
    """

    kind: str
    reason_code: str
    rationale: str
    when: datetime | None = None
    template: str = ""
    days: int = 0
    until: datetime | None = None
    deadline: datetime | None = None
    flags: tuple[tuple[str, str], ...] = field(default=())
    version: str = VERSION
    confidence: None = None


def decide(failure: PaymentFailure, history: CaseHistory, config: RuleConfig, now: datetime) -> Proposal | None:
    """The rules' own choice; None when nothing is owed any more."""
    options = permitted(failure, history, config, now)
    return options[0] if options else None


def permitted(failure: PaymentFailure, history: CaseHistory, config: RuleConfig, now: datetime) -> list[Proposal]:
    """Every action the rules allow, at most one of each kind, their own choice first; [] when nothing is owed."""
    if history.status != "open" or history.amount_remaining <= 0:
        return []
    verdict = reasons.judge(failure)
    flags = _flags(verdict, failure, history, config)
    pressing = _pressing(verdict, history, config)
    hand_over = _escalate(verdict, history, pressing, flags)
    if history.dispute_open:
        return [hand_over]  # whoever disputes a charge hears from a person, and is not charged meanwhile
    retry = _retry(verdict, failure, history, config, now, flags)
    notice = _notify(verdict, history, config, now, flags)
    grace = _grace(verdict, history, config, now, flags)
    over_amount = exceeds(history.amount_remaining, history.currency, config.escalate_over)
    new_method = retry is not None and _has_new_method(failure, history)
    if pressing and (over_amount or not new_method):
        order = [hand_over, retry, notice, grace]
    elif new_method:
        order = [retry, notice, hand_over]
    elif grace and history.attempt_count <= 1:
        order = [grace, retry, notice, hand_over]
    else:
        order = [retry, notice, hand_over, grace]
    return [option for option in order if option is not None]


def stripe_tries_itself(history: CaseHistory, now: datetime) -> bool:
    return history.next_payment_attempt is not None and history.next_payment_attempt > now


def is_good_customer(history: CaseHistory, config: RuleConfig, now: datetime) -> bool:
    """Long with the platform, and no invoice of theirs was ever given up."""
    if history.customer_since is None or history.losses:
        return False
    return now - history.customer_since >= timedelta(days=config.good_customer_days)


def is_card_like(method: PaymentMethodFacts) -> bool:
    return method.type in CARD_LIKE


def is_another(failed: PaymentMethodFacts, on_file: PaymentMethodFacts) -> bool:
    """Whether `on_file` is known to be something else than what failed. In doubt it is the same."""
    if not failed.id or not on_file.id or failed.id == on_file.id:
        return False
    if failed.fingerprint and on_file.fingerprint:
        return failed.fingerprint != on_file.fingerprint
    return not (is_card_like(failed) and is_card_like(on_file))


def _has_new_method(failure: PaymentFailure, history: CaseHistory) -> bool:
    failed = PaymentMethodFacts(
        failure.payment_method_id, failure.payment_method_type, failure.card_brand, history.failed_fingerprint
    )
    on_file = PaymentMethodFacts(
        history.method_on_file, history.method_type, history.method_brand, history.method_fingerprint
    )
    return is_another(failed, on_file)


def _over_cap(failure: PaymentFailure, history: CaseHistory) -> str:
    """The cap that forbids one more charge of the card that would be charged, in words, or ""."""
    return schedule.over_cap(
        history.method_brand or failure.card_brand,
        last_day=history.card_attempts_day,
        last_30_days=history.card_attempts_30_days,
    )


def _pressing(verdict: Verdict, history: CaseHistory, config: RuleConfig) -> tuple[str, str] | None:
    """Why a person should look at the case rather than the next automatic step; (reason code, words)."""
    if history.dispute_open:
        return "dispute_open", "The customer has an open dispute; nothing is charged or sent until a person has looked."
    if exceeds(history.amount_remaining, history.currency, config.escalate_over):
        limit = format_money(config.escalate_over[history.currency], history.currency)
        return "large_amount", f"The open amount is above {limit}, so a person should look at it first."
    if verdict.category == Category.OURS:
        return "ours_to_correct", f"The cause is on our side: {verdict.words}. Neither a retry nor a message helps."
    if history.attempt_count >= config.escalate_after_attempts:
        return (
            "attempts_used",
            f"{history.attempt_count} attempts have failed; another automatic step hardly helps.",
        )
    return None


def _retry(
    verdict: Verdict,
    failure: PaymentFailure,
    history: CaseHistory,
    config: RuleConfig,
    now: datetime,
    flags: tuple[tuple[str, str], ...],
) -> Proposal | None:
    if not history.automatic:
        return None  # the customer pays such invoices by hand; charging them is not agreed
    if history.refused_for_good or _over_cap(failure, history):
        return None  # this card, whatever its id, and however it came to be on file
    if _has_new_method(failure, history):
        return Proposal(
            RETRY,
            "new_payment_method",
            "Another payment method is on file than the one that failed. Charge it now.",
            flags=flags,
        )
    if not verdict.may_retry or not history.method_on_file:
        return None
    if stripe_tries_itself(history, now) and not config.retry_beside_stripe:
        return None  # Stripe's own attempts and ours would share the networks' caps
    if failure.payment_method_type not in ("", "card", "link") and history.attempt_count > config.max_debit_retries:
        return None
    if verdict.category == Category.CONTESTED and history.attempt_count > len(config.contested_days):
        return None
    failed_at = failure.at or now
    when, why = _moment(verdict, failed_at, history, config, now)
    return Proposal(
        RETRY,
        {Category.SOON: "technical_fault", Category.LATER: "no_funds_now"}.get(verdict.category, "no_reason_given"),
        why,
        when=when if when > now else None,
        flags=flags,
    )


def _moment(
    verdict: Verdict, failed_at: datetime, history: CaseHistory, config: RuleConfig, now: datetime
) -> tuple[datetime, str]:
    attempt = max(history.attempt_count, 1)
    if verdict.category == Category.SOON:
        hours = config.soon_hours[min(attempt, len(config.soon_hours)) - 1]
        pause = max(timedelta(hours=hours), verdict.wait or timedelta())
        return failed_at + pause, f"A passing fault ({verdict.words}): try again after {_words(pause)}."
    if verdict.category == Category.LATER:
        pause = max(timedelta(days=config.funds_days), verdict.wait or timedelta())
        when = schedule.next_payday(max(failed_at + pause, now))
        return when, (
            f"The card is fine but could not pay ({verdict.words}): try again on {_day(when)}, the next likely payday "
            f"at least {_words(pause)} after the failure."
        )
    days = config.contested_days[min(attempt, len(config.contested_days)) - 1]
    pause = max(timedelta(days=days), verdict.wait or timedelta())
    when = schedule.at_nine(max(failed_at + pause, now))
    return when, f"The bank gave no reason; few attempts, days apart: the next one on {_day(when)}."


def _notify(
    verdict: Verdict,
    history: CaseHistory,
    config: RuleConfig,
    now: datetime,
    flags: tuple[tuple[str, str], ...],
) -> Proposal | None:
    if not history.has_email or history.notices_sent >= config.max_notices or verdict.category == Category.OURS:
        return None
    deadline = now + timedelta(days=config.notice_days)
    if stripe_tries_itself(history, now) and verdict.may_retry:
        assert history.next_payment_attempt is not None
        return Proposal(
            NOTIFY,
            "stripe_retries",
            f"Stripe tries again by itself on {_day(history.next_payment_attempt)}; another retry would share the "
            "networks' caps. Tell the customer meanwhile.",
            template="retry_planned" if not history.notices_sent else "reminder",
            deadline=history.next_payment_attempt,
            flags=flags,
        )
    if history.notices_sent:
        return Proposal(
            NOTIFY,
            "no_reaction",
            f"{history.notices_sent} message was sent and the invoice is still open: remind the customer.",
            template="reminder",
            deadline=deadline,
            flags=flags,
        )
    if verdict.may_retry:
        return Proposal(
            NOTIFY,
            "no_more_retries",
            f"No further attempt on this payment method is sensible now ({verdict.words}): ask the customer.",
            template="payment_failed",
            deadline=deadline,
            flags=flags,
        )
    secret = " The customer is told nothing of the reason." if verdict.secret else ""
    return Proposal(
        NOTIFY,
        "customer_must_act" if verdict.category == Category.CUSTOMER else "new_method_needed",
        f"Another attempt cannot succeed ({verdict.words}); the customer must act in the billing portal.{secret}",
        template=template_for(verdict),
        deadline=deadline,
        flags=flags,
    )


def template_for(verdict: Verdict) -> str:
    """The first message for a failure that only the customer can mend. A secret reason gets the plainest one."""
    if verdict.secret:
        return "payment_failed"
    if verdict.code == "expired_card":
        return "card_expired"
    if verdict.code in ("authentication_required", "payment_intent_action_required") or verdict.code.endswith(
        "authentication_failure"
    ):
        return "confirm_payment"
    if verdict.code.startswith(("incorrect_", "invalid_")) and verdict.category == Category.CUSTOMER:
        return "check_details"
    return "new_method_needed"


def _grace(
    verdict: Verdict,
    history: CaseHistory,
    config: RuleConfig,
    now: datetime,
    flags: tuple[tuple[str, str], ...],
) -> Proposal | None:
    if not history.has_subscription or (history.grace_until and history.grace_until > now):
        return None
    if not (verdict.may_retry and stripe_tries_itself(history, now) and is_good_customer(history, config, now)):
        return None
    assert history.customer_since is not None
    until = schedule.at_nine(now + timedelta(days=config.grace_days))
    years = (now - history.customer_since).days // 365
    since = f"{years} years" if years > 1 else "more than a year" if years else f"since {_day(history.customer_since)}"
    record = f", {history.recoveries} earlier failure(s) all recovered" if history.recoveries else ""
    return Proposal(
        GRACE,
        "good_customer",
        f"A customer for {since} without a lost invoice{record}, and retries are scheduled: leave the service on until "
        f"{_day(until)} and wait.",
        days=config.grace_days,
        until=until,
        flags=flags,
    )


def _escalate(
    verdict: Verdict,
    history: CaseHistory,
    pressing: tuple[str, str] | None,
    flags: tuple[tuple[str, str], ...],
) -> Proposal:
    if pressing:
        code, words = pressing
    elif not history.has_email:
        code, words = "no_email", "The customer has no e-mail address, so a person must find another way to reach them."
    elif history.notices_sent:
        code, words = "notices_used", f"{history.notices_sent} messages have brought no payment; a person should call."
    else:
        code, words = "unclear", f"Nothing automatic fits well ({verdict.words}); a person should look."
    return Proposal(ESCALATE, code, words, flags=flags)


def _flags(
    verdict: Verdict, failure: PaymentFailure, history: CaseHistory, config: RuleConfig
) -> tuple[tuple[str, str], ...]:
    found = []
    if verdict.secret:
        found.append(("reason_secret", "The reason of this decline must not be told to the customer."))
    if cap := _over_cap(failure, history):
        found.append(("network_cap", f"No further attempt on this card: {cap}."))
    if history.refused_for_good:
        found.append(("refused_for_good", f"The card on file must not be charged again: {history.refused_for_good}."))
    if history.dispute_open:
        found.append(("dispute_open", "The customer has an open dispute."))
    if exceeds(history.amount_remaining, history.currency, config.escalate_over):
        amount = format_money(history.amount_remaining, history.currency)
        found.append(("large_amount", f"{amount} is above the limit from which a person looks first."))
    if history.losses:
        found.append(("earlier_losses", f"{history.losses} earlier invoice(s) of this customer were given up."))
    return tuple(found)


def _day(moment: datetime) -> str:
    return f"{moment:%a} {moment.day} {moment:%b %Y}"


def _words(pause: timedelta) -> str:
    hours = int(pause.total_seconds() // 3600)
    if hours % 24 == 0 and hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} hour" + ("s" if hours != 1 else "")
