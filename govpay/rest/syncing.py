"""Sync runs: the result of each sync of one list."""

from __future__ import annotations

from govpay.models import SyncRun
from govpay.rest.base import Rows, RowView
from govpay.rest.filters import MomentFilter, RowFilter, TextFilter
from govpay.rest.rows import RowSerializer


class RunSerializer(RowSerializer):
    class Meta:
        model = SyncRun
        fields = (
            *("id", "account", "resource", "mode", "state", "started_at", "finished_at", "fetched", "created"),
            *("updated", "unchanged", "deleted", "pages", "rejected_count", "rejected", "error"),
        )


class RunFilter(RowFilter):
    state = TextFilter()
    resource = TextFilter()
    mode = TextFilter()
    account = TextFilter()
    created_from = MomentFilter("started_at", "gte")
    created_before = MomentFilter("started_at", "lt")


class RunList(Rows):
    model = SyncRun
    serializer_class = RunSerializer
    filterset_class = RunFilter
    order_column = "started_at"
    operations = {"GET": "list_sync_runs"}
    reads = (
        "Sync runs, the last one started comes first. `rejected` has the first hundred rows that could not be stored."
    )


class RunDetail(RowView):
    model = SyncRun
    serializer_class = RunSerializer
    lookup_field = "pk"
    operations = {"GET": "get_sync_run"}
    reads = "One sync run."
