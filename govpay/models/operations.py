"""The journal: every operation on the platform, with its actor and its outcome."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from govpay.models.access import AccountQuerySet, GovPayModel
from govpay.models.choices import OperationAction, OperationAttention, OperationState, SecCode, label_of
from govpay.models.fields import SealedField, UidField, mirror_key
from govpay.models.people import kept_id, kept_name

#: States with an open outcome. Meanwhile no other money operation on the payment may start.
OPEN_STATES = (OperationState.STARTED, OperationState.UNKNOWN)

#: Maximum time from the journal row to the start of the call: waiting for a lock, reading, committing.
BEGINS_WITHIN = dt.timedelta(seconds=10)

#: Age from which staff see an open operation. A capture or void should have an outcome by then; a refund can take
#: ``ABSENT_AFTER``, but staff see it from this age too.
OPEN_FOR_LONG = dt.timedelta(minutes=5)

#: Time after a resolution by hand in which reconciliation still reads the platform.
RECHECK_PERIOD = dt.timedelta(days=3)


class OperationQuerySet(AccountQuerySet["Operation"]):
    """Querysets of operations."""

    def open_for_long(self) -> Self:
        """Return operations whose outcome should have been found by now, or that do not match the platform."""
        long_ago = Q(deadline_at__lte=timezone.now() - OPEN_FOR_LONG)
        return self.filter(long_ago | ~Q(attention=""), state__in=OPEN_STATES)

    def being_looked_up(self) -> Self:
        """Return operations whose outcome is not known now. This includes calls that are still running, and operations
        that were resolved by hand while reconciliation still reads the platform.
        """
        money = (OperationAction.CAPTURE, OperationAction.REFUND, OperationAction.VOID)
        by_word = Q(settled_at__gt=timezone.now() - RECHECK_PERIOD, attention_at=None, action__in=money)
        return self.filter(Q(state__in=OPEN_STATES) | by_word)

    def needing_review(self) -> Self:
        """Return ended operations that staff must look at, until they are marked as dealt with."""
        return self.exclude(attention="").exclude(state__in=OPEN_STATES)


class Operation(GovPayModel):
    """One action on the platform. The row is committed as ``started`` before the request is sent.

    ``amount`` is in minor units of ``currency``. ``succeeded`` means that the platform accepted the request.
    """

    key = models.UUIDField(_("key"), default=uuid.uuid4, editable=False)
    action = models.CharField(_("action"), max_length=32, choices=OperationAction)
    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="operations")
    payment = mirror_key("govpay.Payment", _("payment"), related_name="operations")
    customer = mirror_key("govpay.Customer", _("customer"), related_name="operations")
    session = mirror_key("govpay.HostedSession", _("session"), related_name="operations")
    amount = models.BigIntegerField(_("amount"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=8, blank=True, default="")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("actor"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    actor_name, actor_user_id = kept_name(), kept_id()
    reason = models.TextField(_("reason"), blank=True, default="")
    state = models.CharField(_("state"), max_length=16, choices=OperationState, default=OperationState.STARTED)
    error = models.TextField(_("error"), blank=True, default="")
    remote_request_id = models.CharField(_("platform's request ID"), max_length=255, blank=True, default="")
    reference_id = models.CharField(_("reference"), max_length=255, blank=True, default="")
    created_at = models.DateTimeField(_("started"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    #: The error to raise again for the same key: a class name of ``govpay.exceptions``.
    error_class = models.CharField(_("error class"), max_length=64, blank=True, default="", editable=False)
    error_code = models.CharField(_("error code"), max_length=64, blank=True, default="")
    #: Keyed hash of the arguments. The same key with other arguments is refused.
    fingerprint = models.CharField(_("fingerprint"), max_length=64, blank=True, default="", editable=False)
    #: ``uid`` of the mirrored row that is the result.
    result_uid = UidField(_("result"), blank=True, default="")
    #: Number of attempts. *Try again* reopens the same row, with the same key and the same reference.
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=1)
    #: Start of the current attempt, if it is not the first one.
    attempted_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    #: The user who pressed *Try again* for the current attempt.
    retried_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("retried by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    retried_by_name, retried_by_user_id = kept_name(), kept_id()
    #: The outcome of each earlier attempt: ``[{"attempt", "started_at", "finished_at", "error", …}]``, oldest first.
    earlier_attempts = models.JSONField(_("earlier attempts"), default=list, blank=True, editable=False)
    #: Until this time the call may still be running, so a missing sign proves nothing.
    deadline_at = models.DateTimeField(_("call ends by"))
    #: The time since which every read of the platform has found no sign of the operation.
    absent_at = models.DateTimeField(_("first not found"), null=True, blank=True)
    checked_at = models.DateTimeField(_("last looked up"), null=True, blank=True)
    #: The payment method of a quote. A capture must repeat it exactly. Deleted after the capture or the expiry.
    validated_method = SealedField(_("validated method"))
    method_expires_at = models.DateTimeField(_("method kept until"), null=True, blank=True)
    #: Quote: only ``actor`` may capture the payment, as only the fee was shown. Void: ``actor`` voided such a quote.
    #: The database has the default too, because processes of the previous release do not know the column.
    fee_preview = models.BooleanField(_("fee preview"), default=False, db_default=False, editable=False)
    #: The authorization that the owner of a bank account gave before the charge, as attested by ``actor``.
    sec_code = models.CharField(_("SEC code"), max_length=8, blank=True, default="", choices=SecCode)
    authorization_text = models.TextField(_("authorization"), blank=True, default="")
    authorized_at = models.DateTimeField(_("authorization attested"), null=True, blank=True)
    #: Import: keyed hashes of its rows; after its end, of the accepted rows.
    row_marks = models.TextField(_("row marks"), blank=True, default="", editable=False)
    #: Why the last look-up did not find the outcome, if it failed.
    look_up_error = models.CharField(_("last look-up's error"), max_length=255, blank=True, default="")
    #: The reason for the review queue. Staff clear it.
    attention = models.CharField(_("review reason"), max_length=16, choices=OperationAttention, blank=True, default="")
    attention_at = models.DateTimeField(_("raised"), null=True, blank=True)
    #: The user who marked it as dealt with last.
    attention_cleared_by_name, attention_cleared_by_user_id = kept_name(), kept_id()
    attention_cleared_at = models.DateTimeField(_("dealt with"), null=True, blank=True, editable=False)
    #: The user who resolved it by hand, because the platform did not show the outcome.
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("resolved by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    settled_by_name, settled_by_user_id = kept_name(), kept_id()
    settled_at = models.DateTimeField(_("resolved by hand"), null=True, blank=True)
    settlement = models.TextField(_("how that is known"), blank=True, default="")

    objects = OperationQuerySet.as_manager()

    class Meta:
        verbose_name = _("operation")
        verbose_name_plural = _("operations")
        ordering = ["-created_at", "-id"]
        permissions = [("settle_operation", "Can resolve an operation by hand")]
        constraints = [
            models.UniqueConstraint(fields=["key"], name="govpay_operation_key"),
            models.UniqueConstraint(
                fields=["payment"],
                condition=Q(state__in=["started", "unknown"], action__in=["capture", "refund", "void"]),
                name="govpay_operation_one_open",
            ),
            models.UniqueConstraint(
                fields=["reference_id"], condition=Q(action="refund"), name="govpay_operation_reference"
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="govpay_operation_created"),
            models.Index(fields=["state", "-created_at", "-id"], name="govpay_operation_state"),
            models.Index(fields=["action", "-created_at", "-id"], name="govpay_operation_action"),
            models.Index(fields=["account", "-created_at", "-id"], name="govpay_operation_account"),
            models.Index(fields=["payment", "-created_at"], name="govpay_operation_payment"),
            models.Index(fields=["reference_id"], opclasses=["varchar_pattern_ops"], name="govpay_operation_ref_start"),
            models.Index(fields=["amount"], name="govpay_operation_amount"),
            models.Index(fields=["actor", "-created_at", "-id"], name="govpay_operation_actor"),
            models.Index(fields=["customer"], condition=Q(customer__isnull=False), name="govpay_operation_customer"),
            models.Index(
                fields=["deadline_at"],
                condition=Q(state__in=["started", "unknown"]),
                name="govpay_operation_open",
            ),
            models.Index(fields=["attention_at"], condition=~Q(attention=""), name="govpay_operation_attention"),
            models.Index(fields=["settled_at"], condition=Q(settled_at__isnull=False), name="govpay_operation_settled"),
            models.Index(
                fields=["method_expires_at"],
                condition=Q(validated_method__isnull=False),
                name="govpay_operation_method",
            ),
        ]

    def __str__(self) -> str:
        return f"{label_of(self.action, OperationAction)} · {label_of(self.state, OperationState)} · {self.key}"

    @property
    def asked_by(self) -> str:
        """The column of the person who asked for the current attempt."""
        return "actor" if self.attempts == 1 else "retried_by"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def is_overdue(self) -> bool:
        """Whether the operation is open and its call cannot be running any more."""
        return self.is_open and self.deadline_at <= timezone.now()

    @property
    def is_late(self) -> bool:
        """Whether the call must not start any more, because it could last beyond the deadline."""
        return timezone.now() > (self.attempted_at or self.created_at) + BEGINS_WITHIN

    @staticmethod
    def deadline(call_timeout: float) -> dt.datetime:
        """Return the time at which a call that starts now has certainly ended. ``call_timeout`` is in seconds."""
        return timezone.now() + BEGINS_WITHIN + dt.timedelta(seconds=call_timeout)
