"""What the office did this morning, in `demo` and `demo --once` alike, so that no page is empty: the people of the demo
take and give work, comment, edit a message, note a promise, decide on a batch, use the kill switch, keep a view and run
a back test; then the post comes. Before all of it they set up an A/B test and an endpoint.

All of it over the API with their own tokens; the view, the back test, the A/B test and the endpoint by the same
services that their pages call; mail by the command that a mail server calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from approvals import backtest
from approvals.backtest import Window
from approvals.models import BacktestRun
from approvals.services import desk as desk_services
from billingops.actors import Actor
from billingops.outbound import services as outbound
from demo.desk import Desk
from demo.receiver import Receiver
from demo.story import Tally
from dunning.campaigns import experiments
from dunning.campaigns import services as campaigns
from dunning.campaigns.models import Campaign, CampaignVersion
from dunning.models import Message
from dunning.states import MessageState

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

ANSWER = """From: A customer <customer@example.com>
To: help@marketplace.example
Subject: Re: your message
Message-ID: <answer-1@customer.example>
In-Reply-To: {message}

Thank you for telling me. I will add another card on Friday.
"""
BOUNCE = """From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: billing@marketplace.example
Subject: Undelivered Mail Returned to Sender
Message-ID: <bounce-1@mx.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="part"

--part
Content-Type: text/plain

The mail could not be delivered.
--part
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; customer@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--part
Content-Type: text/rfc822-headers

Message-ID: {message}

--part--
"""


@dataclass
class Morning:
    """What came of it: `wanted` is the state that each approved suggestion must reach."""

    wanted: dict[str, str] = field(default_factory=dict)
    batch: list[str] = field(default_factory=list)  # one of these is held by a cap


def prepare(platform: Receiver) -> None:
    """Before the story: the platform is to be told what becomes of a customer's service, and another version of the
    campaign for dollars is tested against the one of the config file."""
    lead = Actor.person(User.objects.get(username="lead"))
    _, platform.secret = outbound.add(account="", values={"name": "The platform", "url": platform.url}, actor=lead)
    campaign = Campaign.objects.get(name="dollars")
    active = campaign.versions.get(state=CampaignVersion.State.ACTIVE)
    lines = [{**line, "day": 4} if line["day"] == 7 else line for line in active.sequence["entries"]]
    sooner = {**active.sequence, "entries": lines}
    row = campaigns.draft(
        campaign_id=campaign.pk, segment=active.segment, sequence=sooner, actor=lead, comment="remind them sooner"
    )
    experiments.start(
        campaign_id=campaign.pk,
        arms=[experiments.Wanted("as-it-is", active.number), experiments.Wanted("sooner", row.number)],
        baseline_percent=Decimal(60),
        difference_points=Decimal(10),
        seed=7,
        actor=lead,
    )


def morning(desk: Desk, tally: Tally) -> Morning:
    """All of it; returns when the batch has gone as far as its cap lets it."""
    done = Morning()
    _messages(desk, tally, done)
    _promise(desk, tally)
    _hand_to_a_person(desk, tally)
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

    both = {tally.failed["two_invoices"], tally.second_invoice}
    rows = [row for row in desk.suggestions(kind="notify_customer", state="pending") if row["subject"] in both]
    if len(rows) != 1:
        raise LookupError(f"{len(rows)} messages about the two invoices of one customer wait; the story has one.")
    desk.approve(rows[0], comment="both invoices in one message")
    done.wanted[rows[0]["id"]] = "confirmed"


def _promise(desk: Desk, tally: Tally) -> None:
    """The customer whose bank debit came back calls, and promises to pay within five days."""
    case = desk.case(tally.failed["bank_debit"])
    day = timezone.localdate() + timedelta(days=5)
    desk.on_case(case, "promise", "support", version=case["version"], day=day.isoformat(), text="They get paid then.")


def _hand_to_a_person(desk: Desk, tally: Tally) -> None:
    """Four attempts have failed and nobody knows why: support asks that a person takes it on."""
    case = desk.case(tally.failed["do_not_honor"])
    text = "The customer says that the card works elsewhere; somebody should call their bank with them."
    desk.on_case(case, "escalate", "support", version=case["version"], text=text)


def mail_comes_in(tally: Tally) -> None:
    """After the messages have gone out: one customer answers, the message to another comes back."""
    lost, two = tally.failed["lost_card"], (tally.failed["two_invoices"], tally.second_invoice)
    answered = Message.objects.get(case__invoice=lost, state=MessageState.SENT)
    bounced = Message.objects.get(case__invoice__in=two, state=MessageState.SENT)
    with TemporaryDirectory() as folder:
        for name, text in (
            ("answer.eml", ANSWER.format(message=answered.message_id)),
            ("bounce.eml", BOUNCE.format(message=bounced.message_id)),
        ):
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            call_command("take_in_mail", str(path), stdout=StringIO())


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
