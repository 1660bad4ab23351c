"""After a restore from a backup: hold every operation, read everything again, and list refunds the journal forgot.

Journal, mirror and outbox are older than the platform then. A refund that is asked for again with the same key carries
the same reference, so that the platform refuses it as a duplicate (assumption A10); captures and voids are refused by
the payment's own status; for everything else the lists have to be read before anything is sent.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

from django.db.models import Q
from django.utils import timezone

from govpay.models import Heartbeat, Operation, SyncCursor, Transaction
from govpay.models.choices import (
    OperationAction,
    OperationAttention,
    OperationState,
    TransactionStatus,
    TransactionType,
)
from govpay.operations import journal
from govpay.operations.hold import NAME, held_since
from govpay.operations.refunds import RefundAction
from govpay.sync.pull import GLOBAL, SCOPED, account_uids
from govpay.sync.transactions import in_transaction

_REFERENCE = re.compile(f"{RefundAction.reference_prefix}-([0-9a-f]{{32}})")

#: Transactions looked at in one statement.
CHUNK = 500


def begin_restore() -> None:
    """Hold every operation from now on, and make the next run over each list a full one from its beginning.

    Calling it again while a restore is under way changes nothing, so that an interrupted command can go on.
    """

    def work() -> None:
        now = timezone.now()
        _row, made = Heartbeat.objects.get_or_create(name=NAME, defaults={"started_at": now, "last_seen": now})
        if made:
            # The places are those of the backup, and a worker that walks from one of them loses its lease.
            places = dict.fromkeys(("position", "full_position", "watermark", "lease_token"))
            SyncCursor.objects.update(**places)

    in_transaction(work)


def unread_lists() -> Iterator[tuple[str, str]]:
    """The lists (resource, account's uid or an empty text) that were not read in full since the restore.

    A list that the API has said since then not to offer counts as read.
    """
    since = held_since()
    read = Q(full_completed_at__gte=since) | Q(not_offered_at__isnull=False, completed_at__gte=since)
    done: set[Any] = set(SyncCursor.objects.filter(read).values_list("resource", "account_id")) if since else set()
    wanted = [(name, None) for name in GLOBAL] + [(name, uid) for uid in account_uids() for name in SCOPED]
    return ((name, uid or "") for name, uid in wanted if since and (name, uid) not in done)


def finish_restore(*, anyway: bool = False) -> int | None:
    """Release the operations once every list was read in full; gives how many refunds the journal did not know.

    ``anyway``: although some list was not read. None: nothing is held, or some list was not read yet
    (``unread_lists``).
    """
    if held_since() is None or (not anyway and next(unread_lists(), None) is not None):
        return None
    found = adopt_refunds()
    in_transaction(lambda: Heartbeat.objects.filter(name=NAME).delete())
    return found


def adopt_refunds() -> int:
    """Write journal rows for refunds that carry a reference of ours and are in no row; gives how many.

    The reference holds the operation's key: a caller who repeats the request finds its outcome. Each becomes a review
    item, since nobody here knows who asked for it.
    """
    last, count = 0, 0
    rows = Transaction.objects.filter(
        type=TransactionType.REFUND, reference_id__startswith=f"{RefundAction.reference_prefix}-", deleted_at=None
    ).defer("raw")
    while chunk := list(rows.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        last = chunk[-1].pk
        known = set(
            journal.entries()
            .filter(reference_id__in=[row.reference_id for row in chunk], action=OperationAction.REFUND)
            .values_list("reference_id", flat=True)
        )
        new = [row for row in chunk if row.reference_id not in known and _REFERENCE.fullmatch(row.reference_id)]
        made = [_operation_of(row) for row in {row.reference_id: row for row in new}.values()]
        in_transaction(lambda made=made: journal.entries().bulk_create(made, ignore_conflicts=True))
        count += len(made)
    return count


def _operation_of(row: Transaction) -> Operation:
    now = timezone.now()
    failed = row.status == TransactionStatus.FAILED
    return Operation(
        key=uuid.UUID(row.reference_id.removeprefix(f"{RefundAction.reference_prefix}-")),
        action=OperationAction.REFUND,
        account_id=row.account_id,
        payment_id=row.payment_id,
        amount=row.amount,
        currency=row.currency,
        reason=row.reason,
        state=OperationState.FAILED if failed else OperationState.SUCCEEDED,
        error="The refund was accepted and failed later." if failed else "",
        error_class="APIError" if failed else "",
        reference_id=row.reference_id,
        result_uid=row.uid,
        created_at=row.remote_created_at or now,
        finished_at=now,
        deadline_at=now,
        attention=OperationAttention.UNRECORDED,
        attention_at=now,
    )
