"""What has to hold at every step of every history. Each raises Broken with a sentence that names what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from settlements.cases import Case
from settlements.fees import smallest_step
from settlements.ledger.accounts import Account
from settlements.models import Earning
from settlements.plans import Open, Plan
from settlements.positions import Happened
from settlements.ruleset import PERCENT
from tests.histories.ledger import Broken

if TYPE_CHECKING:
    from tests.histories.office import Office


def demand(holds: bool, sentence: str) -> None:
    if not holds:
        raise Broken(sentence)


def _gross(row: Earning) -> int:
    return row.share + row.adjustment


def at_most(row: Earning) -> int:
    """The most that may be paid of an earning, as the database's constraint has it."""
    return max(0, row.earned, row.adjustment if row.share < 0 else 0)


def recorded(case: Case, rows: Mapping[str, Earning]) -> None:
    """The shares of an invoice add up to its lines, each part of an earning to the whole."""
    step = smallest_step(case.invoice.currency)
    for row in rows.values():
        what = f"{row.invoice} of {row.account}"
        demand(row.base == row.fee + row.share, f"{what}: base {row.base} is not fee {row.fee} + share {row.share}")
        demand(row.share % step == 0, f"{what}: a share of {row.share} cannot be moved")
        demand(row.open == row.earned - row.reserve, f"{what}: {row.open} open of {row.earned} less {row.reserve}")
        demand(0 <= row.reserve <= max(0, row.earned), f"{what}: reserve {row.reserve} of {row.earned}")
        demand(sum(line["share"] for line in row.lines) == row.share, f"{what}: lines do not add up to the share")
        demand(sum(line["base"] for line in row.lines) == row.base, f"{what}: lines do not add up to the base")
        _rounded(case, row, step)
    if rows and not case.settlement.problems:
        own = set(case.settlement.own)
        bases = sum(line.base for line in case.invoice.lines if line.id not in own)
        sellers = sum(row.base for row in rows.values())
        demand(bases == sellers, f"{case.invoice.id}: lines over {bases} shared out as {sellers}")


def _rounded(case: Case, row: Earning, step: int) -> None:
    """A percentage of a line is at most half a unit off; where only steps can be moved, less than a step below that."""
    proposal = next(one for one in case.settlement.earned if one.seller == row.account)
    for one in proposal.lines:
        rule = one.rule
        if rule.share_type != PERCENT or rule.split or rule.minimum_fee is not None or one.base != one.line.base:
            continue
        exact = Fraction(one.base) * Fraction(rule.percent) / 100
        off = abs(exact) - abs(one.share)
        fits = abs(off) <= Fraction(1, 2) if step == 1 else -Fraction(1, 2) <= off < step
        demand(fits, f"{row.invoice} {one.line.id}: a share of {one.share}, exactly it is {exact}")


def invoice(office: Office, name: str, has: Happened) -> None:
    """The subledger says what the journal says, for each seller of an invoice; what is taken is taken of somebody."""
    of, rows = office.ledger.of, office.rows.get(name, {})
    for account, row in rows.items():
        what = f"{name} of {account}"
        for column, kept, sign in (
            ("open", Account.SELLER_PAYABLE, -1),
            ("reserve_left", Account.RESERVE, -1),
            ("held", Account.DISPUTE, -1),
            ("claimed", Account.REVERSAL, 1),
        ):
            stands, booked = getattr(row, column), sign * of.get((str(kept), account, name), 0)
            demand(stands == booked, f"{what}: {column} is {stands}, the journal says {booked}")
        demand(min(row.held, row.claimed, row.reserve_left) >= 0, f"{what}: held, claimed or reserve below nothing")
        room = office.reversible(row)
        demand(row.claimed <= room, f"{what}: {row.claimed} claimed, {room} of its transfers can be reversed")
        demand(abs(row.taken) <= abs(_gross(row)), f"{what}: {row.taken} taken of {_gross(row)}")
        settled = row.open + row.paid + row.held + row.reserve_left - row.claimed
        tax = -of.get((str(Account.TAX_WITHHELD), account, name), 0)
        entitled = row.share + row.adjustment - row.stripe_fee - tax - row.taken
        demand(settled == entitled, f"{what}: parts come to {settled}, the seller is entitled to {entitled}")
        demand(row.moved_by_stripe or row.paid <= at_most(row), f"{what}: {row.paid} paid of {row.earned} earned")
        gross = max(1, _gross(row))
        left = max(0, gross - row.taken)  # of what tax and reserve were computed of
        off = tax * gross - row.withheld * left
        demand(abs(off) * 2 <= gross, f"{what}: tax of {tax} kept of {row.withheld}, {row.taken} of {gross} taken")
        reserved = row.reserve_left * gross - row.reserve * left
        kept = row.reserve_until is not None and office.today < row.reserve_until
        near = abs(reserved) * 2 <= gross if kept else row.reserve_left == 0
        demand(near, f"{what}: {row.reserve_left} in reserve of {row.reserve} on {office.today}")
    if rows:
        _taken(office, name, list(rows.values()), has)
        _receivable(office, name, has)


def _taken(office: Office, name: str, rows: Sequence[Earning], has: Happened) -> None:
    """Of the sellers' shares and adjustments together goes what a refund took of the payment, to the unit; whose, in
    proportion. What is disputed beyond that is held, as far as it was not paid out."""
    for sign in (1, -1):
        of = [row for row in rows if _gross(row) * sign > 0]
        share, taken = sum(map(_gross, of)) * sign, sum(row.taken for row in of) * sign
        named, lines = min(has.named, has.taken), sum(_named(row, rows, has) for row in of) if sign > 0 else Fraction(0)
        lines = lines * named / has.named if has.named else lines
        rest = Fraction(has.taken - named, has.amount - named) if has.amount > named else 0
        due = lines + (share - lines) * rest if has.taken < max(1, has.amount) else share
        units = Fraction(1, 2) + len(of) * bool(named) if office.step == 1 else 2 * office.step * max(1, len(of))
        demand(abs(due - taken) <= units, f"{name}: {taken} taken of {share}, {has.taken} of {has.amount}")
    whole = has.still_disputed == has.amount - has.taken > 0
    for row in rows:
        demand(not row.held or has.still_disputed > 0, f"{name} of {row.account}: {row.held} held without a dispute")
        plain = row.withheld == row.stripe_fee == row.adjustment == 0 and row.paid >= 0
        if whole and plain and row.share > 0:
            demand(row.open <= 0, f"{name} of {row.account}: {row.open} payable while all of it is disputed")


def _named(row: Earning, rows: Sequence[Earning], has: Happened) -> Fraction:
    """Of a share what belongs to the lines that credit notes named: never more than it and its adjustment."""
    found = Fraction(0)
    for line in row.lines:
        base = sum(one["base"] for other in rows for one in other.lines if one["line"] == line["line"])
        named = sum(one.base for one in has.lines if one.line_id == line["line"])
        found += Fraction(line["share"] * min(named, base), base) if base > 0 else 0
    return min(max(found, Fraction(0)), Fraction(max(0, _gross(row))))


def _receivable(office: Office, name: str, has: Happened) -> None:
    """Once all is booked nothing is left to receive, except what customers got as a credit, or used of one, or banks
    still hold."""
    ledger = office.ledger
    invoice, charge = office.known("invoice", name)[0], office.payment(name)
    assert charge is not None  # there is an earning
    moved = all(f"charge:{one.id}" in ledger.entries for one in charge.each)
    refunds, disputes = office.known("refund", name), office.known("dispute", name)
    counted = sum(one.amount for one in refunds if one.counts)
    on_the_way = any(one.is_open and one.balance_transactions for one in disputes)
    sold = len(office.rows[name])
    if not moved or counted != charge.amount_refunded or on_the_way or _unsold(office, name, sold):
        return
    left = ledger.of.get((str(Account.RECEIVABLE), "", name), 0)
    asked = has.refunded + has.lost + has.credited
    # A credit may be void, and nobody heard so.
    credited = has.credited - has.before - max(0, asked - max(0, has.amount))
    used = invoice.from_balance
    demand(left == used - credited, f"{name}: {left} left to receive, {credited} credited, {used} of a credit used")


def _unsold(office: Office, name: str, sold: int) -> bool:
    """Whether lines of sellers are not recorded (no rule, shares beyond the payment)."""
    return len(office.sellers_of(name)) != sold


def planned(opens: Sequence[Open], planned: Sequence[Plan], minimum: int) -> None:
    """Nothing is paid past a debt; nothing below the minimum; nothing twice."""
    if not planned:
        return
    taken = [earning for plan in planned for earning, _ in plan.items]
    demand(len(taken) == len(set(taken)), "an earning is planned twice")
    rest = sum(one.amount for one in opens if one.earning not in taken)
    debts = [one for one in opens if one.earning not in taken and one.amount < 0]
    demand(not debts or rest >= 0, f"debts of {rest} are left while {[plan.amount for plan in planned]} is paid")
    for plan in planned:
        demand(plan.amount == sum(amount for _, amount in plan.items), f"items of {plan} do not add up")
    # The minimum is held against what is due; of that less than a step may not be movable yet.
    due = sum(one.amount for one in opens if one.earning in taken) + max(rest, 0)
    demand(due >= minimum, "paid below the minimum")


def transfers(office: Office) -> None:
    """What was transferred less what came back is what is paid; what left the cash arrived at the sellers."""
    paid: dict[str, int] = {}
    for own in office.rows.values():
        for account, row in own.items():
            paid[account] = paid.get(account, 0) + row.paid
    moved: dict[str, int] = {}
    for record in office.records:
        if record.state == "done":
            came_back = record.amount - sum(item.reversible for item in record.items)
            left = record.amount - came_back - record.kept - record.elsewhere
            moved[record.account] = moved.get(record.account, 0) + left
            demand(came_back == record.amount_reversed, f"{record.name}: {came_back} booked as reversed")
    for account, settled in office.settled.items():
        moved[account] = moved.get(account, 0) - settled
    for account, amount in paid.items():
        demand(amount == moved.get(account, 0), f"{account}: {amount} paid, {moved.get(account, 0)} transferred")
        arrived = office.ledger.total.get((account, str(Account.CASH), account), 0)
        done = [one for one in office.records if one.account == account and one.state == "done"]
        gone = sum(one.kept + one.elsewhere for one in done) + office.settled.get(account, 0)
        demand(arrived == amount + gone, f"{account}: {arrived} arrived, {amount} paid, {gone} kept or given back")
    total = sum(amount for (book, _, _), amount in office.ledger.total.items() if book == "")
    demand(total == 0, f"the books are off by {total}")
    in_flight = [id(item.earning) for one in office.records for item in one.items if item.state == "in_flight"]
    demand(len(in_flight) == len(set(in_flight)), "an earning is in two payouts at once")


def closed(office: Office) -> None:
    """When all has been heard, paid and taken back: each seller got what the seller is entitled to, to the step."""
    history, step = office.history, office.step
    for account, terms in history.terms.items():
        rows = [own[account] for own in office.rows.values() if account in own]
        for row in rows:
            what = f"{row.invoice} of {account}"
            demand(row.reserve_left == 0, f"{what}: {row.reserve_left} still in reserve")
            disputed = any(one.status == "needs_response" for one in office.known("dispute", row.invoice))
            demand(not row.held or disputed, f"{what}: {row.held} held without a dispute")
        carried = sum(one.amount for one in office.opens(account, office.today))
        least = max(terms.minimum.get(history.currency, 0), step * max(1, len(rows)))
        demand(carried < least, f"{account}: {carried} due and not paid")
    for record, amount in office.claims():
        raise Broken(f"{record.name}: {amount} claimed and not asked for")
