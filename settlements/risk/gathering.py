"""The facts of one account's score: Stripe's account, our bank changes, earnings and mirror. Reads only; five
statements beside the account's own, whatever the number of payments' rows they meet, each through an index.

The names are compared here, in memory, and only how alike they are goes on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from difflib import SequenceMatcher

from django.db.models import Count, Max, QuerySet, Sum
from django.db.models.functions import TruncDate

from billingops.stripe import sync
from billingops.stripe.facts import AccountFacts
from billingops.stripe.models import MirroredObject
from settlements.models import Earning, Seller, SellerBankChange
from settlements.risk.score import USUAL_WEEKS, WINDOW_DAYS, RiskFacts

# Endings that say what kind of company it is, not which one.
LEGAL_FORMS = frozenset(
    ("ab", "ag", "aps", "as", "bv", "co", "company", "corp", "corporation", "ek", "ev", "gmbh", "inc", "incorporated",
     "kg", "kk", "limited", "llc", "llp", "ltd", "mbh", "nv", "oy", "plc", "pty", "sa", "sarl", "sas", "se", "sl",
     "spa", "srl", "ug")
)  # fmt: skip
ONBOARDING = timedelta(days=1)


def gather(account: str, *, now: datetime, live: bool) -> RiskFacts | None:
    """None when neither Stripe (`live`) nor the mirror knows the account. Raises billingops.stripe.errors.*"""
    stripe = sync.account_facts(account, live=live)
    if stripe is None:
        return None
    seller = Seller.objects.filter(account=account).values_list("name", flat=True).first() or ""
    payments, weeks = _sales(account, now)
    return RiskFacts(
        account=account,
        today=now.astimezone(UTC).date(),
        created_on=stripe.created.astimezone(UTC).date() if stripe.created else None,
        disconnected=stripe.deauthorised,
        disabled_reason=stripe.disabled_reason,
        past_due=len(_due(stripe)[0]),
        currently_due=len(_due(stripe)[1]),
        country=stripe.country,
        business_type=stripe.business_type,
        mcc=stripe.mcc,
        payments=payments,
        refunded=_hit(account, now, "refund"),
        disputed=_hit(account, now, "dispute"),
        weeks=weeks,
        bank_changed_on=_bank_changed(account, stripe.created),
        names=alike(seller, [stripe.name, stripe.legal_name, *stripe.holder_names]),
    )


def _due(stripe: AccountFacts) -> tuple[set[str], set[str]]:
    """(past due, currently due but not past due), as Stripe's names of fields; what is past due stands in both."""
    past = set(stripe.past_due)
    return past, set(stripe.currently_due) - past


def _paid(account: str, now: datetime) -> QuerySet[Earning]:
    return Earning.objects.filter(account=account, paid_at__gt=now - timedelta(days=WINDOW_DAYS), paid_at__lte=now)


def _sales(account: str, now: datetime) -> tuple[int, dict[str, tuple[int, ...]]]:
    """Paid invoices of the window, and sales per currency and week (of 7 days that end today), the newest first."""
    rows = _paid(account, now).annotate(day=TruncDate("paid_at", tzinfo=UTC)).order_by()
    today = now.astimezone(UTC).date()
    payments = 0
    weeks: dict[str, list[int]] = {}
    for currency, day, count, total in rows.values_list("currency", "day").annotate(count=Count("pk"), sum=Sum("base")):
        payments += count
        week = (today - day).days // 7
        if week <= USUAL_WEEKS:
            weeks.setdefault(currency, [0] * (USUAL_WEEKS + 1))[week] += total
    return payments, {currency: tuple(amounts) for currency, amounts in weeks.items()}


def _hit(account: str, now: datetime, what: str) -> int:
    """How many of the window's payments were refunded or disputed. An inquiry is no dispute yet, a refund that failed
    none; a dispute that was won counts, as it does with the card networks."""
    rows = MirroredObject.objects.filter(object_type=what, parent_id__in=_paid(account, now).values("charge"))
    if what == "dispute":
        rows = rows.exclude(status__startswith="warning_")
    else:
        rows = rows.exclude(status__in=("failed", "canceled"))
    found: int = rows.aggregate(count=Count("parent_id", distinct=True))["count"]
    return found


def _bank_changed(account: str, created: datetime | None) -> date | None:
    """The day of the last change; the account that is named in the first days of a new account is none."""
    rows = SellerBankChange.objects.filter(account=account)
    if created is not None:
        rows = rows.exclude(what="created", at__lte=created + ONBOARDING)
    last: datetime | None = rows.aggregate(last=Max("at"))["last"]
    return last.astimezone(UTC).date() if last else None


# -- names -------------------------------------------------------------------------------------------------------------


def alike(configured: str, at_stripe: Iterable[str]) -> int | None:
    """How alike the configured name and the likest of Stripe's are, 0 to 100; None when either side is missing.

    Case, accents, punctuation, the order of words and the legal form do not count; a name that holds all words of the
    other is the same ("Bakery" and "Bakery Supplies Ltd").
    """
    ours = words_of(configured)
    theirs = [words for name in at_stripe if (words := words_of(name))]
    if not ours or not theirs:
        return None
    return max(_ratio(ours, words) for words in theirs)


def words_of(name: str) -> tuple[str, ...]:
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(letter)
    )
    plain = re.sub(r"['’.]", "", plain)
    words = re.findall(r"\w+", plain)
    return tuple(sorted(word for word in words if word not in LEGAL_FORMS)) or tuple(sorted(words))


def _ratio(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    if set(one) <= set(other) or set(other) <= set(one):
        return 100
    return int(SequenceMatcher(None, " ".join(one), " ".join(other), autojunk=False).ratio() * 100)
