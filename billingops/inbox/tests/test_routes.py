"""Routes: who is called for which type."""

from __future__ import annotations

import pytest

from billingops.inbox.routes import handlers_for, on

pytestmark = pytest.mark.usefixtures("own_routes")


def one(note):
    """A handler."""


def two(note):
    """Another."""


def test_a_type_calls_its_handlers_in_the_order_of_registration():
    on("invoice.paid")(two)
    on("invoice.paid", "invoice.voided")(one)
    assert handlers_for("invoice.paid") == (two, one)
    assert handlers_for("invoice.voided") == (one,)
    assert handlers_for("invoice.created") == ()


def test_a_family_calls_for_all_of_its_types_and_no_other():
    on("customer.subscription.*")(one)
    assert handlers_for("customer.subscription.updated") == (one,)
    assert handlers_for("customer.updated") == ()
    assert handlers_for("customer.subscription_like") == ()


def test_a_handler_is_called_once_although_two_patterns_name_it():
    on("invoice.*", "invoice.paid")(one)
    on("invoice.paid")(one)
    assert handlers_for("invoice.paid") == (one,)


def test_a_handler_that_comes_late_is_found():
    assert handlers_for("payout.paid") == ()
    on("payout.paid")(one)
    assert handlers_for("payout.paid") == (one,)


@pytest.mark.parametrize("pattern", ["*", "invoice*", "in*.paid", ".*", ""])
def test_other_patterns_are_refused(pattern):
    with pytest.raises(ValueError, match="neither a type"):
        on(pattern)(one)
