"""The API client of the platform: access token, routes, lists, typed documents. Imports no Django.

Only ``factory`` and ``transport`` load an HTTP library, so a process that never calls the platform does not
import one at its start.
"""

from __future__ import annotations

from govpay.client.auth import Authorizer
from govpay.client.endpoints import Endpoints
from govpay.client.odata import Field, Filter, Query, Timestamp, field
from govpay.client.pages import NoKeyset, Page, PagingFault, Position, Walk, parse_page, walk
from govpay.client.resources import (
    ClientResource,
    CustomerResource,
    HostedSessionResource,
    PaymentAccountResource,
    PaymentResource,
    Resource,
    SavedMethodResource,
    SubscriptionResource,
    TerminalResource,
    TransactionResource,
)
from govpay.client.routes import Route, Routes
from govpay.client.stores import NoStore, Pause, PauseStore, TokenStore
from govpay.client.tokens import Token
from govpay.client.types import Config, Request, Response
from govpay.client.values import BadValue

#: The old name of ``Response``, kept for one release.
Answer = Response

__all__ = [
    "Answer",
    "Authorizer",
    "BadValue",
    "ClientResource",
    "Config",
    "CustomerResource",
    "Endpoints",
    "Field",
    "Filter",
    "HostedSessionResource",
    "NoKeyset",
    "NoStore",
    "Page",
    "PagingFault",
    "Pause",
    "PauseStore",
    "PaymentAccountResource",
    "PaymentResource",
    "Position",
    "Query",
    "Request",
    "Resource",
    "Response",
    "Route",
    "Routes",
    "SavedMethodResource",
    "SubscriptionResource",
    "TerminalResource",
    "Timestamp",
    "Token",
    "TokenStore",
    "TransactionResource",
    "Walk",
    "field",
    "parse_page",
    "walk",
]
