"""Webhook subscriptions and stored webhook events."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from govpay.models.access import AccountQuerySet, GovPayModel
from govpay.models.base import Mirror, unique_uid
from govpay.models.choices import EventState, EventType, label_of
from govpay.models.fields import mirror_key


class WebhookSubscription(Mirror):
    """Whether one event type is sent for one account; /guides/webhooks/, assumption A20.

    The platform gives subscriptions no identifier, so ``uid`` is ``<account uid>:<event type>``.
    """

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="webhook_subscriptions")
    event_type = models.CharField(_("event type"), max_length=255, blank=True, default="")
    enabled = models.BooleanField(_("enabled"), null=True, blank=True)

    class Meta:
        verbose_name = _("webhook subscription")
        verbose_name_plural = _("webhook subscriptions")
        ordering = ["account_id", "event_type", "id"]  # not "account": that would join, and hide rows without one
        constraints = [unique_uid("webhooksubscription")]
        indexes = [models.Index(fields=["account", "event_type"], name="govpay_subscription_account")]

    def __str__(self) -> str:
        return label_of(self.event_type, EventType)


class WebhookEvent(GovPayModel):
    """One verified delivery, stored before it is processed; /guides/webhooks/."""

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="webhook_events")
    webhook_id = models.CharField(_("webhook ID"), max_length=255)
    event_type = models.CharField(_("event type"), max_length=255)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    payload = models.JSONField(_("payload"), default=dict)
    state = models.CharField(_("state"), max_length=16, choices=EventState, default=EventState.RECEIVED)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    error = models.TextField(_("error"), blank=True, default="")
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    processed_at = models.DateTimeField(_("processed"), null=True, blank=True)
    #: The payment that was read while the event was processed.
    payment = mirror_key("govpay.Payment", _("payment"), related_name="webhook_events")
    #: Until this time a worker has claimed the event. After that another worker may claim it.
    claimed_until = models.DateTimeField(_("claimed until"), null=True, blank=True, editable=False)
    #: The event is not queued again before this time.
    due_at = models.DateTimeField(_("due at"), null=True, blank=True, editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook event")
        verbose_name_plural = _("webhook events")
        ordering = ["-received_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["account", "webhook_id"], name="govpay_event_webhook_id")]
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="govpay_event_received"),
            models.Index(fields=["state", "-received_at", "-id"], name="govpay_event_state"),
            models.Index(fields=["account", "-received_at", "-id"], name="govpay_event_account"),
            models.Index(fields=["webhook_id"], name="govpay_event_webhook"),
            models.Index(fields=["event_type", "-received_at", "-id"], name="govpay_event_type"),
            models.Index(fields=["payment"], name="govpay_event_payment"),
            models.Index(fields=["due_at"], condition=Q(state=EventState.RECEIVED), name="govpay_event_due"),
        ]
        permissions = [("replay_event", "Can process an event again")]

    def __str__(self) -> str:
        return f"{label_of(self.event_type, EventType)} {self.webhook_id}"
