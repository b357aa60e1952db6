"""Nothing personal leaves, by property: generated customers of many countries, written in many ways, through the whole
question to the bytes that a server received and to what is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billingops.llm.models import AgentRun
from billingops.llm.redaction import Redactions, clean_free_text
from billingops.llm.tests.people import (
    NAME_FORMS,
    NUMBER_FORMS,
    Person,
    leaking_digits,
    leaks,
    people,
)

SAYS = "Hello, this is {} speaking about the plan of {} for"
FRAME = SAYS.replace("{}", "")


@settings(max_examples=400, deadline=None)
@given(person=people, form=st.sampled_from(sorted(NAME_FORMS)), free=st.booleans())
def test_a_known_name_is_found_however_it_is_written(person: Person, form: str, free: bool) -> None:
    for name in (person.name, person.company):
        said = SAYS.format(NAME_FORMS[form](name), name)
        masked = Redactions(**person.known).mask(said, free=free)
        assert leaks(masked, [name], harmless=FRAME + "seats across Pro") == [], (form, said, masked)


@settings(max_examples=300, deadline=None)
@given(person=people, form=st.sampled_from(sorted(NUMBER_FORMS)))
def test_card_bank_and_tax_numbers_are_found_without_being_known(person: Person, form: str) -> None:
    for number in (person.card, person.iban, person.routing, person.tax_id):
        for free in (True, False):
            masked = Redactions().mask(f"Use {NUMBER_FORMS[form](number)} please", free=free)
            assert leaking_digits(masked, [number], harmless="") == [], (form, number, free, masked)


@settings(max_examples=300, deadline=None)
@given(person=people, glue=st.sampled_from(["\n", ", ", " ", " / "]))
def test_contact_and_address_are_found_in_parts_and_across_lines(person: Person, glue: str) -> None:
    address = glue.join(line.strip() for line in person.address.splitlines())
    local, _, domain = person.email.partition("@")
    said = f"{address}; {person.email}; {local} at {domain.replace('.', ' dot ')}; {person.phone}; {local}"
    for free in (True, False):
        masked = Redactions(**person.known).mask(said, free=free)
        assert leaks(masked, [address, person.email], harmless="at dot") == [], (said, masked)
        assert leaking_digits(masked, [person.phone], harmless="") == [], (said, masked)


@given(person=people)
@settings(max_examples=100, deadline=None)
def test_ids_and_network_addresses_are_found(person: Person) -> None:
    path = f"{person.uuid}/{person.customer_id}"
    said = f"{person.uuid} {person.customer_id} https://x.example/{path} {person.ip} {person.ip6}"
    masked = Redactions().mask(said)
    for value in (person.uuid, person.customer_id, person.ip, person.ip6):
        assert value not in masked, masked


@pytest.mark.django_db
@pytest.mark.usefixtures("reads_customers")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(person=people, form=st.sampled_from(sorted(NAME_FORMS)), number=st.sampled_from(sorted(NUMBER_FORMS)))
def test_no_token_of_a_customer_is_in_the_bytes_that_leave_or_in_the_record(
    server: Any, ask: Any, person: Person, form: str, number: str
) -> None:
    told = "; ".join(
        [
            NAME_FORMS[form](person.name),
            *(person.company, person.email, person.phone, person.address, person.uuid, person.customer_id, person.ip),
            *(NUMBER_FORMS[number](value) for value in person.numbers),
        ]
    )
    said = []
    for value in (told, ""):  # what is said without the customer is no leak
        server.requests.clear()
        AgentRun.objects.all().delete()
        ask(
            facts={
                "reason": f"Plan of {value}",
                "permitted": [value, {"reason": value}],
                "receipt_email": person.email,
            },
            free_text={"note": f"Hello, {value} writes"},
            secrets=Redactions(**person.known),
        )
        row = AgentRun.objects.get()
        sent = "".join(json.dumps(request.json, ensure_ascii=False) for request in server.requests)
        said.append(sent + json.dumps(row.input, ensure_ascii=False) + row.output + row.check_output + row.reason)
    with_customer, harmless = said
    personal = [person.name, person.company, person.email, person.address]
    assert leaks(with_customer, personal, harmless=harmless + "across seats Pro and card plan") == []
    for value in (person.uuid, person.customer_id, person.ip, person.card):
        assert value not in with_customer
    assert leaking_digits(with_customer, [person.card, person.iban, person.tax_id], harmless=harmless) == []


@pytest.mark.parametrize(
    "text",
    [
        *("null eins zwei drei vier fünf", "four two four two", "quatre deux quatre deux", "四二四二四二四二"),
        *(
            "QW5uYSBTbWl0aCwgTWFpbiBTdHJlZXQ=",
            "416e6e6120536d697468",
            "41 6e 6e 61 20 53",
            "\\x41\\x6e\\x6e\\x61\\x20\\x53",
        ),
        *("anna (at) shop (dot) example", "anna at shop dot example", "anna%40shop.example", "shop.example/users/7"),
        *("DE89.3704.0044.0532.0130.00", "de 89 370400440532013000", "GB29NWBK60161331926819", "4242·4242·4242·4242"),
    ],
)
def test_a_customers_text_hides_nothing_in_words_or_in_code(text: str) -> None:
    masked = clean_free_text(text, Redactions())
    assert leaks(masked, [text], harmless="digits code email link id name") == []
    assert leaking_digits(masked, [text], harmless="") == []


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("4242_4242_4242_4242", "4242"),
        ("card 4242,4242,4242,4242", "4242"),
        ("account 1234 5678", "5678"),
        ("sort code 12-34-56", "34"),
        ("SSN 123-45-6789", "6789"),
        ("EIN 12-3456789", "3456789"),
        ("VAT DE123456789", "123456789"),
        ("BIC DEUTDEFF500", "DEUTDEFF"),
        ("ABCDE1234F", "1234"),
        ("AB 12 34 56 C", "34"),
        ("from 192.168.10.20", "192"),
        ("from 2001:db8::ff00:42:8329", "ff00"),
        ("call 5551234", "5551234"),
        ("see anna-smith.de", "anna"),
        ("mailto:anna", "anna"),
        ("550e8400-e29b-41d4-a716-446655440000", "e29b"),
        ("550e8400e29b41d4a716446655440000", "e29b"),
    ],
)
def test_our_own_facts_lose_bank_tax_and_network_numbers(text: str, gone: str) -> None:
    assert gone not in Redactions().mask(text)
