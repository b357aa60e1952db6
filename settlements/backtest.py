"""What the share rules would have paid out in the past, from what was known at each moment. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from approvals.backtest import Replayed, Window
from approvals.models import Suggestion
from billingops import config
from billingops.exceptions import InvalidInput
from billingops.inbox.models import InboundEvent
from billingops.inbox.past import Past
from billingops.stripe import reader, sync
from billingops.stripe.facts import AccountFacts, ChargeFacts, InvoiceFacts, TransferFacts
from billingops.stripe.models import MirroredObject
from settlements import cases, rules
from settlements.models import Seller, ShareRule
from settlements.rules import Proposal, Rule, Terms

KIND = "seller_payout"
Rules = Callable[[datetime], list[Rule]]
NOT_KEPT = "no event of these had come in by then: "


def replay(window: Window) -> Iterator[Replayed]:
    """Each paid invoice of the platform in the window, once, seller by seller."""
    of_the_time, terms_then = _rules(window), window.rules == "then"
    events = InboundEvent.objects.filter(
        type="invoice.paid", account="", received_at__gte=window.since, received_at__lt=window.until
    )
    seen: set[str] = set()
    for event in events.order_by("received_at", "id").iterator(chunk_size=200):
        if event.object_id in seen:
            continue
        seen.add(event.object_id)
        for one in _replay(event, of_the_time, terms_then=terms_then, fill_gaps=window.fill_gaps):
            if not window.account or one.account == window.account:
                yield one


def _replay(event: InboundEvent, of_the_time: Rules, *, terms_then: bool, fill_gaps: bool) -> Iterator[Replayed]:
    at = event.handled_at or event.received_at  # what the drain knew when it came to this event
    view = Past(at, fill_gaps=fill_gaps)
    with sync.reading_from(view):
        invoice = sync.invoice_facts(event.object_id, live=True)
        if invoice is None:
            return
        charge = cases.payment(invoice, live=True)
        known = of_the_time(at)
        tier = _tier(invoice, known)
        concerned = rules.sellers_of(invoice, charge, known, tier)
        terms = _terms(concerned, at if terms_then else None)
        settlement = rules.settle(
            invoice, charge, rules=known, sellers=terms, foreign=_foreign(view, invoice, charge, concerned), tier=tier
        )
    problem = NOT_KEPT + ", ".join(sorted({key[0] for key in view.missing})) if view.missing else ""

    def case(seller: str, proposal: Proposal | None, reason: str) -> Replayed:
        return Replayed(
            subject=event.object_id,
            account=seller,
            customer=invoice.customer_id,
            at=at,
            event_id=event.event_id,
            action=KIND if proposal else "",
            amount=proposal.amount if proposal else None,
            currency=invoice.currency,
            reason=reason,
            author=rules.VERSION,
            problem=problem,
            of_today=len(view.of_today),
        )

    proposed = {proposal.seller for proposal in settlement.proposals}
    for proposal in settlement.proposals:
        minimum = terms[proposal.seller].minimum.get(invoice.currency, 0)
        if proposal.amount < minimum:
            yield case(proposal.seller, None, "below the seller's minimum payout")
        else:
            yield case(proposal.seller, proposal, _why(proposal))
    # Without its product an invoice seems to have no seller: whoever was suggested then is told that it is not known.
    then = Suggestion.objects.filter(kind=KIND, subject=event.object_id, is_seeded=False)
    others = settlement.sellers | (set(then.values_list("account", flat=True)) if problem else set())
    for seller in sorted(others - proposed):
        words = [found.text for found in settlement.problems if found.seller == seller]
        yield case(seller, None, " ".join(words))


def _tier(invoice: InvoiceFacts, known: list[Rule]) -> str:
    """The customer's tier of that time, where a rule asks for it."""
    if not invoice.customer_id or not any(rule.match_tier for rule in known):
        return ""
    customer = sync.customer_facts(invoice.customer_id, live=True)
    return str(customer.metadata.get(rules.TIER_KEY, "")).strip() if customer else ""


def _why(proposal: Proposal) -> str:
    rules_used = {share.rule for share in proposal.lines}
    return ", ".join(sorted(f"{rule.name} {f'v{rule.version}' if rule.version else '(file)'}" for rule in rules_used))


def _rules(window: Window) -> Rules:
    """The rules in force for a moment: those that stood in the database then, those of today, or a file's."""
    which = window.rules
    if which == "then":
        return lambda at: [cases.as_rule(row) for row in ShareRule.history.as_of(at)]
    if which == "now":
        today = [cases.as_rule(row) for row in ShareRule.objects.select_related("seller")]
        return lambda at: today
    plans = config.read(which, file="the file").get("rules")
    if not plans:
        raise InvalidInput("The file has no `rules` section.", field="rules")
    # A rule of a file holds for all of that time: the question is what it would have done.
    since, until = window.since.date(), window.until.date() + timedelta(days=1)
    given: list[Rule] = [plan.over(since, until) for plan in plans]
    return lambda at: given


def _terms(accounts: frozenset[str], at: datetime | None) -> dict[str, Terms]:
    """What was agreed with each seller, at that moment or today, and whether Stripe let money go there."""
    rows = Seller.objects.all() if at is None else Seller.history.as_of(at)
    return {
        seller.account: Terms(
            account=seller.account,
            name=seller.name,
            active=seller.active,
            minimum=seller.minimum_payout,
            obstacle=_obstacle(sync.account_facts(seller.account, live=True)),
        )
        for seller in rows
        if seller.account in accounts
    }


def _obstacle(account: AccountFacts | None) -> str:
    return account.obstacle if account else ""


def _foreign(
    view: Past, invoice: InvoiceFacts, charge: ChargeFacts | None, sellers: frozenset[str]
) -> list[TransferFacts]:
    """Transfers out of this charge to these sellers that were there already."""
    if charge is None:
        return []
    ids = MirroredObject.objects.filter(object_type="transfer", parent_id=charge.id, account="")
    found = [view.known("transfer", one, "") for one in ids.order_by("object_id").values_list("object_id", flat=True)]
    transfers = [reader.read_transfer(data) for data in found if data]
    return [one for one in transfers if one.destination in sellers and one.amount_reversed < one.amount]
