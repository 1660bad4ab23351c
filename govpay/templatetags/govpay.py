"""Filters and tags.

The filters ``money`` and ``moment`` format amounts and times. The tags ``govpay_payment`` and ``govpay_wallet`` render
the components; one tag is for the admin's pages.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.db.models import Model

from govpay import conf
from govpay.models import HostedSession
from govpay.models.moments import format_moment
from govpay.models.money import format_money
from govpay.models.people import count_kept

register = template.Library()

#: Optional attributes of ``<govifi-payment>``; /component/attributes/, /component/theming/.
PAYMENT_ATTRIBUTES = (
    *("setup_future_usage", "disable_ach", "disable_credit_card", "cvv_recheck", "management_mode"),
    *("new_method_only", "ach_sec_code", "theme", "accent", "font"),
)
#: Attributes that ``<govifi-wallet>`` shares with it. Its own attributes are not documented.
WALLET_ATTRIBUTES = ("theme", "accent", "font")


@register.filter
def money(amount: object, currency: object = "USD") -> str:
    """Format minor units: ``1234|money:"USD"`` → ``$12.34``. A value that is not a whole number becomes ``—``."""
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        return format_money(None, "")
    try:
        minor = int(amount)
    except ValueError:
        return format_money(None, "")
    return format_money(minor, str(currency or ""))


@register.filter
def moment(value: Any) -> str:
    """Format a time in the active time zone, with the zone: ``11/28/2026 8:53 p.m. UTC``. ``None`` is empty."""
    return "" if value is None else format_moment(value)


@register.inclusion_tag("govpay/component/element.html")
def govpay_payment(session: HostedSession, **options: Any) -> dict[str, Any]:
    """Render the payment component and its script: ``{% govpay_payment session disable_ach=True theme="dark" %}``.

    ``options`` are the documented attributes, written with underscores. The session must be open. Raises
    ``TemplateSyntaxError`` for an attribute that the component does not have.
    """
    return _element("govifi-payment", session, PAYMENT_ATTRIBUTES, options)


@register.inclusion_tag("govpay/component/element.html")
def govpay_wallet(session: HostedSession, **options: Any) -> dict[str, Any]:
    """Render the component in which a customer manages saved methods: ``{% govpay_wallet session %}``.

    /component/wallet/. Raises the same error as ``govpay_payment``.
    """
    return _element("govifi-wallet", session, WALLET_ATTRIBUTES, options)


@register.inclusion_tag("govpay/admin/kept_names.html")
def govpay_kept_names(users: Any) -> dict[str, Any]:
    """Render what remains when ``users``, one user or a queryset, are deleted: ``{% govpay_kept_names object %}``."""
    chosen = [users] if isinstance(users, Model) else users
    return {"counts": count_kept(chosen)}


def _element(name: str, session: HostedSession, known: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    for each in options:
        if each not in known:
            raise template.TemplateSyntaxError(f"<{name}> has no attribute {each!r}; it has {', '.join(known)}.")
    credential: Any = session.credential
    attributes = [("session-id", session.uid)]
    if credential is not None:
        # The vendor's pages that we know do not name this attribute. It holds the session's client_secret.
        attributes.append(("client-secret", credential.reveal()))
    for each, value in options.items():
        if value is not None:
            attributes.append((each.replace("_", "-"), str(value).lower() if isinstance(value, bool) else str(value)))
    return {
        "name": name,
        "attributes": attributes,
        "script": conf.get("COMPONENT_SCRIPT_URL"),
        "integrity": conf.get("COMPONENT_SCRIPT_INTEGRITY"),
    }
