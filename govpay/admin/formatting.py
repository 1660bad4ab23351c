"""Format values for admin pages: badges, links to related rows, money, documents. All values are escaped here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import models
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from govpay.models import Operation, Payment, SavedPaymentMethod, Transaction
from govpay.models.choices import (
    EventState,
    Level,
    LinkState,
    MethodType,
    OperationAction,
    OperationState,
    PaymentFlag,
    PaymentStatus,
    RunState,
    SessionStatus,
    TransactionStatus,
    TransactionType,
)
from govpay.models.moments import format_moment
from govpay.models.money import format_money
from govpay.models.reasons import find_reason, reason_in_words

#: Shown if a value is missing or unknown.
EMPTY = "—"
#: Maximum length of a text in a list. The row's own page shows the whole text.
CLIPPED = 36
#: The whole words that fit. The non-breaking spaces inside an amount do not count as spaces between words.
WORDS_BEFORE_CUT = re.compile(r"(.*\S)[ \t\n]", re.DOTALL)
#: Maximum length of a document on a page, in characters.
DOCUMENT = 100_000

#: Types of transactions that take back money that was paid.
TAKES_MONEY = (TransactionType.CHARGEBACK, TransactionType.ACH_RETURN)

#: Colour of a badge by value. A badge always has a word too, because a colour alone has no meaning.
TONES: dict[str, str] = {
    PaymentStatus.VALIDATED: "wait",
    PaymentStatus.CAPTURED: "good",
    PaymentStatus.FAILED: "bad",
    PaymentStatus.VOIDED: "quiet",
    PaymentStatus.PARTIALLY_REFUNDED: "note",
    PaymentStatus.REFUNDED: "note",
    PaymentStatus.CHARGED_BACK: "bad",
    PaymentStatus.RETURNED: "bad",
    PaymentStatus.EXPIRED: "quiet",
    PaymentFlag.CHARGEBACK: "alarm",
    PaymentFlag.RETURN: "alarm",
    PaymentFlag.REVERSAL: "note",
    TransactionStatus.PENDING: "wait",
    TransactionStatus.SUCCEEDED: "good",
    SessionStatus.ACTIVE: "wait",
    SessionStatus.COMPLETED: "good",
    LinkState.OPEN: "wait",
    LinkState.PAID: "good",
    LinkState.CANCELLED: "quiet",
    EventState.RECEIVED: "wait",
    EventState.PROCESSED: "good",
    EventState.IGNORED: "quiet",
    OperationState.STARTED: "wait",
    OperationState.UNKNOWN: "alarm",
    RunState.RUNNING: "wait",
    RunState.UNPROVED: "note",
    RunState.INTERRUPTED: "note",
    Level.OK: "good",
    Level.WARNING: "wait",
    Level.ERROR: "alarm",
}

#: Shown instead of the status of a fee preview, which only its maker may capture. The platform has no such status.
FEE_PREVIEW = _("Fee shown, not charged")


def clip(text: Any, limit: int = CLIPPED) -> str | None:
    """Shorten a text for a list cell, between two words if possible. Return ``None`` for an empty string.

    A cut inside an amount would show another amount: ``$1`` instead of ``$1,234.00``.
    """
    if not text:
        return None
    whole = str(text)
    cut = Truncator(whole).chars(limit)
    if cut == whole:
        return whole
    words = WORDS_BEFORE_CUT.match(whole, endpos=limit - 1)
    return f"{words[1]} …" if words else cut


def badge(value: str, choices: type[models.TextChoices]) -> str | None:
    """Return a status as a coloured badge, or ``None`` if it is empty. An unknown value is shown clipped."""
    if not value:
        return None
    return _chip(TONES.get(value, "plain"), dict(choices.choices).get(value, clip(value)))


def _chip(tone: str, label: Any) -> str:
    return format_html('<span class="govpay-badge govpay-{}">{}</span>', tone, label)


def payment_badge(payment: Payment) -> str | None:
    """Return the payment's status as a badge; a fee preview has its own badge.

    Use rows from ``with_fee_preview`` in lists: otherwise each validated payment costs one more SQL statement.
    """
    if payment.is_fee_preview:
        return format_html('<span class="govpay-badge govpay-quiet">{}</span>', FEE_PREVIEW)
    return badge(payment.status, PaymentStatus)


def label_of(value: str, choices: type[models.TextChoices]) -> Any:
    """Return the label of a known value, or an unknown value clipped."""
    return dict(choices.choices).get(value, clip(value))


def action_label(operation: Operation) -> Any:
    """Return the label of the action, such as ``Refund`` or ``Void (fee preview)``."""
    label = label_of(operation.action, OperationAction)
    return _("%(action)s (fee preview)") % {"action": label} if operation.fee_preview else label


def moment(value: Any) -> str | None:
    """Return a date and time in short form with its zone, or ``None``."""
    return None if value is None else format_moment(value)


def dealt_with(row: Operation | Payment, what: str) -> str | None:
    """Return who marked the row's ``what``, a flag or a review reason, as dealt with last, and when, or ``None``."""
    who, at = getattr(row, f"{what}_cleared_by_name"), getattr(row, f"{what}_cleared_at")
    return " · ".join(filter(None, (clip(who), moment(at)))) or None


def reason_of(row: Transaction) -> str | None:
    """Return the platform's reason for a transaction and the meaning of the bank's code, or ``None``."""
    code = row.reason_code if find_reason(row.type, row.reason_code) else clip(row.reason_code)
    return " · ".join(filter(None, (clip(row.reason), code and reason_in_words(row.type, code)))) or None


def reason_cell(row: Transaction) -> str:
    """Return the reason of a transaction for a table on a page, in an element wide enough for a sentence."""
    return format_html('<div class="govpay-reason">{}</div>', reason_of(row) or EMPTY)


def transaction_badge(row: Transaction) -> str | None:
    """Return the status as a badge. A successful transaction that takes money back is not shown as a success."""
    if row.type in TAKES_MONEY and row.status == TransactionStatus.SUCCEEDED:
        return _chip("bad", _("Money taken back"))
    return badge(row.status, TransactionStatus)


def method_label(row: Payment | SavedPaymentMethod) -> str | None:
    """Return ``Visa ····1111``, or the known parts of it.

    A payment without ``last4`` has the label of its saved method, if that was joined.
    """
    if isinstance(row, Payment) and not row.last4:
        key: Any = row._meta.get_field("saved_method")
        saved = key.get_cached_value(row, default=None)
        if saved is not None:
            return method_label(saved)
    name = row.brand.replace("_", " ").title() or getattr(row, "bank_name", "")
    name = name or str(label_of(row.method_type, MethodType) or "")
    return clip(f"{name} ····{row.last4}".strip() if row.last4 else name)


def expiry(method: SavedPaymentMethod) -> str | None:
    """Return month and year of expiry, such as ``04/2027``, or ``None`` if unknown."""
    if method.exp_year is None or method.exp_month is None:
        return None
    return f"{method.exp_month:02d}/{method.exp_year}"


def page_of(row: models.Model) -> str:
    """Return the URL of a row's own page."""
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(row.pk)])


def list_of(model: type[models.Model], **filters: str) -> str:
    """Return the URL of a model's list, with filters."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def link_to(row: models.Model, text: Any = None) -> str:
    """Return a link to the row's own page. ``text`` is shown whole; without it, the row's name is shown clipped."""
    return format_html('<a href="{}">{}</a>', page_of(row), text or clip(row) or row.pk)


def relative(row: models.Model, name: str) -> str | None:
    """Return a link to the row behind a foreign key, or only its ``uid`` if that row has not been read yet.

    This makes no query: a related row that was not joined is linked by its ``uid``.
    """
    key: Any = row._meta.get_field(name)
    uid = getattr(row, key.attname)
    if not uid:
        return None
    if not key.is_cached(row):
        meta = key.related_model._meta
        address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(uid)])
        return format_html('<a href="{}?_to_field=uid">{}</a>', address, clip(uid))
    target = key.get_cached_value(row)
    if target is None:
        return format_html('<span class="govpay-missing" title="{}">{}</span>', _("Not read yet"), clip(uid))
    return link_to(target, method_label(target) if isinstance(target, SavedPaymentMethod) else None)


def document(value: Any) -> str | None:
    """Return a JSON document as HTML: indented, escaped, and cut after ``DOCUMENT`` characters."""
    if value in (None, {}, []):
        return None
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if len(text) > DOCUMENT:
        text = f"{text[:DOCUMENT]}\n…"
    return format_html('<pre class="govpay-document" tabindex="0">{}</pre>', text)


def column(label: Any, order: str | None = None) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Mark a method as a column of a list or a line of a page. ``order``: the database column to sort by.

    A missing value is shown as a dash, in lists and on pages. Otherwise Django's pages would print "None".
    """

    def decorate(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        @wraps(function)
        def shown(admin_: Any, row: Any) -> Any:
            value = function(admin_, row)
            return EMPTY if value is None or value == "" else value

        return admin.display(description=label, ordering=order)(shown)

    return decorate


def link_column(name: str, label: Any) -> Callable[[Any, Any], Any]:
    """Return a column with a link to the related row ``name``."""
    return column(label)(lambda admin_, row: relative(row, name))


def text_column(name: str, label: Any) -> Callable[[Any, Any], Any]:
    """Return a column with a text, which is clipped."""
    return column(label)(lambda admin_, row: clip(getattr(row, name)))


def moment_column(name: str, label: Any) -> Callable[[Any, Any], Any]:
    """Return a column with a date and time. Add it to ``sortable_by`` only if an index supports the order."""
    return column(label, order=name)(lambda admin_, row: moment(getattr(row, name)))


def money_column(name: str, label: Any) -> Callable[[Any, Any], Any]:
    """Return a column with an amount, from minor units and ``currency``. Name it ``…_money`` to align it right."""
    return column(label)(lambda admin_, row: format_money(getattr(row, name), row.currency))


def badge_column(name: str, label: Any, choices: type[models.TextChoices]) -> Callable[[Any, Any], Any]:
    """Return a column with a status badge."""
    return column(label)(lambda admin_, row: badge(getattr(row, name), choices))


def document_field(name: str, label: Any) -> Callable[[Any, Any], Any]:
    """Return an admin column, titled ``label``, that shows the JSON document in the field ``name``."""
    return column(label)(lambda admin_, row: document(getattr(row, name)))


@dataclass(frozen=True)
class Button:
    """A form that consists of one button and is sent by POST."""

    label: Any
    url: str
    #: Names and values of hidden fields.
    hidden: tuple[tuple[str, str], ...] = ()
    #: Whether the form has a field for a note.
    takes_note: bool = False


@dataclass(frozen=True)
class Table:
    """A table on a page. A cell is text, which is escaped, or safe HTML from the functions above."""

    title: Any
    heads: tuple[Any, ...]
    rows: list[tuple[Any, ...]]
    #: The text that is shown if there are no rows.
    empty: Any = ""
    #: Address and text of a link to the list of all rows.
    more: tuple[str, Any] | None = None
    #: Indexes of the columns that are aligned right, for amounts and counts.
    numeric: tuple[int, ...] = ()
    #: Rows with totals, one for each currency.
    foot: list[tuple[Any, ...]] = field(default_factory=list)
