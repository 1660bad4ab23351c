"""Addresses of the site that is measured: ours, and the bare view beside it."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from govpay.models import WebhookEvent


@csrf_exempt
def bare(request: HttpRequest) -> HttpResponse:
    """The least that keeps a delivery: no signature, no look for duplicates, nothing queued."""
    payload = json.loads(request.body)
    WebhookEvent.objects.create(
        account_id="acc_bare", webhook_id=payload["webhook_id"], event_type=payload["event_type"], payload=payload
    )
    return HttpResponse("ok")


urlpatterns = [path("bare/", bare), path("govpay/", include("govpay.urls"))]
