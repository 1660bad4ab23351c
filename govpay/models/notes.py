"""Notes that staff write on payments and customers."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from govpay.models.access import AccountQuerySet
from govpay.models.fields import mirror_key

#: Maximum length of a note, and of the kept name of its author.
NOTE_LENGTH, AUTHOR_NAME_LENGTH = 2000, 255


class Note(models.Model):
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
    #: The author's name when the note was written. It stays when the user is deleted.
    author_name = models.CharField(_("author's name"), max_length=AUTHOR_NAME_LENGTH, blank=True, default="")
    created_at = models.DateTimeField(_("written"), default=timezone.now)

    objects = AccountQuerySet.as_manager()

    class Meta:
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

    @property
    def written_by(self) -> Any:
        """The author's name."""
        return self.author or self.author_name
