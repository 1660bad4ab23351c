"""A merchant's payment account, on the sandbox and here. Tests of actions set it up, break it and inspect it."""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from django.db import connections
from django.dispatch import Signal
from django.utils import timezone

from govpay import operations, signals
from govpay.models import Customer, Operation, Payment, PaymentAccount, SavedPaymentMethod, Transaction
from govpay.operations.reconciliation import Reconciled
from govpay.sync import mapping
from govpay.sync.pull import pull
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_documents

MINUTE = dt.timedelta(minutes=1)
ABSENT_AFTER = dt.timedelta(seconds=900)


def card(last4: str = "1111", **given: Any) -> dict[str, Any]:
    """The vendor's request object for a card; 1111 approves, 0002 declines."""
    token = f"tok_{uuid.uuid4().hex}"
    block = {"fingerprint": token, "last4": last4, "exp_month": 12, "exp_year": 2040, "bin": "411111", **given}
    return {"payment_method_type": "credit", "credit": block}


def bank_account(**given: Any) -> dict[str, Any]:
    block = {
        "routing_number": "021000021",
        "account_number_suffix": "9992",
        "account_type": "checking",
        "fingerprint": f"tok_{uuid.uuid4().hex}",
        **given,
    }
    return {"payment_method_type": "ach", "ach": block}


class Merchant:
    """One payment account with the methods that tests of actions need."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        self.account = self.add_account()

    def add_account(self, **given: Any) -> PaymentAccount:
        document = self.sandbox.add_account(**given)
        return cast(PaymentAccount, self._take(mapping.ACCOUNT, document, {}))

    def sync(self, *names: str) -> None:
        """Sync the account's lists, as a worker does."""
        for name in names or ("payments", "transactions"):
            assert pull(name, self.account.uid).state == "succeeded"

    # Payments in the states that actions need.

    def quoted(self, base: int = 10_000, method: dict[str, Any] | None = None, **given: Any) -> Payment:
        """Quote a payment, so that it can be captured."""
        given.setdefault("account", self.account)
        return operations.quote_payment(base_amount=base, payment_method=method or card(), **given)

    def add(self, status: str, **given: Any) -> Payment:
        """Create a payment on the platform's side, and store it here."""
        document = self.sandbox.add_payment(self.account.uid, status, **given)
        return cast(Payment, self._take(mapping.PAYMENT, document, {"account_id": self.account.uid}))

    def _take(self, mapper: mapping.Mapper, document: dict[str, Any], extra: dict[str, Any]) -> Any:
        in_transaction(partial(save_documents, mapper, [document], extra=extra, quiet=True))
        return mapper.model.objects.get(uid=document.get("uid") or document["saved_payment_method_uid"])

    def captured(self, base: int = 10_000, **given: Any) -> Payment:
        return self.add("captured", base_amount=base, **given)

    def bank_payment(self, base: int = 10_000, **given: Any) -> Payment:
        """Captured from a bank account: its refunds are pending at first."""
        return self.captured(base, payment_method=bank_account(), **given)

    def saved_method(self, kind: str = "credit", account: PaymentAccount | None = None) -> SavedPaymentMethod:
        where = account or self.account
        customer = self.sandbox.add_customer(where.uid)
        self.sandbox.add_method(customer["uid"], kind)
        [method] = self.sandbox.methods(customer["uid"])
        extra = {"account_id": where.uid}
        self._take(mapping.CUSTOMER, self.sandbox.get("customer", customer["uid"]), extra)
        row = self._take(mapping.SAVED_METHOD, method, {**extra, "customer_id": customer["uid"]})
        Customer.objects.filter(uid=customer["uid"]).update(methods_stale=False)
        return cast(SavedPaymentMethod, row)

    # What was sent, and what the platform did.

    def posts(self, part: str = "") -> list[dict[str, Any]]:
        """The writes that reached the platform, without token requests."""
        return [
            request
            for request in self.sandbox.requests()
            if request["method"] != "GET" and request["path"].startswith("/api/payments") and part in request["path"]
        ]

    def ledger(self, kind: str = "", payment: Payment | None = None) -> list[dict[str, Any]]:
        return [
            entry
            for entry in self.sandbox.ledger()
            if entry["kind"].startswith(kind) and (payment is None or entry["payment_uid"] == payment.uid)
        ]

    def moved(self, kind: str, payment: Payment) -> int:
        """The sum of the ledger entries of this kind, in minor units."""
        return sum(entry["amount"] for entry in self.ledger(kind, payment) if entry["kind"] == kind)

    @contextmanager
    def while_it_acts(self, act: Callable[[], Any]) -> Iterator[None]:
        """Call ``act`` in the platform's thread whenever a write has arrived."""
        faults = self.sandbox.platform.faults
        real = faults.take

        def take(method: str, path: str) -> Any:
            if method != "GET" and path.startswith("/api/payments"):
                act()
            return real(method, path)

        faults.take = take
        try:
            yield
        finally:
            faults.take = real

    # Time.

    def reconcile_all(self) -> Reconciled:
        """Reconcile twice, after the deadline and again after ``ABSENT_AFTER``, as the ticks of the next minutes do."""
        self.pass_deadlines()
        operations.reconcile()
        self.pass_absent_after()
        return operations.reconcile()

    def pass_deadlines(self) -> None:
        """Set the deadline of every open operation to the past."""
        Operation.objects.filter(state__in=("started", "unknown")).update(deadline_at=timezone.now() - MINUTE / 60)

    def pass_absent_after(self) -> None:
        """Set ``absent_at`` back, as if no read had shown a sign for ``ABSENT_AFTER``."""
        for operation in Operation.objects.exclude(absent_at=None):
            Operation.objects.filter(pk=operation.pk).update(absent_at=operation.absent_at - ABSENT_AFTER)


def only(**wanted: Any) -> Operation:
    """The only operation that matches ``wanted``."""
    return Operation.objects.get(**wanted)


def refund_of(operation: Operation) -> Transaction:
    return Transaction.objects.get(uid=operation.result_uid)


def wait_for(look: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait until ``look`` returns something, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


@contextmanager
def listening() -> Iterator[list[tuple[str, str, str]]]:
    """Record every signal that is sent meanwhile: (name, uid or action and state, source)."""
    heard: list[tuple[str, str, str]] = []
    connected: list[tuple[Signal, Callable[..., None]]] = []

    def listener(name: str) -> Callable[..., None]:
        def hear(sender: Any, row: Any, source: str, **_: Any) -> None:
            what = f"{row.action} {row.state}" if isinstance(row, Operation) else str(getattr(row, "uid", row.pk))
            heard.append((name, what, source))

        return hear

    for name, signal in signals.BY_NAME.items():
        receiver = listener(name)
        connected.append((signal, receiver))
        signal.connect(receiver)
    try:
        yield heard
    finally:
        for signal, receiver in connected:
            signal.disconnect(receiver)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs in threads that start together. Returns each result or error."""
    barrier = threading.Barrier(len(jobs))
    results: list[Any] = [None] * len(jobs)

    def run(index: int, job: Callable[[], Any]) -> None:
        try:
            barrier.wait(300)
            results[index] = job()
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads)
    return results
