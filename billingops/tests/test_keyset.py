"""Pages by key: nothing twice, nothing left out, whatever arrives in between; a cursor from elsewhere is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billingops import keyset
from billingops.exceptions import InvalidInput
from billingops.inbox.models import InboundEvent

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 1, tzinfo=UTC)
NEWEST_FIRST = ("-created_at", "-id")


def add(count: int, *, per_second: int = 3, start: datetime = START, name: str = "evt") -> None:
    InboundEvent.objects.bulk_create(
        InboundEvent(
            event_id=f"{name}_{number}",
            type="invoice.paid",
            created_at=start + timedelta(seconds=number // per_second),
            payload={},
        )
        for number in range(count)
    )


def walk(order: tuple[str, ...], size: int) -> list[list[int]]:
    pages, cursor = [], ""
    while True:
        page = keyset.page(InboundEvent.objects.all(), order=order, cursor=cursor, size=size)
        pages.append([row.pk for row in page.rows])
        cursor = page.next
        if not cursor:
            return pages


@pytest.mark.parametrize("order", [("-pk",), ("pk",), NEWEST_FIRST, ("created_at", "id")])
@pytest.mark.parametrize("size", [1, 4, 7, 25, 26])
def test_every_row_is_on_exactly_one_page(order: tuple[str, ...], size: int) -> None:
    add(25)
    shown = [pk for page in walk(order, size) for pk in page]
    assert shown == list(InboundEvent.objects.order_by(*order).values_list("pk", flat=True))


def test_the_way_back_shows_the_same_pages() -> None:
    add(20)
    forward, cursors, cursor = [], [], ""
    while True:
        page = keyset.page(InboundEvent.objects.all(), order=NEWEST_FIRST, cursor=cursor, size=6)
        forward.append([row.pk for row in page.rows])
        cursors.append(page.previous)
        if not (cursor := page.next):
            break
    assert cursors[0] == ""
    for expected, previous in zip(reversed(forward[:-1]), reversed(cursors), strict=False):
        page = keyset.page(InboundEvent.objects.all(), order=NEWEST_FIRST, cursor=previous, size=6)
        assert [row.pk for row in page.rows] == expected
    assert page.previous == ""


def test_rows_that_arrive_between_two_pages_shift_nothing() -> None:
    add(10)
    first = keyset.page(InboundEvent.objects.all(), order=NEWEST_FIRST, size=4)
    add(5, start=START + timedelta(days=1), name="late")
    second = keyset.page(InboundEvent.objects.all(), order=NEWEST_FIRST, cursor=first.next, size=4)
    before = list(InboundEvent.objects.filter(event_id__startswith="evt").order_by(*NEWEST_FIRST))
    assert [row.pk for row in [*first.rows, *second.rows]] == [row.pk for row in before[:8]]


def test_an_empty_list_has_no_pages_around_it() -> None:
    assert keyset.page(InboundEvent.objects.all(), order=NEWEST_FIRST, size=5) == keyset.Page([], "", "")


@pytest.mark.parametrize(
    "cursor", ["x", "%%%", "e30", "WyJuIl0", "WyJ4IiwgIjEiXQ", "a" * 600, "WyJuIiwgImFiYyIsICJkZWYiXQ"]
)
def test_a_cursor_from_elsewhere_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        keyset.page(InboundEvent.objects.all(), order=NEWEST_FIRST, cursor=cursor, size=5)
    assert refused.value.field == "cursor"


def test_a_page_costs_one_statement_however_deep(django_assert_num_queries) -> None:
    add(60)
    cursor = ""
    for _ in range(5):
        with django_assert_num_queries(1):
            page = keyset.page(InboundEvent.objects.all(), order=NEWEST_FIRST, cursor=cursor, size=10)
        assert len(list(page.rows)) == 10
        cursor = page.next
