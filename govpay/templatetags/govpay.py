"""``{{ amount|money:currency }}``: minor units, written in the active language."""

from __future__ import annotations

from django import template

from govpay.models.money import format_money

register = template.Library()


@register.filter
def money(amount: object, currency: object = "USD") -> str:
    """``1234|money:"USD"`` → ``$12.34``. What is no whole number of minor units becomes ``—``."""
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        return format_money(None, "")
    try:
        minor = int(amount)
    except ValueError:
        return format_money(None, "")
    return format_money(minor, str(currency or ""))
