"""/admin/settlements/sharerule/try/: try a rule on a made-up invoice. It answers with figures and changes nothing, also
when it is posted to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from billingops import access
from billingops.config import CURRENCIES, ConfigError
from billingops.exceptions import InvalidInput
from billingops.money import minor_digits
from billingops.stripe.facts import LineFacts
from settlements import rules
from settlements.explain import Example, Explanation
from settlements.explain_input import MAX_TEXT, read_text, try_out
from settlements.models import ShareRule

ROWS = 4
SUGGESTED = 200  # names of rules that the browser offers
PLACEHOLDER = """\
name: bakery-by-volume
seller: acct_…
share:
  type: tiered
  period: month
  currency: usd
  tiers: [{up_to: 1000000, seller: "70"}, {seller: "80"}]
valid_from: 2026-01-01"""


def _amount(label: str, **more: Any) -> forms.DecimalField:
    widget = forms.TextInput(attrs={"inputmode": "decimal", "size": 10})
    return forms.DecimalField(
        label=label, required=False, max_digits=15, decimal_places=3, widget=widget, localize=False, **more
    )


class TryForm(forms.Form):
    text = forms.CharField(
        label="A rule as in the config file",
        required=False,
        max_length=MAX_TEXT,
        widget=forms.Textarea(attrs={"rows": 9, "spellcheck": "false", "placeholder": PLACEHOLDER, "cols": 60}),
        help_text="One rule, a list of rules, or rules: and sellers: as in the file. It is not saved.",
    )
    name = forms.CharField(
        label="Or a stored rule", required=False, max_length=80, widget=forms.TextInput(attrs={"list": "known-rules"})
    )
    version = forms.IntegerField(
        label="Its version", required=False, min_value=1, max_value=10**6, help_text="Empty: the latest."
    )
    stored = forms.BooleanField(
        label="The other stored rules take part",
        required=False,
        help_text="As they would: the most specific rule wins.",
    )
    currency = forms.CharField(label="Currency of the invoice", max_length=3)
    paid_on = forms.DateField(label="Paid on", widget=forms.DateInput(attrs={"type": "date"}), help_text="UTC.")
    seller = forms.CharField(
        label="Seller", required=False, max_length=64, help_text="acct_…, as the invoice's metadata would name it."
    )
    tier = forms.CharField(label="Customer's tier", required=False, max_length=40, help_text="metadata.tier")
    volume = _amount("Volume of the period so far", help_text="For tiered rules: the sum of the bases before this one.")
    stripe_fee = _amount("Stripe's fee", min_value=0, help_text="On the whole payment.")

    def clean_currency(self) -> str:
        code: str = self.cleaned_data["currency"].strip().lower()
        if code not in CURRENCIES:
            raise ValidationError("Name a currency that Stripe knows, for example usd.")
        return code


class LineForm(forms.Form):
    amount = _amount("Amount")
    quantity = forms.IntegerField(
        required=False, min_value=0, max_value=10**9, widget=forms.TextInput(attrs={"inputmode": "numeric", "size": 4})
    )
    discount = _amount("Discount", min_value=0)
    tax_on_top = _amount("Tax on top", min_value=0)
    tax_within = _amount("Tax within", min_value=0)
    price = forms.CharField(required=False, max_length=255, widget=forms.TextInput(attrs={"placeholder": "price_…"}))
    product = forms.CharField(required=False, max_length=255, widget=forms.TextInput(attrs={"placeholder": "prod_…"}))
    seller = forms.CharField(required=False, max_length=64, widget=forms.TextInput(attrs={"placeholder": "acct_…"}))


LineFormSet = forms.formset_factory(LineForm, extra=ROWS, max_num=ROWS, absolute_max=ROWS)


def minor(amount: Decimal | None, currency: str, field: str) -> int:
    """What a person typed (`133.03`) in minor units. Raises InvalidInput for digits that the currency lacks."""
    whole = (amount or Decimal(0)).scaleb(minor_digits(currency))
    if whole != whole.to_integral_value():
        raise InvalidInput(too_fine(amount, currency), field=field)
    return int(whole)


def too_fine(amount: Decimal | None, currency: str) -> str:
    digits = minor_digits(currency)
    most = f"{digits} digits after the point at most" if digits else "no digits after the point"
    return f"{amount} has more digits than {currency.upper()}, which has {most}."


def _amounts_that_fit(form: forms.Form, currency: str) -> bool:
    """Puts a mistake at every amount that the currency cannot express; False when there is one."""
    scale = Decimal(1).scaleb(-minor_digits(currency))
    for name, value in list(form.cleaned_data.items()):
        if isinstance(value, Decimal) and value % scale:
            form.add_error(name, too_fine(value, currency))
    return not form.errors


def _line(number: int, data: dict[str, Any], currency: str) -> LineFacts:
    seller = data["seller"].strip()
    return LineFacts(
        id=f"line {number}",
        amount=minor(data["amount"], currency, "amount"),
        currency=currency,
        discount=minor(data["discount"], currency, "discount"),
        tax_inclusive=minor(data["tax_within"], currency, "tax_within"),
        tax_exclusive=minor(data["tax_on_top"], currency, "tax_on_top"),
        quantity=1 if data["quantity"] is None else data["quantity"],
        price_id=data["price"].strip(),
        product_id=data["product"].strip(),
        price_metadata={rules.SELLER_KEY: seller} if seller else {},
    )


def _example(data: dict[str, Any], lines: list[dict[str, Any]]) -> Example:
    currency = data["currency"]
    given = [line for line in lines if line.get("amount") is not None]
    if not given:
        raise InvalidInput("Give at least one line an amount.", field="lines")
    return Example(
        currency=currency,
        lines=tuple(_line(number, line, currency) for number, line in enumerate(given, start=1)),
        paid_on=data["paid_on"],
        seller=data["seller"].strip(),
        tier=data["tier"].strip(),
        volume=minor(data["volume"], currency, "volume"),
        stripe_fee=minor(data["stripe_fee"], currency, "stripe_fee"),
    )


def view(request: HttpRequest, *, context: dict[str, Any]) -> HttpResponse:
    """`context`: the admin site's. GET shows the form (`?rule=<pk>`: a stored rule), POST the figures."""
    user: Any = request.user
    if not user.has_perm("settlements.view_sharerule"):
        raise PermissionDenied("You may not see share rules.")
    mine = access.scope(ShareRule.objects.all(), user, field="seller__account")
    result: Explanation | None = None
    problems: list[str] = []
    idle: list[str] = []
    if request.method == "POST":
        form, lines = TryForm(request.POST), LineFormSet(request.POST, prefix="lines")
        valid = form.is_valid() and lines.is_valid()
        fits = [_amounts_that_fit(one, form.cleaned_data["currency"]) for one in (form, *lines)] if valid else [False]
        if all(fits):
            result, problems = _tried(form.cleaned_data, [line.cleaned_data for line in lines], user)
            idle = _idle(form.cleaned_data, result, user)
        else:
            problems = ["Correct what is marked below."]
    else:
        form, lines = TryForm(initial=_first(request, mine)), LineFormSet(prefix="lines", initial=[])
    context |= {
        "title": "Try a rule",
        "form": form,
        "lines": lines,
        "problems": problems,
        "result": result,
        "idle": idle,
        "limited": access.accounts_of(user) is not None,
        "known": sorted(set(mine.order_by("-id").values_list("name", flat=True)[:SUGGESTED])),
    }
    status = 200 if request.method != "POST" or result is not None else 400
    return TemplateResponse(request, "admin/settlements/try_rule.html", context, status=status)


def _tried(data: dict[str, Any], lines: list[dict[str, Any]], user: Any) -> tuple[Explanation | None, list[str]]:
    try:
        found = try_out(
            _example(data, lines),
            user=user,
            text=data["text"],
            name=data["name"].strip(),
            version=data["version"],
            stored=data["stored"],
        )
    except ConfigError as error:
        return None, [str(problem) for problem in error.problems]
    except InvalidInput as error:
        return None, [str(error)]
    return found, []


def _idle(data: dict[str, Any], result: Explanation | None, user: Any) -> list[str]:
    """The rules that were to be tried and count for no line: whoever pasted one looks for its share."""
    if result is None:
        return []
    tried = {plan.name for plan in read_text(data["text"], user=user).rules} if data["text"].strip() else set()
    tried |= {data["name"].strip()} - {""}
    return sorted(tried - {part.rule for line in result.lines for part in line.parts})


def _first(request: HttpRequest, mine: Any) -> dict[str, Any]:
    initial: dict[str, Any] = {
        "currency": "usd",
        "paid_on": timezone.now().date(),
        "stored": True,
    }
    pk = request.GET.get("rule", "")
    row = mine.select_related("seller").filter(pk=int(pk)).first() if pk.isascii() and pk.isdigit() else None
    if row is not None:
        seller = row.seller.account if row.seller else ""
        initial |= {"name": row.name, "version": row.version, "seller": seller}
        initial["currency"] = row.match_currency or row.currency or "usd"
    return initial
