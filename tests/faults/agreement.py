"""Invariants of the platform's ledger, our journal and our mirror, at every moment and after all outcomes are known."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from govpay.models import (
    HostedSession,
    Operation,
    OutboxSignal,
    Payment,
    PaymentAccount,
    PaymentLink,
    Transaction,
    WebhookEvent,
)
from govpay.models.choices import ONCE_CAPTURED
from govpay.models.operations import OPEN_STATES
from govpay.operations.attempts import not_found
from tests.operations.merchant import Merchant

MONEY = ("capture", "refund", "void")

#: Status → the statuses that can follow it (assumptions A8 to A11). Statuses without an entry are final.
EDGES: dict[str | None, set[str]] = {
    None: {"validated"},
    "validated": {"captured", "failed", "voided", "expired"},
    "captured": {"voided", "partially_refunded", "refunded", "charged_back", "returned"},
    "partially_refunded": {"refunded", "charged_back", "returned"},
    "refunded": {"charged_back", "returned"},
    # The merchant won the dispute.
    "charged_back": {"captured", "partially_refunded", "refunded"},
}

#: The platform's record of each status that a payment had, written by a trigger of its database.
HISTORY = """
CREATE TABLE IF NOT EXISTS history (seq INTEGER PRIMARY KEY, uid TEXT, status TEXT)
;CREATE TRIGGER IF NOT EXISTS made AFTER INSERT ON payments
 BEGIN INSERT INTO history (uid, status) VALUES (new.uid, new.status); END
;CREATE TRIGGER IF NOT EXISTS moved AFTER UPDATE ON payments WHEN old.status IS NOT new.status
 BEGIN INSERT INTO history (uid, status) VALUES (new.uid, new.status); END
"""


class Agreement:
    """Compares both sides of one payment account. Create it before anything happens there."""

    def __init__(self, merchant: Merchant, *, late: bool = False) -> None:
        """``late``: the platform may carry out an operation after it was closed as not executed."""
        self.late, self.in_the_end = late, False
        self.merchant, self.account = merchant, merchant.account.uid
        for statement in HISTORY.split("\n;"):
            merchant.sandbox.platform.store.execute(statement)
        #: The position of each payment in its history at the last check.
        self._seen: dict[str, int] = {}

    # The two sides.

    @property
    def journal(self) -> Any:
        return Operation.objects.filter(account=self.account)

    def there(self, kind: str) -> dict[str, Any]:
        return {document["uid"]: document for document in self.merchant.sandbox.all(kind, self.account)}

    def histories(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {uid: [] for uid in self.there("payment")}
        for uid, status in self.merchant.sandbox.platform.store.execute("SELECT uid, status FROM history ORDER BY seq"):
            if uid in found:
                found[uid].append(status)
        return found

    def entries(self, kind: str, ours: str = "") -> list[dict[str, Any]]:
        """Entries of the ledger. Those of our staff are recognized by the prefix of their references."""
        return [
            entry
            for entry in self.merchant.sandbox.ledger()
            if (entry["account_uid"], entry["kind"]) == (self.account, kind)
            and (entry["reference_id"] or "").startswith(ours)
        ]

    def happened(self, operation: Operation) -> bool:
        """Whether the ledger has the effect of the operation."""
        entries = self.entries(operation.action)
        if operation.action == "refund":
            return operation.reference_id in {entry["reference_id"] for entry in entries}
        happened = sum(entry["payment_uid"] == operation.payment_id for entry in entries)
        if self.late:
            return happened > 0  # of two operations that may have had this one effect, both are told so
        done = self.journal.filter(action=operation.action, payment=operation.payment_id, state="succeeded").count()
        return happened > done

    # Invariants at any moment.

    def holds(self) -> None:
        self.journal_is_the_ledger()
        self.nothing_is_given_back_twice()
        self.one_action_at_a_time()
        self.each_action_is_sent_once()
        self.statuses_move_on()
        self.nothing_is_orphaned()

    def journal_is_the_ledger(self) -> None:
        """Each success has an effect. Each effect has exactly one operation, which succeeded or is still open."""
        for action, ours in (("capture", "gp-"), ("void", "")):
            rows = self.journal.filter(action=action)
            done = Counter(rows.filter(state="succeeded").values_list("payment", flat=True))
            still = Counter(rows.filter(state__in=OPEN_STATES).values_list("payment", flat=True))
            happened = Counter(entry["payment_uid"] for entry in self.entries(action, ours))
            late = Counter(self.may_arrive().filter(action=action).values_list("payment", flat=True))
            for uid in {*done, *still, *happened}:
                # A capture by another user counts too: two operations may have the same effect as their answer.
                said = min(done[uid], 1) if self.late else done[uid]
                assert said <= happened[uid] <= done[uid] + still[uid] + late[uid], (action, uid)
                assert happened[uid] <= 1, (action, uid)
        refunds = {entry["reference_id"]: entry["amount"] for entry in self.entries("refund", "rf-")}
        turned = {entry["reference_id"] for entry in self.entries("refund_failed", "rf-")}
        assert len(refunds) == len(self.entries("refund", "rf-")), "one wish, two effects"
        rows = self.journal.filter(action="refund")
        late = set(self.may_arrive().values_list("reference_id", flat=True))
        for reference, amount, state in rows.values_list("reference_id", "amount", "state"):
            if state == "succeeded" or (state in OPEN_STATES and reference in refunds):
                assert refunds[reference] == amount
            elif state == "failed":
                assert reference not in refunds.keys() - turned - late
        assert refunds.keys() <= set(rows.values_list("reference_id", flat=True))
        quoted = defaultdict[str, set[str]](set)
        for uid, each in self.there("payment").items():
            if _is_quote(each):
                quoted[each["reference_id"]].add(uid)
        rows = self.journal.filter(action="quote")
        for reference, state, result in rows.values_list("reference_id", "state", "result_uid"):
            if state == "succeeded":
                assert result in quoted[reference]
            # A quote moves no money. One that the lists showed too late expires.
            assert self.late or (state != "failed" or reference not in quoted)
            assert self.late or len(quoted[reference]) <= 1
        assert {reference for reference, uids in quoted.items() if uids} <= set(
            rows.values_list("reference_id", flat=True)
        )

    def may_arrive(self) -> Any:
        """Operations that were closed as not executed although they were: at the end there are none."""
        return self.journal.filter(not_found()) if self.late and not self.in_the_end else self.journal.none()

    def nothing_is_given_back_twice(self) -> None:
        taken = Counter[str]()
        for kind, sign in (("capture", 1), ("refund", -1), ("refund_failed", 1)):
            for entry in self.entries(kind):
                taken[entry["payment_uid"]] += sign * entry["amount"]
        assert not {uid: left for uid, left in taken.items() if left < 0}

    def one_action_at_a_time(self) -> None:
        still = self.journal.filter(state__in=OPEN_STATES, action__in=MONEY)
        assert max(Counter(still.values_list("payment", flat=True)).values(), default=0) <= 1

    def each_action_is_sent_once(self) -> None:
        """The POSTs of each attempt. A call that got a 401 was not carried out and is repeated with a new token."""
        let_in = Counter(request["idempotency_key"] for request in self.merchant.posts() if request["status"] != 401)
        attempts = {str(key): number for key, number in self.journal.values_list("key", "attempts")}
        assert [key for key, times in let_in.items() if times > attempts.get(key, 1)] == []

    def statuses_move_on(self) -> None:
        """Our status is one that the payment had, and never goes back; the platform's follow the assumptions."""
        histories = self.histories()
        for uid, history in histories.items():
            for before, after in zip([None, *history], history, strict=False):
                assert after in EDGES.get(before, set()), f"{uid}: {before} to {after}"
        for uid, status in Payment.objects.filter(account=self.account).values_list("uid", "status"):
            at = self._seen.get(uid, 0)
            assert status in histories[uid][at:], f"{uid} went back to {status}: {histories[uid]}, seen up to {at}"
            self._seen[uid] = histories[uid].index(status, at)

    def nothing_is_orphaned(self) -> None:
        for model in (Payment, Transaction, HostedSession, PaymentLink, Operation):
            # This includes rows without an account.
            assert list(model.objects.exclude(account__in=PaymentAccount.objects.values("uid"))) == []
        named = self.journal.exclude(payment=None).values_list("payment", flat=True)
        assert set(named) <= self.there("payment").keys()
        for model, actions in ((Payment, ("quote", "capture", "void")), (Transaction, ("refund",))):
            done = self.journal.filter(action__in=actions, state="succeeded").exclude(settled_at__isnull=False)
            assert not done.exclude(result_uid__in=model.objects.values("uid")).exists()

    # Invariants at the end.

    def is_complete(self) -> None:
        """No operation is open, and every document of the mirror equals the platform's."""
        self.in_the_end = True
        self.holds()
        assert not self.journal.filter(state__in=OPEN_STATES).exists()
        turned = {entry["reference_id"] for entry in self.entries("refund_failed", "rf-")}
        assert not self.journal.filter(state="succeeded", reference_id__in=turned).exists()
        for kind, model in (("payment", Payment), ("transaction", Transaction)):
            rows = model.objects.filter(account=self.account, deleted_at=None)
            assert dict(rows.values_list("uid", "raw")) == self.there(kind)
        payments = self.there("payment")
        assert set(Transaction.objects.filter(account=self.account).values_list("payment", flat=True)) <= set(payments)
        for row in HostedSession.objects.filter(account=self.account):
            assert row.status == self.merchant.sandbox.session(row.uid)["status"]
        self._links()

    def _links(self) -> None:
        """No link was paid twice, and each paid link is marked as paid."""
        paid = Counter(
            row.metadata["payment_link"]
            for row in HostedSession.objects.filter(account=self.account, status="completed")
            if "payment_link" in (row.metadata or {})
        )
        for link in PaymentLink.objects.filter(account=self.account):
            assert paid[link.public_id] == (link.state == "paid") <= 1
            assert link.state != "paid" or link.payment is not None

    def was_told_once(self, heard: list[tuple[str, str]], quiet: set[str]) -> None:
        """Each change sent one signal. ``quiet``: payments that existed before the receivers were connected."""
        assert not OutboxSignal.objects.exists()
        expected = Counter[tuple[str, str]]()
        for row in Payment.objects.filter(account=self.account).exclude(uid__in=quiet):
            once = row.status in ONCE_CAPTURED or row.captured_at is not None
            if self.late and row.status == "voided":
                once = ("payment_captured", row.uid) in heard  # it may have been voided before its capture was seen
            expected += Counter({("payment_captured", row.uid): int(once)})
            expected += Counter({("payment_failed", row.uid): int(row.status == "failed")})
        of_type = {"refund": "payment_refunded", "chargeback": "payment_disputed", "ach_return": "payment_returned"}
        for move in Transaction.objects.filter(account=self.account, type__in=of_type, status="succeeded"):
            expected[of_type[move.type], str(move.payment_id)] += 1
        for session in HostedSession.objects.filter(account=self.account).exclude(status="active"):
            expected[f"session_{session.status}", session.uid] += 1
        events = WebhookEvent.objects.filter(account=self.account).exclude(processed_at=None)
        expected += Counter(("event_received", str(pk)) for pk in events.values_list("pk", flat=True))
        for operation in self.journal:
            # A refund that was accepted and failed later has ended twice.
            expected["operation_finished", str(operation.pk)] = 1 + ("failed later" in operation.error)
        told = Counter(heard)
        if self.late:  # once for each outcome: a sign reopens it
            for operation in self.journal:
                ended = "operation_finished", str(operation.pk)
                expected[ended] = max(1, told[ended])
        assert told == expected, (told - expected, expected - told)


def _is_quote(document: dict[str, Any]) -> bool:
    return str(document["reference_id"]).startswith("gp-")
