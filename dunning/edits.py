"""What a person may change of a dunning step before it is approved: a message's words, a retry's time. Never an amount.

A message is edited as it was drafted: with fields in the place of every figure, date and link. Code puts the figures
back from the sealed facts; words that bring a figure or a link of their own are refused. No network.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from approvals.models import Suggestion
from approvals.registry import Editable
from billingops.brands import current
from billingops.exceptions import InvalidInput
from billingops.llm.texts import fill_frame, frame_problem, numbers_not_in_facts
from dunning import facts, messages, methods
from dunning.messages import bundle, drafting, overrides, texts
from dunning.plan import caps, permits

DEADLINE_DAYS = 120  # how far from its making a message's own deadline is looked for
BODY_LIMIT, SUBJECT_LIMIT = 2500, 120
_DOMAIN = re.compile(r"\w\.[a-z]{2,}\b", re.IGNORECASE)
_FIELD = re.compile(r"\{[a-z]+\}")
FIGURES = "figures, dates and links stand in fields: {amount} {invoice} {deadline} {link} {invoices}"


# -- notify_customer ---------------------------------------------------------------------------------------------------


def fields_of(suggestion: Suggestion) -> dict[str, str]:
    """What the fields of this message stand for: the sealed facts' figures and list of invoices, the deadline it was
    drafted with, the brand's name (left out what it does not name)."""
    sealed, language = suggestion.facts, suggestion.params["language"]
    words = f"{suggestion.params['subject']}\n{suggestion.params['body']}"
    values = {
        "amount": messages.money_text(
            sealed.get("amount_paid", sealed["amount_remaining"]), sealed["currency"], language
        ),
        "invoice": sealed.get("invoice_number") or sealed["invoice"],
    }
    if listed := _listed(words):
        values["invoices"] = listed
    if deadline := _deadline(suggestion, words):
        values["deadline"] = deadline
    name = current.by_slug(suggestion.params.get("brand", ""), suggestion.account).name
    if _stands_in(name, words):
        values["brand"] = name
    return values


def _deadline(suggestion: Suggestion, words: str) -> str:
    """The date that stands in the message: one that code wrote there, so it is found by writing it again."""
    words = words.replace(_listed(words), "")
    for days in range(-1, DEADLINE_DAYS):
        text = messages.day_text(suggestion.created_at + timedelta(days=days), suggestion.params["language"])
        if _stands_in(text, words):
            return text
    return ""


def _listed(words: str) -> str:
    """The list of several invoices that code wrote: its lines, and the sums under them."""
    match = bundle.WRITTEN.search(words)
    return match.group() if match else ""


def _whole(value: str) -> str:
    """A pattern for `value`, not as a part of a longer word or figure. Japanese writes without spaces, so a letter of
    another script beside it ends it, too."""
    return rf"(?<![0-9A-Za-z]){re.escape(value)}(?![0-9A-Za-z])"


def _stands_in(value: str, words: str) -> bool:
    return bool(value) and re.search(_whole(value), words) is not None


def in_fields(text: str, values: Mapping[str, str]) -> str:
    """The filled text with its fields back in place; the longest value first."""
    for name, value in sorted(values.items(), key=lambda pair: -len(pair[1])):
        text = re.sub(_whole(value), f"{{{name}}}", text)
    return text


def present_subject(suggestion: Suggestion) -> str:
    return in_fields(suggestion.params["subject"], fields_of(suggestion))


def present_body(suggestion: Suggestion) -> str:
    return in_fields(suggestion.params["body"], fields_of(suggestion))


def edit_notice(suggestion: Suggestion, changes: Mapping[str, str]) -> dict[str, Any]:
    """The message's params with the words of `changes` (subject, body) in place, filled by code."""
    params = {**drafting.OLDER, **suggestion.params}
    values, text = fields_of(suggestion), texts.text_of(params["template"])
    subject = " ".join(changes.get("subject", present_subject(suggestion)).split())
    body = changes.get("body", present_body(suggestion)).replace("\r\n", "\n").strip()
    links = {messages.LINK.strip("{}"): messages.LINK} if params["channel"] == "email" else {}
    if messages.HOSTED in params["body"]:
        links[messages.HOSTED.strip("{}")] = messages.HOSTED
    in_subject = [name for name in texts.SUBJECT_FIELDS if name in values]
    if problem := frame_problem(subject, allowed=in_subject, limit=SUBJECT_LIMIT) or _own_figures(subject):
        raise InvalidInput(f"Subject: {problem}; {FIGURES}.", field="subject")
    required = [name for name in text.required if name in {**values, **links}]
    required += ["invoices"] if "invoices" in values else []
    if wrong_frame := frame_problem(body, allowed={*values, *links}, required=required, limit=BODY_LIMIT):
        raise InvalidInput(f"Message: {wrong_frame}; {FIGURES}.", field="body")
    if figure := _own_figures(body):
        raise InvalidInput(f"Message: {figure}; {FIGURES}.", field="body")
    for field, words in (("subject", subject), ("body", body)):
        if found := messages.never_say(words, params["language"]):
            raise InvalidInput(f"A customer must not read “{found}”.", field=field)
        if wrong := overrides.own_words_problem(words, params["language"]):
            raise InvalidInput(f"{field.capitalize()}: {wrong}; {FIGURES}.", field=field)
    filled = {**values, **links}
    return {**params, "subject": fill_frame(subject, filled), "body": fill_frame(body, filled)}


def _own_figures(text: str) -> str:
    """A number or an address that the frame's own check lets pass: in other scripts, in words, or hidden."""
    words = _FIELD.sub(" ", text)
    for form in (words, unicodedata.normalize("NFKC", words)):
        for sign in form:
            group = unicodedata.category(sign)
            if group.startswith("N"):
                return f"the text writes a figure ({sign})"
            if group == "Cf" or (group == "Cc" and sign not in "\n\t"):
                return "the text has an invisible character"
        if found := numbers_not_in_facts(form, {}):
            return f"the text writes a figure ({found[0]})"
        if frame_problem(form, allowed=(), limit=10 * BODY_LIMIT) or _DOMAIN.search(form):
            return "the text writes a link, an address or markup"
    return ""


NOTICE_FIELDS = (
    Editable(
        "subject", "Subject", help="One line. {amount} and {invoice} stand for the figures.", present=present_subject
    ),
    Editable(
        "body",
        "Message",
        widget="textarea",
        help="Keep the fields: {amount}, {invoice}, {link}, {invoices}… No figure, date or link of your own.",
        present=present_body,
        shown=lambda suggestion: messages.as_shown(suggestion.params["body"]),
    ),
)


# -- retry_payment -----------------------------------------------------------------------------------------------------


def edit_retry(suggestion: Suggestion, changes: Mapping[str, str]) -> dict[str, Any]:
    """The retry's params with its time moved to `changes["at"]`; "now" becomes "at". The amount stays what is owed."""
    if changes.get("when", "at") != "at":
        raise InvalidInput("Only the time can be changed; reject it if it should not happen.", field="when")
    at, now = _moment(changes.get("at", "")), timezone.now()
    if problem := permits.no_time_for_a_retry(at, now):
        raise InvalidInput(f"{problem}. Nothing was changed.", field="at")
    if cap := _over_cap(suggestion, at):
        raise InvalidInput(f"{cap} by then. Nothing was changed.", field="at")
    return {**suggestion.params, "when": "at", "at": at.isoformat()}


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput("Write the time as 2026-11-28T09:00; it is UTC unless it says otherwise.", field="at")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _over_cap(suggestion: Suggestion, at: datetime) -> str:
    """The network's cap that forbids a charge at that time, as the mirror counts; it is asked again before the call."""
    method = methods.read(suggestion.facts.get("payment_method", ""), suggestion.account, live=False)
    record = facts.card_record(method, facts.declined_of(suggestion.customer), at)
    failure = suggestion.facts.get("failure", {})
    brand = method.brand or (failure.get("card_brand", "") if failure.get("payment_method") == method.id else "")
    return caps.over_cap(brand, last_day=record.last_day, last_30_days=record.last_30_days)


def present_time(suggestion: Suggestion) -> str:
    """As an <input type=datetime-local> takes it, UTC; empty for "now"."""
    at = suggestion.params["at"]
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%dT%H:%M}" if at else ""


def shown_time(suggestion: Suggestion) -> str:
    at = suggestion.params["at"]
    return f"{datetime.fromisoformat(at).astimezone(UTC):%a %d %b %Y, %H:%M} UTC" if at else "now, once it is approved"


RETRY_FIELDS = (
    Editable("when", "When", widget="hidden"),  # moved by the time, never by itself
    Editable(
        "at",
        "Time of the attempt (UTC)",
        widget="datetime",
        help="Not in the past, within 30 days, between 06:00 and 22:00 UTC, within the card network's limits.",
        present=present_time,
        shown=shown_time,
    ),
)
