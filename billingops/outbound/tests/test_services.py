"""What people do with endpoints: rights, secrets, switching, sending again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from approvals.audit.actions import SENTENCES
from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.outbound import services, signing, tasks
from billingops.outbound.models import Delivery, Endpoint, OutgoingEvent, Secret
from billingops.outbound.tests.receiver import documented_verify

State = Delivery.State


def verdicts(receiver, *secrets):
    """Of the last message: whether each secret accepts it."""
    return [documented_verify()(secret, receiver.came[-1].headers, receiver.came[-1].body) for secret in secrets]


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_while_a_secret_is_replaced_both_sign_and_then_the_new_one_alone(add_endpoint, tell, receiver, lead, run_jobs):
    endpoint, old = add_endpoint()
    new = services.rotate(endpoint_id=endpoint.pk, overlap_hours=24, actor=Actor.person(lead))
    tell("a")
    run_jobs()
    assert verdicts(receiver, old, new) == [True, True]
    Secret.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    tell("b")
    run_jobs()
    assert verdicts(receiver, old, new) == [False, True]


def test_a_leaked_secret_ends_at_once(add_endpoint, tell, receiver, lead, run_jobs):
    endpoint, old = add_endpoint()
    new = services.rotate(endpoint_id=endpoint.pk, overlap_hours=0, actor=Actor.person(lead))
    tell()
    run_jobs()
    assert verdicts(receiver, old, new) == [False, True]


def test_another_rotation_does_not_lengthen_an_earlier_secrets_life(endpoint, lead):
    services.rotate(endpoint_id=endpoint.pk, overlap_hours=1, actor=Actor.person(lead))
    ends = endpoint.secrets.order_by("id").first().expires_at
    services.rotate(endpoint_id=endpoint.pk, overlap_hours=100, actor=Actor.person(lead))
    assert endpoint.secrets.order_by("id").first().expires_at == ends


def test_no_more_secrets_than_fit_are_valid_at_a_time(endpoint, lead):
    for _ in range(services.MOST_SECRETS - 1):
        services.rotate(endpoint_id=endpoint.pk, overlap_hours=24, actor=Actor.person(lead))
    with pytest.raises(InvalidTransition):
        services.rotate(endpoint_id=endpoint.pk, overlap_hours=24, actor=Actor.person(lead))
    services.rotate(endpoint_id=endpoint.pk, overlap_hours=0, actor=Actor.person(lead))


def test_each_endpoint_has_a_secret_of_its_own(add_endpoint):
    assert add_endpoint(name="one")[1] != add_endpoint(name="two")[1]
    assert add_endpoint(name="three")[1].startswith(signing.PREFIX)


# -- switching ---------------------------------------------------------------------------------------------------------


def test_what_happens_while_an_endpoint_is_off_is_kept_and_sent_when_it_is_on(endpoint, tell, receiver, lead, run_jobs):
    services.switch_off(endpoint_id=endpoint.pk, reason="maintenance", actor=Actor.person(lead))
    tell("a")
    tell("b")
    run_jobs()
    tasks.work()
    assert receiver.came == []
    assert OutgoingEvent.objects.count() == 2
    services.switch_on(endpoint_id=endpoint.pk, actor=Actor.person(lead))
    run_jobs()
    assert receiver.ids == list(OutgoingEvent.objects.order_by("id").values_list("id", flat=True))


def test_an_endpoint_that_is_switched_off_after_the_event_gets_nothing_more(endpoint, tell, receiver, lead, run_jobs):
    tell()
    services.switch_off(endpoint_id=endpoint.pk, reason="", actor=Actor.person(lead))
    run_jobs()
    assert receiver.came == []
    assert Delivery.objects.values_list("state", "attempts").get() == (State.WAITING, 0)


def test_switching_on_forgets_the_failures(endpoint, lead):
    since = timezone.now() - timedelta(days=4)
    Endpoint.objects.update(
        state="paused", failures=9, failing_since=since, probe_at=timezone.now() + timedelta(hours=1)
    )
    services.switch_on(endpoint_id=endpoint.pk, actor=Actor.person(lead))
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.failures, endpoint.failing_since, endpoint.probe_at) == ("active", 0, None, None)


def test_a_change_of_what_somebody_else_changed_is_refused(endpoint, lead):
    values = {"name": "New", "url": endpoint.url}
    services.change(endpoint_id=endpoint.pk, values=values, version=1, actor=Actor.person(lead))
    with pytest.raises(VersionConflict):
        services.change(endpoint_id=endpoint.pk, values=values, version=1, actor=Actor.person(lead))


@pytest.mark.parametrize(
    ("field", "value"),
    [("url", "http://10.0.0.1/"), ("url", "https://169.254.169.254/"), ("name", ""), ("types", ["dunning.nothing"]),
     ("timeout_seconds", 31), ("timeout_seconds", 0)],
)  # fmt: skip
def test_an_endpoint_that_makes_no_sense_is_refused_with_its_field(add_endpoint, field, value):
    with pytest.raises(InvalidInput) as refused:
        add_endpoint(**{field: value})
    assert refused.value.field == field
    assert Endpoint.objects.count() == 0


# -- a test, and again -------------------------------------------------------------------------------------------------


def test_a_test_message_reaches_one_endpoint_alone(add_endpoint, receiver, lead, run_jobs):
    first, _ = add_endpoint(name="first", types=["dunning.restored"])
    add_endpoint(name="second")
    services.ping(endpoint_id=first.pk, actor=Actor.person(lead))
    run_jobs()
    (came,) = receiver.came
    assert (came.event["type"], came.event["data"]) == ("outbound.ping", {"endpoint": "first"})


def test_a_delivery_is_sent_again_under_the_same_id(delivery, receiver, lead, run_jobs):
    run_jobs()
    services.replay(delivery_id=delivery.pk, actor=Actor.person(lead))
    run_jobs()
    assert receiver.ids == [delivery.event_id] * 2
    assert Delivery.objects.values_list("state", "replays", "attempts").get() == (State.DELIVERED, 1, 1)


def test_what_was_given_up_gets_all_its_attempts_back(delivery, receiver, lead):
    Delivery.objects.update(state=State.GIVEN_UP, attempts=8)
    services.replay(delivery_id=delivery.pk, actor=Actor.person(lead))
    receiver.fail(1)
    tasks.work()
    assert Delivery.objects.values_list("state", "attempts").get() == (State.FAILED, 1)


def test_what_is_on_its_way_is_not_sent_a_second_time(delivery, lead):
    with pytest.raises(InvalidTransition):
        services.replay(delivery_id=delivery.pk, actor=Actor.person(lead))


def test_all_since_a_time_are_sent_again_even_to_an_endpoint_that_came_later(
    add_endpoint, tell, receiver, lead, run_jobs
):
    early, _ = add_endpoint(name="early")
    events = [tell(f"k{number}").pk for number in range(4)]
    OutgoingEvent.objects.filter(pk=events[0]).update(created_at=timezone.now() - timedelta(days=2))
    run_jobs()
    late, _ = add_endpoint(name="late", types=["dunning.suspended"])
    receiver.came.clear()
    since = timezone.now() - timedelta(days=1)
    counts = [services.replay_since(endpoint_id=one.pk, since=since, actor=Actor.person(lead)) for one in (early, late)]
    run_jobs()
    assert counts == [3, 3]
    assert sorted(receiver.ids) == sorted(events[1:] * 2)
    assert Delivery.objects.filter(endpoint=late).count() == 3


def test_an_accounts_endpoint_is_never_sent_another_accounts_past(add_endpoint, tell, lead):
    tell("a", account="acct_2")
    tell("b", account="acct_1")
    endpoint, _ = add_endpoint("acct_1")
    since = timezone.now() - timedelta(days=1)
    assert services.replay_since(endpoint_id=endpoint.pk, since=since, actor=Actor.person(lead)) == 1
    assert Delivery.objects.get(endpoint=endpoint).event.account == "acct_1"


def test_too_much_at_once_is_refused(endpoint, tell, lead, monkeypatch):
    monkeypatch.setattr(services, "MOST_REPLAYED", 1)
    tell("a")
    tell("b")
    with pytest.raises(InvalidInput):
        services.replay_since(
            endpoint_id=endpoint.pk, since=timezone.now() - timedelta(days=1), actor=Actor.person(lead)
        )


# -- rights ------------------------------------------------------------------------------------------------------------


def verbs(endpoint, delivery):
    return {
        "add": lambda a: services.add(account=endpoint.account, values={"name": "x", "url": endpoint.url}, actor=a),
        "change": lambda a: services.change(
            endpoint_id=endpoint.pk, values={"name": "x", "url": endpoint.url}, version=1, actor=a
        ),
        "off": lambda a: services.switch_off(endpoint_id=endpoint.pk, reason="", actor=a),
        "on": lambda a: services.switch_on(endpoint_id=endpoint.pk, actor=a),
        "rotate": lambda a: services.rotate(endpoint_id=endpoint.pk, overlap_hours=0, actor=a),
        "ping": lambda a: services.ping(endpoint_id=endpoint.pk, actor=a),
        "replay": lambda a: services.replay(delivery_id=delivery.pk, actor=a),
        "replay_since": lambda a: services.replay_since(endpoint_id=endpoint.pk, since=timezone.now(), actor=a),
    }


@pytest.mark.parametrize("name", ["add", "change", "off", "on", "rotate", "ping", "replay", "replay_since"])
def test_only_a_lead_who_sees_the_account_and_has_shown_the_second_factor_acts(
    name, endpoint, delivery, finance, auditor, make_user, settings, lead
):
    verb = verbs(endpoint, delivery)[name]
    elsewhere = make_user("elsewhere", "Finance lead", accounts=["acct_1"])
    for user in (finance, auditor, elsewhere):
        with pytest.raises(PermissionDenied):
            verb(Actor.person(user))
    settings.SECOND_FACTOR = "approvers"
    with pytest.raises(PermissionDenied):
        verb(Actor.person(lead))
    assert AuditEntry.objects.filter(action__startswith="outbound.").count() == 1  # the fixture's own


def test_every_step_stands_in_the_audit_log_in_words(endpoint, delivery, receiver, lead, run_jobs):
    run_jobs()
    actor = Actor.person(lead)
    services.change(endpoint_id=endpoint.pk, values={"name": "x", "url": endpoint.url}, version=1, actor=actor)
    services.rotate(endpoint_id=endpoint.pk, overlap_hours=0, actor=actor)
    services.ping(endpoint_id=endpoint.pk, actor=actor)
    services.replay(delivery_id=delivery.pk, actor=actor)
    services.replay_since(endpoint_id=endpoint.pk, since=timezone.now() - timedelta(days=1), actor=actor)
    services.switch_off(endpoint_id=endpoint.pk, reason="over", actor=actor)
    services.switch_on(endpoint_id=endpoint.pk, actor=actor)
    noted = list(
        AuditEntry.objects.filter(action__startswith="outbound.").order_by("seq").values_list("action", flat=True)
    )
    assert noted == [
        "outbound.endpoint_added", "outbound.endpoint_changed", "outbound.secret_added", "outbound.ping",
        "outbound.replayed", "outbound.replayed_since", "outbound.endpoint_off", "outbound.endpoint_on",
    ]  # fmt: skip
    assert set(noted) < set(SENTENCES)
