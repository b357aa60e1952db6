"""A paid invoice with all that its settlement depends on: Stripe's facts, the rules and sellers of the configuration,
what of it was paid out already. Reads only; a live case reads Stripe, so load it outside any transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Q, Sum

from billingops.stripe import mirrored, reader, store, sync
from billingops.stripe.facts import ChargeFacts, InvoiceFacts, TransferFacts, nothing_due, together
from billingops.stripe.models import MirroredObject
from settlements import facts as sealed
from settlements import lookups, obstacles, rules
from settlements.happened import of_many
from settlements.models import Earning, PayoutRecord, Seller, SettledLine, ShareRule
from settlements.positions import Happened
from settlements.rules import Assignment, Past, Problem, Rule, Settlement, Terms, VolumeKey
from settlements.states import PayoutState

COMMITTED = (PayoutState.PENDING_TRANSFER, PayoutState.TRANSFERRED)
MAX_LISTED = 500  # of one seller's transfers since the charge: five reads


@dataclass(frozen=True)
class Case:
    """`happened`: what has become of the payment, None when there is none. `settled`: the lines that were shared out
    before, and whose they were then."""

    invoice: InvoiceFacts
    charge: ChargeFacts | None
    settlement: Settlement
    sellers: dict[str, Terms]
    happened: Happened | None = None
    known: Sequence[Rule] = ()
    tier: str = ""
    committed: Mapping[str, int] = field(default_factory=dict)
    foreign: Sequence[TransferFacts] = ()
    settled: Mapping[str, Assignment] = field(default_factory=dict)

    @property
    def brought_money(self) -> bool:
        """Whether there is a payment to share out, or, with a negative total, something to take back."""
        charge, invoice = self.charge, self.invoice
        if charge is None or charge.status != "succeeded" or charge.currency != invoice.currency:
            return False
        return invoice.is_paid and (charge.amount > 0 or invoice.total < 0)

    def source(self, rows: Iterable[Earning]) -> str:
        """The charge that payouts of the invoice (`rows`: all its earnings) can come out of; "" where several paid it,
        or it brought less than their shares (the customer's credit paid the rest): then the platform's balance has to.
        """
        shares = sum(max(0, row.share - row.taken) for row in rows)
        return self.charge.id if self.charge and not self.charge.parts and shares <= self.charge.amount else ""

    @property
    def paid_at(self) -> datetime:
        return self.invoice.paid_at or (self.charge.created if self.charge else self.invoice.created)

    @property
    def tier_keys(self) -> frozenset[VolumeKey]:
        return rules.tier_keys(self.invoice, self.charge, self.known, self.tier, Past(self.settled))

    def after(self, earned: Mapping[str, int], volumes: Mapping[VolumeKey, int]) -> Case:
        """The case once it is known who has `earned` of the invoice already (shares, by seller), and what was earned
        before under tiered rules."""
        if not (earned or self.settled or self.tier_keys):
            return self
        settlement = rules.settle(
            self.invoice,
            self.charge,
            rules=self.known,
            sellers=self.sellers,
            committed=self.committed,
            foreign=self.foreign,
            tier=self.tier,
            volumes=volumes,
            before=self.happened.before if self.happened else 0,
            past=Past(self.settled, earned),
        )
        return replace(self, settlement=settlement)

    def waits_for_the_fee(self, seller: str) -> bool:
        """Whether the seller bears Stripe's fee, and Stripe has not told it yet: until then nothing can be computed."""
        bears = seller in self.sellers and self.sellers[seller].stripe_fees == Seller.FeesBy.SELLER
        return bears and self.charge is not None and self.charge.fee is None

    def problems_of(self, row: Earning) -> list[Problem]:
        """What stands in the way of paying out an earning, whatever the rules say now. What a dispute holds in part is
        paid out but for that part."""
        if row.moved_by_stripe:
            return []
        terms, invoice = self.sellers.get(row.account), self.invoice
        lines = tuple(line["line"] for line in row.lines)
        if terms is None or not terms.active:
            return [obstacles.unknown_seller(invoice, row.account, lines, listed=terms is not None)]
        if nothing := obstacles.without_charge(invoice, self.charge, row.account, lines, moved_to=""):
            return [nothing]
        assert self.charge is not None  # else nothing is there to pay from
        has, amount = self.happened, row.share + row.adjustment
        disputed = has is not None and 0 < has.still_disputed == has.amount - has.taken
        return rules.why_not_now(invoice, self.charge, terms, lines, amount, self.foreign, disputed=disputed)

    def facts(self, row: Earning, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        terms = self.sellers.get(row.account)
        return sealed.payout_facts(
            self.invoice,
            self.charge,
            self.settlement,
            seller=row.account,
            obstacle=terms.obstacle if terms else "",
            extra={"problems": sorted({problem.code for problem in self.problems_of(row)}), **(extra or {})},
        )


def load(invoice_id: str, *, live: bool, but: str = "") -> Case | None:
    """The case as Stripe has it now (`live`), or as the mirror has it, with Stripe asked for what the mirror lacks.

    None when the invoice is gone. `but`: a seller whose own committed payout does not count against the charge.
    Raises billingops.stripe.errors.Ambiguous and Throttled.
    """
    invoice = sync.invoice_facts(invoice_id, live=live)
    if invoice is None and not live:
        invoice = sync.invoice_facts(invoice_id, live=True)
    if invoice is None:
        return None
    charge = payment(invoice, live=live)
    happened = of_many({invoice.id: charge}, {invoice.id: invoice.from_balance})[invoice.id] if charge else None
    charge = _as_disputed(charge, happened) if charge else None
    known = rules_for(invoice)
    tier = _tier(invoice, known)
    settled = _settled({invoice.id: known})[invoice.id]
    sellers = terms_of(rules.sellers_of(invoice, charge, known, tier) | _sellers_in(settled), live=live)
    inputs: dict[str, Any] = {
        "committed": _committed(invoice.id, but=but),
        "foreign": _foreign(invoice, charge, sellers, live=live),
        "tier": tier,
    }
    before = happened.before if happened else 0
    given: dict[str, Any] = {"rules": known, "sellers": sellers, "before": before, "past": Past(settled)}
    settlement = rules.settle(invoice, charge, **given, **inputs)
    return Case(invoice, charge, settlement, sellers, happened=happened, known=known, settled=settled, **inputs)


def load_many(invoice_ids: Iterable[str]) -> dict[str, Case]:
    """The cases of these invoices as the mirror has them, by id, in a number of statements that does not grow with
    theirs (at most mirrored.MOST). What the mirror lacks is left out."""
    invoices = mirrored.invoices_facts(invoice_ids)
    paid = mirrored.payments({key: one.charge_ids for key, one in invoices.items()})
    paid |= {key: nothing_due(one) for key, one in invoices.items() if one.total < 0 and one.is_paid}
    happened = of_many(paid, {key: one.from_balance for key, one in invoices.items()})
    paid = {key: _as_disputed(charge, happened.get(key)) for key, charge in paid.items()}
    book = RuleBook([as_rule(row) for row in ShareRule.objects.select_related("seller")])
    known = {key: book.of(invoice) for key, invoice in invoices.items()}
    tiers: Mapping[str, Mapping[str, str]] = {}
    if any(rule.match_tier for rule in book.rules):
        tiers = mirrored.customers_metadata(one.customer_id for one in invoices.values() if one.customer_id)
    of_tier = {key: tiers.get(one.customer_id, {}).get(rules.TIER_KEY, "") for key, one in invoices.items()}
    settled = _settled(known)
    named = {
        key: rules.sellers_of(one, paid.get(key), known[key], of_tier[key]) | _sellers_in(settled[key])
        for key, one in invoices.items()
    }
    terms = _terms_of_many({account for accounts in named.values() for account in accounts})
    committed = _committed_of_many(invoices)
    foreign = _foreign_of_many(paid)
    found: dict[str, Case] = {}
    for key, invoice in invoices.items():
        sellers = {account: terms[account] for account in sorted(named[key]) if account in terms}
        inputs: dict[str, Any] = {
            "committed": committed.get(key, {}),
            "foreign": [one for one in foreign.get(key, ()) if one.destination in named[key]],
            "tier": of_tier[key],
        }
        before = happened[key].before if key in happened else 0
        given: dict[str, Any] = {"rules": known[key], "sellers": sellers, "before": before, "past": Past(settled[key])}
        settlement = rules.settle(invoice, paid.get(key), **given, **inputs)
        of_it: dict[str, Any] = {"happened": happened.get(key), "known": known[key], "settled": settled[key], **inputs}
        found[key] = Case(invoice, paid.get(key), settlement, sellers, **of_it)
    return found


def settled_anew(found: Sequence[Case]) -> list[Case]:
    """The cases with the lines that somebody shared out since they were loaded. Call it outside any transaction."""
    settled = _settled({case.invoice.id: case.known for case in found})
    missing = {account for case in found for account in _sellers_in(settled[case.invoice.id]) - case.sellers.keys()}
    terms = terms_of(missing, live=False) if missing else {}
    return [replace(case, settled=settled[case.invoice.id], sellers={**terms, **case.sellers}) for case in found]


def _settled(known: Mapping[str, Sequence[Rule]]) -> dict[str, dict[str, Assignment]]:
    """Of these invoices (with the rules that may concern each) the lines that were shared out, and whose they were.
    One statement."""
    versions = {key: {(rule.name, rule.version): rule for rule in of} for key, of in known.items()}
    answer: dict[str, dict[str, Assignment]] = {key: {} for key in known}
    rows = SettledLine.objects.filter(invoice__in=list(known))
    for invoice, line, rule, version, parts in rows.values_list("invoice", "line", "rule", "rule_version", "parts"):
        given = tuple((account, weight) for account, weight in parts)
        answer[invoice][line] = Assignment(versions[invoice].get((rule, version)), given)
    return answer


def _sellers_in(settled: Mapping[str, Assignment]) -> frozenset[str]:
    return frozenset(account for given in settled.values() for account, _ in given.parts)


def _as_disputed(charge: ChargeFacts, happened: Happened | None) -> ChargeFacts:
    """Disputed as long as the dispute is open: its event brings the dispute, not the charge, so the mirror's charge may
    not say so yet; and Stripe's says so for ever."""
    return replace(charge, disputed=happened.still_disputed > 0) if happened is not None else charge


class RuleBook:
    """All versions of all rules, and which of them may concern an invoice: what rules_for asks the database."""

    def __init__(self, known: Sequence[Rule]) -> None:
        self.rules = known
        self._by_name: dict[str, list[Rule]] = {}
        self._by_match: dict[str, list[Rule]] = {}
        self._by_seller: dict[str, list[Rule]] = {}
        for rule in known:
            self._by_name.setdefault(rule.name, []).append(rule)
            group, key = (self._by_match, rule.match_value) if rule.match_value else (self._by_seller, rule.seller)
            group.setdefault(key, []).append(rule)

    def of(self, invoice: InvoiceFacts) -> list[Rule]:
        named = {rules.seller_of(line, invoice, ()) for line in invoice.lines}
        matched = dict.fromkeys(key for line in invoice.lines for key in (line.price_id, line.product_id) if key)
        found = [rule for key in matched for rule in self._by_match.get(key, ())]
        named |= {rule.seller for rule in found} | {account for rule in found for account, _ in rule.split} | {""}
        found += [rule for seller in sorted(named) for rule in self._by_seller.get(seller, ())]
        # All versions of each: a later one may match something else.
        names = dict.fromkeys(rule.name for rule in found)
        return [rule for name in names for rule in self._by_name[name]]


def _terms_of_many(accounts: Iterable[str]) -> dict[str, Terms]:
    rows = list(Seller.objects.filter(account__in=list(accounts)).order_by("account"))
    data = store.load("account", [row.account for row in rows])
    obstacles = {key: reader.read_account(one).obstacle for key, one in data.items()}
    missing = {row.account: obstacle_of(row.account, live=True) for row in rows if row.account not in obstacles}
    return {row.account: as_terms(row, {**obstacles, **missing}[row.account]) for row in rows}


def _committed_of_many(invoices: Iterable[str]) -> dict[str, dict[str, int]]:
    rows = PayoutRecord.objects.filter(invoice__in=list(invoices), state__in=COMMITTED)
    found: dict[str, dict[str, int]] = {}
    for invoice, account, amount in rows.values_list("invoice", "account", "amount"):
        found.setdefault(invoice, {})[account] = amount
    return found


def _foreign_of_many(charges: Mapping[str, ChargeFacts]) -> dict[str, list[TransferFacts]]:
    """By invoice; see _foreign, whose mirror-only side this is."""
    by_charge = {one.id: invoice for invoice, charge in charges.items() for one in charge.each}
    mirrored_rows = MirroredObject.objects.filter(object_type="transfer", parent_id__in=list(by_charge), account="")
    ids = list(mirrored_rows.exclude(status="reversed").values_list("object_id", flat=True))
    if not ids:
        return {}
    transfers = [reader.read_transfer(data) for data in store.load("transfer", ids).values()]
    ours = PayoutRecord.objects.filter(invoice__in=list(charges)).live().select_related("suggestion")
    by_invoice: dict[str, list[PayoutRecord]] = {}
    for record in ours:
        by_invoice.setdefault(record.invoice, []).append(record)
    found: dict[str, list[TransferFacts]] = {}
    for transfer in transfers:
        invoice = by_charge.get(transfer.source_transaction, "")
        records = by_invoice.get(invoice, ())
        if transfer.amount_reversed < transfer.amount and not any(_is_of(transfer, record) for record in records):
            found.setdefault(invoice, []).append(transfer)
    return found


def _tier(invoice: InvoiceFacts, known: Iterable[Rule]) -> str:
    """The customer's tier, looked up only where a rule asks for it."""
    if not invoice.customer_id or not any(rule.match_tier for rule in known):
        return ""
    customer = sync.customer_facts(invoice.customer_id, live=False)
    return customer.metadata.get(rules.TIER_KEY, "") if customer else ""


def payment(invoice: InvoiceFacts, *, live: bool) -> ChargeFacts | None:
    """What paid the invoice; None when nothing did, or Stripe lacks a charge of it."""
    if invoice.is_paid and invoice.total < 0:
        return nothing_due(invoice)
    found = [_charge(charge_id, live=live) for charge_id in invoice.charge_ids]
    charges = [charge for charge in found if charge is not None]
    return together(charges) if charges and len(charges) == len(found) else None


def _charge(charge_id: str, *, live: bool) -> ChargeFacts | None:
    charge = sync.charge_facts(charge_id, live=live)
    if not live and (charge is None or charge.status == "pending" or charge.fee is None):
        charge = sync.charge_facts(charge_id, live=True) or charge
    return charge


def _committed(invoice_id: str, *, but: str) -> dict[str, int]:
    rows = PayoutRecord.objects.filter(invoice=invoice_id, state__in=COMMITTED).exclude(account=but)
    return dict(rows.order_by().values_list("account").annotate(total=Sum("amount")))


def _foreign(
    invoice: InvoiceFacts, charge: ChargeFacts | None, sellers: Iterable[str], *, live: bool
) -> list[TransferFacts]:
    """Transfers to these sellers out of this charge, or in the invoice's group, that are none of our payouts and are
    not reversed in full.

    From the mirror alone unless `live`: what it lacks is found before the execution. Live costs a list or two and one
    more for each seller, of at most MAX_LISTED transfers.
    """
    wanted = set(sellers)
    if not wanted or charge is None:
        return []
    charges = {one.id for one in charge.each}
    mirrored = MirroredObject.objects.filter(object_type="transfer", parent_id__in=charges, account="")
    ids = list(mirrored.exclude(status="reversed").order_by("object_id").values_list("object_id", flat=True))
    found: dict[str, TransferFacts] = {}
    if live:
        groups = dict.fromkeys(filter(None, (invoice.id, charge.transfer_group)))
        filters: list[dict[str, Any]] = [{"transfer_group": group} for group in groups]
        # Stripe lists no transfers by their charge: those in a group of their own stand among the seller's latest.
        since = {"gte": int(charge.created.timestamp())}
        filters += [{"destination": seller, "created": since} for seller in sorted(wanted)]
        for given in filters:
            for data in islice(sync.list_objects("transfer", **given), MAX_LISTED):
                transfer = reader.read_transfer(data)
                found[transfer.id] = transfer
    for transfer_id in ids:
        if transfer_id not in found and (known := sync.transfer_facts(transfer_id, live=live)):
            found[transfer_id] = known
    concerned = [
        transfer
        for transfer in found.values()
        if transfer.destination in wanted
        and transfer.amount_reversed < transfer.amount
        and (transfer.source_transaction in charges or transfer.transfer_group == invoice.id)
    ]
    if not concerned:
        return []
    ours = PayoutRecord.objects.filter(invoice=invoice.id).live().select_related("suggestion")
    return [transfer for transfer in concerned if not any(_is_of(transfer, record) for record in ours)]


def _is_of(transfer: TransferFacts, record: PayoutRecord) -> bool:
    if record.transfer:
        return transfer.id == record.transfer
    return record.suggestion is not None and lookups.is_transfer_of(transfer, record.suggestion)


def rules_for(invoice: InvoiceFacts) -> list[Rule]:
    """All versions of the rules that may concern the invoice. One statement, whatever the number of rules."""
    matched = {line.price_id for line in invoice.lines} | {line.product_id for line in invoice.lines}
    named = {rules.seller_of(line, invoice, ()) for line in invoice.lines}
    by_line = ShareRule.objects.filter(match_value__in=matched - {""})
    whole_seller = Q(match_type=ShareRule.Match.NONE) & (
        Q(seller=None)
        | Q(seller__account__in=named - {""})
        | Q(seller__in=by_line.exclude(seller=None).values("seller"))
    )
    names = ShareRule.objects.filter(Q(match_value__in=matched - {""}) | whole_seller).values("name")
    return [as_rule(row) for row in ShareRule.objects.filter(name__in=names).select_related("seller")]


def as_rule(row: ShareRule) -> Rule:
    return row.as_rule()


def terms_of(accounts: Iterable[str], *, live: bool) -> dict[str, Terms]:
    """What is agreed with each seller that the configuration knows, and whether Stripe lets money go there."""
    rows = Seller.objects.filter(account__in=list(accounts)).order_by("account")
    return {row.account: as_terms(row, obstacle_of(row.account, live=live)) for row in rows}


def as_terms(seller: Seller, obstacle: str) -> Terms:
    """`obstacle`: why Stripe would not let money go there, "" if nothing."""
    return Terms(
        account=seller.account,
        name=seller.name,
        active=seller.active,
        minimum=seller.minimum_payout,
        obstacle=obstacle,
        schedule=seller.schedule,
        hold_days=seller.hold_days,
        reserve_percent=seller.reserve_percent,
        reserve_days=seller.reserve_days,
        tax_withholding_percent=seller.tax_withholding_percent,
        stripe_fees=seller.stripe_fees,
        recovery=seller.recovery,
        negative_limit=seller.negative_limit,
    )


def obstacle_of(account: str, *, live: bool) -> str:
    found = sync.account_facts(account, live=live)
    if found is None and not live:
        found = sync.account_facts(account, live=True)
    return found.obstacle if found is not None else "Stripe knows no such connected account of this platform"
