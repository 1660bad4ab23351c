"""The demo city's customers and their saved methods."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from govpay.sandbox.api.fees import DECLINING_CARDS
from govpay.sandbox.api.wallets import make_customer, make_method, set_default
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import StoredRow

_FIRST = """
Ada Alan Alma Amos Anna Basil Bea Carl Clara Cora Dan Della Dora Earl Edith Elias Ella Emil Esther Ezra
Fay Felix Flora Gail Gus Hal Hana Hugo Ida Ira Iris Jack June Kai Kate Lena Leo Lila Luis Mae Mara Max
Mina Nell Nora Omar Otto Pearl Rosa Ruth Sam Sol Tess Theo Uma Vera Walt Wren Zoe
"""
_LAST = """
Abbott Alvarez Baker Bishop Bowen Brandt Castro Chen Clark Cooper Diaz Dunn Ellis Evans Fischer Flores
Garcia Gibbs Grant Hayes Hill Howard Ito Jensen Kaur Keller Kim Lane Lopez Lund Marsh Meyer Moss Nguyen
Novak Ortiz Park Patel Quinn Reed Rossi Ruiz Shah Silva Stone Tanaka Turner Vance Weber Young Zhang
"""
_BANKS = (
    ("021000021", "First Example Bank"),
    ("011401533", "Mountain Credit Union"),
    ("091000019", "Prairie Savings"),
)
_PREFIXES = {"VISA": "411111", "MASTERCARD": "555555", "AMEX": "371449", "DISCOVER": "601100"}
METHODS = 400


def add_people(
    platform: Platform, rng: random.Random, accounts: list[tuple[StoredRow, int]], start: datetime
) -> dict[str, list[tuple[StoredRow, StoredRow]]]:
    """Add customers to each account and 400 saved methods; return (customer, method) pairs by account uid."""
    moment, number = start, 0
    customers: list[StoredRow] = []
    for account, count in accounts:
        for _ in range(count):
            moment += timedelta(minutes=rng.randrange(20, 600))
            platform.clock.hold(moment)
            customers.append(_add_customer(platform, rng, account, number))
            number += 1
    # Most have one method, some have more, a few have none.
    keen = [customer for index, customer in enumerate(customers) if index % 24]
    owners = [*keen, *rng.choices(keen, k=METHODS - len(keen))]
    wallets: dict[str, list[tuple[StoredRow, StoredRow]]] = {account.uid: [] for account, _ in accounts}
    for owner in owners:
        moment += timedelta(minutes=rng.randrange(1, 40))
        platform.clock.hold(moment)
        method = make_method(platform, owner, _method(rng, owner, moment))
        wallets[str(owner.account_uid)].append((owner, method))
        if owner.doc["default_payment_method_uid"] is None and rng.random() < 0.8:
            set_default(platform, owner, method.uid)
    return wallets


def _add_customer(platform: Platform, rng: random.Random, account: StoredRow, number: int) -> StoredRow:
    first, last = rng.choice(_FIRST.split()), rng.choice(_LAST.split())
    prefix = account.doc["external_account_id"].split("-")[1][:4]
    return make_customer(
        platform,
        account.uid,
        reference_id=f"{prefix}-{10_001 + number * 7}",
        name=f"{first} {last}",
        email=f"{first}.{last}{number}@example.org".lower(),
    )


def _method(rng: random.Random, owner: StoredRow, moment: datetime) -> Doc:
    holder = owner.doc["name"]
    if rng.random() < 0.22:
        routing, bank = rng.choice(_BANKS)
        ach = {
            "routing_number": routing,
            "account_number_suffix": last4(rng),
            "bank_name": bank,
            "account_type": rng.choice(("checking", "checking", "savings")),
            "holder_name": holder,
        }
        return {"payment_method_type": "ach", "ach": ach}
    brand = rng.choices(list(_PREFIXES), weights=(50, 30, 12, 8))[0]
    # `moment` is about a year ago: one card in ten has expired since.
    expired = rng.random() < 0.1
    year = moment.year if expired else moment.year + rng.randrange(3, 6)
    credit: dict[str, Any] = {
        "last4": last4(rng),
        "exp_month": moment.month if expired else rng.randrange(1, 13),
        "exp_year": year,
        "bin": _PREFIXES[brand],
        "card_brand": brand,
        "holder_name": holder,
    }
    return {"payment_method_type": "credit", "credit": credit}


def last4(rng: random.Random) -> str:
    """Last four digits of a card that does not decline."""
    while (digits := f"{rng.randrange(10_000):04}") in DECLINING_CARDS:
        pass
    return digits


def approves(method: StoredRow, today: str) -> bool:
    """Return whether a capture on this saved method would succeed on the day `today` (ISO)."""
    details = method.doc[method.doc["payment_method_type"]]
    if method.doc["payment_method_type"] == "ach":
        return True
    return f"{details['exp_year']:04}-{details['exp_month']:02}" > today[:7] and details["last4"] not in DECLINING_CARDS


def wire(method: StoredRow) -> Doc:
    """Return the `payment_method` of a payment request for a saved method."""
    kind = method.doc["payment_method_type"]
    return {"payment_method_type": f"wallet_{kind}", "wallet": {"saved_payment_method_uid": method.uid}}
