"""Mends values that no column can store, so that a text typed by a payer cannot block a row (faults R13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from govpay.client.cards import looks_like_card
from govpay.client.values import TEXT_LENGTH, UNSTORABLE, BadValue, UnfitText

#: Properties that reject the row when their value is wrong, in addition to the uid and the amounts.
VITAL = frozenset({"status", "currency", "payment_uid"})

#: The objects inside a document that hold properties of a payment method.
_PARTS = ("payment_method", "credit", "ach", "wallet")

#: Maximum length of a wrong date that is kept in the stored document.
_MAX_DATE_LENGTH = 64


def is_vital(name: str) -> bool:
    """Return whether the row is rejected if this property or column has a wrong value."""
    return name in VITAL or name.endswith("amount")


def storable(text: str) -> str:
    """Return ``text`` with NUL and halves of surrogate pairs replaced by U+FFFD."""
    return UNSTORABLE.sub("\ufffd", text)


class Mending:
    """A document while its wrong values are mended one by one.

    ``read`` is the document for the columns: texts are mended or cut, other wrong values are null. ``shown`` is the
    document to store. It is the same, but keeps unreadable dates. Other wrong values are null there too, because they
    may be card numbers. ``names`` are the mended properties.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.read = self.shown = document
        self.names: set[str] = set()

    def mend(self, error: BadValue) -> bool:
        """Mend the property of ``error``. Returns ``False`` if it is vital or cannot be found."""
        name = error.field
        change: Callable[[Any], Any] = _fit if isinstance(error, UnfitText) else lambda value: None
        read = _changed(self.read, name, change)
        if is_vital(name) or read == self.read:
            return False
        self.read = read
        if name.endswith("_at") and not isinstance(error, UnfitText):
            change = _odd_date
        self.shown = _changed(self.shown, name, change)
        self.names.add(name)
        return True


def _odd_date(value: Any) -> Any:
    """Return ``value`` as it is shown to staff; ``None`` if it may be a card number or is not a text or number."""
    if not isinstance(value, str | int | float) or looks_like_card(str(value)[:_MAX_DATE_LENGTH]):
        return None
    return value[:_MAX_DATE_LENGTH] if isinstance(value, str) else value


def _fit(value: Any) -> Any:
    if isinstance(value, list):
        return [_fit(item) for item in value]
    return storable(value)[:TEXT_LENGTH] if isinstance(value, str) else value


def _changed(document: Mapping[str, Any], name: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return ``document`` with ``change`` applied to the property ``name``, also in the objects of a payment method."""
    return {
        key: change(value)
        if key == name
        else _changed(value, name, change)
        if key in _PARTS and isinstance(value, dict)
        else value
        for key, value in document.items()
    }
