"""The lists of customers' saved payment methods: read and store them, and recognize a method that an action added."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from govpay.client import SavedMethodResource
from govpay.connection import get_endpoints
from govpay.exceptions import GovPayError, InvalidAnswer, NotFound
from govpay.models import Customer, Operation, SavedPaymentMethod
from govpay.models.choices import OperationAction, OperationState, Source
from govpay.operations import journal
from govpay.operations.evidence import EffectSeen
from govpay.operations.lookups import CLOCKS_DIFFER, may_be_new, readable, time_of
from govpay.sync import mapping
from govpay.sync.mapping import Unmappable
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import mark_deleted, save_documents

#: Maximum difference between the times that a method and its customer have for the same change.
SAME_CHANGE = dt.timedelta(seconds=2)

#: Actions that change a customer's ``updated_at`` without adding a newer method to the list.
CHANGES_NO_METHOD = (OperationAction.REMOVE_METHOD, OperationAction.SET_DEFAULT_METHOD)


def read_methods(account_uid: Any, customer_uid: Any) -> list[Any]:
    """Return the customer's methods; an empty list if the platform no longer has the customer. Raises ``APIError``."""
    endpoints = get_endpoints()
    try:
        page = endpoints.list_saved_payment_methods(str(account_uid), str(customer_uid))
    except NotFound as missing:
        try:
            endpoints.get_customer(str(account_uid), str(customer_uid))
        except NotFound as gone:
            if missing.status == gone.status == 404:
                return []
        raise
    if not page.is_whole:
        raise InvalidAnswer("The list of saved payment methods is incomplete.")
    return list(page.items)


def refresh_wallet(*, customer: Customer) -> None:
    """Read and store the saved methods that ``customer`` has now. Raises ``APIError``, ``InvalidAnswer``."""
    listed = read_methods(customer.account_id, customer.uid)
    present = SavedPaymentMethod.objects.filter(customer=customer.uid, deleted_at=None)
    gone = set(present.values_list("uid", flat=True)) - set(map(uid_of, listed))
    in_transaction(partial(store, str(customer.account_id), customer.uid, listed, sorted(gone)))


def store(account_uid: str, customer_uid: str, listed: list[Any], gone: list[str]) -> None:
    """Save the methods ``listed``, and set tombstones on ``gone``. Call it in a transaction."""
    where = {"account_id": account_uid, "customer_id": customer_uid}
    save_documents(mapping.SAVED_METHOD, listed, extra=where, source=Source.OPERATION)
    mark_deleted(SavedPaymentMethod, gone, source=Source.OPERATION)


def listed_after(account_uid: str, customer_uid: str) -> list[Any] | None:
    """Return ``read_methods`` after a successful call; None on an error, which must not change the call's outcome."""
    try:
        return read_methods(account_uid, customer_uid)
    except (GovPayError, ValueError):
        return None


def uid_of(document: Mapping[str, Any]) -> str:
    """Return the method's uid, or an empty string for a document without one."""
    try:
        return mapping.SAVED_METHOD.uid(document)
    except Unmappable:
        return ""


def traits_of(method: Mapping[str, Any]) -> list[Any]:
    """Return the properties by which a method is recognized: bank or card, last digits, expiry."""
    found = SavedMethodResource(method)
    kind, *rest = (readable(found, name) for name in ("method_type", "last4", "exp_month", "exp_year"))
    return [(kind or "").endswith("ach"), *rest]


def same_traits(method: Mapping[str, Any], traits: list[Any]) -> bool:
    """Return whether ``method`` may have these traits. A trait that is missing on one side is not compared."""
    return all(
        mine is None or yours is None or mine == yours for mine, yours in zip(traits_of(method), traits, strict=True)
    )


def customer_mark(document: Mapping[str, Any]) -> list[Any]:
    """Return the customer's ``updated_at`` and a hash of everything else.

    A change of a saved method changes only the customer's ``updated_at`` (assumption A14).
    """
    rest = {name: value for name, value in document.items() if name != "updated_at"}
    text = json.dumps(rest, sort_keys=True, default=str)
    return [document.get("updated_at"), hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()]


def customer_marks(uids: Iterable[str]) -> dict[str, list[Any]]:
    """Return the mark of each customer, from the mirror. An action stores the marks for ``demand_no_change``."""
    rows = Customer.objects.filter(uid__in=list(uids)).values_list("uid", "raw")
    return {uid: customer_mark(raw) for uid, raw in rows}


def demand_no_change(operation: Operation, marks: Mapping[str, list[Any]], listed: Iterable[Any]) -> None:
    """Look for signs of a saved method outside the list: the customers themselves (assumption A14).

    ``listed`` are the methods that the lists show. Raises ``EffectSeen`` if a customer's ``updated_at`` has changed
    since the operation began and nothing explains it: no other change of the document, no listed method, and no
    operation of ours. Raises ``APIError`` when a customer cannot be read.
    """
    moments = [
        time_of(each, name) for each in map(SavedMethodResource, listed) for name in ("created_at", "updated_at")
    ]
    last = max((moment for moment in moments if moment is not None), default=None)
    for uid, (before, digest) in marks.items():
        found = get_endpoints().get_customer(str(operation.account_id), uid)
        now, fresh = customer_mark(found.raw)
        touched = time_of(found, "updated_at")
        if touched is None or touched < operation.created_at - CLOCKS_DIFFER or now == before or fresh != digest:
            continue
        if last is not None and last >= touched - SAME_CHANGE:
            continue
        ours = journal.entries().filter(customer=uid, action__in=CHANGES_NO_METHOD, state=OperationState.SUCCEEDED)
        if not ours.filter(finished_at__gte=touched - CLOCKS_DIFFER).exists():
            raise EffectSeen(
                "The customer has changed since, but the list of saved methods does not show the change yet."
            )


def last_known() -> int:
    """Return the highest primary key of the saved methods, or 0.

    An action stores it before it sends its request, so that ``since`` can later tell which methods were already known.
    """
    return SavedPaymentMethod.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def since(operation: Operation, customer_uid: Any, listed: list[Any], known: int) -> Iterator[SavedMethodResource]:
    """Yield the listed methods that ``operation`` may have added, the oldest first. ``known``: see ``last_known``."""
    here = SavedPaymentMethod.objects.filter(customer=customer_uid, pk__lte=known)
    earlier = set(here.values_list("uid", flat=True))
    # Exclude methods that other operations added. A method that was made the default since may be the right one.
    others = journal.entries().filter(customer=customer_uid).exclude(pk=operation.pk)
    others = others.exclude(action=OperationAction.SET_DEFAULT_METHOD)
    earlier.update(others.values_list("result_uid", flat=True))
    found = [each for each in map(SavedMethodResource, listed) if each.uid not in earlier]
    found = [each for each in found if may_be_new(each, operation)]
    yield from sorted(found, key=lambda each: time_of(each) or operation.created_at - CLOCKS_DIFFER)
