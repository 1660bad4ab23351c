"""Fixtures of the admin's tests: logged-in staff, and a counter of a page's statements."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from govpay.models import Client as Merchant
from govpay.models import Payment, PaymentAccount, Transaction

#: Statements of any admin page for the session, the user and the permissions.
OVERHEAD = re.compile(r'"(django_session|auth_user|auth_permission|auth_group_permissions)"')


@dataclass(frozen=True)
class Page:
    """The response and its statements."""

    response: Any
    statements: list[str]

    @property
    def status(self) -> int:
        return int(self.response.status_code)

    @property
    def html(self) -> str:
        return str(self.response.content.decode())

    @property
    def size(self) -> int:
        return len(self.response.content)


def is_overhead(sql: str) -> bool:
    """Session, user and permissions. Our own statements join other tables, and then they are ours."""
    return OVERHEAD.search(sql) is not None and "govpay_" not in sql


@pytest.fixture
def look() -> Callable[..., Page]:
    """``look(client, address)``: GET it and count."""

    def get(client: Client, address: str, **options: Any) -> Page:
        ContentType.objects.clear_cache()
        with CaptureQueriesContext(connection) as context:
            response = client.get(address, **options)
            if hasattr(response, "render"):
                response.render()
        return Page(response, [q["sql"] for q in context.captured_queries if not is_overhead(q["sql"])])

    return get


@pytest.fixture
def desk(finance: Any, browse: Callable[..., Client]) -> Client:
    """A finance officer's browser."""
    return browse(finance)


@pytest.fixture
def counter(support: Any, browse: Callable[..., Client]) -> Client:
    """A browser of a user who may only view."""
    return browse(support)


@pytest.fixture
def two_accounts(db: None) -> list[str]:
    """Two accounts in Denver with payments, a refund and a dispute on each of the last three days."""
    merchant = Merchant.objects.create(uid="cli_1", name="City", timezone="America/Denver")
    accounts = [
        PaymentAccount.objects.create(uid=f"acc_{name}", name=name, client=merchant) for name in ("Parks", "Utilities")
    ]
    noon = timezone.localtime().replace(hour=12, minute=0, second=0, microsecond=0)
    for number, account in enumerate(accounts, 1):
        for ago in range(3):
            at = min(noon, timezone.now()) - dt.timedelta(days=ago)
            add_day(account, f"{account.uid}_{ago}", number * 1000 + ago, at)
    return [account.uid for account in accounts]


def add_day(account: PaymentAccount, uid: str, amount: int, at: dt.datetime) -> None:
    """Add a captured payment with a fee of 25 cents, a refund of 100 and a chargeback of 7, all at ``at``."""
    common = {"account": account, "currency": "USD", "remote_created_at": at}
    Payment.objects.create(
        uid=f"pay_{uid}",
        reference_id=f"INV-{uid}",
        status="partially_refunded",
        base_amount=amount,
        tax_amount=0,
        processing_fee_amount=25,
        total_amount=amount + 25,
        refunded_amount=100,
        captured_at=at,
        method_type="credit",
        brand="" if uid.endswith("_1") else "visa",
        **common,
    )
    for kind, money in (("capture", amount + 25), ("refund", 100), ("chargeback", 7)):
        Transaction.objects.create(
            uid=f"txn_{kind}_{uid}", payment_id=f"pay_{uid}", type=kind, status="succeeded", amount=money, **common
        )
