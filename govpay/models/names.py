"""Names of models and fields that the code does not mark itself, as texts that can be translated."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.utils.translation import gettext_noop as _

MODELS = {
    "accountaccess": (_("account access"), _("account access")),
    "client": (_("client"), _("clients")),
    "paymentaccount": (_("payment account"), _("payment accounts")),
    "customer": (_("customer"), _("customers")),
    "savedpaymentmethod": (_("saved payment method"), _("saved payment methods")),
    "payment": (_("payment"), _("payments")),
    "transaction": (_("transaction"), _("transactions")),
    "hostedsession": (_("hosted session"), _("hosted sessions")),
    "paymentlink": (_("payment link"), _("payment links")),
    "terminal": (_("terminal"), _("terminals")),
    "webhooksubscription": (_("webhook subscription"), _("webhook subscriptions")),
    "webhookevent": (_("webhook event"), _("webhook events")),
    "operation": (_("operation"), _("operations")),
    "synccursor": (_("sync cursor"), _("sync cursors")),
    "syncrun": (_("sync run"), _("sync runs")),
    "outboxsignal": (_("outbox signal"), _("outbox signals")),
    "heartbeat": (_("heartbeat"), _("heartbeats")),
    "contractnotice": (_("contract notice"), _("contract notices")),
}

FIELDS = (
    _("account"),
    _("account type"),
    _("action"),
    _("active"),
    _("actor"),
    _("allowed origins"),
    _("amount"),
    _("attempt"),
    _("attempts"),
    _("bank name"),
    _("base amount"),
    _("brand"),
    _("claimed until"),
    _("client"),
    _("created at"),
    _("created by"),
    _("credential"),
    _("currency"),
    _("customer"),
    _("decline code"),
    _("description"),
    _("digest"),
    _("due at"),
    _("earlier attempts"),
    _("email"),
    _("enabled"),
    _("error"),
    _("error class"),
    _("error code"),
    _("event type"),
    _("expires at"),
    _("fee preview"),
    _("fingerprint"),
    _("flag"),
    _("flag backlog"),
    _("flag movement"),
    _("flag order"),
    _("full position"),
    _("group"),
    _("holder name"),
    _("hosted url"),
    _("key"),
    _("kind"),
    _("layout"),
    _("lease process start"),
    _("lease token"),
    _("metadata"),
    _("method type"),
    _("methods stale"),
    _("missing"),
    _("mode"),
    _("model"),
    _("name"),
    _("older digest"),
    _("order"),
    _("pages"),
    _("payload"),
    _("payment"),
    _("position"),
    _("previous webhook secret"),
    _("processor"),
    _("reason"),
    _("reason code"),
    _("refunded amount"),
    _("rejected"),
    _("replaced digest"),
    _("resource"),
    _("retried by"),
    _("row"),
    _("row marks"),
    _("saved method"),
    _("scope"),
    _("serial number"),
    _("session"),
    _("source"),
    _("state"),
    _("status"),
    _("subdomain"),
    _("tax amount"),
    _("timezone"),
    _("total amount"),
    _("type"),
    _("user"),
    _("validated method"),
    _("watermark"),
    _("webhook secret"),
    # Of the doctor.
    _("count"),
    _("mark"),
    _("route"),
    _("value"),
    # Of the journal.
    _("SEC code"),
    _("attention"),
    _("authorization"),
    _("authorization attested"),
    _("call ends by"),
    _("first not found"),
    _("how that is known"),
    _("last look-up's error"),
    _("last looked up"),
    _("method kept until"),
    _("platform's request ID"),
    _("raised"),
    _("result"),
    _("settled by"),
    _("settled by hand"),
)

#: Of a run of the sync they count rows, elsewhere the same words are times.
COUNTS = {
    "fetched": pgettext_lazy("rows", "fetched"),
    "created": pgettext_lazy("rows", "created"),
    "updated": pgettext_lazy("rows", "updated"),
    "unchanged": pgettext_lazy("rows", "unchanged"),
    "deleted": pgettext_lazy("rows", "deleted"),
}


def translate_names(*rows: type[models.Model]) -> None:
    """Mark the names that Django derives: given as ``verbose_name`` they would have to stand in a migration."""
    for model in rows:
        meta: Any = model._meta
        meta.verbose_name, meta.verbose_name_plural = map(gettext_lazy, MODELS[meta.model_name])
        counts = COUNTS if meta.model_name == "syncrun" else {}
        for field in meta.concrete_fields:
            if isinstance(field.verbose_name, str) and not field.primary_key:
                field.verbose_name = counts.get(field.name) or gettext_lazy(field.verbose_name)
