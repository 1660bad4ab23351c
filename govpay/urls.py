"""URLs outside the admin, namespace ``govpay``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from govpay.extras import missing_packages
from govpay.web.checkout import done, pay
from govpay.web.webhooks import webhook

app_name = "govpay"

urlpatterns: list[URLPattern | URLResolver] = [
    path("webhooks/<str:account_uid>/", webhook, name="webhook"),
    path("pay/<str:public_id>/", pay, name="pay"),
    path("pay/<str:public_id>/done/", done, name="pay-done"),
]

# Without the extra "rest" there are no REST addresses (govpay.I001).
if not missing_packages("rest"):
    urlpatterns.append(path("api/", include("govpay.rest.urls")))
