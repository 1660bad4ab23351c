"""URLs of the REST interface, namespace ``govpay:rest``, each with or without a slash at the end."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, re_path
from django.utils.module_loading import import_string

from govpay.decorators import non_atomic, own_view, retry_read

app_name = "rest"


class LazyView:
    """A view of this package by its name, such as ``payments.PaymentList``. The first request imports it.

    The views import 400 modules (0.3 s), and every process that makes the address of a page imports this file.
    Django reads the attributes of a view before it calls it, so those that matter are here.
    """

    #: DRF's views check the token of a session themselves, and who may do what.
    csrf_exempt = True
    login_required = False

    def __init__(self, name: str) -> None:
        module, _, self.__name__ = name.rpartition(".")
        self.__module__, self.__qualname__ = f"govpay.rest.{module}", self.__name__

    @cached_property
    def __wrapped__(self) -> Any:
        """The view outside ATOMIC_REQUESTS: operations commit before they call the platform."""
        found = import_string(f"{self.__module__}.{self.__name__}")
        if not isinstance(found, type):
            return found
        from govpay.rest.problems import reporting  # noqa: PLC0415 - it loads DRF

        return own_view(reporting(retry_read(found.as_view())))  # type: ignore[attr-defined]

    @property
    def cls(self) -> type:
        """The class of the view, as DRF's own views have it."""
        return self.__wrapped__.cls

    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.__wrapped__(request, *args, **kwargs)


def lazy(name: str) -> Any:
    return non_atomic(LazyView(name))


def at(route: str, view: str, name: str) -> URLPattern:
    return path(route, lazy(view), name=name)


#: The URLs that the OpenAPI document describes.
V1: list[URLPattern] = [
    at("v1/clients", "tenants.ClientList", "clients"),
    at("v1/clients/<str:uid>", "tenants.ClientDetail", "client"),
    at("v1/accounts", "tenants.AccountList", "accounts"),
    at("v1/accounts/<str:uid>", "tenants.AccountDetail", "account"),
    at("v1/accounts/<str:uid>/sync", "tenants.SyncAccount", "account-sync"),
    at("v1/customers", "wallets.CustomerList", "customers"),
    at("v1/customers/<str:uid>", "wallets.CustomerDetail", "customer"),
    at("v1/customers/<str:customer>/payment-methods", "wallets.OwnMethodList", "customer-payment-methods"),
    at("v1/customers/<str:customer>/payment-methods/<str:uid>", "wallets.OwnMethodDetail", "customer-payment-method"),
    at("v1/customers/<str:customer>/payment-methods/<str:uid>/default", "wallets.DefaultMethod", "default-method"),
    at("v1/payment-methods", "wallets.MethodList", "payment-methods"),
    at("v1/payment-methods/<str:uid>", "wallets.MethodDetail", "payment-method"),
    at("v1/payments", "payments.PaymentList", "payments"),
    at("v1/payments/quote", "payments.QuoteView", "quote"),
    at("v1/payments/<str:uid>", "payments.PaymentDetail", "payment"),
    at("v1/payments/<str:uid>/capture", "payments.CaptureView", "capture"),
    at("v1/payments/<str:uid>/refund", "payments.RefundView", "refund"),
    at("v1/payments/<str:uid>/void", "payments.VoidView", "void"),
    at("v1/transactions", "payments.TransactionList", "transactions"),
    at("v1/transactions/<str:uid>", "payments.TransactionDetail", "transaction"),
    at("v1/hosted-sessions", "sessions.SessionList", "hosted-sessions"),
    at("v1/hosted-sessions/<str:uid>", "sessions.SessionDetail", "hosted-session"),
    at("v1/hosted-sessions/<str:uid>/expire", "sessions.ExpireSessionView", "expire"),
    at("v1/terminals", "terminals.TerminalList", "terminals"),
    at("v1/terminals/<str:uid>", "terminals.TerminalDetail", "terminal"),
    at("v1/events", "events.EventList", "events"),
    at("v1/events/<int:pk>", "events.EventDetail", "event"),
    at("v1/events/<int:pk>/replay", "events.ReplayEvent", "replay"),
    at("v1/operations", "operations.OperationList", "operations"),
    at("v1/operations/<uuid:key>", "operations.OperationDetail", "operation"),
    at("v1/sync-runs", "syncing.RunList", "sync-runs"),
    at("v1/sync-runs/<int:pk>", "syncing.RunDetail", "sync-run"),
]

urlpatterns = [
    path("schema/", lazy("schema.schema"), name="schema"),
    path("docs/", lazy("schema.page"), name="docs"),
    path("schema", lazy("schema.schema")),
    path("docs", lazy("schema.page")),
    *V1,
    *(path(f"{each.pattern}/", each.callback) for each in V1),
    re_path("", lazy("base.Nowhere")),
]
