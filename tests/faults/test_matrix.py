"""Every operation with every fault: our outcome equals the platform's, at once or after reconciliation."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection as database

from govpay import connection, operations
from govpay.exceptions import GovPayError, OutcomeUnknown
from govpay.models import Operation
from govpay.sandbox.control.faults import OPTIONS
from govpay.sync.pull import pull
from tests import amounts
from tests.faults.matrix import CANARY, HERE, NO_ACTIONS, OPERATIONS, Case, Situation
from tests.faults.matrix_faults import CARD, CLIENT_SECRET, FAULTS, Trouble, options_used
from tests.operations.merchant import Merchant
from tests.operations.test_wallets import everything

pytestmark = pytest.mark.django_db(transaction=True)

#: No retries: a write must not be repeated anyway, and one attempt of a failing read is enough.
PATIENT = {"MAX_RETRIES": 1, "CHECKOUT_ORIGINS": [HERE]}
HURRIED = {"READ_TIMEOUT": 0.15, "CALL_TIMEOUT": 0.25}
GLOBAL = ("clients", "accounts")
LISTS = ("/api/{list}", "/api/customers/{uid}/payment-methods", "/api/webhooks/subscriptions")
OBJECTS = ("/api/{list}/{uid}", "/v1/hosted-sessions/{uid}")


class Meeting:
    """One operation meets one fault."""

    def __init__(self, merchant: Merchant, settings: Any, case: Case, trouble: Trouble) -> None:
        self.merchant, self.settings, self.case, self.trouble = merchant, settings, case, trouble
        self.situation: Situation = case.prepare(merchant)
        merchant.sandbox.advance(trouble.aged)
        self.known = set(Operation.objects.values_list("pk", flat=True))
        self.seen = len(merchant.sandbox.requests())
        self.problems: list[str] = []
        self.error: GovPayError | None = None

    def run(self) -> list[str]:
        with self.faults() as faults:
            try:
                self.situation.do()
            except GovPayError as error:
                self.error = error
            if self.trouble.hurried:
                operations.reconcile()  # its absence proves nothing yet
            if not self.trouble.late:
                self.arrive()
            self.at_once()
            if self.trouble.late:
                operations.reconcile()  # its absence proves nothing yet
                self.later(closed=False)
                self.arrive()
            if self.trouble.reads or self.trouble.lists or self.trouble.objects:
                operations.reconcile()  # while the reads fail: any outcome that is recorded must be true
                self.later(closed=False)
        self.expect("the fault was met", self.was_met(faults), True)
        self.merchant.reconcile_all()
        self.later(closed=True)
        self.agree()
        return self.problems

    def expect(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            self.problems.append(f"{what}: {found!r}, not {wanted!r} (error {self.error!r})")

    # The faults.

    @contextmanager
    def faults(self) -> Iterator[list[Any]]:
        trouble, sandbox, found = self.trouble, self.merchant.sandbox, []
        if trouble.token:
            forget_token()
            found.append(sandbox.fault("POST /oauth2/token", **trouble.token, times=trouble.times))
        if trouble.write is not None and self.case.route:
            write = trouble.write if not callable(trouble.write) else trouble.write(self.merchant)
            found.append(sandbox.fault(self.case.route, **{"times": trouble.times, **write}))
        for routes, options in ((("*",), trouble.reads), (LISTS, trouble.lists), (OBJECTS, trouble.objects)):
            if options and not self.case.reads:
                found += [sandbox.fault(f"GET {route}", **options) for route in routes]
        before, limits = self.settings.GOVPAY, dict[str, Any](HURRIED if trouble.hurried else {})
        if trouble.reads or self.case.reads:
            limits["MAX_RETRIES"] = 0
        if limits:
            self.settings.GOVPAY = {**before, **limits}
        try:
            yield found
        finally:
            sandbox.clear_faults()
            if limits:
                self.settings.GOVPAY = before
            forget_token()  # and the pause that a 429 requested

    def was_met(self, faults: list[Any]) -> bool:
        """Check that the fault occurred. Timeouts may not occur, and an earlier refusal needs no fault."""
        hits = sum(fault.hits for fault in faults)
        reads = self.trouble.reads or self.trouble.lists or self.trouble.objects
        return bool(hits) or not self.case.route or not faults or self.trouble.hurried or bool(reads)

    def arrive(self) -> None:
        """The platform may act after our timeout, or never if the timeout came before the request was sent."""
        if self.trouble.late:
            self.merchant.sandbox.advance(self.trouble.late)
        end = time.monotonic() + 30
        late = self.trouble.hurried and isinstance(self.error, OutcomeUnknown) and not self.case.reads
        while late and self.done() != 1 and time.monotonic() < end:
            time.sleep(0.02)

    # Our outcome and the platform's state.

    def done(self) -> int:
        return self.situation.happened()

    def rows(self) -> list[Operation]:
        return list(Operation.objects.exclude(pk__in=self.known))

    def at_once(self) -> None:
        """Check the result or the error of the call."""
        done, rows = self.done(), self.rows()
        self.expect("rows of the journal", len(rows) <= 1, True)
        if self.error is None and self.case.route:
            self.expect("told that it is done; done", done, 1)
        elif isinstance(self.error, OutcomeUnknown):
            # ... or found by an earlier look-up.
            states = ("unknown", "succeeded") if self.trouble.hurried else ("unknown",)
            self.expect(f"one row, {' or '.join(states)}", [row.state in states for row in rows], [True])
        elif self.error is not None and not self.trouble.lies and not self.case.reads:
            self.expect("told that it failed; done", done, 0)
        self.expect("writes that arrived", self.writes() <= 1, True)

    def later(self, *, closed: bool) -> None:
        """Check the journal."""
        done = self.done()
        for row in self.rows():
            if row.state == "succeeded":
                self.expect("the journal says done; done", done, 1)
            elif row.state == "failed" and not self.trouble.lies and not self.case.traceless and not self.case.reads:
                self.expect("the journal says failed; done", done, 0)
            elif closed:
                self.expect("still open", row.state in ("succeeded", "failed"), True)
        self.expect("done more than once", done <= 1, True)
        self.expect("writes that arrived", self.writes() <= 1, True)

    def agree(self) -> None:
        """Check that the rows equal the platform's, at once or after the next sync if the answer was faulty."""
        if self.trouble.spoilt or self.trouble.lies:
            for name in self.case.lists:
                pull(name, None if name in GLOBAL else self.situation.account or self.merchant.account.uid, full=True)
            operations.reconcile()
        if self.case.named:
            self.expect("journal in the end", sum(row.state == "succeeded" for row in self.rows()), self.done())
        for what, ours, theirs in self.situation.pairs():
            self.expect(f"{what} here", ours, theirs)
        for secret in secrets(self.merchant):
            self.expect("a secret was told", secret in repr(self.error) + str(self.error), False)

    def writes(self) -> int:
        """The requests that the platform did not refuse with 401."""
        requests = self.merchant.sandbox.requests()[self.seen :]
        return sum(
            request["method"] != "GET" and request["path"] != "/oauth2/token" and request["status"] != 401
            for request in requests
        )


def secrets(merchant: Merchant) -> list[str]:
    """Secrets that must not occur in plain text. Credentials and signing secrets are recognized by their form."""
    tokens = [token for (token,) in merchant.sandbox.platform.store.execute("SELECT token FROM tokens")]
    return [CANARY, CARD, CLIENT_SECRET, "_secret_", "whsec_", *tokens]


def forget_token() -> None:
    cache.clear()
    connection.reset()


@pytest.fixture
def merchant(start_sandbox: Any, settings: Any, transactional_db: None, caplog: pytest.LogCaptureFixture) -> Merchant:
    settings.GOVPAY = {**settings.GOVPAY, **PATIENT}
    caplog.set_level(logging.DEBUG)
    return Merchant(start_sandbox(envelope="odata"))  # so that lists have links


def slice_of(name: str) -> dict[str, Trouble]:
    """The faults that are tested with this operation.

    ``make test``: each fault meets one operation. ``make test-full``: all faults for operations that move money; a
    third of the others, on PostgreSQL another third. ``make soak``: all.
    """
    money = OPERATIONS[name].money
    if amounts.SOAK or (amounts.FULL and money):
        return FAULTS
    alike = [each for each, case in OPERATIONS.items() if case.money == money or not amounts.FULL]
    step, part = (3, int(database.vendor == "postgresql")) if amounts.FULL else (len(alike), 0)
    number = alike.index(name)
    return {fault: each for place, (fault, each) in enumerate(FAULTS.items()) if (place + number) % step == part}


@pytest.mark.soak(0.2)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_under_every_fault(
    merchant: Merchant, settings: Any, name: str, record_property: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """M2, M3, M5 for this operation, under the faults T, R and C; S1 for its rows and logs."""
    case, found, chosen = OPERATIONS[name], list[str](), slice_of(name)
    for fault, trouble in chosen.items():
        found += [f"{name}, {fault}: {problem}" for problem in Meeting(merchant, settings, case, trouble).run()]
    for place, text in (("log", caplog.text), ("tables", everything())):
        found += [f"{name}: {secret} is in the {place}" for secret in secrets(merchant) if secret in text]
    record_property("fault_matrix", (len(chosen), len(found)))
    assert not found, "\n".join(found)


def test_every_operation_is_in_the_matrix() -> None:
    covered = {name.partition(" ")[0] for name in OPERATIONS}
    assert covered | set(NO_ACTIONS) == set(operations.__all__)
    assert not covered & set(NO_ACTIONS)


def test_every_fault_is_met_each_time() -> None:
    assert set().union(*map(slice_of, OPERATIONS)) == set(FAULTS)
    if amounts.FULL:
        moving = [slice_of(name) for name, case in OPERATIONS.items() if case.money]
        assert moving == [FAULTS] * len(moving)
        assert set().union(*(slice_of(name) for name, case in OPERATIONS.items() if not case.money)) == set(FAULTS)


def test_every_option_of_the_switchboard_is_in_the_matrix() -> None:
    assert options_used() == set(OPTIONS)
