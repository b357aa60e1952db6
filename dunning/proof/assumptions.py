"""Every number of the simulated world, each with where it comes from. Nothing here knows which policy is played.

The assumed ones were fitted to published totals with the peers' policies alone: a 3-5-7 ladder recovers half (the
industry's median is 47.6 %, platforms' own tools 40 to 50 %), Smart Retries 54 %, 90 % of that within ten days
(Recurly, 2026: 90 %), two thirds by retries (Churn Buster: 60 to 63 %), of missing funds 49 to 59 % (published: 48 to
65 %), an attempt on every day of a month 67 % (Recurly, 2026: optimised retries reach 71 %), and the first e-mails
bring 13, 8, 5 and 3 % (published: 13.25, 9, 6 and 3 %).

`SOURCES` says of each field what it rests on; "assumed" means that nothing published was found and that the sensitivity
table varies it. Times in hours or days as the name says; shares between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

Shares = tuple[tuple[str, float], ...]

DUNNINGCOMPARE = "https://www.dunningcompare.com/stats/payment-failure-causes-statistics-2026"
RECURLY_2018 = "https://recurly.com/blog/subscription-benchmarks-top-payment-decline-reasons/"
RECURLY_2026 = "https://recurly.com/blog/failed-payment-recovery-data-based-strategy"
RECURLY_TYPES = "https://recurly.com/blog/research-gives-insights-on-recurring-invoice-recoveries-over-several-segments"
CHURNBUSTER = "https://support.churnbuster.io/en/articles/3407182-retry-success"
CHURNWARD = "https://churnward.com/blog/dunning-best-practices"
BLS = "https://www.bls.gov/opub/ted/2014/ted_20140605.htm"
ADYEN_ACH = "https://docs.adyen.com/risk-management/chargeback-guidelines/ach-chargebacks"
ADYEN_SEPA = "https://docs.adyen.com/online-payments/auto-rescue/sepa"
SAVEMRR = "https://savemrr.co/dunning-email-benchmark"
REKKO = "https://rekko.io/blog/dunning-email-open-rate-benchmarks"
CHURNBUSTER_BLOG = "https://churnbuster.io/blog/brand-messaging-in-times-of-crisis-8-dtc-brands-worth-celebrating"
SLICKER = "https://www.slickerhq.com/solutions/failure-reason/insufficient-funds"
MEDIAN = "https://www.digitalapplied.com/blog/failed-payment-recovery-dunning-playbook-2026"
ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The world's dials. Varied one by one in the sensitivity table."""

    countries: Shares = (
        ("us", 0.45), ("gb", 0.12), ("de", 0.12), ("fr", 0.08), ("es", 0.05), ("jp", 0.06), ("br", 0.05), ("au", 0.07),
    )  # fmt: skip
    debit_share: float = 0.12
    card_reasons: Shares = (
        ("insufficient_funds", 0.40), ("do_not_honor", 0.14), ("generic_decline", 0.12), ("expired_card", 0.09),
        ("processing_error", 0.03), ("issuer_not_available", 0.02), ("try_again_later", 0.01),
        ("authentication_required", 0.05), ("card_velocity_exceeded", 0.03), ("incorrect_number", 0.02),
        ("invalid_account", 0.02), ("transaction_not_allowed", 0.03), ("lost_card", 0.015), ("stolen_card", 0.01),
        ("pickup_card", 0.005), ("revocation_of_authorization", 0.01),
    )  # fmt: skip
    debit_reasons: Shares = (
        ("insufficient_funds", 0.70), ("account_closed", 0.12), ("debit_not_authorized", 0.12), ("no_account", 0.06),
    )  # fmt: skip
    # Where money is missing
    credit_share: float = 0.45
    irregular_share: float = 0.12
    empty_share: float = 0.20
    funded_mean: float = 0.20
    funded_spread: float = 0.18
    topups_per_day: float = 0.025
    topup_hours: float = 36.0
    # Where the bank gives no reason
    unnamed_funds_share: float = 0.25
    unnamed_transient_share: float = 0.30
    transient_hours: float = 36.0
    transient_approval: float = 0.90
    # Technical faults
    technical_hours: float = 2.0
    technical_stuck: float = 0.03
    noise: float = 0.03
    # Cards that the networks replace by themselves after the failure
    updater_expired: float = 0.12
    updater_hard: float = 0.08
    updater_days: float = 5.0
    # Customers
    reads_share: float = 0.58
    stays_share: float = 0.78
    answers_must_act: float = 0.38
    answers_bank: float = 0.24
    answers_decay: float = 0.80
    answers_crowded: float = 0.30
    answer_hours: float = 6.0
    pays_at_once: float = 0.60
    new_card_works: float = 0.97
    pays_alone_per_day: float = 0.002
    leaves_per_day: float = 0.0015
    leaving_per_day: float = 0.02
    fatigue: float = 0.001
    disputes: float = 0.0008
    disputes_more: float = 0.0004
    dispute_open_share: float = 0.004
    no_email_share: float = 0.03
    zone_known_share: float = 0.85
    # What the sensitivity table may add: approvals at night, in parts of those by day (1 = no difference)
    night_approval: float = 1.0


SOURCES: dict[str, str] = {
    "card_reasons": f"between {DUNNINGCOMPARE} (38 % insufficient funds, 24 % expired or cancelled, 17 % no reason, "
    f"21 % technical) and {RECURLY_TYPES} (no reason, insufficient funds and temporary hold: more than 90 %)",
    "debit_reasons": f"AM04 and R01 lead: {ADYEN_SEPA}, {ADYEN_ACH}; the shares are assumed",
    "funded_mean": f"assumed; fitted to the totals above: {MEDIAN}, {RECURLY_2026}",
    "empty_share": f"assumed; fitted to the totals above: {MEDIAN}, {RECURLY_2026}",
    "unnamed_transient_share": f"assumed; 25 to 40 % of bank blocks are recovered: {DUNNINGCOMPARE}",
    "transient_hours": f"assumed; temporary holds clear within 15 days: {RECURLY_2018}",
    "technical_hours": f"most clear within 24 hours: {DUNNINGCOMPARE}; the median is assumed",
    "updater_expired": f"over 70 % of expiring cards are updated before they fail, so few after: {CHURNBUSTER_BLOG}",
    "answers_must_act": f"with answers_bank, reads and stays: 13.25 % answer the first e-mail: {CHURNWARD}",
    "answers_bank": f"see answers_must_act; 60 to 63 % of recoveries are retries: {CHURNBUSTER}",
    "answers_decay": f"fitted to 13.25, 9, 6 and 3 % for the first four e-mails: {SAVEMRR}",
    "fatigue": f"assumed; 0.1 to 0.3 % of recipients unsubscribe per e-mail: {REKKO}",
    "night_approval": "vendors' figures contradict one another, so no difference; the sensitivity table tries 0.85",
}


def source_of(name: str) -> str:
    """Where a number comes from; what is not in SOURCES is assumed."""
    return SOURCES.get(name, ASSUMED)


# How often people are paid. United States: BLS, March 2013. The other rows are assumed from custom: the last working
# days or the 1st in Europe, the 25th in Japan, the fifth working day in Brazil (its labour code, art. 459), fortnights
# in Australia (SLICKER).
PAYDAYS: dict[str, Shares] = {
    "us": (("weekly", 0.324), ("biweekly", 0.365), ("semimonthly", 0.198), ("month_end", 0.07), ("first", 0.043)),
    "gb": (("month_end", 0.55), ("day_25", 0.20), ("first", 0.05), ("weekly", 0.12), ("biweekly", 0.08)),
    "de": (("month_end", 0.60), ("first", 0.15), ("day_15", 0.15), ("day_25", 0.10)),
    "fr": (("month_end", 0.75), ("first", 0.15), ("day_25", 0.10)),
    "es": (("month_end", 0.80), ("first", 0.15), ("day_25", 0.05)),
    "jp": (("day_25", 0.70), ("month_end", 0.15), ("day_15", 0.10), ("first", 0.05)),
    "br": (("fifth_working", 0.75), ("month_end", 0.10), ("semimonthly", 0.15)),
    "au": (("biweekly", 0.50), ("weekly", 0.25), ("day_15", 0.15), ("month_end", 0.10)),
}
ZONES: dict[str, Shares] = {
    "us": (
        ("America/New_York", 0.47),
        ("America/Chicago", 0.29),
        ("America/Denver", 0.07),
        ("America/Los_Angeles", 0.17),
    ),
    "gb": (("Europe/London", 1.0),),
    "de": (("Europe/Berlin", 1.0),),
    "fr": (("Europe/Paris", 1.0),),
    "es": (("Europe/Madrid", 1.0),),
    "jp": (("Asia/Tokyo", 1.0),),
    "br": (("America/Sao_Paulo", 1.0),),
    "au": (("Australia/Sydney", 0.75), ("Australia/Perth", 0.25)),
}
CURRENCIES = {
    "us": "usd", "gb": "gbp", "de": "eur", "fr": "eur", "es": "eur", "jp": "jpy", "br": "brl", "au": "aud",
}  # fmt: skip
MEDIAN_AMOUNTS = {"usd": 4900, "gbp": 3900, "eur": 4500, "jpy": 4900, "brl": 14900, "aud": 6900}  # minor units; assumed
LANGUAGES = {"us": "en", "gb": "en", "de": "de", "fr": "fr", "es": "es", "jp": "ja", "br": "pt", "au": "en"}
BRANDS: Shares = (("visa", 0.55), ("mastercard", 0.35), ("amex", 0.10))  # assumed


def changed(base: Assumptions, name: str, factor: float) -> Assumptions:
    """`base` with one number multiplied; shares and probabilities stay at most 1, and what they share out adds up."""
    value = getattr(base, name)
    if isinstance(value, tuple):
        raise TypeError(f"{name} is a table, not a number")
    new = value * factor
    if name not in IN_HOURS_OR_DAYS:
        new = min(new, 0.99)
    if name == "unnamed_funds_share":
        new = min(new, 1 - base.unnamed_transient_share)
    if name == "unnamed_transient_share":
        new = min(new, 1 - base.unnamed_funds_share)
    return replace(base, **{name: new})


def with_share(base: Assumptions, code: str, factor: float) -> Assumptions:
    """`base` with one card reason's share multiplied, the others scaled so that the shares add up to 1."""
    share = min(dict(base.card_reasons)[code] * factor, 0.95)
    others = sum(part for name, part in base.card_reasons if name != code)
    table = tuple((name, share if name == code else part * (1 - share) / others) for name, part in base.card_reasons)
    return replace(base, card_reasons=table)


IN_HOURS_OR_DAYS = frozenset({"topup_hours", "transient_hours", "technical_hours", "updater_days", "answer_hours"})
TABLES = ("countries", "card_reasons", "debit_reasons")
NUMBERS = tuple(item.name for item in fields(Assumptions) if item.name not in TABLES)
