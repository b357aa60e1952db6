"""What must hold at the very moment a step takes effect, whoever approved it and whenever. Pure.

The planner's own limits, asked again: an approval given on Friday charges nobody on Sunday who has paid since, whose
card has reached its network's cap, or who disputes the charge.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning import reasons
from dunning.config import RuleConfig
from dunning.plan import calendar, caps, steps
from dunning.plan.facts import Method, PlanFacts
from dunning.plan.question import CARD_LIKE, ENDED, brand_of, is_another, is_renewed

DAY = timedelta(days=1)
MAX_AHEAD = timedelta(days=30)  # the networks' own window; later than that the case has moved on
CHARGE_HOURS = (6, 22)  # UTC: a retry that a person sets is not charged in Europe's night
HARMLESS = (steps.ESCALATE, steps.RESUME, steps.END_GRACE, steps.DEFAULT_METHOD)


def refused(
    kind: str,
    facts: PlanFacts,
    now: datetime,
    *,
    config: RuleConfig | None = None,
    method: str = "",
    channel: str = "email",
    max_attempts: int | None = None,
) -> str:
    """ "" where a step of `kind` may take effect now, else why not, in words. `method`: the one to be charged ("" = the
    one on file); `max_attempts`: of the case's sequence, Stripe's own included (None: not limited)."""
    dials = config or RuleConfig()
    if kind in HARMLESS:
        return ""
    if not facts.owed:
        return f"The invoice is {facts.status} now" if facts.status != "open" else "Nothing is owed any more"
    if facts.dispute_open:
        return "The customer has an open dispute"
    if facts.complaint_open:
        return "The customer has complained"
    if facts.subscription_status in ENDED:
        return "The subscription has ended"
    if facts.paused:
        return "A person has stopped every step"
    if kind not in (steps.GRACE, steps.TAKE_OVER) and facts.promised_until and facts.promised_until > now:
        return "The customer has promised to pay and the day has not come"
    if kind == steps.RETRY:
        return _no_charge(facts, now, method, max_attempts)
    if kind == steps.NOTIFY:
        return _no_message(facts, now, dials, channel)
    return ""


def _no_charge(facts: PlanFacts, now: datetime, wanted: str, max_attempts: int | None) -> str:
    method = next((one for one in facts.methods if one.id == wanted), None) if wanted else facts.on_file
    if method is None or not method.id:
        return "That payment method is gone"
    if not facts.automatic:
        return "The customer pays this invoice by hand"
    if not method.consent:
        return "That payment method may not be charged while the customer is away"
    if method.refused:
        return f"This card was declined for good before: {method.refused}"
    if method.expires is not None and method.expires < now.date():
        return "That card has expired"
    other = is_another(facts.failed, method) or is_renewed(facts.failure, facts.failed, method)
    if not other and not reasons.judge(facts.failure).may_retry:
        return "This payment method must not be charged again"
    given = other and method.place != "saved" and not method.attempts  # by the customer, since: a budget of its own
    if max_attempts is not None and facts.attempt_count >= max_attempts and not given:
        return f"{facts.attempt_count} attempts have failed, and its sequence allows {max_attempts}"
    return used_up(method, facts, now)


def used_up(method: Method, facts: PlanFacts, now: datetime) -> str:
    """The cap that forbids one more charge of it, in words, or ""."""
    if method.type not in CARD_LIKE:
        return ""
    return caps.used_up(brand_of(method, facts), method.attempts, now)


def _no_message(facts: PlanFacts, now: datetime, dials: RuleConfig, channel: str) -> str:
    if why := facts.unreachable.get(channel, ""):
        return f"The customer cannot be reached by {channel}: {why}"
    if channel != "email":
        return ""  # a task for a person, who sees to the hour
    if calendar.is_quiet(now, facts.zone, facts.country, quiet_from=dials.quiet_from, quiet_until=dials.quiet_until):
        return "It is night where the customer lives"
    if facts.last_message_at is not None and facts.last_message_at > now - DAY:
        return "A message went to this customer within the last day"
    if facts.messages_this_week >= dials.messages_a_week:
        return f"{facts.messages_this_week} messages went to this customer within a week"
    if facts.answer_waiting:
        return "An answer of theirs waits for a person"
    return ""


def no_time_for_a_retry(at: datetime, now: datetime) -> str:
    """ "" when a person may put a retry at `at` (aware, UTC), else why not, in words."""
    if at <= now:
        return "That time has passed"
    if at > now + MAX_AHEAD:
        return f"That is more than {MAX_AHEAD.days} days ahead"
    first, last = CHARGE_HOURS
    if not first <= at.hour + (at.minute + at.second / 60) / 60 <= last:
        return f"Nobody is charged at night: choose a time between {first:02}:00 and {last}:00 UTC"
    return ""
