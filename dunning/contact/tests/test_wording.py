"""What of a customer's words may be kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.contact import wording


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("see https://billing.stripe.com/p/session/live_abc now", "see (link to billing.stripe.com left out) now"),
        ("> https://user:secret@pay.example:8443/x?y=z", "> (link to pay.example left out)"),
        ("www.shop.example/pay?token=1", "(link to shop.example left out)"),
        ("my card is 4242 4242 4242 4242, please", "my card is (card number left out), please"),
        ("4242-4242-4242-4242", "(card number left out)"),
        ("378282246310005", "(card number left out)"),
        ("invoice 1234567890123456 is wrong", "invoice 1234567890123456 is wrong"),
        ("NUL\0 and \x1b[31m red \u202eback\u202c", "NUL and [31m red back"),
        ("a\r\nb\r\rc\n\n\n\n\nd", "a\nb\n\nc\n\nd"),
    ],
)
def test_links_card_numbers_and_tricks_are_left_out(text: str, kept: str) -> None:
    assert wording.kept(text) == (kept, False)


def test_what_is_too_long_is_cut_and_says_so():
    text, is_cut = wording.kept("word " * 10_000)
    assert len(text) <= wording.MAX_TEXT
    assert is_cut


def test_html_becomes_lines_without_tags_scripts_and_styles():
    html = "<style>a{}</style><p>One &lt;two&gt;</p><div>three<br>four</div><script>alert(1)</script>"
    assert wording.kept(wording.from_html(html))[0] == "One <two>\nthree\nfour"


def test_html_made_to_be_slow_is_given_up():
    assert wording.from_html("<a" * 100_000) == "" or len(wording.from_html("<a" * 100_000)) <= wording.MAX_HTML


@given(st.text(max_size=600))
def test_what_is_kept_never_grows_beyond_its_limit_and_can_be_stored(text: str) -> None:
    kept, _ = wording.kept(text, 100)
    assert len(kept) <= 100
    kept.encode()
    assert "\0" not in kept
    assert "://" not in kept or "left out" not in kept


@given(st.text(alphabet="<>/abp&;\"'= \n", max_size=400))
def test_any_html_becomes_words_without_an_error(source: str) -> None:
    wording.from_html(source)
