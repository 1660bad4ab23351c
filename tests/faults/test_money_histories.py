"""M1 to M7 in any order: after every history the platform's ledger and our journal agree."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from govpay import operations
from govpay.exceptions import GovPayError, OutcomeUnknown
from govpay.models import Operation, OutboxSignal, Payment, Transaction
from tests.amounts import repeats
from tests.operations.town import Town, listening

pytestmark = pytest.mark.django_db(transaction=True)

#: How an answer is lost, if it is.
ENDINGS = st.sampled_from([None, None, None, "before", "after"])
WHICH = st.integers(0, 2)
MONEY = ("capture", "refund", "void")


class Histories(RuleBasedStateMachine):
    """Three payments of one account: quoted here, captured by card, captured from a bank account."""

    town: Town

    def __init__(self) -> None:
        super().__init__()
        self._ears = listening()
        self.heard = self._ears.__enter__()
        self.last: Callable[[], Any] | None = None

    @initialize()
    def begin(self) -> None:
        town = self.town
        made = [town.quoted(), town.captured(), town.bank_payment()]
        self.uids = [payment.uid for payment in made]
        self.heard.clear()

    # Deeds

    def _do(self, action: str, which: int, ending: str | None, **asked: Any) -> None:
        payment, key = self._payment(which), uuid.uuid4()
        deed = getattr(operations, f"{action}_payment")

        def work() -> Any:
            return deed(payment=payment, key=key, **asked)

        route = f"POST /api/payments/{payment.uid}/{action}"
        fault = self.town.sandbox.fault(route, times=1, close=ending) if ending else None
        try:
            work()
            assert fault is None or not fault.hits
        except OutcomeUnknown:
            assert fault is not None
        except GovPayError:
            pass
        finally:
            self.town.sandbox.clear_faults()
        self.last = work

    @rule(ending=ENDINGS)
    def capture(self, ending: str | None) -> None:
        self._do("capture", 0, ending)

    @rule(which=WHICH, ending=ENDINGS)
    def void(self, which: int, ending: str | None) -> None:
        self._do("void", which, ending)

    @rule(which=WHICH, ending=ENDINGS, amount=st.sampled_from([1, 2500, 6000]))
    def refund_a_part(self, which: int, ending: str | None, amount: int) -> None:
        self._do("refund", which, ending, amount=amount)

    @rule(which=WHICH, ending=ENDINGS)
    def refund_the_rest(self, which: int, ending: str | None) -> None:
        self._do("refund", which, ending)

    @rule()
    def repeat_the_same_key(self) -> None:
        before = len(self.town.posts())
        if self.last is not None:
            try:
                self.last()
            except GovPayError:
                # A refusal leaves no row, so that the same form may be sent once more.
                return
            assert len(self.town.posts()) - before <= 1

    # What happens by itself

    @rule()
    def sync(self) -> None:
        self.town.sync()

    @rule()
    def reconcile(self) -> None:
        before = len(self.town.posts())
        operations.reconcile()
        assert len(self.town.posts()) == before

    @rule()
    def let_calls_run_out(self) -> None:
        self.town.pass_deadlines()

    @rule()
    def let_a_minute_pass(self) -> None:
        self.town.pass_a_minute()

    @rule(fails=st.booleans())
    def settle_bank_refunds(self, fails: bool) -> None:
        pending = [row for row in self.town.sandbox.all("transaction") if row["status"] == "pending"]
        self.town.sandbox.settle(fail=[row["uid"] for row in pending] if fails else [])

    # What must hold

    @invariant()
    def one_open_deed_a_payment(self) -> None:
        still_open = Operation.objects.filter(state__in=("started", "unknown"), action__in=MONEY)
        assert not [uid for uid, n in Counter(still_open.values_list("payment", flat=True)).items() if n > 1]

    @invariant()
    def never_more_than_was_captured(self) -> None:
        entries = self.town.sandbox.ledger()
        for uid in getattr(self, "uids", []):
            moved = Counter[str]()
            for entry in entries:
                if entry["payment_uid"] == uid:
                    moved[entry["kind"]] += entry["amount"]
            assert moved["refund"] - moved["refund_failed"] <= moved["capture"]

    @invariant()
    def each_deed_is_sent_once(self) -> None:
        keys = Counter(request["idempotency_key"] for request in self.town.posts())
        assert max(keys.values(), default=0) <= 1

    def teardown(self) -> None:
        try:
            if hasattr(self, "uids"):
                self.town.settle_all()
                self.town.sandbox.settle()  # nothing stays behind for the next history
                self.town.sync()
                operations.reconcile()
                self._agree()
        finally:
            self._ears.__exit__(None, None, None)

    def _agree(self) -> None:
        ledger = [entry for entry in self.town.sandbox.ledger() if entry["payment_uid"] in self.uids]
        journal = Operation.objects.filter(payment__in=self.uids, action__in=MONEY)
        assert not journal.filter(state__in=("started", "unknown")).exists()
        failed_later = {entry["reference_id"] for entry in ledger if entry["kind"] == "refund_failed"}
        refunds = {entry["reference_id"]: entry["amount"] for entry in ledger if entry["kind"] == "refund"}
        done = journal.filter(action="refund", state="succeeded")
        assert dict(done.values_list("reference_id", "amount")) == {
            reference: amount for reference, amount in refunds.items() if reference not in failed_later
        }
        for action in ("capture", "void"):
            ours = Counter(journal.filter(action=action, state="succeeded").values_list("payment", flat=True))
            kinds = [entry["payment_uid"] for entry in ledger if entry["kind"] == action]
            theirs = Counter(uid for uid in kinds if action == "void" or uid == self.uids[0])
            assert ours == theirs
        for row in Payment.objects.filter(uid__in=self.uids):
            there = self.town.sandbox.get("payment", row.uid)
            assert (row.status, row.refunded_amount) == (there["status"], there["refunded_amount"])
        for trace in Transaction.objects.filter(payment__in=self.uids):
            assert trace.status == self.town.sandbox.get("transaction", trace.uid)["status"]
        # Those that were accepted and failed afterwards have ended twice.
        turned = journal.filter(state="failed", error__contains="failed later").count()
        assert turned <= len(failed_later)
        self._told_once(journal.count() + turned)

    def _told_once(self, endings: int) -> None:
        told = Counter(name for name, _, _ in self.heard)
        assert not OutboxSignal.objects.exists()
        assert told["operation_finished"] == endings, self.heard
        assert told["payment_captured"] == (Payment.objects.get(uid=self.uids[0]).captured_at is not None)

    def _payment(self, which: int) -> Payment:
        return Payment.objects.get(uid=self.uids[which])


def test_ledger_and_journal_agree_after_any_history(sandbox: Any, transactional_db: None) -> None:
    machine = type("Histories", (Histories,), {"town": Town(sandbox)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=repeats(30, 20),
            stateful_step_count=12,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # to shrink a history takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
