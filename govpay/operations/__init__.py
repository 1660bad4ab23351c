"""Deeds: local to remote to local. Everything here is keyword-only and journalled before it is sent.

The names are looked up when they are first used, so that a process that performs no deed need not load
the platform's client at its start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from govpay.operations.customers import create_customer
    from govpay.operations.deeds import Seen
    from govpay.operations.imports import import_payment_methods
    from govpay.operations.links import cancel_payment_link, close_expired_links, create_payment_link, open_session
    from govpay.operations.payments import capture_payment, void_payment
    from govpay.operations.quotes import capturable_methods, quote_payment
    from govpay.operations.reconciliation import reconcile
    from govpay.operations.refunds import follow_refunds, refund_payment
    from govpay.operations.sessions import (
        create_hosted_session,
        create_wallet_session,
        expire_hosted_session,
        update_hosted_session,
    )
    from govpay.operations.wallets import remove_payment_method, save_payment_method, set_default_payment_method

__all__ = [
    "Seen",
    "cancel_payment_link",
    "capturable_methods",
    "capture_payment",
    "close_expired_links",
    "create_customer",
    "create_hosted_session",
    "create_payment_link",
    "create_wallet_session",
    "expire_hosted_session",
    "follow_refunds",
    "import_payment_methods",
    "open_session",
    "quote_payment",
    "reconcile",
    "refund_payment",
    "remove_payment_method",
    "save_payment_method",
    "set_default_payment_method",
    "update_hosted_session",
    "void_payment",
]

_WHERE = {
    "Seen": "deeds",
    "cancel_payment_link": "links",
    "capturable_methods": "quotes",
    "capture_payment": "payments",
    "close_expired_links": "links",
    "create_customer": "customers",
    "create_hosted_session": "sessions",
    "create_payment_link": "links",
    "create_wallet_session": "sessions",
    "expire_hosted_session": "sessions",
    "follow_refunds": "refunds",
    "import_payment_methods": "imports",
    "open_session": "links",
    "quote_payment": "quotes",
    "reconcile": "reconciliation",
    "refund_payment": "refunds",
    "remove_payment_method": "wallets",
    "save_payment_method": "wallets",
    "set_default_payment_method": "wallets",
    "update_hosted_session": "sessions",
    "void_payment": "payments",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
