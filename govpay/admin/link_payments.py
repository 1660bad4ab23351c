"""The payment link behind a payment: found by the session, shown with its reference."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _

from govpay.admin.formatting import clip, link_to
from govpay.models import Payment, PaymentLink


def with_link(payments: Any, user: Any) -> Any:
    """Annotate payments with the payment link that was paid. ``link_pk``: its key. ``link_reference``: our reference.

    The platform gives such a payment a reference of its own.
    """
    visible = PaymentLink.objects.visible_to(user)
    links = visible.filter(session=OuterRef("session"), account=OuterRef("account")).order_by("pk")
    return payments.annotate(
        link_pk=Subquery(links.values("pk")[:1]), link_reference=Subquery(links.values("reference_id")[:1])
    )


def link_paid(row: Payment) -> str | None:
    """Return a link to the payment link that was paid, with its reference. Needs ``with_link``."""
    pk = row.__dict__.get("link_pk")
    if pk is None:
        return None
    text = clip(row.__dict__["link_reference"]) or _("Without a reference")
    return link_to(PaymentLink(pk=pk), text)
