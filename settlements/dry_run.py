"""What the rules of a config file would have done to the payments of a period: `manage.py suggest --dry-run FILE`.

Compared is what each seller earned (share and adjustment, before Stripe's fee, tax and reserve) as it was computed then
with what the file's rules make of the same invoices. Reads the mirror and the earnings, asks Stripe nothing, writes
nothing. Memory grows with the rules and sellers, not with the invoices.

* Rules that the file does not name, and those that it leaves as they are, take part as they stand: what they computed
  is taken over, not computed anew. A rule that the file changes or adds is taken to have held from the period's first
  day, a promotion on its own days (one that lies ahead: all the time).
* A changed tiered rule counts its volume from zero, as the new version would.
* An invoice that nobody has an earning of (made before there were any) is computed by the stored rules for comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Q

from billingops import config
from billingops.exceptions import InvalidInput
from billingops.money import format_money
from billingops.stripe import mirrored
from billingops.stripe.facts import ChargeFacts, InvoiceFacts, nothing_due
from billingops.stripe.models import MirroredObject
from settlements import cases, rules
from settlements.cases import RuleBook
from settlements.explain_input import terms_of_plan
from settlements.happened import credited_before
from settlements.models import Earning, Seller, ShareRule
from settlements.rules import Rule, Settlement, Terms, VolumeKey

BATCH = 200
EXAMPLES = 3  # per seller and currency
PAID_LATE = timedelta(days=120)  # how long before the period an invoice without an earning may have been made
Progress = Callable[[str], None]


@dataclass
class Row:
    """One seller in one currency, minor units. `blocked`: invoices of which the file's rules give nothing, by why."""

    then: int = 0
    now: int = 0
    invoices: int = 0
    changed: int = 0
    blocked: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def difference(self) -> int:
        return self.now - self.then


@dataclass
class Report:
    since: date
    until: date  # not included
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    invoices: int = 0
    recomputed: int = 0  # without an earning: by the stored rules
    not_mirrored: int = 0
    new_rules: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "invoices": self.invoices,
            "recomputed": self.recomputed,
            "not_mirrored": self.not_mirrored,
            "rules": self.new_rules,
            "sellers": [
                {
                    "account": account,
                    "name": self.names.get(account, ""),
                    "currency": currency,
                    "then": row.then,
                    "now": row.now,
                    "difference": row.difference,
                    "invoices": row.invoices,
                    "changed": row.changed,
                    "blocked": dict(sorted(row.blocked.items())),
                    "examples": row.examples,
                }
                for (account, currency), row in sorted(self.rows.items())
            ],
        }

    def as_text(self) -> Iterator[str]:
        yield f"{self.since} to {self.until} (not included): {self.invoices:,} paid invoices."
        yield f"Rules that the file changes or adds: {', '.join(self.new_rules) or 'none'}."
        if self.recomputed:
            yield f"{self.recomputed:,} without an earning: compared with what the stored rules make of them."
        if self.not_mirrored:
            yield f"{self.not_mirrored:,} are not in the mirror and were left out."
        header = ("seller", "then", "with the file", "difference", "changed", "not earned")
        table = [header, *(self._cells(key, row) for key, row in sorted(self.rows.items()))]
        widths = [max(len(cells[column]) for cells in table) for column in range(len(header))]
        for cells in table if self.rows else ():
            first, *rest = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            yield "  ".join([first, *(cell.strip().rjust(width) for cell, width in zip(rest, widths[1:], strict=True))])
        for (account, currency), row in sorted(self.rows.items()):
            for one in row.examples:
                then, now = (format_money(one[key], currency) for key in ("then", "now"))
                yield f"  {account}  {one['invoice']}: {then} → {now}  ({one['rules'] or one['why']})"
        yield "Nothing was changed."

    def _cells(self, key: tuple[str, str], row: Row) -> tuple[str, ...]:
        account, currency = key
        label = f"{self.names.get(account, '')} ({account})".strip()
        blocked = ", ".join(f"{code} {count}" for code, count in sorted(row.blocked.items()))
        sums = (format_money(amount, currency) for amount in (row.then, row.now, row.difference))
        return (label, *sums, f"{row.changed:,} of {row.invoices:,}", blocked or "-")


def run(text: str, *, file: str, since: date, until: date, progress: Progress = lambda text: None) -> Report:
    """Raises billingops.config.ConfigError for the file, InvalidInput where it has no rules or the days are none."""
    if since >= until:
        raise InvalidInput("The period's first day must come before its end.", field="until")
    plans = config.read(text, file=file)
    if not plans.get("rules"):
        raise InvalidInput("The file has no `rules` section, or an empty one.", field="rules")
    stored = [row.as_rule() for row in ShareRule.objects.select_related("seller").order_by("id")]
    wanted, fresh = _with_file(stored, plans["rules"], since, until)
    terms = {row.account: cases.as_terms(row, "") for row in Seller.objects.all()}
    terms |= {plan.account: terms_of_plan(plan) for plan in plans.get("sellers", ())}
    report = Report(since, until, new_rules=sorted({rule.name for rule in fresh}))
    report.names = {account: each.name for account, each in terms.items()}
    comparison = _Comparison(report, RuleBook(stored), RuleBook(wanted), fresh, terms)
    for batch in _batches(since, until):
        comparison.take(batch)
        progress(f"{report.invoices:,} invoices looked at")
    return report


def _with_file(
    stored: Sequence[Rule], plans: Sequence[Any], since: date, until: date
) -> tuple[list[Rule], frozenset[Rule]]:
    """(all rules that take part, those that the file changes or adds), as an import without --prune would have it."""
    latest: dict[str, Rule] = {}
    for rule in stored:
        if rule.name not in latest or latest[rule.name].version < rule.version:
            latest[rule.name] = rule
    fresh = []
    for plan in plans:
        held = latest.get(plan.name)
        version = held.version if held else 0
        if held is None or plan.as_rule(version=version) != held:
            fresh.append(plan.over(since, until, version=version + 1))
    names = {rule.name for rule in fresh}
    return [*(rule for rule in stored if rule.name not in names), *fresh], frozenset(fresh)


# -- which invoices ----------------------------------------------------------------------------------------------------


def _moment(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


@dataclass(frozen=True)
class _Batch:
    """`earned`: (invoice, seller) → the earning; invoices without one are computed anew."""

    ids: list[str]
    earned: dict[str, dict[str, Earning]]
    since: date
    until: date


def _batches(since: date, until: date) -> Iterator[_Batch]:
    """Every invoice paid in these days once: first those with an earning, by the day of the payment, then the rest of
    the mirror's."""
    rows = Earning.objects.filter(paid_at__gte=_moment(since), paid_at__lt=_moment(until))
    pairs = rows.order_by("paid_at", "invoice").values_list("paid_at", "invoice").distinct()
    after = Q()
    while found := list(pairs.filter(after)[:BATCH]):
        ids = list(dict.fromkeys(invoice for _, invoice in found))
        yield _Batch(ids, _earnings(ids), since, until)
        paid_at, last = found[-1]
        after = Q(paid_at__gt=paid_at) | Q(paid_at=paid_at, invoice__gt=last)
    yield from _without_earning(since, until)


def _without_earning(since: date, until: date) -> Iterator[_Batch]:
    rows = MirroredObject.objects.filter(object_type="invoice", status="paid", account="")
    rows = rows.filter(created__gte=_moment(since) - PAID_LATE, created__lt=_moment(until))
    after = Q()
    while found := list(
        rows.filter(after).order_by("created", "object_id").values_list("created", "object_id")[:BATCH]
    ):
        ids = [object_id for _, object_id in found]
        known = set(Earning.objects.filter(invoice__in=ids).values_list("invoice", flat=True))
        if left := [object_id for object_id in ids if object_id not in known]:
            yield _Batch(left, {}, since, until)
        created, last = found[-1]
        after = Q(created__gt=created) | Q(created=created, object_id__gt=last)


def _earnings(ids: Sequence[str]) -> dict[str, dict[str, Earning]]:
    found: dict[str, dict[str, Earning]] = {}
    for earning in Earning.objects.filter(invoice__in=ids).only(
        "account", "invoice", "share", "adjustment", "lines", "currency"
    ):
        found.setdefault(earning.invoice, {})[earning.account] = earning
    return found


# -- the comparison ----------------------------------------------------------------------------------------------------

Volumes = dict[tuple[VolumeKey, str], int]


@dataclass
class _Comparison:
    report: Report
    stored: RuleBook
    wanted: RuleBook
    fresh: frozenset[Rule]
    terms: Mapping[str, Terms]
    before: Volumes = field(default_factory=dict)
    after: Volumes = field(default_factory=dict)

    def take(self, batch: _Batch) -> None:
        invoices = mirrored.invoices_facts(batch.ids)
        charges = mirrored.payments({key: one.charge_ids for key, one in invoices.items()})
        charges |= {key: nothing_due(one) for key, one in invoices.items() if one.total < 0 and one.is_paid}
        tiers: Mapping[str, Mapping[str, str]] = {}
        if any(rule.match_tier for rule in (*self.stored.rules, *self.wanted.rules)):
            tiers = mirrored.customers_metadata(one.customer_id for one in invoices.values() if one.customer_id)
        notes = mirrored.credit_notes_of_many(batch.ids)
        self.report.not_mirrored += sum(1 for key in batch.ids if key not in invoices)
        for key in batch.ids:
            invoice = invoices.get(key)
            if invoice is None:
                continue
            charge = charges.get(key)
            earned = batch.earned.get(key)
            if earned is None and not batch.since <= rules.paid_day(invoice, charge) < batch.until:
                continue
            tier = tiers.get(invoice.customer_id, {}).get(rules.TIER_KEY, "")
            self._compare(invoice, charge, tier, earned, credited_before(notes[key]))

    def _compare(
        self,
        invoice: InvoiceFacts,
        charge: ChargeFacts | None,
        tier: str,
        earned: dict[str, Earning] | None,
        credited: int,
    ) -> None:
        now = self._settle(self.wanted, self.after, invoice, charge, tier, credited)
        if earned is None:
            was = self._settle(self.stored, self.before, invoice, charge, tier, credited)
            then = {one.seller: one.amount for one in was.earned}
            self.report.recomputed += bool(was.sellers)
        else:
            then = {account: earning.share + earning.adjustment for account, earning in earned.items()}
        self.report.invoices += 1
        for seller in sorted(set(then) | {one.seller for one in now.earned} | set(now.sellers)):
            found = now.earning(seller)
            old = then.get(seller, 0)
            kept = seller in then and found is not None and self._is_unchanged(found, (earned or {}).get(seller))
            new = old if kept else found.amount if found is not None else 0
            used = sorted({f"{one.rule.name} v{one.rule.version}" for one in found.lines}) if found else []
            why = sorted({problem.code for problem in now.problems if problem.seller == seller})
            self._note(seller, invoice, old, new, ", ".join(used), "" if found else ", ".join(why))

    def _is_unchanged(self, found: rules.Proposal, earning: Earning | None) -> bool:
        """Whether the same versions compute it as did then: then its amount is known, volumes and all."""
        if earning is None:
            return False
        lines = {(line["line"], line["rule"], line["rule_version"]) for line in earning.lines}
        same = {(one.line.id, one.rule.name, one.rule.version) for one in found.lines}
        return lines == same and not any(one.rule in self.fresh for one in found.lines)

    def _settle(
        self,
        book: RuleBook,
        volumes: Volumes,
        invoice: InvoiceFacts,
        charge: ChargeFacts | None,
        tier: str,
        credited: int,
    ) -> Settlement:
        known = book.of(invoice)
        keys = rules.tier_keys(invoice, charge, known, tier)
        given = {key: volumes.get((key, invoice.currency), 0) for key in keys}
        found = rules.settle(
            invoice, charge, rules=known, sellers=self.terms, tier=tier, volumes=given, before=credited
        )
        for one in found.earned:
            for name, version, period, base in one.volume:
                key = ((one.seller, name, version, period), invoice.currency)
                volumes[key] = volumes.get(key, 0) + base
        return found

    def _note(self, seller: str, invoice: InvoiceFacts, old: int, new: int, used: str, why: str) -> None:
        row = self.report.rows.setdefault((seller, invoice.currency), Row())
        row.invoices += 1
        row.then += old
        row.now += new
        for code in filter(None, why.split(", ")):
            row.blocked[code] = row.blocked.get(code, 0) + 1
        if old == new:
            return
        row.changed += 1
        if len(row.examples) < EXAMPLES:
            label = invoice.number or invoice.id
            row.examples.append(
                {"invoice": label, "id": invoice.id, "then": old, "now": new, "rules": used, "why": why}
            )


def rehearse(text: str, file: str, since: date, until: date, progress: Progress) -> Report:
    """As the gate calls it (registry.Kind.dry_run)."""
    return run(text, file=file, since=since, until=until, progress=progress)
