"""The verbs on complaints: the one writer of Complaint. While one is open the customer is not dunned."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.journal import Note, note
from dunning.contact import waking
from dunning.contact.models import Complaint
from dunning.models import DunningCase, Message

MAX_TEXT = 2000
REPORTED = "A mail provider reported that the customer marked this message as unwanted."


class AlreadyOpen(InvalidTransition):
    """A complaint of this customer is open already; the other is part of it."""

    code = "complaint_open"


def open_by_person(
    *, account: str, customer: str, text: str, actor: Actor, case: DunningCase | None = None
) -> Complaint:
    """A person writes down what the customer complains about. While it is open they are not dunned.

    Raises PermissionDenied, InvalidInput (no text, no customer), AlreadyOpen.
    """
    check_person(actor, account)
    if case is not None and (case.account, case.customer) != (account, customer):
        raise InvalidInput("This case is another customer's. Nothing was changed.", field="case")
    if not customer:
        raise InvalidInput("Say which customer complains.", field="customer")
    complaint = Complaint(
        account=account,
        customer=customer,
        case=case,
        source=Complaint.Source.PERSON,
        text=_text(text),
        opened_by=actor.name,
    )
    if not _open(complaint, actor):
        raise AlreadyOpen("A complaint of this customer is open already. Nothing was changed.")
    return complaint


def open_by_report(*, message: Message, actor: Actor) -> Complaint | None:
    """A provider reported that the message was marked as unwanted. None when a complaint is open already."""
    complaint = Complaint(
        account=message.account,
        customer=message.customer,
        message=message,
        case_id=message.case_id,
        source=Complaint.Source.REPORT,
        text=REPORTED,
        opened_by=actor.name,
    )
    return complaint if _open(complaint, actor) else None


def close(*, complaint_id: int, version: int, result: str, actor: Actor) -> Complaint:
    """A person has dealt with it and says what came of it. The customer's cases are looked at again; e-mail stays
    stopped where they reported one, until a person takes that back, too.

    Raises PermissionDenied, InvalidInput (no result), InvalidTransition (closed already), VersionConflict.
    """
    result = _text(result)
    with transaction.atomic():
        complaint = Complaint.objects.select_for_update().get(pk=complaint_id)
        check_person(actor, complaint.account)
        if complaint.state != Complaint.State.OPEN:
            raise InvalidTransition("This complaint is closed already. Nothing was changed.")
        if complaint.version != version:
            raise VersionConflict(
                f"You saw version {version}, it is now version {complaint.version}. Nothing was changed."
            )
        complaint.state, complaint.closed_at, complaint.closed_by = Complaint.State.CLOSED, timezone.now(), actor.name
        complaint.result = result
        complaint.version += 1
        save_with_history(complaint, actor=actor, reason="closed")
        _note("contact.complaint_closed", complaint, actor)
        waking.later(account=complaint.account, customer=complaint.customer, reason="the complaint is closed")
        return complaint


def check_person(actor: Actor, account: str) -> None:
    if actor.user is None or not actor.user.has_perm("contact.handle_complaint"):
        raise PermissionDenied("You may look at complaints but not work on them.")
    if not access.may_see_account(actor.user, account):
        raise PermissionDenied("This customer belongs to an account that you have no access to.")


def _open(complaint: Complaint, actor: Actor) -> bool:
    """False when one is open already: the database holds that there is one at most."""
    try:
        with transaction.atomic():
            save_with_history(complaint, actor=actor, reason="opened")
            _note("contact.complaint_opened", complaint, actor)
            waking.later(account=complaint.account, customer=complaint.customer, reason="the customer complained")
    except IntegrityError:
        return False
    return True


def _note(action: str, complaint: Complaint, actor: Actor) -> None:
    data = {"complaint": complaint.pk, "source": str(complaint.source)}
    note(Note(action, f"customer:{complaint.customer}", actor, data, complaint.account))


def _text(text: str) -> str:
    text = text.strip()
    if not text or len(text) > MAX_TEXT:
        raise InvalidInput(f"Say in one to {MAX_TEXT} characters what it is about.", field="text")
    return text
