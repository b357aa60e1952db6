"""What a sequence may not ask for: one row each, with the field that the finding names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.campaigns import content, validation
from dunning.campaigns.segments import Candidate, Range, Segment
from dunning.plan import steps
from dunning.plan.caps import OTHER_CAP
from dunning.plan.sequences import STANDARD, Entry, Sequence, Stripe, Timing

TEMPLATES = ("reminder", "last_notice", "post_last_notice", "phone_reminder")
EVERYBODY = Segment()
NOTICE = Entry(3, steps.NOTIFY)
LAST = Entry(10, steps.NOTIFY, template="last_notice", tone="final")
FIXED = replace(STANDARD, timing=Timing.FIXED, retry_days=(3, 5, 7), stripe=Stripe.TAKE_OVER)


def with_entries(*entries, **changes):
    return replace(STANDARD, entries=content.in_order(entries), **changes)


def check(sequence, segment=EVERYBODY):
    return validation.check(sequence, segment, templates=TEMPLATES)


def test_the_standard_sequence_has_nothing_wrong_with_it():
    assert check(STANDARD) == []
    assert check(FIXED) == []


WRONG = [
    ("no window", replace(STANDARD, window_days=0), "window_days"),
    ("too wide a window", replace(STANDARD, window_days=61), "window_days"),
    ("no attempt at all", replace(STANDARD, max_attempts=0), "max_attempts"),
    ("more attempts than Visa allows", replace(STANDARD, max_attempts=16), "max_attempts"),
    ("no messages", replace(STANDARD, max_messages=0), "max_messages"),
    ("too many messages", replace(STANDARD, max_messages=11), "max_messages"),
    ("a line behind the window", with_entries(Entry(36, steps.ESCALATE)), "entries[0].day"),
    ("fixed days without a day", replace(FIXED, retry_days=()), "retry_days"),
    ("days where the reason decides", replace(STANDARD, retry_days=(3,)), "retry_days"),
    ("a day named twice", replace(FIXED, retry_days=(3, 3)), "retry_days"),
    ("day 0", replace(FIXED, retry_days=(0, 3)), "retry_days"),
    ("a retry behind the window", replace(FIXED, retry_days=(3, 36)), "retry_days"),
    ("more retries than attempts", replace(FIXED, max_attempts=3), "max_attempts"),
    (
        "15 retries and the first attempt are 16 in 30 days",
        replace(FIXED, retry_days=tuple(range(1, 16)), max_attempts=15),
        "retry_days",
    ),
    (
        "8 days of ours and Stripe's 8 are 16 in 30 days",
        replace(FIXED, retry_days=tuple(range(15, 23)), stripe=Stripe.ADVISE, max_attempts=15),
        "retry_days",
    ),
    ("the same line twice", with_entries(NOTICE, replace(NOTICE, tone="firm")), "entries[1]"),
    ("two messages on a day", with_entries(NOTICE, replace(NOTICE, channel="post")), "entries[1].day"),
    ("no such message", with_entries(Entry(3, steps.NOTIFY, template="nonsense")), "entries[0].template"),
    ("more messages than allowed", with_entries(NOTICE, LAST, max_messages=1), "max_messages"),
    ("a letter as an e-mail", with_entries(replace(NOTICE, template="post_last_notice")), "entries[0].template"),
    ("a call that cannot help", with_entries(replace(NOTICE, channel="phone", needs="bank")), "entries[0].channel"),
    ("a channel without a message", with_entries(Entry(3, steps.ESCALATE, channel="phone")), "entries[0].channel"),
    ("a downgrade to nothing", with_entries(Entry(9, steps.DOWNGRADE)), "entries[0].price"),
    ("a price without a downgrade", with_entries(Entry(9, steps.PAUSE, price="price_1")), "entries[0].price"),
    ("a grace period of no days", with_entries(Entry(1, steps.GRACE)), "entries[0].days"),
    ("a grace period of 61 days", with_entries(Entry(1, steps.GRACE, days=61)), "entries[0].days"),
    ("days without a grace period", with_entries(Entry(1, steps.ESCALATE, days=3)), "entries[0].days"),
    ("the end without a message", with_entries(Entry(20, steps.CANCEL)), "entries[0].day"),
    ("the end after one message", with_entries(LAST, Entry(20, steps.UNCOLLECTIBLE)), "entries[1].day"),
    (
        "the end without a last notice",
        with_entries(NOTICE, Entry(9, steps.NOTIFY, template="reminder"), Entry(20, steps.CANCEL)),
        "entries[2].day",
    ),
    ("the end two days after the last notice", with_entries(NOTICE, LAST, Entry(12, steps.CANCEL)), "entries[2].day"),
    (
        "a message that only some get",
        with_entries(replace(NOTICE, needs="customer"), LAST, Entry(20, steps.CANCEL)),
        "entries[2].day",
    ),
    (
        "a last notice for larger amounts only",
        with_entries(NOTICE, replace(LAST, over={"usd": 5000}), Entry(20, steps.CANCEL)),
        "entries[2].day",
    ),
    (
        "a cancellation before the invoice is given up",
        with_entries(NOTICE, LAST, Entry(20, steps.CANCEL), Entry(25, steps.UNCOLLECTIBLE)),
        "entries[2].day",
    ),
]


@pytest.mark.parametrize(("sequence", "field"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_this_is_refused_with_the_field_and_the_fix(sequence, field):
    found = validation.errors(check(sequence))
    assert field in {one.field for one in found}
    assert all(one.message and one.fix.endswith(".") for one in found)


@pytest.mark.parametrize(
    "sequence",
    [
        with_entries(NOTICE, LAST, Entry(13, steps.CANCEL)),
        with_entries(NOTICE, LAST, Entry(20, steps.UNCOLLECTIBLE), Entry(20, steps.CANCEL)),
        # For each kind of reason there are two, though no customer gets all three.
        with_entries(
            replace(NOTICE, needs="bank"), Entry(1, steps.NOTIFY, needs="customer"), LAST, Entry(20, steps.CANCEL)
        ),
        with_entries(NOTICE, replace(LAST, over={"usd": 5000}), Entry(20, steps.CANCEL, over={"usd": 9000})),
        with_entries(NOTICE, replace(LAST, channel="post", template="post_last_notice"), Entry(20, steps.CANCEL)),
        replace(FIXED, retry_days=tuple(range(1, 15)), max_attempts=15),
        replace(FIXED, retry_days=tuple(range(15, 22)), stripe=Stripe.ADVISE, max_attempts=15),
        replace(FIXED, retry_days=(*range(1, 15), 31, 32), max_attempts=15, window_days=40, stripe=Stripe.TAKE_OVER),
        with_entries(
            Entry(1, steps.GRACE, days=60),
            NOTICE,
            Entry(9, steps.DOWNGRADE, price="price_free"),
            Entry(20, steps.ESCALATE),
        ),
    ],
)
def test_this_is_allowed(sequence):
    found = [one for one in validation.errors(check(sequence)) if one.field != "max_attempts"]
    assert found == []


WARNED = [
    ("nobody is told", with_entries(Entry(20, steps.ESCALATE)), Segment(), "entries"),
    ("nobody looks", with_entries(NOTICE), Segment(), "entries"),
    (
        "messages day after day",
        with_entries(NOTICE, Entry(4, steps.NOTIFY), Entry(9, steps.ESCALATE)),
        Segment(),
        "entries[1].day",
    ),
    (
        "softer words later",
        with_entries(replace(NOTICE, tone="firm"), Entry(9, steps.NOTIFY), Entry(20, steps.ESCALATE)),
        Segment(),
        "entries[1].tone",
    ),
    ("one budget used by two", replace(STANDARD, stripe=Stripe.BESIDE), Segment(), "stripe"),
    ("days while Stripe retries", replace(FIXED, stripe=Stripe.ADVISE), Segment(), "retry_days"),
    (
        "a line behind the end",
        with_entries(NOTICE, LAST, Entry(20, steps.CANCEL), Entry(25, steps.ESCALATE)),
        Segment(),
        "entries[3].day",
    ),
    (
        "the service changed unannounced",
        with_entries(Entry(2, steps.PAUSE), NOTICE, Entry(20, steps.ESCALATE)),
        Segment(),
        "entries[0].day",
    ),
    (
        "a line above the segment",
        with_entries(NOTICE, Entry(20, steps.ESCALATE, over={"eur": 5000})),
        Segment(amount={"eur": Range(0, 5001)}),
        "entries[1].over",
    ),
]


@pytest.mark.parametrize(("sequence", "segment", "field"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED])
def test_this_is_warned_of_and_not_refused(sequence, segment, field):
    found = check(sequence, segment)
    assert validation.errors(found) == []
    assert field in {one.field for one in found}


def test_two_campaigns_that_nothing_decides_between_are_refused_by_name():
    mine = Candidate("mine", "", 3, Segment(countries=frozenset({"DE"})))
    other = Candidate("other", "", 3, Segment(tiers=frozenset({"free"})))
    (found,) = validation.check_rivals(mine, [mine, other, replace(other, name="higher", priority=4)])
    assert found.field == "priority"
    assert "'other'" in found.message


entries = st.builds(
    Entry,
    day=st.integers(0, 70),
    kind=st.sampled_from(content.KINDS),
    template=st.sampled_from(["", "reminder", "last_notice", "nonsense"]),
    tone=st.sampled_from(content.TONES),
    channel=st.sampled_from(content.CHANNELS),
    days=st.integers(0, 70),
    price=st.sampled_from(["", "price_1"]),
    needs=st.sampled_from(content.NEEDS),
    over=st.dictionaries(st.sampled_from(["eur", "usd"]), st.integers(0, 99), max_size=2),
)
sequences = st.builds(
    Sequence,
    name=st.just("any"),
    timing=st.sampled_from(Timing),
    retry_days=st.lists(st.integers(0, 70), max_size=20).map(lambda days: tuple(sorted(days))),
    window_days=st.integers(0, 70),
    max_attempts=st.integers(0, 20),
    max_messages=st.integers(0, 12),
    stripe=st.sampled_from(Stripe),
    entries=st.lists(entries, max_size=8).map(content.in_order),
    occasions=st.sampled_from([(), ("recovered",), ("service_paused",), ("recovered", "service_paused")]),
)


@given(sequences)
def test_what_passes_keeps_the_caps_and_tells_a_customer_twice_before_the_end(sequence):
    if validation.errors(check(sequence)):
        return
    tries = (0, *sequence.retry_days)
    assert all(sum(start <= day < start + 30 for day in tries) <= OTHER_CAP.per_30_days for start in tries)
    notices = [one for one in sequence.entries if one.kind == steps.NOTIFY]
    assert len({one.day for one in notices}) == len(notices)
    for end in sequence.entries:
        if end.kind in (steps.CANCEL, steps.UNCOLLECTIBLE):
            told = [one for one in notices if one.day < end.day]
            assert len(told) >= 2
            assert any(one.template == "last_notice" and one.day <= end.day - 3 for one in told)


@given(sequences)
def test_a_sequence_survives_being_kept_as_json(sequence):
    kept = content.sequence_json(sequence)
    assert content.read_sequence(kept, name="any", version=1) == sequence


def test_a_version_that_is_older_than_occasions_thanks_and_tells_of_no_pause():
    old = content.sequence_json(STANDARD)
    assert "occasions" not in old
    assert content.read_sequence(old, name="any", version=1).occasions == ("recovered",)


def test_word_of_a_pause_counts_among_the_messages_and_wants_a_pause():
    told = replace(STANDARD, occasions=("service_paused",))
    assert {(one.level, one.field) for one in check(told)} == {("error", "max_messages"), ("warning", "occasions")}
    pausing = with_entries(*STANDARD.entries, Entry(20, steps.PAUSE), occasions=("service_paused",), max_messages=6)
    assert check(pausing) == []
