"""Confirmation pages of actions: permissions, displayed amounts, and that each action happens once."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.core import signing
from django.db import connection, connections
from django.test import Client
from django.urls import reverse

from govpay.admin import confirmation_tokens, confirmations
from govpay.models import Operation, Payment, PaymentAccount, Transaction
from govpay.sync.pull import pull
from tests.admin.rows import XSS, operation, payment
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

ACTIONS = ("capture", "refund", "void")


@dataclass
class Shop:
    """A payment account on the platform, with its rows here."""

    sandbox: Any
    account: str
    method: str

    def add(self, status: str = "captured", **given: Any) -> Payment:
        """A payment on the platform, read into its row here."""
        if status == "validated":
            given.setdefault("method", self.method)
        uid = self.sandbox.add_payment(self.account, status, **given)["uid"]
        self.sync()
        return Payment.objects.get(uid=uid)

    def sync(self) -> None:
        """The lists that these pages show."""
        pull("accounts")
        for name in ("customers", "methods", "payments", "transactions"):
            pull(name, self.account)

    def moves(self, kind: str) -> list[dict[str, Any]]:
        """The new entries of the platform's ledger."""
        return [entry for entry in self.sandbox.ledger() if entry["kind"] == kind]

    def writes(self) -> list[dict[str, Any]]:
        return [r for r in self.sandbox.requests() if r["method"] == "POST" and "/payments/" in r["path"]]


@pytest.fixture
def shop(sandbox: Any) -> Shop:
    account = sandbox.add_account()["uid"]
    customer = sandbox.add_customer(account, name="Pat Example")["uid"]
    method = sandbox.add_method(customer)
    return Shop(sandbox, account, method.get("saved_payment_method_uid") or method["uid"])


def url(action: str, *rows: Payment) -> str:
    return reverse(f"admin:govpay_payment_{action}") + "?ids=" + ",".join(str(row.pk) for row in rows)


def fields(response: Any) -> dict[str, str]:
    """The data that the confirmation form sends."""
    html = response.content.decode()
    form = html.partition('class="govpay-form"')[2].partition("</form>")[0]
    found = re.findall(r'<input type="(?:hidden|text)" name="(\w+)"(?: value="([^"]*)")?', form)
    return {name: value for name, value in found if name != "csrfmiddlewaretoken"}


def texts(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def confirm(client: Client, action: str, *rows: Payment, **typed: str) -> Any:
    """Look at the page and press its button."""
    address = url(action, *rows)
    return client.post(address, {**fields(client.get(address)), **typed}, follow=True)


# --- Each action, once ------------------------------------------------------------------------------


def test_capture(shop: Shop, desk: Client, finance: Any) -> None:
    row = shop.add("validated")
    response = confirm(desk, "capture", row)
    assert response.redirect_chain == [(reverse("admin:govpay_payment_change", args=[row.pk]), 302)]
    assert "Captured: $" in texts(response)
    assert [entry["payment_uid"] for entry in shop.moves("capture")] == [row.uid]
    row.refresh_from_db()
    assert row.status == "captured"
    done = Operation.objects.get()
    assert (done.actor, done.action, done.state) == (finance, "capture", "succeeded")


def test_refund_of_a_part(shop: Shop, desk: Client, finance: Any) -> None:
    row = shop.add()
    page = desk.get(url("refund", row))
    total = row.total_amount or 0
    assert fields(page)["amount"] == f"{total / 100:.2f}"
    response = confirm(desk, "refund", row, amount="12.34", reason="Paid twice")
    assert "Refunded: $12.34" in texts(response)
    assert [(e["payment_uid"], e["amount"]) for e in shop.moves("refund")] == [(row.uid, 1234)]
    row.refresh_from_db()
    assert (row.refunded_amount, row.status) == (1234, "partially_refunded")
    done = Operation.objects.get()
    assert (done.reason, done.amount, done.actor, done.state) == ("Paid twice", 1234, finance, "succeeded")
    assert "Paid twice" in texts(response)
    assert Transaction.objects.filter(payment=row.uid, type="refund", amount=1234).exists()


def test_void(shop: Shop, desk: Client) -> None:
    row = shop.add("validated")
    assert "Voided: $" in texts(confirm(desk, "void", row))
    assert [entry["payment_uid"] for entry in shop.moves("void")] == [row.uid]
    row.refresh_from_db()
    assert row.status == "voided"


def test_many_at_once_report_row_by_row(shop: Shop, desk: Client) -> None:
    good, declined, gone = shop.add("validated"), shop.add("validated"), shop.add("validated")
    late = shop.add("captured")
    shop.sandbox.fault(f"POST /api/payments/{declined.uid}/capture", status=402, body=DECLINE)
    address = url("capture", good, declined, gone, late)
    sent = fields(desk.get(address))
    pull_back = Payment.objects.filter(pk=gone.pk)
    pull_back.update(status="voided")
    response = desk.post(address, sent)
    text = texts(response)
    assert response.status_code == 200
    assert "1 of 3 payments done" in text
    assert "Declined" in text
    assert "The bank said no." in text
    assert "Its status now: Voided." in text
    assert [entry["payment_uid"] for entry in shop.moves("capture") if entry["payment_uid"] != late.uid] == [good.uid]


DECLINE = '{"code": "card_declined", "message": "The bank said no.", "request_id": "req_77"}'


def test_full_refund_of_many_with_one_reason(shop: Shop, desk: Client) -> None:
    rows = [shop.add(base_amount=1000), shop.add(base_amount=2000)]
    address = url("refund", *rows)
    page = desk.get(address)
    assert "amount" not in fields(page)
    desk.post(address, {**fields(page), "reason": "Storm"})
    refunds = shop.moves("refund")
    assert {entry["payment_uid"]: entry["amount"] for entry in refunds} == {row.uid: row.total_amount for row in rows}
    assert set(Operation.objects.values_list("reason", flat=True)) == {"Storm"}


# --- Once, whatever happens -----------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_form_sent_twice_is_one_action(action: str, shop: Shop, desk: Client) -> None:
    row = shop.add("captured" if action == "refund" else "validated")
    address = url(action, row)
    sent = fields(desk.get(address))
    first = desk.post(address, sent, follow=True)
    second = desk.post(address, sent, follow=True)
    title = {"capture": "Captured: $", "refund": "Refunded: $", "void": "Voided: $"}[action]
    assert title in texts(first)
    assert title in texts(second)
    assert len([entry for entry in shop.moves(action) if entry["payment_uid"] == row.uid]) == 1
    assert Operation.objects.count() == 1


def test_form_of_many_sent_twice_is_one_action_each(shop: Shop, desk: Client) -> None:
    rows = [shop.add(), shop.add(), shop.add()]
    address = url("refund", *rows)
    sent = fields(desk.get(address)) | {"reason": "x"}
    assert "3 of 3 payments done" in texts(desk.post(address, sent))
    assert "3 of 3 payments done" in texts(desk.post(address, sent))
    assert len(shop.moves("refund")) == 3


def test_two_clicks_at_the_same_instant_are_one_action(shop: Shop, finance: Any, browse: Any) -> None:
    clients = [browse(finance), browse(finance)]
    for _ in range(5):
        row = shop.add()
        address = url("refund", row)
        sent = fields(clients[0].get(address)) | {"amount": "2.00"}
        start = threading.Barrier(2)

        def click(client: Client, address: str = address, sent: Any = sent, start: Any = start) -> int:
            try:
                start.wait()
                return int(client.post(address, sent).status_code)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(click, clients)) == [302, 302]
        assert [e["amount"] for e in shop.moves("refund") if e["payment_uid"] == row.uid] == [200]
    titles = texts(clients[0].get(reverse("admin:index")))
    assert "failed" not in titles.lower()


def test_two_tabs_refund_no_more_than_was_taken(shop: Shop, desk: Client) -> None:
    row = shop.add()
    address = url("refund", row)
    one, two = fields(desk.get(address)), fields(desk.get(address))
    desk.post(address, one | {"amount": "5.00"})
    response = desk.post(address, two | {"amount": "5.00"}, follow=True)
    assert "has changed since it was shown" in texts(response)
    assert [entry["amount"] for entry in shop.moves("refund")] == [500]


def test_same_key_with_another_amount_is_refused(shop: Shop, desk: Client) -> None:
    row = shop.add()
    address = url("refund", row)
    sent = fields(desk.get(address))
    desk.post(address, sent | {"amount": "5.00"})
    response = desk.post(address, sent | {"amount": "6.00"}, follow=True)
    assert "Refused, nothing was sent" in texts(response)
    assert [entry["amount"] for entry in shop.moves("refund")] == [500]


@pytest.mark.parametrize(
    "change", [{"total_amount": 1}, {"currency": "EUR"}, {"refunded_amount": 1}, {"status": "voided"}]
)
def test_row_that_changed_since_it_was_shown_is_refused(change: dict[str, Any], shop: Shop, desk: Client) -> None:
    row = shop.add()
    address = url("refund", row)
    sent = fields(desk.get(address))
    Payment.objects.filter(pk=row.pk).update(**change)
    before = len(shop.writes())
    text = texts(desk.post(address, sent, follow=True))
    assert "changed since it was shown" in text
    assert len(shop.writes()) == before
    assert not shop.moves("refund")


def test_lost_answer_is_a_warning_and_never_called_a_failure(shop: Shop, desk: Client, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "READ_TIMEOUT": 1, "CALL_TIMEOUT": 2}
    row = shop.add()
    shop.sandbox.fault(f"POST /api/payments/{row.uid}/refund", close="after")
    response = confirm(desk, "refund", row, amount="3.00")
    text = texts(response)
    assert "Outcome not known: $3.00" in text
    assert "nothing is sent again automatically" in text
    assert 'class="warning"' in response.content.decode()
    assert "the outcome is not known yet" in text
    assert "govpay-closed" in response.content.decode()
    assert len(shop.moves("refund")) == 1
    again = desk.get(url("refund", row))
    assert "Waits for the outcome of an earlier action" in texts(again)
    assert "key" not in fields(again)


def test_decline_is_told_in_the_platforms_words(shop: Shop, desk: Client) -> None:
    row = shop.add("validated")
    shop.sandbox.fault(f"POST /api/payments/{row.uid}/capture", status=402, body=DECLINE)
    response = confirm(desk, "capture", row)
    assert "Declined: $" in texts(response)
    assert "The bank said no. The bank declined the card." in texts(response)
    assert "[req_77]" not in texts(response)
    assert "<br>Platform&#x27;s request ID: req_77" in response.content.decode()
    assert 'class="error"' in response.content.decode()


def test_unreachable_platform_ends_the_round_and_offers_the_rest(shop: Shop, desk: Client, settings: Any) -> None:
    rows = [shop.add() for _ in range(3)]
    settings.GOVPAY = {**settings.GOVPAY, "API_URL": "http://127.0.0.1:9", "MAX_RETRIES": 0, "CALL_TIMEOUT": 3}
    address = url("refund", *rows)
    text = texts(desk.post(address, fields(desk.get(address))))
    assert "0 of 3 payments done" in text
    assert "the platform could not be reached" in text
    assert text.count("Not begun") == 2
    assert Operation.objects.count() == 1
    assert not shop.moves("refund")


def test_slow_round_stops_in_time_and_offers_the_rest(shop: Shop, desk: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(confirmations, "SUBMIT_TIMEOUT", 0.0)
    rows = [shop.add() for _ in range(2)]
    address = url("refund", *rows)
    response = desk.post(address, fields(desk.get(address)))
    assert "Not begun" in texts(response)
    assert address in response.content.decode().replace("&amp;", "&")


def test_own_failure_does_not_hide_what_is_done(shop: Shop, desk: Client, monkeypatch: Any) -> None:
    from govpay import operations

    rows = [shop.add(), shop.add()]
    real = operations.refund_payment

    def fail_once(**given: Any) -> Any:
        if given["payment"].pk == rows[1].pk:
            raise RuntimeError("boom")
        return real(**given)

    monkeypatch.setattr(operations, "refund_payment", fail_once)
    address = url("refund", *rows)
    text = texts(desk.post(address, fields(desk.get(address))))
    assert "1 of 2 payments done" in text
    assert "This site failed; look at" in text


def test_action_runs_outside_the_transaction_of_the_request(shop: Shop, desk: Client, settings: Any) -> None:
    """``ATOMIC_REQUESTS`` would wrap the view, and the durable journal would refuse to be written."""
    row = shop.add()
    before = connection.settings_dict["ATOMIC_REQUESTS"]
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        text = texts(confirm(desk, "refund", row, amount="1.00"))
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = before
    assert "Refunded: $1.00" in text
    assert len(shop.moves("refund")) == 1


# --- The page -------------------------------------------------------------------------------------


def test_page_executes_nothing(shop: Shop, desk: Client) -> None:
    """S2: no method but POST does anything."""
    row, other = shop.add("validated"), shop.add()
    ledger, requests = shop.sandbox.ledger(), len(shop.sandbox.requests())
    for action in ACTIONS:
        for method in (desk.get, desk.head, desk.put, desk.delete):
            response = method(url(action, row, other))
            assert response.status_code in (200, 405)
    assert shop.sandbox.ledger() == ledger
    assert len(shop.sandbox.requests()) == requests
    assert not Operation.objects.exists()


def test_page_adds_up_by_currency_and_names_what_is_left_alone(desk: Client) -> None:
    rows = [
        payment(total_amount=1000),
        payment(total_amount=2050, refunded_amount=50, status="partially_refunded"),
        payment(total_amount=700, currency="EUR"),
        payment(status="failed", reference_id="FAILED-1"),
    ]
    waiting = payment(reference_id="WAITING-1")
    operation(waiting)
    response = desk.get(url("refund", *rows, waiting))
    text = texts(response)
    assert "3 payments" in text
    assert "USD, 2 payments $30.00" in text
    assert "EUR, 1 payment €7.00" in text
    assert "2 payments are left alone" in text
    assert "Only captured money can be refunded. The status of this payment: Failed." in text
    assert "Waits for the outcome of an earlier action: Refund of $12.50." in text
    assert 'value="Refund 3 payments, €7.00 + $30.00"' in response.content.decode()


def test_page_without_anything_to_do_has_no_button(desk: Client) -> None:
    response = desk.get(url("refund", payment(status="failed")))
    assert 'type="submit" class="default"' not in response.content.decode()
    response = desk.post(url("refund", payment(status="failed")), {"amount": "1.00"})
    assert response.status_code == 400
    assert not Operation.objects.exists()


@pytest.mark.parametrize("ids", ["", "x", "1,x", "1,,2", "-1", "99999999999999999999999", "1;2", "4000000000"])
def test_nonsense_ids_lead_back_to_the_list(ids: str, desk: Client) -> None:
    response = desk.get(reverse("admin:govpay_payment_refund") + f"?ids={ids}")
    assert response["Location"] == reverse("admin:govpay_payment_changelist")


def test_too_many_rows_are_refused(desk: Client) -> None:
    ids = ",".join(str(number) for number in range(1, 102))
    response = desk.get(reverse("admin:govpay_payment_refund") + f"?ids={ids}", follow=True)
    assert "at most 100" in texts(response)


def test_page_of_a_hundred_rows_reads_little(desk: Client, look: Callable[..., Any]) -> None:
    rows = [payment() for _ in range(100)]
    for action in ACTIONS:
        page = look(desk, url(action, *rows))
        assert page.status == 200
        assert len(page.statements) <= 4, page.statements


def test_page_runs_no_script(desk: Client) -> None:
    from govpay.models import Customer

    PaymentAccount.objects.create(uid="acc_0", name=XSS)
    Customer.objects.create(uid="cus_0", name=XSS)
    html = desk.get(url("refund", payment(reference_id=XSS), payment(status=XSS))).content.decode()
    assert XSS not in html
    assert "&lt;script&gt;" in html
    assert "onclick" not in html


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("", "This field is required."),
        ("0", "more than nothing"),
        ("0.00", "more than nothing"),
        ("-1.00", "such as 12.34"),
        ("1,00", "such as 12.34"),
        ("1e2", "such as 12.34"),
        ("NaN", "such as 12.34"),
        ("١٢", "such as 12.34"),
        ("1.234", "decimals"),
        ("107.51", "Only $107.50 is left to refund."),
        ("99999999999999999999", "such as 12.34"),
        (XSS, "such as 12.34"),
    ],
)
def test_amount_must_be_money(amount: str, words: str, desk: Client) -> None:
    row = payment()
    response = desk.post(url("refund", row), fields(desk.get(url("refund", row))) | {"amount": amount})
    assert response.status_code == 200
    assert words in texts(response).replace("&#x27;", "'")
    assert XSS not in response.content.decode()
    assert not Operation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_amount_is_read_as_the_language_of_the_page_writes_it(sandbox: Any, desk: Client) -> None:
    """``1.234`` is 1234 in Spanish and 1.234 elsewhere: nothing is sent for it."""
    row, spanish = Merchant(sandbox).captured(), {"HTTP_ACCEPT_LANGUAGE": "es"}
    page = desk.get(url("refund", row), **spanish)
    assert re.search(r'name="amount" value="[0-9]+,[0-9]{2}"', page.content.decode())
    answer = desk.post(url("refund", row), fields(page) | {"amount": "1.234"}, **spanish)
    assert "1234,00" in texts(answer)
    assert not Operation.objects.filter(action="refund").exists()
    desk.post(url("refund", row), fields(page) | {"amount": "10,00"}, **spanish)
    assert Operation.objects.get(action="refund").amount == 1000


# --- The key --------------------------------------------------------------------------------------


def refused(client: Client, address: str, sent: dict[str, str]) -> None:
    response = client.post(address, sent)
    assert response.status_code == 400
    assert "so nothing was sent" in texts(response)
    assert not Operation.objects.exists()
    if "key" in fields(response):
        assert fields(response)["key"] != sent.get("key"), "the page comes again, with a key of its own"


def test_made_up_keys_are_refused(desk: Client, finance: Any) -> None:
    row = payment()
    address = url("refund", row)
    sent = fields(desk.get(address))
    for key in ("", "x", sent["key"][:-1], sent["key"] + "x", signing.dumps([str(finance.pk), "refund", [row.pk]])):
        refused(desk, address, sent | {"key": key})
    refused(desk, address, {"amount": "1.00"})


def test_keys_of_others_are_refused(desk: Client, make_staff: Any, browse: Any) -> None:
    row, other = payment(), payment()
    sent = fields(desk.get(url("refund", row)))
    refused(browse(make_staff("Finance", name="ben")), url("refund", row), sent)
    refused(desk, url("refund", other), sent)
    refused(desk, url("refund", row, other), sent)
    refused(desk, url("void", row), sent)


def test_keys_run_out(desk: Client) -> None:
    row = payment()
    sent = fields(desk.get(url("refund", row)))
    with time_machine.travel(confirmation_tokens.LIFETIME + 5 + time.time()):
        refused(desk, url("refund", row), sent)


# --- Who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "allowed"),
    [("Support", ()), ("Operations", ()), ("Cashier", ("capture",)), ("Finance", ACTIONS)],
)
def test_every_address_checks_the_exact_permission(
    group: str, allowed: tuple[str, ...], make_staff: Any, browse: Any, desk: Client, caplog: Any
) -> None:
    """S2: 403 without it, logged, and nothing happens."""
    client = browse(make_staff(group, name="somebody"))
    row = payment(status="validated", captured_at=None)
    for action in ACTIONS:
        sent = fields(desk.get(url(action, row)))
        expected = 200 if action in allowed else 403
        assert client.get(url(action, row)).status_code == expected
        caplog.clear()
        assert client.post(url(action, row), sent).status_code == (400 if action in allowed else 403)
        if action not in allowed:
            assert any("Forbidden" in line.getMessage() for line in caplog.records)
    assert not Operation.objects.exists()


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_else_gets_in(action: str, admin_user: Any, browse: Any, django_user_model: Any) -> None:
    row = payment()
    assert browse(admin_user).get(url(action, row)).status_code == 200
    for client in (Client(), browse(django_user_model.objects.create_user("citizen"))):
        for method in (client.get, client.post):
            response = method(url(action, row))
            assert response.status_code == 302
            assert "/login/" in response["Location"]
    retired = django_user_model.objects.create_user("retired", is_staff=True, is_active=False)
    retired.user_permissions.set(Permission.objects.all())
    assert browse(retired).get(url(action, row)).status_code == 302


@pytest.mark.parametrize("action", ACTIONS)
def test_forms_need_their_csrf_token(action: str, finance: Any, browse: Any, desk: Client) -> None:
    """S2: 403, and no effect."""
    row = payment(status="validated" if action == "capture" else "captured")
    strict = browse(finance, enforce_csrf_checks=True)
    assert strict.post(url(action, row), fields(desk.get(url(action, row)))).status_code == 403
    assert not Operation.objects.exists()
