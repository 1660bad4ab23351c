"""The demo city: four payment accounts, their customers, and ninety days of realistic payments.

The history is created step by step: each validation, capture and refund is carried out by the
platform's own rules, in order of time, with the clock set to its time. The data is therefore consistent.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import NamedTuple

from govpay.sandbox.api.payments import expire, make_payment
from govpay.sandbox.api.sessions import finish, make_session
from govpay.sandbox.api.tenants import make_account, make_client
from govpay.sandbox.api.terminals import make_terminal
from govpay.sandbox.clock import iso
from govpay.sandbox.control import bulk, people, stories
from govpay.sandbox.platform import Platform
from govpay.sandbox.store import StoredRow

# Payments that wait for capture. With the payments of the accounts below there are 1 500.
WAITING = 6
# A waiting validation expires after 24 hours. It should not expire while the demo is used.
FRESH = timedelta(hours=12)
# Age of the city's accounts.
AGE = timedelta(days=500)


class Department(NamedTuple):
    name: str
    slug: str
    customers: int
    payments: int
    active: bool
    terminals: tuple[tuple[str, str], ...]


DEPARTMENTS = (
    Department(
        "Utilities",
        "utilities",
        110,
        640,
        True,
        (("Front desk 1", "online"), ("Front desk 2", "online"), ("Drive-through", "offline")),
    ),
    Department("Courts", "courts", 60, 420, True, (("Clerk window", "online"),)),
    Department("Parks", "parks", 50, 324, True, (("Recreation center", "online"), ("Boathouse", "inactive"))),
    Department("Cemetery (closed)", "cemetery", 20, 110, False, ()),
)
_SUBSCRIBED = {
    "checkout_session.completed": True,
    "checkout_session.expired": True,
    "payment.completed": True,
    "payment.failed": True,
    "payment.refunded": True,
    "provider.chargeback": True,
    "provider.nsf": True,
    "provider.noc": True,
    "provider.reversal": False,
}


def prepare(platform: Platform, size: str | int, seed: int) -> None:
    """Fill an empty platform to `size` (empty, demo, or a number of payments); in the demo six payments wait."""
    if size == "empty":
        return
    if size != "demo" and (not isinstance(size, int) or size < 0):
        raise ValueError(f"size must be empty, demo or a number, not {size!r}")
    with platform.store.transaction():
        if not platform.store.count("client"):
            platform.rng = random.Random(seed)
            if size == "demo":
                _build(platform, platform.rng)
            else:
                _build_plain(platform, int(size))
        if size == "demo":
            _keep_six_waiting(platform)
        platform.rng = None


def fill(platform: Platform, seed: int) -> None:
    """Fill accounts that were created through the API with people and payments; six payments wait for a capture.

    No webhooks are sent for these. Raises ``ValueError`` when an account of the city is missing.
    """
    with platform.store.transaction():
        there = {row.doc["external_account_id"]: row for row in platform.store.find("account", "1")}
        missing = [_external_id(each) for each in DEPARTMENTS if _external_id(each) not in there]
        if missing:
            raise ValueError(f"the city has no account {', '.join(missing)}")
        accounts = [there[_external_id(each)] for each in DEPARTMENTS]
        if not platform.store.count("customer"):
            platform.rng = random.Random(seed)
            try:
                _create_history_without_webhooks(platform, platform.rng, accounts)
            finally:
                platform.rng = None
        _keep_six_waiting(platform)


def _create_history_without_webhooks(platform: Platform, rng: random.Random, accounts: list[StoredRow]) -> None:
    callbacks = [row.doc["callback_url"] for row in accounts]
    client = platform.store.get("client", accounts[0].doc["client_id"])
    tenants = [*accounts, client] if client else accounts
    now = platform.clock.now()
    # The tenants have ids already. Drawing theirs anyway keeps the other ids equal to those of a city seeded at once.
    platform.new_uid("client")
    with platform.clock.history():
        platform.clock.hold(_midnight(now) - AGE)
        for row in tenants:
            row.doc["created_at"] = platform.clock.stamp()
        for row, department in zip(accounts, DEPARTMENTS, strict=True):
            row.doc["callback_url"] = None
            platform.store.put(row)
            platform.new_uid("account")
            _equip(platform, row, department)
        _create_history(platform, rng, accounts, now)
    for row, callback in zip(accounts, callbacks, strict=True):
        row.doc["callback_url"] = callback
    for row in tenants:
        row.doc["updated_at"] = platform.clock.stamp()
        platform.store.put(row)


def _build_plain(platform: Platform, count: int) -> None:
    """Create three accounts, and `count` payments spread over them."""
    client = make_client(platform, name="City of Example", customer_id="city-of-example")
    for index, department in enumerate(DEPARTMENTS[:3]):
        account = _open_account(platform, client, department)
        bulk.add_payments(platform, account.uid, count // 3 + (index < count % 3))


def _build(platform: Platform, rng: random.Random) -> None:
    clock, now = platform.clock, platform.clock.now()
    clock.hold(_midnight(now) - AGE)
    try:
        client = make_client(
            platform,
            name="City of Example",
            customer_id="city-of-example",
            timezone="Mountain Standard Time",
            subdomain="example",
        )
        accounts = [_open_account(platform, client, department) for department in DEPARTMENTS]
        _create_history(platform, rng, accounts, now)
    finally:
        clock.hold(None)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _create_history(platform: Platform, rng: random.Random, accounts: list[StoredRow], now: datetime) -> None:
    """Create the history of four hundred days until `now`, in order of time."""
    clock = platform.clock
    try:
        peopled = [(account, row.customers) for account, row in zip(accounts, DEPARTMENTS, strict=True)]
        wallets = people.add_people(platform, rng, peopled, _midnight(now) - timedelta(days=400))
        busy = [(account, row.payments) for account, row in zip(accounts, DEPARTMENTS, strict=True)]
        # The steps are sorted by time, so that the ledger and every `updated_at` are in time order.
        for moment, _, step in sorted(stories.plan(platform, rng, busy, wallets, now), key=lambda item: item[:2]):
            clock.hold(moment)
            step()
        clock.hold(None)
        _open_sessions(platform, rng, accounts)
    finally:
        clock.hold(None)


def _open_account(platform: Platform, client: StoredRow, department: Department) -> StoredRow:
    account = make_account(
        platform,
        client_id=client.uid,
        name=department.name,
        processor="zift",
        active=department.active,
        external_account_id=_external_id(department),
        external_merchant_id=f"{7_400_100 + DEPARTMENTS.index(department)}",
        minimum_payment_amount=1.0,
        maximum_payment_amount=25_000.0,
        allowed_origins=["https://pay.city.example", "http://127.0.0.1:8000", "http://localhost:8000"],
    )
    account.private["subscriptions"] = dict(_SUBSCRIBED) if department.active else {}
    account.private["checkout_config"] = {
        "merchant_display_name": f"City of Example - {department.name}",
        "accent_color": "#1F6FEB",
    }
    _equip(platform, account, department)
    return platform.store.put(account)


def _external_id(department: Department) -> str:
    return f"EX-{department.slug.upper()}-01"


def _equip(platform: Platform, account: StoredRow, department: Department) -> None:
    for index, (name, status) in enumerate(department.terminals):
        make_terminal(
            platform,
            account.uid,
            name=name,
            serial_number=f"{department.slug[:2].upper()}-{48_210 + index}",
            model=("Lane 3000", "Link 2500")[index % 2],
            status=status,
        )


def _open_sessions(platform: Platform, rng: random.Random, accounts: list[StoredRow]) -> None:
    """Create some unpaid sessions: two are open, four have expired."""
    for index in range(6):
        body = {
            "amount": rng.randrange(2_000, 20_000),
            "currency": "USD",
            "description": f"Invoice {4_100 + index}",
            "success_url": "https://pay.city.example/done",
            "cancel_url": "https://pay.city.example/cancelled",
        }
        row = make_session(platform, accounts[index % 3].uid, body)
        if index >= 2:
            finish(platform, row, "expired")


def _keep_six_waiting(platform: Platform) -> None:
    """Make exactly six wallet payments wait for a capture, none of them about to expire."""
    fresh = iso(platform.clock.now() - FRESH)
    kept = 0
    for row in platform.store.find("payment", "status = 'validated'", (), "created_at DESC"):
        if row.doc["created_at"] < fresh or "wallet" not in row.private["payment_method"] or kept == WAITING:
            expire(platform, row)
        else:
            kept += 1
    for index in range(WAITING - kept):
        _add_waiting(platform, index)


def _add_waiting(platform: Platform, index: int) -> None:
    """Add a payment of an active account on a saved card or bank account that approves."""
    accounts = platform.store.find("account", "active = 1", (), "created_at, uid")
    if not accounts:
        return
    account = accounts[(0, 1, 2, 0, 1, 0)[index] % len(accounts)]
    methods = [
        row
        for row in platform.store.find("method", "account_uid = ?", (account.uid,))
        if people.approves(row, platform.clock.text())
    ]
    if not methods:
        return
    rng = platform.rng or random.Random()
    number = stories.FIRST_NUMBER + platform.store.count("payment")
    make_payment(
        platform,
        account.uid,
        people.wire(rng.choice(methods)),
        base_amount=stories.amount(rng, account.doc["name"]),
        reference_id=stories.reference(account.doc["name"], platform.clock.now().year, number),
    )
