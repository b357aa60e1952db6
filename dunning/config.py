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
    soon_hours               pauses after a technical fault: first attempt, second, then the last of them
    contested_days           pauses after a decline without a reason; as many retries as there are entries
    funds_days               the least pause after insufficient funds
    max_debit_retries        attempts on a bank debit (ACH allows two retries)
    portal_return_url        where the billing portal's "back" leads the customer
    """

    retry_beside_stripe: bool = False
    escalate_after_attempts: int = 4
    escalate_over: Mapping[str, int] = field(
        default_factory=lambda: {"usd": 500_000, "eur": 500_000, "gbp": 500_000, "jpy": 750_000}
    )
    max_notices: int = 2
    notice_days: int = 7
    grace_days: int = 7
    good_customer_days: int = 365
    soon_hours: tuple[int, ...] = (1, 6, 24)
    contested_days: tuple[int, ...] = (3, 5)
    funds_days: int = 2
    max_debit_retries: int = 2
    portal_return_url: str = "http://localhost/"


def current() -> RuleConfig:
    """The configuration in force. Raises ImproperlyConfigured for a name that does not exist."""
    given = getattr(settings, "DUNNING", {})
    known = {item.name for item in fields(RuleConfig)}
    if unknown := sorted(set(given) - known):
        raise ImproperlyConfigured(f"DUNNING does not know {unknown[0]!r}; it knows {', '.join(sorted(known))}.")
    return RuleConfig(**given)
