"""The health table on a payment account's page."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from govpay.admin.formatting import Table, moment
from govpay.exceptions import GovPayError
from govpay.models import Operation, PaymentAccount, SyncCursor, WebhookEvent, WebhookSubscription
from govpay.models.choices import EventState, OperationState

#: Period in which failures are counted.
FAILURES_WINDOW = dt.timedelta(days=1)


def health_of(account: PaymentAccount, cursors: list[SyncCursor], user: Any) -> Table:
    """Return a table with last sync, token, subscriptions, last event and failures. Makes one query."""
    since = timezone.now() - FAILURES_WINDOW
    synced = max((cursor.completed_at for cursor in cursors if cursor.completed_at), default=None)
    bad = Q(state=OperationState.UNKNOWN) | Q(state=OperationState.FAILED, created_at__gte=since)
    bad |= Q(state=OperationState.STARTED, deadline_at__lte=timezone.now())  # its process was stopped
    events = WebhookEvent.objects.visible_to(user).filter(account=OuterRef("uid"))
    subscriptions = WebhookSubscription.objects.visible_to(user).filter(enabled=True, deleted_at=None)
    found = (
        PaymentAccount.objects.visible_to(user)
        .filter(pk=account.pk)
        .values_list(
            _count(subscriptions.filter(account=OuterRef("uid"))),
            Subquery(events.order_by("-received_at").values("received_at")[:1]),
            _count(events.filter(state=EventState.FAILED, received_at__gte=since)),
            _count(Operation.objects.visible_to(user).filter(bad, account=OuterRef("uid"))),
        )
    )
    on, last, stuck, failing = found.first() or (0, None, 0, 0)
    return Table(
        title=_("Health"),
        heads=(_("What"), _("Status")),
        rows=[
            (_("Last sync"), moment(synced) or _("never")),
            (_("Token"), _token()),
            (_("Subscriptions"), ngettext("%(count)d type", "%(count)d types", on) % {"count": on}),
            (_("Last event"), moment(last) or _("never")),
            (_("Events that failed within a day"), stuck),
            (_("Operations that failed within a day, or whose outcome is unknown"), failing),
        ],
    )


def _count(rows: QuerySet[Any]) -> Coalesce:
    counted = rows.order_by().values("account").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted), 0, output_field=IntegerField())


def _token() -> Any:
    """Return a text about the access token of the whole site, which all accounts share."""
    from govpay.connection import get_authorizer  # noqa: PLC0415 - not loaded when a process starts

    try:
        known = get_authorizer().status()
    except GovPayError as error:
        return str(error)
    if known["blocked"]:
        return _("refused a moment ago; the next attempt is in %(seconds)d s") % {"seconds": known["blocked"]}
    if "age" not in known:
        return _("none yet")
    return _("valid for %(minutes)d minutes") % {"minutes": known["expires_in"] // 60}
