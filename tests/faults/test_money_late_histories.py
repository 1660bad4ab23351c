"""M8, M9, M11 in any order: effects that come late, reads that lag, answers that differ, people who try again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import seed
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from govpay import operations
from govpay.exceptions import GovPayError
from govpay.models import Operation, OutboxSignal
from govpay.operations import attempts
from govpay.operations.journal import STEPS
from tests.amounts import rounds
from tests.faults import test_money_histories as histories
from tests.faults.agreement import MONEY, Agreement
from tests.faults.test_money_histories import CHANCE, HERE, SETTINGS, Trouble
from tests.hearing import book, written_down
from tests.stepping import Died, dying_at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.soak(6)]

HISTORIES = 1_000
LAG = 120.0

#: What becomes of a call: the platform acts late, or at once and says something else.
FAULTS: list[dict[str, Any]] = [
    *({"act_after": seconds} for seconds in (20.0, 100.0, 1_000.0, 3_600.0)),
    *({"act_after": 100.0, "status": 202}, {"status": 202}, {"status": 202, "act": True}),
    *({"status": 200, "act": True, "body": "{}"}, {"leave_out": "status"}, {"close": "after"}, {"close": "before"}),
    *({"alter": values} for values in ("amount:1,total_amount:1", "currency:EUR", "payment_uid:p,uid:p", "status:odd")),
    *({"status": status} for status in (401, 409, 422, 429)),
]
TROUBLES: list[Trouble] = [
    *[("", None)] * 6,
    *[("fault", fault) for fault in FAULTS],
    *[("death", step) for step in STEPS],
]
LAGGING = ("/api/transactions", "/api/payments", "/api/payments/{uid}", "/api/transactions/{uid}", "/api/*")


class LateHistories(histories.Histories):
    """As ``Histories``, with a platform that is slow to act and slow to show it."""

    @initialize(chance=CHANCE)
    def begin(self, chance: Random) -> None:
        histories.Histories.begin(self, chance)
        self.agreement = Agreement(self.town, late=True)
        self.works: list[tuple[str, Callable[[], Any]]] = []
        self.lags: list[Any] = []
        self.sandbox.advance(2 * LAG)  # what reads that lag show is there

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

    @rule(chance=CHANCE)
    def people_try_again(self, chance: Random) -> None:
        """Whenever they may, and when they may not."""
        for _ in range(3):
            rows = list(self.agreement.journal.filter(state="failed", action__in=MONEY))
            rows = [row for row in rows if attempts.is_not_executed(row)]
            if rows:
                self._try_again(chance, chance.choice(rows))
            elif self.works:
                self._again(chance, *chance.choice(self.works))
            self.all_agree()

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
        # A call that was made before may be one that moves nothing, or that is done already.
        self._do(route, self.drawn, work, moves=int(not route.endswith("/payments")))
        self.works.pop()

    @rule(chance=CHANCE)
    def reads_lag(self, chance: Random) -> None:
        for lag in self.lags:
            lag.times = 0
        chosen = chance.sample(LAGGING, chance.randint(0, 2))
        self.lags = [self.sandbox.fault(f"GET {route}", lag=LAG) for route in chosen]

    @rule(chance=CHANCE)
    def the_platform_goes_on(self, chance: Random) -> None:
        """What was late is carried out, and reads show it some time after."""
        self.sandbox.advance(chance.choice([30, 130, 130, 1_000]))

    @rule(chance=CHANCE)
    def sync(self, chance: Random) -> None:
        with suppress(AssertionError if self.lags else ()):  # a list that lags may not be read to its end
            self.town.sync(*chance.choice([["payments"], ["transactions"], ["sessions"], []]))

    @rule()
    def an_hour_passes(self) -> None:
        operations.recheck_settled()
        self.somebody_died = False

    @invariant()
    def all_agree(self) -> None:
        if hasattr(self, "works"):
            self.agreement.holds()
            assert self.somebody_died or not OutboxSignal.objects.exists()

    def teardown(self) -> None:
        if not hasattr(self, "works"):
            return
        for lag in self.lags:
            lag.times = 0
        self.sandbox.advance(2 * 3_600)  # whatever was late is here
        self.somebody_died = True
        super().teardown()


def test_one_wish_has_one_effect_whatever_is_late(sandbox: Any, transactional_db: None, settings: Any) -> None:
    """Given that the platform refuses a reference that it has (A10): never two effects; in the end both sides agree."""
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": [HERE], "MAX_RETRIES": 0}
    with book() as read, written_down():
        for number in rounds(HISTORIES, 4, 12):
            machine = type(f"History{number}", (LateHistories,), {"sandbox": sandbox, "heard": staticmethod(read)})
            run_state_machine_as_test(seed(number)(machine), settings=SETTINGS)
