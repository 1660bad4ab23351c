"""The paged lists: the operation that reads each one, and the mapper that makes its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from govpay.connection import get_endpoints
from govpay.sync import mapping
from govpay.sync.mapping import Mapper


@dataclass(frozen=True)
class Listing:
    """A paged list and the read of one object, both named by their operation in ``client.routes``."""

    operation: str
    single: str
    mapper: Mapper

    def read(self, account_uid: str | None, uid: str) -> Mapping[str, Any]:
        """The document of one object. Raises ``NotFound``."""
        get = getattr(get_endpoints(), self.single)
        found = get(uid) if account_uid is None else get(account_uid, uid)
        return dict(found.raw)


CLIENTS = Listing("list_clients", "get_client", mapping.CLIENT)
PAYMENT_ACCOUNTS = Listing("list_payment_accounts", "get_payment_account", mapping.ACCOUNT)
CUSTOMERS = Listing("list_customers", "get_customer", mapping.CUSTOMER)
PAYMENTS = Listing("list_payments", "get_payment", mapping.PAYMENT)
TRANSACTIONS = Listing("list_transactions", "get_transaction", mapping.TRANSACTION)
TERMINALS = Listing("list_terminals", "get_terminal", mapping.TERMINAL)
