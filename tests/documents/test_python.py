"""Each Python block of a document runs, and does what the document says."""

from __future__ import annotations

import sqlite3
import types
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from django.core import mail
from django.core.mail import send_mail
from django.db.utils import ConnectionHandler
from django.urls import resolve
from kombu.utils.scheduling import cycle_by_name

from govpay import checks, conf, operations, schedule
from govpay.exceptions import OutcomeUnknown
from govpay.models import Operation, Payment, PaymentAccount
from govpay.reports import business_day
from govpay.signals import payment_captured
from govpay.testing.plugin import govpay_deliver, govpay_platform  # noqa: F401 - fixtures
from tests.documents.blocks import Block, written_in
from tests.operations.conftest import merchant  # noqa: F401 - a fixture
from tests.operations.merchant import Merchant
from tests.rest import test_docs

pytestmark = pytest.mark.django_db(transaction=True)

#: What a block begins with or contains, once in all documents → the test that runs it.
RUN_BY: dict[str, str] = {}


def block_with(text: str) -> Callable[[Any], Any]:
    """The test takes the one block that contains ``text``, ready to run, as its argument ``run``."""

    def mark(test: Any) -> Any:
        RUN_BY[text] = test.__name__
        return pytest.mark.parametrize("run", [text], indirect=True)(test)

    return mark


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    (block,) = [each for each in written_in("python") if request.param in each.code]

    def execute(**names: Any) -> dict[str, Any]:
        exec(compile(block.code, str(block), "exec"), names)
        return names

    return execute


@pytest.mark.parametrize("block", written_in("python"), ids=str)
def test_a_block_is_run_by_one_test(block: Block) -> None:
    compile(block.code, str(block), "exec")
    tests = [test for text, test in RUN_BY.items() if text in block.code]
    if block.path == "docs/rest.md" and not tests:
        tests = [code for code in (*test_docs.SCRIPTS, test_docs.RECIPE) if code == block.code]
    assert len(tests) == 1


# --- Settings ---------------------------------------------------------------------------------------


@block_with('"CLIENT_ID": "…"')
def test_the_first_settings(run: Any, settings: Any) -> None:
    names = run(INSTALLED_APPS=[])
    assert names["INSTALLED_APPS"] == ["govpay"]
    settings.GOVPAY = names["GOVPAY"]
    assert [*checks.check_settings(), *checks.check_urls()] == []


@block_with('include("govpay.urls")')
def test_the_addresses(run: Any) -> None:
    urls: Any = types.ModuleType("urls")
    urls.urlpatterns = run(urlpatterns=[])["urlpatterns"]
    assert resolve("/govpay/webhooks/acc_1/", urls).view_name == "govpay:webhook"


@block_with("CACHES = {")
def test_the_cache(run: Any, settings: Any) -> None:
    settings.CACHES = run()["CACHES"]
    assert list(checks.check_cache()) == []


@block_with("from govpay.schedule import")
def test_the_workers(run: Any) -> None:
    app = Celery("yoursite", set_as_current=False)
    run(app=app)
    assert app.conf.beat_schedule == schedule.BEAT_SCHEDULE
    assert {queue.name for queue in app.amqp.queues.values()} == {*schedule.QUEUES, "celery"}
    assert app.amqp.router.route({}, "govpay.tasks.heartbeat")["queue"].name == "govpay.money"


@block_with("queue_order_strategy")
def test_the_order_of_the_queues(run: Any) -> None:
    app = Celery("yoursite", set_as_current=False)
    run(app=app)
    strategy = app.conf.broker_transport_options["queue_order_strategy"]
    assert isinstance(cycle_by_name(strategy)(), schedule.UrgentFirst)


@block_with('DATABASES["default"]["OPTIONS"]')
def test_sqlite(run: Any, tmp_path: Path) -> None:
    names = run(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "site.sqlite3"}})
    connection = ConnectionHandler(names["DATABASES"])["default"]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE one (id integer)")
    connection.close()
    with sqlite3.connect(tmp_path / "site.sqlite3") as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@block_with("LIMIT_STAFF_TO_ACCOUNTS")
def test_limits_of_staff(run: Any, settings: Any) -> None:
    settings.GOVPAY = run(GOVPAY={**settings.GOVPAY})["GOVPAY"]
    assert list(checks.check_settings()) == []
    assert conf.get("LIMIT_STAFF_TO_ACCOUNTS") is True


@block_with("rest_framework.authtoken")
def test_apps_of_rest(run: Any, settings: Any) -> None:
    assert set(run(INSTALLED_APPS=[])["INSTALLED_APPS"]) <= set(settings.INSTALLED_APPS)


# --- Operations, signals, rows ------------------------------------------------------------------------


@block_with("operations.create_payment_link(")
def test_sessions_and_links(run: Any, merchant: Merchant, settings: Any) -> None:  # noqa: F811
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://city.example"]}
    names = run(operations=operations, account=merchant.account)
    assert (names["session"].amount, names["link"].amount) == (12_345, 12_345)
    assert names["link"].reference_id == "INV-2031"


@block_with("operations.quote_payment(")
def test_payments(run: Any, merchant: Merchant, finance: Any) -> None:  # noqa: F811
    other, method = merchant.quoted(500), merchant.saved_method()
    request = SimpleNamespace(user=finance)
    names = run(account=merchant.account, method=method, request=request, other=other)
    assert merchant.moved("refund", names["payment"]) == 500
    assert names["refund"].amount == 500
    of_finance = Operation.objects.filter(actor=finance)
    assert {(each.action, each.state) for each in of_finance} == {
        (action, "succeeded") for action in ("quote", "capture", "refund", "void")
    }


class Invoices:
    """A host's model, as far as the receiver uses it."""

    def __init__(self) -> None:
        self.objects, self.paid = self, {}  # type: ignore[var-annotated]

    def filter(self, number: str) -> Any:
        return SimpleNamespace(update=lambda paid_at: self.paid.update({number: paid_at}))


@block_with("def mark_invoice_paid(")
def test_a_receiver(run: Any, merchant: Merchant) -> None:  # noqa: F811
    invoices = Invoices()
    names = run(Invoice=invoices)
    try:
        payment = operations.capture_payment(payment=merchant.quoted(reference_id="INV-2031"))
    finally:
        payment_captured.disconnect(names["mark_invoice_paid"])
    assert invoices.paid == {"INV-2031": payment.captured_at}


@block_with("Payment.objects.present()")
def test_reading_rows(run: Any, merchant: Merchant) -> None:  # noqa: F811
    payment = merchant.captured()
    assert list(run(Payment=Payment, account=merchant.account)["captured"]) == [payment]


@block_with("captured = Payment.objects.visible_to(request.user)")
def test_reading_rows_of_a_user(run: Any, merchant: Merchant, finance: Any, support: Any) -> None:  # noqa: F811
    payment = merchant.captured()
    assert list(run(Payment=Payment, request=SimpleNamespace(user=finance))["captured"]) == [payment]


@block_with("from govpay.reports import search_payments")
def test_the_search(run: Any, merchant: Merchant, finance: Any) -> None:  # noqa: F811
    Payment.objects.filter(pk=merchant.captured().pk).update(total_amount=5186)
    found = run(Payment=Payment, request=SimpleNamespace(user=finance))["found"]
    assert list(found) == [], "the payer has another name"


@block_with("from govpay.reports import business_day")
def test_totals(run: Any, merchant: Merchant, finance: Any, capsys: Any) -> None:  # noqa: F811
    payment = merchant.captured()
    day = business_day(merchant.account, payment.captured_at)
    run(PaymentAccount=PaymentAccount, request=SimpleNamespace(user=finance), first=day, last=day)
    assert f"{day} {merchant.account.uid} USD 1 {payment.total_amount}" in capsys.readouterr().out


# --- Tests of a host ------------------------------------------------------------------------------------


@block_with("govpay_deliver, mailoutbox")
def test_a_test_of_a_host(run: Any, govpay_platform: Any, govpay_deliver: Any) -> None:  # noqa: F811
    def thank(sender: Any, row: Any, **_: Any) -> None:
        send_mail("Paid", row.uid, None, ["payer@example.com"])

    payment_captured.connect(thank)
    try:
        run()["test_the_payer_gets_a_receipt"](govpay_platform, govpay_deliver, mail.outbox)
    finally:
        payment_captured.disconnect(thank)


@block_with("govpay_platform.fault(")
def test_a_fault(run: Any, merchant: Merchant) -> None:  # noqa: F811
    payment = merchant.captured()
    run(govpay_platform=merchant.sandbox)
    with pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment)
    assert merchant.moved("refund", payment) == payment.total_amount
