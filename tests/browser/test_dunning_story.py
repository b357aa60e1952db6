"""One unpaid invoice from the failure to the payment, as the people of the office live it: on their pages, by keyboard.

Real parts throughout: the sandbox over HTTP, signed webhooks, the worker's own tasks, a mail server on loopback.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import pytest
from django.urls import reverse

from approvals import audit
from approvals.models import Decision, Policy, Suggestion
from approvals.states import State
from dunning.models import DunningCase, Message
from dunning.plan.steps import NOTIFY, RETRY
from dunning.states import CaseState
from dunning.tests.conftest import Debtor, attach, daytime, debtor, make_debtor  # noqa: F401  (fixtures)
from dunning.tests.smtp import Mailbox, smtp  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(420)]  # nine pages in four looks each
SHOTS = os.environ.get("BILLINGOPS_SHOTS", "")
ADDRESS = "debtor@example.com"
DAY = re.compile(r"by \d{1,2} [A-Z][a-z]+ 20\d\d")
# What the timeline says, oldest first; Stripe's times are whole seconds, so its lines are compared among themselves.
STEPS = (
    ["Payment failed", "Suggested", "Approved", "Message sent", "Payment method changed", "Suggested", "First approval",
     "Approved", "Confirmed by Stripe"],
    ["Payment failed", "Payment method changed", "Paid", "Dunning case closed"],
)  # fmt: skip
LOOKS = [(1280, False), (1280, True), (360, False), (360, True)]
WORDS = """Hello Dora and team,

your card could not be charged {amount} for invoice {invoice}, as it has expired. Please add a new one by {deadline}:

{link}

Thank you for being with us."""


@dataclass
class Office:
    """The pages, and what is looked at on each of them whoever opens it."""

    open_page: Callable[..., Any]
    serious: Callable[[Any], list[str]]

    def see(self, user: Any, path: str, name: str) -> Any:
        """The page in both themes, on a desk and on a phone: it fits, and axe is quiet. Returns the one on the desk."""
        page = self.open_page(user, path, width=1280)
        for width, dark in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="dark" if dark else "light")
            if SHOTS:
                look = f"{width}-{'dark' if dark else 'light'}"
                page.screenshot(path=f"{SHOTS}/story-{name}-{look}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            assert self.serious(page) == [], (name, width, dark)
        page.set_viewport_size({"width": 1280, "height": 900})
        return page

    def approve(self, user: Any, suggestion: Suggestion, label: str) -> Any:
        """With the keyboard alone, on the suggestion's page."""
        page = self.open_page(user, page_of(suggestion), width=1280)
        button = page.get_by_role("button", name=label, exact=True)
        button.focus()
        page.keyboard.press("Enter")
        page.locator(".messagelist").wait_for()
        return page


@pytest.fixture
def office(open_page: Callable[..., Any], serious: Callable[[Any], list[str]]) -> Office:
    return Office(open_page, serious)


def page_of(suggestion: Suggestion) -> str:
    return reverse("admin:approvals_suggestion_change", args=[suggestion.pk])


def words_of(page: Any) -> str:
    """What a person reads on it, on one line."""
    return re.sub(r"\s+", " ", page.locator("#content-main").inner_text())


def the_one(case: DunningCase, kind: str) -> Suggestion:
    return Suggestion.objects.get(subject=case.invoice, kind=kind)


def in_order(wanted: list[str], lines: list[str]) -> bool:
    """Whether `lines` has them in this order, whatever stands between."""
    rest = iter(lines)
    return all(one in rest for one in wanted)


def plain_and_html(mail: EmailMessage) -> tuple[str, str]:
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    return parts["text/plain"].replace("\r\n", "\n"), parts["text/html"]


def test_an_expired_card_from_the_failure_to_the_payment(
    office: Office,
    debtor: Debtor,  # noqa: F811
    deliver: Callable[..., Any],
    run_jobs: Callable[[], int],
    smtp: Mailbox,  # noqa: F811
    finance: Any,
    lead: Any,
    support_agent: Any,
) -> None:
    Policy.objects.create(kind=RETRY, two_approvers_over={"eur": 5_000})

    # A renewal fails. The case is there, with its reason, its plan, and a message that nobody has sent.
    debtor.fail("expired_card", code="expired_card")
    deliver()
    case = DunningCase.objects.get()
    number = case.invoice_number
    case_page = reverse("admin:dunning_dunningcase_change", args=[case.pk])
    read = words_of(office.see(finance, case_page, "case-open"))
    assert "Why it is unpaid The card has expired." in read
    assert "Who can fix it the customer Same method again never" in read
    assert "What comes next Customer message · card expired · friendly · deadline" in read
    assert "Customer message Another attempt cannot succeed" in read
    assert read.endswith("pending")
    assert (smtp.mails, Message.objects.count()) == ([], 0)

    # Finance reads what would go out, and words it anew; the figures stay code's.
    notice = the_one(case, NOTIFY)
    page = office.see(finance, page_of(notice), "message-suggested")
    read = words_of(page)
    assert "The message, exactly as it will go out" in read
    assert "What approving does Sends the message “Your card has expired” (en) by e-mail to the address" in read
    letter = page.frame_locator("iframe").locator("body").inner_text()
    assert f"Your payment of EUR 79.00 for invoice {number} did not go through" in letter
    page.get_by_role("link", name="Edit before approving…").click()
    page.get_by_label("Message", exact=True).fill(WORDS.replace("{amount}", "EUR 1.00"))
    page.get_by_role("button", name="Preview", exact=True).click()
    assert "Not accepted" in words_of(page)  # a figure of somebody's own
    page.get_by_label("Message", exact=True).fill(WORDS)
    page.get_by_label("Why").fill("kinder")
    page.get_by_role("button", name="Preview", exact=True).click()
    read = words_of(page)
    assert f"your card could not be charged EUR 79.00 for invoice {number}, as it has expired." in read
    assert "you cannot approve it yourself; somebody else must" in read
    page.get_by_role("button", name="Keep the edit").click()
    page.locator(".messagelist").wait_for()
    assert "You made the last edit; somebody else must approve it." in page.locator(".messagelist").inner_text()
    assert page.get_by_role("button", name="Approve", exact=True).count() == 0

    # The lead approves with the keyboard; the mail arrives, plain and HTML, with what code put in.
    page = office.approve(lead, notice, "Approve")
    assert "Approved by lead" in page.locator(".messagelist").inner_text()
    assert smtp.mails == []  # the worker sends, not the page
    run_jobs()
    deliver()
    (received,) = smtp.received
    assert received.recipients == [ADDRESS]
    notice.refresh_from_db()
    plain, html = plain_and_html(received.mail)
    (link,) = re.findall(r"https://\S+", plain)
    assert plain.split("\n")[0] == "Hello Dora and team,"
    assert "/session/" in link
    assert f'href="{link}"' in html
    for part in (plain, re.sub(r"\s+", " ", html)):
        assert f"EUR 79.00 for invoice {number}" in part
        assert DAY.search(part)
        assert "{" not in part.split("<body")[-1]
    message = Message.objects.get()
    page = office.see(finance, reverse("admin:dunning_message_change", args=[message.pk]), "message-sent")
    read = words_of(page)
    assert "State: ● sent" in read
    assert "Hello Dora and team, your card could not be charged EUR 79.00" in read
    assert "add a new one by" in page.frame_locator("iframe").locator("body").inner_text()
    assert link not in page.content()
    assert ADDRESS not in page.content()
    read = words_of(office.see(finance, case_page, "case-waiting"))
    assert "The case ○ waiting EUR 79.00" in read
    assert "Message by e-mail Your card has expired — ● sent" in read
    coming = read.split("What comes next")[1].split("As it was planned")[0]
    assert coming.strip().startswith("Customer message · reminder · friendly")  # what was sent is not to come any more

    # The customer adds a card. A charge at once is suggested; over its limit it takes two people.
    method = attach(debtor.stripe, "pm_card_mastercard", debtor.customer, {})
    deliver()
    retry = the_one(case, RETRY)
    read = words_of(office.see(finance, page_of(retry), "retry-suggested"))
    assert "Another payment method is on file than the one that failed. Charge it now." in read
    assert f"Charges EUR 79.00 to the customer's new default payment method for invoice {number}, now." in read
    assert "two approvers over EUR 50.00; this is EUR 79.00" in read
    assert f"payment method {method}" in read
    page = office.approve(finance, retry, "Approve EUR 79.00")
    assert "the first of 2. Now somebody else must approve" in page.locator(".messagelist").inner_text()
    run_jobs()
    assert debtor.stripe.v1.invoices.retrieve(case.invoice).status == "open"
    page = office.approve(lead, retry, "Approve EUR 79.00")
    assert "Approved by lead" in page.locator(".messagelist").inner_text()
    run_jobs()
    assert debtor.stripe.v1.invoices.retrieve(case.invoice).status == "paid"
    charge = debtor.stripe.v1.charges.list({"customer": debtor.customer}).data[0]
    assert (charge.amount, charge.currency, charge.payment_method) == (7900, "eur", method)

    # Stripe's own event closes it: recovered, confirmed, nothing waits and nothing is to come.
    deliver()
    run_jobs()
    read = words_of(office.see(finance, page_of(retry), "retry-confirmed"))
    assert "Decision ● confirmed EUR 79.00" in read
    assert "There is nothing to decide: it is confirmed." in read
    read = words_of(office.see(finance, case_page, "case-recovered"))
    assert "What comes next Nothing: the case is recovered (paid)." in read
    assert "The case ● recovered EUR 79.00" in read
    assert "After Payment retry" in read
    (thanks,) = Suggestion.objects.exclude(state=State.CONFIRMED)  # the last word waits for a person like any other
    assert (thanks.state, thanks.kind, thanks.params["template"]) == (State.PENDING, NOTIFY, "recovered")
    case.refresh_from_db()
    assert (case.state, case.recovered_by, case.next_step_at, case.plan) == (CaseState.RECOVERED, RETRY, None, [])
    assert len(smtp.mails) == 1  # nothing follows a payment by itself

    # Support reads it in order, newest first; the chain of who did what holds.
    page = office.see(support_agent, reverse("admin:support_timeline", args=[debtor.customer]), "timeline")
    titles = [re.sub(r"^\W+", "", text).strip() for text in page.locator(".tl-title").all_inner_texts()][::-1]
    for chain in STEPS:
        assert in_order(chain, titles), (chain, titles)
    assert audit.verify().broken_at is None
    verdicts = list(Decision.objects.order_by("created_at", "pk").values_list("verdict", "actor_name"))
    assert verdicts == [("edit", "finance"), ("approve", "lead"), ("approve", "finance"), ("approve", "lead")]
