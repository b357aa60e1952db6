"""The queue with a keyboard, with a thumb, and without scripts."""

from __future__ import annotations

from approvals.models import Decision, Suggestion
from approvals.states import State

QUEUE = "/admin/approvals/suggestion/"


def state_of(suggestion):
    return Suggestion.objects.get(pk=suggestion.pk).state


def test_a_key_opens_the_evidence_and_enter_confirms_the_approval(open_page, propose, finance):
    older, newer = propose(1), propose(2)
    page = open_page(finance, QUEUE)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("o")
    panel = page.locator(".bo-panel")
    panel.wait_for()
    assert "Transfers USD 133.03" in panel.inner_text()
    page.keyboard.press("a")
    page.wait_for_function("document.activeElement.textContent.includes('Approve USD 133.03')")
    assert state_of(older) == State.PENDING
    page.keyboard.press("Enter")
    page.locator(".messagelist").wait_for()
    assert "Approved by finance" in page.locator(".messagelist").inner_text()
    assert (state_of(older), state_of(newer)) == (State.APPROVED, State.PENDING)
    assert page.url.endswith(QUEUE)


def test_r_asks_for_the_reason_first(open_page, propose, finance):
    one = propose()
    page = open_page(finance, QUEUE)
    page.keyboard.press("r")
    page.wait_for_function("document.activeElement.name === 'reason_code'")
    assert state_of(one) == State.PENDING
    page.locator(".bo-panel select[name=reason_code]").select_option("wrong_amount")
    page.locator(".bo-panel form[data-form=reject] button").click()
    page.locator(".messagelist").wait_for()
    assert state_of(one) == State.REJECTED
    assert Decision.objects.get().reason_code == "wrong_amount"


def test_no_single_key_changes_anything(open_page, propose, lead):
    one = propose()
    page = open_page(lead, QUEUE)
    for key in ("j", "k", "o", "a", "o", "r", "Escape", "x", "e", "Delete"):
        page.keyboard.press(key)
        page.wait_for_timeout(60)
    assert state_of(one) == State.PENDING
    assert not Decision.objects.exists()


def test_slash_searches_and_a_question_mark_shows_the_keys(open_page, propose, lead):
    propose()
    page = open_page(lead, QUEUE)
    page.keyboard.press("?")
    assert page.locator("#bo-help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#bo-help").is_visible()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "bo-q"
    page.keyboard.type("jokax")
    assert page.locator(".bo-panel").count() == 0


def test_selected_rows_go_to_one_page_that_confirms_them(open_page, propose, finance):
    chosen, left = propose(1), propose(2)
    page = open_page(finance, QUEUE)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.locator("[data-selected-count]").inner_text() == "1 selected"
    page.get_by_role("button", name="Approve selected").click()
    assert "USD" in page.locator(".bo-totals").inner_text()
    page.get_by_role("button", name="Approve 1").click()
    page.locator(".messagelist").wait_for()
    assert (state_of(chosen), state_of(left)) == (State.APPROVED, State.PENDING)


def test_everything_works_without_scripts(open_page, propose, finance):
    approved, rejected, bulk = propose(1), propose(2), propose(3)
    page = open_page(finance, QUEUE, scripts=False)
    assert page.locator("button.bo-copy:visible").count() == 0
    page.locator(f"a[href$='{approved.pk}/change/']").first.click()
    page.get_by_role("button", name="Approve USD 133.03").click()
    assert "Approved by finance" in page.locator(".messagelist").inner_text()
    page.goto(page.url.replace(str(approved.pk), str(rejected.pk)))
    page.locator("summary", has_text="Reject").click()
    page.locator("select[name=reason_code]").select_option("bad_timing")
    page.get_by_role("button", name="Reject").click()
    page.goto(page.url.split("/admin/")[0] + QUEUE)
    page.locator(f"input[value='{bulk.pk}']").check()
    page.get_by_role("button", name="Approve selected").click()
    page.get_by_role("button", name="Approve 1").click()
    assert [state_of(one) for one in (approved, rejected, bulk)] == [State.APPROVED, State.REJECTED, State.APPROVED]


def test_an_id_is_copied_with_one_click(open_page, propose, finance):
    one = propose()
    page = open_page(finance, QUEUE)
    page.locator(f"button[data-copy='{one.subject}']").first.click()
    page.wait_for_function("document.getElementById('bo-live')?.textContent.startsWith('Copied')")
    assert page.evaluate("navigator.clipboard.readText()") == one.subject


def test_evidence_that_cannot_be_read_says_so_and_offers_the_page(open_page, propose, finance):
    one = propose()
    page = open_page(finance, QUEUE)
    page.route("**/panel/**", lambda route: route.abort())
    page.keyboard.press("o")
    page.get_by_text("Open the page instead").wait_for()
    assert str(one.pk) in page.get_by_text("Open the page instead").get_attribute("href")
