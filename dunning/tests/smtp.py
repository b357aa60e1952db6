"""A real SMTP server on loopback that keeps what arrives; it refuses, hangs up or answers late as a test wants it.

    def test_…(smtp):                  # the fixture points Django's SMTP backend at it
        smtp.refuse("debtor@example.com")
        …
        (mail,) = smtp.mails           # email.message.EmailMessage, parsed from the bytes that came over the wire

dunning/tests/conftest.py gives the fixture to dunning's tests; others import it into their own conftest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller


@dataclass
class Received:
    """One transaction: who it was from and to, and the very bytes."""

    sender: str
    recipients: list[str]
    raw: bytes

    @property
    def mail(self) -> EmailMessage:
        parsed = message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass
class Mailbox:
    """The server's behaviour and what it received."""

    host: str = ""
    port: int = 0
    received: list[Received] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    answer_to_data: str = ""
    hangs_up_after_data: bool = False
    hangs_up_at_data: bool = False

    @property
    def mails(self) -> list[EmailMessage]:
        return [one.mail for one in self.received]

    def refuse(self, address: str) -> None:
        """550 at RCPT TO from now on."""
        self.refused.add(address)

    # -- aiosmtpd's hooks ----------------------------------------------------------------------------------------------

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return f"550 5.1.1 <{address}>: no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.hangs_up_at_data:
            server.transport.abort()
            return "421 going away"
        if self.answer_to_data:
            return self.answer_to_data
        self.received.append(Received(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        if self.hangs_up_after_data:  # it has the message, and never says so
            server.transport.abort()
        return "250 queued"


class _Server(Controller):
    """On a port that the system chose, which the base class does not ask for."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def smtp(settings: Any) -> Iterator[Mailbox]:
    """A server of this test's own on a free port; Django sends to it."""
    box = Mailbox()
    controller = _Server(box, hostname="127.0.0.1", port=0, enable_SMTPUTF8=False)
    controller.start()
    box.host, box.port = "127.0.0.1", controller.port
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = box.host, box.port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    yield box
    controller.stop(no_assert=True)
