"""Form fields for amounts and currencies that staff type, and their conversion to minor units."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.models.money import is_currency, read_amount, write_amount


def _with_example(text: Any, amount: int, currency: str) -> str:
    return str(text) % {"example": write_amount(amount, currency)}


#: Put an amount, as the active language writes it, into a text with ``%(example)s``. Takes text, amount and currency.
with_example: Any = lazy(_with_example, str)

#: Help text of the amount of a charge or a link.
WITHOUT_FEE = with_example(
    gettext_lazy("Such as %(example)s, without any fee: the platform adds its own."), 1234, "USD"
)


def amount_field(label: Any, help_text: Any = "") -> forms.CharField:
    """Return a text field for ``12.34``, read by ``minor_units``. A number field would round, accept ``1e3``, and
    follow the host's number formats.
    """
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    return forms.CharField(label=label, max_length=32, help_text=help_text, widget=widget)


def currency_field() -> forms.CharField:
    return forms.CharField(label=gettext_lazy("Currency"), max_length=3, min_length=3, initial="USD")


def minor_units(text: str, currency: str, least: int = 1) -> int:
    """Convert ``12.34`` to 1234 (``read_amount``). Raises ``ValidationError``, also below ``least`` minor units."""
    try:
        amount = read_amount(text, currency)
    except ValueError as error:
        raise ValidationError(str(error)) from None
    if amount < least:
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
