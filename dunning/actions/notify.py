"""notify_customer: one message to the customer, with a link made at that moment."""

from __future__ import annotations

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.stripe import gateway
from billingops.stripe.errors import Ambiguous, Refused
from dunning import config, edits, messages
from dunning.actions import common
from dunning.models import Message
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY
from dunning.states import MessageState


def preview_notice(suggestion: Suggestion) -> Preview:
    language = suggestion.params["language"]
    return Preview(
        f"Sends the message “{suggestion.params['subject']}” ({language}) by e-mail to the address that Stripe has for "
        "the customer then, with a personal link to the billing portal.",
        common.call(suggestion, ("POST", "/v1/billing_portal/sessions"), ("customer", suggestion.customer)),
    )


def send(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Look the address up, make the link, claim the message, hand it to the mail server; each at most once."""
    snapshot = common.live(suggestion)
    if not snapshot.owed:
        raise Refused(f"The invoice is {snapshot.invoice.status} now. Nothing was sent.", code="not_owed")
    if not snapshot.email:
        raise Refused("The customer has no e-mail address at Stripe. Nothing was sent.", code="no_email")
    message = messages.prepare(suggestion=suggestion, actor=common.WORKER)
    if message.state == MessageState.SENT:
        return _sent(message)
    try:
        session = gateway.create_portal_session(
            customer_id=suggestion.customer,
            account=suggestion.account,
            return_url=config.current().portal_return_url,
            idempotency_key=f"{execution.idempotency_key}-portal",
        )
    except Ambiguous as problem:  # a link that nobody has is harmless; what matters is that nothing was sent
        raise Refused(f"The portal link could not be made: {problem}. Nothing was sent.", code=problem.code)
    fence.check(execution)
    if not messages.claim(
        message_id=message.pk, address=snapshot.email, portal_session=session.object_id, actor=common.WORKER
    ):
        raise Refused("This message is on its way already.", code="already_sending")
    message.refresh_from_db()
    messages.deliver(
        message=message,
        address=snapshot.email,
        link=str(session.data["url"]),
        hosted=snapshot.invoice.hosted_invoice_url,
        actor=common.WORKER,
    )
    return _sent(message)


def _sent(message: Message) -> Outcome:
    return Outcome(f"message:{message.pk}", summary="sent", data={"message_id": message.message_id})


def look_up_message(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    """Sent: yes. A worker that died while sending leaves `sending`: nobody can tell, so the message says "unknown" and
    the attempt counts as not carried out; a repeat, if a person wants one, carries the same Message-ID."""
    message = Message.objects.filter(suggestion=suggestion).first()
    if message is None or message.state != MessageState.SENT:
        if message is not None and message.state == MessageState.SENDING:
            messages.settle(
                message_id=message.pk, target=MessageState.UNKNOWN, error="the worker stopped", actor=common.WORKER
            )
        return None
    return _sent(message)


def register() -> None:
    registry.register(
        Kind(
            name=NOTIFY,
            label="Customer message",
            alternatives=(RETRY, GRACE, ESCALATE),
            params_schema={"template": str, "language": str, "subject": str, "body": str},
            moves_money=False,
            preview=preview_notice,
            execute=send,
            look_up=look_up_message,
            editable=edits.NOTICE_FIELDS,
            edit=edits.edit_notice,
            **common.SHARED,
        )
    )
