"""Clients, payment accounts and their settings: found or created once, changed without overwriting other changes."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import unquote

import pytest

from govpay import operations
from govpay.client.orders import NotServed
from govpay.exceptions import (
    APIConnectionError,
    InvalidAnswer,
    InvalidRequest,
    NotFound,
    OperationInProgress,
    OperationRefused,
    OutcomeUnknown,
)
from govpay.models import Client, Operation, PaymentAccount, WebhookSubscription
from govpay.models.choices import OperationState
from govpay.operations.account_settings import ChangedMeanwhile, UpdateAccountAction, checkout_as_sent
from govpay.operations.account_values import PROPERTIES, AccountProperties, alike, as_sent
from govpay.operations.engine import execute
from govpay.operations.events import read_subscriptions
from govpay.operations.lookups import find_client
from govpay.operations.tenants import CreateAccount, CreateClientAction, CreationAction
from govpay.sandbox.answers import Answer as Empty
from govpay.sync import secrets
from govpay.sync.pull import pull
from tests.operations.merchant import Merchant, at_once, only
from tests.operations.test_wallets import everything

pytestmark = pytest.mark.django_db(transaction=True)

CLIENT = "POST /api/clients"
ACCOUNT = "POST /api/paymentaccounts"
UPDATE = "PUT /api/paymentaccounts/{uid}"
CHECKOUT = "PUT /api/paymentaccounts/{uid}/checkout-config"
SUBSCRIPTIONS = "PUT /api/webhooks/subscriptions"
SECRET = "GET /api/webhooks/secret"
IDS = {"external_account_id": "EX-1", "external_merchant_id": "4111111111111111"}
HOOK = "https://pay.example.gov/govpay/webhooks/x/"
PAN = "4111 1111 1111 1111"


def sent(sandbox: Any) -> list[str]:
    """The writes that reached the platform, the token's left out."""
    return [
        f"{each['method']} {each['path']}"
        for each in sandbox.requests()
        if each["method"] != "GET" and each["path"].startswith("/api/")
    ]


@pytest.fixture
def city(sandbox: Any) -> Client:
    return operations.create_client(name="City of Example", customer_id="city", timezone="Mountain Standard Time")


@pytest.fixture
def create(city: Client) -> Callable[..., PaymentAccount]:
    return partial(operations.create_payment_account, client=city, name="Utilities", processor="zift", **IDS)


# --- Clients --------------------------------------------------------------------------------------


def test_client_is_created_once_and_then_found(sandbox: Any, city: Client) -> None:
    assert (city.name, city.customer_id, city.timezone) == ("City of Example", "city", "Mountain Standard Time")
    assert operations.create_client(name="City of Example", customer_id="another") == city
    assert sent(sandbox) == [CLIENT]
    operation = only()
    assert (operation.action, operation.state, operation.result_uid) == ("create_client", "succeeded", city.uid)
    assert operation.account_id is None
    assert pull("clients").unchanged == 1


def test_client_of_the_platform_is_found_by_its_exact_name(sandbox: Any) -> None:
    sandbox.add_client(name="O'Brien City (old)")
    there = sandbox.add_client(name="O'Brien City")
    assert operations.create_client(name="O'Brien City").uid == there["uid"]
    assert (sent(sandbox), Operation.objects.count()) == ([], 0)
    (asked,) = [each for each in sandbox.requests() if each["path"] == "/api/clients"]
    assert unquote(asked["query"]) == "$filter=name eq 'O''Brien City'&$top=1"


def test_client_is_found_where_the_filter_is_refused_or_not_heeded(sandbox: Any) -> None:
    others = [sandbox.add_client(name=f"Town {number}") for number in range(3)]
    there = sandbox.add_client(name="City")
    sandbox.fault("GET /api/clients", times=2, status=400)
    found = find_client("City")
    assert found is not None
    assert found.uid == there["uid"]
    sandbox.fault("GET /api/clients", times=1, body=json.dumps(others[:1]))
    found = find_client("City")
    assert found is not None
    assert found.uid == there["uid"]


def test_client_is_found_although_an_empty_answer_announces_rows(sandbox: Any) -> None:
    there = sandbox.add_client(name="City")
    sandbox.fault("GET /api/clients", times=1, body=json.dumps({"value": [], "@odata.count": 1}))
    found = find_client("City")
    assert found is not None
    assert found.uid == there["uid"]


def test_nothing_is_created_while_the_list_may_be_cut(sandbox: Any, city: Client, create: Any, settings: Any) -> None:
    """R12: the client or the account may be in the part that was not sent."""
    for name in ("clients", "paymentaccounts"):
        sandbox.fault(f"GET /api/{name}", no_options=True)
    sandbox.add_account(city.uid)
    with pytest.raises(NotServed, match="UNPAGED_LISTS"):
        operations.create_client(name="Other")
    with pytest.raises(NotServed, match="UNPAGED_LISTS"):
        create()
    assert sent(sandbox) == [CLIENT]
    settings.GOVPAY = {**settings.GOVPAY, "UNPAGED_LISTS": ["clients", "accounts"]}
    operations.create_client(name="Other")
    create()
    assert sent(sandbox) == [CLIENT, CLIENT, ACCOUNT]


def test_threads_at_once_create_one_client(sandbox: Any) -> None:
    sandbox.fault(CLIENT, delay=0.3)
    zones = ("Mountain Standard Time", "Central Standard Time", None)
    found = at_once(*[partial(operations.create_client, name="City", timezone=zone) for zone in zones])
    assert {getattr(each, "uid", each) for each in found} == {Client.objects.get().uid}
    assert len(sandbox.all("client")) == 1


def test_other_key_for_the_same_client_is_refused_while_one_is_open(sandbox: Any) -> None:
    sandbox.fault(CLIENT, times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.create_client(name="City")
    with pytest.raises(OperationInProgress):
        operations.create_client(name="City", key=uuid.uuid4())
    assert sent(sandbox) == [CLIENT]


@pytest.mark.parametrize(("close", "settled"), [("after", "succeeded"), ("before", "failed")])
def test_lost_creation_is_settled_by_reading(sandbox: Any, close: str, settled: str) -> None:
    merchant = Merchant(sandbox)
    sandbox.fault(CLIENT, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.create_client(name="City")
    if close == "before":
        with pytest.raises(OutcomeUnknown):
            operations.create_client(name="City")  # it may still come: nothing is sent a second time
    merchant.reconcile_all()
    assert only().state == settled
    assert sent(sandbox) == [CLIENT]
    made = operations.create_client(name="City")
    assert [each["uid"] for each in sandbox.all("client") if each["name"] == "City"] == [made.uid]
    assert len(sent(sandbox)) == (1 if close == "after" else 2)


def test_client_that_the_platform_removed_is_created_anew(sandbox: Any, city: Client) -> None:
    sandbox.remove("client", city.uid)
    again = operations.create_client(name="City of Example")
    assert again.uid != city.uid
    assert len(sent(sandbox)) == 2


def test_client_that_a_list_does_not_show_yet_is_not_created_twice(sandbox: Any, city: Client) -> None:
    sandbox.fault("GET /api/clients", times=1, body="[]")
    assert operations.create_client(name="City of Example") == city
    assert len(sent(sandbox)) == 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": PAN}, "name looks like a card"),
        ({"customer_id": 5}, "customer_id"),
        ({"timezone": "a\x00"}, "timezone"),
        ({"subdomain": ["x"]}, "subdomain"),
    ],
)
def test_wrong_client_is_refused_before_anything(sandbox: Any, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(OperationRefused, match=named):
        operations.create_client(**{"name": "City", **wrong})
    assert sandbox.requests() == []


# --- Payment accounts -----------------------------------------------------------------------------


def test_account_is_created_once_and_then_reused(sandbox: Any, city: Client, create: Any) -> None:
    row = create(minimum_payment_amount=100, maximum_payment_amount=2_599_999, active=True, enable_ach=False)
    assert (row.client_id, row.minimum_payment_amount, row.maximum_payment_amount) == (city.uid, 100, 2_599_999)
    document = sandbox.get("account", row.uid)
    assert (document["minimum_payment_amount"], document["maximum_payment_amount"]) == (1.0, 25_999.99)
    assert (document["enable_ach"], document["enable_credit_card"]) == (False, True)
    assert create(name="Renamed") == row
    assert sent(sandbox) == [CLIENT, ACCOUNT]
    operation = only(action="create_payment_account")
    assert (operation.account_id, operation.result_uid) == (row.uid, row.uid)
    assert pull("accounts").unchanged == 1


def test_account_of_the_platform_is_reused_also_where_filters_are_refused(sandbox: Any, city: Client) -> None:
    sandbox.add_account(city.uid, external_account_id="EX-1", external_merchant_id="other")
    there = sandbox.add_account(city.uid, **IDS)
    sandbox.fault("GET /api/paymentaccounts", times=1, status=400)
    made = operations.create_payment_account(client=city, name="X", processor="zift", **IDS)
    assert made.uid == there["uid"]
    assert sent(sandbox) == [CLIENT]


def test_account_without_external_ids_is_found_by_client_and_name(sandbox: Any, city: Client) -> None:
    sandbox.add_account(name="Utilities")
    make = partial(operations.create_payment_account, client=city, name="Utilities", processor="zift")
    assert make() == make()
    assert len(sandbox.all("account")) == 2


def test_account_of_another_client_is_not_taken(sandbox: Any, create: Any) -> None:
    there = sandbox.add_account(**IDS)
    with pytest.raises(OperationRefused, match=f"{there['uid']}.*another client"):
        create()
    assert ACCOUNT not in sent(sandbox)


def test_active_account_is_taken_of_several_else_none(sandbox: Any, city: Client, create: Any) -> None:
    sandbox.add_account(city.uid, **IDS, active=False)
    there = sandbox.add_account(city.uid, **IDS)
    assert create().uid == there["uid"]
    sandbox.add_account(city.uid, **IDS)
    with pytest.raises(OperationRefused, match="Several"):
        create()


def test_threads_at_once_create_one_account(sandbox: Any, create: Any) -> None:
    sandbox.fault(ACCOUNT, delay=0.3)
    found = at_once(create, partial(create, active=True), create)
    assert {getattr(each, "uid", each) for each in found} == {PaymentAccount.objects.get().uid}
    assert len(sandbox.all("account")) == 1


@pytest.mark.parametrize(("close", "settled"), [("after", "succeeded"), ("before", "failed")])
def test_lost_account_is_settled_by_reading(sandbox: Any, create: Any, close: str, settled: str) -> None:
    merchant = Merchant(sandbox)
    sandbox.fault(ACCOUNT, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        create()
    merchant.reconcile_all()
    assert only(action="create_payment_account").state == settled
    row = create()
    assert sent(sandbox).count(ACCOUNT) == (1 if close == "after" else 2)
    assert only(action="create_payment_account", state="succeeded").account_id == row.uid


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"name": ""}, "name"),
        ({"processor": None}, "processor"),
        ({"external_account_id": 5}, "external_account_id"),
        ({"external_account_id": "x" * 256}, "external_account_id"),
        ({"active": "yes"}, "active"),
        ({"minimum_payment_amount": 1.5}, "minimum_payment_amount must be a whole number of cents"),
        ({"maximum_payment_amount": -1}, "maximum_payment_amount"),
        ({"minimum_payment_amount": 5, "maximum_payment_amount": 4}, "minimum_payment_amount must not exceed"),
        ({"callback_url": "http://pay.example.gov/"}, "callback_url must be https"),
        ({"callback_url": "https://10.0.0.7/"}, "callback_url must be an address that the platform can reach"),
        ({"callback_url": "https://intranet/"}, "callback_url must be an address that the platform can reach"),
        ({"callback_url": "https://pay.city.local/"}, "callback_url must be an address that the platform can reach"),
        ({"callback_url": "https://me:pw@pay.example.gov/"}, "callback_url must be an address"),
        ({"callback_url": "https://pay.example.gov/?x=1"}, "callback_url must have neither"),
        ({"name": PAN}, "name looks like a card"),
    ],
)
def test_wrong_account_is_refused_before_anything(sandbox: Any, create: Any, wrong: dict[str, Any], named: str) -> None:
    before = len(sandbox.requests())
    with pytest.raises(OperationRefused, match=named):
        create(**wrong)
    assert len(sandbox.requests()) == before


def test_properties_are_those_of_the_request(sandbox: Any, city: Client, create: Any) -> None:
    assert ("client_id", "name", "processor", *AccountProperties.__annotations__) == PROPERTIES
    row, before = create(), len(sandbox.requests())
    for wrong in ("client_id", "enable_cash"):
        with pytest.raises(TypeError, match=wrong):
            create(**{wrong: "x"})
        with pytest.raises(TypeError, match=wrong):
            operations.update_payment_account(account=row, **{wrong: "x"})
    assert len(sandbox.requests()) == before


def test_callback_on_this_machine_is_for_local_platforms_only(settings: Any, sandbox: Any, create: Any) -> None:
    assert create(callback_url="http://127.0.0.1:8000/hooks/").callback_url == "http://127.0.0.1:8000/hooks/"
    settings.GOVPAY = {**settings.GOVPAY, "API_URL": "https://api.govifi.com"}
    with pytest.raises(OperationRefused, match="callback_url must be https"):
        create(callback_url="http://127.0.0.1:8000/hooks/")


# --- Changes --------------------------------------------------------------------------------------


@pytest.fixture
def account(create: Any) -> PaymentAccount:
    row: PaymentAccount = create(maximum_payment_amount=100_000)
    return row


def test_update_leaves_what_others_have_changed(sandbox: Any, account: PaymentAccount) -> None:
    sandbox.touch("account", account.uid, name="Water", enable_ach=False)
    row = operations.update_payment_account(account=account, callback_url=HOOK, webhook_enabled=True)
    document = sandbox.get("account", account.uid)
    assert (document["name"], document["enable_ach"], document["maximum_payment_amount"]) == ("Water", False, 1000.0)
    assert (document["callback_url"], document["webhook_enabled"]) == (HOOK, True)
    assert (row.name, row.callback_url, row.external_account_id) == ("Water", HOOK, "EX-1")
    operation = only(action="update_payment_account")
    assert json.loads(operation.reason) == {"callback_url": HOOK, "webhook_enabled": True}
    assert pull("accounts").unchanged == 1


def test_update_never_takes_back_another_one(sandbox: Any, account: PaymentAccount) -> None:
    late = UpdateAccountAction(account, {"enable_ach": False})
    late.read_current()
    operations.update_payment_account(account=account, name="Water")
    with pytest.raises(ChangedMeanwhile):
        execute(late)
    late.read_current()
    assert execute(late).name == "Water"


def test_updates_at_once_all_arrive_or_are_refused(sandbox: Any, account: PaymentAccount) -> None:
    changes: list[dict[str, Any]] = [{"name": "Water"}, {"enable_ach": False}, {"callback_url": HOOK}]
    results = at_once(*[partial(operations.update_payment_account, account=account, **each) for each in changes])
    document = sandbox.get("account", account.uid)
    for change, result in zip(changes, results, strict=True):
        assert isinstance(result, PaymentAccount | OperationInProgress), result
        ((name, value),) = change.items()
        assert (document[name] == value) == isinstance(result, PaymentAccount)


def test_update_takes_the_callback_away_and_sets_limits(sandbox: Any, account: PaymentAccount) -> None:
    operations.update_payment_account(account=account, callback_url=HOOK)
    row = operations.update_payment_account(account=account, callback_url="", minimum_payment_amount=250)
    assert (row.callback_url, row.minimum_payment_amount) == ("", 250)
    document = sandbox.get("account", account.uid)
    assert (document["callback_url"], document["minimum_payment_amount"]) == (None, 2.5)


def test_update_with_the_same_key_is_one(sandbox: Any, account: PaymentAccount) -> None:
    change = partial(operations.update_payment_account, account=account, name="Water", key=uuid.uuid4())
    assert change() == change()
    before = len(sandbox.requests())
    assert change().name == "Water"
    assert len(sandbox.requests()) == before
    with pytest.raises(OperationRefused, match="another operation"):
        change(name="Gas")


@pytest.mark.parametrize(("close", "settled"), [("after", "succeeded"), ("before", "failed")])
def test_lost_update_is_settled_by_reading(sandbox: Any, account: PaymentAccount, close: str, settled: str) -> None:
    sandbox.fault(UPDATE, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.update_payment_account(account=account, name="Water", maximum_payment_amount=5_000)
    with pytest.raises(OperationInProgress):
        operations.update_payment_account(account=account, name="Gas")
    Merchant(sandbox).reconcile_all()
    assert only(action="update_payment_account").state == settled
    account.refresh_from_db()
    assert (account.name == "Water") == (close == "after")


def test_refused_update_changes_nothing(sandbox: Any, account: PaymentAccount) -> None:
    with pytest.raises(OperationRefused, match="nothing to change"):
        operations.update_payment_account(account=account)
    with pytest.raises(OperationRefused, match="must not exceed"):  # the maximum is the platform's
        operations.update_payment_account(account=account, minimum_payment_amount=100_001)
    sandbox.fault(UPDATE, times=1, status=422)
    with pytest.raises(InvalidRequest):
        operations.update_payment_account(account=account, name="Water")
    assert only(action="update_payment_account").state == "failed"
    sandbox.remove("account", account.uid)
    with pytest.raises(NotFound):
        operations.update_payment_account(account=account, name="Water")


# --- Checkout -------------------------------------------------------------------------------------

LOOKS = {
    "allowed_origins": ["https://pay.example.gov", "http://127.0.0.1:8000"],
    "display_name": "City of Example",
    "logo_url": "https://pay.example.gov/logo.png",
    "accent_color": "#1F6FEB",
    "page_message": "<p>Thank you.</p>",
}


def test_checkout_is_set_and_remembered(sandbox: Any, account: PaymentAccount) -> None:
    row = operations.set_checkout_config(account=account, **LOOKS)
    assert row.allowed_origins == LOOKS["allowed_origins"]
    private = sandbox.platform.store.get("account", account.uid).private["checkout_config"]
    assert (private["merchant_display_name"], private["accent_color"]) == ("City of Example", "#1F6FEB")
    assert checkout_as_sent(account.uid) == private
    assert only(action="set_checkout_config").state == "succeeded"
    assert pull("accounts").unchanged == 1


def test_checkout_that_cannot_be_read_again_is_set_all_the_same(
    sandbox: Any, account: PaymentAccount, impatient: None
) -> None:
    sandbox.fault("GET /api/paymentaccounts/{uid}", times=1, status=500)
    row = operations.set_checkout_config(account=account, allowed_origins=["https://pay.example.gov"])
    assert row.allowed_origins == ["https://pay.example.gov"]
    assert (row.name, row.external_account_id) == ("Utilities", "EX-1")


@pytest.mark.parametrize(
    ("looks", "close", "settled"),
    [
        ({"allowed_origins": ["https://pay.example.gov"]}, "after", "succeeded"),
        ({"allowed_origins": ["https://pay.example.gov"]}, "before", "failed"),
        (LOOKS, "before", "failed"),
        # Nobody can read how it looks: only somebody who sets it again settles that.
        (LOOKS, "after", "unknown"),
    ],
)
def test_lost_checkout(sandbox: Any, account: PaymentAccount, looks: Any, close: str, settled: str) -> None:
    merchant = Merchant(sandbox)
    sandbox.fault(CHECKOUT, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.set_checkout_config(account=account, **looks)
    assert checkout_as_sent(account.uid) == {}
    merchant.reconcile_all()
    assert only(action="set_checkout_config").state == settled
    operations.set_checkout_config(account=account, **looks)
    merchant.reconcile_all()
    assert not Operation.objects.filter(state=OperationState.UNKNOWN).exists()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({}, "allowed_origins"),
        ({"allowed_origins": "https://pay.example.gov"}, "allowed_origins must be a list"),
        ({"allowed_origins": ["https://pay.example.gov/x"]}, "allowed_origins: an origin is scheme and host only"),
        ({"allowed_origins": ["https://pay.example.gov/"]}, "allowed_origins"),
        ({"allowed_origins": ["http://pay.example.gov"]}, "allowed_origins must be https"),
        ({"allowed_origins": ["https://a.example"] * 2}, "allowed_origins names an origin twice"),
        ({"allowed_origins": ["*"]}, "allowed_origins"),
        ({"accent_color": "blue"}, "accent_color"),
        ({"logo_url": "logo.png"}, "logo_url"),
        ({"page_message": PAN}, "page_message looks like a card"),
    ],
)
def test_wrong_checkout_is_refused(sandbox: Any, account: PaymentAccount, wrong: Any, named: str) -> None:
    before = len(sandbox.requests())
    with pytest.raises(OperationRefused, match=named):
        operations.set_checkout_config(account=account, **wrong)
    assert len(sandbox.requests()) == before


# --- Webhooks -------------------------------------------------------------------------------------


def enabled(account: PaymentAccount) -> set[str]:
    rows = WebhookSubscription.objects.filter(account=account.uid, enabled=True, deleted_at=None)
    return set(rows.values_list("event_type", flat=True))


def test_exactly_what_was_chosen_is_sent(sandbox: Any, account: PaymentAccount) -> None:
    first = ["payment.completed", "payment.failed"]
    rows = operations.set_webhook_subscriptions(account=account, enabled=first)
    assert {row.event_type for row in rows if row.enabled} == set(first)
    operations.set_webhook_subscriptions(account=account, enabled=["payment.refunded"])
    assert enabled(account) == {"payment.refunded"}
    chosen = sandbox.platform.store.get("account", account.uid).private["subscriptions"]
    assert [name for name, on in chosen.items() if on] == ["payment.refunded"]
    assert pull("subscriptions", account.uid).unchanged == len(chosen)


def test_unknown_event_is_named_with_the_nearest(sandbox: Any, account: PaymentAccount) -> None:
    with pytest.raises(OperationRefused, match=r"'payment.complete' \(did you mean 'payment.completed'\?\)"):
        operations.set_webhook_subscriptions(account=account, enabled=["payment.complete"])
    with pytest.raises(OperationRefused, match="enabled must be a list"):
        operations.set_webhook_subscriptions(account=account, enabled="payment.completed")
    assert SUBSCRIPTIONS not in sent(sandbox)


@pytest.mark.parametrize(("close", "settled"), [("after", "succeeded"), ("before", "failed")])
def test_lost_choice_is_settled_by_reading(sandbox: Any, account: PaymentAccount, close: str, settled: str) -> None:
    sandbox.fault(SUBSCRIPTIONS, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.set_webhook_subscriptions(account=account, enabled=["payment.failed"])
    Merchant(sandbox).reconcile_all()
    assert only(action="set_webhook_subscriptions").state == settled
    assert enabled(account) == ({"payment.failed"} if close == "after" else set())


def test_choice_that_was_not_heeded_is_no_success(sandbox: Any, account: PaymentAccount) -> None:
    sandbox.fault(SUBSCRIPTIONS, times=1, status=200, act=False)
    with pytest.raises(OutcomeUnknown):
        operations.set_webhook_subscriptions(account=account, enabled=["payment.failed"])


@pytest.mark.parametrize("more", [{"@odata.nextLink": "/api/x?$skip=1"}, {"@odata.count": 99}], ids=["link", "count"])
def test_subscriptions_that_are_not_all_listed_are_not_compared(
    sandbox: Any, account: PaymentAccount, more: dict[str, Any]
) -> None:
    sandbox.fault("GET /api/webhooks/subscriptions", status=200, body=json.dumps({"value": [], **more}))
    with pytest.raises(InvalidAnswer, match="incomplete"):
        read_subscriptions(account.uid)


def test_choice_is_kept_where_the_list_is_not_offered(sandbox: Any, account: PaymentAccount) -> None:
    sandbox.fault("GET /api/webhooks/subscriptions", status=404)
    operations.set_webhook_subscriptions(account=account, enabled=["payment.failed"])
    assert enabled(account) == {"payment.failed"}


def test_secret_is_kept_sealed_and_rotates_with_grace(
    sandbox: Any, account: PaymentAccount, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first = sandbox.webhook_secret(account.uid)
    operations.refresh_webhook_secret(account=account)
    assert secrets.secrets_of(account.uid) == (first,)
    second = sandbox.rotate_secret(account.uid)
    assert secrets.secrets_of(account.uid) == (first,)
    row = operations.refresh_webhook_secret(account=account)
    assert secrets.secrets_of(account.uid) == (second, first)
    assert row.webhook_secret_replaced_at is not None
    operations.refresh_webhook_secret(account=account)
    assert secrets.secrets_of(account.uid) == (second, first)
    seen = everything() + caplog.text + repr(row) + json.dumps(row.raw)
    assert first not in seen
    assert second not in seen


def test_secret_that_cannot_be_fetched_leaves_the_old_one(
    sandbox: Any, account: PaymentAccount, impatient: None
) -> None:
    operations.refresh_webhook_secret(account=account)
    sandbox.fault(SECRET, times=1, status=500)
    with pytest.raises(APIConnectionError):
        operations.refresh_webhook_secret(account=account)
    assert Operation.objects.filter(action="refresh_webhook_secret", state="failed").count() == 1
    assert secrets.secrets_of(account.uid) == (sandbox.webhook_secret(account.uid),)


@pytest.mark.parametrize("action", ["update", "checkout", "subscriptions", "secret"])
def test_account_that_is_gone_or_unknown_is_refused(sandbox: Any, account: PaymentAccount, action: str) -> None:
    actions: dict[str, Callable[..., Any]] = {
        "update": partial(operations.update_payment_account, name="X"),
        "checkout": partial(operations.set_checkout_config, display_name="X"),
        "subscriptions": partial(operations.set_webhook_subscriptions, enabled=[]),
        "secret": operations.refresh_webhook_secret,
    }
    for change in ({"uid": "acc_unknown"}, {"deleted_at": "2026-01-01T00:00:00Z"}):
        PaymentAccount.objects.update(**change)
        with pytest.raises((OperationRefused, InvalidAnswer, NotFound)):
            actions[action](account=account)
    assert not [each for each in sent(sandbox) if each.startswith("PUT")]


# --- Platforms that answer less than ours ---------------------------------------------------------


def answers(sandbox: Any, monkeypatch: pytest.MonkeyPatch, change: Callable[[str, str, Any], Any]) -> None:
    """``change`` gives what the platform answers in place of each answer: method, path, answer."""
    app = sandbox._server.app
    real = app._run

    def run(method: str, call: Any, request_id: str) -> Any:
        return change(method, call.path, real(method, call, request_id))

    monkeypatch.setattr(app, "_run", run)


def without(names: tuple[str, ...], gone: Callable[[Any], bool] = lambda value: True) -> Callable[..., Any]:
    """Accounts and subscriptions are shown without those properties whose value is ``gone``."""

    def strip(document: Any) -> Any:
        if isinstance(document, list):
            return [strip(each) for each in document]
        if isinstance(document, dict):
            return {k: strip(v) for k, v in document.items() if k not in names or not gone(v)}
        return document

    def change(method: str, path: str, answer: Any) -> Any:
        document = json.loads(answer.text) if answer.text else answer.body
        if document is None or not path.startswith("/api/paymentaccounts"):
            return answer
        return replace(answer, body=strip(document), text=None)

    return change


@pytest.mark.parametrize("status", [404, 405])
def test_account_is_read_from_the_list_where_one_alone_is_not_offered(
    sandbox: Any, account: PaymentAccount, status: int
) -> None:
    sandbox.fault("GET /api/paymentaccounts/{uid}", status=status)
    assert operations.update_payment_account(account=account, name="Water").name == "Water"
    assert sandbox.get("account", account.uid)["maximum_payment_amount"] == 1000.0
    sandbox.fault(UPDATE, times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        operations.update_payment_account(account=account, name="Gas")
    Merchant(sandbox).reconcile_all()
    account.refresh_from_db()
    assert account.name == "Gas"


@pytest.mark.parametrize("readable", [True, False])
def test_empty_answer_to_an_update_is_a_success(
    sandbox: Any, account: PaymentAccount, monkeypatch: pytest.MonkeyPatch, impatient: None, readable: bool
) -> None:
    def change(method: str, path: str, answer: Any) -> Any:
        if method == "PUT" and not readable:
            sandbox.fault("GET /api/paymentaccounts/{uid}", times=1, status=500)
        return Empty(204) if method == "PUT" else answer

    answers(sandbox, monkeypatch, change)
    row = operations.update_payment_account(account=account, name="Water", callback_url=HOOK)
    assert (row.name, row.callback_url, row.external_account_id) == ("Water", HOOK, "EX-1")
    assert only(action="update_payment_account").state == "succeeded"
    assert operations.update_payment_account(account=account, callback_url="").callback_url == ""


@pytest.mark.parametrize("synced", [False, True])
def test_update_sends_what_the_platform_does_not_show(
    sandbox: Any, create: Any, monkeypatch: pytest.MonkeyPatch, synced: bool
) -> None:
    hidden = ("client_id", "processor", "callback_url", "webhook_enabled", "maximum_payment_amount", "enable_ach")
    answers(sandbox, monkeypatch, without(hidden))
    row = create(maximum_payment_amount=50_000, callback_url=HOOK, enable_ach=False)
    operations.update_payment_account(account=row, webhook_enabled=True)
    if synced:
        pull("accounts")
        row = PaymentAccount.objects.get()
    operations.update_payment_account(account=row, name="Water")
    document = sandbox.get("account", row.uid)
    assert (document["callback_url"], document["webhook_enabled"]) == (HOOK, True)
    assert (document["maximum_payment_amount"], document["enable_ach"]) == (500.0, False)
    operations.update_payment_account(account=row, callback_url="")
    operations.update_payment_account(account=row, name="Gas")
    assert sandbox.get("account", row.uid)["callback_url"] is None


def test_update_sends_what_the_row_has_of_an_account_that_others_made(
    sandbox: Any, city: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = sandbox.add_account(city.uid, callback_url=HOOK, minimum_payment_amount=2.5)
    pull("accounts")
    answers(sandbox, monkeypatch, without(("client_id", "processor", "callback_url", "minimum_payment_amount")))
    operations.update_payment_account(account=PaymentAccount.objects.get(), name="Water")
    document = sandbox.get("account", there["uid"])
    assert (document["callback_url"], document["minimum_payment_amount"]) == (HOOK, 2.5)
    PaymentAccount.objects.update(client=None, processor="")
    with pytest.raises(OperationRefused, match="client_id"):
        operations.update_payment_account(account=PaymentAccount.objects.get(), name="Gas")


def test_what_may_not_have_arrived_counts_as_not_sent(sandbox: Any, account: PaymentAccount) -> None:
    operations.update_payment_account(account=account, callback_url=HOOK)
    assert as_sent(account.uid)["callback_url"] == HOOK
    sandbox.fault(UPDATE, times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.update_payment_account(account=account, callback_url=HOOK + "other/")
    assert "callback_url" not in as_sent(account.uid)
    assert as_sent(account.uid)["name"] == "Utilities"


@pytest.mark.parametrize("what", ["client", "account"])
def test_what_was_made_after_the_look_is_not_made_again(
    sandbox: Any, city: Client, create: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    kind: type[CreationAction] = CreateClientAction if what == "client" else CreateAccount
    make = {"client": partial(operations.create_client, name="Town"), "account": create}[what]
    real: Callable[[Any], Any] = kind.find
    made: list[Any] = []

    def find(body: Any) -> Any:
        found = real(body)
        if not made:
            made.append(None)
            made[0] = make(key=uuid.uuid4())
        return found

    monkeypatch.setattr(kind, "find", staticmethod(find))
    assert make(key=uuid.uuid4()) == made[0]
    assert sent(sandbox) == [CLIENT, CLIENT if what == "client" else ACCOUNT]


def test_threads_with_keys_of_their_own_create_one_client(sandbox: Any) -> None:
    sandbox.fault(CLIENT, delay=0.2)
    at_once(*[partial(operations.create_client, name="City", key=uuid.uuid4()) for _ in range(4)])
    assert len(sandbox.all("client")) == 1


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("accent_color", "#1F6FEB", "#1f6feb", True),
        ("accent_color", "#1F6FEB", "#1f6fec", False),
        ("allowed_origins", ["https://B.example:443", "https://c.ex"], ["https://c.ex", "https://b.example/"], True),
        ("allowed_origins", ["https://a.example:444"], ["https://a.example"], False),
        ("allowed_origins", ["https://a.example"], None, False),
        ("callback_url", "https://A.example/Hook/", "https://a.example:443/Hook/", True),
        ("callback_url", "https://a.example/Hook/", "https://a.example/hook/", False),
        ("name", "Water", "water", False),
    ],
)  # fmt: skip
def test_values_that_mean_the_same(name: str, one: Any, other: Any, same: bool) -> None:
    assert alike(name, one, other) is alike(name, other, one) is same
