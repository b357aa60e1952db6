"""Forecast: cash in and out by day, its band and parts, and how near earlier forecasts came.

/admin/forecast/forecast/            seller, currency, 30, 60 or 90 days; export/ as CSV or (format=xlsx) workbook
/admin/forecast/forecast/<id>/       leads to the same page
"""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from billingops import access
from billingops.admin import export, names
from billingops.admin.base import ReadOnlyAdmin
from billingops.admin.site import site
from billingops.exceptions import InvalidInput
from billingops.money import format_money, round_half_even
from settlements.forecast import history
from settlements.forecast.choice import DAYS, Choice, OutOfReach, choose, days_of, every_day, totals
from settlements.forecast.compare import ENOUGH_DAYS
from settlements.forecast.flows import APART, IN_KINDS, LABELS, OUT_KINDS, Rate
from settlements.forecast.models import Forecast, ForecastDay
from settlements.forecast.plots import Plot, plot

_PAGE = "admin:forecast_forecast_changelist"
_FIGURES = (
    *("in_low", "in_expected", "in_high", "out_low", "out_expected", "out_high"),
    *("running_low", "running_expected", "running_high"),
)
EXPORT = ("made_on", "seller", "currency", "day", *_FIGURES, *IN_KINDS, *OUT_KINDS)
WHAT = {
    "renewals": "Active and trialing subscriptions renew at price × quantity; the collection rate says how much of it "
    "is paid. It counts when Stripe makes it available. New customers and price changes are not assumed.",
    "scheduled": "What sellers earned and may be paid, on the day that their schedule says.",
    "holds": "Earned, but still within the seller's hold days; it goes out with the payout after them.",
    "reserves": "Kept back of earlier invoices; it goes out with the payout after the reserve's last day.",
    "debts": "What a seller owes, taken off its next payouts.",
    "claims": "Money that sellers have and that refunds took back: less goes out once the reversal is approved.",
    "shares": "The sellers' part of the expected renewals, as large as it was lately, on their schedule.",
}


@admin.register(Forecast, site=site)
class ForecastAdmin(ReadOnlyAdmin):
    scope_field = "account"
    export_fields = EXPORT

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        choice = self._choice(request)
        user: Any = request.user
        rows = days_of(choice)
        days = every_day(choice, rows)
        today = timezone.now().date()
        named = names.of({*choice.accounts, choice.account, *_accounts_in(rows)} - {""}, user)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Forecast: {named.get(choice.account, choice.account) or 'the platform'}",
            "opts": self.model._meta,
            "choice": choice,
            "named": named,
            "is_limited": access.accounts_of(user) is not None,
            "sellers": [(account, named.get(account, account)) for account in choice.accounts],
            "currency_chips": _chips(choice, "currency", [(code, code.upper()) for code in choice.currencies]),
            "day_chips": _chips(choice, "days", [(str(one), f"{one} days") for one in DAYS]),
            "export_url": f"export/?{_query(choice)}",
        }
        if choice.forecast is not None:
            context |= _forecast_context(choice, rows, days, named)
            context |= _past_context(choice, today)
        return TemplateResponse(request, "admin/forecast/forecast.html", context)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """A forecast's own page is the page that shows it."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404("There is no such forecast.")
        return HttpResponseRedirect(f"{reverse(_PAGE)}?{urlencode({'account': row.account, 'currency': row.currency})}")

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        choice = self._choice(request)
        forecast = choice.forecast
        if forecast is None:
            raise Http404("There is no forecast yet.")
        return export.stream(
            request=request,
            filename="forecast.csv",
            header=EXPORT,
            rows=[_export_row(forecast, row) for row in every_day(choice, days_of(choice))],
            format=request.GET.get("format", "csv"),
        )

    def _choice(self, request: HttpRequest) -> Choice:
        if not self.has_view_permission(request):
            raise PermissionDenied
        given = {name: request.GET.get(name, "") for name in ("account", "currency", "days")}
        try:
            return choose(request.user, **given)
        except InvalidInput as problem:
            raise Http404(str(problem)) from problem
        except OutOfReach as problem:
            raise Http404(
                "There is no such forecast, or it belongs to an account that you have no access to."
            ) from problem


def _export_row(forecast: Forecast, row: ForecastDay) -> list[Any]:
    def amount(minor: int) -> export.Amount:
        return export.Amount(minor, forecast.currency)

    return [
        *(forecast.made_on, forecast.account, forecast.currency, row.day),
        *(None if (value := getattr(row, name)) is None else amount(value) for name in _FIGURES),
        *(amount(row.parts.get(kind, 0)) for kind in (*IN_KINDS, *OUT_KINDS)),
    ]


def _query(choice: Choice, **changed: str) -> str:
    given = {"account": choice.account, "currency": choice.currency, "days": str(choice.days)} | changed
    return urlencode({name: value for name, value in given.items() if value})


def _chips(choice: Choice, name: str, choices: list[tuple[str, str]]) -> list[dict[str, Any]]:
    current = str(getattr(choice, name))
    return [
        {"label": label, "url": f"?{_query(choice, **{name: value})}", "on": value == current}
        for value, label in choices
    ]


def _accounts_in(rows: list[ForecastDay]) -> set[str]:
    return {what for row in rows for _, what, _ in row.items if what.startswith("acct_")}


# -- the parts of the page ---------------------------------------------------------------------------------------------


def _forecast_context(
    choice: Choice, rows: list[ForecastDay], days: list[ForecastDay], named: dict[str, str]
) -> dict[str, Any]:
    forecast = choice.forecast
    assert forecast is not None
    given = forecast.parameters
    rate = Rate(int(given.get("paid", 0)), int(given.get("finalised", 0)))
    last = days[-1] if days else None
    return {
        "forecast": forecast,
        "last": last,
        "total_in": sum(row.in_expected for row in rows),
        "total_out": sum(row.out_expected for row in rows),
        "parts": [
            {"label": LABELS[kind], "amount": amount, "what": WHAT[kind], "out": kind in OUT_KINDS}
            for kind, amount in totals(rows).items()
        ],
        "apart": [(APART[name], amount) for name, amount in forecast.apart.items() if amount and name in APART],
        "rate": f"{round_half_even(rate.mean * 1000) / 10:.1f} %",
        "rate_sample": rate,
        "given": given,
        "rows": [_row(row, named) for row in rows],
        "plots": _plots(choice, days),
    }


def _row(row: ForecastDay, named: dict[str, str]) -> dict[str, Any]:
    items = [
        {
            "label": LABELS.get(kind, kind),
            "what": named.get(what, what),
            "account": what if what.startswith("acct_") else "",
            "amount": amount,
        }
        for kind, what, amount in row.items
    ]
    return {"day": row, "items": items}


def _plots(choice: Choice, days: list[ForecastDay]) -> list[Plot]:
    labels = [f"{row.day:%d %b}" for row in days]
    currency = choice.currency
    came, went = sum(row.in_expected for row in days), sum(row.out_expected for row in days)
    daily = plot(
        title=f"Expected cash in and out by day, {currency.upper()}",
        summary=f"In {format_money(came, currency)}, out {format_money(went, currency)}",
        currency=currency,
        labels=labels,
        bars=[("in", [row.in_expected for row in days]), ("out", [-row.out_expected for row in days])],
    )
    running = plot(
        title=f"In less out since the first day, {currency.upper()}",
        summary=f"{format_money(came - went, currency)} after {len(days)} days",
        currency=currency,
        labels=labels,
        line=("expected", [row.running_expected for row in days]),
        band=("8 of 10 cases", [(row.running_low, row.running_high) for row in days]),
    )
    return [daily, running]


def _past_context(choice: Choice, today: date) -> dict[str, Any]:
    past = history.past(account=choice.account, currency=choice.currency, today=today)
    labels = [f"{day:%d %b}" for day, *_ in past.days]
    pictures = []
    if past.inflow.enough:
        for name, bar, came, said in (
            ("in", 0, [row[1] for row in past.days], [row[2] for row in past.days]),
            ("out", 1, [row[3] for row in past.days], [row[4] for row in past.days]),
        ):
            empty: tuple[str, list[int]] = ("", [])
            bars = [empty] * bar + [(f"came {name}" if name == "in" else "went out", came)]
            pictures.append(
                plot(
                    title=f"Cash {name}: what happened, and what the newest forecast before had said",
                    summary=f"{past.inflow.days} days",
                    currency=choice.currency,
                    labels=labels,
                    bars=bars,
                    line=("forecast", [one.expected for one in said]),
                    band=("8 of 10 cases", [(one.low, one.high) for one in said]),
                    tick_every=4,
                )
            )
    return {
        "past": past,
        "past_plots": pictures,
        "verdicts": [("In", past.inflow), ("Out", past.outflow)],
        "enough_days": ENOUGH_DAYS,
    }
