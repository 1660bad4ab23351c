"""Flags on payments: who sees them, who may clear them, and that a newer flag is not cleared unseen."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay.models import Payment
from govpay.models.choices import PaymentFlag
from tests.admin.conftest import Page
from tests.admin.rows import operation, payment, relatives
from tests.admin.test_changelist import many

pytestmark = pytest.mark.django_db

LIST = reverse("admin:govpay_payment_changelist")
AT = dt.datetime(2026, 3, 4, 9, 30, 15, 123456, tzinfo=dt.UTC)


def page_of(row: Payment) -> str:
    return reverse("admin:govpay_payment_change", args=[row.pk])


def lower_of(row: Payment) -> str:
    return reverse("admin:govpay_payment_clear_flag", args=[row.pk])


def flagged(flag: str = "chargeback", **given: Any) -> Payment:
    return payment(**{"flag": flag, "flagged_at": AT, "status": "charged_back", **given})


def alert_of(html: str) -> str:
    return html.partition('class="govpay-alert"')[2].partition("</div>")[0]


def form_of(html: str) -> dict[str, str]:
    """The data that the browser sends with the button."""
    form = re.search(r'<form method="post" action="[^"]*lower-flag/".*?</form>', html, re.S)
    assert form
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form[0]))


def messages(response: Any) -> str:
    return " ".join(map(str, response.context["messages"]))


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("chargeback", "Disputed by the cardholder on 03/04/2026"),
        ("return", "Returned by the bank on 03/04/2026"),
        ("reversal", "The dispute was reversed on 03/04/2026"),
    ],
)
def test_page_says_what_happened(flag: str, words: str, desk: Client, look: Callable[..., Page]) -> None:
    row = flagged(flag)
    page = look(desk, page_of(row))
    assert words in alert_of(page.html)
    assert len(page.statements) <= 12, page.statements
    assert form_of(page.html).items() >= {"flag": flag, "flagged_at": AT.isoformat()}.items()
    assert not re.search(r"<form[^>]*>(?:(?!</form>).)*<form", page.html, re.S), "forms do not nest"


def test_page_without_a_flag_has_no_alert(desk: Client, look: Callable[..., Page]) -> None:
    html = look(desk, page_of(payment())).html
    assert "govpay-alert" not in html
    assert "lower-flag" not in html


def test_flag_without_a_date_and_one_we_do_not_know(desk: Client, look: Callable[..., Page]) -> None:
    assert "on an unknown day" in alert_of(look(desk, page_of(flagged(flagged_at=None))).html)
    row = flagged("<b>new</b>")
    html = look(desk, page_of(row)).html
    assert "Flagged on" in alert_of(html)
    assert "<b>new" not in html
    desk.post(lower_of(row), {"flag": "<b>new</b>", "flagged_at": AT.isoformat()})
    row.refresh_from_db()
    assert row.flag == ""


def test_flag_stands_above_an_open_operation(desk: Client, look: Callable[..., Page]) -> None:
    row = flagged()
    operation(row)
    html = look(desk, page_of(row)).html
    assert html.count('class="govpay-alert"') == 2
    assert "Disputed" in alert_of(html)


# Lowering it


def test_button_lowers_the_flag_and_the_history_says_who(desk: Client, finance: Any, look: Callable[..., Page]) -> None:
    row = flagged()
    before = Payment.objects.filter(pk=row.pk).values().get()
    response = desk.post(lower_of(row), form_of(look(desk, page_of(row)).html), follow=True)
    assert response.redirect_chain == [(page_of(row), 302)]
    assert "Marked as dealt with: Disputed, 03/04/2026" in messages(response)
    assert "lower-flag" not in response.content.decode()
    after = Payment.objects.filter(pk=row.pk).values().get()
    cleared = {name: after[name] for name in after if name.startswith("flag_cleared_")}
    assert after == {**before, **cleared, "flag": ""}
    assert (cleared.pop("flag_cleared_at") is None, sorted(cleared.values())) == (False, [str(finance.pk), "finance"])
    entry = LogEntry.objects.get()
    assert (entry.user, entry.action_flag, entry.object_id) == (finance, CHANGE, str(row.pk))
    history = desk.get(reverse("admin:govpay_payment_history", args=[row.pk])).content.decode()
    assert "Marked as dealt with: Disputed" in history
    assert reverse("admin:govpay_payment_history", args=[row.pk]) in response.content.decode()


def test_flag_raised_since_the_page_was_shown_stays(desk: Client, look: Callable[..., Page]) -> None:
    for newer in ({"flagged_at": AT + dt.timedelta(seconds=1)}, {"flag": "reversal"}, {"flagged_at": None}):
        row = flagged()
        sent = form_of(look(desk, page_of(row)).html)
        Payment.objects.filter(pk=row.pk).update(**newer)
        response = desk.post(lower_of(row), sent, follow=True)
        assert "Something newer has happened" in messages(response)
        row.refresh_from_db()
        assert row.flag
    assert not LogEntry.objects.exists()


def test_second_click_says_that_it_is_done(desk: Client, look: Callable[..., Page]) -> None:
    row = flagged()
    sent = form_of(look(desk, page_of(row)).html)
    desk.post(lower_of(row), sent)
    assert "has marked it as dealt with already" in messages(desk.post(lower_of(row), sent, follow=True))
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    "sent",
    [{}, {"flag": "chargeback"}, {"flag": "chargeback", "flagged_at": "nonsense"}]
    + [{"flag": "chargeback", "flagged_at": "2026-13-45T99:00"}, {"flag": "a\0b"}, {"flagged_at": AT.isoformat()}],
)
def test_nonsense_lowers_nothing(sent: dict[str, str], desk: Client) -> None:
    row = flagged()
    assert desk.post(lower_of(row), sent).status_code == 302
    row.refresh_from_db()
    assert row.flag == "chargeback"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("group", ["Support", "Cashier", "Operations"])
def test_only_those_who_may_refund_lower_it(
    group: str, make_staff: Callable[..., Any], browse: Callable[..., Client], look: Callable[..., Page]
) -> None:
    row = flagged()
    client = browse(make_staff(group))
    html = look(client, page_of(row)).html
    assert "Disputed by the cardholder" in alert_of(html)
    assert "lower-flag" not in html
    sent = {"flag": "chargeback", "flagged_at": AT.isoformat()}
    assert client.post(lower_of(row), sent).status_code == 403
    assert client.get(lower_of(row)).status_code == 403
    row.refresh_from_db()
    assert row.flag == "chargeback"


def test_strangers_forged_forms_and_other_methods_are_turned_away(finance: Any, browse: Callable[..., Client]) -> None:
    row = flagged()
    sent = {"flag": "chargeback", "flagged_at": AT.isoformat()}
    assert "login" in Client().post(lower_of(row), sent)["Location"]
    assert browse(finance, enforce_csrf_checks=True).post(lower_of(row), sent).status_code == 403
    for method in ("get", "head", "put", "delete"):
        response = getattr(browse(finance), method)(lower_of(row))
        assert response.status_code == 405
        assert response["Allow"] == "POST"
    row.refresh_from_db()
    assert row.flag == "chargeback"


@pytest.mark.parametrize("pk", ["999999", "9" * 30])
def test_payment_that_is_not_there(pk: str, desk: Client) -> None:
    assert desk.post(f"{LIST}{pk}/lower-flag/", {"flag": "chargeback"}).status_code == 404


def test_permission_to_refund_is_enough(make_staff: Callable[..., Any], browse: Callable[..., Client]) -> None:
    user = make_staff()
    user.user_permissions.add(Permission.objects.get(codename="refund_payment"))
    row = flagged()
    response = browse(user).post(lower_of(row), {"flag": "chargeback", "flagged_at": AT.isoformat()})
    assert response["Location"] == reverse("admin:index")
    row.refresh_from_db()
    assert row.flag == ""


# The list


def test_list_shows_and_filters_flags(counter: Client, look: Callable[..., Page]) -> None:
    relatives()
    for number, flag in enumerate(PaymentFlag.values):
        flagged(flag, reference_id=f"FLAG-{number}")
    table = rows_in(look(counter, LIST).html)
    assert all(f">⚑ {word}</span>" in table for word in ("Disputed", "Returned", "Reversed"))
    assert table.count(">Charged back</span>") == 3, "the status stays"
    assert found(look(counter, f"{LIST}?flag=return").html) == {"FLAG-1"}
    assert found(look(counter, f"{LIST}?flag=any").html) == {"FLAG-0", "FLAG-1", "FLAG-2"}
    assert found(look(counter, f"{LIST}?flag=any&status=captured").html) == set()
    assert found(look(counter, f"{LIST}?flag=never_heard_of").html) == set()


def rows_in(html: str) -> str:
    return html.partition('id="result_list"')[2].partition("</table>")[0]


def found(html: str) -> set[str]:
    return set(re.findall(r">((?:FLAG|BILL)-\d+)</a>", rows_in(html)))


@pytest.mark.parametrize("query", ["chargeback", "any"])
def test_filter_reads_the_partial_index(query: str, counter: Client, look: Callable[..., Page]) -> None:
    many(12_500)
    rows = Payment.objects.filter(pk__in=Payment.objects.order_by("pk").values_list("pk", flat=True)[:40:2])
    rows.update(flag="chargeback", flagged_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    page = look(counter, f"{LIST}?flag={query}")
    assert len(page.statements) <= 7, page.statements
    ours = [sql for sql in page.statements if "''" in sql and 'FROM "govpay_payment"' in sql]
    assert len(ours) == 2, page.statements
    for statement in ours:
        with connection.cursor() as cursor:
            cursor.execute(("EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN ") + statement)
            plan = " / ".join(str(row[-1]) for row in cursor.fetchall())
        assert "govpay_payment_flag" in plan, plan
