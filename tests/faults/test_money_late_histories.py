"""M8, M9, M11 in random order: late effects, reads that lag behind, answers that differ, people who try again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from django.core.cache import cache

from govpay import connection, operations
from govpay.exceptions import GovPayError
from govpay.models import Operation, OutboxSignal
from govpay.operations import attempts, outcomes
from govpay.operations.journal import STEPS
from govpay.sandbox import Sandbox
from tests.amounts import FULL, SOAK, rounds
from tests.breakpoints import Died, dying_at
from tests.faults import test_money_histories as histories
from tests.faults.agreement import MONEY, Agreement
from tests.faults.test_money_histories import HERE, Trouble
from tests.signal_recorder import book, written_down

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.soak(0.75)]

HISTORIES, LENGTH = 1_000, 60
#: Many histories are split into parts, so that several processes share them.
PARTS = 8 if SOAK else 4 if FULL else 1
LAG = 120.0
ADDRESS = ("client_id", "client_secret", "token_url", "api_url")

#: The outcome of a call: the platform acts late, or acts at once and answers something else.
FAULTS: list[dict[str, Any]] = [
    *({"act_after": seconds} for seconds in (20.0, 100.0, 1_000.0, 3_600.0)),
    *({"act_after": 100.0, "status": 202}, {"status": 202}, {"status": 202, "act": True}),
    *({"status": 200, "act": True, "body": "{}"}, {"leave_out": "status"}, {"close": "after"}, {"close": "before"}),
    *({"alter": values} for values in ("amount:1,total_amount:1", "currency:EUR", "payment_uid:p,uid:p", "status:odd")),
    *({"status": status} for status in (401, 409, 422, 429)),
]
TROUBLES: list[Trouble] = [
    *[("", None)] * 4,
    *[("fault", fault) for fault in FAULTS],
    *[("fault", {"act_after": seconds}) for seconds in (20.0, 100.0, 1_000.0, 3_600.0)],
    *[("death", step) for step in STEPS],
]
LAGGING = ("/api/transactions", "/api/payments", "/api/payments/{uid}", "/api/transactions/{uid}", "/api/*")


class LateHistories(histories.Histories):
    """Like ``Histories``, with a platform that acts late and whose reads lag."""

    def begin(self, chance: Random) -> None:
        histories.Histories.begin(self, chance)
        self.agreement = Agreement(self.merchant, late=True)
        self.works: list[tuple[str, Callable[[], Any]]] = []
        self.lags: list[Any] = []
        self.sandbox.advance(2 * LAG)  # an object that lagging reads show exists

    def _do(self, route: str, trouble: Trouble, work: Callable[[], Any], *, moves: int = 1) -> None:
        kind, what = trouble
        if kind != "death":
            kind, what = self.drawn if moves else ("", None)
        before = len(self.sandbox.ledger())
        fault = (
            self.sandbox.fault(route, times=2 if what == {"status": 401} else 1, **what) if kind == "fault" else None
        )
        with dying_at(what if kind == "death" else ""), suppress(GovPayError):
            try:
                work()
            except Died:
                self.somebody_died = True
        if fault is not None:
            fault.times = 0
        assert len(self.sandbox.ledger()) - before in (0, moves), (route, trouble)
        self.last = work
        self.works.append((route, work))

    def _move_money(self, chance: Random) -> None:
        self.drawn = chance.choice(TROUBLES)
        super()._move_money(chance)

    def run(self, chance: Random) -> None:
        """One history of rules drawn by weight, because hypothesis would leave out some rules."""
        self.begin(chance)
        often = [self._move_money] * 4 + [self._people_try_again] * 4 + [self._minutes_pass] * 3
        often += [self._reads_lag, self._the_platform_goes_on, self._the_platform_goes_on, self.sync]
        rare = [self.payers_come, self.the_platform_acts, self.deliveries_come, self._resolve_outcomes]
        for _ in range(LENGTH):
            chance.choice(often + rare * (chance.random() < 0.3))(chance)
            self.all_agree()
        self.teardown()

    def _resolve_outcomes(self, chance: Random) -> None:
        """Settle refunds, and resolve operations by the platform's own records."""
        self.bank_refunds_settle(fails=chance.random() < 0.5)
        self.somebody_resolves(blind=chance.random() < 0.5)
        operations.recheck_resolved()

    def _people_try_again(self, chance: Random) -> None:
        """Whenever they may, and when they may not."""
        rows = list(self.agreement.journal.filter(state="failed", action__in=MONEY))
        rows = [row for row in rows if attempts.is_not_executed(row)]
        if rows:
            self._try_again(chance, chance.choice(rows))
        elif self.works:
            self._again(chance, *chance.choice(self.works))

    def _minutes_pass(self, _: Random) -> None:
        """Two passes of reconciliation, ``ABSENT_AFTER`` apart."""
        self.merchant.reconcile_all()
        self.somebody_died = False

    def _try_again(self, chance: Random, row: Operation) -> None:
        ways: list[Callable[[], Any]] = [lambda: operations.retry_operation(operation=row, actor=self.clerk)] * 3
        same = Operation.objects.filter(action="refund", payment=row.payment_id, amount=row.amount)
        if row.action == "refund" and row.payment is not None:
            asked = {"payment": row.payment, "amount": row.amount}
            ways += [lambda: operations.refund_payment(**asked)] * 2
            ways += [lambda: operations.refund_payment(**asked, key=uuid.uuid4(), confirm_second_refund=True)]
        wishes = same.count()
        self._again(chance, f"POST /api/payments/{row.payment_id}/{row.action}", chance.choice(ways))
        assert row.action != "refund" or same.count() == wishes, "one wish became two"

    def _again(self, chance: Random, route: str, work: Callable[[], Any]) -> None:
        self.drawn = chance.choice(TROUBLES)
        # An earlier call may move no money, or may have been carried out already.
        self._do(route, self.drawn, work, moves=int(not route.endswith("/payments")))
        self.works.pop()

    def _reads_lag(self, chance: Random) -> None:
        for lag in self.lags:
            lag.times = 0
        chosen = chance.sample(LAGGING, chance.randint(0, 2))
        self.lags = [self.sandbox.fault(f"GET {route}", lag=LAG) for route in chosen]

    def _the_platform_goes_on(self, chance: Random) -> None:
        """Late requests are carried out, and reads show them some time later."""
        self._pass(chance.choice([30, 130, 130, 1_000]))

    def _pass(self, seconds: float) -> None:
        self.sandbox.advance(seconds)
        forget_token()  # and the pause after a refused one

    def sync(self, chance: Random) -> None:
        with suppress(AssertionError if self.lags else ()):  # a list that lags may not be read completely
            self.merchant.sync(*chance.choice([["payments"], ["transactions"], ["sessions"], []]))

    def all_agree(self) -> None:
        self.agreement.holds()
        assert self.somebody_died or not OutboxSignal.objects.exists()

    def teardown(self) -> None:
        for lag in self.lags:
            lag.times = 0
        self._pass(2 * 3_600)  # all late requests have arrived
        self.somebody_died = True
        super().teardown()


def forget_token() -> None:
    cache.clear()
    connection.reset()


@pytest.mark.parametrize("part", range(PARTS))
def test_one_wish_has_one_effect_whatever_is_late(
    part: int, transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M8, M9, given that the platform refuses a reference that it has (A10): never two effects; in the end both agree.

    Each history has a platform of its own, whose clock runs ahead of ours by hours in the end.
    """
    monkeypatch.setattr(outcomes, "SAME_KEY_TIMEOUT", 0.0)  # the first call is not running any more: its process died
    patient = {"CHECKOUT_ORIGINS": [HERE], "MAX_RETRIES": 1, "WEBHOOK_TOLERANCE": 30 * 86_400}
    with book() as read, written_down():
        for number in rounds(HISTORIES // PARTS, 1, 2):
            seed = part * HISTORIES // PARTS + number + 1
            with Sandbox() as sandbox, sandbox.serve(port=0) as address:
                found = {name.upper(): getattr(address, name) for name in ADDRESS}
                settings.GOVPAY = {**settings.GOVPAY, **patient, **found}
                forget_token()
                machine = type("History", (LateHistories,), {"sandbox": sandbox, "heard": staticmethod(read)})
                try:
                    machine().run(Random(seed))
                except Exception as error:
                    error.add_note(f"in the history of seed {seed}")
                    raise
