"""The digest: an e-mail with the review queue, at most once in ``DIGEST_INTERVAL``, and not if the queue is empty."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import NoReverseMatch
from django.utils import timezone
from django.utils.translation import ngettext

from govpay import conf
from govpay.addresses import public_path, public_url
from govpay.models import Heartbeat, Operation, Payment
from govpay.review.items import find_items

logger = logging.getLogger("govpay.review")

#: Name of the ``Heartbeat`` row with the time of the last digest.
NAME = "digest"

#: Delay before the next try after the mail server refused a digest.
DIGEST_RETRY_DELAY = dt.timedelta(minutes=10)

NEVER = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def send_digest() -> int:
    """Send the digest if it is due. Returns the number of its items, which hold names, amounts and references only."""
    recipients = list(conf.get("DIGEST_RECIPIENTS"))
    if not recipients:
        return 0
    interval = dt.timedelta(seconds=float(conf.get("DIGEST_INTERVAL")))
    now = timezone.now()
    sent, _made = Heartbeat.objects.get_or_create(name=NAME, defaults={"started_at": now, "last_seen": NEVER})
    if sent.last_seen > now - interval:
        return 0
    items = find_items(Operation.objects.all(), Payment.objects.all())
    # Two workers may reach this line at the same time. Only one of them can update the row and continue.
    if not items or not _note(sent.last_seen, now):
        return 0
    try:
        send_mail(_subject(len(items)), _body(items), None, recipients)
    except Exception as error:  # each mail back-end has its own exceptions, and their texts may contain a password
        logger.warning("the digest could not be sent (%s); it is tried again", type(error).__name__)
        _note(now, now - interval + DIGEST_RETRY_DELAY)
        return 0
    return len(items)


def _note(seen: dt.datetime, now: dt.datetime) -> int:
    return Heartbeat.objects.filter(name=NAME, last_seen=seen).update(last_seen=now)


def _subject(count: int) -> str:
    return ngettext(
        "Payments: %(count)d item in the review queue", "Payments: %(count)d items in the review queue", count
    ) % {"count": count}


def _body(items: list[Any]) -> str:
    return render_to_string("govpay/mail/digest.txt", {"items": items, "address": _address()})


def _address() -> str:
    """Return the address of the staff page; an empty text without ``PUBLIC_URL`` or if the admin is not mounted."""
    site = public_url()
    try:
        return site and site + public_path("admin:govpay_review")
    except NoReverseMatch:
        return ""
