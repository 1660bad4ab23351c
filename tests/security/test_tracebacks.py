"""The frames of an error that error reporters read contain no secret, wherever it was raised (faults S1)."""

from __future__ import annotations

import base64
import gc
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.signals import got_request_exception
from django.db import DatabaseError, connection
from django.test import Client

from govpay import operations
from govpay.client.transport import Transport
from govpay.connection import get_endpoints, reset
from govpay.exceptions import GovPayError
from govpay.models import PaymentAccount
from govpay.models.fields import Sealed
from govpay.security.tracebacks import Secret, scrub_traceback
from govpay.sync.pull import pull
from tests.events import deliver, envelope, known_account
from tests.operations.merchant import Merchant, card
from tests.security.crashing import chain, crashed, frames, leaks, points_of, reports

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # A crash within http.client leaves half-made objects. Python 3.13 reports that their finalizers fail.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CANARY = "tok_canary_of_a_processor"
BACK = {"success_url": "https://testserver/a", "cancel_url": "https://testserver/b"}
#: Of all functions beneath a call each so-manieth crashes: all of them take a minute, and find no more.
STRIDE = 5


@pytest.fixture(autouse=True)
def _finalized_here() -> Iterator[None]:
    """No half-made object is left to a test that takes such a report for an error."""
    yield
    gc.collect()


@pytest.fixture
def merchant(sandbox: Any, settings: Any) -> Merchant:
    script = "https://cdn.example/govifi.js"
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"], "COMPONENT_SCRIPT_URL": script}
    return Merchant(sandbox)


def anew(*, token: bool) -> None:
    """No breaker, lease or half-read connection of the crash before."""
    cache.clear()
    reset()
    if token:
        get_endpoints().transport.auth.token()


def secrets_of_the_call(settings: Any) -> tuple[str, ...]:
    pair = f"{settings.GOVPAY['CLIENT_ID']}:{settings.GOVPAY['CLIENT_SECRET']}".encode()
    token = get_endpoints().transport.auth.token()
    # urllib3 and http.client hold headers as bytes, of which this much is the same.
    return settings.GOVPAY["CLIENT_SECRET"], base64.b64encode(pair).decode(), token, "Authorization"


def crashes(call: Callable[[], Any], canaries: tuple[str, ...], *, token: bool = True, stride: int = STRIDE) -> int:
    """Crashes beneath ``call``; how many left it. None of them holds a canary."""
    anew(token=token)
    heard = 0
    for point in points_of(call)[::stride]:
        anew(token=token)
        error = crashed(call, point)
        if error is not None:
            heard += 1
            where = leaks(error, canaries)
            assert not where, f"{point[0].co_qualname}: {where[:5]}"
    return heard


def test_fetching_a_token(merchant: Merchant, settings: Any) -> None:
    canaries = secrets_of_the_call(settings)
    assert crashes(lambda: get_endpoints().transport.auth.token(), canaries, token=False) > 20


def test_a_quote(merchant: Merchant, settings: Any) -> None:
    def quote() -> None:
        operations.quote_payment(account=merchant.account, base_amount=500, payment_method=card(fingerprint=CANARY))

    assert crashes(quote, (*secrets_of_the_call(settings), CANARY)) > 20


def test_a_session(merchant: Merchant, settings: Any) -> None:
    def session() -> None:
        operations.create_hosted_session(account=merchant.account, amount=500, **BACK)

    assert crashes(session, (*secrets_of_the_call(settings), "_secret_")) > 20


def test_the_payment_page(merchant: Merchant, settings: Any) -> None:
    session = operations.create_hosted_session(account=merchant.account, amount=500, **BACK)
    assert session.credential is not None
    canaries = (*secrets_of_the_call(settings), str(session.credential.reveal()))
    client = Client()  # the test client raises the errors of the view
    for address in (f"/govpay/pay/{session.public_id}/", f"/govpay/pay/{session.public_id}/done/"):
        assert crashes(lambda page=address: client.get(page, secure=True), canaries, stride=8) > 5  # type: ignore[misc]


def test_a_quote_over_rest(merchant: Merchant, settings: Any) -> None:
    """What is reported, not what is raised: the view answers with a problem, and the body is in the client's frames."""
    settings.GOVPAY = {**settings.GOVPAY, "REST_RATE": "", "REST_ACT_RATE": ""}
    method = card(fingerprint=CANARY)
    body = json.dumps({"account": merchant.account.uid, "base_amount": 500, "payment_method": method})
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("boss"))
    reported: list[BaseException | None] = []

    def hear(**_: Any) -> None:
        reported.append(sys.exc_info()[1])

    def quote() -> None:
        reported.clear()
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        client.post("/govpay/api/v1/payments/quote", body, content_type="application/json", headers=headers)
        if reported:
            assert reported[0] is not None
            raise reported[0]

    got_request_exception.connect(hear)
    try:
        assert crashes(quote, (*secrets_of_the_call(settings), CANARY), stride=11) > 5
    finally:
        got_request_exception.disconnect(hear)


def test_a_delivery(sandbox: Any, settings: Any) -> None:
    uid = known_account()
    secret = PaymentAccount.objects.get(uid=uid).webhook_secret
    assert secret is not None
    canaries = (*secrets_of_the_call(settings), str(secret.reveal()))
    assert crashes(lambda: deliver(uid, envelope("payment.completed")), canaries) > 3


def test_without_the_wrapper_they_are_found(merchant: Merchant, settings: Any, monkeypatch: Any) -> None:
    """The tests above can fail."""
    monkeypatch.setattr(Transport, "send", Transport.send.__wrapped__)  # type: ignore[attr-defined]
    canaries = secrets_of_the_call(settings)
    with pytest.raises(AssertionError, match="headers"):
        crashes(lambda: get_endpoints().get_webhook_secret(merchant.account.uid), canaries)


def test_what_the_platform_breaks_off(merchant: Merchant, settings: Any) -> None:
    """The errors that happen: a connection that ends, an answer that is none."""
    canaries = (*secrets_of_the_call(settings), CANARY)
    for fault in ({"close": "before"}, {"close": "after"}, {"status": 500}, {"status": 401}):
        merchant.sandbox.fault("POST /api/payments", times=2, **fault)
        with pytest.raises(GovPayError) as told:
            operations.quote_payment(account=merchant.account, base_amount=500, payment_method=card(fingerprint=CANARY))
        assert not leaks(told.value, canaries)
        shown = reports(told.value)
        assert "base.py" in shown, "the lines are kept"
        assert not [canary for canary in canaries if canary != "Authorization" and canary in shown]
        anew(token=True)


BROKEN = {
    "govpay/pay/pay.html": "{% load govpay %}{% govpay_payment session theme='dark' %}{{ session.raw.items|cut }}"
}


def test_djangos_debug_page_of_a_payment_page(merchant: Merchant, settings: Any) -> None:
    """A host's template that fails, with DEBUG on: the page shows the request, the settings and each frame."""
    session = operations.create_hosted_session(account=merchant.account, amount=500, **BACK)
    assert session.credential is not None
    canaries = (settings.GOVPAY["CLIENT_SECRET"], settings.SECRET_KEY, str(session.credential.reveal()))
    settings.DEBUG = True
    loaders = [("django.template.loaders.locmem.Loader", BROKEN), "django.template.loaders.app_directories.Loader"]
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "APP_DIRS": False, "OPTIONS": {"loaders": loaders}}]
    answer = Client(raise_request_exception=False).get(f"/govpay/pay/{session.public_id}/", secure=True)
    assert answer.status_code == 500
    text = answer.content.decode()
    assert "TemplateSyntaxError" in text
    assert not [canary for canary in canaries if canary in text]


def test_what_workers_log(sandbox: Any, caplog: Any) -> None:
    """A reporter that listens to the log gets an error before it leaves the task; the page's rows are not in it."""
    merchant = Merchant(sandbox)
    sandbox.add_customer(merchant.account.uid, name="Canary Jones", reference_id="C-1")

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "govpay_customer" in sql and "INSERT" in sql:
            raise DatabaseError("planted")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        run = pull("customers", merchant.account.uid)
    assert run.state == "failed"
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert "planted" in str(errors)
    for error in errors:
        assert error is not None
        assert not leaks(error, ("Canary Jones",))


# --- The means ------------------------------------------------------------------------------------


def test_a_secret_is_a_text_that_does_not_show_itself() -> None:
    secret = Sealed.of("cs_1_secret_2").reveal()
    assert isinstance(secret, Secret)
    assert secret == "cs_1_secret_2"
    assert f"{secret}" == "cs_1_secret_2"
    assert "cs_1" not in repr({"a": [secret]})


def test_a_wrapper_keeps_the_error_and_its_lines() -> None:
    def inner(number: str) -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    @scrub_traceback
    def outer(number: str) -> str:
        """Doc."""
        mine = number + "!"
        inner(number)
        return mine

    with pytest.raises(ValueError, match="second") as told:
        outer("4111")
    assert (outer.__name__, outer.__doc__) == ("outer", "Doc.")
    names = [frame.f_code.co_name for each in chain(told.value) for frame in frames(each.__traceback__)]
    assert {"wrapper", "outer", "inner"} <= set(names)
    found = [
        frame.f_locals
        for each in chain(told.value)
        for frame in frames(each.__traceback__)
        if frame.f_code.co_name in ("wrapper", "outer", "inner")
    ]
    assert not [held for held in found if "4111" in repr(held)]


def test_every_operation_is_wrapped() -> None:
    for name in operations.__all__:
        found = getattr(operations, name)
        assert isinstance(found, type) or hasattr(found, "__wrapped__"), name
