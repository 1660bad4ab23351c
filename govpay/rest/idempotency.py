"""``Idempotency-Key``: requests with the same key carry out an action only once."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError

from govpay.cache import FailOpenCache, idempotency_key
from govpay.exceptions import KeyReused, OperationInProgress
from govpay.models import Operation
from govpay.models.choices import OperationAction, OperationState, label_of
from govpay.operations import journal
from govpay.operations.engine import RequestKey

#: The namespace of the UUIDs that are made from a user and an idempotency key.
NAMESPACE = uuid.UUID("0f6a86b9-43a3-5a2b-9d28-6d7d6cf7b0a4")
HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255

#: Seconds for which the cache remembers an action that is not in the journal, after it was done and while it runs.
REMEMBERED = dt.timedelta(days=1).total_seconds()
UNDER_WAY = 60

ANOTHER = "This key was used for another action. Each action needs its own key."

_cache = FailOpenCache("cache of idempotency keys")


def bound(key: uuid.UUID, request: Any, given: Mapping[str, Any]) -> RequestKey:
    """Return ``key`` with a keyed hash of this request: its method, its URL and the validated body."""
    at = request.resolver_match
    text = json.dumps([request.method, at.url_name, at.kwargs, given], sort_keys=True, default=str)
    return RequestKey(key, salted_hmac("govpay.rest", text, algorithm="sha256").hexdigest())


def key_of(request: Any) -> uuid.UUID:
    """Return the operation's key, made from the user and the header. Raises ``ValidationError`` without the header."""
    given = request.headers.get(HEADER, "").strip()
    if not given:
        raise ValidationError(
            {HEADER: ["Is missing: send a new key with each action, and repeat the action with the same key."]}
        )
    if len(given) > MAX_KEY_LENGTH:
        raise ValidationError({HEADER: ["May have 255 characters."]})
    return uuid.uuid5(NAMESPACE, json.dumps([str(request.user.pk), given]))


def find(key: uuid.UUID) -> Operation | None:
    """Return the operation with this key, or None."""
    return journal.entries().filter(key=key).defer("validated_method").first()


def demand_same(earlier: Operation, key: RequestKey) -> None:
    """Raises ``KeyReused`` if the key was used with another method, URL or body."""
    if earlier.fingerprint and earlier.fingerprint != key.mark:
        raise KeyReused(ANOTHER)


def demand_idle(earlier: Operation) -> None:
    """Raises ``OperationInProgress`` at once if the first call is under way. ``execute`` would wait for it first."""
    if earlier.state == OperationState.STARTED and not earlier.is_overdue:
        raise OperationInProgress(
            _("This action is under way: %(action)s.") % {"action": label_of(earlier.action, OperationAction)}
        )


def demand_unknown(key: RequestKey) -> None:
    """Raises ``KeyReused`` if ``once`` has stored this key in the cache for another action."""
    if _cache.get(idempotency_key(key)) is not None:
        raise KeyReused(ANOTHER)


def once(key: RequestKey, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Carry out an action that changes nothing on the platform and is not in the journal. The cache stores its answer.

    If the cache loses the answer or is down, the action is done again, which is harmless. A failed action is not
    remembered. Raises ``KeyReused``, ``OperationInProgress`` and the errors of ``act``.
    """
    if journal.is_used(key):
        raise KeyReused(ANOTHER)
    name, mark = idempotency_key(key), key.mark
    if not _cache.add(name, {"mark": mark}, timeout=UNDER_WAY):
        found = _cache.get(name)
        if isinstance(found, dict):
            if found.get("mark") != mark:
                raise KeyReused(ANOTHER)
            if "answer" not in found:
                raise OperationInProgress("This is under way.")
            return dict(found["answer"])
    try:
        answer = act()
    except BaseException:
        _cache.delete(name)
        raise
    _cache.set(name, {"mark": mark, "answer": answer}, timeout=REMEMBERED)
    return answer
