"""A paid invoice with all that its settlement depends on: Stripe's facts, the rules and sellers of the configuration,
what of it was paid out already. Reads only; a live case reads Stripe, so load it outside any transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q, Sum

from billingops.stripe import sync
from billingops.stripe.facts import ChargeFacts, InvoiceFacts
from settlements import facts as sealed
from settlements import rules
from settlements.models import PayoutRecord, Seller, ShareRule
from settlements.rules import Rule, Settlement, Terms
from settlements.states import PayoutState

COMMITTED = (PayoutState.PENDING_TRANSFER, PayoutState.TRANSFERRED)


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
    settlement = rules.settle(invoice, charge, rules=known, sellers=sellers, committed=_committed(invoice.id, but=but))
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
    return Rule(
        name=row.name,
        version=row.version,
        seller=row.seller.account if row.seller else "",
        match_type=row.match_type,
        match_value=row.match_value,
        share_type=row.share_type,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        percent=row.seller_percent or Decimal(0),
        fee=row.fee or 0,
        currency=row.currency,
    )


def terms_of(accounts: Iterable[str], *, live: bool) -> dict[str, Terms]:
    """What is agreed with each seller that the configuration knows, and whether Stripe lets money go there."""
    return {
        seller.account: Terms(
            account=seller.account,
            name=seller.name,
            active=seller.active,
            minimum=seller.minimum_payout,
            obstacle=obstacle_of(seller.account, live=live),
        )
        for seller in Seller.objects.filter(account__in=list(accounts)).order_by("account")
    }


def obstacle_of(account: str, *, live: bool) -> str:
    found = sync.account_facts(account, live=live)
    if found is None and not live:
        found = sync.account_facts(account, live=True)
    return found.obstacle if found is not None else "Stripe knows no such connected account of this platform"
