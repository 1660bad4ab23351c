"""Every public name of ``govpay.operations``, once: read by ``lazy_loader`` and by type checkers."""

from .account_settings import (
    checkout_as_sent as checkout_as_sent,
)
from .account_settings import (
    set_checkout_config as set_checkout_config,
)
from .account_settings import (
    update_payment_account as update_payment_account,
)
from .actions import Snapshot as Snapshot
from .authorizations import Authorization as Authorization
from .customers import create_customer as create_customer
from .events import (
    catalogue_of as catalogue_of,
)
from .events import (
    refresh_webhook_secret as refresh_webhook_secret,
)
from .events import (
    set_webhook_subscriptions as set_webhook_subscriptions,
)
from .hold import held_since as held_since
from .imports import import_payment_methods as import_payment_methods
from .links import (
    cancel_payment_link as cancel_payment_link,
)
from .links import (
    close_expired_links as close_expired_links,
)
from .links import (
    create_payment_link as create_payment_link,
)
from .links import (
    open_session as open_session,
)
from .manual_resolution import recheck_resolved as recheck_resolved
from .manual_resolution import resolve_manually as resolve_manually
from .payments import capture_payment as capture_payment
from .payments import void_payment as void_payment
from .provisioning import callback as callback
from .quotes import (
    capturable_methods as capturable_methods,
)
from .quotes import (
    quote_of as quote_of,
)
from .quotes import (
    quote_payment as quote_payment,
)
from .quotes import (
    quoted_by_staff as quoted_by_staff,
)
from .reconciliation import reconcile as reconcile
from .refunds import follow_refunds as follow_refunds
from .refunds import refund_payment as refund_payment
from .restoring import begin_restore as begin_restore
from .restoring import finish_restore as finish_restore
from .restoring import unread_lists as unread_lists
from .retries import (
    is_at_stake as is_at_stake,
)
from .retries import (
    not_executed_of as not_executed_of,
)
from .retries import (
    retry_operation as retry_operation,
)
from .retries import (
    why_not_retry as why_not_retry,
)
from .sessions import (
    create_hosted_session as create_hosted_session,
)
from .sessions import (
    create_wallet_session as create_wallet_session,
)
from .sessions import (
    expire_hosted_session as expire_hosted_session,
)
from .sessions import (
    update_hosted_session as update_hosted_session,
)
from .tenant_options import check_site as check_site
from .tenants import create_client as create_client
from .tenants import create_payment_account as create_payment_account
from .wallet_lists import refresh_wallet as refresh_wallet
from .wallets import (
    remove_payment_method as remove_payment_method,
)
from .wallets import (
    save_payment_method as save_payment_method,
)
from .wallets import (
    set_default_payment_method as set_default_payment_method,
)
