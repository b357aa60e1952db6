"""From the bytes of an incoming mail to what it is: a delivery report, a complaint, an automatic answer, an answer.

Pure; takes anything. What is no mail, or is made to trip a parser, is UNREADABLE. Sources: RFC 3464 (delivery reports),
RFC 5965 (complaints, "ARF"), RFC 3834 (automatic answers), RFC 8098 (read receipts).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import Message as Mail
from email.utils import getaddresses, parseaddr
from enum import StrEnum

from dunning.contact import codes, wording

MAX_PARTS = 200
MAX_IDS = 50
MAX_HEADER = 20_000
MAX_BODY = 200_000
_ID = re.compile(r"<[^<>\s]{1,250}>")
_ID_LINE = re.compile(r"^message-id:\s*(<[^<>\s]{1,250}>)", re.IGNORECASE | re.MULTILINE)
_TO = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")
_ROBOTS = ("mailer-daemon", "postmaster", "mail-daemon", "mailerdaemon")
_AUTO_HEADERS = ("X-Autoreply", "X-Autorespond", "X-Auto-Reply", "X-FC-MachineGenerated", "List-Id", "Feedback-ID")
_AUTO_SUBJECT = re.compile(
    r"^\s*(automatic reply|auto(?:matic)?[- ]?(?:re(?:ply|sponse))|out of (?:the )?office|vacation|"
    r"abwesenheits|automatische antwort|r[ée]ponse automatique|absence du bureau|respuesta autom[áa]tica|"
    r"fuera de la oficina|自動応答|自動返信|不在)",
    re.IGNORECASE,
)


class Kind(StrEnum):
    BOUNCE = "bounce"  # `hard` says whether for good
    DELAYED = "delayed"
    DELIVERED = "delivered"
    COMPLAINT = "complaint"
    OPT_OUT = "opt_out"
    AUTO_REPLY = "auto_reply"
    REPLY = "reply"
    IGNORED = "ignored"  # a read receipt, a report that says "not unwanted"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Incoming:
    """`ids`: Message-IDs of ours that it may be about, best first; `recipients`: all it was sent to, for the
    plus-address; `code`, `words`: of a bounce. Subject and text only of an answer, already fit to be kept."""

    kind: Kind
    key: str
    ids: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    hard: bool = False
    code: str = ""
    words: str = ""
    failed: tuple[str, ...] = ()
    sender: str = ""
    subject: str = ""
    text: str = ""
    is_cut: bool = False
    attachments: int = 0


@dataclass(slots=True)
class _Parts:
    """The leaves of a mail by what they are for."""

    every: list[Mail] = field(default_factory=list)
    status: Mail | None = None
    feedback: Mail | None = None
    original: Mail | None = None
    is_receipt: bool = False


def parse(data: bytes, *, is_cut: bool = False) -> Incoming:
    """What a mail is. `is_cut`: the bytes are only the beginning of it. Never raises for what is in them."""
    fallback = hashlib.sha256(data).hexdigest()
    try:
        mail = message_from_bytes(data, policy=policy.compat32)
        if not mail.keys():
            return Incoming(Kind.UNREADABLE, fallback)
        return _classify(mail, fallback, is_cut)
    except Exception:  # the email package raises whatever it likes on odd input, RecursionError included
        return Incoming(Kind.UNREADABLE, fallback)


def _classify(mail: Mail, fallback: str, is_cut: bool) -> Incoming:
    own_id = _ID.search(_header(mail, "Message-ID"))
    key = hashlib.sha256(own_id[0].encode("utf-8", "replace")).hexdigest() if own_id else fallback
    parts = _sort(mail)
    recipients = tuple(_addresses(mail, _TO))
    about = _ids(mail, parts)
    if parts.feedback is not None:
        return Incoming(_kind_of_feedback(parts.feedback), key, about, recipients)
    if parts.status is not None:
        return _delivery_report(parts.status, key, about, recipients)
    if parts.is_receipt:
        return Incoming(Kind.IGNORED, key)
    if found := _plain_bounce(mail, parts, key, about, recipients):
        return found
    answers = tuple(_own_references(mail))
    if _is_automatic(mail):
        return Incoming(Kind.AUTO_REPLY, key, answers, recipients)
    text, html, attachments = _bodies(parts)
    words, cut = wording.kept(text or wording.from_html(html))
    return Incoming(
        Kind.REPLY,
        key,
        answers,
        recipients,
        sender=parseaddr(_header(mail, "From"))[1][:320],
        subject=wording.one_line(_header(mail, "Subject")),
        text=words,
        is_cut=cut or is_cut,
        attachments=attachments,
    )


# -- reports -----------------------------------------------------------------------------------------------------------


def _kind_of_feedback(part: Mail) -> Kind:
    """RFC 5965, 3.1 and 7.3: abuse, fraud, virus, other; `not-spam` takes one back; `opt-out` is the older word."""
    kind = _fields(part).get("feedback-type", "").strip().lower()
    return {"not-spam": Kind.IGNORED, "opt-out": Kind.OPT_OUT, "opt-out-list": Kind.OPT_OUT}.get(kind, Kind.COMPLAINT)


def _delivery_report(part: Mail, key: str, ids: tuple[str, ...], recipients: tuple[str, ...]) -> Incoming:
    """The worst that is said of any recipient: a message of ours has one, a forwarded one may have more."""
    given = part.get_payload()
    blocks = [one for one in given if isinstance(one, Mail)] if isinstance(given, list) else []
    found: list[tuple[int, Incoming]] = []
    for block in blocks[:MAX_PARTS]:
        action = _header(block, "Action").strip().lower()
        if not action:
            continue
        named = [address for name in ("Final-Recipient", "Original-Recipient") if (address := _typed(block, name))]
        status = codes.find(_header(block, "Status")) or codes.find(_header(block, "Diagnostic-Code"))
        diagnostic = codes.find(_header(block, "Diagnostic-Code"))
        if diagnostic and status.endswith(".0.0"):  # many servers say no more than 5.0.0, and the rest in words
            status = diagnostic
        hard, words = codes.judge(status, failed=action == "failed")
        kind = {"failed": Kind.BOUNCE, "delayed": Kind.DELAYED}.get(action, Kind.DELIVERED)
        report = Incoming(
            kind,
            key,
            ids,
            recipients,
            hard=hard and kind == Kind.BOUNCE,
            code=status,
            words="" if kind == Kind.DELIVERED else words,
            failed=tuple(named),
        )
        found.append(((kind == Kind.BOUNCE) * 2 + report.hard * 2 + (kind == Kind.DELAYED), report))
    if not found:
        return Incoming(Kind.UNREADABLE, key, ids, recipients)
    return max(found, key=lambda pair: pair[0])[1]


def _plain_bounce(
    mail: Mail, parts: _Parts, key: str, ids: tuple[str, ...], recipients: tuple[str, ...]
) -> Incoming | None:
    """A report in words: Exim's older ones name who failed in a header; others only come from nobody, `<>`."""
    failed = [address for _, address in getaddresses([_header(mail, "X-Failed-Recipients")]) if address][:MAX_PARTS]
    sender = parseaddr(_header(mail, "From"))[1].partition("@")[0].lower()
    is_from_nobody = "Return-Path" in mail and parseaddr(_header(mail, "Return-Path"))[1] == ""
    if not failed and not (sender in _ROBOTS and is_from_nobody):
        return None
    text = _bodies(parts)[0][:MAX_BODY]
    ids = tuple(dict.fromkeys([*ids, *_ID_LINE.findall(text)]))[:MAX_IDS]
    code = codes.find(text)
    hard, words = codes.judge(code) if code else (bool(failed), "the server refused it for good" if failed else "")
    words = words or "the server did not say why"
    return Incoming(Kind.BOUNCE, key, ids, recipients, hard=hard, code=code, words=words, failed=tuple(failed))


def _is_automatic(mail: Mail) -> bool:
    """RFC 3834 and what was used before it. A person's own words come with none of these."""
    submitted = _header(mail, "Auto-Submitted").strip().lower()
    if submitted and not submitted.startswith("no"):
        return True
    if any(name in mail for name in _AUTO_HEADERS):
        return True
    precedence = {_header(mail, name).strip().lower() for name in ("Precedence", "X-Precedence")}
    if precedence & {"bulk", "junk", "list", "auto_reply", "auto-reply"}:
        return True
    if "Return-Path" in mail and parseaddr(_header(mail, "Return-Path"))[1] == "":
        return True
    return _AUTO_SUBJECT.match(_header(mail, "Subject")) is not None


# -- the parts ---------------------------------------------------------------------------------------------------------


def _sort(mail: Mail) -> _Parts:
    found = _Parts()
    for part in _walk(mail):
        kind = part.get_content_type()
        if kind == "message/delivery-status" and found.status is None:
            found.status = part
        elif kind == "message/feedback-report" and found.feedback is None:
            found.feedback = part
        elif kind == "message/disposition-notification":
            found.is_receipt = True
        elif kind in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global"):
            found.original = found.original or part
        else:
            found.every.append(part)
    return found


def _walk(mail: Mail) -> Iterator[Mail]:
    """The leaves, without those of an enclosed message or report. Not recursive, at most MAX_PARTS."""
    waiting, seen = [mail], 0
    while waiting and seen < MAX_PARTS:
        part = waiting.pop(0)
        seen += 1
        if part.get_content_maintype() == "multipart":
            payload = part.get_payload()
            if isinstance(payload, list):
                waiting[:0] = [one for one in payload if isinstance(one, Mail)]
        else:
            yield part


def _bodies(parts: _Parts) -> tuple[str, str, int]:
    """(plain text, HTML, how many attachments)."""
    plain, html, attachments = "", "", int(parts.original is not None)
    for part in parts.every:
        kind = part.get_content_type()
        is_attached = part.get_content_disposition() == "attachment" or part.get_filename() is not None
        if is_attached or kind not in ("text/plain", "text/html"):
            attachments += 1
        elif kind == "text/plain":
            plain = plain or _decoded(part)
        else:
            html = html or _decoded(part)
    return plain, html, min(attachments, 32_000)


def _decoded(part: Mail) -> str:
    payload = part.get_payload(decode=True)
    raw = payload[: MAX_BODY * 4] if isinstance(payload, bytes) else b""
    return _text(raw, part.get_content_charset() or "utf-8")[:MAX_BODY]


def _text(raw: bytes, charset: str) -> str:
    try:
        return raw.decode(charset, "replace")
    except (LookupError, ValueError):
        return raw.decode("utf-8", "replace")


# -- headers -----------------------------------------------------------------------------------------------------------


def _header(mail: Mail, name: str) -> str:
    """Decoded, on one line, "" where it is missing; of several the first."""
    value = mail.get(name)
    if value is None:
        return ""
    text = str(value)[:MAX_HEADER]
    try:
        pieces = [
            _text(piece, charset or "utf-8") if isinstance(piece, bytes) else piece
            for piece, charset in decode_header(text)
        ]
    except (ValueError, LookupError, TypeError):  # binascii.Error and HeaderParseError are ValueErrors
        pieces = [text]
    return re.sub(r"\s+", " ", "".join(pieces).replace("\0", " "))


def _fields(part: Mail) -> dict[str, str]:
    """The fields of a report's machine-readable part, lower-case names; the package parses it, or leaves it as text."""
    payload = part.get_payload()
    if isinstance(payload, list) and payload and isinstance(payload[0], Mail):
        return {name.lower(): _header(payload[0], name) for name in payload[0].keys()[:MAX_PARTS]}
    lines = (payload if isinstance(payload, str) else "").splitlines()[:MAX_PARTS]
    return {
        name.strip().lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon
    }


def _typed(block: Mail, name: str) -> str:
    """`rfc822; somebody@example.com` → the address."""
    return _header(block, name).partition(";")[2].strip().strip("<>")[:320]


def _addresses(mail: Mail, names: tuple[str, ...]) -> Iterator[str]:
    given = [_header_of(value) for name in names for value in mail.get_all(name, [])[:10]]
    for _, address in getaddresses(given)[:MAX_PARTS]:
        if "@" in address:
            yield address[:320]


def _header_of(value: object) -> str:
    return str(value)[:MAX_HEADER]


def _own_references(mail: Mail) -> list[str]:
    """In-Reply-To first, then References, the newest first."""
    direct = _ID.findall(_header(mail, "In-Reply-To"))
    thread = _ID.findall(_header(mail, "References"))[::-1]
    return list(dict.fromkeys([*direct, *thread]))[:MAX_IDS]


def _ids(mail: Mail, parts: _Parts) -> tuple[str, ...]:
    """Message-IDs that a report names: in the message it encloses, in its own fields, in its own thread."""
    found: list[str] = []
    if parts.original is not None:
        found += _original_ids(parts.original)
    for part in (parts.feedback, parts.status):
        if part is not None:
            given = _fields(part)
            for name in ("original-message-id", "x-original-message-id", "original-envelope-id"):
                value = given.get(name, "")
                found += _ID.findall(value) or ([f"<{value.strip()}>"] if "@" in value else [])
    return tuple(dict.fromkeys([*found, *_own_references(mail)]))[:MAX_IDS]


def _original_ids(part: Mail) -> list[str]:
    payload = part.get_payload()
    if isinstance(payload, list):
        return [
            one for inner in payload[:1] if isinstance(inner, Mail) for one in _ID.findall(_header(inner, "Message-ID"))
        ]
    raw = part.get_payload(decode=True)
    text = raw[:MAX_BODY].decode("utf-8", "replace") if isinstance(raw, bytes) else ""
    return _ID_LINE.findall(text)
