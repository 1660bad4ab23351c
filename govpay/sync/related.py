"""Reads one transaction, and the platform's rows that refer to another object."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from govpay.client import Query
from govpay.client import field as named
from govpay.connection import get_endpoints
from govpay.exceptions import InvalidRequest, NotFound

logger = logging.getLogger("govpay.sync")

#: Maximum rows per request. One object has fewer related rows.
RELATED_ROWS_LIMIT = 100


def fetch_transaction(account_uid: str, uid: str) -> Sequence[Mapping[str, Any]]:
    """Return a list with the transaction. It is empty when the API answers 404: it has no route for one transaction,
    or does not have this one yet.
    """
    try:
        return [dict(get_endpoints().get_transaction(account_uid, uid).raw)]
    except NotFound as error:
        logger.info("transaction %s cannot be read; searching the list: %s", uid, error)
        return []


def fetch_related(listing: str, account_uid: str, name: str, uid: str) -> Sequence[Mapping[str, Any]]:
    """Return the rows of ``listing`` whose property ``name`` equals ``uid``, at most ``RELATED_ROWS_LIMIT``.

    Returns an empty list if the API refuses the filter or answers 404; the next sync then reads those rows.
    """
    query = Query(filter=named(name).eq(uid), top=RELATED_ROWS_LIMIT)
    try:
        page = getattr(get_endpoints(), listing)(account_uid, query)
    except (InvalidRequest, NotFound) as error:
        logger.info("%s of %s could not be read; the next sync reads it: %s", listing, uid, error)
        return []
    return [item for item in page.items if item.get(name) == uid]
