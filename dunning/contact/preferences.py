"""The verbs on preferences: the one writer of ContactPreference. Each is one short transaction, noted in the audit log.

What stops most is kept: a complaint outlasts an unsubscription, which outlasts a bounce. Only a person takes the first
two back, with a reason; another address at Stripe lifts a bounce by itself (see gatekeeping.unusable).
"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.journal import Note, note
from dunning.contact import waking
from dunning.contact.models import ContactPreference
from dunning.models import Message

State = ContactPreference.State
MAX_REASON = 300
_WEIGHT = {State.OK: 0, State.BOUNCED: 1, State.UNSUBSCRIBED: 2, State.COMPLAINED: 3}


def unsubscribe(*, account: str, customer: str, channel: str, reason: str, actor: Actor) -> bool:
    """The customer does not want messages by this channel, by their own link or their provider's word. True when that
    is news. Says nothing about whether there is such a customer."""
    with transaction.atomic():
        row = _locked(account, customer, channel)
        return _move(row, State.UNSUBSCRIBED, reason=reason, actor=actor)


def stop(*, account: str, customer: str, channel: str, reason: str, actor: Actor) -> ContactPreference:
    """A person writes down that the customer wants no messages by this channel.

    Raises PermissionDenied, InvalidInput (no reason, no such channel).
    """
    check_person(actor, account)
    reason = _reason(reason)
    if channel not in Message.Channel.values:
        raise InvalidInput("There is no such channel.", field="channel")
    with transaction.atomic():
        row = _locked(account, customer, channel)
        _move(row, State.UNSUBSCRIBED, reason=reason, actor=actor)
        return row


def resubscribe(*, preference_id: int, version: int, reason: str, actor: Actor) -> ContactPreference:
    """A person knows better, and says why: the customer may be written to again. An address that bounced is believed to
    work again, too.

    Raises PermissionDenied, InvalidInput (no reason), InvalidTransition (nothing stops it), VersionConflict.
    """
    reason = _reason(reason)
    with transaction.atomic():
        row = ContactPreference.objects.select_for_update().get(pk=preference_id)
        check_person(actor, row.account)
        if row.version != version:
            raise VersionConflict(f"You saw version {version}, it is now version {row.version}. Nothing was changed.")
        if row.state == State.OK:
            raise InvalidTransition("Nothing stops messages by this channel. Nothing was changed.")
        before = row.state
        row.state, row.since, row.reason, row.address_hash = State.OK, timezone.now(), reason, ""
        _save(row, actor=actor, reason=reason, data={"from": before})
        waking.later(account=row.account, customer=row.customer, reason="they may be written to again")
        return row


def bounced(*, account: str, customer: str, address_hash: str, reason: str, actor: Actor) -> bool:
    """This address (hashed) takes no mail. True when that is news."""
    if not address_hash:
        return False
    with transaction.atomic():
        row = _locked(account, customer, Message.Channel.EMAIL)
        if row.address_hash == address_hash and row.state != State.OK:
            return False
        row.address_hash = address_hash
        if row.state == State.BOUNCED:  # another address than last time
            row.state = State.OK
        if not _move(row, State.BOUNCED, reason=reason, actor=actor):
            # What weighs more stands; the address is remembered, for a notice that must go out all the same.
            save_with_history(row, actor=actor, reason=reason)
        return True


def complained(*, account: str, customer: str, reason: str, actor: Actor) -> bool:
    """They reported a message as unwanted: no e-mail any more, whatever the address. True when that is news."""
    with transaction.atomic():
        row = _locked(account, customer, Message.Channel.EMAIL)
        return _move(row, State.COMPLAINED, reason=reason, actor=actor)


def check_person(actor: Actor, account: str) -> None:
    if actor.user is None or not actor.user.has_perm("contact.change_contact"):
        raise PermissionDenied("You may see how customers may be written to but not change it.")
    if not access.may_see_account(actor.user, account):
        raise PermissionDenied("This customer belongs to an account that you have no access to.")


def _locked(account: str, customer: str, channel: str) -> ContactPreference:
    ContactPreference.objects.get_or_create(account=account, customer=customer, channel=channel)
    return ContactPreference.objects.select_for_update().get(account=account, customer=customer, channel=channel)


def _move(row: ContactPreference, target: State, *, reason: str, actor: Actor) -> bool:
    """False where the same, or what weighs more, stands already."""
    if _WEIGHT[State(row.state)] >= _WEIGHT[target]:
        return False
    before = row.state
    row.state, row.since, row.reason = target, timezone.now(), reason[:MAX_REASON]
    _save(row, actor=actor, reason=reason, data={"from": before})
    if target == State.UNSUBSCRIBED:  # the plan looks for another channel; what else stops has it look by itself
        waking.later(account=row.account, customer=row.customer, reason="they unsubscribed")
    return True


def _save(row: ContactPreference, *, actor: Actor, reason: str, data: dict[str, str]) -> None:
    row.version += 1
    save_with_history(row, actor=actor, reason=reason)
    given = {"channel": str(row.channel), "state": str(row.state), **data}
    note(Note("contact.preference", f"customer:{row.customer}", actor, given, row.account))


def _reason(text: str) -> str:
    text = " ".join(text.split())
    if not text or len(text) > MAX_REASON:
        raise InvalidInput(f"Say in one to {MAX_REASON} characters why.", field="reason")
    return text
