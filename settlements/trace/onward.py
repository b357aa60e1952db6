"""From a seller's earning on: payouts that wait, transfers, their arrival in the connected account, the bank."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django.urls import reverse

from billingops.money import format_money, round_half_even
from billingops.stripe.facts import PayoutFacts
from settlements.ledger.accounts import Account, Kind
from settlements.models import Earning, PayoutItem, PayoutRecord
from settlements.trace import people
from settlements.trace.facts import Facts, Later, as_entry
from settlements.trace.graph import Graph, Step


def payouts(graph: Graph, facts: Facts, earning: Earning, seller: str, user: Any) -> None:
    """This earning's part of each payout that holds it; transfers that no payout of ours made (destination charges)."""
    sees = people.may_see(user)
    known: set[str] = set()
    for item in facts.items:
        if item.earning_id != earning.pk:
            continue
        record = item.record
        known.add(record.transfer)
        if item.amount < 0:
            _netted(graph, item, earning, seller)
        elif item.state == PayoutItem.State.SETTLED:
            _transfer(graph, facts, item, earning, seller, sees)
        else:
            key = graph.add(
                f"payout:{record.pk}",
                "waiting",
                f"Payout {record.pk}",
                account=earning.account,
                stays=item.amount,
                state=record.state,
                url=url_of(record),
                at=record.created_at,
                text="Not transferred yet.",
                facts=_whole(graph, record, item.amount),
                steps=people.steps(record.suggestion) if sees else (),
            )
            graph.flow(seller, key, item.amount, "suggested")
    for entry in facts.of_kind(Kind.TRANSFER):
        amount = sum(p.amount for p in entry.postings.all() if p.account == Account.SELLER_PAYABLE)
        if entry.source not in known and entry.seller == earning.account and amount:
            key = graph.add(
                f"transfer:{entry.source}",
                "transfer",
                "Transfer by Stripe" if earning.moved_by_stripe else "Transfer made at Stripe",
                account=earning.account,
                ref=entry.source,
                at=entry.occurred_at,
                text="A destination charge: Stripe has moved it by itself."
                if earning.moved_by_stripe
                else "No payout of ours made it.",
                entries=facts.shown([entry]),
            )
            graph.flow(seller, key, amount, "transferred")
            _onward(graph, facts, key, entry.source, earning, seller, amount, 0)


def url_of(record: PayoutRecord) -> str:
    return reverse("admin:settlements_payoutrecord_change", args=[record.pk])


def _whole(graph: Graph, record: PayoutRecord, part: int) -> tuple[tuple[str, str], ...]:
    found = [("Payout", f"{record.pk}{f' for {record.period}' if record.period else ''}")]
    if record.amount != part:
        found.append(("All of that payout", graph.money(record.amount)))
    return tuple(found)


def _netted(graph: Graph, item: PayoutItem, earning: Earning, seller: str) -> None:
    """A debt of this invoice that another invoice's payout has paid off."""
    if item.state != PayoutItem.State.SETTLED:
        return
    key = graph.add(
        f"netted:{item.record_id}",
        "elsewhere",
        f"Paid off by payout {item.record_id}",
        account=earning.account,
        brings=-item.amount,
        url=url_of(item.record),
        at=item.record.transferred_at,
        text="A debt of this invoice that was netted against other earnings.",
    )
    graph.flow(key, seller, -item.amount, "netted")


def _transfer(graph: Graph, facts: Facts, item: PayoutItem, earning: Earning, seller: str, sees: bool) -> None:
    record = item.record
    entries = [entry for entry in facts.of_kind(Kind.TRANSFER) if entry.source == record.transfer]
    steps: tuple[Step, ...] = ()
    if sees:
        steps = people.steps(record.suggestion)
        for suggestion in facts.reversals.get(record.transfer, ()):
            steps += people.steps(suggestion)
    key = graph.add(
        f"transfer:{record.transfer}",
        "transfer",
        "Transfer",
        account=earning.account,
        ref=record.transfer,
        state=record.state,
        at=record.transferred_at,
        url=url_of(record),
        facts=_whole(graph, record, item.amount),
        steps=steps,
        entries=facts.shown(entries),
    )
    graph.flow(seller, key, item.amount, "transferred")
    booked = sum(
        posting.amount
        for entry in entries
        for posting in entry.postings.all()
        if posting.account == Account.SELLER_PAYABLE and posting.seller in ("", earning.account)
    )
    graph.expect(key, f"Transfer {record.transfer}, in the journal", booked, item.amount)
    if (at_stripe := facts.transfers.get(record.transfer)) is not None:
        graph.expect(key, f"Transfer {record.transfer}, at Stripe", at_stripe.amount, record.amount)
        graph.expect(
            key, f"Transfer {record.transfer}, reversed at Stripe", at_stripe.amount_reversed, record.amount_reversed
        )
    debts, gross = facts.netted.get(record.pk, (0, 0))
    netted = round_half_even(Fraction(debts * item.amount, gross)) if gross else 0
    _onward(graph, facts, key, record.transfer, earning, seller, item.amount, netted)


def _onward(
    graph: Graph, facts: Facts, key: str, transfer: str, earning: Earning, seller: str, amount: int, netted: int
) -> None:
    """Transfer → what was reversed, what other invoices' debts swallowed, and the arrival in the connected account."""
    back = [
        (entry, -posting.amount)
        for entry in facts.of_kind(Kind.TRANSFER_REVERSAL)
        if _is_reversal_of(entry, transfer, facts)
        for posting in entry.postings.all()
        if posting.account in (Account.SELLER_PAYABLE, Account.REVERSAL)
        and posting.seller in ("", earning.account)
        and posting.invoice in ("", earning.invoice)
    ]
    for entry, part in back:
        graph.flow(key, seller, part, "reversed")
        if entry.pk not in {one.id for one in graph.nodes[key].entries}:
            graph.change(key, entries=(*graph.nodes[key].entries, *facts.shown([entry])))
    if netted:
        text = "What other invoices’ debts took of this payout."
        other = graph.add(f"debts:{transfer}", "other", "Netted against debts", account=earning.account, text=text)
        graph.change(other, stays=graph.nodes[other].stays + netted)
        graph.flow(key, other, netted, "netted")
    left = amount - netted - sum(part for _, part in back)
    arrive(graph, facts, key, transfer, earning.account, left)


def _is_reversal_of(entry: Any, transfer: str, facts: Facts) -> bool:
    """By the suggestion that asked for it; where there is none, an invoice has but one transfer of a seller."""
    named = {str(one.pk) for one in facts.reversals.get(transfer, ())}
    if entry.suggestion is not None and any(facts.reversals.values()):
        return str(entry.suggestion) in named
    ours = [one for one in facts.transfers if facts.transfers[one].destination == entry.seller]
    return not ours or ours[0] == transfer or len(ours) == 1


def arrive(graph: Graph, facts: Later, key: str, transfer: str, account: str, amount: int) -> None:
    arrival = facts.arrivals.get(transfer)
    if arrival is None:
        text = "Its arrival in the seller’s Stripe account is not mirrored yet."
        graph.add(f"way:{transfer}", "on_its_way", "On its way", account=account, stays=max(amount, 0), text=text)
        graph.flow(key, f"way:{transfer}", amount)
        return
    booked = [entry for entry in facts.entries if entry.book and entry.key == f"arrival:{transfer}"]
    here = graph.add(
        f"arrival:{transfer}",
        "arrival",
        "In the seller’s Stripe account",
        account=account,
        ref=arrival.txn,
        owner=account,
        at=arrival.at,
        entries=tuple(as_entry(entry, facts.user) for entry in booked),
    )
    graph.flow(key, here, amount, "arrived")
    whole = facts.transfers.get(transfer)
    if arrival.currency != graph.currency:
        converted = format_money(arrival.amount, arrival.currency)
        graph.change(here, stays=max(amount, 0), text=f"Converted by Stripe: {converted} arrived.")
        return
    if whole is not None:
        graph.expect(here, f"Arrival of {transfer}", arrival.amount, whole.amount)
    if not arrival.payout:
        rest = graph.add(
            f"kept:{transfer}",
            "kept",
            "Still in the seller’s Stripe account",
            account=account,
            stays=max(amount, 0),
            text="No payout to the seller’s bank is known to hold it yet.",
        )
        graph.flow(here, rest, amount)
        return
    payout = facts.payouts.get(arrival.payout)
    details = [("Bank’s trace id", payout.trace_id)] if payout and payout.trace_id else []
    if payout:
        details.append(("All of that payout", format_money(payout.amount, payout.currency)))
    there = at_the_bank(payout, "seller’s")
    bank = graph.add(
        f"deposit:{arrival.payout}",
        there.kind,
        there.label,
        account=account,
        ref=arrival.payout,
        owner=account,
        state=payout.status if payout else "",
        at=payout.arrival_date if payout else None,
        facts=tuple(details),
        text=there.text,
    )
    graph.flow(here, bank, amount, there.flow)
    graph.change(bank, stays=graph.nodes[bank].stays + max(amount, 0))


@dataclass(frozen=True)
class Bank:
    """How a payout to a bank is told. `kind`: of its node; only what Stripe calls paid is a deposit. `total`: what its
    amount is called."""

    kind: str
    label: str
    flow: str
    total: str
    text: str = ""


def at_the_bank(payout: PayoutFacts | None, whose: str) -> Bank:
    """By Stripe's own word; `whose`: seller’s, platform’s. A payout that is paid may still come back within five
    business days (https://docs.stripe.com/api/payouts/object)."""
    status = payout.status if payout else ""
    if status == "paid":
        return Bank("deposit", f"Deposit at the {whose} bank", "paid out", "Deposited")
    if status in ("failed", "canceled"):
        what = "The bank has sent it back" if status == "failed" else "The payout was canceled"
        text = f"{what}: it is on the {whose} Stripe balance again."
        label = "Came back from the bank" if status == "failed" else "Canceled on its way to the bank"
        return Bank("kept", label, "paid out, came back", "Came back", text)
    text = "Stripe does not call it paid yet." if status else "Whether it has arrived is not mirrored yet."
    return Bank("on_its_way", f"On its way to the {whose} bank", "on its way", "On its way", text)


def title_of(payout: str, there: Bank) -> str:
    return f"Deposit {payout}" if there.kind == "deposit" else f"Payout {payout}: {there.total.lower()}"
