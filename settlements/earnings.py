"""What each seller earned of a paid invoice, in the seller's subledger (Earning) and in the journal at once. The only
writer of both columns and sales.

Everything works on many invoices in a number of statements that does not grow with theirs. Nothing here reads from
Stripe: facts come in. Every verb may run again, at the same time as itself, and in any order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Q, Sum
from django.utils import timezone

from billingops import bulk
from billingops.actors import Actor
from settlements import books, positions, rules
from settlements.cases import Case, settled_anew
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft
from settlements.ledger.models import JournalEntry, Posting
from settlements.models import Earning, PayoutItem, PayoutRecord, Seller, SettledLine, TierVolume
from settlements.positions import Agreed, Happened, Lost, Position
from settlements.rules import Proposal

MOVED = ("taken", "held", "reserve_left", "claimed", "open", "paid", "moves", "updated_at")


def today() -> date:
    """UTC, as everything that is due on a day."""
    return timezone.now().astimezone(UTC).date()


# -- recording what was earned -----------------------------------------------------------------------------------------


class Recorded(NamedTuple):
    """`rows`: all earnings of the invoices. `cases`: as they were settled, whoever had earned of them before."""

    rows: list[Earning]
    cases: list[Case]


def record(cases: Sequence[Case], *, actor: Actor) -> Recorded:
    """The earnings of these paid invoices: those that were not there yet are made, with their sales in the journal.

    What was computed once stays as it is, whatever the rules say now, and so does whose each line is (SettledLine).
    Call it outside any transaction.
    """
    without = [case for case in cases if not case.brought_money]
    cases = [case for case in cases if case.brought_money]
    if not cases:
        return Recorded([], without)
    try:
        with transaction.atomic():
            rows, settled = _record(cases, actor)
    except IntegrityError:  # somebody recorded one of them between our look and our insert
        cases = settled_anew(cases)
        with transaction.atomic():
            rows, settled = _record(cases, actor)
    return Recorded(rows, [*settled, *without])


def _record(cases: Sequence[Case], actor: Actor) -> Recorded:
    rows = list(Earning.objects.filter(invoice__in=[case.invoice.id for case in cases]))
    known: dict[str, dict[str, Earning]] = {case.invoice.id: {} for case in cases}
    for row in rows:
        known[row.invoice][row.account] = row
    volumes = _lock_volumes(cases, known)
    sellers = {row.account: row for row in Seller.objects.filter(account__in={a for c in cases for a in c.sellers})}
    fresh: list[Earning] = []
    settled: list[Case] = []
    lines: list[SettledLine] = []
    counted = dict(volumes)
    for found in sorted(cases, key=lambda case: (case.paid_at, case.invoice.id)):
        before = known[found.invoice.id]
        case = found.after({account: row.share for account, row in before.items()}, counted)
        earned = [one for one in case.settlement.earned if not case.waits_for_the_fee(one.seller)]
        for proposal in earned:
            fresh.append(_computed(case, proposal, sellers[proposal.seller], before=before.values()))
            for rule, version, period, base in proposal.volume:
                key = (proposal.seller, rule, version, period)
                counted[key] = counted.get(key, 0) + base
        settled.append(case)
        lines += _settled_lines(case, {proposal.seller for proposal in earned})
    _as_paid_before(fresh)
    _store_volumes({key: volume for key, volume in counted.items() if volume != volumes.get(key)}, cases)
    Earning.objects.bulk_create(fresh)
    SettledLine.objects.bulk_create(lines)
    # A line given away earns nothing, and nothing is no entry.
    drafts = [draft for draft in map(books.sale, fresh) if any(line.amount for line in draft.lines)]
    drafts += [own for case in settled if (own := _own_sale(case))]
    drafts += charge_drafts(settled)
    posted = {entry.key for entry in journal.post(drafts, actor=actor)}
    if own_since := [case for case in settled if _owns_more(case, posted)]:
        journal.post(_own_sales_since(own_since), actor=actor)
    return Recorded([*rows, *fresh], settled)


def _settled_lines(case: Case, sellers: Collection[str]) -> list[SettledLine]:
    """The lines that are shared out now, for the first time: those of these sellers, and the platform's own."""
    found: dict[str, SettledLine] = {}
    for line in case.invoice.lines:
        given = case.settlement.lines[line.id]
        if line.id in case.settled or (given.parts and not any(account in sellers for account, _ in given.parts)):
            continue
        if line.id in found:  # Stripe's old payloads name a line by its subscription, which may have several
            found[line.id].base += line.base
            continue
        found[line.id] = SettledLine(
            invoice=case.invoice.id,
            line=line.id,
            base=line.base,
            rule=given.rule.name if given.rule else "",
            rule_version=given.rule.version if given.rule else 0,
            parts=given.parts,
        )
    return list(found.values())


def _computed(case: Case, proposal: Proposal, seller: Seller, *, before: Iterable[Earning] = ()) -> Earning:
    """`before`: who has earned of the invoice already; Stripe's fee is borne by all together."""
    invoice, charge = case.invoice, case.charge
    assert charge is not None  # case.brought_money
    bases = {row.account: row.base for row in before} | {one.seller: one.base for one in case.settlement.earned}
    rest = charge.amount + invoice.from_balance - sum(bases.values())
    parts = positions.fee_parts(charge.fee or 0, list(bases.values()), rest)
    by_seller = dict(zip(bases, parts, strict=True))
    terms = case.sellers[proposal.seller]
    of = agreed(terms.snapshot())
    if proposal.moved_by_stripe:  # of what Stripe moves nothing is kept
        of = replace(of, reserve_days=0, tax_withholding_percent=Decimal(0))
    computed = positions.compute(
        base=proposal.base,
        fee=proposal.fee,
        adjustment=proposal.adjustment,
        stripe_fee=by_seller[proposal.seller],
        agreed=of,
        paid_on=rules.paid_day(invoice, charge),
    )
    return Earning(
        seller=seller,
        account=seller.account,
        invoice=invoice.id,
        invoice_number=invoice.number[:64],
        charge=charge.id,
        customer=invoice.customer_id[:64],
        currency=invoice.currency,
        moved_by_stripe=proposal.moved_by_stripe,
        paid_at=case.paid_at,
        due_on=computed.due_on,
        reserve_until=computed.reserve_until,
        base=computed.base,
        fee=computed.fee,
        share=computed.share,
        adjustment=computed.adjustment,
        stripe_fee=computed.stripe_fee,
        withheld=computed.withheld,
        reserve=computed.reserve,
        reserve_left=computed.reserve,
        open=computed.earned - computed.reserve,
        lines=[
            {
                "line": share.line.id,
                "description": share.line.description[:255],
                "quantity": share.line.quantity,
                "rule": share.rule.name,
                "rule_version": share.rule.version,
                "base": share.base,
                "fee": share.fee,
                "share": share.share,
            }
            for share in proposal.lines
        ],
        terms=terms.snapshot(),
    )


def _as_paid_before(fresh: Sequence[Earning]) -> None:
    """An invoice that was paid out before there were earnings keeps what was computed then (see payouts.adopt)."""
    held = PayoutRecord.objects.live().filter(invoice__in={row.invoice for row in fresh}, items=None)
    records = {(one.invoice, one.account): one for one in held.prefetch_related("lines__rule")}
    for row in fresh:
        record = records.get((row.invoice, row.account))
        if record is None or row.moved_by_stripe:
            continue
        row.fee, row.share, row.base = record.fee_total, record.amount, record.fee_total + record.amount
        row.adjustment = row.stripe_fee = row.withheld = row.reserve = row.reserve_left = 0
        row.reserve_until, row.open = None, record.amount
        row.lines = [
            {
                "line": line.line,
                "description": line.description,
                "quantity": line.quantity,
                "rule": line.rule.name,
                "rule_version": line.rule_version,
                "base": line.base,
                "fee": line.fee,
                "share": line.share,
            }
            for line in record.lines.all()
        ]


def agreed(terms: Mapping[str, Any]) -> Agreed:
    """Of the snapshot that an earning keeps of its seller's terms."""
    return Agreed(
        hold_days=int(terms.get("hold_days", 0)),
        reserve_percent=Decimal(str(terms.get("reserve_percent", "0"))),
        reserve_days=int(terms.get("reserve_days", 0)),
        tax_withholding_percent=Decimal(str(terms.get("tax_withholding_percent", "0"))),
        bears_stripe_fees=terms.get("stripe_fees") == Seller.FeesBy.SELLER,
        reverses=terms.get("recovery", Seller.Recovery.REVERSAL) == Seller.Recovery.REVERSAL,
    )


def _own_sale(case: Case) -> Draft | None:
    invoice, charge = case.invoice, case.charge
    if charge is None or charge.currency != invoice.currency:
        return None
    own = set(case.settlement.own)
    paid = charge.amount + invoice.from_balance
    amount = paid - sum(line.base for line in invoice.lines if line.id not in own)
    if amount == 0 and invoice.tax == 0:
        return None
    return books.own_sale(
        invoice=invoice.id, currency=invoice.currency, at=case.paid_at, amount=amount, tax=invoice.tax
    )


def _owns_more(case: Case, posted: Collection[str]) -> bool:
    """Whether a line is the platform's own only now that its own part is in the books: nobody had earned it, and it has
    no seller any more."""
    own = _own_sale(case)
    return own is not None and own.key not in posted and any(line not in case.settled for line in case.settlement.own)


def _own_sales_since(cases: Sequence[Case]) -> list[Draft]:
    """What the platform's own part has come to since it was booked, as an entry of its own. One statement."""
    invoices = [case.invoice.id for case in cases]
    rows = Posting.objects.filter(entry__invoice__in=invoices, entry__kind=Kind.SALE, entry__seller="")
    rows = rows.filter(account=Account.RECEIVABLE).order_by()
    booked = dict(rows.values_list("entry__invoice").annotate(sum=Sum("amount")))
    drafts = []
    for case in cases:
        own = _own_sale(case)
        assert own is not None  # see _owns_more
        should = sum(line.amount for line in own.lines if line.account == Account.RECEIVABLE)
        if more := should - int(booked.get(case.invoice.id, 0)):
            line = next(line for line in case.settlement.own if line not in case.settled)
            made = books.own_sale(
                invoice=case.invoice.id, currency=case.invoice.currency, at=case.paid_at, amount=more, tax=0
            )
            drafts.append(replace(made, key=f"{made.key}:{line}", text="The platform's own part, since"))
    return drafts


def charge_drafts(cases: Sequence[Case]) -> list[Draft]:
    """The payments themselves, as far as Stripe's fee is known."""
    found = [(one, case.invoice.id) for case in cases if case.charge for one in case.charge.each]
    return [draft for one, invoice in found if (draft := books.charge(one, invoice=invoice))]


# -- the volumes that tiers are chosen by ------------------------------------------------------------------------------

VolumeKey = tuple[str, str, int, str]  # seller, rule, version, period


def _lock_volumes(cases: Sequence[Case], known: Mapping[str, Collection[str]]) -> dict[VolumeKey, int]:
    """What was earned before under the tiered rules that concern these invoices; whoever records more waits."""
    wanted = {
        (key, case.invoice.currency)
        for case in cases
        for key in case.tier_keys
        if key[0] not in known[case.invoice.id] and _counts(case, key)
    }
    if not wanted:
        return {}
    TierVolume.objects.bulk_create(
        [
            TierVolume(account=seller, rule=rule, rule_version=version, period=period, currency=currency)
            for (seller, rule, version, period), currency in sorted(wanted)
        ],
        ignore_conflicts=True,
    )
    rows = TierVolume.objects.select_for_update().filter(
        account__in={key[0] for key, _ in wanted}, rule__in={key[1] for key, _ in wanted}
    )
    of_row = {(row.account, row.rule, row.rule_version, row.period, row.currency): row for row in rows.order_by("pk")}
    return {key: of_row[*key, currency].volume for key, currency in wanted}


def _counts(case: Case, key: VolumeKey) -> bool:
    """Whether the invoice is in the currency that the rule's tiers are in: others have no part in its volume."""
    return any((rule.name, rule.version, rule.currency) == (*key[1:3], case.invoice.currency) for rule in case.known)


def _store_volumes(changed: Mapping[VolumeKey, int], cases: Sequence[Case]) -> None:
    if not changed:
        return
    rows = TierVolume.objects.filter(account__in={key[0] for key in changed}, rule__in={key[1] for key in changed})
    moved = []
    for row in rows:
        volume = changed.get((row.account, row.rule, row.rule_version, row.period))
        if volume is not None:
            row.volume = volume
            moved.append(row)
    bulk.update(TierVolume, moved, ["volume"])


# -- what has become of it ---------------------------------------------------------------------------------------------


def bring_up_to_date(
    happened: Mapping[str, Happened],
    *,
    actor: Actor,
    on: date | None = None,
    paid: Mapping[int, int] | None = None,
    at: datetime | None = None,
) -> list[Earning]:
    """Let the books of these invoices say what the facts say: post the differences. Returns the earnings that moved.

    `happened`: what has become of each invoice's payment. `paid`: what was transferred (+) or reversed (−) of earnings
    (by id) just now, in the same transaction; its own entries are the caller's. `at`: when Stripe says it happened, so
    that what is heard late, or backfilled, stands in its own month; without it the time of the latest fact.
    """
    try:
        with transaction.atomic():
            return _bring_up_to_date(happened, actor, on or today(), paid or {}, at)
    except IntegrityError:  # the platform's own part has no row to lock: somebody was faster
        with transaction.atomic():
            return _bring_up_to_date(happened, actor, on or today(), paid or {}, at)


def _bring_up_to_date(
    happened: Mapping[str, Happened], actor: Actor, on: date, paid: Mapping[int, int], heard: datetime | None
) -> list[Earning]:
    wanted = Q(invoice__in=list(happened)) | Q(pk__in=list(paid)) if paid else Q(invoice__in=list(happened))
    rows = list(Earning.objects.select_for_update().filter(wanted).order_by("pk"))
    by_invoice: dict[str, list[Earning]] = {}
    moved: list[Earning] = []
    for row in rows:
        if change := paid.get(row.pk, 0):
            row.paid += change
            row.open -= change
        if row.invoice in happened:
            by_invoice.setdefault(row.invoice, []).append(row)
        elif row.pk in paid:  # its payment is not mirrored: it is looked at again when that is
            moved.append(row)
    reversible = _reversible([row for row in rows if row.paid > 0])
    lost = _lost([invoice for invoice in by_invoice if happened[invoice].dispute])
    now = timezone.now()
    moments = {invoice: min(now, heard or of.at or now) for invoice, of in happened.items()}
    drafts: list[Draft] = []
    for invoice, own in by_invoice.items():
        at = max(moments[invoice], own[0].paid_at)  # a credit may be older than the payment
        changed, made = advance(own, happened[invoice], reversible, lost, on=on, at=at)
        drafts += made
        moved += [row for row in own if row in changed or row.pk in paid]
    drafts += _own_taken(happened, by_invoice, moments)
    journal.post(drafts, actor=actor)
    for row in moved:
        row.updated_at = now
    bulk.update(Earning, moved, MOVED)
    return moved


def lock(invoices: Iterable[str]) -> list[Earning]:
    """All earnings of these invoices, under their locks: in one order for everybody, and no more of them later in the
    same transaction, so that two workers never wait for one another."""
    return list(Earning.objects.select_for_update().filter(invoice__in=list(invoices)).order_by("pk"))


def advance(
    rows: Sequence[Earning],
    happened: Happened,
    reversible: Mapping[int, int],
    lost: Mapping[tuple[str, str], Lost],
    *,
    on: date,
    at: datetime,
) -> tuple[list[Earning], list[Draft]]:
    """Move the earnings of one invoice to where they have to stand; (those that moved, the entries that say so). Pure
    but for the rows, whose `paid` is up to date. `reversible`: by id; `lost`: see _lost."""
    step = rules.smallest_step(rows[0].currency)
    places = {row.account: position(row, reversible.get(row.pk, 0)) for row in rows}
    standings = positions.standings(places, happened, today=on, step=step)
    moved: list[Earning] = []
    drafts: list[Draft] = []
    for row in rows:
        to = standings[row.account]
        tax_before, reserve_before = parts_taken(row)
        # Once the reserve is released, what is taken comes out of what is payable.
        kept = row.reserve_left == row.reserve - reserve_before
        was = lost.get((row.invoice, row.account), Lost())
        made = books.moved(
            row,
            to,
            reserve_taken=to.reserve_taken - reserve_before if kept else 0,
            tax_taken=to.tax_taken - tax_before,
            lost=Lost(to.lost.taken - was.taken, to.lost.tax - was.tax, to.lost.reserve - was.reserve if kept else 0),
            dispute=happened.dispute,
            at=at,
        )
        row.taken, row.held, row.reserve_left = to.taken, to.held, to.reserve_left
        row.claimed, row.open, row.updated_at = to.claimed, to.open, at
        if made:
            row.moves += 1
            moved.append(row)
            drafts += made
    return moved, drafts


def position(row: Earning, reversible: int = 0) -> Position:
    """As the pure rules see it. `reversible`: what can still be reversed of the transfers it was paid with."""
    return Position(
        share=row.share,
        earned=row.earned,
        withheld=row.withheld,
        reserve=row.reserve,
        reserve_until=row.reserve_until,
        paid=row.paid,
        reversible=reversible,
        reverses=agreed(row.terms).reverses and not row.offset,
        lines=tuple((line["line"], line["base"], line["share"]) for line in row.lines),
        adjustment=row.adjustment,
    )


def parts_taken(row: Earning) -> tuple[int, int]:
    """(tax, reserve) that went back with what was taken of the share; see positions.standings."""
    gross = row.share + row.adjustment
    tax, reserve = (positions.taken_with(of, row.taken, gross=gross) for of in (row.withheld, row.reserve))
    return tax, reserve


def _reversible(rows: Sequence[Earning]) -> dict[int, int]:
    """Of each earning what can still be reversed of the transfers it was paid with. At most one statement."""
    if not rows:
        return {}
    items = PayoutItem.objects.filter(earning__in=[row.pk for row in rows], state=PayoutItem.State.SETTLED)
    items = items.exclude(record__transfer="").order_by()
    return dict(items.values_list("earning_id").annotate(sum=Sum("reversible")))


def _lost(invoices: Sequence[str]) -> dict[tuple[str, str], Lost]:
    """(invoice, account) → what was booked so far as lost in disputes. At most one statement."""
    if not invoices:
        return {}
    booked = Posting.objects.filter(entry__invoice__in=invoices, entry__kind=Kind.TAKEN)
    booked = booked.filter(entry__key__endswith=books.LOST).order_by()
    of: dict[tuple[str, str], dict[str, int]] = {}
    sums = booked.values_list("entry__invoice", "entry__seller", "account").annotate(sum=Sum("amount"))
    for invoice, seller, account, total in sums:
        of.setdefault((invoice, seller), {})[account] = int(total)
    return {
        key: Lost(-found[Account.RECEIVABLE], found.get(Account.TAX_WITHHELD, 0), found.get(Account.RESERVE, 0))
        for key, found in of.items()
    }


def _own_taken(
    happened: Mapping[str, Happened], rows: Mapping[str, list[Earning]], at: Mapping[str, datetime]
) -> list[Draft]:
    """The platform's part of what was taken: the rest. Compared with what was posted of it before. Two statements."""
    entries = JournalEntry.objects.filter(invoice__in=list(happened), seller="", kind__in=(Kind.SALE, Kind.TAKEN))
    posted: dict[tuple[str, str, str], int] = {}
    keys: dict[str, set[str]] = {}
    currency = {invoice: own[0].currency for invoice, own in rows.items() if own}
    sums = Posting.objects.filter(entry__in=entries).order_by()
    for invoice, kind, key, account, code, amount in sums.values_list(
        "entry__invoice", "entry__kind", "entry__key", "account", "currency", "amount"
    ):
        posted[invoice, kind, account] = posted.get((invoice, kind, account), 0) + amount
        currency[invoice] = code
        if kind == Kind.TAKEN:
            keys.setdefault(invoice, set()).add(key)
    drafts = []
    for invoice, code in currency.items():
        of = happened[invoice]
        tax = -posted.get((invoice, Kind.SALE, Account.SALES_TAX), 0)
        earned = rows.get(invoice, ())
        sold = posted.get((invoice, Kind.SALE, Account.RECEIVABLE), 0) + sum(row.base for row in earned)
        amount, tax_taken = positions.own_taken(of, sellers=sum(row.taken for row in earned), tax=tax, sold=sold)
        more = amount + posted.get((invoice, Kind.TAKEN, Account.RECEIVABLE), 0)
        more_tax = tax_taken - posted.get((invoice, Kind.TAKEN, Account.SALES_TAX), 0)
        if more or more_tax:
            number = len(keys.get(invoice, ())) + 1
            drafts.append(
                books.own_taken(
                    invoice=invoice, number=number, currency=code, at=at[invoice], amount=more, tax=more_tax
                )
            )
    return drafts


def by_ids(ids: Iterable[int]) -> list[Earning]:
    return list(Earning.objects.filter(pk__in=list(ids)).select_related("seller"))
