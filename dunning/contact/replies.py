"""The verbs on answers: a person handles them, and time takes their words away."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.journal import Note, note
from dunning.contact import config, waking
from dunning.contact.models import Reply

MAX_NOTE = 2000
BATCH = 500


def handle(*, reply_id: int, version: int, text: str, actor: Actor) -> Reply:
    """A person has dealt with the answer; `text` says how (may be empty). When it was the customer's last one that
    waited, their cases are looked at again.

    Raises PermissionDenied, InvalidInput (too long), InvalidTransition (handled already), VersionConflict.
    """
    if len(text) > MAX_NOTE:
        raise InvalidInput(f"Longer than {MAX_NOTE} characters.", field="text")
    with transaction.atomic():
        reply = Reply.objects.select_for_update().get(pk=reply_id)
        check_person(actor, reply.account)
        if not reply.is_waiting:
            raise InvalidTransition("This answer is handled already. Nothing was changed.")
        if reply.version != version:
            raise VersionConflict(f"You saw version {version}, it is now version {reply.version}. Nothing was changed.")
        reply.handled_at, reply.handled_by, reply.handled_note = timezone.now(), actor.name, text.strip()
        reply.version += 1
        save_with_history(reply, actor=actor, reason="handled")
        note(Note("contact.reply_handled", f"customer:{reply.customer}", actor, {"reply": reply.pk}, reply.account))
        if not Reply.objects.of_customer(reply.customer, reply.account).waiting().exists():
            waking.later(account=reply.account, customer=reply.customer, reason="their answer is handled")
        return reply


def forget_words(*, now: datetime, actor: Actor) -> int:
    """Delete the words of answers that are older than CONTACT["reply_days"], those that still wait for a person
    excepted. Returns how many, at most BATCH; that there was an answer, and when, stays."""
    before = now - timedelta(days=config.current().reply_days)
    with transaction.atomic():
        due = Reply.objects.filter(received_at__lt=before, text_deleted_at__isnull=True, handled_at__isnull=False)
        rows = list(due.select_for_update().order_by("received_at")[:BATCH])
        for reply in rows:
            reply.subject, reply.text, reply.text_deleted_at = "", "", now
            reply.version += 1
            save_with_history(reply, actor=actor, reason="its time is over")
        if rows:
            note(Note("contact.reply_words_deleted", "replies", actor, {"count": len(rows)}))
    return len(rows)


def check_person(actor: Actor, account: str) -> None:
    if actor.user is None or not actor.user.has_perm("contact.handle_reply"):
        raise PermissionDenied("You may read answers but not mark them as handled.")
    if not access.may_see_account(actor.user, account):
        raise PermissionDenied("This answer belongs to an account that you have no access to.")
