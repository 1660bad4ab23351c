"""Staff who are limited to payment accounts: no address of the admin shows or changes rows of another account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, reverse
from django.utils.html import escape

import govpay
from govpay import tasks
from govpay.admin import confirmation_tokens
from govpay.admin.confirmation_tokens import ShownPayment
from govpay.models import AccountAccess, Operation, Payment, PaymentLink
from tests.admin.conftest import Page
from tests.admin.neighbours import (
    FOREIGN,
    FOREIGN_MONEY,
    OWN,
    Side,
    all_models,
    everything,
    foreign_side,
    grant,
    own_side,
)
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

#: No primary key of anything.
NOBODY = 987_654


@pytest.fixture
def own(db: None) -> Side:
    return own_side()


@pytest.fixture
def foreign(db: None) -> Side:
    return foreign_side()


@pytest.fixture
def clerk(db: None) -> User:
    """A user with every permission who is not a superuser."""
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    return user


@pytest.fixture
def limited(clerk: User, own: Side, foreign: Side, browse: Callable[..., Client]) -> Client:
    """The browser of a clerk who may see one of two accounts."""
    grant(own.uid("paymentaccount"), user=clerk)
    return browse(clerk)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Records the tasks sent to the broker, because no worker runs here."""
    sent: list[Any] = []
    for task in (tasks.sync_account, tasks.process_event, tasks.process_events):
        monkeypatch.setattr(task, "apply_async", lambda args=(), kwargs=None, **_: sent.append(args))
    return sent


def pages() -> dict[str, admin.ModelAdmin[Any]]:
    """Our admins by the names of their models."""
    registry = admin.site._registry.items()
    return {str(model._meta.model_name): page for model, page in registry if model._meta.app_label == "govpay"}


#: Models that ``make test`` visits; ``.ci/run`` visits all.
MONEY = ("payment", "operation")
each_model = pytest.mark.parametrize(
    "model", [name if name in MONEY else pytest.param(name, marks=pytest.mark.ci) for name in pages()]
)


def addresses(model: str) -> Iterator[tuple[str, bool]]:
    """Name and whether it takes a row: every address of the model's admin, and no other."""
    for pattern in pages()[model].get_urls():
        if isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name, bool(pattern.pattern.converters)


def told(response: HttpResponse, *sent: str) -> str:
    """The text of a page, without the values just typed in."""
    html = response.content.decode()
    for text in sorted(sent, key=len, reverse=True):
        for written in (text, quote_plus(text), quote_plus(quote_plus(text)), escape(text)):
            html = html.replace(written, "")
    return html


def assert_silent(response: HttpResponse, *sent: str) -> None:
    html = told(response, *sent)
    assert FOREIGN not in html, re.findall(rf".{{80}}{FOREIGN}.{{40}}", html, re.S)
    assert FOREIGN_MONEY not in html


class Walker:
    """Asks, and expects to hear nothing foreign."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked = 0

    def ask(self, address: str, data: dict[str, Any] | None = None, sent: tuple[str, ...] = ()) -> list[HttpResponse]:
        """GET and POST it, and look where they lead."""
        return [self.call(method, address, data, sent) for method in (self.client.get, self.client.post)]

    def call(self, method: Any, address: str, data: dict[str, Any] | None, sent: tuple[str, ...]) -> Any:
        response = method(address, data or {})
        self.asked += 1
        assert_silent(response, *sent)
        if response.status_code == 302:
            assert_silent(self.client.get(response["Location"]), *sent)
        return response


def outcome(response: Any) -> tuple[int, str]:
    return response.status_code, response.headers.get("Location", "")


# --- Every address -----------------------------------------------------------------------------------


@each_model
def test_every_address_with_a_foreign_row_is_as_if_it_did_not_exist(
    model: str, limited: Client, foreign: Side, sandbox: Any, queued: list[Any]
) -> None:
    walker, before = Walker(limited), everything()
    row = foreign.rows.get(model)
    for name, takes_row in addresses(model):
        if not takes_row or row is None:
            continue
        by_uid = (getattr(row, "uid", str(row.pk)), f"{OWN}-nobody", ("?_to_field=uid",))
        by_key = (str(row.pk), str(NOBODY), ("", f"?_popup=1&session={foreign.uid('hostedsession')}"))
        for key, nobody, queries in (by_key, by_uid):
            for query in queries:
                try:
                    address, twin = reverse(f"admin:{name}", args=[key]), reverse(f"admin:{name}", args=[nobody])
                except NoReverseMatch:  # a uid where a number belongs
                    continue
                sent = (str(key), foreign.uid("hostedsession"))
                got = [outcome(each) for each in walker.ask(address + query, {"session": sent[1]}, sent)]
                expected = [outcome(each) for each in walker.ask(twin + query, {"session": sent[1]}, sent)]
                assert [(s, to.replace(key, nobody)) for s, to in got] == expected, address
                assert all(status in (302, 400, 403, 404, 405) for status, _to in got), (address, got)
    assert walker.asked >= 12 or row is None
    assert everything() == before
    assert not queued
    assert not sandbox.requests()


@each_model
def test_every_address_without_a_row_tells_of_own_ones_only(
    model: str, limited: Client, foreign: Side, sandbox: Any, queued: list[Any]
) -> None:
    walker, before = Walker(limited), everything()
    row = foreign.rows.get(model)
    for name, takes_row in addresses(model):
        if takes_row:
            continue
        given: list[dict[str, Any]] = [{}]
        if row is not None:
            given += [{"ids": row.pk}, {"customer": row.pk}, {"_to_field": "uid", "_popup": "1"}]
        for data in given:
            walker.ask(reverse(f"admin:{name}"), data, tuple(map(str, data.values())))
        for text in texts_of(row) if row is not None else ():
            walker.call(limited.get, reverse(f"admin:{name}"), {"q": text}, (text,))
    assert walker.asked
    assert everything() == before
    assert not queued
    assert not sandbox.requests()


def test_pages_of_no_model_tell_of_own_rows_only(limited: Client, foreign: Side) -> None:
    walker = Walker(limited)
    for name in ("index", "password_change"):
        walker.ask(reverse(f"admin:{name}"))
    walker.ask(reverse("admin:app_list", args=["govpay"]))


def texts_of(row: Any) -> list[str]:
    """Values that a user may know and search for."""
    values = type(row)._default_manager.filter(pk=row.pk).values()[0].items()
    return [
        str(value).strip() for name, value in values if name == "key" or (isinstance(value, str) and FOREIGN in value)
    ]


@each_model
def test_filters_neither_list_nor_take_foreign_rows(model: str, limited: Client, foreign: Side) -> None:
    walker, address = Walker(limited), reverse(f"admin:govpay_{model}_changelist")
    filters = pages()[model].list_filter if model in foreign.rows else ()
    for each in filters:
        names = each.parameter_names() if hasattr(each, "parameter_names") else (each.parameter_name,)  # type: ignore[union-attr]
        parameter = names[0]
        linked = "paymentaccount" if parameter == "account" else parameter
        values = [str(foreign.uid(linked)), str(getattr(foreign.rows[model], parameter, ""))]
        for value in filter(None, values):
            for query in ({parameter: value}, {f"{parameter}__exact": value}):
                response = walker.call(limited.get, address, query, (value,))
                if parameter in ("account", "client") and value == foreign.uid(linked) and parameter in query:
                    assert response["Location"].endswith("?e=1")
    assert walker.asked or not filters


def test_dates_of_the_drill_down_are_those_of_own_rows(limited: Client, foreign: Side, own: Side) -> None:
    row = foreign.rows["payment"]
    Payment.objects.filter(pk=row.pk).update(remote_created_at="2019-05-05T12:00Z")
    html = limited.get(reverse("admin:govpay_payment_changelist")).content.decode()
    assert "2019" not in html
    assert "=20" in html


@pytest.mark.parametrize("action", ["capture", "refund", "void", "charge"])
def test_no_action_reaches_a_foreign_payment_even_with_a_signed_key(
    action: str, limited: Client, clerk: User, foreign: Side, sandbox: Any
) -> None:
    before = everything()
    row = Payment.objects.with_pending_refunds().get(pk=foreign.rows["payment"].pk)
    key = confirmation_tokens.sign(clerk, action, [row.pk], {row.pk: ShownPayment.of(row)})
    address = reverse(f"admin:govpay_payment_{action}") + f"?ids={row.pk}"
    Walker(limited).ask(address, {"key": key, "amount": "1.00", "reason": ""})
    assert limited.post(address, {"key": key, "amount": "1.00"})["Location"] == reverse(
        "admin:govpay_payment_changelist"
    )
    assert everything() == before
    assert not sandbox.requests()


def test_a_action_on_many_leaves_foreign_ones_out(limited: Client, clerk: User, foreign: Side, own: Side) -> None:
    both = [own.rows["payment"].pk, foreign.rows["payment"].pk]
    address = reverse("admin:govpay_payment_refund") + "?ids=" + ",".join(map(str, both))
    response = limited.get(address)
    assert_silent(response)
    assert OWN in response.content.decode()


def test_no_charge_and_no_removal_with_a_signed_key(limited: Client, clerk: User, foreign: Side, sandbox: Any) -> None:
    before = everything()
    customer, method = foreign.rows["customer"], foreign.rows["savedpaymentmethod"]
    charge = reverse("admin:govpay_customer_charge") + f"?customer={customer.pk}"
    data = {"method": method.pk, "amount": "1.00", "currency": "USD"}
    key = confirmation_tokens.sign(clerk, "quote", [customer.pk], {})
    assert limited.post(charge, {**data, "key": key}).status_code == 404
    remove = reverse("admin:govpay_savedpaymentmethod_remove", args=[method.pk])
    assert limited.post(remove, {"key": confirmation_tokens.sign(clerk, "remove", [method.pk], {})}).status_code == 404
    assert everything() == before
    assert not sandbox.requests()


def test_actions_of_the_lists_take_own_rows_only(limited: Client, foreign: Side, queued: list[Any]) -> None:
    before = everything()
    for model, page in admin.site._registry.items():
        name = str(model._meta.model_name)
        for action in page.actions or ():
            if name not in foreign.rows:
                continue
            for more in ({}, {"select_across": "1"}):
                data = {"action": action, "_selected_action": foreign.rows[name].pk, "index": "0", **more}
                response = limited.post(reverse(f"admin:govpay_{name}_changelist"), data)
                assert str(foreign.rows[name].pk) not in response.headers.get("Location", "").partition("ids=")[
                    2
                ].split(",")
                assert_silent(response)
    assert {**everything(), "webhookevent": []} == {**before, "webhookevent": []}
    assert str(foreign.rows["webhookevent"].pk) not in str(queued)


def test_a_link_is_made_for_own_accounts_and_payers_only(
    limited: Client, foreign: Side, own: Side, settings: Any
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"]}
    address = reverse("admin:govpay_paymentlink_create")
    assert_silent(limited.get(address))
    key = re.search(r'name="key" value="([^"]+)"', limited.get(address).content.decode())
    assert key
    given = {"key": key[1], "amount": "5.00", "currency": "USD", "days": "3"}
    response = limited.post(address, {**given, "account": foreign.uid("paymentaccount")})
    assert_silent(response)
    assert "Select a valid choice" in response.content.decode()
    for payer in (foreign.uid("customer"), foreign.rows["customer"].reference_id):
        response = limited.post(address, {**given, "account": own.uid("paymentaccount"), "payer": payer})
        assert "This payment account has no such customer." in response.content.decode()
        assert_silent(response, payer)
    assert PaymentLink.objects.count() == 2
    response = limited.post(
        address, {**given, "account": own.uid("paymentaccount"), "payer": own.uid("customer")}, secure=True
    )
    assert response.status_code == 302
    assert PaymentLink.objects.count() == 3


def test_completion_offers_own_rows_only(limited: Client, foreign: Side) -> None:
    for model in all_models():
        for field in model._meta.concrete_fields:
            if not field.many_to_one:
                continue
            data = {"app_label": "govpay", "model_name": model._meta.model_name, "field_name": field.name}
            for term in ("", foreign.uid(str(field.related_model._meta.model_name))):  # type: ignore[union-attr]
                response = limited.get(reverse("admin:autocomplete"), {**data, "term": term})
                assert_silent(response)


# --- Rows that point across ----------------------------------------------------------------------------


def test_foreign_relatives_of_own_rows_are_bare_and_foreign_rows_of_own_relatives_are_left_out(
    limited: Client, own: Side, foreign: Side
) -> None:
    """Should not happen, and does when a platform or a host errs."""
    stray = [each.name for each in Payment._meta.concrete_fields if each.many_to_one and each.name != "account"]
    Payment.objects.filter(pk=own.rows["payment"].pk).update(
        **{
            f"{name}_id": foreign.uid(
                {"session": "hostedsession", "saved_method": "savedpaymentmethod"}.get(name, name)
            )
            for name in stray
        }
    )
    Payment.objects.filter(pk=foreign.rows["payment"].pk).update(
        customer_id=own.uid("customer"), session_id=own.uid("hostedsession")
    )
    pages = {
        reverse("admin:govpay_payment_changelist"),
        *(
            reverse(f"admin:govpay_{name}_change", args=[own.rows[name].pk])
            for name in ("payment", "customer", "hostedsession")
        ),
        reverse("admin:govpay_payment_refund") + f"?ids={own.rows['payment'].pk}",
    }
    for address in pages:
        response = limited.get(address)
        assert response.status_code == 200
        assert_silent(response, *(foreign.uid(str(model._meta.model_name)) for model in all_models()))
        html = response.content.decode()
        for model, row in foreign.rows.items():
            assert reverse(f"admin:govpay_{model}_change", args=[row.pk]) + '"' not in html
        assert foreign.uid("payment") not in html


# --- Own rows work -------------------------------------------------------------------------------------


def test_own_rows_are_there(limited: Client, own: Side, look: Callable[..., Page]) -> None:
    for model, row in own.rows.items():
        listed = look(limited, reverse(f"admin:govpay_{model}_changelist"))
        assert re.search(r"<p class=\"paginator\">|result_list", listed.html), model
        assert f"/{row.pk}/change/" in listed.html, model
        assert len(listed.statements) <= 7, listed.statements
        assert sum("govpay_accountaccess" in sql for sql in listed.statements) == 1
        page = look(limited, reverse(f"admin:govpay_{model}_change", args=[row.pk]))
        assert page.status == 200
        assert OWN in page.html
        assert limited.get(reverse(f"admin:govpay_{model}_history", args=[row.pk])).status_code == 200
    for text in (own.uid("payment"), own.rows["payment"].reference_id):
        assert OWN in limited.get(reverse("admin:govpay_payment_changelist"), {"q": text}).content.decode()
    chosen = limited.get(reverse("admin:govpay_payment_changelist"), {"account": own.uid("paymentaccount")})
    assert f"/{own.rows['payment'].pk}/change/" in chosen.content.decode()


def test_a_limited_officer_refunds_on_the_own_account(
    sandbox: Any, make_staff: Callable[..., Any], browse: Callable[..., Client], foreign: Side
) -> None:
    merchant, officer = Merchant(sandbox), make_staff("Finance")
    grant(merchant.account.uid, user=officer)
    payment, client = merchant.captured(), browse(officer)
    address = reverse("admin:govpay_payment_refund") + f"?ids={payment.pk}"
    key = re.search(r'name="key" value="([^"]+)"', client.get(address).content.decode())
    assert key
    client.post(address, {"key": key[1], "amount": "1.00", "reason": ""})
    assert merchant.moved("refund", payment) == 100
    assert Operation.objects.filter(payment=payment.uid, actor=officer, state="succeeded").exists()


# --- Others ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["superuser", "unlimited"])
def test_who_is_not_limited_sees_both(
    who: str, own: Side, foreign: Side, clerk: User, browse: Callable[..., Client], look: Callable[..., Page]
) -> None:
    grant(own.uid("paymentaccount"), user=User.objects.create_user("somebody-else"))
    client = browse(User.objects.create_superuser("boss") if who == "superuser" else clerk)
    for model, row in foreign.rows.items():
        page = look(client, reverse(f"admin:govpay_{model}_changelist"))
        assert f"/{row.pk}/change/" in page.html
        assert sum("accountaccess" in sql for sql in page.statements) == (0 if who == "superuser" else 1)


def test_with_a_closed_default_staff_without_rows_see_nothing(
    own: Side, foreign: Side, support: Any, browse: Callable[..., Client], settings: Any
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "LIMIT_STAFF_TO_ACCOUNTS": True}
    client = browse(support)
    for model, row in own.rows.items():
        response = client.get(reverse(f"admin:govpay_{model}_changelist"))
        assert response.status_code == 200
        assert OWN not in response.content.decode()
        assert client.get(reverse(f"admin:govpay_{model}_change", args=[row.pk])).status_code == 302
    assert client.get(reverse("admin:govpay_accountaccess_changelist")).status_code == 403


# --- The page that grants ----------------------------------------------------------------------------------

GRANT = reverse("admin:govpay_accountaccess_add")


def test_who_is_limited_cannot_grant_anything(limited: Client, clerk: User, foreign: Side) -> None:
    row = AccountAccess.objects.get()
    data = {"account": foreign.uid("paymentaccount"), "user": clerk.pk, "post": "yes"}
    for view, args in (("add", []), ("changelist", []), *((v, [row.pk]) for v in ("change", "delete"))):
        address = reverse(f"admin:govpay_accountaccess_{view}", args=args)
        assert limited.get(address).status_code == 403, view
        assert limited.post(address, data).status_code == 403, view
    assert AccountAccess.objects.get() == row
    history = reverse("admin:govpay_accountaccess_history", args=[row.pk])
    assert outcome(limited.get(history)) == (302, reverse("admin:index")), "as of a row that is not there"
    assert "accountaccess" not in limited.get(reverse("admin:index")).content.decode()


def test_a_superuser_grants_to_a_user_or_a_group(
    own: Side, support: Any, browse: Callable[..., Client], look: Callable[..., Page]
) -> None:
    boss = browse(User.objects.create_superuser("boss"))
    assert "sees every payment account" in boss.get(GRANT).content.decode()
    account, group = own.uid("paymentaccount"), support.groups.get()
    for to, said in (
        ({}, "Choose either a user or a group."),
        ({"user": support.pk, "group": group.pk}, "Choose either a user or a group."),
        ({"user": support.pk}, ""),
        ({"user": support.pk}, "already exists"),
        ({"group": group.pk}, ""),
    ):
        response = boss.post(GRANT, {"account": account, **to})
        assert response.status_code == (200 if said else 302)
        assert said in response.content.decode()
    assert AccountAccess.objects.count() == 2
    page = look(boss, reverse("admin:govpay_accountaccess_changelist"), data={"q": "support"})
    assert page.html.count("/change/") >= 1
    assert len(page.statements) <= 7
    response = boss.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"}, follow=True)
    assert type(group).objects.filter(pk=group.pk).exists(), "its members would see everything"


def test_a_site_without_searchable_users_has_a_plain_field(
    own: Side, browse: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    boss = browse(User.objects.create_superuser("boss"))
    monkeypatch.delitem(admin.site._registry, User)
    assert 'name="user" data-context' not in boss.get(GRANT).content.decode()
    assert boss.get(GRANT).status_code == 200


# --- The source -----------------------------------------------------------------------------------------------

#: Read for a row that the user has been found to see already.
WITHOUT_ASKING = {
    ("actions.py", "Operation"),
    ("flags.py", "Payment"),
    ("history.py", "LogEntry"),
}


def test_the_admin_reads_no_row_without_asking_for_whom() -> None:
    folder = Path(govpay.__file__).parent / "admin"
    found = {
        (path.name, model)
        for path in folder.glob("*.py")
        for model in re.findall(r"\b([A-Z]\w+)\.objects\.(?!visible_to\(|none\(|order_by\(\)\.none)", path.read_text())
    }
    assert found == WITHOUT_ASKING
