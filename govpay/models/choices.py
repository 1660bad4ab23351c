"""Known values of the platform's enums, and this app's own choices.

The platform's enums are stored in plain text columns. An unknown value is stored and shown unchanged.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _


def label_of(value: str, choices: type[models.TextChoices]) -> str:
    """Return the label of ``value`` in the active language, an unknown value unchanged, and "unknown" if empty."""
    return str(dict(choices.choices).get(value, value) or gettext("unknown"))


class PaymentStatus(models.TextChoices):
    """The statuses of a payment (assumption A8)."""

    VALIDATED = "validated", _("Waiting for capture")
    CAPTURED = "captured", _("Captured")
    FAILED = "failed", _("Failed")
    VOIDED = "voided", _("Voided")
    PARTIALLY_REFUNDED = "partially_refunded", _("Partially refunded")
    REFUNDED = "refunded", _("Refunded")
    CHARGED_BACK = "charged_back", _("Charged back")
    RETURNED = "returned", _("Returned")
    EXPIRED = "expired", _("Expired")


#: Statuses that only a captured payment can have.
ONCE_CAPTURED = frozenset(
    {
        PaymentStatus.CAPTURED,
        PaymentStatus.PARTIALLY_REFUNDED,
        PaymentStatus.REFUNDED,
        PaymentStatus.CHARGED_BACK,
        PaymentStatus.RETURNED,
    }
)

#: Statuses without a capture. A payment that was captured and gets one of these contradicts its capture.
NEVER_CAPTURED = frozenset({PaymentStatus.VALIDATED, PaymentStatus.FAILED, PaymentStatus.EXPIRED, ""})


class PaymentFlag(models.TextChoices):
    """Events of a payment that staff must see; /platform/accounts/."""

    CHARGEBACK = "chargeback", _("Disputed")
    RETURN = "return", _("Returned by the bank")
    REVERSAL = "reversal", _("Dispute reversed")


class TransactionType(models.TextChoices):
    """The types of a transaction (assumption A12)."""

    CAPTURE = "capture", pgettext_lazy("transaction", "Capture")
    REFUND = "refund", pgettext_lazy("transaction", "Refund")
    VOID = "void", pgettext_lazy("transaction", "Void")
    CHARGEBACK = "chargeback", _("Chargeback")
    CHARGEBACK_REVERSAL = "chargeback_reversal", _("Chargeback reversal")
    ACH_RETURN = "ach_return", _("ACH return")


#: Movements that were not requested here, and the flag that each raises.
FLAG_OF_TYPE: dict[str, PaymentFlag] = {
    TransactionType.CHARGEBACK: PaymentFlag.CHARGEBACK,
    TransactionType.ACH_RETURN: PaymentFlag.RETURN,
    TransactionType.CHARGEBACK_REVERSAL: PaymentFlag.REVERSAL,
}


class TransactionStatus(models.TextChoices):
    """The statuses of a transaction (assumption A12)."""

    PENDING = "pending", _("Pending")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")


class MethodType(models.TextChoices):
    """The values of ``payment_method_type``; /platform/payments/."""

    CREDIT = "credit", _("Card")
    ACH = "ach", _("Bank account")
    WALLET_CREDIT = "wallet_credit", _("Saved card")
    WALLET_ACH = "wallet_ach", _("Saved bank account")


class SessionStatus(models.TextChoices):
    """The statuses of a hosted session; /api/operations/v1hosted-sessionssessionid/patch/."""

    ACTIVE = "active", _("Active")
    COMPLETED = "completed", _("Completed")
    EXPIRED = "expired", _("Expired")


class LinkState(models.TextChoices):
    """The states of a payment link."""

    OPEN = "open", _("Open")
    PAID = "paid", _("Paid")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


class EventType(models.TextChoices):
    """The documented event types: /guides/webhooks/, /platform/accounts/, /platform/wallets/."""

    SESSION_COMPLETED = "checkout_session.completed", _("Session completed")
    SESSION_EXPIRED = "checkout_session.expired", _("Session expired")
    PAYMENT_COMPLETED = "payment.completed", _("Payment completed")
    PAYMENT_FAILED = "payment.failed", _("Payment failed")
    PAYMENT_REFUNDED = "payment.refunded", _("Payment refunded")
    CHARGEBACK = "provider.chargeback", _("Chargeback")
    NSF = "provider.nsf", _("Returned by the bank")
    NOC = "provider.noc", _("Notification of change")
    REVERSAL = "provider.reversal", _("Chargeback reversed")
    BANK_BILL_PAY = "provider.bankbillpay", _("Bank bill payment")
    IVR_COMPLETED = "ivr.completed", _("Telephone payment")


class EventState(models.TextChoices):
    """The states of a webhook event."""

    RECEIVED = "received", _("Received")
    PROCESSED = "processed", _("Processed")
    FAILED = "failed", _("Failed")
    IGNORED = "ignored", _("Ignored")


class OperationAction(models.TextChoices):
    """The kinds of operations."""

    QUOTE = "quote", _("Quote")
    CAPTURE = "capture", _("Capture")
    VOID = "void", _("Void")
    REFUND = "refund", _("Refund")
    CREATE_CUSTOMER = "create_customer", _("Create customer")
    SAVE_METHOD = "save_method", _("Save payment method")
    REMOVE_METHOD = "remove_method", _("Remove payment method")
    SET_DEFAULT_METHOD = "set_default_method", _("Choose default method")
    IMPORT_METHODS = "import_methods", _("Import payment methods")
    CREATE_SESSION = "create_session", _("Open session")
    UPDATE_SESSION = "update_session", _("Change session")
    EXPIRE_SESSION = "expire_session", _("End session")
    CREATE_CLIENT = "create_client", _("Create client")
    CREATE_ACCOUNT = "create_payment_account", _("Create payment account")
    UPDATE_ACCOUNT = "update_payment_account", _("Change payment account")
    SET_CHECKOUT = "set_checkout_config", _("Set up checkout")
    SET_SUBSCRIPTIONS = "set_webhook_subscriptions", _("Choose webhook events")
    REFRESH_SECRET = "refresh_webhook_secret", _("Refresh webhook secret")


class SecCode(models.TextChoices):
    """How the owner of a bank account agreed to a debit; /component/attributes/."""

    WEB = "web", _("Online (WEB)")
    TEL = "tel", _("By telephone (TEL)")
    PPD = "ppd", _("In writing (PPD)")


class OperationState(models.TextChoices):
    """The states of an operation."""

    STARTED = "started", _("Started")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    UNKNOWN = "unknown", _("Outcome unknown")


class OperationAttention(models.TextChoices):
    """Why an ended operation is in the review queue."""

    LATE_FAILURE = "late_failure", _("Failed later")
    NOT_EXECUTED = "not_executed", _("Not carried out")
    CONTRADICTED = "contradicted", _("Turned out otherwise")
    MISMATCH = "mismatch", _("Does not match")
    DIVERGED = "diverged", _("No longer so on the platform")
    UNRECORDED = "unrecorded", _("Not in the journal")


class RunState(models.TextChoices):
    """The states of a sync run."""

    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    UNPROVED = "unproved", _("Perhaps incomplete")
    FAILED = "failed", _("Failed")
    INTERRUPTED = "interrupted", _("Interrupted")


class SyncMode(models.TextChoices):
    """The parts of a list that a sync run reads: the objects that changed since the last run, or the whole list."""

    INCREMENTAL = "incremental", _("Incremental")
    FULL = "full", _("Full")


class Source(models.TextChoices):
    """The source of a change."""

    OPERATION = "operation", _("Operation")
    WEBHOOK = "webhook", _("Webhook")
    SYNC = "sync", _("Sync")


class Level(models.TextChoices):
    """The severity of a finding of the doctor."""

    OK = "ok", _("OK")
    WARNING = "warning", _("Warning")
    ERROR = "error", _("Error")
