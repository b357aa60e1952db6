"""The dials of the dunning rules and their defaults; `settings.DUNNING` (a dict) overrides any of them by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True)
class RuleConfig:
    """Amounts in minor units per currency; a currency without a limit has none.

    retry_beside_stripe      suggest retries even where Stripe has scheduled its own (both share the networks' caps)
    escalate_after_attempts  from this attempt on a person looks at the case
    escalate_over            amounts above which a person looks at the case at once
    max_notices              messages per case before a person looks at it
    notice_days              what a message gives the customer as a deadline, and when the case comes back
    grace_days, good_customer_days  the grace period, and how long somebody must have been a customer to be offered one
    soon_hours               pauses after a technical fault: first attempt, second, …, then the last of them
    contested_days           pauses after a decline without a reason; as many retries as there are entries
    funds_days               the least pause after insufficient funds
    max_debit_retries        attempts on a bank debit (ACH allows two retries)
    portal_return_url        where the billing portal's "back" leads the customer
    quiet_from, quiet_until  hours (0 to 24, the customer's own) between which nobody is written to
    messages_a_week          messages to one customer in any seven days, whatever the number of invoices; one a day
    propose_ahead_hours      how long before its time a message is put before a person
    message_before_retry_hours  a message that a retry may make needless waits for it, if it comes within these
    use_saved_methods        suggest another saved payment method that may be charged, where the one on file cannot
    default_method_after_recovery  "off", or "suggest" to make the method that paid the customer's default
    sla_hours                how long a handed-over case may lie at each level before it is handed on
    sla_group                the group that it is handed on to
    """

    retry_beside_stripe: bool = False
    escalate_after_attempts: int = 10
    escalate_over: Mapping[str, int] = field(
        default_factory=lambda: {"usd": 500_000, "eur": 500_000, "gbp": 500_000, "jpy": 750_000}
    )
    max_notices: int = 2
    notice_days: int = 7
    grace_days: int = 7
    good_customer_days: int = 365
    soon_hours: tuple[int, ...] = (1, 6, 24, 72, 120, 168)
    contested_days: tuple[int, ...] = (2, 5, 7, 7)
    funds_days: int = 2
    max_debit_retries: int = 2
    portal_return_url: str = "http://localhost/"
    quiet_from: int = 20
    quiet_until: int = 8
    messages_a_week: int = 3
    propose_ahead_hours: int = 24
    message_before_retry_hours: int = 30
    use_saved_methods: bool = True
    default_method_after_recovery: str = "off"
    sla_hours: tuple[int, ...] = (24, 24)
    sla_group: str = "Finance lead"


def current() -> RuleConfig:
    """The configuration in force. Raises ImproperlyConfigured for a name that does not exist."""
    given = getattr(settings, "DUNNING", {})
    known = {item.name for item in fields(RuleConfig)}
    if unknown := sorted(set(given) - known):
        raise ImproperlyConfigured(f"DUNNING does not know {unknown[0]!r}; it knows {', '.join(sorted(known))}.")
    return RuleConfig(**given)
