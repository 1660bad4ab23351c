"""Bulk import of existing processor tokens: check each row, send the rows in chunks, and send no row twice."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

from django.utils import timezone

from govpay.client import Resource, shapes, tenant_shapes
from govpay.client.cards import refuse_cards
from govpay.client.redaction import one_line
from govpay.connection import get_endpoints
from govpay.exceptions import APIError, InvalidAnswer, OperationRefused, OutcomeUnknown
from govpay.models import Customer, Operation, PaymentAccount
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction, OperationState, Source
from govpay.models.fields import Sealed
from govpay.operations import journal
from govpay.operations.actions import Action, ActionResult
from govpay.operations.customers import check_account, customer_named, customers_of
from govpay.operations.engine import execute
from govpay.operations.import_marks import mark_of
from govpay.operations.wallet_lists import (
    customer_marks,
    demand_no_change,
    last_known,
    read_methods,
    same_traits,
    since,
    traits_of,
)
from govpay.sync import mapping
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_document, save_documents

#: Maximum rows in one call (assumption A16).
CHUNK = 500

#: Waiting time after a call's deadline. A row that the platform does not show by then was not imported.
GRACE = dt.timedelta(seconds=60)

IMPORTED, REFUSED, UNKNOWN, NOT_SENT = "imported", "refused", "unknown", "not_sent"

_NO_TRACE = "not imported: the answer was lost and the platform has no trace of this row"
_LINE = re.compile(r"row (\d+): (.*)")


@dataclass(frozen=True)
class RowResult:
    """The result of the row at ``index``: ``imported``, ``refused``, ``unknown`` (being looked up) or ``not_sent``.

    ``uid`` is the saved payment method's uid; it is empty if only the journal knows the row. ``error`` says why the row
    was not imported.
    """

    index: int
    state: str
    uid: str = ""
    error: str = ""


def import_payment_methods(
    *,
    account: PaymentAccount,
    rows: Iterable[Mapping[str, Any]],
    actor: Any = None,
    key: uuid.UUID | str | None = None,
) -> list[RowResult]:
    """Import permanent processor tokens; return one result for each row, in the order of ``rows`` (assumption A16).

    A row is ``{"customer_reference_id": …, "payment_method": {…}}`` with the vendor's request object. Rows that our
    rules or the platform refuse do not stop the other rows. Every 500 rows are one call with a journal entry. If the
    answer to a call is lost, its rows are ``unknown``: reconciliation reads the customers' methods, and nothing is sent
    again. No further call is made after it, and the remaining rows are ``not_sent``. The methods are stored at once
    with the values of the request; the next sync replaces these with the platform's values.

    Raises ``OperationRefused``, and ``APIError`` when the platform refused before anything was imported.
    """
    given = list(rows)
    results: dict[int, RowResult] = {}
    for start in range(0, len(given), CHUNK):
        chunk = dict(enumerate(given[start : start + CHUNK], start))
        mine = key if key is None or len(given) <= CHUNK else uuid.uuid5(_as_uuid(key), str(start))
        try:
            found = _import_chunk(account, chunk, actor, mine)
        except OutcomeUnknown as error:
            found = [RowResult(index, UNKNOWN, error=str(error)) for index in chunk]
        except APIError as error:
            if not any(result.state == IMPORTED for result in results.values()):
                raise
            found = [RowResult(index, NOT_SENT, error=str(error)) for index in chunk]
        results.update((result.index, result) for result in found)
        if any(result.state in (UNKNOWN, NOT_SENT) for result in found):
            break
    behind = "not sent, because an earlier part did not go through"
    return [results.get(index) or RowResult(index, NOT_SENT, error=behind) for index in range(len(given))]


def checked_row(row: Any) -> tenant_shapes.ImportedMethod:
    """Return the checked row as it is sent. Raises ``OperationRefused`` with the wrong field, never its value."""
    refuse_cards(row=row)
    if not isinstance(row, Mapping) or set(row) != {"customer_reference_id", "payment_method"}:
        raise OperationRefused("A row has customer_reference_id and payment_method, and nothing else.")
    method = shapes.payment_method_from_dict(row["payment_method"], saving=True)
    if method.credit is not None:
        _check_expiry(method.credit)
    if method.ach is not None and not method.ach.fingerprint:
        raise OperationRefused("payment_method.ach.fingerprint is missing.")
    return tenant_shapes.ImportedMethod(customer_reference_id=row["customer_reference_id"], payment_method=method)


def recall(key: uuid.UUID) -> tuple[str, list[RowResult]]:
    """Return the state of one import call in the journal (empty if there is no entry), and its refused rows."""
    operation = journal.entries().filter(key=key, action=OperationAction.IMPORT_METHODS).first()
    if operation is None:
        return "", []
    state = OperationState.UNKNOWN if operation.is_overdue else operation.state
    found = [match for line in operation.reason.splitlines() if (match := _LINE.fullmatch(line))]
    return state, [RowResult(int(match[1]), REFUSED, error=match[2]) for match in found]


def _check_expiry(card: shapes.Credit) -> None:
    for name in ("last4", "exp_month", "exp_year"):
        if getattr(card, name) is None:
            raise OperationRefused(f"payment_method.credit.{name} is missing.")
    # A card is valid to the end of its month in every time zone, so one day is subtracted.
    today = timezone.now() - dt.timedelta(days=1)
    if (card.exp_year, card.exp_month) < (today.year, today.month):
        raise OperationRefused("The card has expired.")


def _import_chunk(
    account: PaymentAccount, chunk: Mapping[int, Any], actor: Any, key: uuid.UUID | str | None
) -> list[RowResult]:
    refused: dict[int, str] = {}
    good: dict[int, tenant_shapes.ImportedMethod] = {}
    for index, row in chunk.items():
        try:
            good[index] = checked_row(row)
        except OperationRefused as error:
            refused[index] = error.message
    customers = _customers(account, sorted({row.customer_reference_id for row in good.values()}))
    for index, row in list(good.items()):
        if row.customer_reference_id not in customers:
            refused[index] = "customer_reference_id names no customer of this account."
            del good[index]
    imported: dict[int, str] = {}
    if good:
        action = ImportMethodsAction(account, good, customers, refused)
        execute(action, actor=actor, key=key)
        imported, refused = action.outcome(chunk, key)
    done = [RowResult(index, IMPORTED, uid=uid) for index, uid in imported.items()]
    return done + [RowResult(index, REFUSED, error=why) for index, why in refused.items()]


def _customers(account: PaymentAccount, references: Sequence[str]) -> dict[str, str]:
    """Return the customers' uids by reference. Customers that are not known here are read from the platform."""
    known = customers_of(account).filter(reference_id__in=references).order_by("-pk")
    found = dict(known.values_list("reference_id", "uid"))
    for reference in references:
        customer = None if reference in found else customer_named(account.uid, reference)
        if customer is not None:
            where = {"account_id": account.uid}
            in_transaction(partial(save_document, mapping.CUSTOMER, customer.raw, extra=where, source=Source.OPERATION))
            found[reference] = customer.uid
    return found


class ImportMethodsAction(Action):
    """One call of an import. The journal entry is closed with the document of the first row's customer."""

    action: ClassVar[str] = OperationAction.IMPORT_METHODS
    model = Customer
    operation: Operation | None = None

    def __init__(
        self,
        account: PaymentAccount,
        rows: Mapping[int, tenant_shapes.ImportedMethod],
        customers: Mapping[str, str],
        refused: Mapping[int, str],
    ) -> None:
        self.account, self.indexes = account, list(rows)
        self.body = tenant_shapes.ImportPaymentMethods(payment_methods=list(rows.values()))
        #: The data that recognizes each row in the lists if the answer is lost. Deleted when the outcome is known.
        self.kept = {
            "refused": list(refused.items()),
            "rows": [
                [index, customers[row.customer_reference_id], traits_of(row.payment_method.to_wire())]
                for index, row in rows.items()
            ],
        }

    def arguments(self) -> Mapping[str, Any]:
        return {**self.body.to_wire(), "account": self.account.uid, "rows": self.indexes}

    def entry(self) -> dict[str, Any]:
        return {
            "account_id": self.account.uid,
            "reason": f"{len(self.indexes)} rows",
            "row_marks": " ".join(mark_of(self.account.uid, row) for row in self.body.payment_methods),
            "validated_method": Sealed.of(json.dumps({**self.kept, "known": last_known(), "customers": self._marks()})),
        }

    def _marks(self) -> dict[str, list[Any]]:
        rows: Any = self.kept["rows"]
        return customer_marks({customer for _, customer, _ in rows})

    def check(self, operation: Operation) -> None:
        self.operation = operation
        check_account(self.account.uid)

    def send(self, operation: Operation) -> Resource:
        answer = get_endpoints().import_payment_methods(self.account.uid, self.body, idempotency_key=str(operation.key))
        imported: list[list[Any]] = []
        refused: list[list[Any]] = []
        said = {item.get("index"): item for item in answer["results"]}
        for position, index in enumerate(self.indexes):
            item = said.get(position, {})
            uid, error = item.get("saved_payment_method_uid"), item.get("error")
            if isinstance(uid, str) and uid:
                method = self.body.payment_methods[position].payment_method.to_wire()
                imported.append([index, {"saved_payment_method_uid": uid, **method}])
            elif error:
                refused.append([index, _words(error)])
        return Resource({"imported": imported, "refused": refused, "whole": False})

    @staticmethod
    def judge(operation: Operation, found: Resource) -> ActionResult | None:
        kept = _kept(operation)
        imported, refused = found.raw["imported"], found.raw["refused"]
        if len(imported) + len(refused) != len(kept["rows"]):
            raise InvalidAnswer("the answer does not contain a result for every row")
        vars(operation)["_outcome"] = (found.raw["whole"], dict(imported), dict([*kept["refused"], *refused]))
        for _, document in imported:
            mapping.SAVED_METHOD.uid(document)  # raises ``Unmappable`` for a document without a usable uid
        customer = Customer.objects.filter(uid=kept["rows"][0][1]).first()
        if customer is None:
            raise InvalidAnswer("its customer is no longer known here")
        return ActionResult(mapping.CUSTOMER, {**customer.raw, "uid": customer.uid})

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Find each row among its customer's methods.

        Raises ``InvalidAnswer`` if only some rows are there before ``GRACE`` after the call's deadline.
        """
        wanted: dict[str, list[Any]] = defaultdict(list)
        kept = _kept(operation)
        for index, customer, traits in kept["rows"]:
            wanted[customer].append((index, traits))
        imported: list[list[Any]] = []
        seen: list[Any] = []
        for customer, rows in wanted.items():
            listed = read_methods(operation.account_id, customer)
            seen += listed
            new = list(since(operation, customer, listed, kept["known"]))
            for index, traits in rows:
                match = next((each for each in new if same_traits(each.raw, traits)), None)
                if match is not None:
                    new.remove(match)
                    imported.append([index, dict(match.raw)])
        if not imported:
            demand_no_change(operation, kept.get("customers", {}), seen)
            return None
        there = {index for index, _ in imported}
        refused = [[index, _NO_TRACE] for index, _, _ in kept["rows"] if index not in there]
        if refused and timezone.now() < operation.deadline_at + GRACE:
            raise InvalidAnswer("Only some rows exist on the platform: the import may still be running.")
        return cls.judge(operation, Resource({"imported": imported, "refused": refused, "whole": True}))

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        whole, imported, refused = vars(operation)["_outcome"]
        owners = {index: customer for index, customer, _ in _kept(operation)["rows"]}
        methods: dict[str, list[Any]] = defaultdict(list)
        for index, document in imported.items():
            methods[owners[index]].append(document)
        for customer, documents in methods.items():
            where = {"account_id": operation.account_id, "customer_id": customer}
            # Documents made from our own request send no signals: the next sync reads the platform's documents.
            save_documents(mapping.SAVED_METHOD, documents, extra=where, source=Source.OPERATION, quiet=not whole)
        Customer.objects.filter(uid__in=methods).update(methods_stale=True)
        lines = [f"{len(imported)} imported, {len(refused)} refused"]
        lines += [f"row {index}: {why}" for index, why in sorted(refused.items())]
        marks = zip(owners, operation.row_marks.split(), strict=False)
        done = " ".join(mark for index, mark in marks if index in imported)
        journal.entries().filter(pk=operation.pk).update(reason="\n".join(lines), validated_method=None, row_marks=done)

    def outcome(self, chunk: Mapping[int, Any], key: Any) -> tuple[dict[int, str], dict[int, str]]:
        """Return imported rows (index: uid) and refused rows (index: reason); for a used key, from the journal."""
        if self.operation is not None:
            _, imported, refused = vars(self.operation)["_outcome"]
            return {index: mapping.SAVED_METHOD.uid(document) for index, document in imported.items()}, refused
        _, told = recall(_as_uuid(key))
        again = {result.index: result.error for result in told}
        return {index: "" for index in chunk if index not in again}, again


#: The actions of this module, for ``reconciliation``.
ACTIONS: tuple[type[Action], ...] = (ImportMethodsAction,)


def _kept(operation: Operation) -> dict[str, Any]:
    if operation.validated_method is None:
        raise InvalidAnswer("The data that identifies the rows was deleted.")
    return cast("dict[str, Any]", json.loads(cast(Sealed, operation.validated_method).reveal()))


def _words(error: Any) -> str:
    """Return the platform's error about one row, on one line and with secrets masked."""
    said = error.get("message") or error.get("code") if isinstance(error, Mapping) else error
    return one_line(str(said or "")) or "refused without a reason"


def _as_uuid(key: uuid.UUID | str) -> uuid.UUID:
    try:
        return uuid.UUID(str(key))
    except ValueError:
        raise OperationRefused("The key must be a UUID.") from None
