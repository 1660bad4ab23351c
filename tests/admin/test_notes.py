"""Notes on payments and customers: who may write them, what is refused, and that the author's name stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay.exceptions import OperationRefused
from govpay.finance import add_note
from govpay.models import Customer, Note, Payment
from govpay.models.people import name_of
from tests.admin.conftest import Page
from tests.admin.rows import payment, relatives

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["payment", "customer"])
def row(request: pytest.FixtureRequest) -> Payment | Customer:
    relatives()
    return payment() if request.param == "payment" else Customer.objects.all()[0]


def page_of(row: Any) -> str:
    return reverse(f"admin:govpay_{row._meta.model_name}_change", args=[row.pk])


def form_of(row: Any) -> str:
    return reverse(f"admin:govpay_{row._meta.model_name}_note", args=[row.pk])


def test_a_note_is_stored_and_shown_escaped(desk: Client, look: Callable[..., Page], row: Any) -> None:
    assert f'action="{form_of(row)}"' in look(desk, page_of(row)).html
    response = desk.post(form_of(row), {"text": "Called twice.\n<b>Angry</b>"}, follow=True)
    assert "The note is stored." in response.content.decode()
    page = look(desk, page_of(row))
    assert "Called twice.\n&lt;b&gt;Angry&lt;/b&gt;" in page.html


def test_the_authors_name_stays_when_the_user_is_deleted(desk: Client, finance: Any, row: Any) -> None:
    desk.post(form_of(row), {"text": "Called."})
    name = finance.get_username()
    finance.delete()
    note = Note.objects.get()
    assert note.author is None
    assert name in name_of(note, "author")


@pytest.mark.parametrize("text", ["", "   ", "x" * 2001, "Card 4111 1111 1111 1111"])
def test_what_is_refused_is_not_stored_and_not_repeated(desk: Client, row: Any, text: str) -> None:
    with pytest.raises(OperationRefused) as refusal:
        add_note(row=row, text=text)
    assert not text.strip() or text not in str(refusal.value)
    response = desk.post(form_of(row), {"text": text}, follow=True)
    assert str(refusal.value) in response.content.decode().replace("&#x27;", "'")
    assert not Note.objects.exists()


def test_who_may_not_add_a_note_sees_no_form(make_staff: Any, browse: Any, look: Callable[..., Page], row: Any) -> None:
    user = make_staff()
    user.user_permissions.add(*Permission.objects.filter(codename=f"view_{row._meta.model_name}"))
    client = browse(user)
    assert form_of(row) not in look(client, page_of(row)).html
    assert client.post(form_of(row), {"text": "Hello"}).status_code == 403
    assert not Note.objects.exists()


def test_marking_as_dealt_with_takes_a_note(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    row = payment(flag="chargeback", flagged_at=timezone.now())
    page = look(desk, page_of(row))
    shown = dict(re.findall(r'name="(flag|flagged_at)" value="([^"]+)"', page.html))
    assert 'name="note"' in page.html
    address = reverse("admin:govpay_payment_clear_flag", args=[row.pk])
    desk.post(address, {**shown, "note": "Card 4111 1111 1111 1111"})
    row.refresh_from_db()
    assert row.flag == "chargeback", "the note was refused, so nothing was changed"
    desk.post(address, {**shown, "note": "Evidence was sent."})
    row.refresh_from_db()
    assert row.flag == ""
    assert Note.objects.get().text == "Evidence was sent."


def test_payments_with_a_note_are_listed(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    noted, other = payment(reference_id="NOTED"), payment(reference_id="OTHER")
    add_note(row=noted, text="Called.")
    page = look(desk, reverse("admin:govpay_payment_changelist") + "?noted=1")
    assert "NOTED" in page.html
    assert other.reference_id not in page.html


def test_who_may_not_write_notes_marks_without_one(make_staff: Any, browse: Any, look: Callable[..., Page]) -> None:
    relatives()
    row = payment(flag="chargeback", flagged_at=timezone.now())
    user = make_staff()
    user.user_permissions.add(*Permission.objects.filter(codename__in=("view_payment", "refund_payment")))
    client = browse(user)
    page = look(client, page_of(row))
    assert 'name="note"' not in page.html
    shown = dict(re.findall(r'name="(flag|flagged_at)" value="([^"]+)"', page.html))
    client.post(reverse("admin:govpay_payment_clear_flag", args=[row.pk]), {**shown, "note": "Forged."})
    row.refresh_from_db()
    assert row.flag == ""
    assert not Note.objects.exists()
