"""The queue with a keyboard, with a thumb, and without scripts."""

from __future__ import annotations

from approvals import services
from approvals.models import Decision, Policy, Suggestion
from approvals.states import State
from billingops.actors import Actor

QUEUE = "/admin/approvals/suggestion/"


def state_of(suggestion):
    return Suggestion.objects.get(pk=suggestion.pk).state


def test_a_key_opens_the_evidence_and_enter_confirms_the_approval(open_page, propose, finance):
    older, newer = propose(1), propose(2)
    page = open_page(finance, QUEUE)
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
    assert page.url.endswith(f"{QUEUE}#row-{newer.pk}")
    page.wait_for_function(f"document.activeElement.closest('tr')?.id === 'row-{newer.pk}'")
    assert "bo-current" in page.locator(f"#row-{newer.pk}").get_attribute("class")


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


def test_what_became_of_a_decision_is_in_sight_beside_the_next_row(open_page, propose, finance):
    for number in range(12):
        propose(number)
    page = open_page(finance, QUEUE)
    for key in "jjjjjjja":
        page.keyboard.press(key)
        page.wait_for_timeout(60)
    page.wait_for_function("document.activeElement.textContent.includes('Approve USD 133.03')")
    page.keyboard.press("Enter")
    page.locator(".messagelist").wait_for()
    page.wait_for_function("document.activeElement.closest('tr[data-row]')")
    assert page.evaluate("scrollY") > 200
    for part in (".messagelist", "tr[data-row].bo-current"):
        box = page.locator(part).bounding_box()
        assert 0 <= box["y"] < box["y"] + box["height"] <= page.viewport_size["height"]
    bottom = page.locator(".messagelist").bounding_box()
    assert bottom["y"] + bottom["height"] <= page.locator("tr[data-row].bo-current").bounding_box()["y"]


def test_no_single_key_changes_anything(open_page, propose, lead):
    one = propose()
    page = open_page(lead, QUEUE)
    for key in ("j", "k", "o", "a", "o", "r", "Escape", "t", "x", "e", "Delete"):
        page.keyboard.press(key)
        page.wait_for_timeout(60)
    assert state_of(one) == State.PENDING
    assert not Decision.objects.exists()
    assert Suggestion.objects.get(pk=one.pk).assignee is None


def test_t_goes_to_take_and_enter_takes_and_stays_on_the_row(open_page, propose, finance, lead):
    one, two = propose(1), propose(2)
    page = open_page(finance, QUEUE)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("t")
    page.keyboard.press("Enter")
    page.locator(".messagelist").wait_for()
    assert Suggestion.objects.get(pk=two.pk).assignee == finance
    page.wait_for_function(f"document.activeElement.closest('tr')?.id === 'row-{two.pk}'")
    page.locator(f"#row-{two.pk}").get_by_role("button", name="Release").click()
    page.locator(".messagelist", has_text="Released").wait_for()
    assert Suggestion.objects.get(pk=two.pk).assignee is None
    services.take(suggestion_id=one.pk, actor=Actor.person(lead))
    page.locator(f"#row-{one.pk}").get_by_role("button", name="Take").click()
    page.locator(".messagelist", has_text="Lead took it first").wait_for()
    assert Suggestion.objects.get(pk=one.pk).assignee == lead


def test_e_leads_through_the_preview_to_an_edit_that_somebody_else_approves(open_page, letter, finance, lead):
    page = open_page(finance, QUEUE)
    page.keyboard.press("e")
    page.wait_for_function("document.activeElement.matches('[data-edit]')")
    page.keyboard.press("Enter")
    page.locator("#id_words").fill("Dear Sirs")
    page.get_by_role("button", name="Preview").click()
    assert "Sends “Dear Sirs”." in page.locator(".bo-preview").inner_text()
    page.get_by_role("button", name="Keep the edit").click()
    page.locator(".messagelist").wait_for()
    assert "You made the last edit; somebody else must approve." in page.locator("#content-main").inner_text()
    assert page.get_by_role("button", name="Approve").count() == 0
    page = open_page(lead, QUEUE)
    page.keyboard.press("a")
    page.wait_for_function("document.activeElement.textContent.includes('Approve')")
    page.keyboard.press("Enter")
    page.locator(".messagelist").wait_for()
    assert state_of(letter) == State.APPROVED


def test_a_view_is_saved_and_the_undo_taken_without_scripts(open_page, propose, finance):
    Policy.objects.create(kind="*", undo_seconds=600)
    one = propose()
    page = open_page(finance, f"{QUEUE}?tab=unassigned&sort=new", scripts=False)
    page.locator("summary", has_text="Save this view").click()
    page.locator("#bo-view-name").fill("Free ones")
    page.get_by_role("button", name="Save").click()
    assert page.locator(".bo-views .bo-on").inner_text().startswith("Free ones")
    page.locator(f"a[href$='{one.pk}/change/']").first.click()
    page.get_by_role("button", name="Approve USD 133.03").click()
    assert "unless you cancel" in page.locator(".bo-coming").inner_text()
    page.get_by_role("button", name="Undo: cancel it").click()
    assert state_of(one) == State.CANCELLED


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
    left, chosen = propose(1), propose(2)
    page = open_page(finance, QUEUE)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.locator("[data-selected-count]").inner_text() == "1 selected"
    page.get_by_role("button", name="Approve selected").click()
    assert "USD" in page.locator(".bo-batch-totals").inner_text()
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
