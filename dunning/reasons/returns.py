"""The banks' return codes of direct debits, as Stripe passes them on in `network_decline_code`.

ACH (Nacha's R01 to R85), SEPA (ISO 20022 reasons of rejects, returns and refunds), Bacs (ARUDD), pre-authorised debits
in Canada and BECS. Codes that only a bank or a government payment can get are left out. Whatever is not lack of funds
asks for something of the customer first: Nacha's rules forbid to present it again, and Stripe blocks the account.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from dunning.reasons.rows import NETWORK_CODES, Category, Family, Fixer, Reason, Told, keyed

ACH_CODES = (
    "Nacha's return codes, as published by processors: https://apidocs.paynearme.com/devdocs/docs/ach-return-codes"
)
ACH_LATE_CODES = (
    "Nacha's return codes, as published by processors: https://docs.grailpay.com/docs/resources/return-codes/"
)
SEPA_CODES = "EPC173-14, Guidance on reason codes for SEPA Direct Debit R-transactions, as published by processors: https://documentation.lemonway.com/reference/sepa-error-codes"
SEPA_MORE = "EPC173-14, as published by processors: https://support.slimpay.com/hc/es/articles/115001437645-What-are-the-main-Payment-incidents-codes-in-SEPA-R-Transactions-"
BACS_CODES = "https://docs.numeral.io/reference/bacs-reason-codes"
PAD_CODES = "Payments Canada, Standard 007: https://vopay.com/learn/eft-return-codes/"
BECS_CODES = "https://help.online.anz.com/hc/en-au/articles/21180612804249-Direct-Debit-FAQs"
_LATER, _CONTESTED, _CUSTOMER = Category.LATER, Category.CONTESTED, Category.CUSTOMER
_SOON, _HARD, _OURS = Category.SOON, Category.HARD, Category.OURS
_A_DAY = timedelta(days=1)
_USUAL = {
    _SOON: Told.TRY_AGAIN,
    _LATER: Told.INSUFFICIENT_FUNDS,
    _CONTESTED: Told.DECLINED,
    _CUSTOMER: Told.CONTACT_BANK,
    _HARD: Told.BANK_DETAILS,
    _OURS: Told.NOTHING,
}


def _of(scheme: str, usual_source: str) -> Callable[..., Reason]:
    def row(
        code: str, category: Category, words: str, told: Told | None = None, source: str = "", *, person: bool = False
    ) -> Reason:
        """`person`: it must not be said, and somebody of ours has to look at it."""
        return Reason(
            code,
            category,
            Told.DECLINED if person else told or _USUAL[category],
            words,
            source or usual_source,
            Family.DEBIT,
            scheme,
            secret=person,
            wait=_A_DAY if category in (_LATER, _CONTESTED) else None,
            fixer=Fixer.US if person else None,
        )

    return row


_ach, _sepa, _bacs = _of("us_bank_account", ACH_CODES), _of("sepa_debit", SEPA_CODES), _of("bacs_debit", BACS_CODES)
_pad = _of("acss_debit", PAD_CODES)
_DIED = "the account holder may have died: a person must look at it"
_FORMAT = "a fault in the message we sent"

ACH: dict[str, Reason] = keyed(
    _ach("R01", _LATER, "insufficient funds", source=NETWORK_CODES),
    _ach("R02", _HARD, "the account is closed", source=NETWORK_CODES),
    _ach("R03", _HARD, "the account cannot be found", source=NETWORK_CODES),
    _ach("R04", _HARD, "the account number is invalid", source=NETWORK_CODES),
    _ach("R05", _HARD, "a consumer's account was debited as a company's", Told.MANDATE, NETWORK_CODES),
    _ach("R06", _OURS, "our own bank asked to have it back"),
    _ach("R07", _HARD, "the customer has revoked the authorisation", Told.MANDATE, NETWORK_CODES),
    _ach("R08", _HARD, "the customer has stopped the payment", Told.MANDATE, NETWORK_CODES),
    _ach("R09", _LATER, "the funds in the account are not collected yet", source=NETWORK_CODES),
    _ach("R10", _HARD, "the customer says it was not authorised", Told.MANDATE, NETWORK_CODES),
    _ach("R11", _HARD, "the customer says it is not what was authorised", Told.MANDATE, NETWORK_CODES),
    _ach("R12", _HARD, "the account was sold to another bank"),
    _ach("R13", _HARD, "the bank does not take part in ACH"),
    _ach("R14", _HARD, _DIED, person=True),
    _ach("R15", _HARD, _DIED, source=NETWORK_CODES, person=True),
    _ach("R16", _HARD, "the account is frozen", Told.CONTACT_BANK, NETWORK_CODES),
    _ach("R17", _OURS, "the bank found a fault, or finds it suspicious"),
    _ach("R18", _OURS, "the date of the entry is wrong"),
    _ach("R19", _OURS, "the amount is wrong"),
    _ach("R20", _HARD, "the account does not allow debits", Told.CONTACT_BANK, NETWORK_CODES),
    _ach("R21", _OURS, "the company's number is invalid"),
    _ach("R22", _OURS, "the customer's number is invalid"),
    _ach("R23", _HARD, "the customer refused it", Told.MANDATE),
    _ach("R24", _OURS, "sent twice"),
    _ach("R25", _OURS, _FORMAT),
    _ach("R26", _OURS, "a mandatory field is wrong"),
    _ach("R27", _OURS, "the trace number is wrong"),
    _ach("R28", _HARD, "the routing number is wrong"),
    _ach("R29", _HARD, "the company says it was not authorised, or its bank does not know us", Told.MANDATE),
    _ach("R30", _OURS, "the bank does not take converted cheques"),
    _ach("R31", _HARD, "the bank and ours have agreed to return it", Told.MANDATE, NETWORK_CODES),
    _ach("R33", _HARD, "the bank returns it at its discretion", Told.CONTACT_BANK),
    _ach("R34", _HARD, "the bank takes part in ACH only in part", source=ACH_LATE_CODES),
    _ach("R37", _HARD, "the cheque behind it was presented, too", Told.CONTACT_BANK, ACH_LATE_CODES),
    _ach("R38", _HARD, "a stop payment on the cheque behind it", Told.MANDATE, ACH_LATE_CODES),
    _ach("R39", _OURS, "an improper source document", source=ACH_LATE_CODES),
    _ach("R51", _OURS, "the entry for a returned cheque is not eligible", source=ACH_LATE_CODES),
    _ach("R52", _HARD, "a stop payment on the entry", Told.MANDATE, ACH_LATE_CODES),
    _ach("R53", _HARD, "the cheque behind it was presented, too", Told.CONTACT_BANK, ACH_LATE_CODES),
    _ach("R61", _OURS, "a return went to the wrong bank", source=ACH_LATE_CODES),
    _ach("R67", _OURS, "returned twice", source=ACH_LATE_CODES),
    _ach("R68", _OURS, "returned too late", source=ACH_LATE_CODES),
    _ach("R69", _OURS, "a return with wrong fields", source=ACH_LATE_CODES),
    _ach("R70", _OURS, "a return that nobody had agreed to", source=ACH_LATE_CODES),
    _ach("R80", _OURS, "a fault in an international entry", source=ACH_LATE_CODES),
    _ach("R81", _HARD, "the bank takes no international entries", source=ACH_LATE_CODES),
    _ach("R82", _HARD, "the foreign bank's number is invalid", source=ACH_LATE_CODES),
    _ach("R83", _HARD, "the foreign bank cannot settle it", Told.CONTACT_BANK, ACH_LATE_CODES),
    _ach("R84", _OURS, "the gateway did not process it", source=ACH_LATE_CODES),
    _ach("R85", _OURS, "an international payment sent as a domestic one", source=ACH_LATE_CODES),
)
SEPA: dict[str, Reason] = keyed(
    _sepa("AC01", _HARD, "the IBAN is incorrect"),
    _sepa("AC04", _HARD, "the account is closed"),
    _sepa("AC06", _HARD, "the account is blocked", Told.CONTACT_BANK),
    _sepa("AC13", _HARD, "the account is a consumer's, the scheme is for companies", source=NETWORK_CODES),
    _sepa("AG01", _HARD, "the account does not allow direct debits", Told.CONTACT_BANK, SEPA_MORE),
    _sepa("AG02", _OURS, _FORMAT, source=SEPA_MORE),
    _sepa("AM04", _LATER, "insufficient funds"),
    _sepa("AM05", _OURS, "sent twice"),
    _sepa("BE05", _HARD, "the bank does not recognise the creditor", Told.MANDATE, NETWORK_CODES),
    _sepa("CNOR", _OURS, "our own bank is not registered", source=SEPA_MORE),
    _sepa("DNOR", _HARD, "the customer's bank is not registered", source=SEPA_MORE),
    _sepa("DUPL", _OURS, "sent twice", source=SEPA_MORE),
    _sepa("ED05", _SOON, "it could not be settled", source=SEPA_MORE),
    _sepa("FF01", _OURS, _FORMAT, source=SEPA_MORE),
    _sepa("FF05", _OURS, _FORMAT, source=SEPA_MORE),
    _sepa("FOCR", _OURS, "recalled by our own bank", source=SEPA_MORE),
    _sepa("MD01", _HARD, "there is no mandate, or it was cancelled", Told.MANDATE, SEPA_MORE),
    _sepa("MD02", _HARD, "the mandate's data are missing or incorrect", Told.MANDATE, NETWORK_CODES),
    _sepa("MD06", _HARD, "the customer had the debit refunded by their bank", Told.DECLINED),
    _sepa("MD07", _HARD, _DIED, person=True),
    _sepa("MS02", _CUSTOMER, "the customer refused it and gives no reason"),
    _sepa("MS03", _CONTESTED, "the bank gives no reason, often lack of funds"),
    _sepa("RC01", _HARD, "the bank's identifier is incorrect", source=NETWORK_CODES),
    _sepa("RR01", _CUSTOMER, "the account holder's identification is missing", Told.BANK_DETAILS, NETWORK_CODES),
    _sepa("RR02", _CUSTOMER, "the account holder's name or address is missing", Told.BANK_DETAILS, NETWORK_CODES),
    _sepa("RR03", _OURS, "the creditor's name or address is missing", source=NETWORK_CODES),
    _sepa("RR04", _HARD, "a regulation forbids it", Told.CONTACT_BANK, SEPA_MORE),
    _sepa("SL01", _HARD, "the customer's bank blocks the creditor or the amount", Told.CONTACT_BANK, SEPA_MORE),
    _sepa("TECH", _SOON, "a technical fault", source=SEPA_MORE),
)
BACS: dict[str, Reason] = keyed(
    _bacs("0", _LATER, "the bank refers to the payer, mostly lack of funds"),
    _bacs("1", _HARD, "the payer has cancelled the instruction", Told.MANDATE),
    _bacs("2", _HARD, _DIED, person=True),
    _bacs("3", _HARD, "the account was moved to another bank"),
    _bacs("4", _CUSTOMER, "the payer disputes the advance notice", Told.DECLINED),
    _bacs("5", _HARD, "there is no such account"),
    _bacs("6", _HARD, "there is no instruction", Told.MANDATE),
    _bacs("7", _CUSTOMER, "the amount differs from the notice", Told.DECLINED),
    _bacs("8", _OURS, "the amount is not due yet"),
    _bacs("9", _OURS, "presented too late"),
    _bacs("A", _OURS, "the service user differs"),
    _bacs("B", _HARD, "the account is closed"),
)
PAD: dict[str, Reason] = keyed(
    _pad("900", _OURS, _FORMAT),
    _pad("901", _LATER, "insufficient funds"),
    _pad("902", _HARD, "the account cannot be found"),
    _pad("903", _HARD, "the customer has stopped the payment", Told.MANDATE),
    _pad("904", _OURS, "the date is invalid"),
    _pad("905", _HARD, "the account is closed"),
    _pad("907", _HARD, "the account does not allow debits", Told.CONTACT_BANK),
    _pad("908", _LATER, "the funds in the account are not cleared"),
    _pad("909", _HARD, "the account is in another currency"),
    _pad("910", _HARD, _DIED, person=True),
    _pad("911", _HARD, "the account is frozen", Told.CONTACT_BANK),
    _pad("912", _HARD, "the account number is invalid or incorrect"),
)


def _becs(scheme: str) -> dict[str, Reason]:
    row = _of(scheme, BECS_CODES)
    return keyed(
        row("1", _HARD, "the bank's number is invalid"),
        row("2", _HARD, "the customer has stopped the payment", Told.MANDATE),
        row("3", _HARD, "the account is closed"),
        row("4", _HARD, _DIED, person=True),
        row("5", _HARD, "there is no such account"),
        row("6", _LATER, "the bank refers to the customer, mostly lack of funds"),
        row("8", _OURS, "the platform's number is invalid"),
        row("9", _HARD, "the account cannot be debited this way"),
    )


RETURNS: dict[str, dict[str, Reason]] = {
    "us_bank_account": ACH,
    "sepa_debit": SEPA,
    "bacs_debit": BACS,
    "acss_debit": PAD,
    "au_becs_debit": _becs("au_becs_debit"),
    "nz_bank_account": _becs("nz_bank_account"),
}
