"""Who did something stays visible after the user is deleted."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay import operations
from govpay.finance import add_note
from govpay.models import Note, Operation, Payment, PaymentLink
from govpay.models.people import person
from govpay.operations import staff
from tests.admin.rows import operation as operation_row
from tests.admin.rows import payment as payment_row
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

#: Foreign keys to users of rows that outlive the user.
PEOPLE = [
    (model, field.name)
    for model in apps.get_app_config("govpay").get_models()
    for field in model._meta.concrete_fields
    if field.related_model is User and field.remote_field.on_delete.__name__ != "CASCADE"
]


@pytest.fixture
def merchant(sandbox: Any, settings: Any) -> Merchant:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"]}
    return Merchant(sandbox)


@pytest.fixture
def pat(make_staff: Callable[..., User]) -> User:
    user = make_staff("Finance", "Cashier")
    user.username = "pat.leaver"
    user.save()
    return user


def page(name: str, row: Any) -> str:
    return reverse(f"admin:govpay_{name}_change", args=[row.pk])


@pytest.mark.parametrize(("model", "column"), PEOPLE, ids=[f"{m.__name__}.{c}" for m, c in PEOPLE])
def test_a_row_shows_everybody_who_is_deleted(
    model: Any, column: str, pat: User, browse: Callable[..., Client], admin_user: User
) -> None:
    assert len(PEOPLE) == 5
    client = browse(admin_user)
    if model is Operation:
        row: Any = operation_row(payment_row(uid="pay_1"), state="failed", attempts=2, settled_at=timezone.now())
    elif model is Note:
        row = add_note(row=payment_row(uid="pay_1"), text="Called.", actor=pat)
    else:
        row = PaymentLink.objects.create(public_id="x", amount=1, expires_at=timezone.now())
    model.objects.filter(pk=row.pk).update(**person(column, pat))
    address, number = page(model._meta.model_name, row), pat.pk
    assert "pat.leaver" in client.get(address).content.decode()
    pat.delete()
    row.refresh_from_db()
    assert getattr(row, column) is None
    assert (getattr(row, f"{column}_name"), getattr(row, f"{column}_user_id")) == ("pat.leaver", str(number))
    assert f"pat.leaver (deleted user, ID {number})" in client.get(address).content.decode()


def test_a_refund_keeps_its_actor_on_every_page_and_in_rest(
    merchant: Merchant, pat: User, browse: Callable[..., Client], admin_user: User
) -> None:
    payment = merchant.captured()
    operations.refund_payment(payment=payment, amount=100, reason="Paid twice", actor=pat)
    row, number = Operation.objects.get(action="refund"), str(pat.pk)
    pat.delete()
    client, words = browse(admin_user), f"pat.leaver (deleted user, ID {number})"
    for address in (page("payment", payment), page("operation", row), reverse("admin:govpay_operation_changelist")):
        assert words in client.get(address).content.decode()
    for address in (f"/govpay/api/v1/operations/{row.key}/", f"/govpay/api/v1/payments/{payment.uid}/"):
        shown = client.get(address).json()
        (found,) = [shown] if "operations" not in shown else [o for o in shown["operations"] if o["action"] == "refund"]
        assert (found["actor"], found["actor_user_id"]) == ("pat.leaver", number)
        assert (found["retried_by"], found["retried_by_user_id"]) == (None, None)


def test_rest_shows_the_user_of_a_row_that_the_previous_release_wrote(
    pat: User, browse: Callable[..., Client], admin_user: User
) -> None:
    row = operation_row(payment_row(uid="pay_1"), actor=pat)
    shown = browse(admin_user).get(f"/govpay/api/v1/operations/{row.key}/").json()
    assert (shown["actor"], shown["actor_user_id"]) == ("pat.leaver", str(pat.pk))


def test_the_review_queue_names_a_deleted_actor(pat: User, browse: Callable[..., Client], admin_user: User) -> None:
    long_ago = timezone.now() - dt.timedelta(hours=1)
    operation_row(payment_row(uid="pay_1"), deadline_at=long_ago, **person("actor", pat))
    pat.delete()
    assert "pat.leaver (deleted" in browse(admin_user).get(reverse("admin:govpay_review")).content.decode()


def test_who_dealt_with_a_flag_stays(pat: User, browse: Callable[..., Client], admin_user: User) -> None:
    row = payment_row(uid="pay_1", flag="chargeback", flagged_at=timezone.now())
    address = reverse("admin:govpay_payment_clear_flag", args=[row.pk])
    browse(pat).post(address, {"flag": row.flag, "flagged_at": row.flagged_at.isoformat()})
    number = str(pat.pk)
    pat.delete()
    row.refresh_from_db()
    assert (row.flag, row.flag_cleared_by_name, row.flag_cleared_by_user_id) == ("", "pat.leaver", number)
    html = browse(admin_user).get(page("payment", row)).content.decode()
    assert "Marked as dealt with" in html
    assert "pat.leaver" in html


def test_who_dealt_with_an_operation_stays(
    make_staff: Callable[..., User], browse: Callable[..., Client], admin_user: User
) -> None:
    officer = User.objects.create_superuser("officer.leaver", password="x")
    raised = timezone.now()
    row = operation_row(payment_row(uid="pay_1"), state="succeeded", attention="contradicted", attention_at=raised)
    address = reverse("admin:govpay_operation_dealt_with", args=[row.pk])
    browse(officer).post(address, {"attention": "contradicted", "at": raised.isoformat()})
    officer.delete()
    row.refresh_from_db()
    assert (row.attention, row.attention_cleared_by_name) == ("", "officer.leaver")
    assert "officer.leaver" in browse(admin_user).get(page("operation", row)).content.decode()


def test_who_made_and_who_cancelled_a_link_stays(
    merchant: Merchant, pat: User, browse: Callable[..., Client], admin_user: User
) -> None:
    made = operations.create_payment_link(
        account=merchant.account, amount=100, currency="USD", reference_id="INV-1", actor=pat
    )
    operations.cancel_payment_link(link=made, actor=pat)
    number = pat.pk
    pat.delete()
    made.refresh_from_db()
    assert (made.created_by_user_id, made.cancelled_by_user_id) == (str(number), str(number))
    html = browse(admin_user).get(page("paymentlink", made)).content.decode()
    assert f"pat.leaver (deleted user, ID {number})" in html
    assert html.count("pat.leaver") == 2


def test_a_bank_debit_that_a_deleted_user_quoted_still_needs_the_authorization(pat: User) -> None:
    row = payment_row(uid="pay_1", status="validated", method_type="ach")
    operation_row(row, action="quote", state="succeeded", **person("actor", pat))
    pat.delete()
    assert staff.needing_authorization([row]) == {row.uid}


def test_the_page_that_deletes_a_user_says_what_it_will_do(
    merchant: Merchant, pat: User, browse: Callable[..., Client], admin_user: User
) -> None:
    payment = merchant.captured()
    operations.refund_payment(payment=payment, amount=100, reason="Paid twice", actor=pat)
    client, said = browse(admin_user), "They keep the name and the ID of who is deleted"
    html = client.get(reverse("admin:auth_user_delete", args=[pat.pk])).content.decode()
    assert said in html
    assert "operations (1)" in html
    chosen = {"action": "delete_selected", "_selected_action": [pat.pk]}
    html = client.post(reverse("admin:auth_user_changelist"), chosen).content.decode()
    assert said in html
    assert "operations (1)" in html
    stranger = User.objects.create_user("stranger")
    html = client.get(reverse("admin:auth_user_delete", args=[stranger.pk])).content.decode()
    assert said not in html
    client.post(reverse("admin:auth_user_delete", args=[pat.pk]), {"post": "yes"})
    assert Operation.objects.get(action="refund").actor_name == "pat.leaver"
    assert Payment.objects.filter(uid=payment.uid).exists()


def test_the_migration_fills_the_rows_that_exist(pat: User) -> None:
    row = operation_row(payment_row(uid="pay_1"), actor=pat, retried_by=pat)
    other = operation_row(payment_row(uid="pay_2"))
    link = PaymentLink.objects.create(public_id="x", amount=1, expires_at=timezone.now(), created_by=pat)
    migration = importlib.import_module("govpay.migrations.0007_people")
    migration.keep(apps, SimpleNamespace(connection=connection))
    for each in (row, other, link):
        each.refresh_from_db()
    assert (row.actor_name, row.actor_user_id, row.retried_by_name) == ("pat.leaver", str(pat.pk), "pat.leaver")
    assert (row.settled_by_name, other.actor_name, other.actor_user_id) == ("", "", "")
    assert (link.created_by_name, link.created_by_user_id) == ("pat.leaver", str(pat.pk))
