"""Sync of webhook subscriptions: one small unpaged list per account."""

from __future__ import annotations

from govpay.connection import get_endpoints
from govpay.models import WebhookSubscription
from govpay.sync import mapping
from govpay.sync.missing import mark_missing, note_missing
from govpay.sync.passes import SyncPass
from govpay.sync.upsert import Saved, save_documents


def read_subscriptions(sync_pass: SyncPass) -> None:
    """Read all subscriptions of the account (assumption A20). Raises ``TooManyGone``."""
    account = str(sync_pass.account_uid)
    page = get_endpoints().list_subscriptions(account)
    sync_pass.whole, sync_pass.unproved = True, not page.is_whole
    gone: list[str] = []

    def work() -> Saved:
        saved = save_documents(mapping.subscription_of(account), page.items, extra=sync_pass.address)
        if saved.all_named and page.is_whole:  # rows that the list lacks are gone
            present = WebhookSubscription.objects.filter(account=account, deleted_at=None).order_by()
            gone[:] = set(present.values_list("uid", flat=True)) - saved.listed
        return saved

    sync_pass.commit(work)
    note_missing(sync_pass, WebhookSubscription, sorted(gone))
    mark_missing(sync_pass, WebhookSubscription)
