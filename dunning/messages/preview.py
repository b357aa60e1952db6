"""A mail as it will arrive, or did: made by the very code that sends it, taken apart for a page. Reads only."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from django.utils import timezone

from approvals.models import Suggestion
from billingops.brands import current
from billingops.brands.models import Brand
from billingops.llm.texts import fill_frame
from dunning.messages import bundle, languages, mail, rendering, sending, texts
from dunning.messages.bundle import Entry
from dunning.messages.mail import Envelope
from dunning.messages.rendering import HOSTED_SHOWN, LINK_SHOWN, UNSUBSCRIBE_SHOWN, Links
from dunning.models import Message

# Stand where the customer's own addresses will; words, so that nobody takes them for a link.
SHOWN_LINKS = Links(link=LINK_SHOWN, hosted=HOSTED_SHOWN, unsubscribe=UNSUBSCRIBE_SHOWN)
_CID = re.compile(r'src="cid:([^"]+)"')


@dataclass(frozen=True)
class Shown:
    """`html` is for a sandboxed frame: the logo stands in it as data. `headers`: (name, value) of what a customer's
    mail program shows or uses. `channel` other than email: `text` is a script or a letter, and there is no HTML."""

    channel: str
    subject: str
    text: str
    language: str
    brand: str = ""
    sender: str = ""
    reply_to: str = ""
    html: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0

    @property
    def is_mail(self) -> bool:
        return self.channel == Message.Channel.EMAIL


def of_suggestion(suggestion: Suggestion) -> Shown:
    """What an approval would send. A handful of statements, no network."""
    params = suggestion.params
    brand = current.by_slug(params.get("brand", ""), suggestion.account)
    return _shown(sending.unsent(suggestion, brand), brand)


def of_message(message: Message) -> Shown:
    """What was sent: the words as they are kept, the logo that they name."""
    brand = current.by_slug(message.brand, message.account)
    shown = _shown(message, brand)
    if not shown.is_mail:
        return shown
    return Shown(**{**shown.__dict__, "html": with_pictures(message.body_html)})


def of_text(*, brand: Brand, template: str, language: str, subject: str, body: str) -> Shown:
    """What a message with these words (a frame, its fields in place) would look like to a customer who owes two
    invoices: made-up figures, for somebody who writes a text or changes a brand."""
    now = timezone.now()
    deadline = languages.day_text(now + timedelta(days=7), language)
    listed = [
        Entry("in_1", "INV-1042", 7900, "eur", now - timedelta(days=9)),
        Entry("in_2", "INV-1038", 2000, "usd", now - timedelta(days=40)),
    ]
    values = {
        "amount": languages.money_text(7900, "eur", language),
        "invoice": "INV-1042",
        "deadline": deadline,
        "brand": brand.name,
        "invoices": bundle.as_text(listed, language),
        "link": rendering.LINK,
        "hosted": rendering.HOSTED,
        "unsubscribe": rendering.UNSUBSCRIBE,
        "help": brand.help_url or "https://help.example",
    }
    subject, body = fill_frame(subject, values), fill_frame(body, values)
    channel = texts.text_of(template).channel
    text = body
    if channel == Message.Channel.EMAIL:
        asks = mail.asks_unsubscribe(brand, template)
        text = rendering.whole_text(body, rendering.footer(brand, language, unsubscribe=asks))
    message = Message(
        template=template, language=language, subject=subject, body_text=text, channel=channel, message_id="<preview>"
    )
    return _shown(message, brand)


def sample(brand: Brand, language: str = "") -> Shown:
    """A reminder in the brand's look, for its own page."""
    language = language or brand.default_language
    subject, body = texts.frame("reminder", texts.language_of("reminder", language, brand), brand)
    return of_text(brand=brand, template="reminder", language=language, subject=subject, body=body)


def _shown(message: Message, brand: Brand) -> Shown:
    if message.channel != Message.Channel.EMAIL:
        return Shown(message.channel, message.subject, message.body_text, message.language, brand.name)
    made = mail.build(message, brand, Envelope(links=SHOWN_LINKS, reply_to=brand.reply_to))
    raw = made.message().as_bytes()
    parsed = message_from_bytes(raw, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    names = ("Reply-To", "List-Unsubscribe", "List-Unsubscribe-Post", "Content-Language", "Auto-Submitted")
    return Shown(
        channel=message.channel,
        subject=str(parsed["Subject"]).strip(),
        text=text_of(parsed),
        language=message.language,
        brand=brand.name,
        sender=str(parsed["From"]),
        reply_to=brand.reply_to,
        html=with_pictures(_without_links(html_of(parsed)), brand.logo()),
        headers=[(name, str(parsed[name]).strip()) for name in names if parsed[name]],
        size=len(raw),
    )


def _without_links(html: str) -> str:
    """The words that stand for links lead nowhere."""
    for words in SHOWN_LINKS.by_place.values():
        html = html.replace(f'href="{_escaped(words)}"', "")
    return html


def _escaped(text: str) -> str:
    return text.replace("'", "&#x27;")


def text_of(parsed: EmailMessage) -> str:
    part = parsed.get_body(("plain",))
    return str(part.get_content()).rstrip("\n") if part is not None else ""


def html_of(parsed: EmailMessage) -> str:
    part: Any = parsed.get_body(("html",))
    return str(part.get_content()) if part is not None else ""


def with_pictures(html: str, logo: bytes = b"") -> str:
    """Pictures that travel with the mail, as data: a page has no mail to look into. `logo`: the brand's, where it is
    at hand; else the one that the mail names."""

    def data(match: re.Match[str]) -> str:
        png = logo or mail.logo_of_cid(match[1])
        return f'src="data:image/png;base64,{base64.b64encode(png).decode()}"' if png else 'src=""'

    return _CID.sub(data, html)


__all__ = ["SHOWN_LINKS", "Shown", "html_of", "of_message", "of_suggestion", "of_text", "text_of"]
