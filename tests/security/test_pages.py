"""Every page of ours: POST only, framing, caching, and crafted fields and texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import django
import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from govpay import operations
from govpay.admin.links import LinkForm
from govpay.admin.setup_forms import FORMS, AccountForm, ClientForm
from govpay.exceptions import OperationRefused
from govpay.models import HostedSession, Operation, PaymentAccount, PaymentLink
from tests.admin.neighbours import own_side
from tests.operations.merchant import Merchant

BACK = {"success_url": "https://testserver/a", "cancel_url": "https://testserver/b"}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def merchant(sandbox: Any, settings: Any, transactional_db: None) -> Merchant:
    script = "https://cdn.example/govifi.js"
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"], "COMPONENT_SCRIPT_URL": script}
    return Merchant(sandbox)


@pytest.fixture
def root(django_user_model: Any, transactional_db: None) -> Any:
    return django_user_model.objects.create_superuser("root")


def patterns(found: Any = None) -> Iterator[URLPattern]:
    for each in (found or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            yield from patterns(each)
        else:
            yield each


def ours() -> list[URLPattern]:
    """The app's own pages, those in the admin included. What programs ask comes by itself."""
    found = [each for each in patterns() if (each.name or "").startswith("govpay_")]
    return [*found, *(each for each in patterns() if is_ours(each) and not is_rest(each))]


def is_ours(pattern: URLPattern) -> bool:
    return pattern.lookup_str.startswith("govpay.")


def is_rest(pattern: URLPattern) -> bool:
    return is_ours(pattern) and pattern.lookup_str.startswith("govpay.rest.")


def address_of(pattern: URLPattern, pk: int) -> str:
    """With some arguments, that need not fit: what is looked at comes before they are."""
    values = {"pk": pk, "step": "checkout", "object_id": str(pk), "account_uid": "acc_1", "public_id": "nothing"}
    names = pattern.pattern.regex.groupindex
    space = "admin:" if (pattern.name or "").startswith("govpay_") else "govpay:"
    return reverse(f"{space}{pattern.name}", kwargs={name: values[name] for name in names})


#: Ends of names of pages that Django's admin makes of our models.
DJANGOS_OWN = ("_changelist", "_add", "_change", "_delete", "_history")

#: They take a POST and lead elsewhere.
NEVER_SHOWN = {
    "govpay_customer_note",
    "govpay_operation_dealt_with",
    "govpay_payment_clear_flag",
    "govpay_payment_take_back",
    "govpay_payment_note",
    "govpay_savedpaymentmethod_default",
    "govpay_webhookevent_replay",
}


# --- CSRF -----------------------------------------------------------------------------------------


def test_every_address_that_changes_something_wants_a_token(merchant: Merchant, root: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)
    looked_at = 0
    for pattern in ours():
        if pattern.name in ("webhook", "pay", "pay-done"):
            continue
        answer = client.post(address_of(pattern, merchant.account.pk), {"key": "x", "post": "yes"})
        assert answer.status_code == 403, pattern.name
        looked_at += 1
    assert looked_at > 60
    assert not Operation.objects.exists()


def test_a_program_in_a_browser_wants_a_token_as_well(merchant: Merchant, root: Any) -> None:
    """Over REST a session counts only with Django's token: other ways to sign in are no browser's."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)
    looked_at = 0
    for pattern in filter(is_rest, patterns()):
        values = {"pk": 1, "key": Operation().key, "uid": "x", "customer": "x"}
        names = pattern.pattern.regex.groupindex
        if not pattern.name:
            continue
        address = reverse(f"govpay:rest:{pattern.name}", kwargs={name: values[name] for name in names})
        for method in ("post", "put", "patch", "delete"):
            answer = getattr(client, method)(address, {}, content_type="application/json")
            assert answer.status_code in (403, 405), (method, address)
            looked_at += answer.status_code == 403
    assert looked_at > 60
    assert not Operation.objects.exists()


def test_the_public_pages_take_no_post(merchant: Merchant) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=500)
    for name in ("pay", "pay-done"):
        for method in ("post", "put", "patch", "delete"):
            assert getattr(Client(), method)(reverse(f"govpay:{name}", args=[link.public_id])).status_code == 405


def test_of_the_pages_only_deliveries_are_exempt() -> None:
    exempt = [each.name for each in ours() if getattr(each.callback, "csrf_exempt", False)]
    assert exempt == ["webhook"]


# --- Headers --------------------------------------------------------------------------------------


def check_headers(answer: Any) -> None:
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    private(answer)


def private(answer: Any) -> None:
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert "no-store" in answer["Cache-Control"]


def test_pages_for_payers(merchant: Merchant, settings: Any) -> None:
    settings.MIDDLEWARE = [
        each for each in settings.MIDDLEWARE if "security" not in each and "clickjacking" not in each
    ]
    link = operations.create_payment_link(account=merchant.account, amount=500)
    browser = Client()
    for address, status in (
        (f"/govpay/pay/{link.public_id}/", 200),
        (f"/govpay/pay/{link.public_id}/done/", 200),
        (f"/govpay/pay/{link.public_id}/done/?format=json", 200),
        ("/govpay/pay/nothing/", 404),
    ):
        answer = browser.get(address, secure=True)
        assert answer.status_code == status
        check_headers(answer)
        assert answer["Referrer-Policy"] == "no-referrer"
        assert not answer.cookies, "a payer is not followed"
    settings.GOVPAY = {**settings.GOVPAY, "COMPONENT_SCRIPT_URL": ""}
    answer = browser.get(f"/govpay/pay/{link.public_id}/", secure=True)
    assert answer.status_code == 302
    check_headers(answer)


def test_pages_for_staff(merchant: Merchant, root: Any) -> None:
    """Every address in the admin, with a row that suits it, whatever it answers; nobody has to list them."""
    side, client, shown = own_side(), Client(), Counter[str]()
    Operation.objects.update(deadline_at=timezone.now() - timedelta(days=1))  # so that it can be resolved by hand
    HostedSession.objects.update(credential="cs_x")  # and the wallet be shown
    client.force_login(root)
    for pattern in ours():
        if not is_in_the_admin(pattern):
            continue
        name = str(pattern.name)
        row = side.rows.get(name.split("_")[1])
        address = address_of(pattern, row.pk if row else merchant.account.pk)
        if name.endswith(DJANGOS_OWN):
            answer = client.get(address)
            kept_by_django(answer)
            shown["Django's"] += answer.status_code == 200
            continue
        for query in ("", *([f"?ids={row.pk}&session={side.uid('hostedsession')}"] if row else [])):
            answer = client.get(address + query)
            if name == "govpay_customer_wallet" and answer.status_code == 200:
                check_headers(answer)  # cards are typed there
            else:
                with_the_policy_of_the_host(answer)
            shown[name] += answer.status_code == 200
    assert shown.pop("Django's") > 60, "lists, pages and histories of rows"
    assert len(shown) > 20
    assert {name for name, count in shown.items() if not count} == NEVER_SHOWN


def with_the_policy_of_the_host(answer: Any) -> None:
    """No header of ours, which would replace the host's; in the head what limits no theme."""
    private(answer)
    assert "Content-Security-Policy" not in answer.headers
    if answer.status_code == 200:
        found = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', answer.content.decode())
        assert [unescape(each) for each in found] == ["base-uri 'none'; form-action 'self'; object-src 'none'"]


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django 6 brought the middleware")
def test_the_policy_of_the_host_goes_with_pages_for_staff(merchant: Merchant, root: Any, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csp.ContentSecurityPolicyMiddleware"]
    settings.SECURE_CSP = {"script-src": ["'self'", "'unsafe-inline'"]}
    client = Client()
    client.force_login(root)
    for address in (reverse("admin:govpay_review"), reverse("admin:govpay_payment_changelist")):
        assert client.get(address)["Content-Security-Policy"] == "script-src 'self' 'unsafe-inline'"
    link = operations.create_payment_link(account=merchant.account, amount=500)
    check_headers(client.get(f"/govpay/pay/{link.public_id}/", secure=True))


def is_in_the_admin(pattern: URLPattern) -> bool:
    return (pattern.name or "").startswith("govpay_")


def kept_by_django(answer: Any) -> None:
    """Lists and pages of rows hold personal data as well; their policy of contents is the site's."""
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    if answer.status_code == 200:
        assert "no-store" in answer["Cache-Control"]


def test_static_files_of_another_host_are_allowed(settings: Any) -> None:
    from govpay.security.headers import component_policy, page_policy

    settings.STATIC_URL = "https://static.example/files/"
    for policy in (page_policy(), component_policy("https://cdn.example/x.js", "https://api.example")):
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        for name in ("script-src", "style-src", "font-src"):
            assert "https://static.example" in rules[name].split()
        assert "https://static.example" not in rules["connect-src"]


# --- Where one is led -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["next", "url", "success_url", "cancel_url", "return_to", "redirect"])
def test_nothing_in_the_query_leads_anywhere(merchant: Merchant, root: Any, name: str) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=500)
    query = {name: "https://evil.example/"}
    browser = Client()
    browser.force_login(root)
    for address in (
        reverse("govpay:pay", args=[link.public_id]),
        reverse("govpay:pay-done", args=[link.public_id]),
        f"{reverse('admin:govpay_paymentlink_create')}",
        f"{reverse('admin:govpay_payment_refund')}",
    ):
        answer = browser.get(address, query, secure=True)
        assert "evil.example" not in answer.get("Location", "")
        assert "https://evil.example" not in answer.content.decode()


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "https://testserver.evil.example/",
        "https://testserver@evil.example/",
        "https://evil.example\\@testserver/",
        "//evil.example/",
        "javascript:alert(1)",
        "https://testserver:8443/",
        "http://testserver/",
        "https://testserver/\r\nX: y",
    ],
)
def test_payers_are_sent_back_to_origins_of_ours_only(merchant: Merchant, address: str) -> None:
    for name in ("success_url", "cancel_url"):
        with pytest.raises(OperationRefused):
            operations.create_hosted_session(account=merchant.account, amount=500, **{**BACK, name: address})
    assert not [call for call in merchant.sandbox.requests() if call["path"] == "/v1/hosted-sessions"]


# --- Crafted fields -------------------------------------------------------------------------------


def key_on(client: Client, page: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', client.get(page).content.decode())
    assert found
    return found[1]


def test_forms_list_their_fields() -> None:
    """None is made of a model, which would grow with it."""
    assert list(LinkForm.base_fields) == [
        "account",
        "amount",
        "currency",
        "reference_id",
        "description",
        "payer",
        "days",
    ]
    for form in (LinkForm, ClientForm, AccountForm, *FORMS.values()):
        assert not hasattr(form, "_meta"), form


def test_further_fields_of_a_link_have_no_effect(merchant: Merchant, root: Any) -> None:
    client = Client()
    client.force_login(root)
    page = reverse("admin:govpay_paymentlink_create")
    wanted = {
        "account": merchant.account.uid,
        "amount": "5.00",
        "currency": "USD",
        "days": "7",
        "key": key_on(client, page),
    }
    crafted = {"public_id": "mine", "state": "paid", "payment": "pay_1", "created_by": "99", "attempt": "7"}
    answer = client.post(page, {**wanted, **crafted}, secure=True)
    assert answer.status_code == 302, answer.context["form"].errors
    link = PaymentLink.objects.get()
    assert link.public_id != "mine"
    assert (link.state, link.payment_id, link.created_by, link.attempt, link.amount) == ("open", None, root, 0, 500)


def test_further_fields_of_a_refund_have_no_effect(merchant: Merchant, root: Any) -> None:
    client = Client()
    client.force_login(root)
    payment, other = merchant.captured(), merchant.captured()
    page = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}"
    crafted = {"payment": other.uid, "status": "captured", "total_amount": "1", "state": "succeeded", "actor": "99"}
    client.post(page, {"key": key_on(client, page), "amount": "1.00", "reason": "x", "ids": str(other.pk), **crafted})
    operation = Operation.objects.get()
    assert (operation.payment_id, operation.amount, operation.actor) == (payment.uid, 100, root)
    assert not merchant.ledger("refund", other)


def test_further_fields_of_a_set_up_step_have_no_effect(merchant: Merchant, root: Any) -> None:
    client = Client()
    client.force_login(root)
    page = reverse("admin:govpay_paymentaccount_setup_step", args=[merchant.account.pk, "checkout"])
    before = PaymentAccount.objects.values("processor", "external_account_id", "callback_url", "active").get()
    crafted = {
        "processor": "mine",
        "external_account_id": "mine",
        "callback_url": "https://evil.example/",
        "active": "",
    }
    wanted = {"key": key_on(client, page), "allowed_origins": "https://pay.example.gov"}
    assert client.post(page, {**wanted, **crafted}).status_code == 302
    assert PaymentAccount.objects.values(*before).get() == before
    config = merchant.sandbox.platform.store.get("account", merchant.account.uid).private["checkout_config"]
    assert config == {"allowed_origins": ["https://pay.example.gov"]}


@pytest.mark.parametrize("model", [model for model in admin.site._registry if model._meta.app_label == "govpay"])
def test_mirrored_rows_cannot_be_written_in_the_admin(model: Any, rf: Any, root: Any) -> None:
    """A superuser may; the page has no field all the same. ``AccountAccess`` is the one that staff write."""
    request = rf.get("/")
    request.user = root
    if model.__name__ == "AccountAccess":
        return
    here = admin.site._registry[model]
    form = here.get_form(request, obj=None if here.has_add_permission(request) else model())
    assert not form.base_fields or set(form.base_fields) <= set(here.get_readonly_fields(request))


# --- What the platform says -----------------------------------------------------------------------


def test_its_texts_are_texts(merchant: Merchant, root: Any) -> None:
    """Names, descriptions, statuses and documents of a platform that turned evil."""
    merchant.add_account(name=EVIL)
    payment = merchant.captured(description=EVIL)
    customer = merchant.sandbox.add_customer(merchant.account.uid, name=EVIL, reference_id="<b>1</b>")
    merchant.sync("customers", "payments")
    PaymentAccount.objects.update(name=EVIL, processor=EVIL, callback_url=f"https://x/{EVIL}")
    link = operations.create_payment_link(account=merchant.account, amount=500, description=EVIL)
    assert customer
    client = Client()
    client.force_login(root)
    pages = [
        reverse(f"admin:govpay_{name}_changelist") for name in ("payment", "customer", "paymentaccount", "paymentlink")
    ]
    pages += [reverse("admin:govpay_payment_change", args=[payment.pk])]
    pages += [reverse("admin:govpay_paymentaccount_change", args=[merchant.account.pk])]
    pages += [reverse("admin:govpay_paymentaccount_setup", args=[merchant.account.pk])]
    pages += [f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}", f"/govpay/pay/{link.public_id}/"]
    for page in pages:
        answer = client.get(page, secure=True)
        assert answer.status_code == 200, page
        text = answer.content.decode()
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
        assert "<b>1</b>" not in text, page
