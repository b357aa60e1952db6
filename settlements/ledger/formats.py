"""How the journal is written: our own CSV, QuickBooks Online's journal entries, and Beancount's language.

Each takes entries in order, and what of an entry's postings is to be written (all of them), and gives text piece by
piece.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billingops.admin.export import cell
from billingops.money import minor_digits
from settlements.ledger.accounts import Account
from settlements.ledger.models import JournalEntry, Posting

Lines = Callable[[JournalEntry], Iterable[Posting]]


def every_posting(entry: JournalEntry) -> Iterable[Posting]:
    return entry.postings.all()


@dataclass(frozen=True)
class Format:
    """`per_currency`: the form has no column for a currency, so one file holds one. `platform_book_only`: it has no
    way to keep the books of connected accounts apart from the platform's. `whole_entries`: what reads it refuses an
    entry that does not add up, so it is not for those who are shown a part."""

    name: str
    label: str
    extension: str
    content_type: str
    write: Callable[..., Iterator[str]]  # (entries, lines=every_posting)
    per_currency: bool = False
    platform_book_only: bool = False
    whole_entries: bool = True


def decimal_of(amount: int, currency: str) -> Decimal:
    """`-13303, usd` → -133.03; as many digits as the currency has, none for jpy, three for kwd."""
    return Decimal(amount).scaleb(-minor_digits(currency))


class _Echo:
    def write(self, line: str) -> str:
        return line


def _row(writer: Any, values: Iterable[Any]) -> str:
    return str(writer.writerow([cell(value) for value in values]))


# -- CSV ---------------------------------------------------------------------------------------------------------------

CSV_HEADER = (
    *("entry", "key", "kind", "book", "occurred_at", "posted_at", "source", "balance_transaction", "text", "corrects"),
    *("posting", "account", "account_name", "seller", "invoice", "currency", "debit", "credit", "amount_minor"),
)


def write_csv(entries: Iterable[JournalEntry], lines: Lines = every_posting) -> Iterator[str]:
    """A row a posting, all books and currencies. Debit and credit in the currency's own units; `amount_minor` in its
    minor units, debits positive."""
    writer = csv.writer(_Echo())
    yield _row(writer, CSV_HEADER)
    for entry in entries:
        when = (entry.occurred_at, entry.posted_at)
        at_stripe = (entry.source, entry.balance_transaction)
        head = (entry.pk, entry.key, entry.kind, entry.book, *when, *at_stripe, entry.text, entry.corrects_id)
        for posting in lines(entry):
            sides = _sides(posting.amount, posting.currency)
            name = posting.get_account_display()
            of = (posting.pk, posting.account, name, posting.seller, posting.invoice, posting.currency.upper())
            yield _row(writer, (*head, *of, *sides, posting.amount))


def _sides(amount: int, currency: str) -> tuple[Decimal | None, Decimal | None]:
    value = decimal_of(abs(amount), currency)
    return (value, None) if amount > 0 else (None, value)


# -- QuickBooks Online -------------------------------------------------------------------------------------------------

QUICKBOOKS_HEADER = ("Journal No.", "Journal Date", "Account Name", "Description", "Debits", "Credits")


def journal_number(entry: JournalEntry) -> str:
    """20 characters of the entry's id: its time, and enough of its randomness. QuickBooks takes 21."""
    text = entry.pk.hex
    return text[:12] + text[13:16] + text[-5:]


def write_quickbooks(entries: Iterable[JournalEntry], lines: Lines = every_posting) -> Iterator[str]:
    """For Settings → Import data → Journal entries, one currency a file. A row a posting; rows of one number are one
    entry; debit or credit is filled, the other blank; no thousands separators.

    Account names are the chart's (accounts.py): make them in QuickBooks first, as accounts of other types than
    Accounts receivable and Accounts payable (those ask for a customer or supplier on every line), and turn account
    numbers off while importing.

    Columns: https://quickbooks.intuit.com/learn-support/en-au/help-article/import-export-files/import-journal-entries-quickbooks-online/L4tQBwbs7_AU_en_AU
    Dates as MM/DD/YYYY, which the import's settings name; a journal number of at most 21 characters:
    https://support.transactionpro.com/kb/article/492-journal-entry-import-fields-for-transaction-pro-online/
    Both read 2026-11.
    """
    writer = csv.writer(_Echo())
    yield _row(writer, QUICKBOOKS_HEADER)
    for entry in entries:
        number, day = journal_number(entry), f"{entry.occurred_at:%m/%d/%Y}"
        for posting in lines(entry):
            of = (entry.text or entry.get_kind_display(), entry.source, posting.invoice, posting.seller)
            description = " · ".join(part for part in of if part)
            sides = _sides(posting.amount, posting.currency)
            yield _row(writer, (number, day, posting.get_account_display(), description, *sides))


# -- Beancount ---------------------------------------------------------------------------------------------------------

BEANCOUNT_ACCOUNTS = {
    Account.CASH: "Assets:Stripe",
    Account.BANK: "Assets:Bank",
    Account.RECEIVABLE: "Assets:Receivable",
    Account.REVERSAL: "Assets:Reversals",
    Account.SELLER_PAYABLE: "Liabilities:Sellers:Payable",
    Account.RESERVE: "Liabilities:Sellers:Reserve",
    Account.DISPUTE: "Liabilities:Sellers:Disputes",
    Account.TAX_WITHHELD: "Liabilities:TaxWithheld",
    Account.SALES_TAX: "Liabilities:SalesTax",
    Account.PLATFORM_REVENUE: "Income:Platform",
    Account.STRIPE_FEES: "Expenses:StripeFees",
    Account.SETTLED: "Income:Settled",
    Account.SUSPENSE: "Equity:Suspense",
    Account.WRITE_OFF: "Expenses:WrittenOff",
}


def write_beancount(entries: Iterable[JournalEntry], lines: Lines = every_posting) -> Iterator[str]:
    """Transactions of all books and currencies; a connected account's book has accounts of its own, named after it.

    A file loads by itself, and those of several months together: accounts are opened by Beancount's own plug-in
    `auto_accounts`, for an `open` in each file would clash. Beancount runs the plug-ins of the file that it is given,
    not of those that it includes, so a file that includes these needs the plug-in, or `open` lines of its own.
    Language: https://beancount.github.io/docs/beancount_language_syntax.html (read 2026-11): accounts are words of
    letters, digits and dashes that begin with a capital or a digit, texts stand in double quotes, metadata keys begin
    with a small letter. The tests read the file back with Beancount itself.
    """
    yield "; The journal of BillingOps. Check it with bean-check. A file that includes it needs the plug-in, too.\n"
    yield 'option "title" "BillingOps"\nplugin "beancount.plugins.auto_accounts"\n'
    for entry in entries:
        texts = [f'\n{entry.occurred_at:%Y-%m-%d} * "{_quoted(entry.text or entry.get_kind_display())}"']
        about = {"key": entry.key, "kind": entry.kind, "source": entry.source, "seller": entry.seller}
        about |= {"balance-transaction": entry.balance_transaction, "book": entry.book}
        texts += [f'  {name}: "{_quoted(value)}"' for name, value in about.items() if value]
        for posting in lines(entry):
            account = BEANCOUNT_ACCOUNTS[Account(posting.account)]
            account += f":{_word(entry.book)}" if entry.book else ""
            texts.append(f"  {account}  {decimal_of(posting.amount, posting.currency):f} {posting.currency.upper()}")
            notes = {"seller": posting.seller, "invoice": posting.invoice}
            texts += [f'    {name}: "{_quoted(value)}"' for name, value in notes.items() if value]
        yield "\n".join(texts) + "\n"


def _quoted(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _word(text: str) -> str:
    """`acct_1AbC` → `Acct-1AbC`."""
    word = re.sub(r"[^A-Za-z0-9-]", "-", text)
    return word[:1].upper() + word[1:]


FORMATS = {
    one.name: one
    for one in (
        Format("csv", "CSV, a row a posting", ".csv", "text/csv; charset=utf-8", write_csv, whole_entries=False),
        Format(
            "quickbooks",
            "QuickBooks Online, journal entries",
            ".csv",
            "text/csv; charset=utf-8",
            write_quickbooks,
            per_currency=True,
            platform_book_only=True,
        ),
        Format("beancount", "Beancount", ".beancount", "text/plain; charset=utf-8", write_beancount),
    )
}
