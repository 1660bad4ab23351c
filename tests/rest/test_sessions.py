"""Hosted sessions over REST: create, read and end them; the secret is returned once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from govpay.models import HostedSession
from tests.operations.merchant import Merchant
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _origins(merchant: Merchant, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://city.example"]}


def body(merchant: Merchant, **given: Any) -> dict[str, Any]:
    return {
        "account": merchant.account.uid,
        "amount": 12_345,
        "success_url": "https://city.example/paid",
        "cancel_url": "https://city.example/cart",
        **given,
    }


def test_a_session_is_opened_shown_and_ended(finance_program: Program, merchant: Merchant) -> None:
    given = body(merchant, description="Permit", metadata={"order": "17"}, allowed_methods=["card"], currency="USD")
    first, again = (finance_program.act("hosted-sessions", given, key="s") for _ in range(2))
    assert first.status_code == again.status_code == 201, first.content
    assert first.json() == again.json()
    made = first.json()
    row = HostedSession.objects.get()
    assert made["client_secret"] == row.credential.reveal()
    assert made["pay_url"] == f"http://testserver/govpay/pay/{row.public_id}/"
    assert finance_program.client.get(made["pay_url"]).status_code in (200, 302)
    assert first["Cache-Control"] == "no-store"
    for path in (first["Location"], "hosted-sessions"):
        text = finance_program.get(path).content.decode()
        assert row.uid in text
        assert made["client_secret"] not in text
        assert "client_secret" not in text
    assert finance_program.get(first["Location"]).json()["metadata"] == {"order": "17"}
    ended = finance_program.act(f"hosted-sessions/{row.uid}/expire")
    assert (ended.status_code, ended.json()["status"]) == (200, "expired")
    assert finance_program.act("hosted-sessions", given, key="s").json()["client_secret"] is None
    problem(finance_program.act(f"hosted-sessions/{row.uid}/expire"), 422, "refused")


def test_a_wallet_session_is_for_who_manages_wallets(
    finance_program: Program, cashier: Any, program: Callable[[Any], Program], merchant: Merchant
) -> None:
    customer = merchant.saved_method().customer_id
    opened = finance_program.act("hosted-sessions", {"scope": "wallet", "customer": customer})
    assert opened.status_code == 201, opened.content
    made = opened.json()
    assert (made["scope"], made["customer"], made["pay_url"]) == ("wallet", customer, None)
    counter = program(cashier)
    problem(counter.act("hosted-sessions", {"scope": "wallet", "customer": customer}), 403, "forbidden")
    problem(counter.act(f"hosted-sessions/{made['uid']}/expire"), 403, "forbidden")
    cashier.user_permissions.add(Permission.objects.get(codename="manage_wallet"))
    assert counter.act(f"hosted-sessions/{made['uid']}/expire").status_code == 200
    assert counter.act("hosted-sessions", body(merchant)).status_code == 201


def test_admin_and_rest_need_the_same_permission_to_end_a_session(
    finance_program: Program,
    cashier: Any,
    make_staff: Callable[..., Any],
    program: Callable[[Any], Program],
    merchant: Merchant,
) -> None:
    keeper = make_staff(name="keeper")
    keeper.user_permissions.add(*Permission.objects.filter(codename__in=("manage_wallet", "view_hostedsession")))
    wallet = {"scope": "wallet", "customer": merchant.saved_method().customer_id}
    keeping, selling = program(keeper), program(cashier)
    for given, able, unable in ((wallet, keeping, selling), (body(merchant), selling, keeping)):
        for admin in (False, True):
            uid = finance_program.act("hosted-sessions", given).json()["uid"]
            row = HostedSession.objects.get(uid=uid)
            page = reverse("admin:govpay_hostedsession_change", args=[row.pk])
            address = reverse("admin:govpay_hostedsession_expire", args=[row.pk])
            for asking, may in ((unable, False), (able, True)):
                desk = Client()
                desk.force_login(asking.user)
                assert (address in desk.get(page).content.decode()) is may
                if admin:
                    assert desk.post(address).status_code == (302 if may else 403)
                else:
                    assert asking.act(f"hosted-sessions/{uid}/expire").status_code == (200 if may else 403)
                row.refresh_from_db()
                assert row.status == ("expired" if may else "active")


#: A change in a body, and the fields that the problem names.
WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({"amount": None}, {"amount"}),
    ({"scope": "both"}, {"scope"}),
    ({"scope": "wallet"}, {"customer", "account", "amount", "success_url", "cancel_url"}),
    ({"method_badges": []}, {"method_badges"}),
    ({"customer": "cus_nobody"}, {"customer"}),
    ({"success_url": "https://evil.example/"}, {"success_url"}),
    ({"cancel_url": "javascript:alert(1)"}, {"cancel_url"}),
    ({"currency": "XYX"}, {"currency"}),
    ({"line_items": [{"description": "x"}]}, {"line_items[0]"}),
    ({"line_items": [{"description": "x", "amount": "5"}]}, {"line_items[0].amount"}),
    ({"line_items": [5]}, {"line_items"}),
    ({"layout": "popup"}, {"layout"}),
    ({"allowed_methods": ["cash"]}, {"allowed_methods"}),
    ({"branding": {"accent_color": "red"}}, {"branding.accent_color"}),
    ({"fraud_signals": {"is_admin": "yes"}}, {"fraud_signals.is_admin"}),
    ({"expires_in_seconds": 0}, {"expires_in_seconds"}),
    ({"metadata": {"a": "\ud800"}}, {"metadata"}),
    ({"customer_email": "nobody"}, {"customer_email"}),
]


def test_what_is_wrong_is_named(finance_program: Program, merchant: Merchant) -> None:
    for given, fields in WRONG:
        found = problem(finance_program.act("hosted-sessions", body(merchant, **given)), 400, "invalid")
        assert {error["field"] for error in found["errors"]} == fields, given
    assert not merchant.posts()


def test_no_text_repeats_a_value(finance_program: Program, merchant: Merchant) -> None:
    canary, count = "sesame-4711", 0
    payment = {"payment_method_type": "credit", "credit": {"fingerprint": canary, "last4": canary, "exp_month": canary}}
    quote = {"account": merchant.account.uid, "base_amount": 1}
    wrong = [("payments/quote", {**quote, "payment_method": payment})]
    wrong += [("payments/quote", {**quote, name: canary}) for name in ("base_amount", "currency", "saved_method")]
    wrong.append(("payments/quote", {**quote, "payment_method": {**payment, "payment_method_type": canary}}))
    for address in (
        f"https://{canary}@city.example/",
        f"https://evil.example/{canary}?{canary}",
        f"{canary}:x",
        canary,
    ):
        wrong.append(("hosted-sessions", body(merchant, success_url=address)))
    for name in ("amount", "currency", "layout", "customer", "line_items", "allowed_methods", "expires_in_seconds"):
        wrong.append(("hosted-sessions", body(merchant, **{name: canary})))
    for name in ("branding", "fraud_signals", "line_items"):
        wrong += [("hosted-sessions", body(merchant, **{name: given})) for given in ([canary], {"unknown": canary})]
    wrong.append(("hosted-sessions", body(merchant, branding={"accent_color": canary})))
    for path, given in wrong:
        answer = finance_program.act(path, given)
        assert problem(answer, 400, "invalid")["errors"], given
        assert canary not in answer.content.decode()
        count += 1
    assert count == 23
    assert not merchant.posts()
