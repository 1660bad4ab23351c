"""Permissions of every REST action, and that no address shows data of another account."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import URLPattern

import govpay
from govpay import tasks
from govpay.models import Operation, Payment
from govpay.rest import urls
from govpay.rest.actions import ActionView
from govpay.rest.base import Rows, RowView
from tests.admin.neighbours import FOREIGN, Side, everything, foreign_side, grant, own_side
from tests.admin.test_access import told
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = {
    "uid": "canaryown-nobody",
    "customer": "canaryown-nobody",
    "pk": 987_654,
    "key": "00000000-0000-4000-8000-000000000000",
}


@pytest.fixture
def own(db: None) -> Side:
    return own_side()


@pytest.fixture
def foreign(db: None) -> Side:
    return foreign_side()


@pytest.fixture
def clerk(db: None) -> User:
    """A user with every permission who is not a superuser."""
    user = User.objects.create_user("clerk")
    user.user_permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def limited(clerk: User, own: Side, foreign: Side, program: Callable[[Any], Program]) -> Program:
    """May see one of two accounts."""
    grant(own.uid("paymentaccount"), user=clerk)
    return program(clerk)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Records the tasks sent to the broker, because no worker runs here."""
    sent: list[Any] = []
    for task in (tasks.sync_account, tasks.process_event):
        monkeypatch.setattr(task, "apply_async", lambda args=(), kwargs=None, **_: sent.append(args))
    return sent


def filled(pattern: URLPattern, side: Side) -> str:
    """The address with the keys of this side's rows."""
    view = pattern.callback.cls  # type: ignore[union-attr]
    row = side.rows[str(view.model._meta.model_name)]
    given = {"uid": getattr(row, "uid", ""), "pk": row.pk, "key": getattr(row, "key", "")}
    return at(pattern, {**given, "customer": side.uid("customer")})


def at(pattern: URLPattern, given: dict[str, Any]) -> str:
    return re.sub(r"<\w+:(\w+)>", lambda found: str(given[found[1]]), str(pattern.pattern)).removeprefix("v1/")


def methods(pattern: URLPattern) -> Iterator[str]:
    yield from (each.lower() for each in pattern.callback.cls().allowed_methods if each != "HEAD")  # type: ignore[union-attr]


def ask(program: Program, method: str, path: str, body: Any = None) -> Any:
    return program.get(path) if method == "get" else program.act(path, body, method=method)


BODIES: dict[str, Any] = {
    "quote": lambda side: {
        "account": side.uid("paymentaccount"),
        "base_amount": 100,
        "saved_method": side.uid("savedpaymentmethod"),
    },
    "refund": lambda side: {"amount": 1},
    "customers": lambda side: {"account": side.uid("paymentaccount"), "reference_id": "R-1"},
    "customer-payment-methods": lambda side: {"payment_method": {"payment_method_type": "credit"}},
    "hosted-sessions": lambda side: {
        "account": side.uid("paymentaccount"),
        "amount": 100,
        "success_url": "https://city.example/",
        "cancel_url": "https://city.example/",
    },
}


def body_of(pattern: URLPattern, side: Side) -> Any:
    return BODIES.get(str(pattern.name), lambda side: {})(side)


# --- Accounts ------------------------------------------------------------------------------------------


def test_every_address_with_a_foreign_row_is_as_if_it_did_not_exist(
    limited: Program, foreign: Side, sandbox: Any, queued: list[Any]
) -> None:
    before, count = everything(), 0
    for pattern in urls.V1:
        if "<" not in str(pattern.pattern) or str(pattern.name).startswith("client"):
            continue
        for method in methods(pattern):
            path, body = filled(pattern, foreign), body_of(pattern, foreign)
            answer, twin = (ask(limited, method, each, body) for each in (path, at(pattern, NOBODY)))
            problem(answer, 404, "not-found")
            assert answer.content == twin.content
            count += 1
    assert count > 20
    assert everything() == before
    assert not queued
    assert not sandbox.requests()


def test_no_list_shows_or_finds_a_foreign_row(limited: Program, foreign: Side) -> None:
    count = 0
    for pattern in urls.V1:
        view = pattern.callback.cls  # type: ignore[union-attr]
        if not issubclass(view, Rows) or "<" in str(pattern.pattern):
            continue
        path = at(pattern, {})
        assert FOREIGN not in limited.get(path).content.decode()
        row = foreign.rows.get(str(view.model._meta.model_name))
        for name, each in view.filterset_class.base_filters.items():
            value = row and (getattr(row, f"{each.field_name}_id", None) or getattr(row, each.field_name))
            if value is None or each.lookup_expr != "exact":
                continue
            answer = limited.get(path, data={name: value})
            assert FOREIGN not in told(answer, str(value))
            count += 1
    assert count > 40


def test_a_client_is_seen_through_its_accounts(limited: Program, own: Side, foreign: Side) -> None:
    found = limited.get("clients").json()["results"]
    assert [each["uid"] for each in found] == [own.uid("client")]
    problem(limited.get(f"clients/{foreign.uid('client')}"), 404, "not-found")


@pytest.mark.parametrize("name", [*BODIES])
def test_a_body_that_names_foreign_rows_is_as_if_they_did_not_exist(
    name: str, limited: Program, own: Side, foreign: Side, sandbox: Any
) -> None:
    before = everything()
    pattern = next(each for each in urls.V1 if each.name == name)
    body = {**body_of(pattern, foreign)}
    if name == "hosted-sessions":
        body["customer"] = foreign.uid("customer")
    for each, value in body.items():
        if FOREIGN not in str(value):
            continue
        mixed = {**body_of(pattern, own), each: value}
        found = problem(limited.act(filled(pattern, own), mixed), 400, "invalid")
        assert [error["field"] for error in found["errors"]] == [each]
        assert FOREIGN not in str(found)
    assert everything() == before
    assert not sandbox.requests()


def test_the_vendors_object_names_no_saved_method(limited: Program, own: Side, foreign: Side, sandbox: Any) -> None:
    """Otherwise the account would not be checked, and the answer would show whether a foreign object exists."""
    told = set()
    for uid in (own.uid("savedpaymentmethod"), foreign.uid("savedpaymentmethod"), "spm_nobody"):
        for kind in ("wallet_credit", "wallet_ach"):
            method = {"payment_method_type": kind, "wallet": {"saved_payment_method_uid": uid}}
            body = {"account": own.uid("paymentaccount"), "base_amount": 100, "payment_method": method}
            answer = limited.act("payments/quote", body)
            assert problem(answer, 400, "invalid")["errors"][0]["field"] == "payment_method.wallet"
            told.add(answer.content)
    assert len(told) == 1
    assert not sandbox.requests()


def test_foreign_relatives_of_own_rows_are_bare(limited: Program, own: Side, foreign: Side) -> None:
    Payment.objects.filter(pk=own.rows["payment"].pk).update(customer_id=foreign.uid("customer"))
    for model in ("transaction", "operation", "webhookevent"):
        type(foreign.rows[model]).objects.filter(pk=foreign.rows[model].pk).update(payment_id=own.uid("payment"))
    answer = limited.get(f"payments/{own.uid('payment')}")
    assert FOREIGN not in told(answer, foreign.uid("customer"))
    assert len(answer.json()["transactions"]) == 1
    problem(limited.get(f"customers/{foreign.uid('customer')}"), 404, "not-found")


def test_a_wallets_method_is_found_below_its_own_customer_alone(limited: Program, own: Side) -> None:
    uid = own.uid("savedpaymentmethod")
    assert limited.get(f"customers/{own.uid('customer')}/payment-methods/{uid}").status_code == 200
    problem(limited.get(f"customers/{FOREIGN}-customer/payment-methods/{uid}"), 404, "not-found")


# --- Permissions ---------------------------------------------------------------------------------------

#: Each act, and the groups that may do it.
ALLOWED = {
    "quote": {"Cashier", "Finance"},
    "capture": {"Cashier", "Finance"},
    "refund": {"Finance"},
    "void": {"Finance"},
    "customers": {"Finance"},
    "customer-payment-methods": {"Finance"},
    "customer-payment-method": {"Finance"},
    "default-method": {"Finance"},
    "hosted-sessions": {"Cashier", "Finance"},
    "expire": {"Cashier", "Finance"},
    "account-sync": {"Operations"},
    "replay": {"Operations"},
}


def action_patterns() -> Iterator[URLPattern]:
    yield from (each for each in urls.V1 if issubclass(each.callback.cls, ActionView))  # type: ignore[union-attr]


def test_the_table_has_every_action() -> None:
    assert {each.name for each in action_patterns()} == set(ALLOWED)


@pytest.mark.parametrize("group", ["Cashier", "Finance", "Support", "Operations"])
def test_each_group_does_what_it_may_and_sees_everything(
    group: str, make_staff: Callable[..., Any], program: Callable[[Any], Program], own: Side, queued: list[Any]
) -> None:
    asking, before = program(make_staff(group)), everything()
    for pattern in action_patterns():
        method = "delete" if pattern.name == "customer-payment-method" else "post"
        # Without a key nothing is done; whether it could be is told before.
        answer = asking.act(filled(pattern, own), body_of(pattern, own), key=None, method=method)
        if group in ALLOWED[str(pattern.name)]:
            assert problem(answer, 400, "invalid")["errors"][0]["field"] == "Idempotency-Key", pattern
        else:
            problem(answer, 403, "forbidden")
    for pattern in urls.V1:
        if issubclass(pattern.callback.cls, Rows | RowView):  # type: ignore[union-attr]
            assert asking.get(filled(pattern, own)).status_code == 200, pattern
    assert everything() == before
    assert not queued


def test_nobody_sees_anything_without_the_models_permission(
    make_staff: Callable[..., Any], program: Callable[[Any], Program], own: Side
) -> None:
    user = make_staff(name="new")
    asking = program(user)
    for pattern in urls.V1:
        for method in methods(pattern):
            problem(ask(asking, method, filled(pattern, own), body_of(pattern, own)), 403, "forbidden")
    user.user_permissions.add(Permission.objects.get(codename="view_payment"))
    found = asking.get(f"payments/{own.uid('payment')}").json()
    assert found["transactions"] is found["operations"] is found["events"] is None
    assert asking.get("payments").status_code == 200
    problem(asking.get("transactions"), 403, "forbidden")


def test_who_asked_for_an_operation_sees_what_came_of_it(
    make_staff: Callable[..., Any], program: Callable[[Any], Program], own: Side, foreign: Side
) -> None:
    user = make_staff(name="bot")
    asking, row = program(user), own.rows["operation"]
    path = f"operations/{row.key}"
    for each in (path, f"operations/{uuid.uuid4()}", "operations"):
        problem(asking.get(each), 403, "forbidden")
    Operation.objects.update(actor=user)
    assert asking.get(path).json()["key"] == str(row.key)
    problem(asking.get("operations"), 403, "forbidden")
    grant(own.uid("paymentaccount"), user=user)
    assert asking.get(path).status_code == 200
    problem(asking.get(f"operations/{foreign.rows['operation'].key}"), 403, "forbidden")


# --- The source ----------------------------------------------------------------------------------------


def test_rest_reads_no_row_without_visible_to() -> None:
    folder = Path(govpay.__file__).parent / "rest"
    for path in folder.glob("*.py"):
        found = re.findall(r"\b[A-Z]\w+\.objects\b|_default_manager(?!\.none\(\))", path.read_text())
        assert len(found) == (1 if path.name == "base.py" else 0), (path.name, found)
        assert "govpay.admin" not in path.read_text()
