"""Notes that staff write on payments and customers."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from govpay.models.access import GovPayModel
from govpay.models.fields import mirror_key
from govpay.models.people import kept_id, kept_name

#: Maximum length of a note.
NOTE_LENGTH = 2000


class Note(GovPayModel):
    """A text about one payment or one customer. It is never changed or deleted, and never sent to the platform."""

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="notes")
    payment = mirror_key("govpay.Payment", _("payment"), related_name="notes")
    customer = mirror_key("govpay.Customer", _("customer"), related_name="notes")
    text = models.TextField(_("text"), max_length=NOTE_LENGTH)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("author"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    author_name, author_user_id = kept_name(), kept_id()
    created_at = models.DateTimeField(_("written"), default=timezone.now)

    class Meta(GovPayModel.Meta):
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(payment__isnull=False, customer__isnull=True)
                | Q(payment__isnull=True, customer__isnull=False),
                name="govpay_note_payment_or_customer",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="govpay_note_created"),
            models.Index(fields=["account", "-created_at", "-id"], name="govpay_note_account"),
            models.Index(fields=["payment", "-created_at"], name="govpay_note_payment"),
            models.Index(fields=["customer", "-created_at"], name="govpay_note_customer"),
        ]

    def __str__(self) -> str:
        return self.text


def notes_about(row: models.Model, user: Any) -> models.QuerySet[Note]:
    """Return the notes about a payment or a customer that ``user`` may see, the newest first, with their authors."""
    found: models.QuerySet[Note] = (
        Note.objects.visible_to(user).filter(**{str(row._meta.model_name): row.uid}).select_related("author")  # type: ignore[attr-defined]
    )
    return found
