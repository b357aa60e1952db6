"""What the office did this morning, in `demo` and `demo --once` alike, so that no page is empty: the people of the demo
take and give work, comment, edit a message, decide on a batch, use the kill switch, keep a view and run a back test.

All of it over the API with their own tokens; the view and the back test, which have no endpoint, by the same services
that their pages call.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from approvals import backtest
from approvals.backtest import Window
from approvals.models import BacktestRun
from approvals.services import desk as desk_services
from billingops.actors import Actor
from demo.desk import Desk
from demo.story import Tally

CONFIG = Path(__file__).parent / "config.yaml"
Json = dict[str, Any]
STUDIO_A_DAY = 2  # account_day.count of config.yaml; the batch has one more
STUDIO = "acct_demo_studio"
BAKERY = "acct_demo_bakery"
KYOTO = "acct_demo_kyoto"
KINDER_WORDS = """Hello,

thank you for staying with us. Your bank asks you to confirm the payment of {amount} for invoice {invoice} yourself; \
it takes a minute, here:

{link}

If you have any question, just answer this message.

Thank you"""


@dataclass
class Morning:
    """What came of it: `wanted` is the state that each approved suggestion must reach."""

    wanted: dict[str, str] = field(default_factory=dict)
    batch: list[str] = field(default_factory=list)  # one of these is held by a cap


def morning(desk: Desk, tally: Tally) -> Morning:
    """All of it; returns when the batch has gone as far as its cap lets it."""
    done = Morning()
    _messages(desk, tally, done)
    _payouts(desk, tally)
    _batch(desk, tally, done)
    _stop_and_go(desk)
    _keep_a_view()
    _look_back(tally)
    _wait_for_the_batch(desk, done)
    return done


def _messages(desk: Desk, tally: Tally, done: Morning) -> None:
    """One goes out (after the minute in which it can be taken back), one is refused, one is reworded for the lead."""
    row = desk.one(subject=tally.failed["lost_card"], kind="notify_customer", state="pending")
    desk.approve(row, comment="says nothing of why the card was refused")
    done.wanted[row["id"]] = "confirmed"
    row = desk.one(subject=tally.failed["insufficient_funds"], kind="notify_customer", state="pending")
    desk.reject(row, reason_code="wrong_action")
    row = desk.one(subject=tally.failed["authentication_required"], kind="notify_customer", state="pending")
    changes = {"subject": "One more step for your payment of invoice {invoice}", "body": KINDER_WORDS}
    desk.post(row, "edit", "finance", version=row["version"], changes=changes, comment="kinder, and shorter")
    desk.post(row, "comment", "finance", text="I wrote to them last week, too. Can you look over my words?")
    desk.post(row, "take", "lead")


def _payouts(desk: Desk, tally: Tally) -> None:
    """One is given to finance with a question; the large one has its first approval and waits for the lead."""
    row = min(plain(desk, tally, BAKERY), key=lambda row: str(row["created_at"]))
    desk.post(row, "assign", "lead", to="finance")
    desk.post(row, "comment", "lead", text="Please look at the quantity before you say yes.")
    desk.approve(desk.one(subject=tally.large, kind="seller_payout"), comment="eight boxes, as ordered")


def _batch(desk: Desk, tally: Tally, done: Morning) -> None:
    """The studio's three oldest payouts at once; its cap lets two out today and holds the third until tomorrow."""
    rows = plain(desk, tally, STUDIO)[-STUDIO_A_DAY - 1 :]
    desk.bulk(rows, comment="the invoices of the first month")
    done.batch = [row["id"] for row in rows]


def _wait_for_the_batch(desk: Desk, done: Morning) -> None:
    states = desk.wait_for(done.batch, ["approved", *["confirmed"] * STUDIO_A_DAY])
    done.wanted |= {key: state for key, state in states.items() if state == "confirmed"}


def _stop_and_go(desk: Desk) -> None:
    desk.switch("retry_payment", "on", "a bank reports trouble with all cards")
    desk.switch("retry_payment", "off", "the bank has mended it")


def _keep_a_view() -> None:
    lead = Actor.person(User.objects.get(username="lead"))
    desk_services.save_view(actor=lead, name="Payouts in yen", query="kind=seller_payout&currency=jpy", shared=True)


def _look_back(tally: Tally) -> None:
    """Months 1 and 2 again: with the rules as they stood at each moment, and as if the bakery had got 75 %."""
    lead = Actor.person(User.objects.get(username="lead"))
    assert tally.began is not None
    assert tally.month_three is not None
    window = Window(kind="seller_payout", since=tally.began, until=tally.month_three)
    generous = CONFIG.read_text(encoding="utf-8").replace('seller: "70"', 'seller: "75"')
    for one in (window, replace(window, account=BAKERY, rules=generous)):
        run: BacktestRun = backtest.start(window=one, by=lead.name)
        backtest.work_off(run)


def plain(desk: Desk, tally: Tally, account: str) -> list[Json]:
    """The seller's waiting payouts that are nothing special in the story, as the desk lists them."""
    special = {tally.large, tally.refunded, tally.disputed}
    rows = desk.suggestions(kind="seller_payout", state="pending", account=account)
    return [row for row in rows if row["subject"] not in special and row["required_approvals"] == 1]
