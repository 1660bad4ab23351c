"""Payments, with the rules that need only the stored rows."""

from __future__ import annotations

import datetime as dt
from typing import Any, Self

from django.db import models
from django.db.models import Case, Exists, F, Max, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from govpay.models.base import Mirror, MirrorQuerySet, unique_uid
from govpay.models.choices import (
    FLAG_OF_TYPE,
    NEVER_CAPTURED,
    OperationAction,
    OperationState,
    PaymentFlag,
    PaymentStatus,
    TransactionStatus,
    TransactionType,
    label_of,
)
from govpay.models.fields import UID_LENGTH, UidField, mirror_key
from govpay.models.folding import FoldedField, NameWordsField, WordIndex
from govpay.models.operations import Operation
from govpay.models.people import kept_id, kept_name
from govpay.models.transactions import Transaction
from govpay.models.zones import void_day_zone

#: Time in which a validated payment can be captured: by processor token, by saved method (assumption A9).
TOKEN_VALIDATION = dt.timedelta(minutes=15)
WALLET_VALIDATION = dt.timedelta(hours=24)

#: Length of a time, a rank and a uid, separated by spaces (``govpay.sync.flags``).
FLAG_ORDER_LENGTH = 32 + UID_LENGTH

#: Statuses that allow a refund: the money was captured and was not taken back (assumption A10).
REFUNDABLE = (PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED)


#: The columns that totals of captures need. An index has them, so that totals read no rows.
COUNTED_COLUMNS = ("captured_at", "currency", "total_amount", "processing_fee_amount", "base_amount", "tax_amount")
DATED = Q(captured_at__isnull=False)
#: Payments that may have been captured, but the platform does not say when. Reports look these up by an index.
UNDATED_CAPTURES = Q(captured_at=None) & ~Q(status__in=sorted(map(str, NEVER_CAPTURED)))


class PaymentQuerySet(MirrorQuerySet["Payment"]):
    """Querysets of payments, with annotations that the payment rules need."""

    def flagged(self) -> Self:
        """Return payments with a dispute, a return or a reversal that is not marked as dealt with."""
        return self.exclude(flag="")

    def waiting_for_capture(self, now: dt.datetime) -> Self:
        """Validated payments that can still be captured at ``now``. Fee previews are left out: only their maker may."""
        wallet = Q(method_type__startswith="wallet_")
        open_ones = (wallet & Q(remote_created_at__gt=now - WALLET_VALIDATION)) | (
            ~wallet & Q(remote_created_at__gt=now - TOKEN_VALIDATION)
        )
        # The first condition repeats the widest range, so that the index on status and creation is used.
        recent = self.filter(status=PaymentStatus.VALIDATED, remote_created_at__gt=now - WALLET_VALIDATION)
        return recent.filter(open_ones, deleted_at=None).with_fee_preview().filter(fee_preview=False)

    def with_pending_refunds(self) -> Self:
        """Annotate two sums in minor units. ``pending_refunds``: refunds that the platform accepted and has not
        settled. ``settled_refunds``: the other refunds that did not fail. The platform may already have included those
        in ``refunded_amount``, so they must not be subtracted a second time.
        """
        pending = (TransactionStatus.PENDING.value, "")
        return self.annotate(
            pending_refunds=_refunds(Q(status__in=pending)),
            settled_refunds=_refunds(~Q(status__in=(*pending, TransactionStatus.FAILED.value))),
        )

    def with_fee_preview(self) -> Self:
        """Annotate ``fee_preview``: whether the newest quote of a validated payment is a fee preview."""
        quotes = Operation.objects.filter(action=OperationAction.QUOTE, payment=OuterRef("uid"))
        newest = quotes.order_by("-created_at").values("fee_preview")[:1]
        # A sync may store the payment before the answer to its quote is recorded, or when that answer was lost. The
        # quote is then found by reference. The others are expressions, so that SQLite uses the reference's index.
        unrecorded = Operation.objects.alias(place=Coalesce("account", Value("")), due=F("amount") + 0).filter(
            ~Q(action=OperationAction.VOID),
            _may_have_arrived(),
            fee_preview=True,
            result_uid="",
            reference_id=OuterRef("reference_id"),
            place=OuterRef("account"),
            due=OuterRef("base_amount") + Coalesce(OuterRef("tax_amount"), 0),
            currency=OuterRef("currency"),
        )
        asked = Coalesce(Subquery(newest), Exists(unrecorded))
        return self.annotate(fee_preview=Case(When(status=PaymentStatus.VALIDATED, then=asked), default=False))

    def with_refunds_before(self) -> Self:
        """Annotate the refunds before the movement that raised the flag. ``refunded_before``: their sum in minor
        units, including pending refunds. ``refunded_before_at``: the time of the last one.
        """
        flagged_at = Coalesce(OuterRef("flag_movement__remote_created_at"), OuterRef("flagged_at"), Now())
        before = ~Q(status=TransactionStatus.FAILED.value) & (
            Q(remote_created_at=None) | Q(remote_created_at__lte=flagged_at)
        )
        last = _refund_rows(before).values("payment").annotate(last=Max("remote_created_at")).values("last")
        return self.annotate(refunded_before=_refunds(before), refunded_before_at=Subquery(last))


def _may_have_arrived() -> Q:
    """Return the filter for operations that may have reached the platform, also those closed as not executed."""
    absent = Q(absent_at__isnull=False) | Q(attempts__gt=1) | Q(settled_at__isnull=False)
    return ~Q(state=OperationState.FAILED) | absent


def _refund_rows(which: Q) -> models.QuerySet[Transaction]:
    """Return the refunds of the outer payment (``OuterRef``) that match ``which``."""
    rows = Transaction.objects.filter(which, payment=OuterRef("uid"), type=TransactionType.REFUND, deleted_at=None)
    return rows.order_by()


def _refunds(which: Q) -> Coalesce:
    """Return the sum of the outer payment's refunds that match ``which``, in minor units."""
    total = _refund_rows(which).values("payment").annotate(sum=Sum("amount")).values("sum")
    return Coalesce(Subquery(total), 0, output_field=models.BigIntegerField())


class Payment(Mirror):
    """One payment. All amounts are in minor units of ``currency``. Assumption A8."""

    LOCAL = (
        *("flag", "flagged_at", "flag_movement", "flag_order", "flag_backlog"),
        *("flag_cleared_by_name", "flag_cleared_by_user_id", "flag_cleared_at"),
    )

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="payments")
    customer = mirror_key("govpay.Customer", _("customer"), related_name="payments")
    saved_method = mirror_key("govpay.SavedPaymentMethod", _("saved method"), related_name="payments")
    session = mirror_key("govpay.HostedSession", _("session"), related_name="payments")
    reference_id = models.CharField(_("reference"), max_length=255, blank=True, default="")
    base_amount = models.BigIntegerField(_("base amount"), null=True, blank=True)
    tax_amount = models.BigIntegerField(_("tax amount"), null=True, blank=True)
    processing_fee_amount = models.BigIntegerField(_("convenience fee"), null=True, blank=True)
    total_amount = models.BigIntegerField(_("total amount"), null=True, blank=True)
    refunded_amount = models.BigIntegerField(_("refunded amount"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=8, blank=True, default="")
    status = models.CharField(_("status"), max_length=64, blank=True, default="")
    method_type = models.TextField(_("method type"), blank=True, default="")
    brand = models.TextField(_("brand"), blank=True, default="")
    last4 = models.CharField(_("last four"), max_length=8, blank=True, default="")
    holder_name = models.TextField(_("holder name"), blank=True, default="", db_default="")
    decline_code = models.TextField(_("decline code"), blank=True, default="")
    captured_at = models.DateTimeField(_("captured"), null=True, blank=True)
    #: Set by the newest dispute, return or reversal (``govpay.sync.flags``). Staff clear it.
    flag = models.CharField(_("flag"), max_length=32, choices=PaymentFlag, blank=True, default="", editable=False)
    flagged_at = models.DateTimeField(_("flagged"), null=True, blank=True, editable=False)
    #: The newest of these movements, also after staff cleared the flag, and its sort key.
    flag_movement = mirror_key("govpay.Transaction", _("flag movement"), editable=False)
    flag_order = UidField(_("flag order"), max_length=FLAG_ORDER_LENGTH, blank=True, default="", editable=False)
    #: The flag was raised by the first load of an account. The review queue groups these.
    flag_backlog = models.BooleanField(_("flag backlog"), default=False, editable=False)
    #: The user who marked a flag as dealt with last.
    flag_cleared_by_name, flag_cleared_by_user_id = kept_name(), kept_id()
    flag_cleared_at = models.DateTimeField(_("dealt with"), null=True, blank=True, editable=False)

    search_reference = FoldedField(_("reference for the search"), source="reference_id")
    search_name = NameWordsField(_("name for the search"), source="holder_name")

    objects = PaymentQuerySet.as_manager()

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        ordering = ["-remote_created_at", "-id"]
        constraints = [unique_uid("payment")]
        indexes = [
            models.Index(fields=["account", "uid"], name="govpay_payment_keyset"),
            models.Index(fields=["-remote_created_at", "-id"], name="govpay_payment_created"),
            models.Index(fields=["status", "-remote_created_at", "-id"], name="govpay_payment_status"),
            models.Index(fields=["account", "-remote_created_at", "-id"], name="govpay_payment_account"),
            models.Index(fields=["reference_id"], name="govpay_payment_reference"),
            models.Index(fields=["customer"], name="govpay_payment_customer"),
            models.Index(fields=["session"], name="govpay_payment_session"),
            models.Index(fields=["account", *COUNTED_COLUMNS], condition=DATED, name="govpay_payment_captured"),
            models.Index(fields=["account"], condition=UNDATED_CAPTURES, name="govpay_payment_undated"),
            models.Index(
                fields=["flag", "-remote_created_at", "-id"], condition=~Q(flag=""), name="govpay_payment_flag"
            ),
            models.Index(fields=["search_reference"], name="govpay_payment_search_ref"),
            WordIndex("search_name", name="govpay_payment_search_name", also=("uid",)),
            models.Index(fields=["last4"], name="govpay_payment_last4"),
            models.Index(fields=["total_amount"], name="govpay_payment_total"),
            models.Index(fields=["saved_method"], name="govpay_payment_method"),
            models.Index(
                fields=["-remote_created_at", "-id"], condition=Q(refunded_amount__gt=0), name="govpay_payment_refunded"
            ),
        ]
        permissions = [
            ("capture_payment", "Can capture a payment"),
            ("refund_payment", "Can refund a payment"),
            ("void_payment", "Can void a payment"),
            ("export_data", "Can export data"),
        ]

    def __str__(self) -> str:
        return self.reference_id or self.uid

    @property
    def newest_movement(self) -> Transaction | None:
        """The newest dispute, return or reversal if ``flag_movement`` is loaded, else ``None``."""
        key: Any = self._meta.get_field("flag_movement")
        found: Transaction | None = key.get_cached_value(self, default=None)
        return found

    @property
    def taken_back(self) -> str:
        """``chargeback`` or ``return`` if it is the newest movement, even if staff cleared the flag; else empty.

        Needs ``flag_movement`` loaded. Otherwise only an open flag counts.
        """
        movement = self.newest_movement
        flag = FLAG_OF_TYPE.get(movement.type, "") if movement else self.flag
        return flag if flag in (PaymentFlag.CHARGEBACK, PaymentFlag.RETURN) else ""

    @property
    def saved_method_uid(self) -> str:
        """The saved method that was validated, or an empty string."""
        return str(getattr(self, "saved_method_id", None) or "")

    @property
    def is_wallet(self) -> bool:
        return self.method_type.startswith("wallet_")

    @property
    def capturable_until(self) -> dt.datetime | None:
        """The end of the validation, or ``None`` when its start is not known."""
        if self.remote_created_at is None:
            return None
        return self.remote_created_at + (WALLET_VALIDATION if self.is_wallet else TOKEN_VALIDATION)

    @property
    def is_fee_preview(self) -> bool:
        """Whether staff asked for the fee but did not confirm the charge.

        Executes one more SQL statement if the row was read without ``with_fee_preview``.
        """
        if self.status != PaymentStatus.VALIDATED:
            return False
        preview: Any = self.__dict__.get("fee_preview")
        if preview is None:
            rows = Payment.objects.using(self._state.db).with_fee_preview()
            preview = rows.filter(pk=self.pk).values_list("fee_preview", flat=True).first()
        return bool(preview)

    def why_not_capturable(self, *, has_method: bool, confirming: bool = False) -> str:
        """Return the reason for staff why the payment cannot be captured; an empty string when it can.

        ``has_method``: the validated payment method can be repeated exactly, as a capture requires
        (/platform/payments/). This is true if the quote was made here or the payment names a saved method.
        ``confirming``: the person who asked for the fee confirms the charge.
        """
        if self.deleted_at:
            return gettext("The platform no longer has this payment.")
        if self.status != PaymentStatus.VALIDATED:
            return gettext(
                "Only a payment that waits for capture can be captured. The status of this one: %(status)s."
            ) % {"status": label_of(self.status, PaymentStatus)}
        until = self.capturable_until
        if until is not None and until <= timezone.now():
            return gettext("The validation has expired; quote the payment again.")
        if not confirming and self.is_fee_preview:
            return gettext(
                "Only its fee was shown. The person who asked for the fee can confirm the charge on the charge page; "
                "otherwise it ends by itself."
            )
        if None in (self.base_amount, self.processing_fee_amount, self.total_amount) or not self.currency:
            return gettext("The platform has not sent all amounts of this payment.")
        if not has_method:
            return gettext("It was validated elsewhere: only the site that holds the card token can capture it.")
        return ""

    def why_not_voidable(self) -> str:
        """Return the reason for staff why the payment cannot be voided (assumption A11), or an empty string."""
        if self.deleted_at:
            return gettext("The platform no longer has this payment.")
        if self.status == PaymentStatus.VALIDATED:
            return ""
        if self.status != PaymentStatus.CAPTURED:
            return gettext("This payment cannot be voided. Its status: %(status)s.") % {
                "status": label_of(self.status, PaymentStatus)
            }
        zone, now = void_day_zone(), timezone.now()
        if self.captured_at is None or self.captured_at.astimezone(zone).date() != now.astimezone(zone).date():
            text = gettext("A captured payment can be voided only on the day of capture (%(zone)s); refund it instead.")
            return text % {"zone": zone.key}
        if self.refunded_amount or getattr(self, "pending_refunds", 0) or getattr(self, "settled_refunds", 0):
            return gettext("A payment with a refund cannot be voided.")
        return ""

    def why_not_refundable(self) -> str:
        """Return the reason for staff why it cannot be refunded, or an empty string. Needs ``with_pending_refunds``."""
        if self.deleted_at:
            return gettext("The platform no longer has this payment.")
        if self.status not in REFUNDABLE:
            return gettext("Only captured money can be refunded. The status of this payment: %(status)s.") % {
                "status": label_of(self.status, PaymentStatus)
            }
        if self.total_amount is None or not self.currency:
            return gettext("The platform has not sent the total of this payment.")
        if self.refundable_amount <= 0:
            return gettext("Nothing is left to refund.")
        return ""

    @property
    def refundable_amount(self) -> int:
        """Minor units that can still be refunded. Pending refunds are subtracted. Needs ``with_pending_refunds``.

        A refund's transaction may be read before the payment's new refunded amount, so the larger of the two sums is
        used.
        """
        pending: Any = self.__dict__.get("pending_refunds")
        if pending is None:
            raise AttributeError("Read the payment with Payment.objects.with_pending_refunds().")
        if self.status not in REFUNDABLE or self.total_amount is None:
            return 0
        returned = max(self.refunded_amount or 0, int(self.__dict__.get("settled_refunds") or 0))
        return max(0, self.total_amount - returned - int(pending))
