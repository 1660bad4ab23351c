"""Flags: the newest movement by the platform's time raises the flag, in whatever order the rows arrive."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from govpay.models import Payment, Transaction
from govpay.models.choices import FLAG_OF_TYPE
from govpay.sync import flags, mapping
from govpay.sync.flags import FlagMovement, catch_up
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_documents
from tests.amounts import rounds
from tests.operations.merchant import at_once
from tests.reading import Heard, read, statements

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now()
DAY = dt.timedelta(days=1)
ACCOUNT = "acc_1"


def movement(uid: str, kind: str = "chargeback", at: dt.datetime = NOW, **given: Any) -> dict[str, Any]:
    return {
        "uid": uid,
        "payment_uid": "pay_1",
        "type": kind,
        "amount": 1000,
        "currency": "USD",
        "status": "succeeded",
        "created_at": at.isoformat(),
        "updated_at": at.isoformat(),
        **given,
    }


def store(*documents: dict[str, Any], quiet: bool = False, account: str = ACCOUNT) -> None:
    """As a page of the list of transactions brings them."""
    extra = {"account_id": account}
    in_transaction(partial(save_documents, mapping.TRANSACTION, documents, extra=extra, quiet=quiet))


def store_payment(uid: str = "pay_1") -> None:
    document = {"uid": uid, "status": "captured", "total_amount": 1000, "currency": "USD"}
    in_transaction(partial(save_documents, mapping.PAYMENT, [document], extra={"account_id": ACCOUNT}))


def flag_of(uid: str = "pay_1") -> tuple[str, str]:
    """The flag, and the movement that is recorded as the newest."""
    row = Payment.objects.get(uid=uid)
    return row.flag, row.flag_movement_id or ""


def lower(uid: str = "pay_1") -> None:
    """As staff mark it as dealt with."""
    Payment.objects.filter(uid=uid).update(flag="")


# --- Which movement wins --------------------------------------------------------------------------


def test_newest_on_a_page_wins_whatever_its_uid() -> None:
    store_payment()
    store(movement("z", "chargeback", NOW - DAY), movement("a", "chargeback_reversal", NOW))
    assert flag_of() == ("reversal", "a")


@pytest.mark.parametrize("turned", [False, True])
def test_same_instant_is_decided_by_kind_then_by_uid(turned: bool) -> None:
    store_payment()
    same = [movement("z"), movement("a", "chargeback_reversal"), movement("b", "chargeback_reversal")]
    for document in reversed(same) if turned else same:
        store(document)
    assert flag_of() == ("reversal", "b")


def test_late_older_movement_neither_replaces_nor_raises() -> None:
    store_payment()
    store(movement("b", "chargeback_reversal", NOW))
    store(movement("a", "chargeback", NOW - DAY))
    assert flag_of() == ("reversal", "b")
    lower()
    store(movement("c", "chargeback", NOW - 2 * DAY))
    assert flag_of() == ("", "b"), "what was dealt with is raised by something newer alone"
    store(movement("d", "chargeback", NOW + DAY))
    assert flag_of() == ("chargeback", "d")


def test_a_change_of_a_known_movement_raises_nothing() -> None:
    store_payment()
    store(movement("a"))
    lower()
    store(movement("a", reason="Told later", updated_at=(NOW + DAY).isoformat()))
    assert Transaction.objects.get().reason == "Told later"
    assert flag_of() == ("", "a")


def test_failed_movement_raises_nothing_until_it_succeeds() -> None:
    store_payment()
    store(movement("a", status="failed"))
    assert flag_of() == ("", "")
    store(movement("a", status="succeeded", updated_at=(NOW + DAY).isoformat()))
    assert flag_of() == ("chargeback", "a")


def test_movement_of_another_account_flags_nothing() -> None:
    store_payment()
    store(movement("a"), account="acc_other")
    assert flag_of() == ("", "")


def test_movement_without_any_time_is_new_when_it_is_first_read() -> None:
    store_payment()
    store(movement("b", at=NOW - DAY))
    store(movement("a", "chargeback_reversal", created_at=None, updated_at=None))
    assert flag_of() == ("reversal", "a")


def test_payment_that_is_read_after_its_movement_is_flagged_all_the_same(sandbox: Any) -> None:
    account = sandbox.add_account()["uid"]
    uid = sandbox.add_payment(account, "captured")["uid"]
    for name in ("payments", "transactions"):
        read(name, account)  # the first load is over
    Payment.objects.all().delete()
    made = sandbox.charge_back(uid)
    read("transactions", account)
    assert not Payment.objects.exists()
    read("payments", account)
    assert flag_of(uid) == ("chargeback", made["uid"])
    assert not Payment.objects.get().flag_backlog
    lower(uid)
    for name in ("payments", "transactions"):
        read(name, account, full=True)
    assert flag_of(uid) == ("", made["uid"])


# --- Any order ------------------------------------------------------------------------------------


class History:
    """Movements of some payments, delivered in pages at random, while staff lower flags at random."""

    KINDS = ("chargeback", "ach_return", "chargeback_reversal", "refund", "capture")

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.payments = [f"pay_{number}" for number in range(self.chance.randint(1, 3))]
        self.documents = [self.make(number) for number in range(self.chance.randint(1, 9))]
        #: The expected state: the newest order of each stored payment, and whether its flag is set.
        self.newest: dict[str, str] = {}
        self.up: dict[str, str] = {}
        self.here: set[str] = set()

    def make(self, number: int) -> dict[str, Any]:
        # Few different times, so that some are equal, and uids in another order than the times.
        at = NOW - self.chance.randint(0, 3) * DAY
        uid = f"{self.chance.choice('abc')}{number}"
        status = self.chance.choice(("succeeded", "succeeded", "pending", "failed"))
        payment = self.chance.choice(self.payments)
        return movement(uid, self.chance.choice(self.KINDS), at, payment_uid=payment, status=status)

    def run(self) -> None:
        arrivals: list[Any] = [*self.documents, *self.documents, *self.payments, *([None] * 3)]
        self.chance.shuffle(arrivals)
        while arrivals:
            size = self.chance.randint(1, 4)
            page, arrivals = arrivals[:size], arrivals[size:]
            store(*(each for each in page if isinstance(each, dict)))
            self.deliver(each for each in page if isinstance(each, dict))
            for uid in (each for each in page if isinstance(each, str)):
                store_payment(uid)
                self.here.add(uid)
            catch_up(ACCOUNT, quiet=False)
            self.deliver(Transaction.objects.values_list("raw", flat=True))
            if None in page:
                lower(uid := self.chance.choice(self.payments))
                self.up.pop(uid, None)

    def deliver(self, documents: Iterable[dict[str, Any]]) -> None:
        for document in documents:
            flag, uid = FLAG_OF_TYPE.get(document["type"]), document["payment_uid"]
            if flag is None or document["status"] == "failed" or uid not in self.here:
                continue
            at = dt.datetime.fromisoformat(document["created_at"])
            order = FlagMovement(document["uid"], document["type"], at).order
            if order > self.newest.get(uid, ""):
                self.newest[uid], self.up[uid] = order, flag.value

    def check(self) -> None:
        for row in Payment.objects.all():
            assert (row.flag, row.flag_order) == (self.up.get(row.uid, ""), self.newest.get(row.uid, ""))
            assert (row.flag_movement_id or "") == row.flag_order.rpartition(" ")[2]


@pytest.mark.soak(0.5)
def test_any_order_of_pages_and_duplicates_ends_the_same() -> None:
    """Faults R14: 0 wrong flags, a thousand histories by ``make soak``."""
    for seed in rounds(1000, 25):
        history = History(seed)
        try:
            history.run()
            history.check()
        except AssertionError as error:
            raise AssertionError(f"history {seed}") from error
        Payment.objects.all().delete()
        Transaction.objects.all().delete()


def test_writers_at_once_leave_the_newest() -> None:
    """Compare-and-set in one statement: no update of another writer is lost."""
    for turn in range(4):
        payment = f"pay_{turn}"
        store_payment(payment)
        kinds = ("chargeback", "chargeback_reversal")
        made = [
            movement(f"{turn}-{9 - number}", kinds[number % 2], NOW - (number % 4) * DAY, payment_uid=payment)
            for number in range(8)
        ]
        at_once(*[partial(store, document) for document in made])
        newest = max(made, key=lambda each: FlagMovement(each["uid"], each["type"], _at(each)).order)
        assert flag_of(payment) == (FLAG_OF_TYPE[newest["type"]].value, newest["uid"])


def _at(document: dict[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(document["created_at"])


def test_a_payment_and_its_movement_at_once_end_with_the_flag() -> None:
    """Neither transaction sees the other's row; of the two walks the one that ends last sees both."""

    def walk_payments(uid: str) -> None:
        store_payment(uid)
        catch_up(ACCOUNT, quiet=False)

    def walk_transactions(uid: str) -> None:
        store(movement(f"txn_{uid}", payment_uid=uid))
        catch_up(ACCOUNT, quiet=False)

    for turn in range(10):
        at_once(partial(walk_payments, f"pay_{turn}"), partial(walk_transactions, f"pay_{turn}"))
        assert flag_of(f"pay_{turn}") == ("chargeback", f"txn_pay_{turn}")


# --- The first load -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "days", "raised"),
    [
        ("chargeback", 1, "chargeback"),
        ("chargeback", 89, "chargeback"),
        ("chargeback", 91, ""),
        ("ach_return", 89, "return"),
        ("ach_return", 91, ""),
        ("chargeback_reversal", 1, ""),
    ],
)
def test_first_load_raises_what_happened_lately(kind: str, days: int, raised: str) -> None:
    store_payment()
    store(movement("a", kind, NOW - days * DAY), quiet=True)
    row = Payment.objects.get()
    assert (row.flag, row.flag_movement_id) == (raised, "a")
    assert row.flag_backlog
    assert bool(row.flagged_at) == bool(raised)
    # A later read does not raise what the first load skipped.
    store(movement("a", kind, NOW - days * DAY, reason="Told later", updated_at=NOW.isoformat()))
    assert flag_of() == (raised, "a")
    catch_up(ACCOUNT, quiet=False)
    assert flag_of() == (raised, "a")
    store(movement("b", "chargeback", NOW))
    row.refresh_from_db()
    assert (row.flag, row.flag_backlog) == ("chargeback", False)


@pytest.mark.parametrize("turned", [False, True])
def test_first_load_of_a_dispute_that_was_reversed_raises_nothing(turned: bool) -> None:
    store_payment()
    pages = [movement("a", "chargeback", NOW - 2 * DAY), movement("b", "chargeback_reversal", NOW - DAY)]
    for document in reversed(pages) if turned else pages:
        store(document, quiet=True)
    assert flag_of() == ("", "b")


def test_first_sync_fills_the_queue_and_owes_no_signal(sandbox: Any, heard: Heard) -> None:
    account = sandbox.add_account()["uid"]
    uids = [sandbox.add_payment(account, "captured")["uid"] for _ in range(3)]
    for uid in uids[:2]:
        sandbox.charge_back(uid)
    for name in ("payments", "transactions"):
        read(name, account)
    assert Payment.objects.filter(flag="chargeback", flag_backlog=True).count() == 2
    assert not heard.of("payment_disputed")


# --- What it costs, and where it comes from -------------------------------------------------------


def test_a_page_of_movements_is_one_statement_more() -> None:
    many = 200
    for number in range(many):
        store_payment(f"pay_{number}")
    documents = [movement(f"txn_{number}", payment_uid=f"pay_{number}") for number in range(many)]
    with statements() as sql:
        store(*documents)
    assert len(sql.on(Payment, "UPDATE")) == 1
    assert len(sql.all) <= 3
    assert Payment.objects.filter(flag="chargeback").count() == many
    with statements() as sql:
        store(*documents)
        catch_up(ACCOUNT, quiet=False)
    assert not sql.on(Payment, "UPDATE"), "an unchanged page writes nothing"


def test_migration_records_the_movements_that_have_raised_their_flags() -> None:
    store_payment()
    store(movement("b", "chargeback", NOW - DAY), movement("a", "chargeback_reversal"), movement("c", status="failed"))
    expected = Payment.objects.values("flag_order", "flag_movement_id").get()
    Payment.objects.update(flag="", flag_order="", flag_movement=None)
    migration = import_module("govpay.migrations.0004_flags")
    migration.record_movements(apps, SimpleNamespace(connection=connection))
    assert Payment.objects.values("flag", "flag_order", "flag_movement_id").get() == {"flag": "", **expected}
    assert migration.RANKS == flags.RANKS
    catch_up(ACCOUNT, quiet=False)
    assert flag_of() == ("", "a")
