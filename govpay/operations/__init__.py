"""Deeds: local to remote to local. Everything here is keyword-only and journalled before it is sent.

The names are looked up when they are first used, so that a process that performs no deed need not load
the platform's client at its start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from govpay.operations.deeds import Seen
    from govpay.operations.payments import capture_payment, void_payment
    from govpay.operations.quotes import capturable_methods, quote_payment
    from govpay.operations.reconciliation import reconcile
    from govpay.operations.refunds import follow_refunds, refund_payment

__all__ = [
    "Seen",
    "capturable_methods",
    "capture_payment",
    "follow_refunds",
    "quote_payment",
    "reconcile",
    "refund_payment",
    "void_payment",
]

_WHERE = {
    "Seen": "deeds",
    "capturable_methods": "quotes",
    "capture_payment": "payments",
    "follow_refunds": "refunds",
    "quote_payment": "quotes",
    "reconcile": "reconciliation",
    "refund_payment": "refunds",
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
