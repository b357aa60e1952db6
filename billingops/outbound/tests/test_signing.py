"""Signatures against the specification's own example, and against what the documentation gives receivers."""

from __future__ import annotations

import base64
import time

import pytest

from billingops.outbound import signing, vault
from billingops.outbound.tests.receiver import documented_verify

# The example that the specification's own libraries are tested with:
# https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EXAMPLE = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')


def test_the_published_example_comes_out():
    assert signing.signature(SECRET, *EXAMPLE) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_valid_secret_signs():
    found = signing.headers([SECRET, signing.new_secret()], *EXAMPLE)
    first, second = found["webhook-signature"].split(" ")
    assert first == signing.signature(SECRET, *EXAMPLE)
    assert second.startswith("v1,")
    assert first != second


def test_a_new_secret_has_256_bits_and_is_never_the_same():
    one, other = signing.new_secret(), signing.new_secret()
    assert one != other
    assert len(base64.b64decode(one.removeprefix("whsec_"))) == 32


@pytest.mark.parametrize("spoilt", ["nothing", "body", "id", "time", "secret", "old"])
def test_the_documented_function_accepts_ours_and_nothing_else(spoilt):
    secret, body = signing.new_secret(), b'{"type":"dunning.suspended"}'
    at = int(time.time()) - (400 if spoilt == "old" else 0)
    headers = signing.headers([signing.new_secret(), secret], "evt_1", at, body)
    if spoilt == "body":
        body += b" "
    elif spoilt == "id":
        headers["webhook-id"] = "evt_2"
    elif spoilt == "time":
        headers["webhook-timestamp"] = str(at - 1)
    elif spoilt == "secret":
        secret = signing.new_secret()
    assert documented_verify()(secret, headers, body) is (spoilt == "nothing")


def test_a_sealed_secret_is_read_back_and_shows_nothing():
    sealed = vault.seal(SECRET)
    assert SECRET not in sealed
    assert sealed != vault.seal(SECRET)
    assert vault.unseal(sealed) == SECRET


def test_a_former_key_still_opens_and_an_unknown_one_does_not(settings):
    sealed = vault.seal(SECRET)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key"
    assert vault.unseal(sealed) == SECRET
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(vault.Unreadable):
        vault.unseal(sealed)
