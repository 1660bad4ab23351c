"""Reason codes of declines, returns and disputes: their meaning, the advice, and the deadline.

This is the only table of these codes. The texts are our own words and give only advice that the sources support:

- Returns: the Nacha Operating Rules, return reason codes (R01 to R85) with their time frames, the reinitiation rule
  and the rule on late returns. Left out: R40 to R47, which concern enrolments with federal agencies.
- Disputes: Visa Core Rules (conditions 10.1 to 13.8), Mastercard Chargeback Guide (48xx), American Express
  chargeback codes, Discover dispute rules. They give the acquirer 20 to 45 days to answer. A processor allows less
  time, and only its notice names the day.
- Declines: the platform's error codes (/api/operations/v1hosted-sessionssessionidchallengesend/) and the processor's
  result codes (docs.unipaygateway.com/test-data), which begin with D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from govpay.models.choices import TransactionType

#: The kind for declines in ``find_reason``. The other kinds are ``TransactionType`` values.
DECLINE = "decline"


@dataclass(frozen=True)
class Reason:
    """The meaning of a code, the advice (``do``) and the deadline (``by``), if there are any. All texts are lazy."""

    means: Any
    do: Any = ""
    by: Any = ""


def _by_code(*rows: tuple[str, Reason]) -> dict[str, Reason]:
    return {code.upper(): reason for codes, reason in rows for code in codes.split()}


# --- Returns by the payer's bank ------------------------------------------------------------------

_TWO_DAYS = _(
    "A bank has 2 banking days for such a return. If it took longer, tell your processor at once: a late return can "
    "be refused within 5 banking days."
)
_SIXTY_DAYS = _(
    "A bank has 60 calendar days for such a return. If it took longer, tell your processor at once: a late return can "
    "be refused within 5 banking days."
)
_TWO_ATTEMPTS = _("Two more attempts are allowed, within 180 days of the first one.")
_CORRECTED = _("Within 60 days of the return, a corrected debit needs no new authorization.")

_RETRY = _("Ask the payer to pay in another way, or charge the account again when the money is there.")
_OTHER_ACCOUNT = _("Do not charge this account again. Ask the payer for the right account, or to pay in another way.")
_UNAUTHORIZED = _(
    "Do not charge this account again. Find the authorization that you hold, and settle the matter with the payer."
)
_BEREAVED = _("Do not charge this account again. Ask the family or the new representative how it will be paid.")
_ASK_PROCESSOR = _("Ask your processor what has to be done.")
_ANOTHER_WAY = _("Ask the payer to pay in another way.")

_NO_MONEY = _("There was not enough money on the account.")

RETURNS = _by_code(
    ("R01", Reason(_NO_MONEY, _RETRY, _TWO_ATTEMPTS)),
    ("R02", Reason(_("The account is closed."), _OTHER_ACCOUNT, _TWO_DAYS)),
    ("R03", Reason(_("There is no such account, or it is not the payer's."), _OTHER_ACCOUNT, _TWO_DAYS)),
    ("R04", Reason(_("The account number is not valid."), _OTHER_ACCOUNT, _TWO_DAYS)),
    ("R05", Reason(_("A debit for businesses was made on a private account."), _UNAUTHORIZED, _SIXTY_DAYS)),
    ("R06", Reason(_("Your processor's bank asked for the return."), _ASK_PROCESSOR)),
    ("R07", Reason(_("The payer has withdrawn the authorization."), _UNAUTHORIZED, _SIXTY_DAYS)),
    (
        "R08",
        Reason(
            _("The payer had the bank stop this debit."),
            _("Ask the payer why. Charge the account again only if the payer authorizes it again."),
            _TWO_DAYS,
        ),
    ),
    ("R09", Reason(_("The money on the account had not cleared yet."), _RETRY, _TWO_ATTEMPTS)),
    ("R10", Reason(_("The payer says that the debit was not authorized."), _UNAUTHORIZED, _SIXTY_DAYS)),
    (
        "R11",
        Reason(
            _("The payer says that the debit differs from what was authorized, such as in its amount or day."),
            _("Compare the debit with the authorization, and charge the account again once the error is corrected."),
            _CORRECTED,
        ),
    ),
    ("R12", Reason(_("The account has moved to another bank."), _OTHER_ACCOUNT, _TWO_DAYS)),
    ("R13 R34", Reason(_("The payer's bank does not take part in such debits."), _OTHER_ACCOUNT)),
    ("R14", Reason(_("The representative of the account's owner has died or left."), _BEREAVED, _TWO_DAYS)),
    ("R15", Reason(_("The account's owner has died."), _BEREAVED, _TWO_DAYS)),
    ("R16", Reason(_("The account is frozen."), _ANOTHER_WAY, _TWO_DAYS)),
    (
        "R17",
        Reason(
            _("The bank could not process the debit, or found it suspicious."),
            _("Check the account with the payer before you charge it again."),
            _TWO_DAYS,
        ),
    ),
    ("R18 R19 R25 R26 R27 R35 R36", Reason(_("The debit was not in the form that banks demand."), _ASK_PROCESSOR)),
    ("R20", Reason(_("The account does not allow debits."), _OTHER_ACCOUNT, _TWO_DAYS)),
    (
        "R21 R22",
        Reason(
            _("The payer's bank does not recognize your identification number or the payer's."),
            _ASK_PROCESSOR,
            _TWO_DAYS,
        ),
    ),
    ("R23", Reason(_("The account's owner refused the money."), _("Ask the payer how to give it back."))),
    (
        "R24",
        Reason(
            _("The bank took the debit for a duplicate."),
            _("See whether the payer was charged twice, and charge again only what is owed."),
            _TWO_DAYS,
        ),
    ),
    ("R28", Reason(_("The routing number is not valid."), _OTHER_ACCOUNT)),
    ("R29", Reason(_("The business says that it did not authorize the debit."), _UNAUTHORIZED, _TWO_DAYS)),
    ("R30 R33 R37 R38 R39 R50 R51 R52 R53", Reason(_("The debit was made from a paper check."), _ASK_PROCESSOR)),
    ("R31", Reason(_("Your processor's bank agreed to the return."), _ASK_PROCESSOR)),
    ("R32", Reason(_("The payer's bank could not settle the debit."), _ASK_PROCESSOR)),
    (
        "R61 R62 R67 R68 R69 R70 R71 R72 R73 R74 R75 R76 R77",
        Reason(_("The banks disagree about an earlier return."), _ASK_PROCESSOR),
    ),
    ("R80 R81 R82 R83 R84 R85", Reason(_("The debit counts as an international one."), _ASK_PROCESSOR)),
)

# --- Disputes by the cardholder -------------------------------------------------------------------

_ANSWER_BY = _(
    "Card networks allow 20 to 45 days, and your processor asks for your answer earlier: its notice of the dispute "
    "names the day, which is not known here. Without an answer the dispute is lost."
)


def _dispute(means: Any, do: Any) -> Reason:
    return Reason(means, do, _ANSWER_BY)


_PAYER = _(
    "If the payer made it, answer with what shows it: whose bill was paid, that address and security code matched, and "
    "earlier payments with this card."
)
_TERMINAL = _("Answer with the terminal's record: the chip, the PIN or the signed receipt.")
_BILL = _("If the cardholder is right, accept the dispute. If not, answer with the bill and the receipt.")
_TWICE = _("If one bill was paid twice, accept the dispute. If not, answer with both payments and what each was for.")
_CANCELLED = _(
    "If it was cancelled in time, accept the dispute. If not, answer with the terms that the cardholder agreed to."
)
_PROVIDED = _("Answer with evidence that the service was provided as agreed: the bill, the address and the dates.")

DISPUTES = _by_code(
    ("10.4 4837 F24 F29 UA02", _dispute(_("The cardholder says that somebody else made this payment."), _PAYER)),
    (
        "10.1 10.2 10.3 4840 4870 4871 F10 F14 F30 F31 UA01 UA05 UA06 UA10 UA11",
        _dispute(_("The cardholder says that somebody else used the card, or a copy of it, at a terminal."), _TERMINAL),
    ),
    ("4863 AA", _dispute(_("The cardholder does not recognize this payment."), _PAYER)),
    (
        "10.5 4849 FR2 FR4 FR6",
        _dispute(
            _("The card network has put your payments under a monitoring program."),
            _("This dispute is unlikely to be won. Ask your processor what the program requires."),
        ),
    ),
    (
        "11.1 11.2 11.3 4807 4808 A01 A02 A08 AT DA NA EX",
        _dispute(
            _("The cardholder's bank says that it had not approved this payment."),
            _("Answer with the approval code and its day if there is one. If not, accept the dispute."),
        ),
    ),
    ("12.1 4842 P07 LP", _dispute(_("The payment reached the card network too late."), _ASK_PROCESSOR)),
    ("12.2 P03 P04 CD", _dispute(_("A refund was processed as a charge, or a charge as a refund."), _BILL)),
    ("12.3 4846 P23", _dispute(_("The currency is not the one that was agreed."), _BILL)),
    ("12.4 4812 P01 P22 IN", _dispute(_("The card number was wrong."), _ASK_PROCESSOR)),
    ("12.5 4831 P05 AW", _dispute(_("The amount is not the one that was agreed."), _BILL)),
    ("12.6 4834", _dispute(_("The cardholder says that it was charged twice or wrongly."), _TWICE)),
    ("12.6.1 P08 DP", _dispute(_("The cardholder says that it was charged twice."), _TWICE)),
    ("12.6.2 C14 PM", _dispute(_("The cardholder says that it was paid in another way as well."), _TWICE)),
    ("12.7", _dispute(_("The payment's data were wrong."), _ASK_PROCESSOR)),
    ("13.1 4855 C08 RG", _dispute(_("The cardholder says that what was paid for was not provided."), _PROVIDED)),
    ("13.2 4841 C28 AP", _dispute(_("The cardholder says that repeated payments had been ended."), _CANCELLED)),
    (
        "13.3 13.4 13.5 C31 C32 RM",
        _dispute(_("The cardholder says that what was paid for was not as described."), _PROVIDED),
    ),
    (
        "13.6 4860 C02 RN2",
        _dispute(
            _("The cardholder says that a promised refund did not come."),
            _("If it was refunded, answer with its day, amount and reference. If not, accept the dispute."),
        ),
    ),
    ("13.7 C04 C05", _dispute(_("The cardholder says that it was cancelled or given back."), _CANCELLED)),
    ("13.8", _dispute(_("The cardholder's bank did not accept a credit."), _ASK_PROCESSOR)),
    ("4859 C18", _dispute(_("The cardholder disputes an additional charge, or a no-show fee."), _CANCELLED)),
    (
        "4853 4854 NC",
        _dispute(
            _("The cardholder disputes what was paid for: not provided, not as described, cancelled or not refunded."),
            _("Ask your processor for the cardholder's letter, and answer what it says with the bill and the receipt."),
        ),
    ),
    (
        "R03 R13 IC",
        _dispute(
            _("A request for documents was not answered in time, or not legibly."),
            _("Send legible copies of the bill and the receipt to your processor."),
        ),
    ),
    ("M01", Reason(_("You agreed to this chargeback."))),
)

# --- Declines ---------------------------------------------------------------------------------------

_BANK = _("Ask the payer to pay in another way, or to speak with the bank.")
_CARD_AGAIN = _("Ask the payer to enter the card again.")
_LATER = _("Try again later. If it happens again, tell your processor.")
_OTHER_CARD = _("Do not try this card again. Ask the payer to pay in another way.")
_SITE = _("Tell the administrator of this site.")
_PAGE = _("Ask the payer to pay on a payment page, such as a payment link, where that can be done.")

DECLINES = _by_code(
    ("card_declined D01", Reason(_("The bank declined the card."), _BANK)),
    ("expired_card D16", Reason(_("The card has expired."), _("Ask the payer for the new card."))),
    ("D02", Reason(_("The card's expiry date is wrong."), _CARD_AGAIN)),
    ("incorrect_cvc D08", Reason(_("The security code did not match."), _CARD_AGAIN)),
    ("insufficient_funds D03", Reason(_NO_MONEY, _("Ask the payer to pay in another way, or later."))),
    ("D04", Reason(_("The bank asks to keep the card."), _OTHER_CARD)),
    ("D05", Reason(_("The card number is not valid."), _CARD_AGAIN)),
    ("D06", Reason(_("There is no such account."), _CARD_AGAIN)),
    ("D10", Reason(_("The card was reported lost or stolen."), _OTHER_CARD)),
    ("D18", Reason(_("The bank does not allow this amount."), _BANK)),
    ("D21", Reason(_("A wrong PIN was entered too often."), _BANK)),
    ("D29", Reason(_("The card may not be used for this payment."), _BANK)),
    ("processing_error D17 D27", Reason(_("The processor could not carry it out."), _LATER)),
    ("network_error", Reason(_("The processor could not be reached."), _LATER)),
    (
        "duplicate_payment D09",
        Reason(
            _("The same payment was made shortly before."),
            _("Look for that payment first, and charge again only what is owed."),
        ),
    ),
    ("already_confirmed", Reason(_("The payment had been made already."), _("Look for that payment first."))),
    ("validation_error", Reason(_("The platform did not accept the payment's data."), _SITE)),
    ("origin_not_allowed", Reason(_("The payment page stood on a site that is not registered."), _SITE)),
    ("insufficient_scope", Reason(_("The payment page was not made for payments."), _SITE)),
    ("session_expired", Reason(_("The payment page had been open for too long."), _("Ask the payer to start again."))),
    ("rate_limited", Reason(_("There were too many attempts."), _("Wait some minutes, then try again."))),
    ("challenge_required", Reason(_("The payer had to prove who they are."), _PAGE)),
    ("challenge_failed", Reason(_("The payer could not prove who they are."), _PAGE)),
)

#: The tables in which a code is looked up, by kind. A bank may decline a debit with the code of a return.
_TABLES: dict[str, tuple[dict[str, Reason], ...]] = {
    TransactionType.ACH_RETURN: (RETURNS,),
    TransactionType.CHARGEBACK: (DISPUTES,),
    TransactionType.CHARGEBACK_REVERSAL: (DISPUTES,),
    TransactionType.CAPTURE: (DECLINES, RETURNS),
    TransactionType.REFUND: (RETURNS, DECLINES),
    DECLINE: (DECLINES, RETURNS),
}
#: Kinds with advice: the payer's money was taken back or never came. The other kinds need no action.
_ADVISED = (TransactionType.ACH_RETURN, TransactionType.CHARGEBACK, DECLINE)


def find_reason(kind: str, code: str) -> Reason | None:
    """Return the reason for a ``code`` of a ``kind`` (a ``TransactionType`` or ``DECLINE``); ``None`` if unknown."""
    key = code.strip().upper()
    found = next((table[key] for table in _TABLES.get(kind, ()) if key in table), None)
    return found if found is None or kind in _ADVISED else Reason(found.means)


def reason_in_words(kind: str, code: str) -> str:
    """``There was not enough money on the account. (R01)``; an unknown code unchanged.

    A bank's code has a digit, and staff quote it to the bank. The platform's codes say nothing more than the words.
    """
    reason = find_reason(kind, code)
    if reason is None:
        return code
    return f"{reason.means} ({code.strip()})" if any(map(str.isdigit, code)) else str(reason.means)


def advice_on(kind: str, code: str) -> tuple[str, ...]:
    """Return the advice and the deadline: at most two sentences, none for an unknown code."""
    reason = find_reason(kind, code)
    return tuple(str(text) for text in (reason.do, reason.by) if text) if reason else ()
