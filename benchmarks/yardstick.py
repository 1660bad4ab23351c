"""The yardstick: the least ORM code that brings a list of payments into the table."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings
from django.utils import timezone

from govpay.models import Payment

COLUMNS = (
    *("raw", "remote_created_at", "remote_updated_at", "synced_at", "account_id", "customer_id", "session_id"),
    *("reference_id", "base_amount", "tax_amount", "processing_fee_amount", "total_amount", "refunded_amount"),
    *("currency", "status", "method_type", "brand", "last4", "decline_code", "captured_at"),
)


def sync(account: str, page_size: int, order: str) -> int:
    """One pass over the account's payments, in the order and by the queries that ``govpay`` uses."""
    count = 0
    for documents in pages(account, page_size, order):
        uids = [document["uid"] for document in documents]
        known = dict(Payment.objects.filter(uid__in=uids).order_by().values_list("uid", "remote_updated_at"))
        changed = [
            payment(document, account)
            for document in documents
            if known.get(document["uid"]) != moment(document["updated_at"])
        ]
        if changed:
            Payment.objects.bulk_create(changed, update_conflicts=True, unique_fields=["uid"], update_fields=COLUMNS)
        count += len(documents)
    return count


def pages(account: str, page_size: int, order: str) -> Iterator[list[dict[str, Any]]]:
    address = urlsplit(settings.GOVPAY["API_URL"])
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    headers = {"Authorization": f"Bearer {token(connection)}", "X-Payment-Account-Uid": account}
    after: dict[str, str] = {}
    while True:
        options = {**after, "$orderby": "uid asc" if order == "uid" else "updated_at asc,uid asc", "$top": page_size}
        connection.request("GET", f"/api/payments?{urlencode(options, safe='$', quote_via=quote)}", headers=headers)
        documents = json.loads(connection.getresponse().read())
        if not documents:
            connection.close()
            return
        yield documents
        uid, at = documents[-1]["uid"], documents[-1]["updated_at"]
        by_time = f"(updated_at gt {at}) or ((updated_at eq {at}) and (uid gt '{uid}'))"
        after = {"$filter": f"uid gt '{uid}'" if order == "uid" else by_time}


def token(connection: http.client.HTTPConnection) -> str:
    pair = b64encode(f"{settings.GOVPAY['CLIENT_ID']}:{settings.GOVPAY['CLIENT_SECRET']}".encode()).decode()
    headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/x-www-form-urlencoded"}
    body = "grant_type=client_credentials&scope=com.govineer.payments/admin"
    connection.request("POST", "/oauth2/token", body, headers)
    return str(json.loads(connection.getresponse().read())["access_token"])


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def payment(document: dict[str, Any], account: str) -> Payment:
    method = document["payment_method"]
    card = method.get("credit") or {}
    return Payment(
        uid=document["uid"],
        raw=document,
        remote_created_at=moment(document["created_at"]),
        remote_updated_at=moment(document["updated_at"]),
        synced_at=timezone.now(),
        account_id=account,
        customer_id=document["customer_uid"],
        session_id=document["session_id"],
        reference_id=document["reference_id"],
        base_amount=document["base_amount"],
        tax_amount=document["tax_amount"],
        processing_fee_amount=document["processing_fee_amount"],
        total_amount=document["total_amount"],
        refunded_amount=document["refunded_amount"],
        currency=document["currency"],
        status=document["status"],
        method_type=method["payment_method_type"],
        brand=card.get("card_brand") or "",
        last4=card.get("last4") or "",
        decline_code=document["decline_code"] or "",
        captured_at=moment(document["captured_at"]),
    )
