"""What takes part when a rule is tried out: the rules and terms that somebody may see, and those that were pasted.

A pasted text is read as the config file is, with the same mistakes named; nothing is saved. Whoever is limited to some
accounts tries out the rules of these alone, and may name no other account.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billingops import access, config
from billingops.config import ConfigError, Value
from billingops.exceptions import InvalidInput
from settlements import cases
from settlements.explain import Example, Explanation, explain, without_others
from settlements.models import Seller, ShareRule
from settlements.rule_config import read_rule
from settlements.rule_plans import RulePlan
from settlements.rules import Rule, Terms
from settlements.seller_config import SellerPlan, read_sellers

FILE = "the pasted text"
MAX_TEXT = 20_000
MAX_RULES = 20
MAX_LINES = 50
MAX_TOLD = 200
YEARS = range(2000, 2201)  # in which a made-up invoice may be paid; what follows from the day must be a day too


@dataclass
class Pasted:
    rules: list[RulePlan] = field(default_factory=list)
    sellers: list[SellerPlan] = field(default_factory=list)


def try_out(
    example: Example, *, user: Any, text: str = "", name: str = "", version: int | None = None, stored: bool = True
) -> Explanation:
    """Explain `example` under the pasted rules (`text`), one stored version (`name`, `version`; None: the latest), and,
    with `stored`, the other rules in the database. A pasted or named rule stands in for its namesakes.

    Raises ConfigError for the text, InvalidInput (with `field`) for the rest. Reads a few statements, writes nothing.
    """
    accounts = access.accounts_of(user)
    if example.paid_on.year not in YEARS:
        raise InvalidInput(f"Choose a day of the years {YEARS[0]} to {YEARS[-1]}.", field="paid_on")
    invoice = example.invoice
    named = {example.seller, *(str(line.price_metadata.get("seller_account", "")) for line in example.lines)} - {""}
    _check_accounts(named, accounts, "seller")
    pasted = read_text(text, user=user) if text.strip() else Pasted()
    known: list[Rule] = []
    if stored:
        found = {(rule.name, rule.version): rule for rule in cases.rules_for(invoice)}
        # What a seller has for other prices and products changes nothing here; it is told why it does not count.
        rows = ShareRule.objects.filter(seller__account__in=named).select_related("seller").order_by("-id")[:MAX_TOLD]
        found |= {(row.name, row.version): row.as_rule() for row in rows if (row.name, row.version) not in found}
        known = [rule for rule in found.values() if accounts is None or rule.seller in accounts]
    chosen = _chosen(name, version, user) if name else None
    wanted = [*([chosen] if chosen else []), *(_next_version(plan, user) for plan in pasted.rules)]
    if not known and not wanted:
        what = "There is no rule to try: paste one, name one, or let the stored rules take part."
        if not stored:
            raise InvalidInput(what, field="rule")
    replaced = {rule.name for rule in wanted}
    known = [rule for rule in known if rule.name not in replaced] + wanted
    terms = _terms(known, named, pasted.sellers, accounts)
    return without_others(explain(example, known=known, terms=terms), accounts)


def read_text(text: str, *, user: Any) -> Pasted:
    """One rule, a list of rules, or a part of the file with `rules` and `sellers`. Raises ConfigError, InvalidInput."""
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"The text is longer than {MAX_TEXT:,} characters; paste the rule alone.", field="rule")
    accounts = access.accounts_of(user)
    root = config.parse(text, file=FILE)
    pasted = Pasted()
    values: list[Value] = []
    if root.type == "seq":
        values = root.items()
    elif root.type == "map" and {"rules", "sellers"} & set(_keys(root)):
        fields = root.fields("rules", "sellers", "policies")
        if fields is not None:
            if (sellers := fields.get("sellers")) is not None:
                pasted.sellers = read_sellers(sellers.items(), {})
            if (listed := fields.get("rules")) is not None:
                values = listed.items()
    else:
        values = [root]
    if len(values) > MAX_RULES:
        raise InvalidInput(f"{len(values)} rules are pasted; at most {MAX_RULES} can be tried at once.", field="rule")
    known = {plan.account for plan in pasted.sellers}
    _check_accounts(known, accounts, "rule")
    known |= set(access.scope(Seller.objects.filter(active=True), user).values_list("account", flat=True))
    read = [read_rule(value, known) for value in values]
    if root.problems:
        raise ConfigError(root.problems)
    pasted.rules = [plan for plan in read if plan is not None]
    return pasted


def _keys(value: Value) -> list[str]:
    return [str(key.value) for key, _ in value.node.value]


def _check_accounts(named: Iterable[str], accounts: frozenset[str] | None, field_name: str) -> None:
    if accounts is not None and (others := sorted(set(named) - accounts)):
        raise InvalidInput(f"{others[0]} is not among the accounts you have access to.", field=field_name)


def _chosen(name: str, version: int | None, user: Any) -> Rule:
    rows = access.scope(ShareRule.objects.select_related("seller"), user, field="seller__account").filter(name=name)
    row = (rows.filter(version=version) if version is not None else rows).order_by("-version").first()
    if row is None:
        shown = name if version is None else f"{name} v{version}"
        raise InvalidInput(f"There is no rule {shown}.", field="name")
    return row.as_rule()


def _next_version(plan: RulePlan, user: Any) -> Rule:
    """As it will be numbered when it is imported, as far as this person may know: others' names are not told."""
    mine = access.scope(ShareRule.objects.filter(name=plan.name), user, field="seller__account")
    held = mine.order_by("-version").values_list("version", flat=True).first()
    return plan.as_rule(version=(held or 0) + 1)


def _terms(
    known: Iterable[Rule], named: set[str], pasted: Iterable[SellerPlan], accounts: frozenset[str] | None
) -> dict[str, Terms]:
    """Of every seller that may come up. Whether Stripe lets money go there is another question, not asked here."""
    wanted = named | {rule.seller for rule in known} | {account for rule in known for account, _ in rule.split}
    rows = Seller.objects.filter(account__in=wanted - {""})
    terms = {row.account: cases.as_terms(row, "") for row in rows}
    return terms | {plan.account: terms_of_plan(plan) for plan in pasted}


def terms_of_plan(plan: SellerPlan) -> Terms:
    """What a config file agrees with a seller, before it is imported."""
    return Terms(
        account=plan.account,
        name=plan.name,
        minimum=plan.minimum_payout,
        schedule=plan.schedule,
        hold_days=plan.hold_days,
        reserve_percent=Decimal(plan.reserve_percent),
        reserve_days=plan.reserve_days,
        tax_withholding_percent=Decimal(plan.tax_withholding_percent),
        stripe_fees=plan.stripe_fees,
        recovery=plan.recovery,
        negative_limit=plan.negative_limit,
    )
