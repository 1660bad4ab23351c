"""Operations: local to remote to local. Every function is keyword-only and is journalled before anything is sent.

A name is loaded when it is first used, so that a process that starts no operation does not load the platform's
client. Tracebacks of these functions hold no argument (``govpay.security.tracebacks``).
"""

from __future__ import annotations

import warnings
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

from govpay.security.tracebacks import scrub_traceback

if TYPE_CHECKING:
    from govpay.operations.account_settings import checkout_as_sent, set_checkout_config, update_payment_account
    from govpay.operations.actions import Snapshot
    from govpay.operations.authorizations import Authorization
    from govpay.operations.customers import create_customer
    from govpay.operations.events import catalogue_of, refresh_webhook_secret, set_webhook_subscriptions
    from govpay.operations.hold import held_since
    from govpay.operations.imports import import_payment_methods
    from govpay.operations.links import cancel_payment_link, close_expired_links, create_payment_link, open_session
    from govpay.operations.manual_resolution import recheck_settled, resolve_manually
    from govpay.operations.payments import capture_payment, void_payment
    from govpay.operations.provisioning import callback
    from govpay.operations.quotes import capturable_methods, quote_of, quote_payment, quoted_by_staff
    from govpay.operations.reconciliation import reconcile
    from govpay.operations.refunds import follow_refunds, refund_payment
    from govpay.operations.restoring import begin_restore, finish_restore, unread_lists
    from govpay.operations.retries import is_at_stake, not_executed_of, retry_operation, why_not_retry
    from govpay.operations.sessions import (
        create_hosted_session,
        create_wallet_session,
        expire_hosted_session,
        update_hosted_session,
    )
    from govpay.operations.tenant_options import check_site
    from govpay.operations.tenants import create_client, create_payment_account
    from govpay.operations.wallet_lists import refresh_wallet
    from govpay.operations.wallets import remove_payment_method, save_payment_method, set_default_payment_method

__all__ = [
    "Authorization",
    "Snapshot",
    "begin_restore",
    "callback",
    "cancel_payment_link",
    "capturable_methods",
    "capture_payment",
    "catalogue_of",
    "check_site",
    "checkout_as_sent",
    "close_expired_links",
    "create_client",
    "create_customer",
    "create_hosted_session",
    "create_payment_account",
    "create_payment_link",
    "create_wallet_session",
    "expire_hosted_session",
    "finish_restore",
    "follow_refunds",
    "held_since",
    "import_payment_methods",
    "is_at_stake",
    "not_executed_of",
    "open_session",
    "quote_of",
    "quote_payment",
    "quoted_by_staff",
    "recheck_settled",
    "reconcile",
    "refresh_wallet",
    "refresh_webhook_secret",
    "refund_payment",
    "remove_payment_method",
    "resolve_manually",
    "retry_operation",
    "save_payment_method",
    "set_checkout_config",
    "set_default_payment_method",
    "set_webhook_subscriptions",
    "unread_lists",
    "update_hosted_session",
    "update_payment_account",
    "void_payment",
    "why_not_retry",
]

_WHERE = {
    "Authorization": "authorizations",
    "Snapshot": "actions",
    "cancel_payment_link": "links",
    "capturable_methods": "quotes",
    "capture_payment": "payments",
    "checkout_as_sent": "account_settings",
    "catalogue_of": "events",
    "callback": "provisioning",
    "check_site": "tenant_options",
    "close_expired_links": "links",
    "create_client": "tenants",
    "create_customer": "customers",
    "create_hosted_session": "sessions",
    "create_payment_account": "tenants",
    "create_payment_link": "links",
    "create_wallet_session": "sessions",
    "expire_hosted_session": "sessions",
    "follow_refunds": "refunds",
    "held_since": "hold",
    "import_payment_methods": "imports",
    "open_session": "links",
    "quote_of": "quotes",
    "quote_payment": "quotes",
    "quoted_by_staff": "quotes",
    "recheck_settled": "manual_resolution",
    "reconcile": "reconciliation",
    "refresh_wallet": "wallet_lists",
    "refresh_webhook_secret": "events",
    "refund_payment": "refunds",
    "remove_payment_method": "wallets",
    "begin_restore": "restoring",
    "finish_restore": "restoring",
    "unread_lists": "restoring",
    "is_at_stake": "retries",
    "not_executed_of": "retries",
    "retry_operation": "retries",
    "why_not_retry": "retries",
    "save_payment_method": "wallets",
    "set_checkout_config": "account_settings",
    "set_default_payment_method": "wallets",
    "set_webhook_subscriptions": "events",
    "resolve_manually": "manual_resolution",
    "update_hosted_session": "sessions",
    "update_payment_account": "account_settings",
    "void_payment": "payments",
}


#: Old name → new name. The old ones go with the next release.
_RENAMED = {"Seen": "Snapshot", "settle_by_hand": "resolve_manually"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        warnings.warn(f"{__name__}.{name} is now {_RENAMED[name]}.", DeprecationWarning, stacklevel=2)
        return globals().get(_RENAMED[name]) or __getattr__(_RENAMED[name])
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    if isinstance(found, FunctionType):
        found = scrub_traceback(found)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
