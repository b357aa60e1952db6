"""The forms of an endpoint: what it is, a new secret, a replay. The services check everything again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from billingops.outbound import addresses, kinds, services

TYPED = {"autocomplete": "off", "spellcheck": "false"}
OVERLAPS = [(24, "in 24 hours"), (72, "in 3 days"), (168, "in 7 days"), (0, "at once: it has leaked")]
SPANS = [
    (1, "the last hour"),
    (6, "the last 6 hours"),
    (24, "the last 24 hours"),
    (72, "the last 3 days"),
    (168, "the last 7 days"),
]


class EndpointForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="What your colleagues call the receiver.")
    url = forms.CharField(
        max_length=addresses.MAX_URL,
        label="URL",
        help_text="https://… Private addresses are refused unless the settings name their network.",
        widget=forms.URLInput(attrs=TYPED),
    )
    types = forms.MultipleChoiceField(
        label="Events", required=False, help_text="None chosen: all of them.", widget=forms.CheckboxSelectMultiple
    )
    timeout_seconds = forms.IntegerField(
        min_value=1, max_value=30, initial=10, label="Time-out in seconds", help_text="For one attempt, 1 to 30."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(type, f"{type} – {sentence}") for type, sentence in kinds.known().items() if type != kinds.PING]
        self.fields["types"].choices = choices  # type: ignore[attr-defined]


class NewEndpointForm(EndpointForm):
    account = forms.RegexField(
        r"^acct_[A-Za-z0-9_]{1,59}$",
        label="Connected account",
        required=False,
        help_text="acct_…: told of this account alone. Empty: the platform's own, told of all accounts.",
        widget=forms.TextInput(attrs={**TYPED, "placeholder": "acct_…"}),
    )


class RotateForm(forms.Form):
    overlap_hours = forms.TypedChoiceField(
        coerce=int,
        choices=OVERLAPS,
        label="Earlier secrets end",
        help_text="Until then messages carry a signature of each, so the receiver can change over when it likes.",
    )


class ReplayForm(forms.Form):
    hours = forms.TypedChoiceField(
        coerce=int,
        choices=SPANS,
        label="Events of",
        help_text=f"At most {services.MOST_REPLAYED:,}. The API takes any time.",
    )

    def since(self) -> Any:
        return timezone.now() - timedelta(hours=self.cleaned_data["hours"])
