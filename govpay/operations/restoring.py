"""After a restore from a backup: hold all operations, read all lists in full, and add refunds that the journal lacks.

After a restore, journal, mirror and outbox are older than the platform. A refund that is repeated with the same key has
the same reference, so that the platform refuses it as a duplicate (assumption A10). Repeated captures and voids are
refused because of the payment's status. For everything else, the lists must be read before anything is sent.
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

#: Number of transactions that one statement reads.
CHUNK = 500


def begin_restore() -> None:
    """Refuse all operations from now on, and make the next run of each list a full run from the beginning.

    A second call during the hold changes nothing, so that an interrupted command can be started again.
    """

    def work() -> None:
        now = timezone.now()
        _row, made = Heartbeat.objects.get_or_create(name=NAME, defaults={"started_at": now, "last_seen": now})
        if made:
            # The positions come from the backup. A worker that continues from one of them loses its lease.
            places = dict.fromkeys(("position", "full_position", "missing", "watermark", "lease_token"))
            SyncCursor.objects.update(**places)

    in_transaction(work)


def unread_lists() -> Iterator[tuple[str, str]]:
    """Return the lists (resource, account's uid or an empty string) that were not read in full since the restore.

    A list counts as read if the API has reported since then that it does not offer the list. A list that may be
    incomplete does not count as read.
    """
    since = held_since()
    read = Q(full_completed_at__gte=since, unproved_at=None) | Q(not_offered_at__isnull=False, completed_at__gte=since)
    done: set[Any] = set(SyncCursor.objects.filter(read).values_list("resource", "account_id")) if since else set()
    wanted = [(name, None) for name in GLOBAL] + [(name, uid) for uid in account_uids() for name in SCOPED]
    return ((name, uid or "") for name, uid in wanted if since and (name, uid) not in done)


def finish_restore(*, anyway: bool = False) -> int | None:
    """Allow operations again after a restore, if every list was read in full since.

    Returns the number of refunds that were missing in the journal and were added. Returns None, and changes nothing,
    if operations are not held, or if a list was not read yet (``unread_lists``). With ``anyway=True`` unread lists do
    not matter.
    """
    if held_since() is None or (not anyway and next(unread_lists(), None) is not None):
        return None
    found = adopt_refunds()
    in_transaction(lambda: Heartbeat.objects.filter(name=NAME).delete())
    return found


def adopt_refunds() -> int:
    """Insert journal rows for refunds that have one of our references but no journal row. Returns how many.

    The reference contains the operation's key, so a caller who repeats the request gets its outcome. Each refund
    becomes a review item, because the restored database does not say who requested it.
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
