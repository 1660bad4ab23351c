"""After a restore from a backup: the journal, the mirror and the outbox are older than the platform (faults M10)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from govpay import operations, tasks
from govpay.exceptions import APIError, Conflict, KeyReused, OperationRefused, OperationsHeld, OutcomeUnknown
from govpay.models import Heartbeat, Operation, OutboxSignal, Payment, SyncCursor, Transaction
from govpay.sync import lease
from govpay.sync.pull import GLOBAL, RESOURCES, SCOPED, pull
from tests.backups import Backup
from tests.faults.matrix import HERE, OPERATIONS
from tests.operations.merchant import Merchant, only

pytestmark = pytest.mark.django_db(transaction=True)

#: Lists without pages: any run reads them from end to end.
ALWAYS_WHOLE = ("methods", "subscriptions", "sessions")

FUTURE = "2099-01-01T00:00:00.000Z"

KEY = uuid.UUID("0b6f3a5e-4a6b-4c57-9b3c-222222222222")


def writes(merchant: Merchant) -> list[str]:
    """Every write that reached the platform, the token's left out."""
    found = merchant.sandbox.requests()
    return [each["path"] for each in found if each["method"] != "GET" and "token" not in each["path"]]


def read_everything(merchant: Merchant) -> None:
    for name in GLOBAL:
        assert pull(name, full=True).state == "succeeded"
    for name in SCOPED:
        assert pull(name, merchant.account.uid, full=True).state == "succeeded"


def refund(payment: Payment, amount: int = 2_500, **given: Any) -> Transaction:
    return operations.refund_payment(payment=payment, amount=amount, **given)


# --- The same request again -------------------------------------------------------------------------


def test_the_same_key_is_one_refund_although_the_journal_forgot_it(merchant: Merchant) -> None:
    """Faults M10, without any hold: the reference is made from the key, so that the platform knows the refund."""
    payment = merchant.captured()
    backup = Backup()
    first = refund(payment, key=KEY)
    backup.restore()
    assert not Operation.objects.exists()
    again = refund(Payment.objects.get(), key=KEY)
    assert (again.uid, again.reference_id) == (first.uid, f"rf-{KEY.hex}")
    assert [post["idempotency_key"] for post in merchant.posts("refund")] == [str(KEY)] * 2
    assert merchant.moved("refund", payment) == 2_500
    assert (only().state, only().result_uid) == ("succeeded", first.uid)
    assert Payment.objects.get().refunded_amount == 2_500


def test_a_platform_that_cannot_show_the_first_refund_leaves_the_second_unknown(
    merchant: Merchant, impatient: None
) -> None:
    payment = merchant.captured()
    backup = Backup()
    refund(payment, key=KEY)
    backup.restore()
    merchant.sandbox.fault("GET /api/transactions", status=503)
    with pytest.raises(OutcomeUnknown, match="the same refund"):
        refund(Payment.objects.get(), key=KEY)
    assert only().state == "unknown"
    merchant.sandbox.clear_faults()
    assert operations.reconcile().succeeded == 1
    assert merchant.moved("refund", payment) == 2_500


@pytest.mark.parametrize("action", ["capture", "void"])
def test_a_capture_or_void_that_was_forgotten_is_refused_by_the_platform(merchant: Merchant, action: str) -> None:
    payment = merchant.quoted()
    backup = Backup()
    act = getattr(operations, f"{action}_payment")
    act(payment=payment, key=KEY)
    backup.restore()
    with pytest.raises(Conflict):
        act(payment=Payment.objects.get(), key=KEY)
    assert len(merchant.ledger(action, payment)) == 1
    assert Payment.objects.get().status == {"capture": "captured", "void": "voided"}[action], "it was read again"


# --- Held until everything was read -------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, case in OPERATIONS.items() if case.route])
def test_every_operation_is_refused_while_held(merchant: Merchant, settings: Any, name: str) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": [HERE]}
    situation = OPERATIONS[name].prepare(merchant)
    sent, known, happened = len(writes(merchant)), Operation.objects.count(), situation.happened()
    operations.begin_restore()
    with pytest.raises((OperationsHeld, APIError), match="restored from a backup"):
        situation.do()
    assert (len(writes(merchant)), Operation.objects.count()) == (sent, known)
    assert situation.happened() == happened


def test_trying_again_is_refused_while_held(merchant: Merchant) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        refund(payment, key=KEY)
    merchant.reconcile_all()
    operations.begin_restore()
    with pytest.raises(OperationsHeld):
        operations.retry_operation(operation=only())
    with pytest.raises(OperationsHeld):
        refund(payment, key=KEY)
    assert (only().state, only().attempts, len(merchant.posts("refund"))) == ("failed", 1, 1)


def test_an_outcome_that_is_known_is_told_while_held(merchant: Merchant) -> None:
    payment = merchant.captured()
    first = refund(payment, key=KEY)
    operations.begin_restore()
    assert refund(payment, key=KEY) == first
    assert len(merchant.posts("refund")) == 1


def test_released_once_every_list_was_read_in_full(merchant: Merchant) -> None:
    assert operations.finish_restore() is None, "nothing is held"
    read_everything(merchant)
    operations.begin_restore()
    since = operations.held_since()
    assert set(operations.unread_lists()) == {
        *((name, "") for name in GLOBAL),
        *((name, merchant.account.uid) for name in SCOPED),
    }
    for name in RESOURCES:
        uid = merchant.account.uid if name in SCOPED else None
        if name not in ALWAYS_WHOLE:
            assert pull(name, uid).state == "succeeded"
            assert (name, uid or "") in set(operations.unread_lists()), "only what was changed lately was read"
        assert operations.finish_restore() is None
        assert pull(name, uid, full=True).state == "succeeded"
        assert (name, uid or "") not in set(operations.unread_lists())
        operations.begin_restore()  # an interrupted command goes on
        assert operations.held_since() == since
    assert operations.finish_restore() == 0
    assert operations.held_since() is None
    refund(merchant.captured())


def test_a_list_that_is_not_offered_holds_nothing_up(merchant: Merchant) -> None:
    """Neither one that was never offered, nor one that ceased to be."""
    merchant.sandbox.fault("GET /api/terminals", status=404)
    read_everything(merchant)
    merchant.sandbox.fault("GET /api/customers", status=404)
    operations.begin_restore()
    assert ("terminals", merchant.account.uid) in set(operations.unread_lists())
    read_everything(merchant)
    assert not list(operations.unread_lists())
    assert operations.finish_restore() == 0


def test_an_account_that_was_opened_after_the_backup_has_to_be_read_as_well(merchant: Merchant) -> None:
    other = merchant.sandbox.add_account()["uid"]
    operations.begin_restore()
    read_everything(merchant)
    assert {uid for _, uid in operations.unread_lists()} == {other}
    assert operations.finish_restore() is None


def test_ticks_read_everything_in_full_and_release(merchant: Merchant) -> None:
    """C1: whoever announced the restore may die; the lists are due in full, whenever they last were."""
    read_everything(merchant)
    operations.begin_restore()
    SyncCursor.objects.update(attempted_at=None)
    assert set(tasks._due(None, GLOBAL, full=True)) == set(GLOBAL)
    assert set(tasks._due(merchant.account.uid, SCOPED, full=True)) == set(SCOPED)
    tasks.sync_all()
    tasks.reconcile_operations()
    assert operations.held_since() is not None
    tasks.sync_account(merchant.account.uid, full=True)
    assert tasks._due(merchant.account.uid, SCOPED, full=True) == []
    tasks.reconcile_operations()
    assert operations.held_since() is None


# --- The mirror -----------------------------------------------------------------------------------------


def test_the_mirror_heals_from_wherever_its_lists_stood(merchant: Merchant) -> None:
    gone, changed = merchant.add("validated"), merchant.captured()
    read_everything(merchant)
    # The backup was made in the middle of a walk whose place means nothing any more.
    SyncCursor.objects.filter(resource="payments").update(
        position={"after": "zzz"},
        full_position={"after": "zzz"},
        watermark={"at": "2099-01-01T00:00:00.000Z", "uid": ""},
    )
    backup = Backup()
    refund(changed)
    new = merchant.sandbox.add_payment(merchant.account.uid, "captured")["uid"]
    merchant.sandbox.remove("payment", gone.uid)
    backup.restore()
    operations.begin_restore()
    places = SyncCursor.objects.values_list("position", "full_position", "watermark", "lease_token")
    assert set(places) == {(None, None, None, None)}
    read_everything(merchant)
    rows = {row.uid: (row.status, row.refunded_amount) for row in Payment.objects.filter(deleted_at=None)}
    there = {row["uid"]: (row["status"], row["refunded_amount"]) for row in merchant.sandbox.all("payment")}
    assert rows == there
    assert set(there) == {changed.uid, new}
    assert Payment.objects.get(uid=gone.uid).deleted_at is not None


def test_what_happened_since_the_backup_is_told_again(merchant: Merchant, heard: list[tuple[str, str, str]]) -> None:
    """The outbox is as old as the rest: a host that was restored as well has to hear of it, and any host may."""
    payment = merchant.captured()
    read_everything(merchant)
    OutboxSignal.objects.all().delete()
    backup = Backup()
    refund(payment)
    backup.restore()
    heard.clear()
    operations.begin_restore()
    read_everything(merchant)
    assert heard == [("payment_refunded", payment.uid, "sync")]
    assert not OutboxSignal.objects.exists()


def test_a_worker_that_walks_meanwhile_loses_its_lease(merchant: Merchant) -> None:
    merchant.sandbox.add_payments(merchant.account.uid, 250)
    read_everything(merchant)
    begun: list[Any] = []

    def restored(run: Any) -> None:
        if not begun:
            operations.begin_restore()
            begun.append(run)

    run = pull("payments", merchant.account.uid, full=True, progress=restored)
    assert run.state == "interrupted"
    cursor = SyncCursor.objects.get(resource="payments")
    assert (cursor.position, cursor.full_position, cursor.lease_token) == (None, None, None)
    assert ("payments", merchant.account.uid) in set(operations.unread_lists())
    read_everything(merchant)
    assert operations.finish_restore() == 0


def test_a_lease_of_the_backup_belongs_to_nobody(merchant: Merchant) -> None:
    cursor = lease.cursor_for("payments", merchant.account.uid)
    assert lease.acquire(cursor)
    operations.begin_restore()
    with pytest.raises(lease.LeaseLost):
        lease.beat(cursor)
    assert pull("payments", merchant.account.uid, full=True).state == "succeeded"


# --- The journal ----------------------------------------------------------------------------------------


def forgotten(merchant: Merchant, *, fail: bool = False) -> tuple[Payment, Transaction]:
    """A refund that this database forgot, and everything was read since."""
    payment = merchant.bank_payment() if fail else merchant.captured()
    backup = Backup()
    first = refund(payment, key=KEY, reason="Paid twice")
    if fail:
        merchant.sandbox.settle([first.uid])
    backup.restore()
    operations.begin_restore()
    read_everything(merchant)
    return Payment.objects.get(), first


def test_a_refund_that_the_journal_forgot_becomes_a_review_item_once(merchant: Merchant) -> None:
    payment, first = forgotten(merchant)
    assert operations.finish_restore() == 1
    row = only()
    assert (row.key, row.action, row.state, row.attention) == (KEY, "refund", "succeeded", "unrecorded")
    assert (row.payment_id, row.amount, row.currency, row.reason) == (payment.uid, 2_500, "USD", "Paid twice")
    assert (row.reference_id, row.result_uid, row.actor) == (first.reference_id, first.uid, None)
    assert row.attention_at
    assert row.created_at == first.remote_created_at
    Operation.objects.update(attention="")
    operations.begin_restore()
    read_everything(merchant)
    assert operations.finish_restore() == 0
    assert only().attention == "", "what was dealt with is not raised again"


def test_a_repeated_request_finds_the_outcome_that_was_forgotten(merchant: Merchant) -> None:
    """Faults M10: one effect, and nothing is sent for the second request."""
    payment, first = forgotten(merchant)
    operations.finish_restore()
    for amount in (2_500, None):
        assert operations.refund_payment(payment=payment, amount=amount, key=KEY).uid == first.uid
    with pytest.raises(KeyReused):
        refund(payment, 2_501, key=KEY)
    with pytest.raises(KeyReused):
        refund(merchant.add("captured"), key=KEY)
    with pytest.raises(KeyReused):
        operations.void_payment(payment=payment, key=KEY)
    assert len(merchant.posts("refund")) == 1
    assert merchant.moved("refund", payment) == 2_500


def test_a_forgotten_refund_that_failed_later_is_told_so(merchant: Merchant) -> None:
    payment, first = forgotten(merchant, fail=True)
    assert operations.finish_restore() == 1
    assert (only().state, only().attention, only().result_uid) == ("failed", "unrecorded", first.uid)
    with pytest.raises(APIError, match="failed later"):
        refund(payment, key=KEY)
    assert operations.why_not_retry(only()), "the platform refused it for good: another one is a new refund"
    assert len(merchant.posts("refund")) == 1


def test_refunds_of_others_are_left_alone(merchant: Merchant) -> None:
    payment = merchant.captured()
    for reference in ("rf-17", f"RF-{uuid.uuid4().hex}", f"rf-{uuid.uuid4()}", uuid.uuid4().hex):
        merchant.sandbox.refund(payment.uid, 10, reference)
    operations.begin_restore()
    read_everything(merchant)
    assert operations.finish_restore() == 0
    assert not Operation.objects.exists()


def test_many_forgotten_refunds_are_adopted_in_chunks(merchant: Merchant, monkeypatch: Any) -> None:
    monkeypatch.setattr("govpay.operations.restoring.CHUNK", 3)
    payment = merchant.captured()
    backup = Backup()
    known = refund(payment, 5, key=KEY)
    kept = Operation.objects.get()
    for _ in range(7):
        refund(payment, 10)
    backup.restore()
    kept.save(force_insert=True)
    operations.begin_restore()
    read_everything(merchant)
    assert operations.finish_restore() == 7
    assert sorted(Operation.objects.values_list("amount", "attention")) == [(5, ""), *[(10, "unrecorded")] * 7]
    assert Operation.objects.get(amount=5).result_uid == known.uid


def test_an_operation_that_was_open_in_the_backup_is_looked_up_while_held(merchant: Merchant) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        refund(payment, key=KEY)
    backup = Backup()
    operations.reconcile()
    backup.restore()
    assert only().state == "unknown"
    operations.begin_restore()
    assert operations.reconcile().succeeded == 1
    read_everything(merchant)
    assert operations.finish_restore() == 0, "the journal knows it"
    assert len(merchant.posts("refund")) == 1


def test_a_retry_that_was_forgotten_is_found_and_not_sent_again(merchant: Merchant) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        refund(payment, key=KEY)
    merchant.reconcile_all()
    backup = Backup()
    operations.retry_operation(operation=only())
    backup.restore()
    assert (only().state, only().attempts) == ("failed", 1)
    found = operations.retry_operation(operation=only())
    assert (only().state, only().result_uid) == ("succeeded", found.uid)
    assert merchant.moved("refund", payment) == 2_500
    assert len(merchant.posts("refund")) == 2, "the first, and the one that was forgotten"


def test_a_forgotten_capture_cannot_be_made_again_once_everything_was_read(merchant: Merchant) -> None:
    payment = merchant.quoted()
    backup = Backup()
    operations.capture_payment(payment=payment, key=KEY)
    backup.restore()
    operations.begin_restore()
    read_everything(merchant)
    operations.finish_restore()
    with pytest.raises(OperationRefused, match="captured"):
        operations.capture_payment(payment=Payment.objects.get(), key=KEY)
    assert len(merchant.posts("capture")) == 1


def test_release_although_a_list_cannot_be_read(merchant: Merchant) -> None:
    operations.begin_restore()
    assert operations.finish_restore() is None
    assert operations.finish_restore(anyway=True) == 0
    assert not Heartbeat.objects.exists()
    assert operations.held_since() is None
