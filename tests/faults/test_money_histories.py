"""M1 to M7, W3, W4, T5, C1 in random order: staff, payers, the platform, deliveries, faults, killed processes, ticks.

After every step, ledger, journal and mirror agree as far as they can (``agreement``). At the end they agree entirely.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from hypothesis import HealthCheck, Phase, reject, seed
from hypothesis import settings as how
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from govpay import operations, tasks
from govpay.exceptions import GovPayError, OutcomeUnknown
from govpay.models import HostedSession, OutboxSignal, Payment, PaymentLink, WebhookEvent
from govpay.models.operations import OPEN_STATES
from govpay.operations import outcomes
from govpay.operations.journal import STEPS
from govpay.sandbox.api import payments, refunds
from govpay.sandbox.control.direct import the_row
from govpay.sandbox.errors import Refusal
from govpay.sync.pull import pull
from tests.amounts import rounds
from tests.breakpoints import Died, at_step, dying_after, dying_at
from tests.events import deliver
from tests.faults.agreement import MONEY, Agreement
from tests.operations.merchant import Merchant, bank_account, card
from tests.signal_recorder import book, written_down

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.soak(6)]

HISTORIES, LENGTH = 500, 30

HERE = "https://city.example"
ADDRESSES = {"success_url": f"{HERE}/paid", "cancel_url": f"{HERE}/back"}

#: The outcome of an action's call. With those in the second line the platform acts, and its answer is lost.
FAULTS: list[dict[str, Any]] = [
    *({"close": "before"}, {"status": 500}, {"status": 409}, {"status": 429, "retry_after": 0}),
    *({"close": "after"}, {"badjson": True}, {"status": 502, "act": True}, {"truncate": True}),
]
#: Further faults. Each action has at most one, and often none.
Trouble = tuple[str, Any]
TROUBLES: list[Trouble] = [
    *[("", None)] * 16,
    *[("fault", fault) for fault in FAULTS],
    *[("death", step) for step in STEPS],
    *[("meanwhile", what) for what in ("sync", "deliveries", "deliveries", "token")],
]

#: Each step draws one number, which determines all its choices.
CHANCE = st.integers(0, 2**48).map(Random)


SETTINGS = how(
    max_examples=1,
    stateful_step_count=LENGTH,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # shrinking a history takes minutes
    suppress_health_check=list(HealthCheck),
)


class Histories(RuleBasedStateMachine):
    """One account with two captured payments, two quoted ones, and an open link."""

    sandbox: Any
    #: Returns the signals recorded since the last call.
    heard: Callable[[], list[tuple[str, str]]]

    def __init__(self) -> None:
        super().__init__()
        self.last: Callable[[], Any] | None = None
        self.somebody_died = False

    @initialize(chance=CHANCE)
    def begin(self, chance: Random) -> None:
        if chance.random() == Random(0).random():
            reject()  # hypothesis starts with the smallest history each time
        self.merchant = Merchant(self.sandbox)
        self.account = self.merchant.account
        self.agreement = Agreement(self.merchant)
        self.sandbox.hold_webhooks()
        self.sandbox.subscribe(self.account.uid, "http://127.0.0.1:9/")
        self.sandbox.platform.requests.clear()  # those of other histories
        made = [self.sandbox.add_payment(self.account.uid, "captured", payment_method=bank_account())]
        made.append(self.sandbox.add_payment(self.account.uid, "captured"))
        self.clerk = get_user_model().objects.get_or_create(username="clerk")[0]
        self.heard()  # the rest of a failed history
        self.quiet = {document["uid"] for document in made}
        self._sync()
        for method in (card(), bank_account()):
            self.merchant.quoted(method=method)
        operations.open_session(operations.create_payment_link(account=self.account, amount=5000), **ADDRESSES)

    # Actions of staff.

    @rule(chance=CHANCE)
    def staff_move_money(self, chance: Random) -> None:
        for _ in range(3):
            self._move_money(chance)
            self.all_agree()

    def _move_money(self, chance: Random) -> None:
        rows = list(Payment.objects.filter(account=self.account).order_by("pk"))
        waiting = [row for row in rows if row.status == "validated"]
        taken = [row for row in rows if row.status in ("captured", "partially_refunded")]
        action, some = chance.choice(
            [("capture", waiting)] * 4 + [("refund", taken)] * 5 + [("void", waiting), ("void", taken), ("quote", [])]
        )
        if action == "quote":
            self._quote(chance)
            return
        if not some or chance.random() < 0.1:
            some = rows  # without an effect, as far as we know
        payment, key = chance.choice(some), uuid.uuid4()
        asked = {"amount": chance.choice([None, 1, 2500, 6000])} if action == "refund" else {}
        function = getattr(operations, f"{action}_payment")
        self._do(
            f"POST /api/payments/{payment.uid}/{action}",
            chance.choice(TROUBLES),
            lambda: function(payment=payment, key=key, **asked),
        )

    def _quote(self, chance: Random) -> None:
        method = chance.choice([card(), card("0002"), bank_account()])
        asked = {"base_amount": chance.randint(100, 20_000), "payment_method": method, "key": uuid.uuid4()}
        self._do(
            "POST /api/payments",
            chance.choice(TROUBLES),
            lambda: operations.quote_payment(account=self.account, **asked),
            moves=0,
        )

    def _do(self, route: str, trouble: Trouble, work: Callable[[], Any], *, moves: int = 1) -> None:
        """``moves``: the ledger entries of its effect."""
        kind, what = trouble
        before = len(self.sandbox.ledger())
        fault = self.sandbox.fault(route, times=1, **what) if kind == "fault" else None
        happens = {moves}
        try:
            with ExitStack() as stack:
                if kind == "death":
                    stack.enter_context(dying_at(what))
                elif kind == "meanwhile":
                    step = "sending" if what == "token" else "answered"
                    stack.enter_context(at_step(step, getattr(self, f"_meanwhile_{what}")))
                work()
            # After a success without content the object is read at once.
            assert fault is None or not fault.hits or fault.badjson
        except Died:
            self.somebody_died = True
            happens = {0, moves} if STEPS.index(what) > STEPS.index("sending") else {0}  # it may have been declined
        except OutcomeUnknown:
            assert fault is not None
            happens = {0, moves} if fault.acts else {0}
        except GovPayError:
            happens = {0}
        finally:
            if fault is not None:
                fault.times = 0
        happened = len(self.sandbox.ledger()) - before
        assert happened in happens, (route, trouble)
        self.last = work

    def _meanwhile_sync(self) -> None:
        self.merchant.sync()

    def _meanwhile_deliveries(self) -> None:
        """The delivery arrives before the answer (M6)."""
        if found := self._deliveries():
            self._deliver(found[-1])
            tasks.process_event(WebhookEvent.objects.get(webhook_id=found[-1]["webhook_id"]).pk)

    def _meanwhile_token(self) -> None:
        self.sandbox.revoke_tokens()

    @rule()
    def staff_repeat_the_same_key(self) -> None:
        before = len(self.merchant.posts())
        if self.last is not None:
            try:
                self.last()
            except GovPayError:
                # A refusal leaves no row, so the same form may be sent again.
                return
            assert len(self.merchant.posts()) - before <= 1

    # Actions of payers, and of staff for them.

    @rule(chance=CHANCE)
    def payers_come(self, chance: Random) -> None:
        link = chance.choice(self._rows(PaymentLink))
        session = chance.choice(self._rows(HostedSession))
        what = chance.choice(["link", "cancel", "follow", "follow", "abandon", "pay", "pay", "pay"])
        fault = self.sandbox.fault("POST /v1/hosted-sessions", times=int(chance.random() < 0.3), close="after")
        how_paid = chance.choice([{}, {}, {"card": "4000000000000002"}, {"method": "ach"}])
        with suppress(GovPayError, Refusal):
            match what:
                case "link":
                    operations.create_payment_link(account=self.account, amount=5000 + PaymentLink.objects.count())
                case "cancel":
                    operations.cancel_payment_link(link=link)
                case "follow":
                    operations.open_session(link, **ADDRESSES)
                case "abandon":
                    self.sandbox.expire_session(session.uid)
                case _:
                    self.sandbox.confirm_session(session.uid, **how_paid)
        fault.times = 0

    # Changes on the platform's side.

    @rule(chance=CHANCE)
    def the_platform_acts(self, chance: Random) -> None:
        platform = self.sandbox.platform
        uid = chance.choice(self._rows(Payment)).uid
        with suppress(Refusal), platform.store.transaction():
            row = the_row(platform, "payment", uid)
            match row.doc["status"], chance.randint(0, 3):
                case "validated", 0:
                    payments.expire(platform, row)
                case "charged_back", _:
                    refunds.reverse_chargeback(platform, row)
                case _, 1:
                    refunds.charge_back(platform, row)
                case _, 2:
                    refunds.return_payment(platform, row)
                case _:
                    refunds.refund(platform, row, chance.randint(1, 3000), f"elsewhere-{uuid.uuid4().hex}")

    @rule(fails=st.booleans())
    def bank_refunds_settle(self, fails: bool) -> None:
        pending = [uid for uid, row in self.agreement.there("transaction").items() if row["status"] == "pending"]
        self.sandbox.settle(fail=pending if fails else [])

    # Deliveries: in any order, any number of times.

    def _deliveries(self) -> list[dict[str, Any]]:
        return [each["payload"] for each in self.sandbox.deliveries(self.account.uid)]

    def _deliver(self, payload: dict[str, Any]) -> None:
        assert deliver(self.account.uid, payload, self.sandbox.webhook_secret(self.account.uid)).status_code == 200

    @rule(chance=CHANCE)
    def deliveries_come(self, chance: Random) -> None:
        if found := self._deliveries():
            for payload in chance.choices(found, k=3):
                self._deliver(payload)
        events = self._rows(WebhookEvent)
        for event in chance.choices(events, k=chance.randint(0, 3)) if events else ():
            try:
                with dying_after(chance.choice([1, 3, 6, 9, 99, 99, 99])):
                    tasks.process_event(event.pk)
            except Died:
                self.somebody_died = True

    # Periodic tasks.

    @rule(chance=CHANCE)
    def sync(self, chance: Random) -> None:
        name = chance.choice(["payments", "transactions", "sessions", "both", "all"])
        if name == "all":
            self._sync()
        else:
            self.merchant.sync(*([name] if name != "both" else []))

    @rule(death=st.sampled_from(["", "", "stored", "closed", "read again"]))
    def reconcile(self, death: str) -> None:
        before = len(self.merchant.posts())
        try:
            with dying_at(death):
                operations.reconcile()
            self.somebody_died = False
        except Died:
            self.somebody_died = True
        assert len(self.merchant.posts()) == before

    @rule()
    def a_minute_passes(self) -> None:
        """Or three ticks later: calls have ended, and claims of dead processes have expired."""
        self.merchant.pass_deadlines()
        self.merchant.pass_absent_after()
        WebhookEvent.objects.filter(state="received").update(due_at=timezone.now(), claimed_until=None)

    # Manual resolution of unknown outcomes.

    @rule(blind=st.booleans())
    def somebody_resolves(self, blind: bool) -> None:
        """Resolve by the platform's own records, while the platform can or cannot be read."""
        fault = self.sandbox.fault("GET /api/*", times=None if blind else 0, status=400)
        still = self.agreement.journal.filter(state__in=OPEN_STATES, action__in=MONEY)
        for operation in still.filter(deadline_at__lte=timezone.now()):
            done = self.agreement.happened(operation)
            row = operations.resolve_manually(operation=operation, carried_out=done, reason="Seen.", actor=self.clerk)
            assert row.state == ("succeeded" if done else "failed"), row.error
        fault.times = 0

    @rule()
    def an_hour_passes(self) -> None:
        """A correct manual resolution is not contradicted."""
        long_ago = timezone.now() - timedelta(hours=2)
        self.agreement.journal.filter(settled_at__isnull=False).update(checked_at=long_ago)
        assert operations.recheck_resolved() == 0
        self.somebody_died = False

    # Invariants.

    @invariant()
    def all_agree(self) -> None:
        if hasattr(self, "agreement"):
            self.agreement.holds()
            assert self.somebody_died or not OutboxSignal.objects.exists()

    def teardown(self) -> None:
        if not hasattr(self, "agreement"):
            return
        self.a_minute_passes()
        for pk in WebhookEvent.objects.filter(state="received").values_list("pk", flat=True):
            tasks.process_event(pk)
        self.merchant.reconcile_all()
        self.sandbox.settle()
        self._sync()
        operations.reconcile()
        self.agreement.is_complete()
        self.agreement.was_told_once(self.heard(), self.quiet)

    def _sync(self) -> None:
        for name in ("payments", "transactions", "sessions"):
            assert pull(name, self.account.uid, full=True).state == "succeeded"

    def _rows(self, model: Any) -> list[Any]:
        return list(model.objects.filter(account=self.account).order_by("pk"))


def test_everything_agrees_after_any_history(
    sandbox: Any, transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each history has its own seed, because hypothesis would otherwise copy parts of other histories."""
    monkeypatch.setattr(outcomes, "SAME_KEY_TIMEOUT", 0.0)  # the first call is not running any more: its process died
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": [HERE]}
    with book() as read, written_down():
        for number in rounds(HISTORIES, 2, 16):
            machine = type(f"History{number}", (Histories,), {"sandbox": sandbox, "heard": staticmethod(read)})
            run_state_machine_as_test(seed(number)(machine), settings=SETTINGS)
