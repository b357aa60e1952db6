"""A batch's page: frozen, running, over; in both themes, on a phone, with and without scripts."""

from __future__ import annotations

import os

import pytest

from approvals.models import Batch, Suggestion
from approvals.services import batches
from approvals.services.deciding import Ask
from approvals.states import State
from billingops.actors import Actor


def shot(page, name):
    if folder := os.environ.get("BATCH_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def frozen(propose, user, number=5):
    rows = [propose(index) for index in range(number)]
    chosen = [Ask(row.pk, row.version) for row in rows[:-1]] + [Ask(rows[-1].pk, 7)]
    return batches.freeze(verb="approve", asks=chosen, actor=Actor.person(user))


@pytest.mark.parametrize(("dark", "width"), [(True, 1280), (False, 360)])
def test_a_frozen_batch_shows_what_it_would_do_and_is_accessible(open_page, serious, propose, lead, dark, width):
    batch = frozen(propose, lead)
    page = open_page(lead, f"/admin/approvals/batch/{batch.pk}/change/", dark=dark, width=width)
    assert "Changed since you selected: 1" in page.locator("#content-main").inner_text()
    assert page.get_by_role("button", name="Approve 4").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shot(page, f"frozen-{width}")
    assert serious(page) == []
    page.get_by_role("button", name="Approve 4").click()
    page.locator(".messagelist").wait_for()
    assert "Approved: 4" in page.locator(".messagelist").inner_text()
    shot(page, f"done-{width}")
    assert serious(page) == []
    assert Suggestion.objects.filter(state=State.APPROVED).count() == 4


def test_a_running_batch_shows_how_far_it_is_and_comes_to_its_end_by_itself(
    open_page, serious, propose, lead, monkeypatch
):
    monkeypatch.setattr(batches, "IN_FOREGROUND", 1)
    monkeypatch.setattr(batches, "CHUNK", 2)
    batch = batches.start(batch_id=frozen(propose, lead).pk, actor=Actor.person(lead))
    batches.work_chunk(batch.pk)
    page = open_page(lead, f"/admin/approvals/batch/{batch.pk}/change/")
    assert page.locator("[data-worked]").inner_text() == "2"
    shot(page, "running")
    assert serious(page) == []
    batches.work(batch.pk)
    page.get_by_text("What was done is exactly what was frozen.").wait_for()
    assert Batch.objects.get().state == Batch.State.DONE
