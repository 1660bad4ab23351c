"""Customers and their saved payment methods."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from govpay.models.base import Mirror, unique_uid
from govpay.models.fields import mirror_key
from govpay.models.folding import FoldedField, NameWordsField, WordIndex


class Customer(Mirror):
    """A payer of one payment account; /platform/wallets/, assumption A13."""

    LOCAL = ("methods_stale",)
    RESET = ("methods_stale",)

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="customers")
    reference_id = models.CharField(_("reference"), max_length=255, blank=True, default="")
    name = models.TextField(_("name"), blank=True, default="")
    email = models.CharField(_("email"), max_length=255, blank=True, default="")
    #: The methods must be read again. The platform touches a customer when a method changes (assumption A14).
    methods_stale = models.BooleanField(_("methods stale"), default=True, editable=False)
    search_reference = FoldedField(_("reference for the search"), source="reference_id")
    search_name = NameWordsField(_("name for the search"), source="name")
    search_email = FoldedField(_("email for the search"), source="email")

    class Meta:
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        ordering = ["-remote_created_at", "-id"]
        constraints = [unique_uid("customer")]
        indexes = [
            models.Index(fields=["account", "uid"], name="govpay_customer_keyset"),
            models.Index(fields=["account", "reference_id"], name="govpay_customer_reference"),
            models.Index(fields=["reference_id"], name="govpay_customer_ref"),
            models.Index(fields=["email"], name="govpay_customer_email"),
            models.Index(fields=["-remote_created_at", "-id"], name="govpay_customer_created"),
            models.Index(fields=["account", "-remote_created_at", "-id"], name="govpay_customer_account"),
            models.Index(fields=["account", "uid"], condition=Q(methods_stale=True), name="govpay_customer_stale"),
            models.Index(fields=["search_reference"], name="govpay_customer_search_ref"),
            models.Index(fields=["search_email"], name="govpay_customer_search_email"),
            WordIndex("search_name", name="govpay_customer_search_name", also=("uid",)),
        ]
        permissions = [("charge_customer", "Can charge a saved payment method")]

    def __str__(self) -> str:
        return self.name or self.reference_id or self.uid


class SavedPaymentMethod(Mirror):
    """A saved card or bank account. Only the last four digits are stored; assumption A14."""

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="saved_methods")
    customer = mirror_key("govpay.Customer", _("customer"), related_name="saved_methods")
    method_type = models.TextField(_("method type"), blank=True, default="")
    brand = models.TextField(_("brand"), blank=True, default="")
    last4 = models.CharField(_("last four"), max_length=8, blank=True, default="")
    exp_month = models.PositiveSmallIntegerField(_("expiry month"), null=True, blank=True)
    exp_year = models.PositiveSmallIntegerField(_("expiry year"), null=True, blank=True)
    holder_name = models.TextField(_("holder name"), blank=True, default="")
    bank_name = models.TextField(_("bank name"), blank=True, default="")
    account_type = models.TextField(_("account type"), blank=True, default="")
    is_default = models.BooleanField(_("default"), null=True, blank=True)
    search_name = NameWordsField(_("name for the search"), source="holder_name")

    class Meta:
        verbose_name = _("saved payment method")
        verbose_name_plural = _("saved payment methods")
        ordering = ["-remote_created_at", "-id"]
        constraints = [unique_uid("savedpaymentmethod")]
        indexes = [
            models.Index(fields=["customer"], name="govpay_method_customer"),
            models.Index(fields=["account", "uid"], name="govpay_method_keyset"),
            models.Index(fields=["-remote_created_at", "-id"], name="govpay_method_created"),
            models.Index(fields=["exp_year", "exp_month"], name="govpay_method_expiry"),
            models.Index(fields=["last4"], name="govpay_method_last4"),
            WordIndex("search_name", name="govpay_method_search_name", also=("uid", "customer")),
        ]
        permissions = [("manage_wallet", "Can add and remove saved payment methods")]

    def __str__(self) -> str:
        label = self.brand or self.bank_name or self.method_type or "method"
        return f"{label} ····{self.last4}" if self.last4 else label
