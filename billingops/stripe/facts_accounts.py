"""Facts of a connected account. Units, times and ids as in facts.py, which gives these names on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """A connected account. It may receive transfers when `transfers_active`; `obstacle` says why not, for a person.

    The requirements are Stripe's names (`company.tax_id`, `external_account`), never what was entered for them.
    `legal_name` and `holder_names` (of its bank accounts) may be a private person's: they are for comparing in memory,
    never for a table, a log or a prompt, and do not show in a repr.
    """

    id: str
    name: str = ""
    country: str = ""
    default_currency: str = ""
    charges_enabled: bool = False
    payouts_enabled: bool = False
    transfers_active: bool = False
    details_submitted: bool = False
    disabled_reason: str = ""
    deauthorised: bool = False
    created: datetime | None = None
    type: str = ""  # standard, express, custom, none
    business_type: str = ""  # individual, company, non_profit, government_entity
    currently_due: tuple[str, ...] = ()
    past_due: tuple[str, ...] = ()
    eventually_due: tuple[str, ...] = ()
    pending_verification: tuple[str, ...] = ()
    error_codes: tuple[str, ...] = ()
    current_deadline: datetime | None = None
    future_currently_due: tuple[str, ...] = ()
    future_past_due: tuple[str, ...] = ()
    future_disabled_reason: str = ""
    future_deadline: datetime | None = None
    capabilities: Mapping[str, str] = field(default_factory=dict)  # name → active, inactive, pending
    external_account_ids: tuple[str, ...] = ()
    mcc: str = ""
    url_host: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    legal_name: str = field(default="", repr=False)
    holder_names: tuple[str, ...] = field(default=(), repr=False)

    @property
    def obstacle(self) -> str:
        """ "" when money may be sent there, else the reason in words."""
        if self.deauthorised:
            return "the account has disconnected from the platform"
        if self.disabled_reason:
            return f"Stripe restricts the account ({self.disabled_reason})"
        if not self.transfers_active:
            return "the account's transfers capability is not active"
        return ""
