"""Messages to customers: drafted in a frame whose figures code fills in, and sent at most once per approval.

    languages.py  amounts, dates and lists as each language writes them; words nobody is told   (pure)
    texts.py      which texts there are, a brand's own or the built-in ones, and what they must name
    bundle.py     several invoices in one message                                               (pure)
    drafting.py   a text, filled                       writing.py   the params of a suggestion, perhaps with a model
    rendering.py  the same words as text and as HTML   mail.py      the one place where a mail is put together
    sending.py    claim, deliver, settle: at most once
    by_hand.py    a letter or a call: a task for a person                 letter.py   the letter as a PDF
    preview.py    a mail that was not sent, or was, for a page            overrides.py  a brand's own texts, by version

A built-in text is a file `templates/email/dunning/<language>/<name>.txt`; a new language is new files and a row in
languages.py. Fields {amount} {invoice} {deadline} {invoices} {brand} are filled when the message is drafted, so that a
person approves the very words; {link}, the personal link to the billing portal, {hosted}, the invoice's hosted page,
and {unsubscribe} only while it is sent: they open something to whoever holds them, so none is written anywhere.
"""

from __future__ import annotations

from dunning.messages.drafting import Draft, draft, values_of
from dunning.messages.languages import FALLBACK as FALLBACK_LANGUAGE
from dunning.messages.languages import LANGUAGES, day_text, money_text, never_say
from dunning.messages.mail import address_hash
from dunning.messages.rendering import (
    HOSTED,
    HOSTED_SHOWN,
    LINK,
    LINK_SHOWN,
    UNSUBSCRIBE,
    as_html,
    as_shown,
    with_links,
)
from dunning.messages.sending import DEFINITE, claim, deliver, prepare, settle
from dunning.messages.texts import FIELDS, frame, language_of

__all__ = [
    "DEFINITE",
    "FALLBACK_LANGUAGE",
    "FIELDS",
    "HOSTED",
    "HOSTED_SHOWN",
    "LANGUAGES",
    "LINK",
    "LINK_SHOWN",
    "UNSUBSCRIBE",
    "Draft",
    "address_hash",
    "as_html",
    "as_shown",
    "claim",
    "day_text",
    "deliver",
    "draft",
    "frame",
    "language_of",
    "money_text",
    "never_say",
    "prepare",
    "settle",
    "values_of",
    "with_links",
]
