"""Incoming mails as mail servers and people write them. Those in text are copies of real ones, with other names in."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

OURS = "<dunning.0191-aa@shop.example>"
ADDRESS = "dora@customer.example"


def answer(
    text: str = "I will pay on Friday.",
    *,
    to: str = "billing@shop.example",
    in_reply_to: str = OURS,
    message_id: str = "<answer-1@customer.example>",
    sender: str = f"Dora Debtor <{ADDRESS}>",
    html: str = "",
    **headers: str,
) -> EmailMessage:
    """What a person writes back. Names of `headers` have _ for -."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, "Re: Invoice NR-1 is still open"
    mail["Date"] = format_datetime(datetime(2026, 11, 20, 10, 0, tzinfo=UTC))
    if message_id:
        mail["Message-ID"] = message_id
    if in_reply_to:
        mail["In-Reply-To"] = mail["References"] = in_reply_to
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    if text:
        mail.set_content(text)
    if html:
        if text:
            mail.add_alternative(html, subtype="html")
        else:
            mail.set_content(html, subtype="html")
    return mail


# Postfix 3.x, RFC 3464, the mailbox does not exist.
POSTFIX = f"""\
Return-Path: <>
Received: by mx.shop.example (Postfix) id 4B2C21A0; Fri, 20 Nov 2026 10:00:02 +0000 (UTC)
Date: Fri, 20 Nov 2026 10:00:02 +0000 (UTC)
From: MAILER-DAEMON@mx.shop.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: billing@shop.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="7F0C31A1.1763632802/mx.shop.example"
Content-Transfer-Encoding: 8bit
Message-Id: <20261120100002.4B2C21A0@mx.shop.example>

This is a MIME-encapsulated message.

--7F0C31A1.1763632802/mx.shop.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.shop.example.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

<{ADDRESS}>: host mx.customer.example[203.0.113.9] said: 550 5.1.1
    <{ADDRESS}>: Recipient address rejected: User unknown in virtual
    mailbox table (in reply to RCPT TO command)

--7F0C31A1.1763632802/mx.shop.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.shop.example
X-Postfix-Queue-ID: 7F0C31A1
X-Postfix-Sender: rfc822; billing@shop.example
Arrival-Date: Fri, 20 Nov 2026 10:00:01 +0000 (UTC)

Final-Recipient: rfc822; {ADDRESS}
Original-Recipient: rfc822;{ADDRESS}
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.customer.example
Diagnostic-Code: smtp; 550 5.1.1 <{ADDRESS}>: Recipient address
    rejected: User unknown in virtual mailbox table

--7F0C31A1.1763632802/mx.shop.example
Content-Description: Undelivered Message
Content-Type: message/rfc822

Return-Path: <billing@shop.example>
Subject: Invoice NR-1 is still open
From: Shop <billing@shop.example>
To: {ADDRESS}
Message-ID: {OURS}
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"

Hello

--7F0C31A1.1763632802/mx.shop.example--
"""

# Postfix, a delay of four hours: nothing has failed yet.
POSTFIX_DELAY = (
    POSTFIX.replace("Action: failed", "Action: delayed")
    .replace("Status: 5.1.1", "Status: 4.4.1")
    .replace("smtp; 550 5.1.1", "smtp; 451 4.4.1")
    .replace("4B2C21A0@mx", "DELAYED0@mx")
    .replace("Undelivered Mail Returned to Sender", "Delayed Mail (still being retried)")
)

# Postfix when the mailbox is full: for good, and no fault of the address.
POSTFIX_FULL = POSTFIX.replace("5.1.1", "5.2.2").replace("4B2C21A0@mx", "FULL0000@mx")

# Exim 4.9x: a proper report, the headers of the original only.
EXIM = f"""\
Return-path: <>
Envelope-to: billing@shop.example
Received: from Debian-exim by mail.shop.example with local (Exim 4.96) id 1r4abc-0001; Fri, 20 Nov 2026 10:00:03 +0000
X-Failed-Recipients: {ADDRESS}
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mail.shop.example>
To: billing@shop.example
References: {OURS}
Content-Type: multipart/report; report-type=delivery-status; boundary=1763632803-eximdsn-1804289383
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1r4abc-0001@mail.shop.example>
Date: Fri, 20 Nov 2026 10:00:03 +0000

--1763632803-eximdsn-1804289383
Content-type: text/plain; charset=us-ascii

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  {ADDRESS}
    host mx.customer.example [203.0.113.9]
    SMTP error from remote mail server after RCPT TO:<{ADDRESS}>:
    550 No such user here

--1763632803-eximdsn-1804289383
Content-type: message/delivery-status

Reporting-MTA: dns; mail.shop.example

Action: failed
Final-Recipient: rfc822;{ADDRESS}
Status: 5.0.0
Remote-MTA: dns; mx.customer.example
Diagnostic-Code: smtp; 550 No such user here

--1763632803-eximdsn-1804289383
Content-type: text/rfc822-headers

Return-path: <billing@shop.example>
From: Shop <billing@shop.example>
To: {ADDRESS}
Subject: Invoice NR-1 is still open
Message-ID: {OURS}

--1763632803-eximdsn-1804289383--
"""

# Exim before 4.86, or with its own words: no machine-readable part, a header names who failed.
EXIM_OLD = f"""\
Return-path: <>
X-Failed-Recipients: {ADDRESS}
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mail.shop.example>
To: billing@shop.example
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1old-0001@mail.shop.example>
Date: Fri, 20 Nov 2026 10:00:03 +0000

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  {ADDRESS}
    Unrouteable address

------ This is a copy of the message, including all the headers. ------

Return-path: <billing@shop.example>
Message-ID: {OURS}
From: Shop <billing@shop.example>
To: {ADDRESS}
Subject: Invoice NR-1 is still open

Hello
"""

# Gmail as the sending side.
GMAIL = f"""\
Delivered-To: billing@shop.example
Return-Path: <>
Received: from localhost (localhost) by smtp-relay.example (gsmtp); Fri, 20 Nov 2026 02:00:05 -0800 (PST)
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
To: billing@shop.example
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
References: {OURS}
In-Reply-To: {OURS}
X-Failed-Recipients: {ADDRESS}
Message-ID: <655b1234.050a0220.aaaa.GMR@mx.google.com>
Date: Fri, 20 Nov 2026 02:00:05 -0800 (PST)
Content-Type: multipart/report; boundary="000000000000aaaa"; report-type=delivery-status

--000000000000aaaa
Content-Type: multipart/related; boundary="000000000000bbbb"

--000000000000bbbb
Content-Type: multipart/alternative; boundary="000000000000cccc"

--000000000000cccc
Content-Type: text/plain; charset="UTF-8"

** Address not found **

Your message wasn't delivered to {ADDRESS} because the address couldn't be found, or is unable to receive mail.

--000000000000cccc
Content-Type: text/html; charset="UTF-8"

<html><body><h2>Address not found</h2></body></html>

--000000000000cccc--
--000000000000bbbb--
--000000000000aaaa
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com
Received-From-MTA: dns; billing@shop.example
Arrival-Date: Fri, 20 Nov 2026 02:00:04 -0800 (PST)
X-Original-Message-ID: {OURS}

Final-Recipient: rfc822; {ADDRESS}
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.customer.example. (203.0.113.9, the server for the domain customer.example.)
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try
 550-5.1.1 double-checking the recipient's email address for typos or
 550 5.1.1 unnecessary spaces.
Last-Attempt-Date: Fri, 20 Nov 2026 02:00:05 -0800 (PST)

--000000000000aaaa
Content-Type: message/rfc822

Message-ID: {OURS}
From: Shop <billing@shop.example>
To: {ADDRESS}
Subject: Invoice NR-1 is still open

Hello

--000000000000aaaa--
"""

# A complaint as RFC 5965 prints it (its appendix B.2), with our message in.
COMPLAINT = f"""\
From: <abusedesk@mailbox.example>
Date: Fri, 20 Nov 2026 12:00:00 +0000
Subject: FW: Invoice NR-1 is still open
To: <abuse@shop.example>
Message-ID: <20261120120000.arf@mailbox.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
     boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report for an email message received from IP
203.0.113.67 on Fri, 20 Nov 2026 10:00:00 +0000.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <billing@shop.example>
Original-Rcpt-To: <redacted@mailbox.example>
Received-Date: Fri, 20 Nov 2026 10:00:00 +0000
Source-IP: 203.0.113.67
Reported-Domain: shop.example

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

From: Shop <billing@shop.example>
To: <redacted@mailbox.example>
Subject: Invoice NR-1 is still open
Message-ID: {OURS}

Hello

--part1_13d.2e68ed54_boundary--
"""

NOT_SPAM = COMPLAINT.replace("Feedback-Type: abuse", "Feedback-Type: not-spam").replace("arf@", "arf-not@")
OPT_OUT = COMPLAINT.replace("Feedback-Type: abuse", "Feedback-Type: opt-out").replace("arf@", "arf-opt@")

# Exchange's answer while somebody is away.
VACATION = f"""\
From: Dora Debtor <{ADDRESS}>
To: billing@shop.example
Subject: Automatic reply: Invoice NR-1 is still open
Message-ID: <oof-1@customer.example>
In-Reply-To: {OURS}
References: {OURS}
Auto-Submitted: auto-generated
X-Auto-Response-Suppress: All
Content-Type: text/plain; charset="utf-8"

I am away until Monday.
"""

READ_RECEIPT = f"""\
From: Dora Debtor <{ADDRESS}>
To: billing@shop.example
Subject: Read: Invoice NR-1 is still open
Message-ID: <read-1@customer.example>
In-Reply-To: {OURS}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=disposition-notification; boundary="mdn"

--mdn
Content-Type: text/plain

Your message was read.

--mdn
Content-Type: message/disposition-notification

Final-Recipient: rfc822; {ADDRESS}
Original-Message-ID: {OURS}
Disposition: manual-action/MDN-sent-manually; displayed

--mdn--
"""


def wire(text: str) -> bytes:
    """As it comes over the wire: lines end in CR LF."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()
