"""How it shows at Stripe that a step took effect: the same test for the returning event and for the look-up of an
unknown result. Pure.

Metadata can be written by anybody with a key, so it is never enough by itself: what names one of our suggestions must
also be in the very state that was approved.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from approvals.models import Suggestion
from billingops.stripe.facts import CustomerFacts, InvoiceFacts, SubscriptionFacts
from dunning.plan.steps import (
    CANCEL,
    DEFAULT_METHOD,
    DOWNGRADE,
    END_GRACE,
    GRACE,
    PAUSE,
    RESUME,
    TAKE_OVER,
    UNCOLLECTIBLE,
)

MARK = "billingops_suggestion"
GRACE_KEY = "grace_period_until"


def moment_of(text: str) -> datetime | None:
    """An ISO time out of metadata, which anybody may have written; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _grace(suggestion: Suggestion, found: SubscriptionFacts) -> bool:
    return found.metadata.get(GRACE_KEY) == suggestion.params["until"]


def _grace_is_over(suggestion: Suggestion, found: SubscriptionFacts) -> bool:
    return not found.metadata.get(GRACE_KEY)


def _paused(suggestion: Suggestion, found: SubscriptionFacts) -> bool:
    wanted = suggestion.params["resumes_at"]
    until = datetime.fromisoformat(wanted).replace(microsecond=0) if wanted else None
    return found.paused == suggestion.params["behavior"] and found.paused_until == until


def _resumed(suggestion: Suggestion, found: SubscriptionFacts) -> bool:
    return not found.paused


def _downgraded(suggestion: Suggestion, found: SubscriptionFacts) -> bool:
    wanted = (suggestion.params["item"], suggestion.params["price"])
    return any(item[:2] == wanted for item in found.items)


def _cancelled(suggestion: Suggestion, found: SubscriptionFacts) -> bool:
    return found.status == "canceled" or bool(suggestion.params["at_period_end"] and found.cancel_at_period_end)


def _default_of_subscription(suggestion: Suggestion, found: SubscriptionFacts) -> bool:
    return found.default_payment_method_id == suggestion.params["method"]


ON_SUBSCRIPTION: dict[str, Callable[[Suggestion, SubscriptionFacts], bool]] = {
    GRACE: _grace,
    END_GRACE: _grace_is_over,
    PAUSE: _paused,
    RESUME: _resumed,
    DOWNGRADE: _downgraded,
    CANCEL: _cancelled,
    DEFAULT_METHOD: _default_of_subscription,
}


def on_subscription(suggestion: Suggestion, found: SubscriptionFacts | None) -> bool:
    """Whether this subscription shows what the suggestion asked for, and that it was ours."""
    if found is None or suggestion.kind not in ON_SUBSCRIPTION:
        return False
    if found.id != subscription_of(suggestion) or found.account != suggestion.account:
        return False
    return _is_marked(suggestion, found) and ON_SUBSCRIPTION[suggestion.kind](suggestion, found)


def on_customer(suggestion: Suggestion, found: CustomerFacts | None) -> bool:
    """The same of the customer whose default payment method was to be set."""
    if found is None or suggestion.kind != DEFAULT_METHOD or suggestion.params["subscription"]:
        return False
    if found.id != suggestion.params["customer"] or found.account != suggestion.account:
        return False
    return _is_marked(suggestion, found) and found.default_payment_method_id == suggestion.params["method"]


def on_invoice(suggestion: Suggestion, found: InvoiceFacts | None) -> bool:
    """The same of the invoice whose retries were to be taken over, or that was to be given up."""
    if found is None or found.id != suggestion.subject or found.account != suggestion.account:
        return False
    if not _is_marked(suggestion, found):
        return False
    if suggestion.kind == TAKE_OVER:
        return not found.auto_advance
    return suggestion.kind == UNCOLLECTIBLE and found.status == "uncollectible"


def subscription_of(suggestion: Suggestion) -> str:
    """The subscription that a step changes."""
    if suggestion.kind == DEFAULT_METHOD:
        return str(suggestion.params["subscription"])
    return str(suggestion.facts.get("subscription", ""))


def _is_marked(suggestion: Suggestion, found: SubscriptionFacts | InvoiceFacts | CustomerFacts) -> bool:
    return found.metadata.get(MARK) == str(suggestion.pk)
