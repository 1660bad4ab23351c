"""Pulls one list of the platform: takes the lease, reads the list and records the outcome in a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError

from govpay.exceptions import GovPayError, NotFound
from govpay.models import (
    Client,
    Customer,
    Payment,
    PaymentAccount,
    SavedPaymentMethod,
    SyncCursor,
    SyncRun,
    Terminal,
    Transaction,
    WebhookSubscription,
)
from govpay.models.base import Mirror
from govpay.models.choices import SyncMode
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import flags, lease, lists, outbox
from govpay.sync.lists import Listing
from govpay.sync.missing import TooManyGone
from govpay.sync.passes import Progress, SlotOver, SyncPass
from govpay.sync.sessions import read_open_sessions
from govpay.sync.subscriptions import read_subscriptions
from govpay.sync.transactions import reading
from govpay.sync.walks import walk_list
from govpay.sync.wallets import read_methods

logger = logging.getLogger("govpay.sync")


@dataclass(frozen=True)
class SyncResource:
    """One kind of list. ``assumed``: the vendor does not document the list, so a 404 means "not offered".

    ``model`` is the mirror of its rows; ``None`` if there is no list on the platform.
    """

    name: str
    walk: Callable[[SyncPass], None]
    model: type[Mirror] | None = None
    scoped: bool = True
    assumed: bool = True


def _paged(listing: Listing) -> Callable[[SyncPass], None]:
    return partial(walk_list, listing)


def _flagging(listing: Listing) -> Callable[[SyncPass], None]:
    """Return a function that walks the list and then sets the flags of payments."""

    def walk(sync_pass: SyncPass) -> None:
        walk_list(listing, sync_pass)
        flags.catch_up(sync_pass.account_uid, quiet=sync_pass.quiet)

    return walk


#: The lists in reading order: objects that others refer to come first.
RESOURCES: dict[str, SyncResource] = {
    resource.name: resource
    for resource in (
        SyncResource(lists.CLIENTS.name, _paged(lists.CLIENTS), Client, scoped=False, assumed=False),
        SyncResource(
            lists.PAYMENT_ACCOUNTS.name, _paged(lists.PAYMENT_ACCOUNTS), PaymentAccount, scoped=False, assumed=False
        ),
        SyncResource(lists.CUSTOMERS.name, _paged(lists.CUSTOMERS), Customer),
        SyncResource("methods", read_methods, SavedPaymentMethod),
        SyncResource(lists.PAYMENTS.name, _flagging(lists.PAYMENTS), Payment),
        SyncResource(lists.TRANSACTIONS.name, _flagging(lists.TRANSACTIONS), Transaction),
        SyncResource(lists.TERMINALS.name, _paged(lists.TERMINALS), Terminal),
        SyncResource("subscriptions", read_subscriptions, WebhookSubscription),
        SyncResource("sessions", read_open_sessions),
    )
}
GLOBAL = tuple(name for name, resource in RESOURCES.items() if not resource.scoped)
SCOPED = tuple(name for name, resource in RESOURCES.items() if resource.scoped)


def account_uids() -> list[str]:
    """Return the uids of the accounts to sync: all that are not marked as deleted, also inactive ones."""
    return list(PaymentAccount.objects.filter(deleted_at=None).order_by("uid").values_list("uid", flat=True))


def pull(
    name: str,
    account_uid: str | None = None,
    *,
    full: bool = False,
    wait: bool = False,
    until: float | None = None,
    accept_gone: bool = False,
    progress: Progress | None = None,
    on_wait: Callable[[SyncCursor], None] | None = None,
) -> SyncRun:
    """Read one list to its end and return the run. Its ``state`` is the outcome.

    An interrupted walk continues after its last committed page. ``full`` reads the whole list and marks missing rows as
    deleted. A failure of the platform is recorded in the run, not raised. Without ``accept_gone``, a pass fails if it
    finds more missing rows than ``missing.MAX_GONE`` and ``MAX_GONE_SHARE`` allow, or if a list that existed before
    answers 404. After ``until`` (monotonic clock) the walk stops at its next saved position.

    Raises ``SyncBusy`` when another worker reads this list, unless ``wait`` is true.
    """
    resource = RESOURCES[name]
    cursor = lease.cursor_for(name, account_uid if resource.scoped else None)
    lease.acquire_or_wait(cursor, wait=wait, on_wait=on_wait)
    try:
        mode = SyncMode.FULL if full else SyncMode.INCREMENTAL
        sync_pass = SyncPass(cursor, mode, progress, until, accept_gone=accept_gone)
        _carry_out(resource, sync_pass)
    finally:
        lease.release(cursor)
    try:
        outbox.dispatch()
    except DatabaseError:
        logger.exception("signals could not be sent; the next tick sends them")
    return sync_pass.run


def _carry_out(resource: SyncResource, sync_pass: SyncPass) -> None:
    try:
        scrub_traceback(resource.walk)(sync_pass)  # error reporters read the log below
    except (lease.LeaseLost, SlotOver) as error:
        sync_pass.interrupt(str(error))
    except NotFound as error:
        if not resource.assumed or sync_pass.run.pages:
            sync_pass.fail(error.record)
        elif _had_rows(resource, sync_pass):
            sync_pass.fail(f"{error} The list was there before. If it is really gone, use govpay_sync --accept-gone.")
        else:
            sync_pass.finish(not_offered=True)
    except TooManyGone as error:
        sync_pass.fail(str(error), start_over=True)
    except GovPayError as error:
        sync_pass.run.cause = error
        sync_pass.fail(error.record)
    except DatabaseError:
        # The text of the error may quote a row, so it goes to the log only.
        logger.exception("the database refused a page of %s", resource.name)
        sync_pass.fail("The database refused a page; the log has the details.")
    except BaseException:
        # A time limit or Ctrl-C: the pages read so far are committed, and the next pass continues after them.
        sync_pass.interrupt()
        raise
    else:
        sync_pass.finish()


def _had_rows(resource: SyncResource, sync_pass: SyncPass) -> bool:
    """Return whether this list existed before and had rows. A 404 may then come from a misrouted account."""
    cursor = sync_pass.cursor
    offered = cursor.full_completed_at or cursor.position or cursor.full_position
    if sync_pass.accept_gone or resource.model is None or cursor.not_offered_at or not offered:
        return False
    rows = resource.model._default_manager.filter(deleted_at=None, **sync_pass.address)
    return reading(rows.exists)
