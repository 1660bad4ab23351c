"""Clients and their payment accounts: read them, and queue a sync of an account."""

from __future__ import annotations

from govpay import tasks
from govpay.models import Client, PaymentAccount
from govpay.models.permissions import SYNC_NOW
from govpay.rest.actions import QueuedActionView
from govpay.rest.base import Rows, RowView
from govpay.rest.filters import FlagFilter, RowFilter, TextFilter
from govpay.rest.problems import Unavailable
from govpay.rest.rows import RECORD, MirrorSerializer


class ClientSerializer(MirrorSerializer):
    class Meta:
        model = Client
        fields = ("uid", "customer_id", "name", "timezone", "subdomain", *RECORD)


class AccountSerializer(MirrorSerializer):
    class Meta:
        model = PaymentAccount
        fields = (
            *("uid", "client", "name", "processor", "external_account_id", "external_merchant_id", "active"),
            *("enable_ach", "enable_credit_card", "minimum_payment_amount", "maximum_payment_amount"),
            *("callback_url", "webhook_enabled", "allowed_origins", *RECORD),
        )


class ClientFilter(RowFilter):
    customer_id = TextFilter()
    subdomain = TextFilter()
    deleted = FlagFilter("deleted_at", "isnull", exclude=True)


class AccountFilter(RowFilter):
    client = TextFilter()
    active = FlagFilter()
    external_account_id = TextFilter()
    external_merchant_id = TextFilter()
    deleted = FlagFilter("deleted_at", "isnull", exclude=True)


class ClientList(Rows):
    model = Client
    serializer_class = ClientSerializer
    filterset_class = ClientFilter
    order_column = ""
    operations = {"GET": "list_clients"}
    reads = "Clients, the last one read comes first."


class ClientDetail(RowView):
    model = Client
    serializer_class = ClientSerializer
    operations = {"GET": "get_client"}
    reads = "One client."


class AccountList(Rows):
    model = PaymentAccount
    serializer_class = AccountSerializer
    filterset_class = AccountFilter
    order_column = ""
    operations = {"GET": "list_accounts"}
    reads = "Payment accounts, the last one read comes first. The two limits are in cents."


class AccountDetail(RowView):
    model = PaymentAccount
    serializer_class = AccountSerializer
    operations = {"GET": "get_account"}
    reads = "One payment account. The two limits are in cents."


class SyncAccount(QueuedActionView):
    model = PaymentAccount
    operations = {"POST": "sync_account"}
    does = (
        "Queue a sync of the changes on the platform; the sync runs show its result. It changes nothing on the "
        "platform, so the key is remembered for a day only. Needs `govpay.sync_now`."
    )
    permission = SYNC_NOW

    def queue(self, row: PaymentAccount) -> str:
        if not tasks.queue_sync(row.uid):
            raise Unavailable("Not queued: the message broker cannot be reached.")
        return "queued"
