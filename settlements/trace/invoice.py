"""The graph of an invoice: what the customer paid, how it was shared out, and where each part is now.

Two books meet at every node. The flows of a sale come from the earning (its lines and what was computed), those of what
happened since from the journal, those of a payout from its items; what stays comes from the other side: the earning's
moving columns, the mirror, Stripe's own movements. So a node adds up only when the books agree.
"""

from __future__ import annotations

from typing import Any

from billingops.admin import names
from billingops.money import format_money
from settlements.ledger.accounts import Account, Kind
from settlements.models import Earning
from settlements.trace import limits, onward
from settlements.trace.facts import Facts, of_invoice
from settlements.trace.graph import Graph
from settlements.trace.refs import Target
from settlements.trace.trace import Trace, made

GIVEN_BACK = (Kind.REFUND, Kind.DISPUTE)


def trace(target: Target, *, user: Any) -> Trace:
    facts = of_invoice(target.id, user=user)
    graph = Graph(facts.currency)
    _payment(graph, facts)
    for earning in facts.earnings:
        _earning(graph, facts, earning, user)
    _platform(graph, facts)
    _given_back(graph, facts)
    _corrections(graph, facts)
    shown = limits.fold(graph, facts, user)
    number = (facts.invoice and facts.invoice.number) or next((one.invoice_number for one in facts.earnings), "")
    return made(
        target,
        graph,
        kind="invoice",
        subject=target.id,
        title=f"Invoice {number or target.id}",
        focus=_focus(target, graph),
        customer=(facts.invoice and facts.invoice.customer_id) or next((one.customer for one in facts.earnings), ""),
        sentences=_sentences(graph, facts),
        names=names.of(shown, user),
    )


def _focus(target: Target, graph: Graph) -> str:
    wanted = (f"transfer:{target.focus}", f"payment:{target.focus}", f"back:{target.focus}", target.focus)
    return next((key for key in wanted if key in graph.nodes), "")


# -- the payment -------------------------------------------------------------------------------------------------------


def _payment(graph: Graph, facts: Facts) -> None:
    """Payments → invoice. What came in is Stripe's figure; what was booked of it flows on."""
    graph.add(
        "invoice",
        "invoice",
        f"Invoice {(facts.invoice and facts.invoice.number) or facts.invoice_id}",
        ref=facts.invoice_id,
        state=facts.invoice.status if facts.invoice else "",
        at=facts.invoice.paid_at if facts.invoice else None,
        facts=(("Total", graph.money(facts.invoice.total)),) if facts.invoice else (),
    )
    for charge in facts.charges:
        booked = [entry for entry in facts.of_kind(Kind.CHARGE) if entry.source == charge]
        row, txn = facts.mirrored.get(charge), facts.txns.get(charge)
        amount = -sum(
            posting.amount
            for entry in booked
            for posting in entry.postings.all()
            if posting.account == Account.RECEIVABLE
        )
        details = []
        if txn and txn.currency != graph.currency:
            converted = format_money(txn.amount, txn.currency)
            graph.note(f"payment:{charge}", f"Stripe converted this payment: {converted} arrived. Nothing is booked.")
        elif txn:
            details += [("Stripe’s fee", graph.money(txn.fee)), ("Reached the balance", graph.money(txn.net))]
            if txn.payout_id:
                details.append(("Went to the platform’s bank with", txn.payout_id))
        key = graph.add(
            f"payment:{charge}",
            "payment",
            "Customer’s payment",
            brings=(row.amount or 0) if row is not None and row.status in ("succeeded", "") else amount,
            ref=charge,
            state=row.status if row else "",
            at=row.created if row else booked[0].occurred_at if booked else None,
            facts=tuple(details),
            entries=facts.shown(booked),
        )
        graph.flow(key, "invoice", amount, "paid")


# -- a seller ----------------------------------------------------------------------------------------------------------


def _earning(graph: Graph, facts: Facts, earning: Earning, user: Any) -> None:
    account, currency = earning.account, earning.currency
    key = f"seller:{account}"
    own = [entry for entry in facts.entries if entry.seller == account and not entry.book]
    internal = (Kind.SALE, Kind.HELD, Kind.RESERVE_RELEASED, Kind.CLAIM)
    graph.add(
        key,
        "seller",
        earning.seller.name,
        account=account,
        ref=account,
        at=earning.paid_at,
        facts=(
            ("Base", graph.money(earning.base)),
            ("Platform’s fee", graph.money(earning.fee)),
            ("Share", graph.money(earning.share)),
            *((("Adjustment of earlier invoices", graph.money(earning.adjustment)),) if earning.adjustment else ()),
            *((("Stripe’s fee, borne", graph.money(earning.stripe_fee)),) if earning.stripe_fee else ()),
            *((("Tax withheld", graph.money(earning.withheld)),) if earning.withheld else ()),
            ("Earned", graph.money(earning.earned)),
        ),
        entries=facts.shown(entry for entry in own if entry.kind in internal),
    )
    graph.add("platform", "platform", "The platform")
    for rule, lines in _by_rule(earning).items():
        line = f"line:{account}:{rule}"
        base, fee = sum(one["base"] for one in lines), sum(one["fee"] for one in lines)
        share = sum(one["share"] for one in lines)
        count = f"{len(lines)} lines" if len(lines) > 1 else "1 line"
        graph.add(line, "line", f"{rule} · {count}", account=account, text=f"Shared out by rule {rule}.")
        graph.flow("invoice", line, base, "base")
        graph.flow(line, "platform", fee, "platform’s fee")
        graph.flow(line, key, share, "share")
    graph.flow("platform", key, earning.adjustment, "earlier invoices’ tier")
    graph.add("fee", "fee", "Stripe’s fee")
    graph.flow(key, "fee", earning.stripe_fee, "borne by the seller")
    graph.add(f"withheld:{account}", "withheld", "Tax withheld", account=account)
    graph.flow(key, f"withheld:{account}", earning.withheld, "withheld")
    kept = -facts.total(Account.TAX_WITHHELD, seller=account)
    graph.change(f"withheld:{account}", stays=kept)

    if not facts.of_kind(Kind.SALE):
        graph.note(key, f"{earning.seller.name}: the books have no sale of this invoice yet.")
    else:
        sold = facts.total(Account.RECEIVABLE, Kind.SALE, seller=account) or _sold(facts, account)
        graph.expect(key, f"{earning.seller.name}, base in the journal", sold, earning.base)
    _standing(graph, facts, earning, key)
    onward.payouts(graph, facts, earning, key, user)
    paid = facts.total(Account.SELLER_PAYABLE, Kind.TRANSFER, seller=account)
    back = -facts.total(Account.SELLER_PAYABLE, Kind.TRANSFER_REVERSAL, seller=account)
    back -= facts.total(Account.REVERSAL, Kind.TRANSFER_REVERSAL, seller=account)
    for kind in (Kind.CORRECTION, Kind.WRITE_OFF):  # given back elsewhere, or a debt that was settled
        back -= facts.total(Account.SELLER_PAYABLE, kind, seller=account)
    graph.expect(key, f"{earning.seller.name}, paid in the journal", paid - back, earning.paid)
    for what, found, wanted in (
        ("what is open", -facts.total(Account.SELLER_PAYABLE, seller=account), earning.open),
        ("reserve", -facts.total(Account.RESERVE, seller=account), earning.reserve_left),
        ("held for a dispute", -facts.total(Account.DISPUTE, seller=account), earning.held),
        ("to be reversed", facts.total(Account.REVERSAL, seller=account), earning.claimed),
    ):
        graph.expect(key, f"{earning.seller.name}, {what} in the journal ({currency.upper()})", found, wanted)


def _sold(facts: Facts, account: str) -> int:
    """Where the receivable's posting names no seller: by the entry."""
    return sum(
        posting.amount
        for entry in facts.of_kind(Kind.SALE)
        if entry.seller == account
        for posting in entry.postings.all()
        if posting.account == Account.RECEIVABLE
    )


def _by_rule(earning: Earning) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in earning.lines:
        found.setdefault(f"{line['rule']} v{line['rule_version']}", []).append(line)
    return found


def _standing(graph: Graph, facts: Facts, earning: Earning, key: str) -> None:
    """Where the seller's part stands: by the journal it flows there, by the earning it stays there."""
    account = earning.account
    until = f" until {earning.reserve_until:%-d %b %Y}" if earning.reserve_until else ""
    graph.add(
        f"reserve:{account}",
        "reserve",
        f"In reserve{until}",
        account=account,
        stays=earning.reserve_left,
        text=f"{graph.money(earning.reserve)} were kept back, {graph.money(earning.reserve_left)} still are.",
    )
    graph.flow(key, f"reserve:{account}", -facts.total(Account.RESERVE, seller=account), "kept back")
    graph.add(
        f"held:{account}",
        "held",
        "Held for a dispute",
        account=account,
        stays=earning.held,
        text="Held until the dispute is decided; then paid out or taken back.",
    )
    graph.flow(key, f"held:{account}", -facts.total(Account.DISPUTE, seller=account), "held")
    graph.add(
        f"claimed:{account}",
        "claimed",
        "To be taken back by a reversal",
        account=account,
        brings=earning.claimed,
        text="The seller has it; a reversal of the transfer is to bring it back.",
    )
    graph.flow(f"claimed:{account}", key, facts.total(Account.REVERSAL, seller=account), "claimed")
    pending = [item for item in facts.items if item.earning_id == earning.pk and item.state == "in_flight"]
    in_flight = sum(item.amount for item in pending)
    open_now = -facts.total(Account.SELLER_PAYABLE, seller=account)
    left = earning.open - in_flight
    why = "; ".join(finding.get_code_display() for finding in facts.findings if finding.account == account)
    text = f"May be paid out from {earning.due_on:%-d %b %Y} on." + (f" Waits because: {why}." if why else "")
    graph.add(f"open:{account}", "open", "Open", account=account, stays=max(left, 0), at=None, text=text)
    graph.flow(key, f"open:{account}", open_now - in_flight if left >= 0 else 0, "open")
    if left < 0:
        text = "The seller owes it; it comes out of later earnings."
        graph.add(f"owed:{account}", "owed", "Owed by the seller", account=account, brings=-left, text=text)
        graph.flow(f"owed:{account}", key, in_flight - open_now, "owed")


# -- the platform ------------------------------------------------------------------------------------------------------


def _platform(graph: Graph, facts: Facts) -> None:
    graph.add("platform", "platform", "The platform")
    sale = [entry for entry in facts.of_kind(Kind.SALE) if not entry.seller]
    own = -sum(
        posting.amount
        for entry in sale
        for posting in entry.postings.all()
        if posting.account in (Account.PLATFORM_REVENUE, Account.STRIPE_FEES)
    )
    graph.add("own", "own", "The platform’s own part", entries=facts.shown(sale))
    graph.flow("invoice", "own", own, "own lines")
    graph.flow("own", "platform", own, "own lines")
    tax = -facts.total(Account.SALES_TAX, Kind.SALE)
    taxed = facts.invoice.tax if facts.invoice else tax
    back = facts.total(Account.SALES_TAX, Kind.TAKEN)
    graph.add("sales_tax", "sales_tax", "Sales tax", stays=max(taxed - back, 0), brings=max(back - taxed, 0))
    graph.flow("invoice", "sales_tax", tax, "sales tax")

    borne = sum(earning.stripe_fee for earning in facts.earnings)
    booked = -facts.total(Account.CASH, Kind.CHARGE) - facts.total(Account.RECEIVABLE, Kind.CHARGE)
    txns = [txn for charge in facts.charges if (txn := facts.txns.get(charge)) and txn.currency == graph.currency]
    fee = sum(txn.fee for txn in txns) if len(txns) == len(facts.charges) else booked
    graph.add("fee", "fee", "Stripe’s fee")
    graph.change("fee", stays=fee, text="Kept by Stripe when the payment came in.")
    graph.flow("platform", "fee", booked - borne, "borne by the platform")
    disputed = facts.total(Account.STRIPE_FEES, *GIVEN_BACK)
    fees = sum(entry.fee for entry in facts.of_kind(*GIVEN_BACK))
    graph.add("dispute_fee", "dispute_fee", "Stripe’s fee on disputes", stays=max(fees, 0), brings=max(-fees, 0))
    graph.flow("platform", "dispute_fee", disputed, "fee on disputes")
    kept = -facts.total(Account.PLATFORM_REVENUE) - facts.total(Account.STRIPE_FEES)
    text = "Its fees and own lines, less what it bears of Stripe’s fees and of what was taken back."
    graph.change("platform", stays=max(kept, 0), brings=max(-kept, 0), text=text)

    unshared = -facts.total(Account.RECEIVABLE, Kind.CHARGE) - facts.total(Account.RECEIVABLE, Kind.SALE)
    given = facts.total(Account.RECEIVABLE, *GIVEN_BACK)
    taken = -facts.total(Account.RECEIVABLE, Kind.TAKEN)
    direct = max(0, min(unshared, given - taken))
    graph.add("back", "taken", "Taken back")
    graph.flow("invoice", "back", direct, "given back before it was shared out")
    unshared -= direct
    text = "Paid by the customer and not shared out: a rule or a seller is missing, or it is not computed yet."
    if unshared >= 0:
        graph.add("unshared", "unshared", "Not shared out", stays=unshared, text=text)
        graph.flow("invoice", "unshared", unshared)
    else:
        text = "Shared out although no payment stands against it."
        graph.add("unpaid", "advance", "Shared out without a payment", brings=-unshared, text=text)
        graph.flow("unpaid", "invoice", -unshared)


# -- given back --------------------------------------------------------------------------------------------------------


def _given_back(graph: Graph, facts: Facts) -> None:
    """Parties → taken back → refunds and disputes. What was given and not taken yet, the platform has advanced."""
    graph.add("back", "taken", "Taken back")
    entries = facts.of_kind(Kind.TAKEN)
    for entry in entries:
        for posting in entry.postings.all():
            if posting.account != Account.RECEIVABLE:
                graph.flow(_party(posting.account, posting.seller or entry.seller), "back", posting.amount, "taken")
    graph.change("back", entries=facts.shown(entries))
    given = 0
    for entry in facts.of_kind(*GIVEN_BACK):
        amount = sum(p.amount for p in entry.postings.all() if p.account == Account.RECEIVABLE)
        given += amount
        graph.flow("back", _giver(graph, facts, entry), amount)
    for key in [key for key in graph.nodes if key.startswith("back:")]:
        row = facts.mirrored.get(graph.nodes[key].ref)
        total = graph.incoming(key) - graph.outgoing(key)
        if row is not None and row.object_type == "refund" and row.status == "succeeded":
            total = row.amount or 0  # Stripe's own figure
        graph.change(key, stays=max(total, 0), brings=max(-total, 0))
    unshared = -facts.total(Account.RECEIVABLE, Kind.CHARGE) - facts.total(Account.RECEIVABLE, Kind.SALE)
    taken = -facts.total(Account.RECEIVABLE, Kind.TAKEN)
    advanced = given - taken - max(0, min(unshared, given - taken))
    if advanced > 0:
        disputed = any(earning.held for earning in facts.earnings) or any(
            row.object_type == "dispute" and row.status not in ("won", "lost") for row in facts.mirrored.values()
        )
        text = (
            "A dispute is open: Stripe has taken it from the platform, nobody’s share was taken yet."
            if disputed
            else "Given back to the customer and taken from nobody’s share: not explained yet."
        )
        graph.add("advance", "advance", "Advanced by the platform", brings=advanced, text=text)
        graph.flow("advance", "back", advanced)
    elif advanced < 0:
        text = "Taken from the shares, and not paid back through a refund: a credit note without one."
        graph.add("credited", "other", "Credited to the customer", stays=-advanced, text=text)
        graph.flow("back", "credited", -advanced)


def _giver(graph: Graph, facts: Facts, entry: Any) -> str:
    row = facts.mirrored.get(entry.source)
    is_dispute = entry.kind == Kind.DISPUTE
    key = f"back:{entry.source}"
    if key not in graph.nodes:
        graph.add(
            key,
            "dispute" if is_dispute else "refund",
            "Dispute" if is_dispute else "Refund to the customer",
            ref=entry.source,
            state=row.status if row else "",
            at=row.created if row else entry.occurred_at,
        )
    graph.change(key, entries=(*graph.nodes[key].entries, *facts.shown([entry])))
    return key


def _party(account: str, seller: str) -> str:
    """The node whose money an account's posting moves."""
    if account in (Account.SELLER_PAYABLE, Account.RESERVE, Account.DISPUTE, Account.REVERSAL) and seller:
        return f"seller:{seller}"
    if account == Account.TAX_WITHHELD and seller:
        return f"withheld:{seller}"
    return "sales_tax" if account == Account.SALES_TAX else "platform"


# -- what people did ---------------------------------------------------------------------------------------------------

_STANDARD = (
    Kind.SALE, Kind.TAKEN, Kind.HELD, Kind.RESERVE_RELEASED, Kind.CLAIM, Kind.CHARGE, Kind.REFUND, Kind.DISPUTE,
    Kind.TRANSFER, Kind.TRANSFER_REVERSAL, Kind.PAYOUT, Kind.PAYOUT_FAILED,
)  # fmt: skip


def _corrections(graph: Graph, facts: Facts) -> None:
    """Corrections and write-offs: through them as they stand; what they left in suspense is not explained."""
    for entry in facts.entries:
        if entry.kind in _STANDARD or entry.book:
            continue
        key = graph.add(
            f"entry:{entry.pk}",
            "correction",
            entry.get_kind_display().capitalize(),
            at=entry.occurred_at,
            text=entry.text,
            entries=facts.shown([entry]),
        )
        outside = 0
        for posting in entry.postings.all():
            if posting.account in (Account.CASH, Account.BANK, Account.SUSPENSE, Account.WRITE_OFF):
                outside += posting.amount
            elif posting.account == Account.RECEIVABLE:
                graph.flow("invoice", key, posting.amount, "corrected")
            else:
                graph.flow(_party(posting.account, posting.seller), key, posting.amount, "corrected")
        graph.change(key, brings=max(outside, 0), stays=max(-outside, 0))


def _sentences(graph: Graph, facts: Facts) -> tuple[str, ...]:
    paid = sum(node.brings for node in graph.nodes.values() if node.kind == "payment")
    if not facts.earnings and not paid:
        return ("Nothing was paid and nothing shared out: there is no money to trace.",)
    found = [f"The customer paid {format_money(paid, facts.currency)}."] if facts.currency else []
    payouts = [node for node in graph.nodes.values() if node.key.startswith("deposit:")]
    for kind, said in (
        ("deposit", "have gone on to sellers’ banks."),
        ("on_its_way", "are on their way to sellers’ banks: Stripe does not call them paid yet."),
        ("kept", "were to go on to sellers’ banks and are on their Stripe balances again."),
    ):
        if amount := sum(node.stays for node in payouts if node.kind == kind):
            found.append(f"{graph.money(amount)} of it {said}")
    return tuple(found)
