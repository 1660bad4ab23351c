"""``govpay.sync.upsert``: which documents are written, and the result of concurrent writers."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from govpay.connection import reset
from govpay.models import Customer, HostedSession, OutboxSignal, Payment, PaymentAccount, SavedPaymentMethod
from govpay.sync import mapping, upsert
from govpay.sync.mapping import Unmappable
from govpay.sync.transactions import RowsChangedMeanwhile, in_transaction
from govpay.sync.upsert import Saved, mark_deleted, read_known, save_document, save_documents
from tests.amounts import rounds
from tests.reading import Heard, listening, rows_of, statements

pytestmark = pytest.mark.django_db(transaction=True)

HERE = {"account_id": "account_1"}


def payment(uid: str = "pay_1", at: int | None = 0, **changes: Any) -> dict[str, Any]:
    """A document whose last change was ``at`` seconds past noon."""
    moment = None if at is None else f"2026-02-03T12:{at // 60:02}:{at % 60:02}.000000Z"
    return {"uid": uid, "status": "captured", "total_amount": 1000, "currency": "USD", "updated_at": moment, **changes}


def save(*documents: dict[str, Any], mapper: Any = mapping.PAYMENT, **options: Any) -> Saved:
    extra = options.pop("extra", HERE)
    return in_transaction(lambda: save_documents(mapper, documents, extra=extra, **options))


def outcome(saved: Saved) -> tuple[int, int, int, int]:
    return saved.created, saved.updated, saved.unchanged, len(saved.rejected)


def test_new_changed_and_unchanged_rows_of_one_page() -> None:
    assert outcome(save(payment("a"), payment("b"))) == (2, 0, 0, 0)
    assert outcome(save(payment("a"), payment("b", 1, status="voided"), payment("c"))) == (1, 1, 1, 0)
    assert {uid: row["status"] for uid, row in rows_of().items()} == {"a": "captured", "b": "voided", "c": "captured"}


def test_an_identical_document_writes_nothing() -> None:
    save(payment())
    before = rows_of()
    with statements() as sql:
        assert outcome(save(payment())) == (0, 0, 1, 0)
    assert len(sql.all) == 1
    assert rows_of() == before


def test_an_older_document_never_overwrites_a_newer_one() -> None:
    """Faults W4."""
    save(payment(at=10, status="refunded"))
    before = rows_of()
    assert outcome(save(payment(at=9))) == (0, 0, 1, 0)
    noted = {"older_digest", "older_seen_at"}  # what was read, not the row's content
    assert [{name: row[name] for name in row.keys() - noted} for row in rows_of().values()] == [
        {name: row[name] for name in row.keys() - noted} for row in before.values()
    ]
    assert not OutboxSignal.objects.exists()


def test_without_a_date_a_clock_that_is_a_little_ahead_is_no_reason_to_go_back() -> None:
    """Faults W4, R9: no answer tells the platform's time, so its stamps may be up to a minute ahead of ours."""
    reset()
    now = timezone.now()
    newer, older = ((now + dt.timedelta(seconds=ahead)).isoformat() for ahead in (30, 20))
    save({**payment(status="refunded"), "updated_at": newer})
    assert outcome(save({**payment(), "updated_at": older})) == (0, 0, 1, 0)
    assert Payment.objects.get().status == "refunded"


def test_without_a_date_a_stamp_of_the_future_is_replaced() -> None:
    """Faults R9."""
    reset()
    save({**payment(), "updated_at": (timezone.now() + dt.timedelta(hours=1)).isoformat()})
    assert outcome(save({**payment(status="voided"), "updated_at": timezone.now().isoformat()})) == (0, 1, 0, 0)


def test_of_two_documents_of_one_instant_the_one_read_last_counts() -> None:
    save(payment(at=10))
    assert outcome(save(payment(at=10, status="voided"))) == (0, 1, 0, 0)
    assert Payment.objects.get().status == "voided"


def test_a_document_without_a_time_counts_as_current() -> None:
    """Assumption A5: ``updated_at`` is there "when present"."""
    save(payment(at=10))
    assert outcome(save(payment(at=None, status="voided"))) == (0, 1, 0, 0)
    assert outcome(save(payment(at=5))) == (0, 1, 0, 0)


def test_a_bad_row_is_reported_and_the_others_are_saved() -> None:
    """Faults R7: 999 of 1 000 saved, 1 reported."""
    page = [payment(f"pay_{number:04}") for number in range(1000)]
    page[567]["total_amount"] = "12.30"
    saved = save(*page)
    assert outcome(saved) == (999, 0, 0, 1)
    assert saved.rejected == [("pay_0567", "total_amount is not a whole number of cents")]
    assert Payment.objects.count() == 999


def test_a_row_without_a_uid_is_reported_and_spoils_nothing() -> None:
    saved = save(payment("a"), {**payment("b"), "uid": None}, {"status": "captured"})
    assert (saved.created, saved.listed, saved.all_named) == (1, {"a"}, False)
    assert saved.rejected == [("", "uid is missing")] * 2


def test_a_page_that_names_a_row_twice_writes_it_once() -> None:
    assert outcome(save(payment(at=1), payment(at=2, status="voided"))) == (1, 0, 0, 0)
    assert Payment.objects.get().status == "voided"


def test_a_page_larger_than_one_statement() -> None:
    page = [payment(f"pay_{number:05}") for number in range(2 * upsert.ROWS_A_STATEMENT + 1)]
    assert outcome(save(*page)) == (len(page), 0, 0, 0)
    assert outcome(save(*page)) == (0, 0, len(page), 0)


def test_an_empty_page_asks_the_database_nothing() -> None:
    with statements() as sql:
        save()
    assert sql.all == []


def test_every_kind_of_value_survives_the_way_into_the_table() -> None:
    document = payment(
        reference_id='quote " \\ % %s $1 {x} 🏛',
        created_at="2026-02-03T04:05:06.123456789+02:00",
        captured_at="2026-02-03T04:05:06",
        total_amount=2**53 - 1,
        note={"text": "a\u2028b", "huge": 10**40, "tiny": 1e-300, "list": [None, True, -0.5], "": ""},
    )
    save(document)
    row = Payment.objects.get()
    assert row.raw == document
    assert row.reference_id == document["reference_id"]
    assert row.total_amount == 2**53 - 1
    assert row.remote_created_at == dt.datetime(2026, 2, 3, 2, 5, 6, 123456, tzinfo=dt.UTC)
    assert row.captured_at == dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    assert row.account_id == "account_1"
    assert row.session_id is None


def test_text_that_no_database_takes_is_kept_readable() -> None:
    assert outcome(save(payment(note="a\x00b \ud800", memo="x" * 100_000))) == (1, 0, 0, 0)
    assert Payment.objects.get().raw["note"] == "a\ufffdb \ufffd"


@pytest.mark.parametrize(("property", "rejected"), [("reference_id", 0), ("status", 1)])
@pytest.mark.parametrize("text", ["a\x00b", "\udfff", "x" * 300])
def test_such_text_in_a_column_is_mended_unless_it_is_vital(property: str, rejected: int, text: str) -> None:
    """Faults R13."""
    assert outcome(save(payment("a", **{property: text}), payment("b"))) == (2 - rejected, 0, 0, rejected)
    assert sorted(row["mended"] for row in rows_of().values()) == ["", "reference_id"][: 2 - rejected]


def test_a_recreated_object_with_the_same_reference_does_not_stop_the_page() -> None:
    assert outcome(save(payment("a", reference_id="INV-1"), payment("b", reference_id="INV-1"))) == (2, 0, 0, 0)
    assert Payment.objects.filter(reference_id="INV-1").count() == 2


# --- Columns of ours ------------------------------------------------------------------------------


def test_columns_of_ours_are_left_alone() -> None:
    account = {"uid": "account_1", "name": "Utilities"}
    save(account, mapper=mapping.ACCOUNT, extra={})
    PaymentAccount.objects.update(webhook_secret="whsec_1")
    save({**account, "name": "Courts"}, mapper=mapping.ACCOUNT, extra={})
    row = PaymentAccount.objects.get()
    assert row.name == "Courts"
    assert row.webhook_secret.reveal() == "whsec_1"


def test_what_a_document_does_not_tell_is_left_alone() -> None:
    """Reading a session returns neither its customer nor our metadata."""
    session = {"session_id": "cs_1", "status": "active", "amount": 500, "currency": "USD"}
    save(session, mapper=mapping.SESSION)
    HostedSession.objects.update(customer="cus_1", metadata={"ours": 1}, credential="cs_1_secret")
    save({**session, "amount": 700}, mapper=mapping.SESSION)
    row = HostedSession.objects.get()
    assert (row.amount, row.customer_id, row.metadata) == (700, "cus_1", {"ours": 1})
    assert row.credential.reveal() == "cs_1_secret"


def test_a_changed_customer_has_stale_methods_again() -> None:
    save({"uid": "cus_1", "name": "Ann"}, mapper=mapping.CUSTOMER)
    Customer.objects.update(methods_stale=False)
    save({"uid": "cus_1", "name": "Ann"}, mapper=mapping.CUSTOMER)
    assert Customer.objects.get().methods_stale is False
    save({"uid": "cus_1", "name": "Anne"}, mapper=mapping.CUSTOMER)
    assert Customer.objects.get().methods_stale is True


def test_synced_at_is_the_last_write_that_changed_something() -> None:
    save(payment())
    first = Payment.objects.get().synced_at
    save(payment())
    assert Payment.objects.get().synced_at == first
    save(payment(at=1))
    assert first < Payment.objects.get().synced_at <= timezone.now()


# --- One document, tombstones ---------------------------------------------------------------------


def test_one_document_gives_its_row_changed_or_not() -> None:
    for _ in range(2):
        row = in_transaction(lambda: save_document(mapping.PAYMENT, payment(), extra=HERE, source="operation"))
        stored = Payment.objects.get()
        assert row == stored
        assert row.total_amount == 1000
        row.refresh_from_db()
    with pytest.raises(Unmappable, match="total_amount"):
        in_transaction(lambda: save_document(mapping.PAYMENT, payment(total_amount=-1), extra=HERE, source="sync"))


def test_burying_marks_once_and_keeps_the_row() -> None:
    save(payment("a"), payment("b"))
    assert in_transaction(lambda: mark_deleted(Payment, ["a", "unknown"])) == 1
    marked = Payment.objects.get(uid="a")
    assert in_transaction(lambda: mark_deleted(Payment, ["a"])) == 0
    assert Payment.objects.get(uid="a").deleted_at == marked.deleted_at
    assert marked.status == "captured"
    assert [row.uid for row in Payment.objects.present()] == ["b"]


def test_a_tombstone_rises_again_when_its_document_is_back() -> None:
    save(payment())
    in_transaction(lambda: mark_deleted(Payment, ["pay_1"]))
    assert outcome(save(payment())) == (0, 1, 0, 0)
    assert Payment.objects.get().deleted_at is None


# --- Concurrent writers ---------------------------------------------------------------------------


def test_rows_that_changed_since_they_were_read_are_read_again() -> None:
    save(payment("a"), payment("b"))
    seen = read_known(Payment.objects.all())
    save(payment("b", 5, status="voided"))
    page = [payment("a", 1), payment("b", 9, status="refunded")]
    with pytest.raises(RowsChangedMeanwhile):
        in_transaction(lambda: save_documents(mapping.PAYMENT, page, extra=HERE, known=seen), attempts=1)
    assert Payment.objects.get(uid="a").remote_updated_at.second == 0, "half a page was written"
    attempts = [seen]
    in_transaction(
        lambda: save_documents(mapping.PAYMENT, page, extra=HERE, known=attempts.pop() if attempts else None)
    )
    assert {row["status"] for row in rows_of().values()} == {"captured", "refunded"}


def in_parallel(*works: Callable[[], object]) -> None:
    """All at once, each in a thread with a connection of its own."""
    barrier = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            barrier.wait(300)
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not failures, failures


@pytest.mark.soak
def test_racing_writers_leave_nothing_stale_and_tell_nothing_twice() -> None:
    """Faults W4, D2: pages of one list in every age, written at once by rows in any order."""
    uids = [f"pay_{number:02}" for number in range(20)]
    statuses = ["validated", "captured", "partially_refunded", "refunded"]

    def page(age: int) -> list[dict[str, Any]]:
        return [payment(uid, age, status=statuses[age]) for uid in uids]

    with listening() as heard:
        for number in rounds(100, 3, 16):
            Payment.objects.all().delete()
            OutboxSignal.objects.all().delete()
            heard.clear()
            save(*page(0))
            ages = [3, 1, 2, 3, 2, 1] if number % 2 else [1, 2, 3, 1, 2, 3]
            in_parallel(*(lambda age=age: save(*reversed(page(age))) for age in ages))
            assert {row.status for row in Payment.objects.all()} == {"refunded"}
            owed = list(OutboxSignal.objects.values_list("name", "row"))
            told = [item for item in owed if item[0] == "payment_captured"]
            assert len(told) == len(set(told)) == len(uids)


def test_racing_first_writers_make_one_row_and_one_signal() -> None:
    page = [payment(f"pay_{number:02}") for number in range(20)]
    with listening(["payment_captured"]):
        in_parallel(*(lambda turn=turn: save(*page[:: 1 if turn % 2 else -1]) for turn in range(4)))
    assert Payment.objects.count() == 20
    assert OutboxSignal.objects.count() == 20


def test_a_removed_method_sends_a_signal(heard: Heard) -> None:
    save({"uid": "spm_1"}, mapper=mapping.SAVED_METHOD, quiet=True)
    in_transaction(lambda: mark_deleted(SavedPaymentMethod, ["spm_1"]))
    assert list(OutboxSignal.objects.values_list("name", flat=True)) == ["saved_method_changed"]
