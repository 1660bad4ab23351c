"""Look-ups on platforms that filter, page and answer differently from the sandbox."""

from __future__ import annotations

import json
from typing import Any

import pytest

from govpay import operations
from govpay.exceptions import OutcomeUnknown
from govpay.models import Payment, WebhookEvent
from govpay.operations import lookups
from tests.operations.merchant import Merchant, only, refund_of
from tests.reading import watch

pytestmark = pytest.mark.django_db(transaction=True)

REFUND, LIST = "POST /api/payments/{uid}/refund", "GET /api/transactions"


def lose(merchant: Merchant, payment: Payment, close: str, amount: int = 5) -> None:
    merchant.sandbox.fault(REFUND, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment, amount=amount)


def refuse(merchant: Merchant, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """The platform answers 400 to lists whose query holds any of ``words``; gives the queries that it took."""
    app, taken = merchant.sandbox._server.app, []
    real = app._run

    def run(method: str, call: Any, request_id: str) -> Any:
        if method == "GET" and any(word in str(call.query) for word in words):
            call.query["$unheard_of"] = ["1"]  # which it refuses by itself
        else:
            taken.append(str(call.query))
        return real(method, call, request_id)

    monkeypatch.setattr(app, "_run", run)
    return taken


@pytest.mark.parametrize(
    "unknown",
    [("payment_uid eq",), ("$filter",), ("$filter", "$orderby")],
    ids=["filter by payment", "any filter", "any order"],
)
@pytest.mark.parametrize("close", ["after", "before"])
def test_api_that_refuses_options_is_read_row_by_row(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, unknown: tuple[str, ...], close: str
) -> None:
    payment = merchant.captured()
    for number in range(3):
        merchant.sandbox.refund(merchant.captured().uid, 5, f"other-{number}")
    lose(merchant, payment, close)
    refuse(merchant, monkeypatch, *unknown)
    outcome = merchant.reconcile_all()
    assert only().state == ("succeeded" if close == "after" else "failed"), outcome
    assert len(merchant.posts("refund")) == 1


@pytest.mark.parametrize(
    ("cap", "unpaged", "state"),
    [(1, [], "unknown"), (None, ["payments"], "unknown"), (None, ["transactions"], "failed")],
    ids=["cut", "another list comes whole", "the list comes whole"],
)
def test_one_answer_without_options_proves_absence_only_if_the_list_comes_whole(
    merchant: Merchant, settings: Any, cap: int | None, unpaged: list[str], state: str
) -> None:
    """R12: the platform may have cut the answer, so that the refund may be in the rest."""
    payment = merchant.captured()
    operations.refund_payment(payment=payment, amount=1)
    lose(merchant, payment, "before")
    settings.GOVPAY = {**settings.GOVPAY, "UNPAGED_LISTS": unpaged}
    merchant.sandbox.fault(LIST, no_options=True, page_cap=cap)
    merchant.reconcile_all()
    assert only(amount=5).state == state
    assert "UNPAGED_LISTS" in only(amount=5).look_up_error or state == "failed"


def test_customer_may_be_in_the_part_that_was_not_sent(merchant: Merchant) -> None:
    merchant.sandbox.fault("POST /api/customers", times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.create_customer(account=merchant.account, reference_id="CUST-1")
    merchant.sandbox.add_customer(merchant.account.uid)
    merchant.sandbox.fault("GET /api/customers", no_options=True)
    merchant.reconcile_all()
    assert only().state == "unknown"


def test_one_answer_without_options_shows_what_is_there(merchant: Merchant) -> None:
    payment = merchant.captured()
    lose(merchant, payment, "after")
    merchant.sandbox.fault(LIST, no_options=True)
    assert operations.reconcile().succeeded == 1


def test_rows_since_the_action_are_enough(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = merchant.captured()
    lose(merchant, payment, "after")
    queries = refuse(merchant, monkeypatch, "payment_uid eq")
    operations.reconcile()
    assert only().state == "succeeded"
    assert "updated_at ge" in queries[0]


@pytest.mark.parametrize("unknown", ["reference_id eq"])
def test_quote_is_found_where_references_cannot_be_filtered(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, unknown: str
) -> None:
    merchant.sandbox.fault("POST /api/payments", times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        merchant.quoted()
    refuse(merchant, monkeypatch, unknown)
    assert operations.reconcile().succeeded == 1


@pytest.mark.parametrize("fault", [{"status": 404}, {"status": 405}, {"status": 403}, {"status": 422}, {"html": True}])
def test_list_that_is_not_there_proves_nothing(merchant: Merchant, impatient: None, fault: dict[str, Any]) -> None:
    """Assumption A6: 404 and 405 mean "not offered", never "not executed"."""
    payment = merchant.captured()
    lose(merchant, payment, "after")
    merchant.sandbox.fault(LIST, **fault)
    for _ in range(3):
        merchant.reconcile_all()
        assert only().state == "unknown"
    merchant.sandbox.clear_faults()
    assert operations.reconcile().succeeded == 1
    assert refund_of(only()).amount == merchant.moved("refund", payment) == 5


def test_list_that_only_refuses_everything_proves_nothing(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    lose(merchant, merchant.captured(), "after")
    merchant.sandbox.fault(LIST, status=400)
    merchant.reconcile_all()
    assert only().state == "unknown"


def test_api_that_does_not_heed_skip_is_noticed(merchant: Merchant) -> None:
    """It gives the same page again and again: neither an end nor a proof."""
    payment = merchant.captured()
    lose(merchant, payment, "before")
    other = json.dumps([{"uid": "trx_other", "payment_uid": payment.uid, "type": "capture", "amount": 1}])
    merchant.sandbox.fault(LIST, status=200, body=other)
    merchant.reconcile_all()
    assert only().state == "unknown"


@pytest.mark.parametrize("close", ["after", "before"])
def test_api_that_does_not_heed_skip_is_walked_by_key(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, close: str
) -> None:
    payment = merchant.captured()
    operations.refund_payment(payment=payment, amount=1)
    lose(merchant, payment, close)
    real = merchant.sandbox._server.app._run

    def run(method: str, call: Any, request_id: str) -> Any:
        call.query.pop("$skip", None)
        return real(method, call, request_id)

    monkeypatch.setattr(merchant.sandbox._server.app, "_run", run)
    merchant.reconcile_all()
    assert only(amount=5).state == ("succeeded" if close == "after" else "failed")


def test_trace_is_found_behind_a_page_of_other_rows(
    merchant: Merchant, start_sandbox: Any, transactional_db: None
) -> None:
    small = Merchant(start_sandbox(page_cap=1))
    payment = small.captured()
    for amount in (1, 2, 3):
        operations.refund_payment(payment=payment, amount=amount)
    lose(small, payment, "after", amount=4)
    assert operations.reconcile().succeeded == 1
    assert refund_of(only(amount=4)).amount == 4


def test_links_prove_the_end_where_no_option_is_known(start_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = Merchant(start_sandbox(envelope="odata", page_cap=1))
    payment = linked.captured()
    operations.refund_payment(payment=payment, amount=1)
    lose(linked, payment, "before")
    refuse(linked, monkeypatch, "$filter", "$orderby")
    linked.reconcile_all()
    assert only(amount=5).state == "failed"


def test_filtered_rows_are_read_by_keyset(merchant: Merchant, start_sandbox: Any) -> None:
    """A2: rows that change meanwhile are neither skipped nor read twice."""
    small = Merchant(start_sandbox(page_cap=1))
    payment = small.captured()
    lose(small, payment, "before")
    calls = watch(small.sandbox)
    small.reconcile_all()
    assert only().state == "failed"
    asked = [options for options in calls.options if "payment_uid eq" in options.get("$filter", "")]
    assert [("uid gt" in options["$filter"], options["$orderby"]) for options in asked[:2]] == [
        (False, "uid asc"),
        (True, "uid asc"),
    ]
    assert not any("$skip" in options for options in calls.options)


@pytest.mark.parametrize("close", ["after", "before"])
def test_pages_without_an_order_prove_nothing_absent(
    start_sandbox: Any, monkeypatch: pytest.MonkeyPatch, close: str
) -> None:
    """A row may move from a page that was not read yet to one that was."""
    small = Merchant(start_sandbox(page_cap=1))
    payment = small.captured()
    operations.refund_payment(payment=payment, amount=1)
    lose(small, payment, close)
    refuse(small, monkeypatch, "$filter", "$orderby")
    small.reconcile_all()
    assert only(amount=5).state == ("succeeded" if close == "after" else "unknown")


@pytest.mark.parametrize("close", ["after", "before"])
def test_api_that_does_not_heed_filters_is_counted_through(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, close: str
) -> None:
    payment = merchant.captured()
    for amount in (1, 2, 3):
        operations.refund_payment(payment=payment, amount=amount)
    lose(merchant, payment, close)
    real = merchant.sandbox._server.app._run

    def run(method: str, call: Any, request_id: str) -> Any:
        call.query.pop("$filter", None)
        return real(method, call, request_id)

    monkeypatch.setattr(merchant.sandbox._server.app, "_run", run)
    monkeypatch.setattr(lookups, "TOP", 2)  # its pages are full
    merchant.reconcile_all()
    assert only(amount=5).state == ("succeeded" if close == "after" else "unknown")


def test_links_that_name_another_host_are_no_obstacle(start_sandbox: Any) -> None:
    linked = Merchant(start_sandbox(envelope="odata", page_cap=1))
    payment = linked.captured()
    operations.refund_payment(payment=payment, amount=1)
    lose(linked, payment, "before")
    linked.sandbox.fault(LIST, next_link="https://payments.internal:8443{path}?{query}")
    calls = watch(linked.sandbox)
    linked.reconcile_all()
    assert only(amount=5).state == "failed", "every row was read, so that its absence is known"
    assert any("$skiptoken" in options for options in calls.options)


@pytest.mark.parametrize("amount", [5, 6])
def test_platform_that_keeps_no_references_is_noticed(merchant: Merchant, amount: int) -> None:
    """A refund of this amount without a reference may be ours: then it must not be called "not executed"."""
    payment = merchant.captured()
    lose(merchant, payment, "before")
    (trace,) = [merchant.sandbox.refund(payment.uid, amount, "x")]
    merchant.sandbox.touch("transaction", trace["uid"], reference_id=None)
    merchant.reconcile_all()
    assert only().state == ("unknown" if amount == 5 else "failed")


def test_older_refund_without_a_reference_is_not_ours(merchant: Merchant) -> None:
    payment = merchant.captured()
    trace = merchant.sandbox.refund(payment.uid, 5, "x")
    merchant.sandbox.touch("transaction", trace["uid"], reference_id=None, created_at="2020-01-01T00:00:00Z")
    lose(merchant, payment, "before")
    merchant.reconcile_all()
    assert only().state == "failed"


def test_refund_without_a_reference_and_with_an_odd_date_may_be_ours(merchant: Merchant) -> None:
    payment = merchant.captured()
    trace = merchant.sandbox.refund(payment.uid, 5, "x")
    merchant.sandbox.touch("transaction", trace["uid"], reference_id=None, created_at="31/12/2026")
    lose(merchant, payment, "before")
    merchant.reconcile_all()
    assert only().state == "unknown"
    assert "without a reference" in only().look_up_error


def test_refund_with_an_odd_date_explains_an_event(merchant: Merchant) -> None:
    """The event does not name its refund."""
    payment = merchant.captured()
    other = merchant.sandbox.refund(payment.uid, 6, "x")
    merchant.sandbox.touch("transaction", other["uid"], created_at="31/12/2026")
    lose(merchant, payment, "before")
    WebhookEvent.objects.create(
        account=merchant.account,
        webhook_id="wh_1",
        event_type="payment.refunded",
        payload={"data": {"payment_uid": payment.uid}},
    )
    merchant.reconcile_all()
    assert only().state == "failed"


def test_row_that_cannot_be_read_does_not_hide_ours(merchant: Merchant) -> None:
    payment = merchant.captured()
    broken = [merchant.sandbox.refund(payment.uid, 1, f"broken-{number}")["uid"] for number in range(4)]
    lose(merchant, payment, "after")
    for uid in broken:
        merchant.sandbox.touch("transaction", uid, amount="one", status=7, reference_id=None)
    assert operations.reconcile().succeeded == 1
