"""Form fields for amounts and currencies that staff type, and their conversion to minor units."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.models.money import is_currency, to_minor


def amount_field(label: Any, help_text: Any = "") -> forms.CharField:
    """Return a text field for ``12.34``, read by ``minor_units``. A number field would round and accept ``1e3``."""
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    return forms.CharField(label=label, max_length=32, help_text=help_text, widget=widget)


def currency_field() -> forms.CharField:
    return forms.CharField(label=gettext_lazy("Currency"), max_length=3, min_length=3, initial="USD")


def minor_units(text: str, currency: str) -> int:
    """Convert ``12.34`` to 1234. Raises ``ValidationError`` if the amount is malformed, not exact or not above zero."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip()):
        raise ValidationError(_("Enter an amount such as 12.34, with a point and no other signs."))
    try:
        amount = to_minor(text, currency)
    except ValueError as error:
        raise ValidationError(str(error)) from None
    if amount <= 0:
        raise ValidationError(_("The amount must be more than nothing."))
    return amount


def clean_money(form: forms.Form, data: dict[str, Any]) -> None:
    """Convert ``amount`` in ``data`` to minor units and ``currency`` to upper case; add errors to the form."""
    currency = str(data.get("currency", "")).upper()
    data["currency"] = currency
    if currency and not is_currency(currency):
        form.add_error("currency", _("This is no currency that we know."))
    elif "amount" in data:
        try:
            data["amount"] = minor_units(data["amount"], currency)
        except ValidationError as error:
            form.add_error("amount", error)
