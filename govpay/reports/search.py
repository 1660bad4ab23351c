"""The search of the staff: payments, customers, transactions, payment links and operations, each by its indexes.

A term is looked up in each column separately, and the keys that were found are united: a database reads no index for
an OR over columns of several tables. ``docs/staff.md`` lists what can be typed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model, Q, QuerySet

from govpay.models import Customer, HostedSession, Operation, Payment, PaymentLink, SavedPaymentMethod, Transaction
from govpay.models.folding import HasWords, StartsWith
from govpay.reports.terms import Term, parse

Rows = QuerySet[Any, Any]

UUID_FORM = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)


def search_payments(text: str, queryset: Any = None) -> Any:
    """Return the payments of ``queryset`` (default: all) that match ``text``; without text, ``queryset`` itself.

    Every word must match: the reference or its start, the UID, a word of the payer's name, the email address, the
    last four digits, the total, the processor's ID, or the reference or ID of a payment link or session. It does not
    check what the user may see: pass ``Payment.objects.visible_to(user)``.
    """
    return search(Payment, text, queryset)


def search(model: type[Model], text: str, queryset: Any = None) -> Any:
    """Do the same for any model in ``SEARCHED``."""
    rows = model._default_manager.all() if queryset is None else queryset
    keys = matching_keys(model, text)
    return rows if keys is None else rows.filter(pk__in=keys)


def matching_keys(model: type[Model], text: str) -> Rows | None:
    """Return the primary keys of the rows that match ``text``, some of them twice; ``None`` for an empty text."""
    whole, terms = parse(text)
    if not terms:
        return None
    find = SEARCHED[model]
    if len(terms) == 1:
        return _union(find(terms[0]))
    rows = model._default_manager.order_by()
    for term in terms:
        rows = rows.filter(pk__in=_union(find(term)))
    # A reference may have spaces.
    return _union([rows.values_list("pk", flat=True), *find(whole, only_whole=True)])


def _union(arms: list[Rows]) -> Rows:
    # Without order_by() the union has the model's default ordering, whose columns are not selected.
    return arms[0].union(*arms[1:], all=True).order_by() if len(arms) > 1 else arms[0]


def _keys(model: type[Model], *conditions: Any) -> list[Rows]:
    """Return the primary keys of the rows that meet each of ``conditions``, one query for each."""
    rows = model._default_manager.order_by()
    return [rows.filter(condition).values_list("pk", flat=True) for condition in conditions]


def _amounts(term: Term, column: str) -> list[Q]:
    """Return the condition for the term's amount, if it is one; the first part of it is what the index finds."""
    found = []
    for amount in term.amounts:
        values = {amount.minor_units(decimals) for decimals in range(5)} - {None}
        found.append(Q(**{f"{column}__in": sorted(values, key=int)}) & amount.matches(column))  # type: ignore[arg-type]
    return found


def _customers(term: Term) -> list[Rows]:
    """Return the UIDs of the customers that a payer's name or email address means."""
    rows = Customer.objects.order_by()
    conditions: list[Any] = [HasWords("search_name", term.words)] if term.words else []
    if "@" in term.text:
        conditions.append(StartsWith("search_email", term.folded))
    return [rows.filter(condition).values("uid") for condition in conditions]


def _methods(term: Term) -> list[Rows]:
    """Return the saved methods with this holder or these last four digits."""
    rows = SavedPaymentMethod.objects.order_by()
    found = [rows.filter(HasWords("search_name", term.words))] if term.words else []
    return [*found, rows.filter(last4=term.last4)] if term.last4 else found


def _links(term: Term) -> list[Rows]:
    rows = PaymentLink.objects.order_by()
    return [rows.filter(each) for each in (Q(public_id=term.text), StartsWith("search_reference", term.folded))]


def _payments(term: Term, *, only_whole: bool = False) -> list[Rows]:
    reference = StartsWith("search_reference", term.folded)
    if only_whole:
        return _keys(Payment, reference)
    conditions: list[Any] = [Q(uid=term.text), reference, Q(customer=term.text), Q(session=term.text)]
    conditions += [HasWords("search_name", term.words)] if term.words else []
    conditions += [Q(last4=term.last4)] if term.last4 else []
    conditions += _amounts(term, "total_amount")
    conditions += [Q(customer__in=found) for found in _customers(term)]
    conditions += [Q(saved_method__in=found.values("uid")) for found in _methods(term)]
    processed = Transaction.objects.order_by().filter(processor_transaction_id=term.text)
    conditions += [Q(uid__in=processed.values("payment"))]
    for links in _links(term):
        conditions += [Q(uid__in=links.values("payment")), Q(session__in=links.values("session"))]
    conditions += [Q(session__in=HostedSession.objects.order_by().filter(public_id=term.text).values("uid"))]
    return _keys(Payment, *conditions)


def _customer_keys(term: Term, *, only_whole: bool = False) -> list[Rows]:
    reference = StartsWith("search_reference", term.folded)
    if only_whole:
        return _keys(Customer, reference)
    conditions: list[Any] = [Q(uid=term.text), reference]
    conditions += [HasWords("search_name", term.words)] if term.words else []
    conditions += [StartsWith("search_email", term.folded)] if "@" in term.text else []
    conditions += [Q(uid__in=found.values("customer")) for found in _methods(term)]
    return _keys(Customer, *conditions)


def _transactions(term: Term, *, only_whole: bool = False) -> list[Rows]:
    reference = StartsWith("reference_id", term.text)
    if only_whole:
        return _keys(Transaction, reference, _of_payments(term, only_whole=True))
    conditions: list[Any] = [Q(uid=term.text), reference, Q(processor_transaction_id=term.text)]
    return _keys(Transaction, *conditions, *_amounts(term, "amount"), _of_payments(term))


def _link_keys(term: Term, *, only_whole: bool = False) -> list[Rows]:
    reference = StartsWith("search_reference", term.folded)
    if only_whole:
        return _keys(PaymentLink, reference)
    conditions: list[Any] = [Q(public_id=term.text), reference, Q(session=term.text), Q(payment=term.text)]
    conditions += [Q(customer=term.text), *_amounts(term, "amount")]
    conditions += [Q(customer__in=found) for found in _customers(term)]
    return _keys(PaymentLink, *conditions)


def _operations(term: Term, *, only_whole: bool = False) -> list[Rows]:
    reference = StartsWith("reference_id", term.text)
    if only_whole:
        return _keys(Operation, reference, _of_payments(term, only_whole=True))
    conditions: list[Any] = [reference, *_amounts(term, "amount"), _of_payments(term), Q(actor__in=_people(term))]
    conditions += [Q(customer__in=found) for found in _customers(term)]
    conditions += [Q(key=uuid.UUID(term.text))] if UUID_FORM.fullmatch(term.text) else []
    return _keys(Operation, *conditions)


def _of_payments(term: Term, *, only_whole: bool = False) -> Q:
    """Return the condition for rows whose payment matches the term."""
    found = Payment.objects.order_by().filter(pk__in=_union(_payments(term, only_whole=only_whole)))
    return Q(payment__in=found.values("uid"))


def _people(term: Term) -> Rows:
    """Return the users whose user name or name starts with the term, in any case."""
    users: Any = get_user_model()
    names = {users.USERNAME_FIELD, "first_name", "last_name"} & {field.name for field in users._meta.concrete_fields}
    which = Q(pk__in=[])
    for name in sorted(names):
        which |= Q(**{f"{name}__istartswith": term.text})
    return users._default_manager.order_by().filter(which).values("pk")  # type: ignore[no-any-return]


#: The search of each model. ``only_whole``: look up the term as a whole reference, not as one word of several.
SEARCHED: dict[type[Model], Callable[..., list[Rows]]] = {
    Payment: _payments,
    Customer: _customer_keys,
    Transaction: _transactions,
    PaymentLink: _link_keys,
    Operation: _operations,
}
