"""The form of a policy. Amounts are typed as they are read: "USD 10,000.00", one a line. A figure that could be misread
(no currency, the wrong number of decimals, a comma in the wrong place) is refused, never guessed at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from approvals import registry
from approvals.config import MAX_BOUNDS, MAX_HOURS, MAX_SHARE, MAX_UNDO
from approvals.models import Policy
from approvals.models.policy import default_bar
from approvals.policies.terms import DAYS, SCOPES, Cap, Terms
from billingops.config import CURRENCIES
from billingops.money import format_money, minor_digits

_LINE = re.compile(r"([A-Za-z]{3})\s+([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.([0-9]+))?")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9_]{1,59}")
MAX_AMOUNT = 2**53


def read_money(line: str) -> tuple[str, int]:
    """`USD 10,000.00` → ("usd", 1000000). Raises ValueError with a sentence."""
    found = _LINE.fullmatch(line.strip())
    if not found:
        raise ValueError(f"“{line.strip()}” is not an amount such as USD 10,000.00.")
    currency, whole, decimals = found[1].lower(), found[2].replace(",", ""), found[3] or ""
    if currency not in CURRENCIES:
        raise ValueError(f"{found[1].upper()} is no currency that Stripe knows.")
    digits = minor_digits(currency)
    if decimals and len(decimals) != digits:
        says = f"{digits} digits after the point, or none" if digits else "no digits after the point"
        raise ValueError(f"“{line.strip()}”: {currency.upper()} has {says}.")
    amount = int(whole + (decimals or "0" * digits))
    if amount > MAX_AMOUNT:
        raise ValueError(f"“{line.strip()}” is too large.")
    return currency, amount


def write_money(amounts: dict[str, int]) -> str:
    return "\n".join(format_money(amount, currency) for currency, amount in sorted(amounts.items()))


class Lines(forms.CharField):
    """A textarea of one thing a line; empty lines are passed over."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}))
        super().__init__(required=False, max_length=20_000, **kwargs)

    def clean(self, value: Any) -> Any:
        lines = [line.strip() for line in (super().clean(value) or "").splitlines() if line.strip()]
        try:
            return self.read(lines)
        except ValueError as problem:
            raise forms.ValidationError(str(problem))

    def read(self, lines: list[str]) -> Any:
        raise NotImplementedError


class Amounts(Lines):
    """One amount per currency."""

    def read(self, lines: list[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for currency, amount in map(read_money, lines):
            if currency in found:
                raise ValueError(f"{currency.upper()} is named twice.")
            found[currency] = amount
        return found


class Bounds(Lines):
    """Several amounts per currency, ascending."""

    def read(self, lines: list[str]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for currency, amount in map(read_money, lines):
            bounds = found.setdefault(currency, [])
            if amount <= (bounds[-1] if bounds else 0) or len(bounds) >= MAX_BOUNDS:
                raise ValueError(
                    f"{currency.upper()}: at most {MAX_BOUNDS} bounds, each higher than the one before it."
                )
            bounds.append(amount)
        return found


class Accounts(Lines):
    def read(self, lines: list[str]) -> list[str]:
        for line in lines:
            if not _ACCOUNT.fullmatch(line):
                raise ValueError(f"“{line}” is no connected account (acct_…).")
        return sorted(set(lines))


def _whole(label: str, most: int, least: int = 0, help_text: str = "") -> forms.IntegerField:
    widget = forms.NumberInput(attrs={"inputmode": "numeric"})
    return forms.IntegerField(
        label=label, min_value=least, max_value=most, required=False, help_text=help_text, widget=widget
    )


def _count(label: str) -> forms.IntegerField:
    return _whole(label, 10**6, help_text="how many; empty: no cap")


class PolicyForm(forms.Form):
    """`values()` gives what changing.change takes. A policy of one account has no cap over all accounts."""

    mode = forms.ChoiceField(
        choices=[
            ("off", "off: nothing is suggested"),
            ("shadow", "shadow: verdicts are compared, nothing is carried out"),
            ("review", "review: a person approves each"),
            ("auto", "auto: no person below a limit, while the evidence holds"),
        ],
    )
    review_over = Amounts(label="A person reviews over", help_text="even under auto")
    two_approvers_over = Amounts(label="Two approvers over")
    auto_under = Amounts(label="Automatic under", help_text="a currency not named here is never automatic")
    action_sum = Amounts(label="At a time, at most", help_text="more is refused")
    customer_day_count = _count("Count a day and customer, at most")
    customer_day_sum = Amounts(label="Sum a day and customer, at most", help_text="what is over waits for the next day")
    account_day_count = _count("Count a day and account, at most")
    account_day_sum = Amounts(label="Sum a day and account, at most")
    day_count = _count("Count a day, at most")
    day_sum = Amounts(label="Sum a day, at most")
    destinations = Accounts(label="Allowed destinations", help_text="acct_…, one a line; empty: anywhere")
    cool_down_hours = _whole(
        "Cool-down (hours)", MAX_HOURS, help_text="no money goes to an account so soon after its bank details changed"
    )
    expires_hours = _whole("Expires after (hours)", MAX_HOURS, 1, "empty: as the settings say")
    undo_seconds = _whole("Can be taken back for (seconds)", MAX_UNDO, help_text="after the approval")
    timezone = forms.CharField(
        required=False,
        max_length=64,
        label="Time zone",
        help_text="of days and hours, such as Europe/Vienna; empty: UTC",
    )
    days = forms.MultipleChoiceField(
        choices=[(day, day.capitalize()) for day in DAYS],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Days",
        help_text="none: every day, at any time",
    )
    opens = forms.CharField(required=False, max_length=5, label="From", help_text="HH:MM")
    closes = forms.CharField(required=False, max_length=5, label="To", help_text="HH:MM, at most 24:00")
    lower_bound = forms.CharField(
        max_length=8, required=False, label="Agreement, lower bound", help_text="a share such as 0.99; empty: 0.99"
    )
    verdicts = _whole("Verdicts, at least", 10**6, 1, "empty: 400")
    evidence_days = _whole("Days in review, at least", 3650, 0, "empty: 90")
    bands = Bounds(label="Bands of amounts", help_text="upper bounds, ascending, one a line")
    blind_percent = forms.DecimalField(
        required=False, min_value=0, max_value=MAX_SHARE, max_digits=4, decimal_places=2, label="Shown blind (%)"
    )
    seed_percent = forms.DecimalField(
        required=False, min_value=0, max_value=MAX_SHARE, max_digits=4, decimal_places=2, label="Seeded checks (%)"
    )
    comment = forms.CharField(required=False, max_length=300, label="Why", help_text="for the history; optional")

    GROUPS = (
        ("Who looks", ("mode", "review_over", "two_approvers_over", "auto_under")),
        (
            "Caps",
            ("action_sum", "customer_day_count", "customer_day_sum", "account_day_count", "account_day_sum",
             "day_count", "day_sum"),
        ),
        ("Where and when", ("destinations", "cool_down_hours", "expires_hours", "undo_seconds", "timezone", "days",
                            "opens", "closes")),
        ("Automation", ("lower_bound", "verdicts", "evidence_days", "bands", "blind_percent", "seed_percent")),
        ("This change", ("comment",)),
    )  # fmt: skip

    def __init__(self, *args: Any, account: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if account:
            del self.fields["day_count"], self.fields["day_sum"]
        for name, field in self.fields.items():
            described = [f"bo-{name}-help"] * bool(field.help_text) + [f"bo-{name}-error"] * bool(self.errors.get(name))
            if described and name != "days":
                field.widget.attrs["aria-describedby"] = " ".join(described)

    def groups(self) -> Iterable[tuple[str, list[forms.BoundField]]]:
        for title, names in self.GROUPS:
            yield title, [self[name] for name in names if name in self.fields]

    def clean_timezone(self) -> str:
        name: str = self.cleaned_data["timezone"].strip()
        if name:
            try:
                ZoneInfo(name)
            except (ValueError, OSError, LookupError):
                raise forms.ValidationError("This time zone is not known; write it as Europe/Vienna.")
        return name

    def clean_lower_bound(self) -> str:
        text: str = self.cleaned_data["lower_bound"].strip() or default_bar()["lower_bound"]
        if not re.fullmatch(r"0\.[0-9]{1,6}", text) or Decimal(text) < Decimal("0.5"):
            raise forms.ValidationError("Write a share from 0.5 to below 1, such as 0.99.")
        return text

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        times = [data.get("opens", ""), data.get("closes", "")]
        if any(times) or data.get("days"):
            if not data.get("days"):
                self.add_error("days", "Choose at least one day, or empty the hours.")
            for name, also in (("opens", ""), ("closes", "24:00")):
                if not (_CLOCK.fullmatch(data.get(name, "")) or (also and data.get(name) == also)):
                    self.add_error(name, "Write a time of the day as HH:MM, such as 09:00.")
            if not self.errors and data["opens"] >= data["closes"]:
                self.add_error("closes", "The hours must end after they begin, on the same day.")
        return data

    def values(self) -> dict[str, Any]:
        data = self.cleaned_data
        bar = default_bar()
        hours = {"days": [day for day in DAYS if day in data["days"]], "from": data["opens"], "to": data["closes"]}
        return {
            "mode": data["mode"],
            "review_over": data["review_over"],
            "two_approvers_over": data["two_approvers_over"],
            "auto_under": data["auto_under"],
            "caps": self._caps(),
            "destinations": data["destinations"],
            "cool_down_hours": data["cool_down_hours"] or 0,
            "expires_hours": data["expires_hours"],
            "timezone": data["timezone"],
            "hours": hours if data["days"] else {},
            "undo_seconds": data["undo_seconds"] or 0,
            "automation_bar": {
                "lower_bound": data["lower_bound"],
                "verdicts": data["verdicts"] or bar["verdicts"],
                "days": bar["days"] if data["evidence_days"] is None else data["evidence_days"],
            },
            "bands": data["bands"],
            "blind_percent": data["blind_percent"] or Decimal(0),
            "seed_percent": data["seed_percent"] or Decimal(0),
        }

    def _caps(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for scope in SCOPES:
            count, sums = self.cleaned_data.get(f"{scope}_count"), self.cleaned_data.get(f"{scope}_sum")
            limits = ({"count": count} if count is not None else {}) | ({"sum": sums} if sums else {})
            if limits:
                found[scope] = limits
        return found


def initial(row: Policy) -> dict[str, Any]:
    """What the form shows of a policy."""
    found: dict[str, Any] = {
        name: getattr(row, name) for name in ("mode", "expires_hours", "timezone", "blind_percent", "seed_percent")
    }
    found |= {name: write_money(getattr(row, name)) for name in ("review_over", "two_approvers_over", "auto_under")}
    found |= {name: getattr(row, name) or None for name in ("cool_down_hours", "undo_seconds")}
    sums: dict[str, dict[str, int]] = {}
    caps: Iterable[Cap] = Terms(caps=row.caps).all_caps()
    for cap in caps:
        if cap.currency:
            sums.setdefault(f"{cap.scope}_sum", {})[cap.currency] = cap.limit
        else:
            found[f"{cap.scope}_count"] = cap.limit
    found |= {name: write_money(amounts) for name, amounts in sums.items()}
    bands = ((bound, code) for code in sorted(row.bands) for bound in row.bands[code])
    return found | {
        "destinations": "\n".join(row.destinations),
        "days": row.hours.get("days", []),
        "opens": row.hours.get("from", ""),
        "closes": row.hours.get("to", ""),
        "lower_bound": row.automation_bar["lower_bound"],
        "verdicts": row.automation_bar["verdicts"],
        "evidence_days": row.automation_bar["days"],
        "bands": "\n".join(format_money(bound, code) for bound, code in bands),
    }


class WhichForm(forms.Form):
    """For whom a new policy is."""

    kind = forms.ChoiceField(label="Kind")
    account = forms.CharField(
        required=False, max_length=64, label="Account", help_text="a connected account, acct_…; empty: all accounts"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = [(kind.name, kind.label) for kind in registry.kinds()]
        self.fields["kind"].choices = [("*", "every kind that has none of its own"), *kinds]  # type: ignore[attr-defined]

    def clean_account(self) -> str:
        account: str = self.cleaned_data["account"].strip()
        if account and not _ACCOUNT.fullmatch(account):
            raise forms.ValidationError("Write a connected account (acct_…), or nothing for all accounts.")
        return account
