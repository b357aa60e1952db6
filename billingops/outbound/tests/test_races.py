"""Workers that reach for the same delivery at the same time, on PostgreSQL."""

from __future__ import annotations

from collections import Counter

import pytest

from billingops.actors import Actor
from billingops.outbound import services, tasks
from billingops.outbound.models import Delivery, DeliveryAttempt, Endpoint
from tests.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def test_of_workers_that_send_the_same_delivery_one_does(delivery, receiver):
    results = at_once(8, lambda n: tasks.send(delivery.pk))
    assert Counter(map(str, results)) == {"delivered": 1, "not now": 7}
    assert len(receiver.came) == DeliveryAttempt.objects.count() == 1


def test_workers_share_what_is_due_and_send_each_once(endpoint, tell, receiver):
    events = {tell(f"k{number}").pk for number in range(20)}
    at_once(4, lambda n: tasks.work())
    assert sorted(receiver.ids) == sorted(events)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_one_event_told_by_many_at_once_is_told_once(endpoint, tell, receiver):
    told = at_once(8, lambda n: tell("the same"))
    assert sum(one is not None for one in told) == 1
    assert Delivery.objects.count() == 1


def test_of_probes_to_a_silent_endpoint_one_is_made(endpoint, tell, receiver):
    deliveries = [tell(f"k{number}").deliveries.get().pk for number in range(6)]
    Endpoint.objects.update(failures=3)
    receiver.answers = [1] * 6
    at_once(6, lambda n: tasks.send(deliveries[n]))
    assert len(receiver.came) == 1


def test_an_event_and_a_page_that_changes_the_endpoint_do_not_wait_for_each_other(endpoint, tell, lead):
    """The page holds the endpoint and waits for the log; whoever emits holds the log and refers to the endpoint."""

    def act(number: int) -> object:
        if number % 2:
            return tell(f"k{number}")
        return services.ping(endpoint_id=endpoint.pk, actor=Actor.person(lead))

    results = at_once(8, act)
    assert not [one for one in results if isinstance(one, Exception)]
