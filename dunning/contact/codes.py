"""What a mail server's status says about the address: whether it can ever take mail. Data, with its source.

Enhanced status codes: RFC 3463 and the registry that grew from it, "Simple Mail Transfer Protocol (SMTP) Enhanced
Status Codes Registry" at IANA. Class 4 is passing by definition. Of class 5 these say that the address itself is no
good; the others (policy, size, content, a full mailbox) say that this message, or now, was no good.
"""

from __future__ import annotations

import re

STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")

# Permanent, and about the message, the sender or the moment: the address is believed to be good.
_PASSING_OF_CLASS_5 = {
    "1.7": "the sender was not accepted",
    "1.8": "the sender was not accepted",
    "2.0": "the mailbox did not take it",
    "2.2": "the mailbox is full",
    "2.3": "the message is longer than the mailbox takes",
    "2.4": "a mailing list could not be followed",
    "3.1": "the mail system is full",
    "3.4": "the message is too big",
    "4.2": "the connection broke",
    "4.3": "the directory did not answer",
    "4.5": "the mail system was congested",
    "4.6": "the message went in circles",
    "4.7": "the message was on its way for too long",
}
_PASSING_SUBJECTS = {
    "3": "the mail system does not work",
    "5": "the servers did not understand each other",
    "6": "the content was not taken",
}
_POLICY = "it was refused by a policy"
_WORDS = {
    "1.1": "there is no such mailbox",
    "1.2": "there is no such domain",
    "1.3": "the address is not written correctly",
    "1.6": "the mailbox has moved",
    "1.10": "the domain takes no mail",
    "2.1": "the mailbox is closed",
    "4.1": "the server does not answer",
    "4.4": "no server takes mail for the domain",
}
_UNNAMED = "the server refused it for good"


def judge(status: str, *, failed: bool = True) -> tuple[bool, str]:
    """(the address cannot be written to, why in words) of a status like "5.1.1"; "" or nonsense is not for good.

    `failed`: the server gave up on the message; otherwise it only reports a delay.
    """
    found = STATUS.fullmatch(status)
    if found is None:
        return False, "the server did not say why" if failed else "it is delayed"
    group, detail = found[2], f"{found[2]}.{found[3]}"
    if found[1] == "4":
        return False, "it was not taken in time" if failed else "it is delayed"
    if found[1] == "2":
        return False, "it arrived"
    if detail in _PASSING_OF_CLASS_5:
        return False, _PASSING_OF_CLASS_5[detail]
    if group in _PASSING_SUBJECTS:
        return False, _PASSING_SUBJECTS[group]
    if group == "7":
        return False, _POLICY
    return True, _WORDS.get(detail, _UNNAMED)


def find(text: str) -> str:
    """The first enhanced status code in a server's words, "" when there is none."""
    found = STATUS.search(text[:2000])
    return found[0] if found else ""
