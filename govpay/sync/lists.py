"""The paged lists: the operation that reads each one, and the mapper that makes its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from govpay import conf
from govpay.connection import get_endpoints
from govpay.sync import mapping
from govpay.sync.mapping import Mapper


@dataclass(frozen=True)
class Listing:
    """A paged list, and the read of one of its objects. Both are named by their operation in ``client.routes``.

    ``name`` is the name of the list in ``govpay_sync`` and in the setting ``UNPAGED_LISTS``.
    """

    name: str
    operation: str
    single: str
    mapper: Mapper

    def read(self, account_uid: str | None, uid: str) -> Mapping[str, Any]:
        """Read one object and return its document. Raises ``NotFound``."""
        get = getattr(get_endpoints(), self.single)
        found = get(uid) if account_uid is None else get(account_uid, uid)
        return dict(found.raw)


CLIENTS = Listing("clients", "list_clients", "get_client", mapping.CLIENT)
PAYMENT_ACCOUNTS = Listing("accounts", "list_payment_accounts", "get_payment_account", mapping.ACCOUNT)
CUSTOMERS = Listing("customers", "list_customers", "get_customer", mapping.CUSTOMER)
PAYMENTS = Listing("payments", "list_payments", "get_payment", mapping.PAYMENT)
TRANSACTIONS = Listing("transactions", "list_transactions", "get_transaction", mapping.TRANSACTION)
TERMINALS = Listing("terminals", "list_terminals", "get_terminal", mapping.TERMINAL)

_LISTINGS = (CLIENTS, PAYMENT_ACCOUNTS, CUSTOMERS, PAYMENTS, TRANSACTIONS, TERMINALS)
_NAMES = {listing.operation: listing.name for listing in _LISTINGS}

#: The names that ``UNPAGED_LISTS`` may have.
PAGED = tuple(_NAMES.values())


def comes_whole(operation: str) -> bool:
    """Return whether the setting ``UNPAGED_LISTS`` says that this list always comes whole in one answer."""
    return _NAMES[operation] in conf.get("UNPAGED_LISTS")
