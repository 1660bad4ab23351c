"""The history of a row, and its times: one format with the zone on every page."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay.admin.formatting import page_of
from govpay.models import Operation, Payment, PaymentLink, SyncCursor, Transaction
from govpay.models.base import Mirror
from govpay.models.moments import format_moment
from tests.admin.conftest import Page
from tests.admin.rows import fill, operation, payment

pytestmark = pytest.mark.django_db

AT = dt.datetime(2026, 3, 4, 15, 6, tzinfo=dt.UTC)
#: Django's own format: "March 4, 2026, 3:06 p.m.".
LONG = re.compile(r"(?:Jan|Feb|March|April|May|June|July|Aug|Sept|Oct|Nov|Dec)\.? \d{1,2}, \d{4}, ")
#: A time in our format without its zone.
BARE = re.compile(r"\d\d/\d\d/\d{4} (?:\d{1,2}(?::\d\d)? [ap]\.m\.|noon|midnight)(?! [A-Z]{3,4}\b)")

OURS = [model for model in admin.site._registry if model._meta.app_label == "govpay"]
SHOWN = [m for m in OURS if m._meta.model_name not in ("accountaccess", "heartbeat", "contractnotice")]


@pytest.fixture
def boss(browse: Callable[..., Client], django_user_model: Any) -> Client:
    return browse(django_user_model.objects.create_superuser("boss"))


def history(client: Client, row: models.Model) -> str:
    html = client.get(page_of(row)).content.decode()
    address = reverse(f"admin:govpay_{row._meta.model_name}_history", args=[row.pk])
    assert address in html
    return re.sub(r"\s+", " ", client.get(address).content.decode())


def test_a_payments_history_has_operations_and_movements_of_its_money(desk: Client, finance: Any) -> None:
    row = payment()
    operation(row, state="succeeded", actor=finance)
    Transaction.objects.create(
        uid="trx_1",
        account_id=row.account_id,
        payment=row,
        type="chargeback",
        status="succeeded",
        amount=1250,
        currency="USD",
        remote_created_at=AT,
    )
    html = history(desk, row)
    assert re.search(r"<a href=\"[^\"]+\">Refund of \$12.50: Succeeded</a></td> ?<td[^>]*>finance</td>", html)
    assert "On the platform: Chargeback of $12.50, Succeeded" in html
    assert format_moment(AT) in html
    assert "Created on the platform" in html


def test_an_operations_history_has_its_attempts(desk: Client, finance: Any) -> None:
    row = operation(payment(), state="failed", actor=finance, error="The bank said no.", finished_at=timezone.now())
    ended = {"attempt": 1, "started_at": AT.isoformat(), "finished_at": AT.isoformat(), "by": "pat", "error": "Lost."}
    Operation.objects.update(earlier_attempts=[{**ended, "resolved_by": "", "resolution": ""}])
    html = history(desk, row)
    assert "Started: Refund of $12.50" in html
    assert "Failed. The bank said no." in html
    assert "Attempt 1: Lost." in html


@pytest.mark.parametrize("model", [m for m in SHOWN if issubclass(m, Mirror) or m in (Operation, PaymentLink)])
def test_no_history_is_a_dead_end(model: Any, desk: Client, boss: Client) -> None:
    fill(model, 1)
    assert "Nothing is known about it" not in history(boss, model.objects.get())


def test_a_row_of_which_nothing_can_be_told_has_no_link(boss: Client) -> None:
    row = SyncCursor.objects.create(resource="accounts")
    html = boss.get(page_of(row)).content.decode()
    assert "historylink" not in html
    assert "- accounts" not in html


@pytest.mark.parametrize("model", SHOWN)
def test_every_page_shows_times_in_one_format_with_the_zone(model: Any, boss: Client) -> None:
    fill(model, 1)
    row = model.objects.get()
    times = {f.name: AT for f in model._meta.concrete_fields if isinstance(f, models.DateTimeField)}
    model.objects.update(**times)
    for address in (page_of(row), reverse(f"admin:govpay_{model._meta.model_name}_changelist")):
        html = boss.get(address).content.decode()
        assert not LONG.search(html), LONG.findall(html)
        assert not BARE.search(html), BARE.findall(html)
    with timezone.override("America/Denver"):
        html = boss.get(page_of(row)).content.decode()
        assert not times or "03/04/2026 8:06 a.m. MST" in html


def test_a_payments_page_shows_each_time_once_and_no_empty_properties(desk: Client, look: Callable[..., Page]) -> None:
    row = payment()
    Payment.objects.update(remote_created_at=AT)
    page = look(desk, page_of(row)).html.partition('class="govpay-document"')[0]
    assert page.count(f"<dd>{format_moment(AT)}</dd>") == 1
    assert page.count(f"<td>{format_moment(AT)}</td>") == 1
    assert "ended properties" not in page
    assert "o longer on the platform since" not in page
    Payment.objects.update(mended="brand", deleted_at=AT + dt.timedelta(days=1))
    page = look(desk, page_of(row)).html
    assert "Mended properties" in page
    assert page.count("No longer on the platform since") == 1


def test_who_marked_it_as_dealt_with_outlives_the_user(desk: Client, look: Callable[..., Page], finance: Any) -> None:
    row = payment(flag="chargeback", flagged_at=AT)
    shown = {"flag": "chargeback", "flagged_at": AT.isoformat()}
    desk.post(reverse("admin:govpay_payment_clear_flag", args=[row.pk]), shown)
    desk.force_login(User.objects.create_superuser("boss"))
    address = reverse("admin:govpay_payment_history", args=[row.pk])
    look(desk, address)  # shows the message of the button
    assert look(desk, address).html.count("Marked as dealt with") == 1
    name = finance.get_username()
    finance.delete()
    page = look(desk, address)
    assert page.html.count("Marked as dealt with") == 1
    assert name in page.html
