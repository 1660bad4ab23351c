"""Hosted sessions, and the payment links that open them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from govpay.models.access import AccountQuerySet, GovPayModel
from govpay.models.base import Mirror, unique_uid
from govpay.models.choices import LinkState
from govpay.models.fields import SealedField, UidField, mirror_key
from govpay.models.folding import FoldedField
from govpay.models.people import kept_id, kept_name


class HostedSession(Mirror):
    """One attempt to pay, or to manage a wallet, on the platform's page; /guides/hosted-sessions/.

    ``uid`` is the ``session_id``. It is not secret, because many people can see it on the platform and its pages. The
    payment page here uses only ``public_id``, which cannot be guessed. The credential and the URL that contains it are
    sealed, and deleted when the session ends.
    """

    LOCAL = ("public_id", "credential", "hosted_url")

    public_id = UidField(_("public ID"), null=True, blank=True, editable=False)
    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="sessions")
    customer = mirror_key("govpay.Customer", _("customer"), related_name="sessions")
    amount = models.BigIntegerField(_("amount"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=8, blank=True, default="")
    status = models.CharField(_("status"), max_length=64, blank=True, default="")
    scope = models.CharField(_("scope"), max_length=64, blank=True, default="")
    layout = models.TextField(_("layout"), blank=True, default="")
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)
    credential = SealedField(_("credential"))
    hosted_url = SealedField(_("hosted URL"))

    class Meta:
        verbose_name = _("hosted session")
        verbose_name_plural = _("hosted sessions")
        ordering = ["-remote_created_at", "-id"]
        constraints = [
            unique_uid("hostedsession"),
            models.UniqueConstraint(fields=["public_id"], name="govpay_session_public_id"),
        ]
        indexes = [
            models.Index(fields=["account", "uid"], name="govpay_session_keyset"),
            models.Index(fields=["status", "-remote_created_at", "-id"], name="govpay_session_status"),
            models.Index(fields=["-remote_created_at", "-id"], name="govpay_session_created"),
            models.Index(fields=["account", "-remote_created_at", "-id"], name="govpay_session_account"),
            models.Index(fields=["customer"], name="govpay_session_customer"),
        ]
        permissions = [("create_session", "Can create hosted sessions and payment links")]

    def __str__(self) -> str:
        return self.uid


class PaymentLink(GovPayModel):
    """A request to pay that is valid for days and opens a new hosted session when one is needed."""

    public_id = UidField(_("public ID"))
    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="payment_links")
    customer = mirror_key("govpay.Customer", _("customer"), related_name="payment_links")
    amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=8, default="USD")
    reference_id = models.CharField(_("reference"), max_length=255, blank=True, default="")
    description = models.TextField(_("description"), blank=True, default="")
    expires_at = models.DateTimeField(_("expires at"))
    state = models.CharField(_("state"), max_length=16, choices=LinkState, default=LinkState.OPEN)
    #: The last opened session.
    session = mirror_key("govpay.HostedSession", _("session"), related_name="payment_links")
    #: Number of requested sessions. It is part of the operation key, so that the next session is opened only once.
    attempt = models.PositiveIntegerField(_("attempt"), default=0, editable=False)
    payment = mirror_key("govpay.Payment", _("payment"), related_name="payment_links")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_by_name, created_by_user_id = kept_name(), kept_id()
    cancelled_by_name, cancelled_by_user_id = kept_name(), kept_id()
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    search_reference = FoldedField(_("reference for the search"), source="reference_id")

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("payment link")
        verbose_name_plural = _("payment links")
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["public_id"], name="govpay_link_public_id")]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="govpay_link_created"),
            models.Index(fields=["state", "-created_at", "-id"], name="govpay_link_state"),
            models.Index(fields=["reference_id"], name="govpay_link_reference"),
            models.Index(fields=["search_reference"], name="govpay_link_search_ref"),
            models.Index(fields=["amount"], name="govpay_link_amount"),
            models.Index(fields=["customer"], name="govpay_link_customer"),
            models.Index(fields=["payment"], name="govpay_link_payment"),
            models.Index(fields=["session"], name="govpay_link_session"),
            models.Index(fields=["expires_at"], condition=Q(state=LinkState.OPEN), name="govpay_link_expiry"),
        ]

    def __str__(self) -> str:
        return self.reference_id or self.public_id
