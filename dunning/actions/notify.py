"""notify_customer: one message to the customer, with links made at that moment; or a task to call or write a letter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.utils import timezone

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.brands import current
from billingops.stripe import gateway, sync
from billingops.stripe.errors import Ambiguous, Refused
from dunning import charged, config, edits, facts, loading, messages, thanks
from dunning.actions import common
from dunning.contact import gatekeeping
from dunning.facts import Snapshot
from dunning.messages import by_hand, texts
from dunning.messages.rendering import LINK, UNSUBSCRIBE, Links
from dunning.models import DunningCase, Message, SupportTask
from dunning.plan import conversation
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY
from dunning.states import CaseState, ClosedReason, MessageState

JUST_PAID = timedelta(hours=1)
_BY_HAND = {
    Message.Channel.PHONE: "Opens a task: call the customer about “{}” ({}). What to say stands in it.",
    Message.Channel.POST: "Opens a task: send the customer the letter “{}” ({}). It can be printed from there.",
}


def channel_of(suggestion: Suggestion) -> str:
    return suggestion.params.get("channel") or Message.Channel.EMAIL


def preview_notice(suggestion: Suggestion) -> Preview:
    params, channel = suggestion.params, channel_of(suggestion)
    if channel != Message.Channel.EMAIL:
        words = _BY_HAND[Message.Channel(channel)].format(params["subject"], params["language"])
        return Preview(f"{words} Nothing is sent by itself.")
    many = len(params.get("invoices", ()))
    about = f" about {many} invoices" if many > 1 else ""
    not_before = params.get("not_before") or ""
    moment = f" Not before {common.when(datetime.fromisoformat(not_before))}." if not_before else ""
    return Preview(
        f"Sends the message “{params['subject']}” ({params['language']}){about} by e-mail to the address that Stripe "
        f"has for the customer then{_whither(params)}.{moment} It waits at night, and where the customer had a message "
        "that day.",
        common.call(suggestion, *_portal_rows(suggestion)),
    )


def _whither(params: Mapping[str, Any]) -> str:
    if LINK not in params["body"]:
        return ""
    if texts.text_of(params["template"]).to_hosted:
        return ", with a link to the invoice's hosted page"
    return ", with a personal link to the billing portal"


def _portal_rows(suggestion: Suggestion) -> tuple[tuple[str, str], ...]:
    if LINK not in suggestion.params["body"]:
        return ()
    return ("POST", "/v1/billing_portal/sessions"), ("customer", suggestion.customer)


def due_at(suggestion: Suggestion) -> datetime | None:
    """Not before its time, not at night, not on the day of another message. A task knows no night. No network."""
    given, now = suggestion.params.get("not_before") or "", timezone.now()
    start = max(datetime.fromisoformat(given), now) if given else now
    if channel_of(suggestion) != Message.Channel.EMAIL:
        return start if start > now else None
    zone, country = _place(suggestion)
    at = gatekeeping.next_moment(
        account=suggestion.account, customer=suggestion.customer, zone=zone, country=country, now=start
    )
    return at if at > now else None


def _place(suggestion: Suggestion) -> tuple[str, str]:
    """(zone, country) of the customer as the mirror knows them, as the plan counts their days and hours."""
    snapshot = facts.read(suggestion.subject, suggestion.account, live=False)
    return loading.place_of(snapshot) if snapshot is not None else ("", "")


def send(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Look the address up, make the links, claim the message, hand it to the mail server; each at most once."""
    with sync.remembering(sync.Memory()):
        seen = common.look(suggestion)
    snapshot, channel = seen.snapshot, channel_of(suggestion)
    _check_owed(suggestion, seen)
    if channel == Message.Channel.EMAIL and not snapshot.email:
        _refuse("The customer has no e-mail address at Stripe", code="no_email")
    is_owed = not texts.text_of(suggestion.params["template"]).thanks
    if is_owed and (why := common.still_permitted(suggestion, seen)):
        _refuse(why, code="not_permitted")
    if channel != Message.Channel.EMAIL:
        return _hand_over(suggestion, execution)
    message = messages.prepare(suggestion=suggestion, actor=common.WORKER)
    if message.state == MessageState.SENT:
        return _sent(message)
    _check_moment(message, snapshot)
    hosted = snapshot.invoice.hosted_invoice_url
    session, link = "", hosted
    if LINK in message.body_text and not (texts.text_of(message.template).to_hosted and hosted):
        session, link = _portal(suggestion, execution)
    unsubscribe = _unsubscribe(message)
    fence.check(execution)
    if not messages.claim(
        message_id=message.pk,
        address=snapshot.email,
        portal_session=session,
        actor=common.WORKER,
        check=lambda row: _check_moment(row, snapshot, locked=True),
        links=Links(link, hosted, unsubscribe),
    ):
        raise Refused("This message is on its way already.", code="already_sending")
    message.refresh_from_db()
    brand = current.by_slug(message.brand, message.account)
    messages.deliver(
        message=message,
        address=snapshot.email,
        link=link,
        hosted=hosted,
        actor=common.WORKER,
        unsubscribe=unsubscribe,
        reply_to=gatekeeping.reply_address(message, brand.reply_to),
    )
    return _sent(message)


def _check_owed(suggestion: Suggestion, seen: common.Look) -> None:
    """Whatever was approved: nothing goes to somebody who owes nothing, has just paid, or disputes a charge."""
    snapshot = seen.snapshot
    if snapshot.dispute_open:
        _refuse("The customer has an open dispute", code="dispute")
    if texts.text_of(suggestion.params["template"]).thanks:
        if not snapshot.invoice.is_paid:
            _refuse(f"The invoice is {snapshot.invoice.status}, so there is nothing to thank for yet", code="not_paid")
        if thanks.still_owes(suggestion.customer, suggestion.account):
            _refuse("Another invoice of the customer is unpaid, so not everything is settled", code="not_settled")
        return
    if not snapshot.owed:
        _refuse(f"The invoice is {snapshot.invoice.status} now", code="not_owed")
    for entry in suggestion.facts.get("bundle", ()):
        if entry["status"] != "open" or entry["amount_remaining"] <= 0:  # as Stripe has it: the facts were read again
            _refuse(f"Invoice {entry['number'] or entry['invoice']}, which it speaks of, is not owed", code="not_owed")
    if left_out := _left_out(suggestion, snapshot):
        _refuse(f"Invoice {left_out}, which it speaks of, has been put off or is with a person", code="left_out")
    since = timezone.now() - JUST_PAID
    if charged.paid_since(seen.charges, since) or _paid_otherwise(suggestion, since):
        _refuse("The customer has paid something within the hour", code="just_paid")


def _left_out(suggestion: Suggestion, snapshot: Snapshot) -> str:
    """Another invoice that it speaks of and that a promise, a snooze, a pause or a person keeps out of messages by now;
    "" for none."""
    others = [one for one in suggestion.params.get("invoices", ()) if one != suggestion.subject]
    zone, country = loading.place_of(snapshot)
    for case in DunningCase.objects.unpaid().filter(invoice__in=others, account=suggestion.account):
        is_held = conversation.is_held(
            promised_for=case.promised_for,
            snoozed_until=case.snoozed_until,
            zone=zone,
            country=country,
            now=timezone.now(),
        )
        if is_held or case.paused or case.state == CaseState.ESCALATED:
            return case.invoice_number or case.invoice
    return ""


def _paid_otherwise(suggestion: Suggestion, since: datetime) -> bool:
    """By a debit, whose charge is days old when it goes through, or by a transfer, which has none."""
    cases = DunningCase.objects.of_customer(suggestion.customer, suggestion.account)
    return cases.filter(closed_reason=ClosedReason.PAID, closed_at__gte=since).exists()


def _check_moment(message: Message, snapshot: Snapshot, *, locked: bool = False) -> None:
    """Quiet hours, one message a day, bounces, complaints, what they unsubscribed from. Asked before anything is made
    for the message, and again while its row is claimed."""
    zone, country = loading.place_of(snapshot)
    if locked:
        gatekeeping.one_at_a_time(account=message.account, customer=message.customer)
    why = gatekeeping.refused(
        account=message.account,
        customer=message.customer,
        address=snapshot.email,
        channel=message.channel,
        template=message.template,
        now=timezone.now(),
        zone=zone,
        country=country,
        besides=message.pk,
    )
    if why:
        _refuse(f"Not now: {why}", code="not_now")


def _portal(suggestion: Suggestion, execution: Execution) -> tuple[str, str]:
    """(id, address) of a billing-portal session for this customer, made now."""
    try:
        session = gateway.create_portal_session(
            customer_id=suggestion.customer,
            account=suggestion.account,
            return_url=config.current().portal_return_url,
            idempotency_key=f"{execution.idempotency_key}-portal",
        )
    except Ambiguous as problem:  # a link that nobody has is harmless; what matters is that nothing was sent
        raise Refused(f"The portal link could not be made: {problem}. Nothing was sent.", code=problem.code)
    return session.object_id, str(session.data["url"])


def _unsubscribe(message: Message) -> str:
    """The customer's page to stop such messages, where this one says how; "" where none can be given."""
    if UNSUBSCRIBE not in message.body_text:
        return ""
    return gatekeeping.unsubscribe_url(account=message.account, customer=message.customer, language=message.language)


def _hand_over(suggestion: Suggestion, execution: Execution) -> Outcome:
    channel = channel_of(suggestion)
    if why := gatekeeping.refused(
        account=suggestion.account,
        customer=suggestion.customer,
        address="",
        channel=channel,
        template=suggestion.params["template"],
        now=timezone.now(),
    ):
        _refuse(f"Not now: {why}", code="not_now")
    fence.check(execution)
    _message, task = by_hand.hand_over(suggestion=suggestion, execution=execution, actor=common.WORKER)
    return Outcome(f"task:{task.pk}", summary="a task for a person was opened")


def _refuse(problem: str, *, code: str) -> NoReturn:
    raise Refused(f"{problem}. Nothing was sent.", code=code)


def _sent(message: Message) -> Outcome:
    data = {"message_id": message.message_id, "provider_id": message.provider_id}
    return Outcome(f"message:{message.pk}", summary="sent", data={key: value for key, value in data.items() if value})


def look_up_message(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    """Sent: yes. A worker that died while sending leaves `sending`: nobody can tell, so the message says "unknown" and
    the attempt counts as not carried out; a repeat, if a person wants one, carries the same Message-ID."""
    if channel_of(suggestion) != Message.Channel.EMAIL:
        task = SupportTask.objects.filter(suggestion=suggestion).first()
        return Outcome(f"task:{task.pk}", summary="looked up: the task is open") if task else None
    message = Message.objects.filter(suggestion=suggestion).first()
    if message is None or message.state != MessageState.SENT:
        if message is not None and message.state == MessageState.SENDING:
            messages.settle(
                message_id=message.pk, target=MessageState.UNKNOWN, error="the worker stopped", actor=common.WORKER
            )
        return None
    return _sent(message)


SCHEMA: dict[str, Any] = {
    "template": str,
    "language": str,
    "subject": str,
    "body": str,
    "brand": str,
    "tone": str,
    "channel": str,
    "invoices": list,
    "not_before": str,
}


def register() -> None:
    registry.register(
        Kind(
            name=NOTIFY,
            label="Customer message",
            alternatives=(RETRY, GRACE, ESCALATE),
            params_schema=SCHEMA,
            moves_money=False,
            preview=preview_notice,
            execute=send,
            look_up=look_up_message,
            due_at=due_at,
            editable=edits.NOTICE_FIELDS,
            edit=edits.edit_notice,
            **common.SHARED,
        )
    )
