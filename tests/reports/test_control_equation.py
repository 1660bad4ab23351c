"""The control equation: movements add up to what the sandbox's ledger says, whatever happened in whatever order."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as repeated
from hypothesis import strategies as st

from govpay.models import Payment, PaymentAccount, Transaction
from govpay.reports import list_exceptions, movements, totals
from govpay.sandbox.api.payments import void
from govpay.sandbox.api.refunds import reverse_chargeback
from govpay.sandbox.control.direct import bank_account, card, the_row
from govpay.sandbox.errors import Refusal
from tests.amounts import repeats
from tests.reading import read

pytestmark = pytest.mark.django_db(transaction=True)

EVER = (dt.date.today() - dt.timedelta(days=3), dt.date.today() + dt.timedelta(days=60))

#: The effect of each entry of the ledger. A refund that settles was entered when it was accepted.
SIGNS = {
    "capture": 1,
    "void": -1,
    "refund": -1,
    "refund_settled": 0,
    "refund_failed": 1,
    "chargeback": -1,
    "chargeback_reversal": 1,
    "ach_return": -1,
}


class History:
    """The history of one account, and the mirror, which learns of it late and in any order."""

    def __init__(self, sandbox: Any, zone: str) -> None:
        self.sandbox = sandbox
        sandbox.set_clock(0)
        client = sandbox.add_client(timezone=zone)["uid"]
        self.account = sandbox.add_account(client)["uid"]
        self.payments: list[str] = []
        self.refunds = 0
        read("clients")
        read("accounts")
        for number in (0, 1, 5, 6):  # cards and bank accounts, captured
            self.pay(number, 1000)

    def carry_out(self, name: str, number: int, amount: int) -> None:
        if name == "pay" or not self.payments:
            return self.pay(number, amount)
        step: Callable[[str, int, int], object] = getattr(self, name)
        place = number % len(self.payments)
        for payment in (*self.payments[place:], *self.payments[:place]):
            with suppress(Refusal):  # the platform's rules: the next payment may allow it
                step(payment, number, amount)
                return None
        return None

    def pay(self, number: int, amount: int) -> None:
        kind = ("credit", "ach")[number % 2]
        method = {"payment_method_type": kind, kind: card() if kind == "credit" else bank_account()}
        status = ("captured", "captured", "captured", "validated", "expired")[number % 5]
        given = {"base_amount": amount + 1, "tax_amount": number, "currency": ("USD", "USD", "CAD")[number % 3]}
        self.payments.append(self.sandbox.add_payment(self.account, status, payment_method=method, **given)["uid"])

    def void(self, payment: str, *_: int) -> None:
        with self.sandbox.platform.store.transaction():
            void(self.sandbox.platform, the_row(self.sandbox.platform, "payment", payment))

    def refund(self, payment: str, number: int, amount: int) -> None:
        self.refunds += 1
        total = self.sandbox.get("payment", payment)["total_amount"]
        wanted = total if number % 3 == 0 else amount % total + 1
        self.sandbox.refund(payment, wanted, f"{self.account}-{self.refunds}")

    def settle(self, payment: str, number: int, amount: int) -> None:
        pending = [row["uid"] for row in self.sandbox.all("transaction", self.account) if row["status"] == "pending"]
        self.sandbox.settle(fail=pending[number % 2 :: 2])

    def dispute(self, payment: str, number: int, amount: int) -> None:
        total = self.sandbox.get("payment", payment)["total_amount"]
        self.sandbox.charge_back(payment, amount=amount % total + 1 if number % 2 else None)

    def win(self, payment: str, *_: int) -> None:
        with self.sandbox.platform.store.transaction():
            reverse_chargeback(self.sandbox.platform, the_row(self.sandbox.platform, "payment", payment))

    def take_back(self, payment: str, *_: int) -> None:
        self.sandbox.return_payment(payment)

    def wait(self, payment: str, number: int, amount: int) -> None:
        self.sandbox.platform.clock.advance(amount * 2)

    def sync_payments(self, *_: Any) -> None:
        read("payments", self.account)

    def sync_transactions(self, *_: Any) -> None:
        read("transactions", self.account)

    def ledger(self) -> dict[str, int]:
        """The sum of each payment. Voiding a payment that was not captured moves no money."""
        sums: dict[str, int] = defaultdict(int)
        for entry in self.sandbox.ledger():
            if entry["account_uid"] == self.account and (entry["kind"] != "void" or entry["payment_uid"] in sums):
                sums[entry["payment_uid"]] += SIGNS[entry["kind"]] * entry["amount"]
        return dict(sums)


def check_mirror(account: PaymentAccount) -> dict[str, int]:
    """Check the equation on what the mirror knows now, each term by itself. Returns the sum of each payment."""
    rows = list(movements([account], *EVER))
    assert len({row.key for row in rows}) == len(rows)
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        sums[row.payment_uid] += row.amount
        if row.kind in ("capture", "void"):
            assert row.base + row.tax + row.fee == row.amount
    moved: dict[tuple[str, str], int] = defaultdict(int)
    for each in Transaction.objects.filter(account=account).exclude(status="failed"):
        moved[str(each.payment_id), each.type] += each.amount
    captured = {
        each.uid: each.total_amount for each in Payment.objects.filter(account=account, captured_at__isnull=False)
    }
    for uid in {*captured, *(payment for payment, _ in moved), *sums}:
        voided = captured[uid] if uid in captured and (uid, "void") in moved else 0
        terms = [moved[uid, kind] for kind in ("refund", "chargeback", "ach_return")]
        assert sums[uid] == captured.get(uid, 0) - voided - sum(terms) + moved[uid, "chargeback_reversal"]
    by_day: dict[tuple[Any, str], int] = defaultdict(int)
    for row in rows:
        by_day[row.day, row.currency] += row.amount
    assert {(row.day, row.currency): row.net for row in totals([account], *EVER)} == by_day
    assert sum(row.net for row in totals([account], *EVER, by=("method",))) == sum(sums.values())
    return {uid: amount for uid, amount in sums.items() if amount or uid in captured}


STEPS = ("pay", "refund", "refund", "settle", "dispute", "win", "take_back", "void", "wait")
SYNCS = ("sync_payments", "sync_transactions")
steps = st.lists(
    st.tuples(st.sampled_from((*STEPS, *SYNCS)), st.integers(0, 30), st.integers(0, 50_000)), min_size=15, max_size=40
)


@pytest.mark.soak
def test_movements_add_up_to_the_ledger(sandbox: Any, settings: Any) -> None:
    """Partial refunds, late failures, disputes, returns and voids; the mirror is checked between the reads, too."""
    before = settings.GOVPAY

    @repeated(
        max_examples=repeats(1000, 5, 60),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        history=steps,
        zone=st.sampled_from(("Mountain Standard Time", "Asia/Kolkata", "Pacific/Auckland", "UTC")),
        ends=st.sampled_from(("00:00", "02:00", "17:00")),
    )
    def run(history: list[tuple[str, int, int]], zone: str, ends: str) -> None:
        settings.GOVPAY = {**before, "DAY_ENDS_AT": ends}
        world = History(sandbox, zone)
        account = PaymentAccount.objects.get(uid=world.account)
        for name, number, amount in history:
            world.carry_out(name, number, amount)
            if name in SYNCS:
                check_mirror(account)
        world.sync_payments()
        world.sync_transactions()
        world.sync_payments()
        assert check_mirror(account) == world.ledger()
        assert list(list_exceptions([account])) == []

    run()
