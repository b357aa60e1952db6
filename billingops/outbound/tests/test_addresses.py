"""Where we send to, and where nobody can make us send."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from billingops.exceptions import InvalidInput
from billingops.outbound import addresses, checks, sending
from billingops.outbound.tests.receiver import Server

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "169.254.169.254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
    "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1", "64:ff9b:1:a00:0:100:808:808", "2001:0:4136:e378:8000:63bf:80ff:fffe",
]  # fmt: skip
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001:82a::200e"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_the_public_internet_is_refused(address):
    assert addresses.why_not(ip_address(address), "https")


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_reached_by_https_alone(address):
    assert addresses.why_not(ip_address(address), "https") == ""
    assert addresses.why_not(ip_address(address), "http")


def test_a_network_that_is_named_is_allowed_and_metadata_still_is_not(settings):
    settings.OUTBOUND_ALLOW_PRIVATE = ["10.1.0.0/16", "169.254.0.0/16", "0.0.0.0/0"]
    assert addresses.why_not(ip_address("10.1.2.3"), "http") == ""
    for address in ("169.254.169.254", "168.63.129.16", "::ffff:169.254.169.254", "100.100.100.200"):
        assert addresses.why_not(ip_address(address), "http")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://", "https:///path", "example.com",
        "https://user:password@example.com/", "https://example.com/#part", "https://127.0.0.1/", "https://[::1]/",
        "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest/meta-data/", "https://exa mple.com/",
        "https://example.com/\n", "https://exämple.com/", "https://example.com:99999/", "https://example.com:0/",
        "https://example.com\\@10.0.0.1/", "https://[1.2.3/", "https://example.com/" + "x" * 500,
    ],
)  # fmt: skip
def test_a_url_that_is_never_sent_to_cannot_be_stored(url):
    with pytest.raises(InvalidInput):
        addresses.parts(url)


@pytest.mark.parametrize("url", ["https://example.com/hooks?x=1", "https://example.com:8443", "https://93.184.216.34/"])
def test_a_public_url_can_be_stored(url):
    assert addresses.parts(url).scheme == "https"


# Other ways to write 127.0.0.1, which the system's look-up understands; and a name that leads to it.
@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "017700000001", "localhost"])
def test_a_name_that_leads_to_this_machine_is_refused_at_sending(host):
    with Server() as receiver:
        port = receiver.url.rpartition(":")[2]
        answer = sending.post(f"https://{host}:{port}", body=b"{}", headers={}, seconds=5)
    assert (answer.status, answer.error) == (None, "address")
    assert receiver.came == []


def test_one_private_address_behind_a_name_refuses_them_all(monkeypatch):
    monkeypatch.setattr(addresses, "_looked_up", lambda host, port: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(addresses.Refused):
        addresses.resolve("example.com", 443, "https")


def test_the_connection_goes_to_the_address_that_was_judged(receiver, monkeypatch):
    """The name's owner answers the second look-up with another address: there is none."""
    asked = []

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    monkeypatch.setattr(addresses, "_looked_up", look_up)
    url = receiver.url.replace("127.0.0.1", "rebinding.example.com")
    assert sending.post(url, body=b"{}", headers={}, seconds=5).is_delivered
    assert asked == ["rebinding.example.com"]
    assert receiver.came[0].headers["host"].startswith("rebinding.example.com:")


def test_a_proxy_of_the_environment_is_not_asked(receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert sending.post(receiver.url, body=b"{}", headers={}, seconds=5).is_delivered


def test_a_redirect_is_not_followed(receiver):
    receiver.answers = [(307, {"location": "http://169.254.169.254/"}), (302, {"location": receiver.url})]
    answers = [sending.post(receiver.url, body=b"{}", headers={}, seconds=5) for _ in range(2)]
    assert [(one.status, one.error) for one in answers] == [(307, "redirect"), (302, "redirect")]
    assert len(receiver.came) == 2


@pytest.mark.parametrize("slow", [30, "drip"])
def test_an_attempt_ends_whatever_the_receiver_does(receiver, slow):
    receiver.answers = [slow]
    assert sending.post(receiver.url, body=b"{}", headers={}, seconds=1).error == "timeout"


def test_an_endless_head_is_not_read_on(receiver):
    receiver.answers = [(200, {f"x-{number}": "y" * 1000 for number in range(90)})]
    assert sending.post(receiver.url, body=b"{}", headers={}, seconds=5).error in ("connection", "answer")


def test_nobody_listening_and_no_tls_are_told_apart(receiver, settings):
    closed = "http://127.0.0.1:1/"
    assert sending.post(closed, body=b"{}", headers={}, seconds=5).error == "connection"
    plain = receiver.url.replace("http://", "https://")
    assert sending.post(plain, body=b"{}", headers={}, seconds=5).error == "tls"


def test_the_check_names_what_is_no_network(settings):
    settings.OUTBOUND_ALLOW_PRIVATE = ["everything"]
    assert [one.id for one in checks.private_networks_are_named_with_care(None)] == ["outbound.E001"]
    settings.OUTBOUND_ALLOW_PRIVATE, settings.STRIPE_LIVE_MODE = ["0.0.0.0/0"], True
    assert [one.id for one in checks.private_networks_are_named_with_care(None)] == ["outbound.W001"]
    settings.OUTBOUND_ALLOW_PRIVATE = ["10.0.0.0/8"]
    assert checks.private_networks_are_named_with_care(None) == []
