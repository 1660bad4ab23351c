"""Addresses outside the admin, namespace ``govpay``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from govpay.webhooks import webhook

app_name = "govpay"

urlpatterns: list[URLPattern | URLResolver] = [
    path("webhooks/<str:account_uid>/", webhook, name="webhook"),
]
