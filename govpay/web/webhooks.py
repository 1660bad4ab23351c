"""The webhook receiver, ``webhooks/<account uid>/``: verifies and stores deliveries. Tasks process them."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter
from functools import partial
from typing import Any, cast

from django.db import Error as DatabaseTrouble
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from govpay import conf, tasks
from govpay.client import signature
from govpay.client.redaction import one_line
from govpay.decorators import public
from govpay.exceptions import SignatureError
from govpay.models import WebhookEvent
from govpay.models.fields import UID_LENGTH
from govpay.ratelimit import Refusals, address_of
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import inbox
from govpay.sync.mapping import Unmappable
from govpay.sync.secrets import NoSecret, UnknownAccount, secrets_after_mismatch, secrets_of

logger = logging.getLogger("govpay.webhooks")

#: Maximum size of a body in bytes (faults W6). The platform's own are some hundred bytes.
LARGEST = 256 * 1024

#: Maximum length of an identifier and of an event type, as in the table.
MAX_IDENTIFIER_LENGTH = 255

#: Number of refusals by this process, by status and reason; shown in each log line.
_refusals: Counter[tuple[int, str]] = Counter()
#: Limits the logged refusals of one address. Verification is cheaper than any check of the sender, so every delivery
#: is verified; but a flood of forgeries must not fill the log.
_flood = Refusals()


class DeliveryRefused(Exception):
    """The request is refused with ``status`` and is not stored. ``why`` goes to the log."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = headers


class Late(DeliveryRefused):
    """A delivery that the platform signed, but that arrived too late."""


@public
@csrf_exempt
@scrub_traceback
def webhook(request: HttpRequest, account_uid: str) -> HttpResponse:
    """Accept one delivery; /guides/webhooks/.

    Answers 200 if the delivery is stored, now or earlier. A delivery that cannot be trusted gets a 4xx before any row
    is written. If one address sends too many of these, it gets 429. If the delivery cannot be verified or stored now,
    the answer is 503, so that the sender retries.
    """
    try:
        body = _body(request)
        payload = _verified(request.headers.get("X-Webhook-Signature"), body, account_uid)
        pk = _stored(account_uid, payload)
    except DeliveryRefused as refused:
        counts = refused.status < 500 and not isinstance(refused, Late)
        wait = _flood.too_many(address_of(request)) if counts else 0
        return _too_often(wait) if wait else _refuse(account_uid, refused)
    except DatabaseTrouble as error:
        logger.error("a delivery for %s could not be stored (%s)", account_uid, type(error).__name__)
        return _refuse(account_uid, DeliveryRefused(503, "not now", **{"Retry-After": "30"}))
    if pk is not None:
        queue = partial(tasks.queue_event_soon, account_uid, pk)
        transaction.on_commit(queue, using=router.db_for_write(WebhookEvent), robust=True)
    return _answer(200, "duplicate" if pk is None else "accepted")


def _body(request: HttpRequest) -> bytes:
    if request.method != "POST":
        raise DeliveryRefused(405, "not a POST", Allow="POST")
    if request.content_type != "application/json":
        raise DeliveryRefused(415, "not application/json")
    declared = request.META.get("CONTENT_LENGTH") or ""
    if len(declared) > 9 or (declared.isascii() and declared.isdigit() and int(declared) > LARGEST):
        raise DeliveryRefused(413, "too large")
    # A chunked request has no length, and Django reads nothing of it. If the server marks its end, it is read directly.
    chunked = not declared and request.META.get("wsgi.input_terminated")
    source: Any = request.META["wsgi.input"] if chunked else request
    try:
        body = source.read(LARGEST + 1)
    except (UnreadablePostError, OSError):
        raise DeliveryRefused(400, "cut short") from None
    if len(body) > LARGEST:
        raise DeliveryRefused(413, "too large")
    return body


def _verified(header: str | None, body: bytes, account_uid: str) -> dict[str, Any]:
    if len(account_uid) > UID_LENGTH or not account_uid.isprintable():
        raise DeliveryRefused(404, "unknown payment account")
    try:
        signature.digest_of(header)
        secrets = secrets_of(account_uid)
        try:
            return _signed(header, body, secrets)
        except SignatureError as error:
            # Only a signature that matches no secret may mean that the secret was rolled.
            others = secrets_after_mismatch(account_uid, secrets) if error.reason == "signature" else ()
            if not others:
                raise
            return _signed(header, body, others)
    except SignatureError as error:
        if error.reason == "stale":
            inbox.count_stale(account_uid)
            raise Late(401, str(error)) from None
        raise DeliveryRefused(400 if error.reason == "body" else 401, str(error)) from None
    except UnknownAccount:
        raise DeliveryRefused(404, "unknown payment account") from None
    except NoSecret:
        raise DeliveryRefused(503, "the webhook secret is not known yet", **{"Retry-After": "30"}) from None


def _signed(header: str | None, body: bytes, secrets: tuple[str, ...]) -> dict[str, Any]:
    tolerance = float(conf.get("WEBHOOK_TOLERANCE"))
    return signature.verify(header, body, secrets, now=time.time(), tolerance=tolerance)


def _stored(account_uid: str, payload: dict[str, Any]) -> int | None:
    webhook_id, event_type = payload.get("webhook_id"), payload.get("event_type")
    for name, value in (("webhook_id", webhook_id), ("event_type", event_type)):
        if not isinstance(value, str) or not 0 < len(value) <= MAX_IDENTIFIER_LENGTH or not value.isprintable():
            raise DeliveryRefused(400, f"no usable {name}")
    try:
        return inbox.store(
            account_uid=account_uid,
            webhook_id=str(webhook_id),
            event_type=str(event_type),
            sent_at=dt.datetime.fromtimestamp(payload["timestamp"], dt.UTC),
            payload=payload,
        )
    except Unmappable as error:
        raise DeliveryRefused(400, str(error)) from None


def _refuse(account_uid: str, refused: DeliveryRefused) -> HttpResponse:
    _refusals[refused.status, refused.why] += 1
    count = _refusals[refused.status, refused.why]
    logger.warning(
        "webhook refused: %d %s, account %s (no. %d)", refused.status, refused.why, one_line(account_uid, 128), count
    )
    # The answer explains what is malformed. An answer to a wrong signature explains nothing.
    detail = refused.why if refused.status in (400, 405, 413, 415) else ""
    return _quiet(_answer(refused.status, "refused", detail, **refused.headers))


def _too_often(wait: int) -> HttpResponse:
    return _quiet(_answer(429, "refused", **{"Retry-After": str(wait)}))


def _quiet(response: Any) -> HttpResponse:
    response._has_been_logged = True  # otherwise Django logs it too, and mails the admins for a 503
    return cast(HttpResponse, response)


def _answer(status: int, what: str, detail: str = "", **headers: str) -> HttpResponse:
    return JsonResponse({"status": what, **({"detail": detail} if detail else {})}, status=status, headers=headers)
