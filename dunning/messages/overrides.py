"""A brand's own texts: in versions, never changed in place, one of them in use; checked like any other text.

A text of one's own is plain words around fields. It is never run through the template engine.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, VersionConflict
from billingops.journal import Note, note
from billingops.llm.texts import frame_problem, prose_problem
from dunning.messages import languages
from dunning.models import MessageTemplate

if TYPE_CHECKING:
    from billingops.brands.models import Brand

SUBJECT_LIMIT, BODY_LIMIT = 120, 2000


def active(brand: Brand | None, name: str, language: str) -> MessageTemplate | None:
    """The brand's own text in use, None where the built-in one holds. One statement per brand object, then none."""
    if brand is None or not brand.is_stored:
        return None
    known: dict[tuple[str, str], MessageTemplate] | None = getattr(brand, "_texts", None)
    if known is None:
        rows = MessageTemplate.objects.filter(brand=brand, is_active=True)
        known = {(row.name, row.language): row for row in rows}
        brand._texts = known  # type: ignore[attr-defined]
    return known.get((name, language))


def read_many(brands: Collection[Brand]) -> None:
    """As `active` for each of these, in one statement for all of them."""
    known: dict[int, dict[tuple[str, str], MessageTemplate]] = {brand.pk: {} for brand in brands if brand.is_stored}
    rows = MessageTemplate.objects.filter(brand__in=list(known), is_active=True) if known else ()
    for row in rows:
        known[row.brand_id][row.name, row.language] = row
    for brand in brands:
        if brand.is_stored:
            brand._texts = known[brand.pk]  # type: ignore[attr-defined]


def problem(*, name: str, language: str, subject: str, body: str) -> tuple[str, str]:
    """(field, why this text must not be used), ("", "") where it may."""
    from dunning.messages import texts

    if name not in texts.TEXTS and name not in texts.PIECES:
        return "name", f"{name!r} is no message of ours"
    is_piece = name in texts.PIECES
    if is_piece:
        required: tuple[str, ...] = texts.PIECES[name]
        allowed = required
    else:
        spec = texts.text_of(name)
        required = spec.required
        allowed = texts.ALL_FIELDS if spec.channel == "email" else (*texts.SUBJECT_FIELDS, "invoices")
    if not is_piece:
        if "\n" in subject.strip():
            return "subject", "the subject has more than one line"
        if why := frame_problem(subject, allowed=texts.SUBJECT_FIELDS, limit=SUBJECT_LIMIT):
            return "subject", why
    elif subject.strip():
        return "subject", "a part has no subject"
    if why := frame_problem(body, allowed=allowed, required=required, limit=BODY_LIMIT):
        return "body", why
    if "link" in required and body.count("{link}") != 1:
        return "body", "{link} stands there more than once"
    for field, text in (("subject", subject), ("body", body)):
        if why := own_words_problem(text, language):
            return field, why
    return "", ""


def own_words_problem(text: str, language: str) -> str:
    """What no words may contain, whoever wrote them: a link, a figure in words, what nobody is told; else ""."""
    if found := prose_problem(text):
        return f"the text contains {found}"
    if found := languages.number_word(re.sub(r"\{[a-z]+\}", " ", text), language):
        return f"the text writes a figure ({found}) where a field belongs"
    if found := languages.never_say(text, language):
        return f"a customer must not read “{found}”"
    return ""


def may_change(user: Any, brand: Brand) -> str:
    if not user.has_perm("dunning.change_messagetemplate"):
        return "You may look at messages' texts but not change them."
    if not access.may_see_account(user, brand.account):
        return "This brand belongs to an account that you have no access to."
    return ""


def use(
    *, brand: Brand, name: str, language: str, subject: str, body: str, seen: int, actor: Actor, comment: str = ""
) -> MessageTemplate:
    """A new version, in use from now on; what waits for approval keeps its words. `seen`: the version that the person
    saw in use, 0 for the built-in text. Raises PermissionDenied, VersionConflict, InvalidInput."""
    subject, body = " ".join(subject.split()), body.replace("\r\n", "\n").strip()
    field, why = problem(name=name, language=language, subject=subject, body=body)
    if why:
        raise InvalidInput(f"{why[:1].upper()}{why[1:]}.", field=field)
    with transaction.atomic():
        before = _before(brand, name, language, seen, actor)
        if before is not None and (before.subject, before.body) == (subject, body):
            raise InvalidInput("Nothing is different from the text in use.", field="body")
        last = MessageTemplate.objects.filter(brand=brand, name=name, language=language).order_by("-version").first()
        if before is not None:
            _put_away(before, actor, "a newer version is in use")
        row = MessageTemplate(
            brand=brand,
            account=brand.account,
            name=name,
            language=language,
            version=(last.version if last else 0) + 1,
            subject=subject,
            body=body,
            is_active=True,
            author=actor.user,
            author_name=actor.name,
            comment=comment[:500],
        )
        save_with_history(row, actor=actor, reason=comment or "put to use", force_insert=True)
        told = {"name": name, "language": language, "version": row.version, "reason": comment[:500]}
        note(Note("template.added", f"template:{brand.slug}/{name}/{language}", actor, told, account=brand.account))
    return row


def take_back(*, row: MessageTemplate, actor: Actor, comment: str = "") -> None:
    """The built-in text holds again. Raises PermissionDenied, VersionConflict (it is not in use any more)."""
    with transaction.atomic():
        before = _before(row.brand, row.name, row.language, row.version, actor)
        assert before is not None
        _put_away(before, actor, comment or "the built-in text again")
        told = {"name": row.name, "language": row.language, "version": row.version, "reason": comment[:500]}
        subject = f"template:{row.brand.slug}/{row.name}/{row.language}"
        note(Note("template.removed", subject, actor, told, account=row.account))


def _before(brand: Brand, name: str, language: str, seen: int, actor: Actor) -> MessageTemplate | None:
    """The row in use, locked, if it is the one that was seen and this person may change it."""
    if actor.user is None:
        raise PermissionDenied("A person changes a text here.")
    if why := may_change(actor.user, brand):
        raise PermissionDenied(why)
    access.check_may_act(actor.user)
    type(brand).objects.select_for_update().get(pk=brand.pk)
    row = MessageTemplate.objects.filter(brand=brand, name=name, language=language, is_active=True).first()
    if (row.version if row else 0) != seen:
        now = f"version {row.version} is in use now" if row else "the built-in text is in use now"
        raise VersionConflict(f"You saw another text: {now}. Nothing was changed; look again.", [])
    return row


def _put_away(row: MessageTemplate, actor: Actor, reason: str) -> None:
    row.is_active, row.ended_at = False, timezone.now()
    save_with_history(row, actor=actor, reason=reason)
