"""Fee previews: who may charge one, how its maker voids it, and that nothing is charged before a confirmation."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay import operations
from govpay.admin import confirmation_tokens
from govpay.admin.confirmation_tokens import ShownPayment
from govpay.exceptions import OperationRefused
from govpay.models import Operation, Payment, SavedPaymentMethod
from tests.admin.test_charges import CHARGE, CONFIRM, form_of, hidden, quoted
from tests.breakpoints import at_step
from tests.operations.merchant import Merchant, at_once, only, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

VOID = "POST /api/payments/{uid}/void"
LABEL = "Fee shown, not charged"
LIST = "admin:govpay_payment_changelist"
WHY = "Only its fee was shown"
TAKE_BACK = "admin:govpay_payment_take_back"


@pytest.fixture
def merchant(sandbox: Any) -> Merchant:
    return Merchant(sandbox)


@pytest.fixture
def cashier_client(cashier: Any, browse: Callable[[Any], Client]) -> Client:
    """The browser of the cashier who asks for the fee."""
    return browse(cashier)


@pytest.fixture
def other(make_staff: Any, browse: Callable[[Any], Client]) -> Client:
    """The browser of another cashier."""
    return browse(make_staff("Cashier", name="other"))


def previewed(cashier_client: Client, merchant: Merchant, kind: str = "credit") -> Payment:
    """A payment whose fee the cashier was shown."""
    quoted(cashier_client, merchant.saved_method(kind))
    return Payment.objects.get()


def address_of(name: str, payment: Payment) -> str:
    return f"{reverse(name)}?ids={payment.pk}"


def back_form(html: str) -> tuple[str, dict[str, str]]:
    """Address and fields of the button *No, take me back*."""
    form = re.search(r'<form method="post" action="([^"]+)" id="govpay-take-back".*?</form>', html, re.DOTALL)
    assert form is not None, html
    return form[1].replace("&amp;", "&"), hidden(form[0])


def take_back(client: Client, payment: Payment) -> Any:
    address, given = back_form(client.get(address_of(CONFIRM, payment)).content.decode())
    return client.post(address, given)


def texts(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def badges(client: Client, page: str = "") -> list[str]:
    """The statuses that a page shows: the list of payments unless it is named."""
    html = client.get(page or reverse(LIST)).content.decode()
    return re.findall(r'<span class="govpay-badge [^"]*">([^<]*)</span>', html)


def nothing_was_charged(merchant: Merchant) -> None:
    assert merchant.ledger("capture") == []
    assert not merchant.posts("/capture")
    assert not Operation.objects.filter(action="capture").exists()
    assert not Payment.objects.exclude(status__in=("validated", "voided", "expired")).exists()


# --- Nobody else charges it -----------------------------------------------------------------------------


def test_bulk_capture_by_another_cashier_leaves_it_alone(
    merchant: Merchant, cashier_client: Client, other: Client
) -> None:
    """The attack: one user looked at a fee, and another user captures all waiting payments."""
    preview = previewed(cashier_client, merchant)
    waiting = merchant.quoted(2000)
    capture = reverse("admin:govpay_payment_capture")
    address = f"{capture}?ids={preview.pk},{waiting.pk}"
    page = other.get(address).content.decode()
    assert WHY in page
    assert "1 payment is left alone" in page
    answer = other.post(address, hidden(page))
    assert "1 of 1 payment done" in texts(answer)
    assert [entry["payment_uid"] for entry in merchant.ledger("capture")] == [waiting.uid]
    assert list(Operation.objects.filter(action="capture").values_list("payment_id", flat=True)) == [waiting.uid]
    preview.refresh_from_db()
    assert preview.status == "validated"
    page = other.get(f"{capture}?ids={preview.pk}").content.decode()
    assert WHY in page
    assert 'name="key"' not in page


@pytest.mark.parametrize("who", ["other", "maker", "superuser"])
def test_a_page_of_before_charges_nothing(
    merchant: Merchant, cashier_client: Client, cashier: Any, make_staff: Any, admin_user: Any, browse: Any, who: str
) -> None:
    """The rule is in the engine: a form that contains the payment for capture is refused."""
    preview = previewed(cashier_client, merchant)
    user = {"maker": cashier, "superuser": admin_user}.get(who) or make_staff("Cashier", name="other")
    row = Payment.objects.with_pending_refunds().get(pk=preview.pk)
    key = confirmation_tokens.sign(user, "capture", [row.pk], {row.pk: ShownPayment.of(row)})
    answer = browse(user).post(address_of("admin:govpay_payment_capture", row), {"key": key}, follow=True)
    assert "Refused, nothing was sent" in texts(answer)
    assert WHY in texts(answer)
    nothing_was_charged(merchant)


@pytest.mark.parametrize("who", ["other", "superuser"])
def test_the_charge_page_is_its_makers_alone(
    merchant: Merchant, cashier_client: Client, other: Client, admin_user: Any, browse: Any, who: str
) -> None:
    preview = previewed(cashier_client, merchant)
    client = other if who == "other" else browse(admin_user)
    page = client.get(address_of(CONFIRM, preview)).content.decode()
    assert 'name="key"' not in page
    assert "govpay-take-back" not in page
    assert client.post(address_of(TAKE_BACK, preview), {"page": "x"}).status_code == 403
    assert only().action == "quote"
    nothing_was_charged(merchant)


def test_the_engine_lets_its_maker_alone_confirm_it(
    merchant: Merchant, cashier_client: Client, cashier: Any, finance: Any
) -> None:
    preview = previewed(cashier_client, merchant)
    refused: list[dict[str, Any]] = [
        *({"actor": actor} for actor in (None, cashier, finance)),
        *({"actor": actor, "fee_preview": True} for actor in (None, finance)),
    ]
    for given in refused:
        with pytest.raises(OperationRefused, match=WHY):
            operations.capture_payment(payment=preview, **given)
    for actor in (None, finance):
        with pytest.raises(OperationRefused, match="Only the person who asked for the fee"):
            operations.void_payment(payment=preview, actor=actor, fee_preview=True)
    nothing_was_charged(merchant)
    operations.capture_payment(payment=preview, actor=cashier, fee_preview=True)
    assert merchant.moved("capture", preview) == preview.total_amount


def test_once_confirmed_it_is_an_ordinary_payment(
    merchant: Merchant, cashier_client: Client, cashier: Any, finance: Any, browse: Any
) -> None:
    preview = previewed(cashier_client, merchant)
    assert only(action="quote").fee_preview
    address = address_of(CONFIRM, preview)
    answer = cashier_client.post(address, hidden(cashier_client.get(address).content.decode()), follow=True)
    assert "Charged" in texts(answer)
    capture = only(action="capture")
    assert (capture.actor, capture.state, capture.fee_preview) == (cashier, "succeeded", False)
    preview.refresh_from_db()
    assert preview.status == "captured"
    assert merchant.moved("capture", preview) == preview.total_amount
    assert badges(browse(finance)) == ["Captured"]
    with pytest.raises(OperationRefused, match="Only the person who asked for the fee"):
        operations.void_payment(payment=preview, actor=cashier, fee_preview=True)
    operations.refund_payment(payment=preview, amount=100, actor=finance)
    assert merchant.moved("refund", preview) == 100


def test_a_charge_that_was_not_executed_is_tried_again_by_its_maker_alone(
    merchant: Merchant, cashier_client: Client, other: Client, finance: Any
) -> None:
    preview = previewed(cashier_client, merchant)
    address = address_of(CONFIRM, preview)
    merchant.sandbox.fault("POST /api/payments/{uid}/capture", close="before")
    cashier_client.post(address, hidden(cashier_client.get(address).content.decode()))
    merchant.sandbox.clear_faults()
    merchant.reconcile_all()
    capture = only(action="capture")
    assert (capture.state, capture.attempts) == ("failed", 1)
    assert WHY in other.get(address_of("admin:govpay_payment_capture", preview)).content.decode()
    for actor in (None, finance):
        with pytest.raises(OperationRefused, match=WHY):
            operations.retry_operation(operation=capture, actor=actor)
    assert merchant.ledger("capture") == []
    cashier_client.post(address, hidden(cashier_client.get(address).content.decode()))
    again = only(action="capture")
    assert (again.pk, again.state, again.attempts) == (capture.pk, "succeeded", 2)
    assert merchant.moved("capture", preview) == preview.total_amount


def test_whoever_may_void_voids_it(merchant: Merchant, cashier_client: Client, finance: Any, browse: Any) -> None:
    preview = previewed(cashier_client, merchant)
    desk, address = browse(finance), address_of("admin:govpay_payment_void", preview)
    desk.post(address, hidden(desk.get(address).content.decode()))
    preview.refresh_from_db()
    assert preview.status == "voided"
    nothing_was_charged(merchant)


def test_quotes_of_programs_stay_capturable(merchant: Merchant, cashier: Any, other: Client) -> None:
    payment = operations.quote_payment(
        account=merchant.account, base_amount=900, saved_method=merchant.saved_method(), actor=cashier
    )
    assert not only(action="quote").fee_preview
    assert badges(other) == ["Waiting for capture"]
    address = address_of("admin:govpay_payment_capture", payment)
    other.post(address, hidden(other.get(address).content.decode()))
    assert merchant.moved("capture", payment) == payment.total_amount


def test_a_fee_preview_needs_its_maker(merchant: Merchant) -> None:
    with pytest.raises(OperationRefused, match="actor"):
        operations.quote_payment(
            account=merchant.account, base_amount=900, saved_method=merchant.saved_method(), fee_preview=True
        )
    assert not Operation.objects.exists()


def test_a_lost_quote_is_nobody_elses_to_capture(
    merchant: Merchant, cashier_client: Client, cashier: Any, other: Client
) -> None:
    """The sync stores the payment before the answer of its quote is recorded."""
    address, given = form_of(cashier_client, merchant.saved_method())
    merchant.sandbox.fault("POST /api/payments", close="after")
    cashier_client.post(address, given)
    merchant.sandbox.clear_faults()
    merchant.sync("payments")
    preview = Payment.objects.get()
    quote = only(action="quote")
    assert (quote.state, quote.payment_id) == ("unknown", None)
    assert badges(other) == [LABEL]
    assert WHY in other.get(address_of("admin:govpay_payment_capture", preview)).content.decode()
    with pytest.raises(OperationRefused, match=WHY):
        operations.capture_payment(payment=preview)
    nothing_was_charged(merchant)
    merchant.reconcile_all()
    assert only(action="quote").payment_id == preview.uid
    confirm = address_of(CONFIRM, preview)
    cashier_client.post(confirm, hidden(cashier_client.get(confirm).content.decode()))
    assert merchant.moved("capture", preview) == preview.total_amount


def test_it_ends_by_itself_when_the_tab_is_closed(merchant: Merchant, cashier_client: Client, other: Client) -> None:
    preview = previewed(cashier_client, merchant)
    with time_machine.travel(timezone.now() + dt.timedelta(hours=25)):
        merchant.sandbox.advance(25 * 3600)
        with pytest.raises(OperationRefused, match="expired"):
            operations.capture_payment(payment=preview, actor=only(action="quote").actor, fee_preview=True)
    merchant.sync("payments")
    preview.refresh_from_db()
    assert preview.status == "expired"
    assert badges(other) == ["Expired"]
    nothing_was_charged(merchant)


# --- What it is called ----------------------------------------------------------------------------------


def test_it_is_called_by_its_name_everywhere(
    merchant: Merchant, cashier_client: Client, other: Client, support: Any, browse: Any
) -> None:
    preview = previewed(cashier_client, merchant)
    payment_page = reverse("admin:govpay_payment_change", args=[preview.pk])
    assert preview.customer is not None
    pages = [
        reverse(LIST),
        payment_page,
        reverse("admin:govpay_customer_change", args=[preview.customer.pk]),
    ]
    for page in pages:
        assert LABEL in badges(browse(support), page)
    for client, page in (
        (cashier_client, address_of(CONFIRM, preview)),
        (other, address_of("admin:govpay_payment_capture", preview)),
    ):
        assert badges(client, page) == [LABEL]
    assert "Ends by itself" in texts(browse(support).get(payment_page))
    assert address_of(CONFIRM, preview) in cashier_client.get(payment_page).content.decode(), (
        "its maker goes on from here"
    )
    assert address_of(CONFIRM, preview) not in other.get(payment_page).content.decode()
    assert "Quote (fee preview)" in texts(cashier_client.get(payment_page))


def test_the_filter_tells_it_from_what_waits_for_capture(
    merchant: Merchant, cashier_client: Client, other: Client
) -> None:
    preview, waiting = previewed(cashier_client, merchant), merchant.quoted()

    def found(status: str) -> set[str]:
        page = other.get(reverse(LIST), {"status": status}).content.decode()
        return {row.uid for row in (preview, waiting) if f'value="{row.pk}" class="action-select"' in page}

    assert found("validated") == {waiting.uid}
    assert found("fee_preview") == {preview.uid}
    assert found("captured") == set()


# --- No, take me back -----------------------------------------------------------------------------------


def test_take_me_back_voids_it_and_refills_the_form(merchant: Merchant, cashier_client: Client, cashier: Any) -> None:
    method = merchant.saved_method()
    address, given = form_of(cashier_client, method)
    cashier_client.post(address, {**given, "reference_id": "INV-7"})
    preview = Payment.objects.get()
    answer = take_back(cashier_client, preview)
    assert answer.status_code == 302
    preview.refresh_from_db()
    assert preview.status == "voided"
    void = only(action="void")
    assert (void.actor, void.state, void.payment_id, void.fee_preview) == (cashier, "succeeded", preview.uid, True)
    assert not cashier.has_perm("govpay.void_payment")
    nothing_was_charged(merchant)
    assert len(merchant.posts("/void")) == 1
    to = answer.headers["Location"]
    assert urlsplit(to).path == reverse(CHARGE)
    assert "Water" not in to
    page = cashier_client.get(to).content.decode()
    assert "Nothing was charged" in page
    for name, value in {"amount": "12.34", "description": "Water, May", "reference_id": "INV-7"}.items():
        assert re.search(rf'name="{name}" value="{value}"', page), name
    assert re.search(rf'value="{method.pk}"[^>]*checked', page)
    # A made reference is not the cashier's, and the filled-in form works.
    filled = {**hidden(page), **given, "key": hidden(page)["key"], "amount": "20.00"}
    second = cashier_client.post(to, filled).headers["Location"]
    assert urlsplit(second).path == reverse(CONFIRM)
    new = Payment.objects.exclude(pk=preview.pk).get()
    assert (new.status, new.base_amount, new.is_fee_preview) == ("validated", 2000, True)
    again = take_back(cashier_client, new).headers["Location"]
    assert 'name="reference_id" maxlength="255"' in cashier_client.get(again).content.decode()


def test_a_link_takes_nothing_back(merchant: Merchant, cashier_client: Client) -> None:
    preview = previewed(cashier_client, merchant)
    answer = cashier_client.get(address_of(TAKE_BACK, preview))
    assert (answer.status_code, answer.headers["Location"]) == (302, address_of(CONFIRM, preview))
    assert not merchant.posts("/void")
    assert only().action == "quote"


def test_take_back_needs_its_csrf_token(merchant: Merchant, cashier_client: Client, cashier: Any, browse: Any) -> None:
    preview = previewed(cashier_client, merchant)
    strict = browse(cashier, enforce_csrf_checks=True)
    assert strict.post(address_of(TAKE_BACK, preview), {"page": "x"}).status_code == 403
    assert not merchant.posts("/void")


def test_a_double_click_takes_it_back_once(
    merchant: Merchant, cashier_client: Client, cashier: Any, browse: Any
) -> None:
    preview = previewed(cashier_client, merchant)
    address, given = back_form(cashier_client.get(address_of(CONFIRM, preview)).content.decode())
    stale = back_form(cashier_client.get(address_of(CONFIRM, preview)).content.decode())

    def click() -> str:
        return str(browse(cashier).post(address, given).headers["Location"])

    assert {urlsplit(to).path for to in at_once(click, click, click)} == {reverse(CHARGE)}
    # The same page once more, and another page that was shown before.
    for where, what in ((address, given), stale):
        answer = cashier_client.post(where, what, follow=True)
        assert "Nothing was charged" in texts(answer)
    assert len(merchant.posts("/void")) == 1
    assert only(action="void").state == "succeeded"
    nothing_was_charged(merchant)


@pytest.mark.parametrize(
    ("fault", "state", "settled"),
    [
        ({"close": "after"}, "unknown", "succeeded"),
        ({"close": "before"}, "unknown", "failed"),
        ({"status": 503}, "unknown", "failed"),
        ({"status": 429}, "failed", "failed"),
        ({"status": 409, "body": '{"code": "conflict", "message": "Not now."}'}, "failed", "failed"),
    ],
    ids=["lost", "never arrived", "503", "429", "409"],
)
def test_a_platform_in_trouble(
    merchant: Merchant,
    cashier_client: Client,
    other: Client,
    settings: Any,
    fault: dict[str, Any],
    state: str,
    settled: str,
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    preview = previewed(cashier_client, merchant)
    merchant.sandbox.fault(VOID, **fault)
    answer = take_back(cashier_client, preview)
    page = cashier_client.get(answer.headers["Location"])
    assert "Nothing was charged" in texts(page)
    assert "it ends by itself" in texts(page)
    assert 'value="12.34"' in page.content.decode()
    assert only(action="void").state == state
    why = "Waits for the outcome of an earlier action" if state == "unknown" else WHY
    assert why in texts(other.get(address_of("admin:govpay_payment_capture", preview)))
    merchant.sandbox.clear_faults()
    merchant.reconcile_all()
    void = only(action="void")
    assert (void.state, void.attention) == (settled, ""), "nobody has to look at it"
    preview.refresh_from_db()
    assert preview.status == ("voided" if settled == "succeeded" else "validated")
    assert len(merchant.posts("/void")) == 1, "nothing is sent again by itself"
    with pytest.raises(OperationRefused):
        operations.capture_payment(payment=preview)
    nothing_was_charged(merchant)


def test_what_could_not_be_taken_back_goes_with_the_next_fee(merchant: Merchant, cashier_client: Client) -> None:
    preview = previewed(cashier_client, merchant)
    merchant.sandbox.fault(VOID, status=429, times=1)
    to = take_back(cashier_client, preview).headers["Location"]
    page = cashier_client.get(to).content.decode()
    _address, given = form_of(cashier_client, SavedPaymentMethod.objects.get())
    cashier_client.post(to, {**given, **hidden(page), "amount": "20.00"})
    preview.refresh_from_db()
    assert preview.status == "voided"
    assert Payment.objects.get(status="validated").base_amount == 2000
    nothing_was_charged(merchant)


# --- Typed anew -----------------------------------------------------------------------------------------


def test_another_amount_after_the_browsers_back_takes_the_first_back(
    merchant: Merchant, cashier_client: Client, cashier: Any
) -> None:
    address, given = form_of(cashier_client, merchant.saved_method())
    first = cashier_client.post(address, given).headers["Location"]
    second = cashier_client.post(address, {**given, "amount": "20.00", "reference_id": "INV-8"}).headers["Location"]
    assert first != second
    assert {row.base_amount: row.status for row in Payment.objects.all()} == {1234: "voided", 2000: "validated"}
    assert only(action="void").actor == cashier
    # The same form again is the same preview; a third amount ends the second one.
    assert (
        cashier_client.post(address, {**given, "amount": "20.00", "reference_id": "INV-8"}).headers["Location"]
        == second
    )
    cashier_client.post(address, {**given, "amount": "30.00"})
    statuses = {row.base_amount: row.status for row in Payment.objects.all()}
    assert statuses == {1234: "voided", 2000: "voided", 3000: "validated"}
    # The first amount again: its preview was voided, so the next click makes a new one.
    answer = cashier_client.post(address, given)
    assert "Press the button again" in texts(answer)
    assert not Payment.objects.filter(status="validated").exists()
    third = cashier_client.post(address, {**given, **hidden(answer.content.decode())}).headers["Location"]
    assert Payment.objects.get(status="validated").base_amount == 1234
    cashier_client.post(third, hidden(cashier_client.get(third).content.decode()))
    assert [entry["amount"] for entry in merchant.ledger("capture")] == [
        Payment.objects.get(status="captured").total_amount
    ]


def test_two_tabs_are_two_previews(merchant: Merchant, cashier_client: Client, other: Client) -> None:
    """Another form, another person, another customer: none of them ends this one."""
    method = merchant.saved_method()
    one = quoted(cashier_client, method)
    for client, its in ((cashier_client, method), (other, method), (cashier_client, merchant.saved_method())):
        address, given = form_of(client, its)
        client.post(address, {**given, "amount": "20.00"})
    assert Payment.objects.filter(status="validated").count() == 4
    assert not merchant.posts("/void")
    cashier_client.post(one, hidden(cashier_client.get(one).content.decode()))
    assert len(merchant.ledger("capture")) == 1


def test_an_earlier_preview_that_stays_is_told_before_the_next(merchant: Merchant, cashier_client: Client) -> None:
    address, given = form_of(cashier_client, merchant.saved_method())
    cashier_client.post(address, given)
    merchant.sandbox.fault(VOID, status=429, times=1)
    answer = cashier_client.post(address, {**given, "amount": "20.00"})
    assert "Press the button again" in texts(answer)
    assert Payment.objects.get().status == "validated"
    cashier_client.post(address, {**given, **hidden(answer.content.decode()), "amount": "20.00"})
    assert Payment.objects.filter(status="validated").count() == 2
    nothing_was_charged(merchant)


def test_a_charge_that_has_to_wait_can_be_taken_back(merchant: Merchant, cashier_client: Client) -> None:
    """The page of a charge in doubt has no such button, that of the next one has."""
    method = merchant.saved_method()
    first = quoted(cashier_client, method)
    merchant.sandbox.fault("POST /api/payments/{uid}/capture", close="after")
    cashier_client.post(first, hidden(cashier_client.get(first).content.decode()))
    assert "govpay-take-back" not in cashier_client.get(first).content.decode()
    second = quoted(cashier_client, method)
    page = cashier_client.get(second).content.decode()
    assert 'name="key"' not in page
    address, given = back_form(page)
    cashier_client.post(address, given)
    statuses = {f"{reverse(CONFIRM)}?ids={row.pk}": row.status for row in Payment.objects.all()}
    assert statuses == {first: "validated", second: "voided"}
    assert len(merchant.posts("/void")) == 1


def test_an_amount_typed_while_the_first_is_charged(
    merchant: Merchant, cashier_client: Client, cashier: Any, browse: Any
) -> None:
    address, given = form_of(cashier_client, merchant.saved_method())
    confirm = cashier_client.post(address, given).headers["Location"]
    merchant.sandbox.fault("POST /api/payments/{uid}/capture", close="after")
    cashier_client.post(confirm, hidden(cashier_client.get(confirm).content.decode()))
    answer = cashier_client.post(address, {**given, "amount": "20.00"}, follow=True)
    assert "The charge was sent before it could be taken back" in texts(answer)
    assert "Nothing was charged" not in texts(answer)
    assert len(merchant.posts("/void")) == 0
    assert Payment.objects.count() == 1


# --- Both at once ---------------------------------------------------------------------------------------


@pytest.fixture
def race(merchant: Merchant, cashier_client: Client, cashier: Any, browse: Any) -> tuple[Payment, Any, Any]:
    """A preview with the two buttons of its page, each pressed in a browser of its own."""
    preview = previewed(cashier_client, merchant)
    html = cashier_client.get(address_of(CONFIRM, preview)).content.decode()
    address, given = back_form(html)
    charge = {name: value for name, value in hidden(html).items() if name == "key"}

    def confirm() -> Any:
        return browse(cashier).post(address_of(CONFIRM, preview), charge, follow=True)

    def back() -> Any:
        return browse(cashier).post(address, given, follow=True)

    return preview, confirm, back


def test_a_confirmation_while_take_back_runs_charges_nothing(merchant: Merchant, race: Any) -> None:
    preview, confirm, back = race
    heard: list[str] = []
    with at_step("sending", lambda: heard.extend(texts(each) for each in at_once(confirm))):
        answer = back()
    assert "Nothing was charged" in texts(answer)
    assert "under way" in heard[0]
    preview.refresh_from_db()
    assert preview.status == "voided"
    nothing_was_charged(merchant)


def test_take_back_while_the_confirmation_runs_voids_nothing(merchant: Merchant, race: Any) -> None:
    preview, confirm, back = race
    heard: list[str] = []
    with at_step("sending", lambda: heard.extend(texts(each) for each in at_once(back))):
        answer = confirm()
    assert "Charged" in texts(answer)
    assert "The charge was sent before it could be taken back" in heard[0]
    assert "Nothing was charged" not in heard[0]
    preview.refresh_from_db()
    assert preview.status == "captured"
    assert merchant.moved("capture", preview) == preview.total_amount
    assert not merchant.posts("/void")
    told = texts(back())
    assert "Not taken back" in told
    assert "Captured" in told
    assert merchant.moved("capture", preview) == preview.total_amount
    assert not merchant.posts("/void")


def test_both_buttons_at_once_do_one_thing(merchant: Merchant, race: Any) -> None:
    preview, confirm, back = race
    at_once(confirm, back, confirm, back)
    wait_for(lambda: not Operation.objects.filter(state="started").exists())
    preview.refresh_from_db()
    done = Operation.objects.filter(state="succeeded").exclude(action="quote").values_list("action", flat=True)
    taken = merchant.moved("capture", preview)
    if preview.status == "captured":
        assert (list(done), taken, len(merchant.posts("/void"))) == (["capture"], preview.total_amount, 0)
    else:
        assert (preview.status, list(done), taken) == ("voided", ["void"], 0)


# --- Expired cards --------------------------------------------------------------------------------------


def checked(client: Client, customer: Any, **query: Any) -> list[int]:
    """The methods that the form has chosen for staff."""
    html = client.get(reverse(CHARGE), {"customer": customer.pk, **query}).content.decode()
    radios = re.findall(r'<input type="radio"[^>]*>', html)
    assert radios
    return [int(pk[1]) for each in radios if "checked" in each and (pk := re.search(r'value="(\d+)"', each))]


def test_an_expired_card_is_never_preselected(merchant: Merchant, cashier_client: Client) -> None:
    default = merchant.saved_method()
    customer = default.customer
    second = merchant.sandbox.add_method(default.customer_id, "credit")["saved_payment_method_uid"]
    merchant.sync("customers", "methods")
    valid = SavedPaymentMethod.objects.get(uid=second)
    SavedPaymentMethod.objects.filter(pk=default.pk).update(is_default=True)
    assert checked(cashier_client, customer) == [default.pk]
    SavedPaymentMethod.objects.filter(pk=default.pk).update(exp_year=2020, exp_month=1)
    assert checked(cashier_client, customer) == [valid.pk]
    # A link that names it does not choose it, nor another card in its place.
    assert checked(cashier_client, customer, method=default.pk) == []
    assert checked(cashier_client, customer, method=valid.pk) == [valid.pk]
    SavedPaymentMethod.objects.filter(pk=valid.pk).update(exp_year=2020, exp_month=1)
    assert checked(cashier_client, customer) == []
    page = cashier_client.get(reverse(CHARGE), {"customer": customer.pk})
    assert "None is chosen for you" in texts(page)
    address, given = form_of(cashier_client, default)
    assert (
        "errornote" in cashier_client.post(address, {k: v for k, v in given.items() if k != "method"}).content.decode()
    )
    assert not merchant.posts()
    # Staff may still choose it: the platform decides.
    assert cashier_client.post(address, given).status_code == 302


def test_the_form_after_take_back_does_not_choose_an_expired_card_either(
    merchant: Merchant, cashier_client: Client
) -> None:
    method = merchant.saved_method()
    SavedPaymentMethod.objects.update(exp_year=2020, exp_month=1)
    address, given = form_of(cashier_client, method)
    cashier_client.post(address, given)
    to = take_back(cashier_client, Payment.objects.get()).headers["Location"]
    query = parse_qs(urlsplit(to).query)
    assert checked(cashier_client, method.customer, again=query["again"][0]) == []
    assert 'value="12.34"' in cashier_client.get(to).content.decode()


def test_what_others_typed_is_not_shown(merchant: Merchant, cashier_client: Client, other: Client) -> None:
    preview = previewed(cashier_client, merchant)
    assert preview.customer is not None
    for again in (str(preview.pk), "999999", "x", "9" * 30, "\x00"):
        page = other.get(reverse(CHARGE), {"customer": preview.customer.pk, "again": again}).content.decode()
        assert "Water, May" not in page
    stranger = merchant.saved_method().customer
    assert stranger is not None
    page = cashier_client.get(reverse(CHARGE), {"customer": stranger.pk, "again": preview.pk}).content.decode()
    assert "Water, May" not in page
