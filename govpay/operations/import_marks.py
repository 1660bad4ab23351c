"""Marks are keyed hashes that recognize imported rows. The journal keeps them, and never the tokens."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from django.conf import settings
from django.utils.crypto import salted_hmac

from govpay.client import tenant_shapes
from govpay.models.choices import OperationAction, OperationState
from govpay.models.operations import OPEN_STATES
from govpay.operations import journal


def mark_of(account_uid: str, row: tenant_shapes.ImportedMethod, secret: str | bytes | None = None) -> str:
    """Return the mark of a row. The same token of the same customer always has the same mark."""
    method = row.payment_method
    block = method.credit or method.ach
    text = f"{account_uid}\n{row.customer_reference_id}\n{block.fingerprint if block else ''}"
    mark = salted_hmac("govpay.import.row", text, secret=secret, algorithm="sha256").digest()[:12]
    return base64.urlsafe_b64encode(mark).decode()


def marks_of(account_uid: str, row: tenant_shapes.ImportedMethod) -> set[str]:
    """Return all possible marks of a row: with ``SECRET_KEY`` and with each of ``SECRET_KEY_FALLBACKS``."""
    return {mark_of(account_uid, row, secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)}


def recorded(account_uid: str) -> tuple[set[str], set[str]]:
    """Return the marks of the imported rows, and the marks of the rows whose outcome is not known."""
    entries = journal.entries().filter(action=OperationAction.IMPORT_METHODS, account=account_uid).order_by()
    texts = entries.exclude(row_marks="").values_list("row_marks", flat=True)
    done = texts.filter(state=OperationState.SUCCEEDED)
    return _split(done.iterator()), _split(texts.filter(state__in=OPEN_STATES).iterator())


def _split(texts: Iterable[str]) -> set[str]:
    return {mark for text in texts for mark in text.split()}
