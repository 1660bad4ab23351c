"""Addresses outside the admin, namespace ``govpay``. There are none yet: webhooks, REST and pay pages come here."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

app_name = "govpay"

urlpatterns: list[URLPattern | URLResolver] = []
