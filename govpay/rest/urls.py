"""URLs of the REST interface, namespace ``govpay:rest``, each with or without a slash at the end."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path, re_path
from rest_framework.exceptions import NotFound

from govpay.decorators import own_view, retry_read
from govpay.rest import (
    events,
    operations,
    payments,
    problems,
    schema,
    sessions,
    syncing,
    tenants,
    terminals,
    wallets,
)
from govpay.rest.base import View

app_name = "rest"


class Nowhere(View):
    """Answers every other URL with a 404 problem instead of an HTML page."""

    def is_allowed(self, user: Any) -> bool:
        return True

    def get(self, request: Any, **address: Any) -> Any:
        raise NotFound

    post = delete = get


def at(route: str, view: Any, name: str) -> URLPattern:
    """Return the URL of a view that runs outside ATOMIC_REQUESTS: operations commit before they call the platform."""
    return path(route, own_view(problems.reporting(retry_read(view.as_view()))), name=name)


#: The URLs that the OpenAPI document describes.
V1: list[URLPattern] = [
    at("v1/clients", tenants.ClientList, "clients"),
    at("v1/clients/<str:uid>", tenants.ClientDetail, "client"),
    at("v1/accounts", tenants.AccountList, "accounts"),
    at("v1/accounts/<str:uid>", tenants.AccountDetail, "account"),
    at("v1/accounts/<str:uid>/sync", tenants.SyncAccount, "account-sync"),
    at("v1/customers", wallets.CustomerList, "customers"),
    at("v1/customers/<str:uid>", wallets.CustomerDetail, "customer"),
    at("v1/customers/<str:customer>/payment-methods", wallets.OwnMethodList, "customer-payment-methods"),
    at("v1/customers/<str:customer>/payment-methods/<str:uid>", wallets.OwnMethodDetail, "customer-payment-method"),
    at("v1/customers/<str:customer>/payment-methods/<str:uid>/default", wallets.DefaultMethod, "default-method"),
    at("v1/payment-methods", wallets.MethodList, "payment-methods"),
    at("v1/payment-methods/<str:uid>", wallets.MethodDetail, "payment-method"),
    at("v1/payments", payments.PaymentList, "payments"),
    at("v1/payments/quote", payments.QuoteView, "quote"),
    at("v1/payments/<str:uid>", payments.PaymentDetail, "payment"),
    at("v1/payments/<str:uid>/capture", payments.CaptureView, "capture"),
    at("v1/payments/<str:uid>/refund", payments.RefundView, "refund"),
    at("v1/payments/<str:uid>/void", payments.VoidView, "void"),
    at("v1/transactions", payments.TransactionList, "transactions"),
    at("v1/transactions/<str:uid>", payments.TransactionDetail, "transaction"),
    at("v1/hosted-sessions", sessions.SessionList, "hosted-sessions"),
    at("v1/hosted-sessions/<str:uid>", sessions.SessionDetail, "hosted-session"),
    at("v1/hosted-sessions/<str:uid>/expire", sessions.ExpireSessionView, "expire"),
    at("v1/terminals", terminals.TerminalList, "terminals"),
    at("v1/terminals/<str:uid>", terminals.TerminalDetail, "terminal"),
    at("v1/events", events.EventList, "events"),
    at("v1/events/<int:pk>", events.EventDetail, "event"),
    at("v1/events/<int:pk>/replay", events.ReplayEvent, "replay"),
    at("v1/operations", operations.OperationList, "operations"),
    at("v1/operations/<uuid:key>", operations.OperationDetail, "operation"),
    at("v1/sync-runs", syncing.RunList, "sync-runs"),
    at("v1/sync-runs/<int:pk>", syncing.RunDetail, "sync-run"),
]

urlpatterns = [
    path("schema/", schema.schema, name="schema"),
    path("docs/", schema.page, name="docs"),
    path("schema", schema.schema),
    path("docs", schema.page),
    *V1,
    *(path(f"{each.pattern}/", each.callback) for each in V1),
    re_path("", own_view(problems.reporting(Nowhere.as_view()))),
]
