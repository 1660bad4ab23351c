"""The search of the staff: payments, customers, transactions, payment links and operations, each by its indexes.

A term is looked up in each column separately, and the keys that were found are united: a database reads no index for
an OR over columns of several tables. A term that many rows have is tested on the rows of the list in their order,
because the first page is then complete after a few rows. ``docs/staff.md`` lists what can be typed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from govpay.models import Customer, HostedSession, Operation, Payment, PaymentLink, SavedPaymentMethod, Transaction
from govpay.models.folding import HasWords, StartsWith
from govpay.reports.terms import Term, parse

Rows = QuerySet[Any, Any]

UUID_FORM = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)

#: Maximum number of keys that a search passes as a list, and of the statements that look for so few keys.
MAX_KEYS, MAX_LOOKUPS = 5_000, 2


@dataclass(frozen=True)
class Related:
    """The condition that ``column`` of a row is ``target`` of one of ``rows``."""

    column: str
    rows: Rows
    target: str = "uid"

    def among(self) -> Q:
        """Return the condition for a look-up that begins at ``rows``."""
        return Q(**{f"{self.column}__in": self.rows.values(self.target)})

    def of_row(self) -> Q:
        """Return the condition for a test of one row after the other."""
        return Q(Exists(self.rows.filter(**{self.target: OuterRef(self.column)})))


Condition = Q | Related
#: Alternatives, each with further conditions that a row must meet.
Alternatives = list[tuple[Condition, Q]]


def search_payments(text: str, queryset: Any = None) -> Any:
    """Return the payments of ``queryset`` (default: all) that match ``text``; without text, ``queryset`` itself.

    Every word must match: the reference or its start, the UID, a word of the payer's name, the email address, the
    last four digits, the total, the processor's ID, or the reference or ID of a payment link or session. It does not
    check what the user may see: pass ``Payment.objects.visible_to(user)``. Executes one or two SQL statements.
    """
    return search(Payment, text, Payment.objects.all() if queryset is None else queryset)[0]


def search(model: type[Model], text: str, queryset: Any) -> tuple[Any, bool]:
    """Return the rows of ``queryset`` that match ``text``, and whether more than ``MAX_KEYS`` rows of the table may."""
    whole, terms = parse(text)
    if not terms:
        return queryset, False
    groups = _groups(model, terms)
    # A reference may have spaces, so the whole text may be the start of one.
    as_one = [(each, Q()) for each in _references(model, whole)] if len(terms) > 1 else []
    for group in groups[:MAX_LOOKUPS]:
        keys = _keys(model, [*group, *as_one])
        if len(keys) <= MAX_KEYS:
            if len(groups) > 1:
                others = Q(*(_of_row(each) for each in groups if each is not group))
                queryset = queryset.filter(others | _of_row(as_one))
            return queryset.filter(pk__in=set(keys)), False
    every = Q(*map(_of_row, groups))
    return queryset.filter(every | _of_row(as_one) if as_one else every), True


def _groups(model: type[Model], terms: list[Term]) -> list[Alternatives]:
    """Return what a row must match, each with its alternatives. First comes what probably fewer rows match."""
    names, ids = SEARCHED[model]
    words = [term for term in terms if term.is_word]
    if len(words) < 2:
        words = []
    single = sorted((term for term in terms if term not in words), key=_rareness)
    groups: list[Alternatives] = [[(each, Q()) for each in [*ids(term), *names(term)]] for term in single]
    if words:
        # Each of two words may be frequent. An index finds both in one name. Or one of them begins the reference.
        group: Alternatives = [(each, Q()) for each in names(Term(" ".join(word.text for word in words)))]
        for word in words:
            rest = (_of_row([(each, Q()) for each in [*ids(o), *names(o)]]) for o in words if o is not word)
            tests = Q(*rest)
            group += [(each, tests) for each in _references(model, word)]
        groups.append(group)
    return groups


def _keys(model: type[Model], alternatives: Alternatives) -> list[Any]:
    """Return the primary keys of the rows that match one of ``alternatives``, some twice, ``MAX_KEYS + 1`` at most."""
    rows = model._default_manager.order_by()
    found = [
        rows.filter(each.among() if isinstance(each, Related) else each, tests).values_list("pk", flat=True)
        for each, tests in alternatives
    ]
    # Without order_by() the union has the model's default ordering, whose columns are not selected.
    keys = found[0].union(*found[1:], all=True).order_by() if len(found) > 1 else found[0]
    return list(keys[: MAX_KEYS + 1])


def _of_row(alternatives: Alternatives) -> Q:
    """Return the condition that tests one row after the other; the columns of the row itself come first."""
    own_first = sorted(alternatives, key=lambda each: isinstance(each[0], Related))
    tests = (Q(each.of_row() if isinstance(each, Related) else each, more) for each, more in own_first)
    return reduce(or_, tests, Q())


def _rareness(term: Term) -> tuple[bool, int]:
    """Return a key that sorts the terms: first those that probably fewer rows have."""
    return not (term.amounts or term.last4 or "@" in term.text), -len(term.folded)


def _references(model: type[Model], term: Term) -> list[Condition]:
    """Return the conditions that ``term`` is the start of a reference."""
    if model in (Transaction, Operation):
        rows = Payment.objects.order_by().filter(StartsWith("search_reference", term.folded))
        return [Q(StartsWith("reference_id", term.text)), Related("payment", rows)]
    return [Q(StartsWith("search_reference", term.folded))]


def _amounts(term: Term, column: str) -> list[Condition]:
    """Return the condition for the term's amount, if it is one. An index finds the first part of it."""
    found: list[Condition] = []
    for amount in term.amounts:
        values = {amount.minor_units(decimals) for decimals in range(5)} - {None}
        found.append(Q(**{f"{column}__in": values}) & amount.matches(column))
    return found


def _named(term: Term) -> list[Q]:
    """Return the condition for a name of the row itself."""
    return [Q(HasWords("search_name", term.words))] if term.words else []


def _named_customers(term: Term, column: str = "customer") -> list[Condition]:
    return [Related(column, Customer.objects.order_by().filter(each)) for each in _named(term)]


def _mailed_customers(term: Term) -> list[Condition]:
    rows = Customer.objects.order_by().filter(StartsWith("search_email", term.folded))
    return [Related("customer", rows)] if "@" in term.text else []


def _methods(which: list[Q], column: str, target: str) -> list[Condition]:
    """Return the conditions that ``column`` is ``target`` of a saved method."""
    return [Related(column, SavedPaymentMethod.objects.order_by().filter(each), target) for each in which]


def _last4(term: Term) -> list[Q]:
    return [Q(last4=term.last4)] if term.last4 else []


def _payment_names(term: Term) -> list[Condition]:
    return [*_named(term), *_named_customers(term), *_methods(_named(term), "saved_method", "uid")]


def _payment_ids(term: Term) -> list[Condition]:
    processed = Transaction.objects.order_by().filter(processor_transaction_id=term.text)
    link, by_reference = Q(public_id=term.text), StartsWith("search_reference", term.folded)
    links = [PaymentLink.objects.order_by().filter(each) for each in (link, by_reference)]
    return [
        *(Q(uid=term.text), *_references(Payment, term), Q(customer=term.text), Q(session=term.text)),
        *(*_last4(term), *_methods(_last4(term), "saved_method", "uid")),
        *(*_amounts(term, "total_amount"), *_mailed_customers(term)),
        Related("uid", processed, "payment"),
        *(Related("uid", each, "payment") for each in links),
        *(Related("session", each, "session") for each in links),
        Related("session", HostedSession.objects.order_by().filter(public_id=term.text)),
    ]


def _of_payments(conditions: list[Condition]) -> list[Condition]:
    """Return the conditions for rows whose payment meets one of ``conditions``."""
    rows = Payment.objects.order_by()
    return [Related("payment", rows.filter(each.among() if isinstance(each, Related) else each)) for each in conditions]


def _customer_names(term: Term) -> list[Condition]:
    return [*_named(term), *_methods(_named(term), "uid", "customer")]


def _customer_ids(term: Term) -> list[Condition]:
    address = [Q(StartsWith("search_email", term.folded))] if "@" in term.text else []
    own = [Q(uid=term.text), *_references(Customer, term), *address]
    return [*own, *_methods(_last4(term), "uid", "customer")]


def _transaction_names(term: Term) -> list[Condition]:
    return _of_payments(_payment_names(term))


def _transaction_ids(term: Term) -> list[Condition]:
    own = [Q(uid=term.text), Q(StartsWith("reference_id", term.text)), Q(processor_transaction_id=term.text)]
    return [*own, Q(payment=term.text), *_amounts(term, "amount"), *_of_payments(_payment_ids(term))]


def _link_names(term: Term) -> list[Condition]:
    return _named_customers(term)


def _link_ids(term: Term) -> list[Condition]:
    own = [Q(public_id=term.text), *_references(PaymentLink, term)]
    linked = [Q(session=term.text), Q(payment=term.text), Q(customer=term.text)]
    return [*own, *linked, *_amounts(term, "amount"), *_mailed_customers(term)]


def _operation_names(term: Term) -> list[Condition]:
    actors = [Related("actor", _people(term), "pk")] if term.words else []
    return [*actors, *_named_customers(term), *_of_payments(_payment_names(term))]


def _operation_ids(term: Term) -> list[Condition]:
    key = [Q(key=uuid.UUID(term.text))] if UUID_FORM.fullmatch(term.text) else []
    own = [*key, Q(payment=term.text), Q(StartsWith("reference_id", term.text)), *_amounts(term, "amount")]
    return [*own, *_mailed_customers(term), *_of_payments(_payment_ids(term))]


def _people(term: Term) -> Rows:
    """Return the users for whom the user name or a name starts with each word of the term, in any case."""
    users: Any = get_user_model()
    names = {users.USERNAME_FIELD, "first_name", "last_name"} & {field.name for field in users._meta.concrete_fields}
    rows: Rows = users._default_manager.order_by()
    for word in term.text.split():
        rows = rows.filter(reduce(or_, (Q(**{f"{name}__istartswith": word}) for name in sorted(names))))
    return rows


#: What a term may mean in each list: the conditions for a name, and those for anything else.
SEARCHED: dict[type[Model], tuple[Callable[[Term], list[Condition]], Callable[[Term], list[Condition]]]] = {
    Payment: (_payment_names, _payment_ids),
    Customer: (_customer_names, _customer_ids),
    Transaction: (_transaction_names, _transaction_ids),
    PaymentLink: (_link_names, _link_ids),
    Operation: (_operation_names, _operation_ids),
}
