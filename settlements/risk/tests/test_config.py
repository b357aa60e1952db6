"""The `risk` section of the config file."""

from __future__ import annotations

import pytest

from approvals.models import AuditEntry
from billingops import config
from billingops.actors import Actor
from settlements.risk import terms
from settlements.risk.models import RiskTerms
from settlements.risk.score import NETWORK_MCCS

pytestmark = pytest.mark.django_db
WHOLE = """\
risk:
  - bar: 30
    hold_bar: 60
    hold_days: 30
    weights: {names: 25, age: 0}
    high_risk_countries: ["XA", "XB"]
    high_risk_mccs: ["7995"]
    high_risk_business_types: [non_profit]
"""


def run(text, **options):
    return config.import_text(text, file="risk.yaml", actor=Actor.system("import_config"), **options)


def test_without_a_section_nothing_is_held_and_the_defaults_stand():
    in_force = terms.current()
    assert (in_force.bar, in_force.hold_bar, in_force.high_risk_countries) == (40, None, frozenset())
    assert in_force.high_risk_mccs == set(NETWORK_MCCS)


def test_the_section_sets_the_terms_and_says_what_changed():
    (change,) = run(WHOLE)
    assert change.sign == "+"
    assert "hold_bar: never → 60" in change.lines
    in_force = terms.current()
    assert (in_force.bar, in_force.hold_bar, in_force.hold_days) == (30, 60, 30)
    assert in_force.weights == {"names": 25, "age": 0}
    assert in_force.high_risk_countries == {"XA", "XB"}
    assert in_force.id == RiskTerms.objects.get().pk
    assert AuditEntry.objects.filter(action="setting.risk").exists()


def test_the_same_section_again_changes_nothing():
    run(WHOLE)
    assert run(WHOLE) == []
    assert RiskTerms.objects.count() == 1


def test_a_key_that_is_left_out_goes_back_to_its_default_and_earlier_terms_are_kept():
    run(WHOLE)
    (change,) = run("risk:\n  - bar: 50\n")
    assert change.sign == "~"
    assert terms.current().hold_bar is None
    assert RiskTerms.objects.count() == 2


def test_a_dry_run_sets_nothing():
    assert run(WHOLE, dry_run=True)
    assert not RiskTerms.objects.exists()


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("risk:\n  - bar: 0\n", "risk[0].bar", "between 1 and 100"),
        ("risk:\n  - {bar: 60, hold_bar: 50}\n", "risk[0].hold_bar", "Raise hold_bar, or lower bar"),
        ("risk:\n  - weights: {nose: 3}\n", "risk[0].weights.nose", "unknown key 'nose'"),
        ("risk:\n  - weights: {age: 101}\n", "risk[0].weights.age", "between 0 and 100"),
        ("risk:\n  - high_risk_countries: [germany]\n", "risk[0].high_risk_countries[0]", "two capital letters"),
        ("risk:\n  - high_risk_mccs: [7995]\n", "risk[0].high_risk_mccs[0]", "in quotes"),
        (
            "risk:\n  - high_risk_business_types: [individual]\n",
            "risk[0].high_risk_business_types[0]",
            "private person",
        ),
        ("risk:\n  - high_risk_business_types: [bank]\n", "risk[0].high_risk_business_types[0]", "one of company"),
        ("risk:\n  - bar: 10\n  - bar: 20\n", "risk[1]", "second entry"),
        ("risk:\n  - barr: 10\n", "risk[0].barr", "allowed here: bar, hold_bar"),
    ],
)
def test_a_mistake_names_its_key_and_what_to_do(text, key, says):
    with pytest.raises(config.ConfigError) as caught:
        run(text)
    assert key in str(caught.value)
    assert says in str(caught.value)
    assert not RiskTerms.objects.exists()
