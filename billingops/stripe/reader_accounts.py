"""reader.py's room for connected accounts. Pure, like reader.py, which gives these names on."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from billingops.stripe.facts_accounts import AccountFacts
from billingops.stripe.shapes import dig, ident, items_of, metadata_of, plain, text, when


def read_account(data: Any) -> AccountFacts:
    """`deauthorised` is a mark of ours (sync.py sets it when Stripe no longer lets us see the account)."""
    account = plain(data)
    capabilities = account.get("capabilities") or {}
    requirements, future = account.get("requirements") or {}, account.get("future_requirements") or {}
    banks = items_of(account.get("external_accounts"))
    return AccountFacts(
        id=text(account.get("id")),
        name=text(dig(account, "settings", "dashboard", "display_name"))
        or text(dig(account, "business_profile", "name"))
        or text(dig(account, "company", "name")),
        country=text(account.get("country")),
        default_currency=text(account.get("default_currency")).lower(),
        charges_enabled=bool(account.get("charges_enabled")),
        payouts_enabled=bool(account.get("payouts_enabled")),
        transfers_active="active" in (capabilities.get("transfers"), capabilities.get("legacy_payments")),
        details_submitted=bool(account.get("details_submitted")),
        disabled_reason=text(requirements.get("disabled_reason")),
        deauthorised=bool(account.get("deauthorised")),
        created=when(account.get("created")),
        type=text(account.get("type")),
        business_type=text(account.get("business_type")),
        currently_due=_names(requirements.get("currently_due")),
        past_due=_names(requirements.get("past_due")),
        eventually_due=_names(requirements.get("eventually_due")),
        pending_verification=_names(requirements.get("pending_verification")),
        error_codes=tuple(text(item.get("code")) for item in items_of(requirements.get("errors"))),
        current_deadline=when(requirements.get("current_deadline")),
        future_currently_due=_names(future.get("currently_due")),
        future_past_due=_names(future.get("past_due")),
        future_disabled_reason=text(future.get("disabled_reason")),
        future_deadline=when(future.get("current_deadline")),
        capabilities={text(name): text(state) for name, state in capabilities.items()},
        external_account_ids=tuple(sorted(ident(bank) for bank in banks)),
        mcc=text(dig(account, "business_profile", "mcc")),
        url_host=_host(text(dig(account, "business_profile", "url"))),
        metadata=metadata_of(account.get("metadata")),
        legal_name=_legal_name(account),
        holder_names=tuple(sorted(name for bank in banks if (name := text(bank.get("account_holder_name"))))),
    )


def _names(values: Any) -> tuple[str, ...]:
    return tuple(text(value) for value in values or ())


def _legal_name(account: Any) -> str:
    company = text(dig(account, "company", "name"))
    parts = (text(dig(account, "individual", "first_name")), text(dig(account, "individual", "last_name")))
    person = " ".join(part for part in parts if part)
    return person or company if account.get("business_type") == "individual" else company or person


def _host(url: str) -> str:
    """The host of a web address, "" when it is none."""
    try:
        return (urlsplit(url if "//" in url else f"//{url}").hostname or "").lower()
    except ValueError:
        return ""
