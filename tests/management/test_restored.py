"""``govpay_restored``: operations are held, everything is read, and they are released (faults M10)."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from govpay import operations
from govpay.exceptions import OperationsHeld
from govpay.management.commands import govpay_restored
from govpay.models import Operation, Payment, SyncCursor
from govpay.sync.pull import RESOURCES
from tests.backups import Backup
from tests.operations.merchant import Merchant, only, wait_for
from tests.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("govpay_restored", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def restored(merchant: Merchant) -> Payment:
    """A site whose backup is older than a refund."""
    payment = merchant.captured()
    merchant.sync()
    backup = Backup()
    operations.refund_payment(payment=payment, amount=700)
    backup.restore()
    return payment


def test_everything_is_read_and_released(merchant: Merchant) -> None:
    """In a process of its own, as an operator meets it."""
    payment = restored(merchant)
    process = start_command("govpay_restored")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Operations are held until every list was read in full."
    assert {line.split()[0] for line in lines[1 : 1 + len(RESOURCES)]} == set(RESOURCES)
    assert lines[-1] == "Operations are released. Refunds that the journal did not know: 1."
    assert operations.held_since() is None
    assert (only().amount, only().attention) == (700, "unrecorded")
    assert Payment.objects.get(pk=payment.pk).refunded_amount == 700


def test_a_list_that_fails_keeps_the_hold_and_is_named(merchant: Merchant, impatient: None) -> None:
    payment = restored(merchant)
    merchant.sandbox.fault("GET /api/transactions", status=500)
    with pytest.raises(CommandError, match=f"Operations are still held.*: transactions {merchant.account.uid}. Run"):
        run()
    since = operations.held_since()
    assert since is not None
    assert not Operation.objects.exists()
    with pytest.raises(OperationsHeld):
        operations.refund_payment(payment=Payment.objects.get(), amount=1)
    merchant.sandbox.clear_faults()
    out, _err = run()
    assert "Operations are released" in out
    assert only().attention == "unrecorded"
    operations.refund_payment(payment=Payment.objects.get(pk=payment.pk), amount=1)


def test_credentials_that_are_refused_keep_the_hold(merchant: Merchant, settings: Any) -> None:
    restored(merchant)
    settings.GOVPAY = {**settings.GOVPAY, "CLIENT_ID": "nobody"}
    with pytest.raises(CommandError, match="Operations are still held"):
        run()
    assert operations.held_since() is not None


def test_release_on_the_operators_own_word(merchant: Merchant, impatient: None) -> None:
    restored(merchant)
    merchant.sandbox.fault("GET /api/terminals", status=500)
    out, err = run("--release")
    assert "Operations are released. Refunds that the journal did not know: 1." in out
    assert f"Released although not read in full: terminals {merchant.account.uid}." in err
    assert operations.held_since() is None


def test_a_command_that_was_killed_goes_on(merchant: Merchant) -> None:
    restored(merchant)

    def reads() -> int:
        return sum(each["path"] == "/api/transactions" for each in merchant.sandbox.requests())

    before = reads()
    merchant.sandbox.fault("GET /api/transactions", delay=30)
    process = start_command("govpay_restored")
    wait_for(lambda: reads() > before, 60)
    process.kill()
    process.communicate(timeout=60)
    since = operations.held_since()
    assert since is not None
    done = SyncCursor.objects.get(resource="payments").full_completed_at
    assert done is not None
    assert done > since
    merchant.sandbox.clear_faults()
    out, _err = run()
    assert "Operations are released. Refunds that the journal did not know: 1." in out


def test_a_worker_that_was_quicker_has_released_already(merchant: Merchant, monkeypatch: Any) -> None:
    restored(merchant)
    reconcile = operations.reconcile

    def meanwhile() -> Any:
        assert operations.finish_restore() == 1
        return reconcile()

    monkeypatch.setattr(govpay_restored, "reconcile", meanwhile)
    out, _err = run()
    assert out.splitlines()[-1] == "Operations are released."
