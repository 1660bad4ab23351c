"""The histories of the demo city's payments: a list of timed steps for each payment."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from govpay.sandbox.api.fees import DECLINING_CARDS
from govpay.sandbox.api.payments import TOKEN_LIFETIME, WALLET_LIFETIME, capture, expire, make_payment, void
from govpay.sandbox.api.refunds import charge_back, refund, return_payment, reverse_chargeback, settle
from govpay.sandbox.api.sessions import finish, make_session
from govpay.sandbox.clock import iso
from govpay.sandbox.control.people import approves, last4, wire
from govpay.sandbox.errors import Refusal
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import StoredRow

Step = tuple[datetime, int, Callable[[], object]]
DAYS = 90
# The city's time zone, which Windows calls Mountain Standard Time.
ZONE = ZoneInfo("America/Denver")
FIRST_NUMBER = 4_001

# Share of each story in percent.
_WEIGHTS = {
    "captured": 62,
    "failed": 8,
    "voided": 5,
    "void_early": 2,
    "partial": 5,
    "refunded": 5,
    "two_refunds": 2,
    "failed_refund": 1,
    "pending_refund": 1,
    "charged_back": 3,
    "won_dispute": 1,
    "returned": 3,
    "expired": 3,
    "today": 1,
}
_BANK_ONLY = {"returned", "failed_refund", "pending_refund"}
_UNPAID = {"failed", "void_early", "expired"}
_CARD_ONLY = {"charged_back", "won_dispute", "failed"}
_REASONS = ("Billed twice", "Reservation cancelled", "Account closed", "Case dismissed", "Overpayment", None)


def reference(account_name: str, year: int, number: int) -> str:
    """Return a realistic reference: a utility bill, a citation, a park reservation, a plot."""
    prefix = {"Utilities": "UB", "Courts": "CIT", "Parks": "RES"}.get(account_name, "PLOT")
    return f"{prefix}-{year}-{number:06}"


def amount(rng: random.Random, account_name: str) -> int:
    """Return a realistic amount in cents."""
    if account_name == "Utilities":
        return rng.randrange(3_200, 28_000)
    if account_name == "Courts":
        return rng.choice((4_500, 7_500, 12_500, 18_000, 25_000, 40_000))
    return rng.randrange(15, 300) * 100


@dataclass
class Planner:
    """Plans the stories of one account."""

    platform: Platform
    rng: random.Random
    account: StoredRow
    wallet: list[tuple[StoredRow, StoredRow]]
    now: datetime
    steps: list[Step]
    # Payments of the story "captured" so far.
    captured: int = 0

    def add_payment(self, number: int, story: str) -> None:
        """Add one payment's steps; the payment itself exists once its first step has run."""
        rng = self.rng
        start = self._start(story)
        method = self._method(story, start)
        made: list[StoredRow] = []
        self._at(start, lambda: made.append(self._validate(number, story, method, start)))
        if story == "expired":
            lifetime = WALLET_LIFETIME if "wallet" in method else TOKEN_LIFETIME
            self._at(start + lifetime, lambda: expire(self.platform, made[0]))
        else:
            # Steps of today are placed between midnight and now.
            pause = 0.001 if start >= self._in_the_city(0) else rng.randrange(4, 400)
            self._then(story, made, start + timedelta(seconds=pause))

    def _start(self, story: str) -> datetime:
        """Return a time in the city's working hours that leaves enough days for later steps before now."""
        rng = self.rng
        if story == "captured" and self.account.doc["active"]:
            # One after the other, so that each day up to today has payments.
            days = self.captured % (DAYS + 1)
            self.captured += 1
        else:
            recent = story in ("captured", "failed", "expired") and rng.random() < 0.15
            days = rng.randrange(2, 12) if recent else rng.randrange(12, DAYS + 1)
        if story == "today" or not days:
            midnight = self._in_the_city(0)
            return midnight + (self.now - midnight) * rng.uniform(0.1, 0.9)
        # A capture can be voided until midnight in UTC, which is late in the afternoon in the city.
        seconds = rng.randrange(28_000, 48_000 if story == "voided" else 70_000)
        return self._in_the_city(days, timedelta(seconds=seconds, microseconds=rng.randrange(1_000_000)))

    def _in_the_city(self, days: int, time: timedelta = timedelta()) -> datetime:
        """Return the moment when the city's clocks showed ``time``, so many days ago."""
        midnight = self.now.astimezone(ZONE).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
        return (midnight - timedelta(days=days) + time).replace(tzinfo=ZONE).astimezone(UTC)

    def _at(self, moment: datetime, step: Callable[[], object]) -> None:
        self.steps.append((moment, len(self.steps), step))

    def _method(self, story: str, start: datetime) -> Doc:
        """Return the payment method: a saved method for three payments in five, else a token or a typed-in account."""
        rng = self.rng
        bank = story in _BANK_ONLY or (story not in _CARD_ONLY and rng.random() < 0.2)
        if story == "failed":
            return self._declining(start)
        if rng.random() < 0.6:
            kind, day = "ach" if bank else "credit", start.isoformat()
            fitting = [
                method
                for _, method in self.wallet
                if method.doc["payment_method_type"] == kind and approves(method, day)
            ]
            if fitting:
                return wire(rng.choice(fitting))
        holder = rng.choice(self.wallet)[0].doc["name"]
        token = f"tok_{rng.getrandbits(96):024x}"
        if bank:
            return {
                "payment_method_type": "ach",
                "ach": {
                    "routing_number": "021000021",
                    "account_number_suffix": last4(rng),
                    "account_type": "checking",
                    "bank_name": "First Example Bank",
                    "holder_name": holder,
                    "fingerprint": token,
                },
            }
        return self._card(last4(rng), holder, token, start.year + 3)

    def _card(self, digits: str, holder: str, token: str, year: int) -> Doc:
        prefix = self.rng.choices(("411111", "555555", "371449", "601100"), weights=(50, 30, 12, 8))[0]
        return {
            "payment_method_type": "credit",
            "credit": {
                "fingerprint": token,
                "last4": digits,
                "exp_month": self.rng.randrange(1, 13),
                "exp_year": year,
                "bin": prefix,
                "holder_name": holder,
            },
        }

    def _declining(self, start: datetime) -> Doc:
        day = start.isoformat()
        expired = [
            method
            for _, method in self.wallet
            if method.doc["payment_method_type"] == "credit" and not approves(method, day)
        ]
        if expired and self.rng.random() < 0.3:
            return wire(self.rng.choice(expired))
        digits = self.rng.choices(list(DECLINING_CARDS), weights=(5, 4, 2, 1, 1))[0]
        holder = self.rng.choice(self.wallet)[0].doc["name"]
        return self._card(digits, holder, f"tok_{self.rng.getrandbits(96):024x}", start.year + 3)

    def _validate(self, number: int, story: str, method: Doc, start: datetime) -> StoredRow:
        rng, name = self.rng, self.account.doc["name"]
        base = amount(rng, name)
        tax = base * 6 // 100 if name == "Parks" else 0
        session = None
        if rng.random() < 0.08 and story not in _UNPAID:
            session = finish(
                self.platform,
                make_session(
                    self.platform,
                    self.account.uid,
                    {
                        "amount": base + tax,
                        "currency": "USD",
                        "success_url": "https://pay.city.example/done",
                        "cancel_url": "https://pay.city.example/cancelled",
                    },
                ),
                "completed",
            ).uid
        return make_payment(
            self.platform,
            self.account.uid,
            method,
            base_amount=base,
            tax_amount=tax,
            session_id=session,
            reference_id=reference(name, start.year, number),
        )

    def _then(self, story: str, made: list[StoredRow], moment: datetime) -> None:
        """Add the steps after validation. `made` contains the payment when they run."""
        platform = self.platform
        if story == "void_early":
            self._at(moment, lambda: void(platform, made[0]))
            return
        self._at(moment, lambda: _capture(platform, made[0]))
        later = moment + timedelta(hours=self.rng.randrange(30, 120))
        match story:
            case "voided":
                self._at(moment + timedelta(minutes=self.rng.randrange(2, 200)), lambda: void(platform, made[0]))
            case "partial" | "two_refunds" | "failed_refund":
                self._refund(made, later, 0.3, fails=story == "failed_refund")
                if story == "two_refunds":
                    self._refund(made, later + timedelta(days=2), 0.25)
            case "refunded":
                self._refund(made, later, 1.0)
            case "pending_refund":
                self._leave_pending(made)
            case "charged_back" | "won_dispute":
                code = self.rng.choice(("4853", "4837", "10.4", "13.1"))
                self._at(later, lambda: charge_back(platform, made[0], code))
                if story == "won_dispute":
                    self._at(later + timedelta(days=4), lambda: reverse_chargeback(platform, made[0]))
            case "returned":
                code = self.rng.choice(("R01", "R02", "R03", "R09"))
                self._at(later, lambda: return_payment(platform, made[0], code))

    def _refund(self, made: list[StoredRow], moment: datetime, share: float, *, fails: bool = False) -> None:
        """Refund a share of the total; a bank refund settles two days later."""
        platform, reason = self.platform, self.rng.choice(_REASONS)
        key = f"RF-{self.rng.getrandbits(48):012x}"
        done: list[StoredRow] = []

        def give_back() -> None:
            payment = _again(platform, made[0])
            total = payment.doc["total_amount"]
            done.append(refund(platform, payment, total if share == 1 else int(total * share), key, reason))

        def finish_refund() -> None:
            if done[0].doc["status"] == "pending":
                settle(platform, done[0], succeeds=not fails)

        self._at(moment, give_back)
        self._at(moment + timedelta(days=2), finish_refund)

    def _leave_pending(self, made: list[StoredRow]) -> None:
        """Make a bank refund of yesterday that settles in three days."""
        platform, reason, key = (
            self.platform,
            self.rng.choice(_REASONS),
            f"RF-{self.rng.getrandbits(48):012x}",
        )

        def give_back() -> None:
            row = refund(platform, made[0], made[0].doc["total_amount"] // 2, key, reason)
            row.due_at = iso(self.now + timedelta(days=3))
            platform.store.put(row)

        self._at(self.now - timedelta(hours=self.rng.randrange(20, 30)), give_back)


def _again(platform: Platform, row: StoredRow) -> StoredRow:
    """Return the present payment: settlements may have changed it since the last step."""
    return platform.store.get("payment", row.uid) or row


def _capture(platform: Platform, payment: StoredRow) -> None:
    try:
        capture(platform, payment)
    except Refusal as refusal:
        if not refusal.keep_changes:
            raise


def plan(
    platform: Platform,
    rng: random.Random,
    accounts: list[tuple[StoredRow, int]],
    wallets: dict[str, list[tuple[StoredRow, StoredRow]]],
    now: datetime,
) -> list[Step]:
    """Return the steps of the given number of payments for each account, over the last 90 days."""
    steps: list[Step] = []
    number = FIRST_NUMBER
    for account, count in accounts:
        planner = Planner(platform, rng, account, wallets[account.uid], now, steps)
        names = list(_WEIGHTS)
        # Each story occurs at least once in each account, so that each account has all statuses.
        chosen = [*names, *rng.choices(names, weights=list(_WEIGHTS.values()), k=count - len(names))]
        for story in chosen:
            planner.add_payment(number, story)
            number += 1
    return steps
