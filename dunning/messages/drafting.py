"""A message as it is to be approved: a text, or a model's words, filled with the invoice's figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from billingops.brands.models import Brand
from billingops.llm.texts import fill_frame
from dunning.messages import bundle as bundles
from dunning.messages import texts
from dunning.messages.languages import day_text, money_text
from dunning.messages.rendering import HOSTED, LINK

if TYPE_CHECKING:
    from dunning.facts import Snapshot


@dataclass(frozen=True)
class Draft:
    """`body` still has {link} and perhaps {hosted} in it, nothing else to fill. `invoices`: ids of all it speaks of."""

    template: str
    language: str
    subject: str
    body: str
    brand: str = ""
    tone: str = ""
    channel: str = "email"
    invoices: list[str] = field(default_factory=list)

    def params(self, not_before: datetime | None = None) -> dict[str, Any]:
        """The parameters of a `notify_customer` suggestion."""
        return {
            "template": self.template,
            "language": self.language,
            "subject": self.subject,
            "body": self.body,
            "brand": self.brand,
            "tone": self.tone,
            "channel": self.channel,
            "invoices": self.invoices,
            "not_before": not_before.isoformat() if not_before else "",
        }


# What a suggestion of the first version lacks; it can still be approved, edited and sent.
OLDER: dict[str, Any] = {"brand": "", "tone": "", "channel": "email", "invoices": [], "not_before": ""}


def draft(
    *,
    template: str,
    snapshot: Snapshot,
    deadline: datetime,
    words: tuple[str, str] | None = None,
    bundle: Sequence[Any] = (),
    brand: Brand | None = None,
    tone: str = "",
    channel: str = "email",
) -> Draft:
    """Fill a text, or `words` (subject and body in the same frame, from a model), with the invoice's figures.

    `bundle`: other overdue invoices of the customer (InvoiceFacts, Snapshots or bundle.Entry), which a list then names.
    `brand`: whose texts and language apply; None: the built-in ones. Raises KeyError for a field the frame does not
    have, TemplateDoesNotExist for an unknown template.
    """
    template = texts.of_channel(template, channel)
    language = texts.language_of(template, snapshot.customer.locale if snapshot.customer else "", brand)
    subject, body = words or texts.frame(template, language, brand)
    listed = bundles.entries(snapshot, bundle)
    values = dict(values_of(snapshot, deadline, language, brand))
    if texts.text_of(template).thanks:
        values["amount"] = money_text(snapshot.paid, snapshot.invoice.currency, language)
    if listed:
        values["invoices"] = bundles.as_text(listed, language)
        body = with_list(body, texts.piece("_several", language, brand))
    body = with_tone(body, template, tone, language, brand)
    hosted = channel == "email" and bool(snapshot.invoice.hosted_invoice_url)
    if hosted and HOSTED not in body and LINK in body and not texts.text_of(template).to_hosted:
        body = with_hosted_line(body, texts.piece("_hosted", language, brand))
    return Draft(
        template=template,
        language=language,
        subject=one_line(fill_frame(subject, values)),
        body=fill_frame(body, values).strip(),
        brand=brand.slug if brand is not None else "",
        tone=tone,
        channel=channel,
        invoices=[entry.invoice for entry in listed] or [snapshot.invoice.id],
    )


def values_of(snapshot: Snapshot, deadline: datetime, language: str, brand: Brand | None = None) -> Mapping[str, str]:
    invoice = snapshot.invoice
    return {
        "amount": money_text(invoice.amount_remaining, invoice.currency, language),
        "invoice": invoice.number or invoice.id,
        "deadline": day_text(deadline, language),
        "brand": brand.name if brand is not None else "",
        "link": LINK,
        "hosted": HOSTED,
    }


def with_list(body: str, piece: str) -> str:
    """The list of invoices after the paragraph that names this one, unless the text has a place for it."""
    if "{invoices}" in body:
        return body
    blocks = re.split(r"\n\s*\n", body.strip())
    at = next((index for index, block in enumerate(blocks) if "{amount}" in block or "{invoice}" in block), 0)
    return "\n\n".join([*blocks[: at + 1], piece, *blocks[at + 1 :]])


def with_tone(body: str, template: str, tone: str, language: str, brand: Brand | None) -> str:
    """The paragraph that a firm or final message adds, before the last one (which thanks)."""
    if tone not in ("firm", "final") or not texts.text_of(template).toned:
        return body
    blocks = re.split(r"\n\s*\n", body.strip())
    return "\n\n".join([*blocks[:-1], texts.piece(f"_{tone}", language, brand), *blocks[-1:]])


def with_hosted_line(body: str, line: str) -> str:
    """`line` under the link where that is a paragraph of its own, else at the end. Portal links live for minutes; the
    hosted invoice page is there for whoever reads the message later."""
    alone = f"\n\n{LINK}\n"
    return body.replace(alone, f"{alone}\n{line}\n", 1) if alone in body else f"{body.rstrip()}\n\n{line}"


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:200]
