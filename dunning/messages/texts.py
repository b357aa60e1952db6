"""Which texts there are and what each must name; a brand's own text where it has one, else the built-in file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from django.template.exceptions import TemplateDoesNotExist
from django.template.loader import render_to_string, select_template

from billingops.brands.models import Brand
from dunning.messages import overrides
from dunning.messages.languages import FALLBACK

FIELDS = ("amount", "invoice", "link", "deadline")  # what a model may write
ALL_FIELDS = (*FIELDS, "hosted", "invoices", "brand")
SUBJECT_FIELDS = ("amount", "invoice", "deadline", "brand")
OWED = ("amount", "invoice", "link")


@dataclass(frozen=True, slots=True)
class Text:
    """`required`: fields without which it says too little. `toned`: firm and final add a paragraph to it. `courtesy`:
    nothing is owed by reason of it, so it is what a customer may unsubscribe from by law (docs/messages.md).
    `to_hosted`: its link is the invoice's hosted page, where the bank's confirmation happens. `alone`: it speaks of its
    own invoice whatever else is owed. `thanks`: for an invoice that is paid."""

    label: str
    required: tuple[str, ...] = OWED
    toned: bool = True
    courtesy: bool = False
    to_hosted: bool = False
    alone: bool = False
    thanks: bool = False
    channel: str = "email"


TEXTS: dict[str, Text] = {
    "payment_failed": Text("The payment failed"),
    "retry_planned": Text("It will be tried again", toned=False),
    "card_expired": Text("The card has expired"),
    "card_expiring": Text("The card is about to expire", ("link",), toned=False, courtesy=True),
    "confirm_payment": Text("The bank asks for a confirmation (3-D Secure)", to_hosted=True),
    "check_details": Text("Card details do not match"),
    "new_method_needed": Text("Another payment method is needed"),
    "bank_details": Text("A bank debit failed"),
    "tax_location": Text("The address is missing for the tax", ("invoice", "link"), toned=False),
    "reminder": Text("Reminder"),
    "last_notice": Text("Last notice", toned=False),
    "grace_started": Text("A grace period has begun", (*OWED, "deadline"), toned=False),
    "service_paused": Text("The service is paused", toned=False, alone=True),
    "recovered": Text(
        "Thank you, it is paid", ("amount", "invoice"), toned=False, courtesy=True, alone=True, thanks=True
    ),
    "promise_reminder": Text("Reminder of a promise", (*OWED, "deadline"), toned=False),
    "phone_reminder": Text("What to say on the phone", ("amount", "invoice"), toned=False, channel="phone"),
    "phone_last_notice": Text("What to say in the last call", ("amount", "invoice"), toned=False, channel="phone"),
    "post_reminder": Text("Letter", ("amount", "invoice"), toned=False, channel="post"),
    "post_last_notice": Text("Last letter", ("amount", "invoice"), toned=False, channel="post"),
}
# Pieces that code adds, with the field each must have.
PIECES: dict[str, tuple[str, ...]] = {
    "_hosted": ("hosted",),
    "_several": ("invoices",),
    "_unsubscribe": ("unsubscribe",),
    "_footer": ("help",),
    "_firm": ("deadline",),
    "_final": ("deadline",),
}
TONES = ("friendly", "firm", "final")
CHANNELS = ("email", "phone", "post")


def text_of(template: str) -> Text:
    return TEXTS.get(template) or Text(template)


def thanks() -> tuple[str, ...]:
    """The texts that are for an invoice that is paid."""
    return tuple(name for name, text in TEXTS.items() if text.thanks)


def of_channel(template: str, channel: str) -> str:
    """The text that says `template` over `channel`: a call and a letter have a first and a last form."""
    if channel == "email" or text_of(template).channel == channel:
        return template
    return f"{channel}_last_notice" if template == "last_notice" else f"{channel}_reminder"


def language_of(template: str, locale: str, brand: Brand | None = None) -> str:
    """The customer's language if the brand speaks it and there is such a text, else the brand's own, else English."""
    wanted = locale.lower().replace("_", "-")
    own = brand.default_language if brand is not None and brand.is_stored else FALLBACK
    for candidate in (wanted, wanted.partition("-")[0], own):
        if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})?", candidate):
            continue
        if (brand is None or brand.speaks(candidate)) and _exists(template, candidate, brand):
            return candidate
    return FALLBACK


def _exists(template: str, language: str, brand: Brand | None) -> bool:
    if overrides.active(brand, template, language) is not None:
        return True
    try:
        select_template([f"email/dunning/{language}/{template}.txt"])
    except TemplateDoesNotExist:
        return False
    return True


def frame(template: str, language: str, brand: Brand | None = None) -> tuple[str, str]:
    """Subject and body of a text, fields in place."""
    if (own := overrides.active(brand, template, language)) is not None:
        return own.subject, own.body
    return built_in(template, language)


def built_in(template: str, language: str) -> tuple[str, str]:
    """Its first line reads "Subject: …". Raises TemplateDoesNotExist."""
    text = render_to_string(f"email/dunning/{language}/{template}.txt")
    head, _, body = text.partition("\n")
    return head.removeprefix("Subject:").strip(), body.strip()


def piece(name: str, language: str, brand: Brand | None = None) -> str:
    """A piece that code adds, in `language`, else in English."""
    if (own := overrides.active(brand, name, language)) is not None:
        return own.body
    names = [f"email/dunning/{language}/{name}.txt", f"email/dunning/{FALLBACK}/{name}.txt"]
    return select_template(names).render().strip()


@cache
def labels() -> tuple[tuple[str, str], ...]:
    pieces = (
        ("_hosted", "Part: the invoice's hosted page"),
        ("_several", "Part: the list of several invoices"),
        ("_unsubscribe", "Part: how to unsubscribe"),
        ("_footer", "Part: where to ask"),
        ("_firm", "Part: what a firm message adds"),
        ("_final", "Part: what a final message adds"),
    )
    return (*((name, text.label) for name, text in TEXTS.items()), *pieces)
