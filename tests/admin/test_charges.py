"""Charging a saved method from the admin: quote, fee, confirmation, and that money moves once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from govpay import operations
from govpay.models import Customer, Operation, Payment, SavedPaymentMethod
from tests.operations.merchant import Merchant, at_once, card

pytestmark = pytest.mark.django_db(transaction=True)

CHARGE = "admin:govpay_customer_charge"
CONFIRM = "admin:govpay_payment_charge"


@pytest.fixture
def merchant(sandbox: Any) -> Merchant:
    return Merchant(sandbox)


def hidden(html: str) -> dict[str, str]:
    """The hidden fields of a page's own form."""
    found = {}
    for tag in re.findall(r'<input type="hidden"[^>]*>', html):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and value and name[1] != "csrfmiddlewaretoken":
            found[name[1]] = value[1].replace("&quot;", '"').replace("&amp;", "&")
    return found


def form_of(client: Client, method: SavedPaymentMethod) -> tuple[str, dict[str, str]]:
    """Address and filled-in fields of the first step."""
    assert method.customer is not None
    address = f"{reverse(CHARGE)}?customer={method.customer.pk}"
    html = client.get(address).content.decode()
    given = {"method": str(method.pk), "amount": "12.34", "currency": "USD", "description": "Water, May"}
    return address, {**hidden(html), **given, "reference_id": ""}


def quoted(client: Client, method: SavedPaymentMethod) -> str:
    """The address of the confirmation page."""
    address, given = form_of(client, method)
    answer = client.post(address, given)
    assert answer.status_code == 302, answer.content.decode()
    return str(answer.headers["Location"])


def test_a_cashier_charges_a_card_on_file(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method()
    client = browse(cashier)
    confirm = quoted(client, method)
    (payment,) = Payment.objects.all()
    assert (payment.status, payment.base_amount, merchant.ledger()) == ("validated", 1234, [])
    html = client.get(confirm).content.decode()
    fee = (payment.processing_fee_amount or 0) / 100
    assert f"${fee:.2f}" in html
    assert f"${12.34 + fee:.2f}" in html
    assert "Water, May" in html
    answer = client.post(confirm, hidden(html), follow=True)
    assert "Charged" in answer.content.decode()
    payment.refresh_from_db()
    assert payment.status == "captured"
    assert merchant.moved("capture", payment) == payment.total_amount
    for action, reason in (("quote", "Water, May"), ("capture", "")):
        row = Operation.objects.get(action=action)
        assert (row.actor, row.state, row.reason, row.sec_code) == (cashier, "succeeded", reason, "")


def test_back_reload_and_double_click_charge_once(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method()
    client = browse(cashier)
    address, given = form_of(client, method)
    first = client.post(address, given).headers["Location"]
    assert client.post(address, given).headers["Location"] == first, "the same form is one quote"
    form = hidden(client.get(first).content.decode())
    other = hidden(client.get(first).content.decode())

    def send() -> int:
        return int(browse(cashier).post(first, form).status_code)

    assert at_once(send, send, send) == [302, 302, 302]
    # Back to the confirmation page, which was shown in another tab as well, and back to the first form.
    assert client.post(first, form).status_code == 302
    client.post(first, other)
    assert client.post(address, given).headers["Location"] == first
    assert 'name="key"' not in client.get(first).content.decode(), "nothing is left to confirm"
    payment = Payment.objects.get()
    assert merchant.moved("capture", payment) == payment.total_amount
    assert len(merchant.posts("/capture")) == 1


def test_another_amount_after_back_is_another_quote(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method()
    client = browse(cashier)
    address, given = form_of(client, method)
    one = client.post(address, given).headers["Location"]
    two = client.post(address, {**given, "amount": "20.00"}).headers["Location"]
    assert one != two
    assert set(Payment.objects.values_list("base_amount", flat=True)) == {1234, 2000}


def test_bank_account_needs_the_payers_word(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method("ach")
    client = browse(cashier)
    confirm = quoted(client, method)
    html = client.get(confirm).content.decode()
    assert "I authorize" in html
    assert method.last4 in html
    form = hidden(html)
    refused = client.post(confirm, {**form, "sec_code": "tel"})
    assert "must not be charged" in refused.content.decode()
    refused = client.post(confirm, {**form, "attested": "on"})
    assert "errornote" in refused.content.decode()
    refused = client.post(confirm, {**form, "attested": "on", "sec_code": "web"})
    assert "errornote" in refused.content.decode()
    refused = client.post(confirm, {**form, "attested": "on", "sec_code": "tel", "text": "I authorize nothing"})
    assert "errornote" in refused.content.decode()
    assert not merchant.posts("/capture")
    answer = client.post(confirm, {**hidden(refused.content.decode()), "attested": "on", "sec_code": "tel"})
    assert answer.status_code == 302
    row = Operation.objects.get(action="capture")
    assert (row.state, row.sec_code, row.actor) == ("succeeded", "tel", cashier)
    assert row.authorized_at is not None
    total = Payment.objects.get().total_amount or 0
    assert f"${total / 100:.2f}" in row.authorization_text
    assert merchant.account.name in row.authorization_text
    page = client.get(reverse("admin:govpay_operation_change", args=[row.pk])).content.decode()
    assert "By telephone (TEL)" in page
    assert "I authorize" in page
    (sent,) = merchant.posts("/capture")
    assert "authorization" not in str(sent), "the platform documents no place for it here"


def test_card_needs_no_authorization(merchant: Merchant, browse: Any, cashier: Any) -> None:
    client = browse(cashier)
    assert "I authorize" not in client.get(quoted(client, merchant.saved_method())).content.decode()


def test_who_did_not_quote_it_cannot_charge_it(
    merchant: Merchant, browse: Any, cashier: Any, finance: Any, support: Any
) -> None:
    confirm = quoted(browse(cashier), merchant.saved_method())
    html = browse(finance).get(confirm).content.decode()
    assert "You have not quoted this payment" in html
    assert 'name="key"' not in html
    # Nor may a payment that a payer's own card was validated for be charged with this permission.
    own = merchant.quoted(method=card(), actor=cashier)
    html = browse(cashier).get(f"{reverse(CONFIRM)}?ids={own.pk}").content.decode()
    assert 'name="key"' not in html
    for address in (confirm, reverse(CHARGE)):
        assert browse(support).get(address).status_code == 403
        assert browse(support).post(address).status_code == 403
    assert not merchant.posts("/capture")


def test_the_key_of_another_form_charges_nothing(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method()
    client = browse(cashier)
    address, given = form_of(client, method)
    for key in ("", "forged", hidden(client.get(quoted(client, method)).content.decode())["key"]):
        assert client.post(address, {**given, "key": key}).status_code == 400
    confirm = quoted(client, method)
    for key in ("", "forged", given["key"]):
        assert client.post(confirm, {"key": key}).status_code == 400
    assert not merchant.posts("/capture")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", "0"),
        ("amount", "-5"),
        ("amount", "1e3"),
        ("amount", "12.345"),
        ("amount", "12,34"),
        ("amount", ""),
        ("currency", "XXQ"),
        ("method", "999999"),
        ("method", ""),
        ("reference_id", "x" * 256),
        ("description", "4111 1111 1111 1111"),
        ("reference_id", "4111111111111111"),
    ],
)
def test_what_cannot_be_quoted(merchant: Merchant, browse: Any, cashier: Any, name: str, value: str) -> None:
    client = browse(cashier)
    address, given = form_of(client, merchant.saved_method())
    answer = client.post(address, {**given, name: value})
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert not merchant.posts()
    assert not Operation.objects.exists()


def test_a_decline_is_told_and_charges_nothing(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method()
    client = browse(cashier)
    confirm = quoted(client, method)
    form = hidden(client.get(confirm).content.decode())
    merchant.sandbox.fault(
        "POST /api/payments/{uid}/capture", status=402, body='{"code": "card_declined", "message": "No."}'
    )
    html = client.post(confirm, form, follow=True).content.decode()
    assert "Declined" in html
    assert not merchant.ledger("capture")


def test_a_lost_quote_is_not_sent_again(merchant: Merchant, browse: Any, cashier: Any) -> None:
    client = browse(cashier)
    address, given = form_of(client, merchant.saved_method())
    merchant.sandbox.fault("POST /api/payments", close="after")
    for _ in range(2):
        html = client.post(address, given).content.decode()
        assert "Outcome not known" in html
        assert "Nothing was charged" in html
    assert len(merchant.posts()) == 1


def test_a_customer_is_found_and_one_without_methods_told(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method()
    customer = method.customer
    assert customer is not None
    client = browse(cashier)
    for term in (customer.uid, customer.reference_id):
        assert f"?customer={customer.pk}" in client.get(reverse(CHARGE), {"q": term}).content.decode()
    assert "Nobody was found" in client.get(reverse(CHARGE), {"q": "nobody"}).content.decode()
    lonely = Customer.objects.create(uid="cus_lonely", account_id=merchant.account.uid, name="<b>Pat")
    html = client.get(reverse(CHARGE), {"customer": lonely.pk}).content.decode()
    assert "no saved payment method" in html
    assert "<b>Pat" not in html
    for wrong in ("x", "999999", "-1", "9" * 30):
        assert client.get(reverse(CHARGE), {"customer": wrong}).status_code == 404


def test_the_buttons_lead_here(merchant: Merchant, browse: Any, cashier: Any, support: Any) -> None:
    method = merchant.saved_method()
    assert method.customer is not None
    pages = [
        reverse("admin:govpay_customer_changelist"),
        reverse("admin:govpay_customer_change", args=[method.customer.pk]),
        reverse("admin:govpay_savedpaymentmethod_change", args=[method.pk]),
    ]
    for page in pages:
        assert reverse(CHARGE) in browse(cashier).get(page).content.decode()
        assert reverse(CHARGE) not in browse(support).get(page).content.decode()
    chosen = browse(cashier).get(reverse(CHARGE), {"customer": method.customer.pk, "method": method.pk})
    assert re.search(rf'value="{method.pk}"[^>]*checked', chosen.content.decode())


def test_an_equal_payment_of_today_is_pointed_out(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method()
    client = browse(cashier)
    first = quoted(client, method)
    client.post(first, hidden(client.get(first).content.decode()))
    html = client.get(quoted(client, method)).content.decode()
    assert "has paid the same amount within a day" in html


def test_a_removed_method_is_not_offered(merchant: Merchant, browse: Any, finance: Any) -> None:
    method = merchant.saved_method()
    operations.remove_payment_method(method=method)
    assert method.customer is not None
    html = browse(finance).get(reverse(CHARGE), {"customer": method.customer.pk}).content.decode()
    assert "no saved payment method" in html


def test_a_bank_account_cannot_be_charged_by_the_way_of_capture(merchant: Merchant, browse: Any, cashier: Any) -> None:
    """A user who may charge may also capture, but not without the payer's authorization."""
    client, method = browse(cashier), merchant.saved_method("ach")
    operations.quote_payment(account=merchant.account, base_amount=1234, saved_method=method, actor=cashier)
    quoted(client, method)
    for payment, why in zip(Payment.objects.order_by("pk"), ("authorization", "Only its fee was shown"), strict=True):
        html = client.get(f"{reverse('admin:govpay_payment_capture')}?ids={payment.pk}").content.decode()
        assert why in html
        assert 'name="key"' not in html


def test_a_second_charge_waits_while_the_first_is_in_doubt(merchant: Merchant, browse: Any, cashier: Any) -> None:
    method = merchant.saved_method()
    client = browse(cashier)
    first = quoted(client, method)
    form = hidden(client.get(first).content.decode())
    merchant.sandbox.fault("POST /api/payments/{uid}/capture", close="after")
    client.post(first, form)
    assert Operation.objects.get(action="capture").state == "unknown"
    merchant.sandbox.clear_faults()
    html = client.get(quoted(client, method)).content.decode()
    assert "may have been taken" in html
    assert 'name="key"' not in html
    assert len(merchant.posts("/capture")) == 1


def test_no_search_breaks(merchant: Merchant, browse: Any, cashier: Any) -> None:
    for term in ("\x00", "'\"><script>", "%", "x" * 5000):
        assert browse(cashier).get(reverse(CHARGE), {"q": term}).status_code == 200
