"""A paid invoice with all that its settlement depends on: Stripe's facts, the rules and sellers of the configuration,
what of it was paid out already. Reads only; a live case reads Stripe, so load it outside any transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import Q, Sum

from billingops.stripe import reader, sync
from billingops.stripe.facts import ChargeFacts, InvoiceFacts, TransferFacts
from billingops.stripe.models import MirroredObject
from settlements import facts as sealed
from settlements import lookups, rules
from settlements.models import PayoutRecord, Seller, ShareRule
from settlements.rules import Rule, Settlement, Terms
from settlements.states import PayoutState

COMMITTED = (PayoutState.PENDING_TRANSFER, PayoutState.TRANSFERRED)
MAX_LISTED = 500  # of one seller's transfers since the charge: five reads


@dataclass(frozen=True)
class Case:
    invoice: InvoiceFacts
    charge: ChargeFacts | None
    settlement: Settlement
    sellers: dict[str, Terms]

    def facts(self, seller: str) -> dict[str, Any]:
        terms = self.sellers.get(seller)
        return sealed.payout_facts(
            self.invoice, self.charge, self.settlement, seller=seller, obstacle=terms.obstacle if terms else ""
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
    charge = _charge(invoice.charge_id, live=live)
    known = rules_for(invoice)
    sellers = terms_of(rules.sellers_of(invoice, charge, known), live=live)
    settlement = rules.settle(
        invoice,
        charge,
        rules=known,
        sellers=sellers,
        committed=_committed(invoice.id, but=but),
        foreign=_foreign(invoice, charge, sellers, live=live),
    )
    return Case(invoice, charge, settlement, sellers)


def _charge(charge_id: str, *, live: bool) -> ChargeFacts | None:
    if not charge_id:
        return None
    charge = sync.charge_facts(charge_id, live=live)
    if not live and (charge is None or charge.status == "pending"):
        charge = sync.charge_facts(charge_id, live=True)
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
    mirrored = MirroredObject.objects.filter(object_type="transfer", parent_id=charge.id, account="")
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
        and (transfer.source_transaction == charge.id or transfer.transfer_group == invoice.id)
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
    return {
        seller.account: Terms(
            account=seller.account,
            name=seller.name,
            active=seller.active,
            minimum=seller.minimum_payout,
            obstacle=obstacle_of(seller.account, live=live),
            schedule=seller.schedule,
            hold_days=seller.hold_days,
            reserve_percent=seller.reserve_percent,
            reserve_days=seller.reserve_days,
            tax_withholding_percent=seller.tax_withholding_percent,
            stripe_fees=seller.stripe_fees,
            recovery=seller.recovery,
            negative_limit=seller.negative_limit,
        )
        for seller in Seller.objects.filter(account__in=list(accounts)).order_by("account")
    }


def obstacle_of(account: str, *, live: bool) -> str:
    found = sync.account_facts(account, live=live)
    if found is None and not live:
        found = sync.account_facts(account, live=True)
    return found.obstacle if found is not None else "Stripe knows no such connected account of this platform"
