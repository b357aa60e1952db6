"""Trying a rule on a made-up invoice: the page and the endpoint. Real rows, nothing saved."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from billingops import config
from billingops.actors import Actor
from billingops.models import AccountAccess
from settlements.models import Seller, ShareRule

CONFIG = """\
sellers:
  - account: acct_bakery
    name: Bakery Supplies
    hold_days: 7
    reserve_percent: "10"
    reserve_days: 90
    tax_withholding_percent: "5"
    stripe_fees: seller
  - {account: acct_studio, name: Studio}
rules:
  - {name: standard, share: {type: percent, seller: "70"}, valid_from: 2026-01-01}
  - {name: bakery, seller: acct_bakery, share: {type: percent, seller: "75"}, valid_from: 2026-01-01}
  - name: bread
    seller: acct_bakery
    match: {product: prod_bread}
    share: {type: percent, seller: "80"}
    valid_from: 2026-01-01
  - name: bread-gold
    seller: acct_bakery
    match: {product: prod_bread, tier: gold}
    share: {type: percent, seller: "85"}
    valid_from: 2026-01-01
  - name: spring
    seller: acct_bakery
    match: {product: prod_bread}
    share: {type: percent, seller: "99"}
    promotion: true
    valid_from: 2026-03-01
    valid_until: 2026-06-01
  - {name: studio, seller: acct_studio, share: {type: percent, seller: "60"}, valid_from: 2026-01-01}
"""
TIERED = """\
name: bakery
seller: acct_bakery
share:
  type: tiered
  period: month
  mode: whole
  currency: usd
  tiers: [{up_to: 1000000, seller: "70"}, {seller: "80"}]
valid_from: 2026-01-01
"""
URL = "/api/v1/rules/explain/"
BODY = {
    "currency": "usd",
    "paid_on": "2026-11-22",
    "seller": "acct_bakery",
    "lines": [{"amount": 10_000, "product": "prod_bread"}, {"amount": 5_000, "seller": "acct_studio"}],
}


@pytest.fixture(autouse=True)
def stored(db):
    config.import_text(CONFIG, file="c.yaml", actor=Actor.system("test"))


@pytest.fixture
def ask(finance):
    def run(user=None, expect=200, **body):
        client = APIClient()
        client.force_authenticate(user or finance)
        answer = client.post(URL, BODY | body, format="json")
        assert answer.status_code == expect, answer.content
        return answer.json()

    return run


def limit(user, account):
    AccountAccess.objects.create(user=user, account=account)
    if hasattr(user, "_billingops_accounts"):
        del user._billingops_accounts
    return user


def test_each_line_says_which_rule_counts_and_why_the_others_do_not(ask):
    found = ask()
    first, second = found["lines"]
    assert [(part["seller"], part["rule"], part["base"], part["fee"], part["share"]) for part in first["parts"]] == [
        ("acct_bakery", "bread", 10_000, 2_000, 8_000)
    ]
    assert {other["name"]: other["reason"] for other in first["others"]} == {
        "spring": "it ended on 2026-06-01",
        "bread-gold": "it is for customers of tier gold, this one has none",
        "bakery": "bread v1 goes by product, it only by seller",
        "standard": "bread v1 goes by product, it only by default",
        "studio": "it is of acct_studio, the line of acct_bakery",
    }
    assert second["parts"][0]["rule"] == "studio"
    assert ask(tier="gold")["lines"][0]["parts"][0]["rule"] == "bread-gold"
    spring = ask(paid_on="2026-05-31")["lines"][0]
    assert spring["parts"][0]["share"] == 9_900
    assert {other["name"]: other["reason"] for other in spring["others"]}["bread"] == "spring v1 is a promotion"


def test_it_adds_up_down_to_what_is_paid_out(ask):
    found = ask(stripe_fee=465, lines=[*BODY["lines"], {"amount": 700, "discount": 200, "tax": 95, "seller": ""}])
    assert (found["total"], found["tax"], found["base"]) == (15_595, 95, 15_500)
    bakery, studio = found["sellers"]
    assert bakery["base"] == bakery["fee"] + bakery["share"] == 10_500
    assert bakery["stripe_fee"] == 313  # 465 × 10,500 / 15,595
    assert bakery["withheld"] == round(Decimal(bakery["share"]) * 5 / 100)
    assert bakery["earned"] == bakery["share"] - 313 - bakery["withheld"]
    assert bakery["reserve"] == round(Decimal(bakery["earned"]) / 10)
    assert bakery["payable"] == bakery["earned"] - bakery["reserve"]
    assert (bakery["due_on"], bakery["reserve_until"]) == ("2026-11-29", "2027-02-20")
    assert (studio["stripe_fee"], studio["withheld"], studio["payable"]) == (0, 0, 3_000)
    kept = found["platform"] + sum(seller["share"] for seller in found["sellers"])
    assert kept == found["base"]


def test_a_rule_that_is_not_saved_takes_the_place_of_its_namesake(ask):
    found = ask(rule=TIERED, volume=995_000, lines=[{"amount": 10_000}])
    seller = found["sellers"][0]
    assert (seller["fee"], seller["adjustment"]) == (2_000, 99_500)
    assert seller["volumes"] == [
        {"rule": "bakery", "version": 2, "period": "2026-11", "before": 995_000, "after": 1_005_000}
    ]
    assert {other["name"] for other in found["lines"][0]["others"]} == {
        "standard", "bread", "bread-gold", "spring",
    }  # fmt: skip
    assert ShareRule.objects.filter(name="bakery").count() == 1
    assert Seller.objects.count() == 2


def test_a_part_of_the_file_with_new_sellers_can_be_tried_alone(ask):
    text = """\
sellers:
  - {account: acct_new, name: New}
rules:
  - name: duo
    match: {price: price_1}
    share: {type: percent, seller: "50"}
    split: [{account: acct_new, weight: 1}, {account: acct_studio, weight: 3}]
    valid_from: 2026-01-01
"""
    found = ask(rule=text, with_stored_rules=False, lines=[{"amount": 1_001, "price": "price_1"}])
    assert [(part["seller"], part["base"], part["share"]) for part in found["lines"][0]["parts"]] == [
        ("acct_new", 250, 125),
        ("acct_studio", 751, 376),
    ]
    assert not Seller.objects.filter(account="acct_new").exists()


def test_one_stored_version_can_be_named(ask):
    config.import_text(CONFIG.replace('"75"', '"90"'), file="c.yaml", actor=Actor.system("test"))
    lines = [{"amount": 1_000}]
    assert ask(lines=lines)["sellers"][0]["share"] == 900
    assert ask(lines=lines, name="bakery", version=1)["sellers"][0]["share"] == 750
    assert ask(lines=lines, name="nothing", expect=400)["error"]["message"] == "There is no rule nothing."


def test_what_would_stand_in_the_way_is_said_and_the_computation_shown_all_the_same(ask):
    found = ask(lines=[{"amount": 10_000, "product": "prod_bread"}, {"amount": -9_000, "seller": "acct_studio"}])
    assert [problem["code"] for problem in found["problems"]] == ["over_charge", "over_charge"]
    assert [seller["share"] for seller in found["sellers"]] == [8_000, -5_400]
    unknown = ask(lines=[{"amount": 10_000, "seller": "acct_nobody"}])
    assert [problem["code"] for problem in unknown["problems"]] == ["unknown_seller"]
    assert (unknown["unearned"], unknown["lines"][0]["parts"][0]["share"]) == (10_000, None)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"rule": "name: r\nshare: {type: percent, seller: 70.5}\nvalid_from: 2026-01-01"}, "rule", ":2: share.seller"),
        ({"rule": "name: [", "seller": ""}, "rule", "this is not YAML"),
        ({"rule": "just words"}, "rule", "must be a mapping"),
        ({"with_stored_rules": False}, "rule", "There is no rule to try"),
        ({"lines": []}, "lines", "may not be empty"),
        ({"lines": [{"amount": 1}] * 51}, "lines", "At most 50 lines"),
        ({"currency": "usb"}, "currency", "not a valid choice"),
    ],
)
def test_a_mistake_is_named(ask, body, field, words):
    error = ask(expect=400, **body)["error"]
    assert error["field"].startswith(field)
    assert words in error["message"]


def test_whoever_sees_one_account_tries_its_rules_alone_and_learns_nothing_of_others(ask, finance):
    limit(finance, "acct_bakery")
    found = ask(lines=[{"amount": 10_000}])
    assert [part["rule"] for part in found["lines"][0]["parts"]] == ["bakery"]
    assert {other["name"] for other in found["lines"][0]["others"]} == {"bread", "bread-gold", "spring"}
    assert "acct_studio" in ask(expect=400)["error"]["message"]  # named by the request itself
    split = (
        "name: duo\nmatch: {price: price_1}\nshare: {type: percent, seller: '50'}\nvalid_from: 2026-01-01\n"
        "split: [{account: acct_bakery, weight: 1}, {account: acct_studio, weight: 3}]"
    )
    error = ask(rule=split, lines=[{"amount": 1, "price": "price_1"}], expect=400)["error"]
    assert "acct_studio is no seller of this file or the database; known: acct_bakery." in error["message"]
    assert ask(name="studio", lines=[{"amount": 1}], expect=400)["error"]["message"] == "There is no rule studio."
    namesake = "name: studio\nseller: acct_bakery\nshare: {type: percent, seller: '50'}\nvalid_from: 2026-01-01"
    part = ask(rule=namesake, lines=[{"amount": 1}])["lines"][0]["parts"][0]
    assert (part["rule"], part["version"]) == ("studio", 1)  # not how many versions another account has of that name
    foreign = "sellers: [{account: acct_studio, name: X}]\nrules: []"
    assert ask(rule=foreign, lines=[{"amount": 1}], expect=400)["error"]["field"] == "rule"


def test_who_may_not_see_rules_may_not_try_them(ask, support_agent):
    assert ask(user=support_agent, expect=403)["error"]["code"] == "permission_denied"


# -- the page ----------------------------------------------------------------------------------------------------------


def fields(**more):
    first = {"amount": "100.00", "product": "prod_bread", "quantity": "1"}
    rows = {f"lines-0-{key}": value for key, value in first.items()}
    form = {"lines-TOTAL_FORMS": 4, "lines-INITIAL_FORMS": 0, "currency": "usd", "paid_on": "2026-11-22"}
    return form | rows | {"seller": "acct_bakery", "stored": "on"} | more


def test_the_page_shows_the_sum_and_saves_nothing(client, finance):
    client.force_login(finance)
    url = reverse("admin:settlements_sharerule_try")
    before = ShareRule.objects.count()
    page = client.post(url, fields(stripe_fee="3.20"))
    text = page.content.decode()
    assert page.status_code == 200
    assert "bread v1" in text
    assert "goes by product, it only by seller" in text
    assert '<span class="bo-fig">80.00</span>' in text
    assert ShareRule.objects.count() == before


def test_the_page_names_mistakes_and_keeps_what_was_typed(client, finance):
    client.force_login(finance)
    url = reverse("admin:settlements_sharerule_try")
    page = client.post(url, fields(text="name: r\nshare: {type: half}"))
    assert page.status_code == 400
    assert "the pasted text:2: share.type" in page.content.decode()
    page = client.post(url, fields(currency="jpy", **{"lines-0-amount": "1.5"}))
    assert "1.5 has more digits than JPY, which has no digits after the point." in page.content.decode()
    rows = {"lines-0-amount": "10.005", "lines-1-amount": "2", "lines-1-discount": "0.001"}
    text = client.post(url, fields(volume="1.234", **rows)).content.decode()
    assert "Nothing was computed" in text
    assert [wrong for wrong in ("10.005", "0.001", "1.234") if f"{wrong} has more digits than USD" not in text] == []
    page = client.post(url, fields(**{"lines-0-amount": ""}))
    assert "at least one line" in page.content.decode()


def test_the_page_says_when_the_rule_that_was_pasted_counts_for_no_line(client, finance):
    client.force_login(finance)
    url = reverse("admin:settlements_sharerule_try")
    text = "name: mine\nseller: acct_bakery\nshare: {type: percent, seller: '10'}\nvalid_from: 2026-01-01"
    page = client.post(url, fields(text=text)).content.decode()  # the stored rule by product is more specific
    assert "mine counts for no line" in page
    text = text.replace("share:", "match: {product: prod_bread}\nshare:").replace("mine", "bread")
    assert "for no line" not in client.post(url, fields(text=text)).content.decode()


def test_the_rules_page_leads_to_it_with_the_rule_filled_in(client, finance):
    client.force_login(finance)
    url = reverse("admin:settlements_sharerule_try")
    assert url in client.get(reverse("admin:settlements_sharerule_changelist")).content.decode()
    row = ShareRule.objects.get(name="bread")
    assert f"{url}?rule={row.pk}" in client.get(
        reverse("admin:settlements_sharerule_change", args=[row.pk])
    ).content.decode()  # fmt: skip
    filled = client.get(f"{url}?rule={row.pk}").content.decode()
    assert 'value="bread"' in filled
    assert 'value="acct_bakery"' in filled


def test_a_rule_of_another_account_is_not_filled_in(client, finance):
    client.force_login(limit(finance, "acct_bakery"))
    row = ShareRule.objects.get(name="studio")
    page = client.get(reverse("admin:settlements_sharerule_try") + f"?rule={row.pk}").content.decode()
    assert "studio" not in page
    assert "the rules of these take part" in page


def test_the_seller_page_says_the_terms(client, finance):
    client.force_login(finance)
    row = Seller.objects.get(account="acct_bakery")
    text = client.get(reverse("admin:settlements_seller_change", args=[row.pk])).content.decode()
    assert "10 % of each share for 90 days" in text
