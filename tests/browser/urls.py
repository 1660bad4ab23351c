"""A host's own pages with the vendor's components, and a view through which tests run the host's code."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from govpay import operations
from govpay.client.tenant_shapes import CheckoutConfig
from govpay.connection import get_endpoints
from govpay.models import Customer, HostedSession, PaymentAccount
from govpay.models.choices import SessionStatus
from govpay.tasks import sync_account


def show(request: HttpRequest, template: str, uid: str) -> HttpResponse:
    session = get_object_or_404(HostedSession, uid=uid, status=SessionStatus.ACTIVE)
    return render(request, f"host/{template}.html", {"session": session})


def register(account: PaymentAccount, origins: list[str]) -> str:
    """Which origins the platform lets browsers call from."""
    get_endpoints().set_checkout_config(
        account.uid, CheckoutConfig(allowed_origins=origins), idempotency_key=str(uuid.uuid4())
    )
    return account.uid


def customer(account: PaymentAccount, reference: str, methods: list[dict[str, Any]]) -> dict[str, Any]:
    row = operations.create_customer(account=account, reference_id=reference, name="Dana Vale")
    return {"customer": row.uid, "methods": [_saved(row, each) for each in methods]}


def _saved(owner: Customer, method: dict[str, Any]) -> str:
    return str(operations.save_payment_method(customer=owner, payment_method=method).uid)


def methods(account: PaymentAccount, customer: str) -> list[dict[str, Any]]:
    """The customer's saved methods on the platform."""
    found = get_endpoints().list_saved_payment_methods(account.uid, customer).items
    return [{"uid": each["saved_payment_method_uid"], "is_default": each["is_default"]} for each in found]


def sync(account: PaymentAccount) -> None:
    """Queue a sync now, for changes that send no webhook."""
    sync_account.delay(account.uid, resources=["customers", "methods"])


def link(account: PaymentAccount, **given: Any) -> str:
    return operations.create_payment_link(account=account, **given).public_id


def session(account: PaymentAccount, customer: str = "", **given: Any) -> str:
    owner = Customer.objects.filter(uid=customer).first()
    return operations.create_hosted_session(account=account, customer=owner, **given).uid


def wallet(account: PaymentAccount, customer: str, **given: Any) -> str:
    return operations.create_wallet_session(customer=Customer.objects.get(uid=customer), **given).uid


def expire(account: PaymentAccount, uid: str) -> str:
    return operations.expire_hosted_session(session=HostedSession.objects.get(uid=uid)).uid


def cancel_link(account: PaymentAccount, public_id: str) -> str:
    link = account.payment_links.get(public_id=public_id)
    return operations.cancel_payment_link(link=link).public_id


ACTIONS = {
    each.__name__: each for each in (register, customer, methods, sync, link, session, wallet, expire, cancel_link)
}


@csrf_exempt
@require_POST
def have(request: HttpRequest, action: str) -> JsonResponse:
    """Run an action on the account in the body and return its result. For tests only."""
    given = json.loads(request.body)
    account = PaymentAccount.objects.get(uid=given.pop("account"))
    return JsonResponse({"result": ACTIONS[action](account, **given)})


urlpatterns = [
    path("have/<str:action>/", have),
    path("host/<str:template>/<str:uid>/", show),
    path("govpay/", include("govpay.urls")),
]
