"""The models, their querysets and money arithmetic. Nothing here sends HTTP requests."""

from govpay.models.access import AccountAccess
from govpay.models.events import WebhookEvent, WebhookSubscription
from govpay.models.health import ContractNotice, Heartbeat
from govpay.models.notes import Note
from govpay.models.operations import Operation
from govpay.models.payments import Payment
from govpay.models.sessions import HostedSession, PaymentLink
from govpay.models.syncing import OutboxSignal, SyncCursor, SyncRun
from govpay.models.tenants import Client, PaymentAccount
from govpay.models.terminals import Terminal
from govpay.models.transactions import Transaction
from govpay.models.wallets import Customer, SavedPaymentMethod

__all__ = [
    "AccountAccess",
    "Client",
    "ContractNotice",
    "Customer",
    "Heartbeat",
    "HostedSession",
    "Note",
    "Operation",
    "OutboxSignal",
    "Payment",
    "PaymentAccount",
    "PaymentLink",
    "SavedPaymentMethod",
    "SyncCursor",
    "SyncRun",
    "Terminal",
    "Transaction",
    "WebhookEvent",
    "WebhookSubscription",
]
