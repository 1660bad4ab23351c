"""Clients (organizations) and their payment accounts."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from govpay.models.base import Mirror, unique_uid
from govpay.models.fields import SealedField, mirror_key


class Client(Mirror):
    """A merchant organization; /platform/accounts/."""

    customer_id = models.CharField(_("customer ID"), max_length=255, blank=True, default="")
    name = models.TextField(_("name"), blank=True, default="")
    timezone = models.TextField(_("timezone"), blank=True, default="")
    subdomain = models.TextField(_("subdomain"), blank=True, default="")

    class Meta:
        verbose_name = _("client")
        verbose_name_plural = _("clients")
        ordering = ["name", "id"]
        constraints = [unique_uid("client")]

    def __str__(self) -> str:
        return self.name or self.uid


class PaymentAccount(Mirror):
    """A merchant account of a client. Its ``uid`` is sent as the tenant header. /platform/accounts/."""

    LOCAL = (
        "webhook_secret",
        "webhook_secret_fetched_at",
        "previous_webhook_secret",
        "webhook_secret_replaced_at",
    )

    client = mirror_key("govpay.Client", _("client"), related_name="accounts")
    name = models.TextField(_("name"), blank=True, default="")
    processor = models.TextField(_("processor"), blank=True, default="")
    external_account_id = models.CharField(_("external account ID"), max_length=255, blank=True, default="")
    external_merchant_id = models.CharField(_("external merchant ID"), max_length=255, blank=True, default="")
    active = models.BooleanField(_("active"), null=True, blank=True)
    enable_ach = models.BooleanField(_("ACH enabled"), null=True, blank=True)
    enable_credit_card = models.BooleanField(_("cards enabled"), null=True, blank=True)
    #: In cents. The API uses decimal dollars (assumption A27).
    minimum_payment_amount = models.BigIntegerField(_("minimum payment"), null=True, blank=True)
    maximum_payment_amount = models.BigIntegerField(_("maximum payment"), null=True, blank=True)
    callback_url = models.TextField(_("callback URL"), blank=True, default="")
    webhook_enabled = models.BooleanField(_("webhooks enabled"), null=True, blank=True)
    allowed_origins = models.JSONField(_("allowed origins"), default=list, blank=True)
    webhook_secret = SealedField(_("webhook secret"))
    webhook_secret_fetched_at = models.DateTimeField(_("webhook secret fetched"), null=True, blank=True, editable=False)
    #: Stays valid for ``WEBHOOK_SECRET_GRACE`` seconds after it was replaced (assumption A18).
    previous_webhook_secret = SealedField(_("previous webhook secret"))
    webhook_secret_replaced_at = models.DateTimeField(
        _("webhook secret replaced"), null=True, blank=True, editable=False
    )

    class Meta:
        verbose_name = _("payment account")
        verbose_name_plural = _("payment accounts")
        ordering = ["name", "id"]
        constraints = [unique_uid("paymentaccount")]
        indexes = [models.Index(fields=["client"], name="govpay_account_client")]
        permissions = [
            ("provision_account", "Can provision clients and payment accounts"),
            ("sync_now", "Can start a sync"),
        ]

    def __str__(self) -> str:
        return self.name or self.uid
