"""The scripts of ``docs/rest.md``, run unchanged against a site and the sandbox."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from django.dispatch import receiver
from django.shortcuts import redirect

from govpay import operations
from govpay.models import HostedSession, Operation
from govpay.operations.links import open_session
from govpay.rest import problems, urls
from govpay.signals import session_completed
from govpay.sync import outbox
from tests.operations.merchant import Merchant
from tests.rest.conftest import Program

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()
BLOCKS = re.findall(r"(<!-- recipe -->\n)?```python\n(.*?)```", TEXT, re.S)
SCRIPTS = [code for mark, code in BLOCKS if not mark and "INSTALLED_APPS" not in code]
(RECIPE,) = [code for mark, code in BLOCKS if mark]


def test_the_scripts_run_as_they_stand(
    finance_program: Program, merchant: Merchant, live_server: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://city.example"]}
    merchant.captured(), merchant.captured(500)
    token = finance_program.client.defaults["HTTP_AUTHORIZATION"].removeprefix("Token ")
    monkeypatch.setenv("GOVPAY_TOKEN", token)
    monkeypatch.setenv("GOVPAY_API", f"{live_server.url}/govpay/api/v1")
    names: dict[str, Any] = {"account": merchant.account.uid, "method": merchant.saved_method().uid}
    assert len(SCRIPTS) == 6
    for number, code in enumerate(SCRIPTS):
        exec(compile(code, f"docs/rest.md, script {number + 1}", "exec"), names)
    assert len(names["captured"]) == 1, "the smaller one is left out"
    states = dict(Operation.objects.values_list("action", "state"))
    assert states == dict.fromkeys(("quote", "capture", "refund", "create_session"), "succeeded")
    assert sum(entry["amount"] for entry in merchant.ledger() if entry["kind"] == "refund") == 500


def test_the_script_that_waits_never_sends_twice(
    finance_program: Program, merchant: Merchant, live_server: Any, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    """The answer is lost, then looked up; the script sleeps meanwhile, and here that is when the ticks come."""
    payment = merchant.captured()
    monkeypatch.setenv("GOVPAY_TOKEN", finance_program.client.defaults["HTTP_AUTHORIZATION"].removeprefix("Token "))
    monkeypatch.setenv("GOVPAY_API", f"{live_server.url}/govpay/api/v1")
    names: dict[str, Any] = {}
    for code in SCRIPTS:
        if code.startswith("import os"):
            exec(code, names)
        if "def act(" in code:
            exec(code.partition("\nrefund =")[0], names)
    monkeypatch.setattr("time.sleep", lambda seconds: merchant.reconcile_all())
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="after")
    answer = names["act"](f"payments/{payment.uid}/refund", {"amount": 40}, "once")
    assert answer.status_code == 201
    assert merchant.moved("refund", payment) == 40
    assert len(merchant.posts("refund")) == 1


class Answers:
    """Replaces the session of ``requests``: records the requests and returns the answers in order."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def request(self, method: str, url: str, **_: Any) -> Any:
        self.asked.append(method)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def answer(status: int, body: Any = None, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code, made._content = status, json.dumps(body or {}).encode()
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


@pytest.mark.parametrize("last", [201, 403])
def test_the_script_that_waits_bears_with_what_comes_between(last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many requests and a lost connection during the look-up; an action whose success is not reported at once."""
    unknown = answer(202, {"state": "unknown"}, Retry_After="60", Location="http://here/operations/1")
    busy, lost = answer(429, Retry_After="7"), requests.ConnectionError()
    done = answer(200, {"state": "succeeded"})
    ends = answer(last, {"uid": "txn_1"})
    api = Answers(busy, lost, unknown, busy, lost, done, unknown, *([done, ends] if last == 201 else [ends]))
    slept: list[int] = []
    names = {"api": api, "base": "http://here", "requests": requests}
    (code,) = [each.partition("\nrefund =")[0] for each in SCRIPTS if "def act(" in each]
    exec(code, names)
    monkeypatch.setattr("time.sleep", slept.append)
    if last == 201:
        assert names["act"]("payments/p/refund", {}, "k").json() == {"uid": "txn_1"}  # type: ignore[operator]
        assert api.asked == [*["POST"] * 3, *["GET"] * 3, "POST", "GET", "POST"]
    else:
        with pytest.raises(requests.HTTPError):
            names["act"]("payments/p/refund", {}, "k")  # type: ignore[operator]
    assert slept == [7, 2, 60, 7, 2, 60]


def test_the_recipe_of_a_checkout(merchant: Merchant, settings: Any, client: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://city.example"]}
    order = SimpleNamespace(
        pk=17, total=12_345, account=merchant.account, key=uuid.uuid4(), page="https://city.example/17"
    )
    orders, updates = [order, SimpleNamespace(**{**vars(order), "pk": 18})], []

    class Order:
        """The host's."""

        class objects:
            @staticmethod
            def filter(pk: Any, total: int) -> Any:
                found = [each for each in orders if str(each.pk) == pk and each.total == total]

                def update(**what: Any) -> None:
                    updates.append(pk)
                    for each in found:
                        vars(each).update(what)

                return SimpleNamespace(update=update)

    names: dict[str, Any] = {
        "operations": operations,
        "redirect": redirect,
        "receiver": receiver,
        "session_completed": session_completed,
        "Order": Order,
    }
    exec(RECIPE, names)
    lines = [line for line in RECIPE.splitlines() if line.startswith("    ") or line.startswith("@")]
    assert len(lines) == 5
    try:
        first, second = (names["checkout"](None, order) for _ in range(2))
        session = HostedSession.objects.get()
        assert first.url == second.url == f"/govpay/pay/{session.public_id}/"
        assert client.get(first.url).status_code in (200, 302)
        # Of another sum, and of a payment link.
        given = {"account": merchant.account, "success_url": order.page, "cancel_url": order.page}
        others = [
            operations.create_hosted_session(amount=order.total - 1, metadata={"order": "18"}, **given),
            open_session(
                operations.create_payment_link(account=merchant.account, amount=order.total),
                success_url=order.page,
                cancel_url=order.page,
            ),
        ]
        assert not updates
        for each in (*others, session):
            merchant.sandbox.touch("session", each.uid, status="completed")
        for _ in range(2):
            merchant.sync("sessions")
            outbox.dispatch()
        assert sorted(updates, key=str) == ["17", "18", None], "each was told of once, and nothing was raised"
        assert [hasattr(each, "paid") for each in orders] == [True, False]
    finally:
        session_completed.disconnect(names["mark_paid"])


def test_every_address_and_problem_is_in_the_document() -> None:
    for pattern in urls.V1:
        thing = str(pattern.pattern).split("/")[1]
        assert f"`{thing}" in TEXT, thing
    for name in {kind[2] for kind in problems.KINDS} | {name for name, _ in problems.TITLES.values()}:
        assert f"`{name}`" in TEXT or name == "unknown", name
    for status in {kind[1] for kind in problems.KINDS} | set(problems.TITLES):
        assert str(status) in TEXT
