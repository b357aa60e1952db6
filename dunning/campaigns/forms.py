"""The editor's form: a segment, a sequence's figures, and its lines, which can be added and removed without JavaScript.

Amounts are typed as they are read ("EUR 50.00", one a line). What cannot be read is refused at its field; what can be
read but not activated is kept with the draft and shown beside its field (validation.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import QueryDict

from approvals.admin.policy_form import Amounts, write_money
from billingops.exceptions import InvalidInput
from dunning.campaigns import content, templates, words
from dunning.campaigns.models import MAX_NOTE
from dunning.campaigns.segments import Range, Segment
from dunning.plan.sequences import Entry, Sequence, Stripe, Timing
from dunning.reasons import Category

COUNT = "lines"  # how many lines the page showed
_WHOLE = forms.NumberInput(attrs={"inputmode": "numeric"})


def _figure(label: str, help_text: str = "") -> forms.IntegerField:
    return forms.IntegerField(
        label=label, min_value=0, max_value=content.MAX_FIGURE, help_text=help_text, widget=_WHOLE
    )


class Words(forms.CharField):
    """Values with commas or blanks between them."""

    def __init__(self, *, upper: bool = False, lower: bool = False, **kwargs: Any) -> None:
        self.upper, self.lower = upper, lower
        kwargs.setdefault("widget", forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}))
        super().__init__(required=False, max_length=5000, **kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value) or ""
        text = text.upper() if self.upper else text.lower() if self.lower else text
        return sorted({one.strip() for one in self.split(text) if one.strip()})

    def split(self, text: str) -> list[str]:
        return re.split(r"[,\s]+", text)


class Tiers(Words):
    """A tier may hold a blank: commas and lines part them."""

    def split(self, text: str) -> list[str]:
        return re.split(r"[,\n]+", text)


class Days(forms.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=300, **kwargs)

    def clean(self, value: Any) -> Any:
        parts = [one for one in re.split(r"[,\s]+", super().clean(value) or "") if one]
        if any(not (one.isascii() and one.isdigit()) or len(one) > 3 for one in parts):
            raise forms.ValidationError("Days are whole numbers with commas between them: 3, 5, 7.")
        return [int(one) for one in parts]


class SegmentForm(forms.Form):
    at_least = Amounts(label="Open amount from", help_text="EUR 50.00, one currency a line; empty: any amount")
    below = Amounts(label="Open amount below", help_text="of the same currencies; empty: without an upper limit")
    prices = Words(label="Prices", help_text="price_…; empty: all")
    products = Words(label="Products", help_text="prod_…; empty: all")
    countries = Words(label="Countries", upper=True, help_text="DE, AT; empty: all")
    tiers = Tiers(label="Tiers", lower=True, help_text="the customer’s metadata “tier”; empty: all")
    categories = forms.MultipleChoiceField(
        choices=[(one.value, one.label) for one in Category],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Reason of the first failure",
        help_text="none: all",
    )
    families = forms.MultipleChoiceField(
        choices=list(words.FAMILIES.items()),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Paid by",
        help_text="none: all",
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        try:
            content.read_segment(self.segment_json())
        except InvalidInput as problem:
            field = {"amount": "below"}.get(problem.field, problem.field)
            self.add_error(field if field in self.fields else None, str(problem))
        return given

    def segment_json(self) -> dict[str, Any]:
        given = self.cleaned_data
        low, high = given.get("at_least") or {}, given.get("below") or {}
        amount = {one: {"from": low.get(one, 0), "below": high.get(one)} for one in sorted({*low, *high})}
        found = {name: given[name] for name in content.SEGMENT_KEYS[1:] if given.get(name)}
        return {**({"amount": amount} if amount else {}), **found}


def segment_initial(segment: Segment) -> dict[str, Any]:
    lists = {name: ", ".join(sorted(getattr(segment, name))) for name in ("prices", "products", "countries", "tiers")}
    ranges: Mapping[str, Range] = segment.amount
    return {
        **lists,
        "at_least": write_money({one: limits.at_least for one, limits in ranges.items()}),
        "below": write_money({one: limits.below for one, limits in ranges.items() if limits.below is not None}),
        "categories": sorted(segment.categories),
        "families": sorted(segment.families),
    }


class SequenceForm(forms.Form):
    timing = forms.ChoiceField(label="Retries", choices=[(one.value, text) for one, text in words.TIMINGS.items()])
    retry_days = Days(label="Retry days", help_text="for fixed days: 3, 5, 7")
    stripe = forms.ChoiceField(
        label="Where Stripe retries by itself", choices=[(one.value, text) for one, text in words.STRIPE.items()]
    )
    window_days = _figure("No retry later than day")
    max_attempts = _figure("Attempts, at most", "Stripe’s and the first one included")
    max_messages = _figure("Messages, at most")
    occasions = forms.MultipleChoiceField(
        choices=list(words.OCCASIONS.items()),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Also a message when",
    )
    note = forms.CharField(required=False, max_length=MAX_NOTE, label="What is different, and why")


def sequence_initial(sequence: Sequence, note: str) -> dict[str, Any]:
    return {
        "timing": Timing(sequence.timing).value,
        "retry_days": ", ".join(str(day) for day in sequence.retry_days),
        "stripe": Stripe(sequence.stripe).value,
        "window_days": sequence.window_days,
        "max_attempts": sequence.max_attempts,
        "max_messages": sequence.max_messages,
        "occasions": list(sequence.occasions),
        "note": note,
    }


class EntryForm(forms.Form):
    """One line. Fields that mean nothing for its kind are left as they are; validation says so."""

    day = _figure("Day")
    kind = forms.ChoiceField(label="What", choices=list(words.KINDS.items()))
    template = forms.ChoiceField(label="Message", required=False)
    channel = forms.ChoiceField(label="By", choices=list(words.CHANNELS.items()), required=False)
    tone = forms.ChoiceField(label="Tone", choices=list(words.TONES.items()), required=False)
    days = forms.IntegerField(label="Grace days", required=False, min_value=0, max_value=999, widget=_WHOLE)
    price = forms.CharField(label="New price", required=False, max_length=80)
    needs = forms.ChoiceField(label="Only", choices=list(words.NEEDS.items()), required=False)
    over = Amounts(label="Above", help_text="EUR 50.00", widget=forms.Textarea(attrs={"rows": 1}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "what fits the reason"), *templates.known().items()]
        self.fields["template"].choices = choices  # type: ignore[attr-defined]

    def entry_json(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "day": given["day"],
            "kind": given["kind"],
            "template": given["template"],
            "channel": given["channel"] or "email",
            "tone": given["tone"] or "friendly",
            "days": given["days"] or 0,
            "price": given["price"],
            "needs": given["needs"],
            "over": given["over"] or {},
        }


def entry_initial(entry: Entry) -> dict[str, Any]:
    return {**{name: getattr(entry, name) for name in content.ENTRY_KEYS}, "over": write_money(dict(entry.over))}


class Editor:
    """The three forms as one page. `step`: what the person pressed: add, remove:2, check or save."""

    def __init__(
        self, *, segment: Segment | None = None, sequence: Sequence | None = None, note: str = "",
        data: QueryDict | None = None,
    ) -> None:  # fmt: skip
        self.bound = data is not None
        if data is None:
            assert segment is not None
            assert sequence is not None
            self.segment = SegmentForm(initial=segment_initial(segment), prefix="segment")
            self.sequence = SequenceForm(initial=sequence_initial(sequence, note), prefix="sequence")
            self.entries = [
                EntryForm(initial=entry_initial(entry), prefix=f"line{index}")
                for index, entry in enumerate(sequence.entries)
            ]
            return
        self.segment = SegmentForm(data, prefix="segment")
        self.sequence = SequenceForm(data, prefix="sequence")
        self.entries = [EntryForm(data, prefix=f"line{index}") for index in range(line_count(data))]

    @property
    def count(self) -> int:
        return len(self.entries)

    @property
    def has_room(self) -> bool:
        return self.count < content.MAX_ENTRIES

    def is_valid(self) -> bool:
        return all([self.segment.is_valid(), self.sequence.is_valid(), *(one.is_valid() for one in self.entries)])

    @property
    def problems(self) -> int:
        return sum(len(form.errors) for form in (self.segment, self.sequence, *self.entries))

    def contents(self) -> tuple[dict[str, Any], dict[str, Any], str]:
        """(segment, sequence, note) as JSON. Only after `is_valid`."""
        given = dict(self.sequence.cleaned_data)
        note = given.pop("note").strip()
        return self.segment.segment_json(), {**given, "entries": [one.entry_json() for one in self.entries]}, note


def line_count(data: QueryDict) -> int:
    text = data.get(COUNT, "0")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    return min(number, content.MAX_ENTRIES)


def with_line(data: QueryDict) -> QueryDict:
    """One empty line more, a week after the last one."""
    changed, count = data.copy(), line_count(data)
    if count >= content.MAX_ENTRIES:
        return changed
    days = [int(text) for n in range(count) if (text := data.get(f"line{n}-day", "")).isdigit() and len(text) < 4]
    changed[COUNT] = str(count + 1)
    new = {"day": str(max(days) + 7 if days else 0), "kind": content.KINDS[0], "channel": "email", "tone": "friendly"}
    for name, value in new.items():
        changed[f"line{count}-{name}"] = value
    return changed


def without_line(data: QueryDict, index: int) -> QueryDict:
    """The line taken out, those after it moved up."""
    changed, count = data.copy(), line_count(data)
    if not 0 <= index < count:
        return changed
    for number in range(index, count):
        for name in content.ENTRY_KEYS:
            following = data.get(f"line{number + 1}-{name}") if number + 1 < count else None
            changed.pop(f"line{number}-{name}", None)
            if following is not None:
                changed[f"line{number}-{name}"] = following
    changed[COUNT] = str(count - 1)
    return changed


class CampaignForm(forms.Form):
    name = forms.SlugField(max_length=60, help_text="small letters, digits and hyphens; it never changes")
    account = forms.CharField(
        required=False, max_length=64, label="Account", help_text="a connected account, acct_…; empty: all accounts"
    )
    priority = forms.IntegerField(
        initial=0, min_value=-1000, max_value=1000, help_text="the higher one wins where two campaigns match a case"
    )
    description = forms.CharField(required=False, max_length=MAX_NOTE)


class SettingsForm(forms.Form):
    priority = CampaignForm.base_fields["priority"]
    active = forms.BooleanField(required=False, label="Takes new cases")
    description = forms.CharField(required=False, max_length=MAX_NOTE)
    version = forms.IntegerField(widget=forms.HiddenInput, min_value=0, max_value=2**31)


class TestForm(forms.Form):
    """`arms`: a name and a weight for each version chosen; the first is the active one."""

    baseline_percent = forms.DecimalField(
        label="Recovered now (%)", min_value=1, max_value=99, max_digits=5, decimal_places=2,
        help_text="what the active version is expected to recover, of 100 customers",
    )  # fmt: skip
    difference_points = forms.DecimalField(
        label="Difference worth knowing (percentage points)", min_value=0, max_value=50, max_digits=5,
        decimal_places=2, initial=5, help_text="the smaller, the more customers it takes",
    )  # fmt: skip
    seed = forms.IntegerField(
        min_value=0, max_value=2**62 - 1, help_text="divides the customers; the same seed divides them the same way"
    )


class ArmForm(forms.Form):
    use = forms.BooleanField(required=False)
    name = forms.CharField(max_length=40, required=False)
    weight = forms.IntegerField(min_value=1, max_value=100, required=False, initial=1)
    revision = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=0, max_value=2**31)
