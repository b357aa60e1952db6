"""The one place where a mail is put together: for sending, and for showing beforehand exactly what will be sent.

multipart/related                 (only with a logo)
  multipart/alternative
    text/plain, text/html
  image/png                       inline, by Content-ID
"""

from __future__ import annotations

from dataclasses import dataclass
from email.mime.image import MIMEImage
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils.crypto import salted_hmac

from billingops.brands.models import Brand, logo_of
from dunning.messages import rendering, texts
from dunning.messages.rendering import Links, Look
from dunning.models import Message

NO_LINKS = Links()
NOBODY = "customer@example.invalid"  # in the place of an address that is not known yet, or not kept


@dataclass(frozen=True)
class Envelope:
    """What a mail carries beside its words. `references`: Message-IDs of the conversation, the first one first."""

    address: str = NOBODY
    links: Links = NO_LINKS
    reply_to: str = ""
    references: tuple[str, ...] = ()


def build(message: Message, brand: Brand, envelope: Envelope) -> EmailMultiAlternatives:
    """The mail of `message`, which need not be stored. One statement, for the logo.

    An unsubscribe address also goes into the headers that mail programs show as a button (RFC 2369; RFC 8058 for one
    click, which needs https).
    """
    links = envelope.links
    body, footed = rendering.parted(without_missing(message.body_text, links))
    headers = {"Message-ID": message.message_id, "Auto-Submitted": "auto-generated"}
    if message.language:
        headers["Content-Language"] = message.language
    if envelope.references:
        headers["In-Reply-To"] = envelope.references[-1]
        headers["References"] = " ".join(envelope.references)
    if links.unsubscribe and rendering.UNSUBSCRIBE in message.body_text:
        headers["List-Unsubscribe"] = f"<{links.unsubscribe}>"
        if links.unsubscribe.startswith("https://"):
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail = EmailMultiAlternatives(
        subject=message.subject,
        body=rendering.with_links(
            message.body_text, link=links.link, hosted=links.hosted, unsubscribe=links.unsubscribe
        ),
        from_email=sender(brand),
        to=[envelope.address],
        reply_to=[envelope.reply_to] if envelope.reply_to else None,
        headers=headers,
    )
    if message.pk:  # a mail provider gives it back with each report (contact/receivers.py); plain SMTP passes it over
        mail.metadata = {"message": str(message.pk)}  # type: ignore[attr-defined]
    look = rendering.look_of(brand)
    mail.attach_alternative(html(message, body, footed, look, links), "text/html")
    if look.cid:
        mail.mixed_subtype = "related"  # type: ignore[attr-defined]  # the stubs lack it
        mail.attach(picture(brand.logo(), look.cid))
    return mail


def without_missing(text: str, links: Links) -> str:
    """The text without the paragraphs whose page there is none of, places still in it."""
    hosted = rendering.HOSTED if links.hosted else ""
    unsubscribe = rendering.UNSUBSCRIBE if links.unsubscribe else ""
    return rendering.with_links(text, link=rendering.LINK, hosted=hosted, unsubscribe=unsubscribe)


def html(message: Message, body: str, footed: list[str], look: Look, links: Links) -> str:
    return rendering.as_html(
        message.subject,
        body,
        message.language,
        links.link,
        links.hosted,
        unsubscribe=links.unsubscribe,
        footed=footed,
        look=look,
        payment=texts.text_of(message.template).to_hosted,
    )


def picture(png: bytes, cid: str) -> MIMEImage:
    part = MIMEImage(png, _subtype="png")
    part.add_header("Content-ID", f"<{cid}>")
    part.add_header("Content-Disposition", "inline", filename="logo.png")
    return part


def logo_of_cid(cid: str) -> bytes:
    """The picture that a message of ours names, b"" for any other name."""
    return logo_of(cid.removeprefix("logo.")) if cid.startswith("logo.") else b""


def sender(brand: Brand) -> str:
    """The From header: the brand's name and address, else the installation's own line as it stands."""
    if not brand.is_stored:
        return settings.DEFAULT_FROM_EMAIL
    return brand.sender(parseaddr(settings.DEFAULT_FROM_EMAIL)[1])


def domain(brand: Brand) -> str:
    """For Message-IDs."""
    return parseaddr(sender(brand))[1].rpartition("@")[2] or "localhost"


def asks_unsubscribe(brand: Brand, template: str) -> bool:
    """Whether a message says how to stop such messages: always where the brand wants it, else in what is a courtesy."""
    return brand.unsubscribe == Brand.Unsubscribe.ALWAYS or texts.text_of(template).courtesy


def address_hash(address: str) -> str:
    """Keyed, so that the list of hashes tells nothing to somebody who lacks the key."""
    return salted_hmac("dunning.address", address.strip().lower(), algorithm="sha256").hexdigest()
