"""The read-only admin: rows cannot be added, changed or deleted, sealed values are hidden, texts are escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import models
from django.test import Client
from django.urls import reverse

import govpay
from govpay.models import Customer, Payment, PaymentAccount, SyncRun, Transaction
from govpay.models.base import Mirror
from tests.admin.conftest import Page
from tests.admin.rows import ALL_MODELS, SECRET, XSS, fill, payment, relatives

pytestmark = pytest.mark.django_db

each_model = pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.__name__)


def address(model: type[models.Model], view: str, *args: Any) -> str:
    return reverse(f"admin:govpay_{model._meta.model_name}_{view}", args=args)


def everything(row: models.Model) -> dict[str, Any]:
    return {name: str(value) for name, value in type(row)._default_manager.filter(pk=row.pk).values()[0].items()}


@pytest.fixture
def boss(browse: Callable[..., Client]) -> Client:
    """A superuser's browser: even a superuser may not change these rows."""
    return browse(User.objects.create_superuser("boss"))


@each_model
def test_nobody_changes_a_row(model: type[models.Model], boss: Client) -> None:
    relatives()
    fill(model, 1)
    row = model._default_manager.order_by("-pk")[0]
    before = everything(row)
    posted = dict.fromkeys(before, "7") | {"_save": "Save"}
    assert boss.post(address(model, "change", row.pk), posted).status_code == 403
    assert boss.post(address(model, "add"), posted).status_code == 403
    assert boss.get(address(model, "add")).status_code == 403
    assert boss.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert boss.get(address(model, "delete", row.pk)).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
    boss.post(address(model, "changelist"), chosen)
    assert everything(row) == before


@each_model
def test_page_has_nothing_to_type_into(model: type[models.Model], boss: Client, look: Callable[..., Page]) -> None:
    relatives()
    fill(model, 3)
    for row in model._default_manager.order_by("-pk")[:3]:
        page = look(boss, address(model, "change", row.pk))
        assert page.status == 200
        assert page.html.count("<textarea") == page.html.count('id="govpay-note-text"')
        assert "<select" not in page.html
        assert 'name="_save"' not in page.html
        assert "None</div>" not in page.html


@each_model
def test_page_shows_no_secret_and_runs_no_script(
    model: type[models.Model], counter: Client, look: Callable[..., Page]
) -> None:
    relatives()
    Customer.objects.update(name=XSS)
    PaymentAccount.objects.update(name=XSS)
    fill(model, 3, text=XSS)
    for row in model._default_manager.order_by("-pk")[:3]:
        page = look(counter, address(model, "change", row.pk))
        assert page.status == 200
        assert XSS not in page.html
        assert SECRET not in page.html
        assert not any('webhook_secret"' in sql or '"credential"' in sql for sql in page.statements)


@each_model
def test_staff_without_permissions_see_nothing(
    model: type[models.Model], make_staff: Callable[..., Any], browse: Callable[..., Client]
) -> None:
    relatives()
    fill(model, 1)
    row = model._default_manager.order_by("-pk")[0]
    nobody = browse(make_staff())
    for view, args in (("changelist", ()), ("change", (row.pk,)), ("history", (row.pk,)), ("add", ())):
        assert nobody.get(address(model, view, *args)).status_code == 403
        assert Client().get(address(model, view, *args)).status_code == 302


@each_model
def test_staff_with_every_permission_of_django_still_only_look(
    model: type[models.Model], make_staff: Callable[..., Any], browse: Callable[..., Client]
) -> None:
    relatives()
    fill(model, 1)
    row = model._default_manager.order_by("-pk")[0]
    user = make_staff()
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="govpay"))
    client = browse(user)
    assert client.get(address(model, "change", row.pk)).status_code == 200
    assert client.post(address(model, "change", row.pk), {"_save": "Save"}).status_code == 403


def test_row_opens_by_its_uid(counter: Client) -> None:
    payment(uid="pay_by_uid", reference_id="BILL-77")
    page = counter.get(address(Payment, "change", "pay_by_uid") + "?_to_field=uid")
    assert b"BILL-77" in page.content
    for unknown in ("pay_nowhere?_to_field=uid", "pay%00?_to_field=uid", "99999999999999999999", "abc"):
        response = counter.get(address(Payment, "changelist") + f"{unknown.replace('?', '/change/?')}")
        assert response.status_code in (302, 301), unknown


def test_document_is_folded_and_cut(counter: Client) -> None:
    row = payment(raw={"a": XSS, "zlong": "x" * 200_000})
    page = counter.get(address(Payment, "change", row.pk)).content.decode()
    assert "&lt;script&gt;" in page
    assert len(page) < 130_000
    assert "<details>" in page


def test_page_of_a_row_with_relatives_that_never_came(counter: Client, look: Callable[..., Page]) -> None:
    row = payment(account_id="acc_no", customer_id="cus_no", saved_method_id="spm_no", session_id="hs_no")
    page = look(counter, address(Payment, "change", row.pk))
    assert all(uid in page.html for uid in ("acc_no", "cus_no", "spm_no", "hs_no"))
    assert "Not read yet" in page.html


@each_model
def test_page_reads_little(model: type[models.Model], counter: Client, look: Callable[..., Page]) -> None:
    relatives()
    fill(model, 20)
    for row in model._default_manager.order_by("-pk")[:3]:
        page = look(counter, address(model, "change", row.pk))
        # One of them asks which accounts the user sees. These two pages tell more than the others.
        assert len(page.statements) <= {Payment: 12, Customer: 8}.get(model, 7), page.statements


def test_run_lists_its_rejected_rows(counter: Client) -> None:
    row = SyncRun.objects.create(
        resource="payments",
        mode="full",
        rejected_count=120,
        rejected=[{"uid": "pay_1", "error": XSS}, "no dict", {"uid": None}],
    )
    page = counter.get(address(SyncRun, "change", row.pk)).content.decode()
    assert "120 rejected rows" in page
    assert "pay_1" in page
    assert XSS not in page


def test_mirrors_tell_when_they_were_read() -> None:
    for model in ALL_MODELS:
        if issubclass(model, Mirror):
            shown = admin.site._registry[model].get_fieldsets(None)  # type: ignore[arg-type]
            names = [name for _title, options in shown for name in options["fields"]]
            assert {"uid", "synced_at", "raw_document"} <= set(names)


def test_links_between_lists(counter: Client, look: Callable[..., Page]) -> None:
    relatives()
    Transaction.objects.create(uid="txn_1", payment_id="pay_0", account_id="acc_0", amount=5, currency="USD")
    customer = Customer.objects.get()
    page = look(counter, address(Customer, "change", customer.pk))
    assert address(Payment, "changelist") + "?customer=cus_0" in page.html
    account = PaymentAccount.objects.get(uid="acc_0")
    page = look(counter, address(PaymentAccount, "change", account.pk))
    assert address(Payment, "changelist") + "?account=acc_0" in page.html


def test_templates_hold_no_inline_script_or_style() -> None:
    """A host's Content-Security-Policy must not have to make an exception for us."""
    folder = Path(govpay.__file__).parent / "templates" / "govpay" / "admin"
    templates = list(folder.glob("*.html"))
    assert templates
    for template in templates:
        inline = re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=|javascript:", template.read_text())
        assert not inline, template.name
