"""Reports over the mirror: business days, movements, totals and the search. They only read, and need no platform."""

from govpay.reports.days import business_day, day_bounds, zone_of
from govpay.reports.exception_list import ExceptionKind, ReportException, list_exceptions
from govpay.reports.movements import Movement, movements
from govpay.reports.search import search_payments
from govpay.reports.totals import TotalsRow, span_before, totals

__all__ = [
    "ExceptionKind",
    "Movement",
    "ReportException",
    "TotalsRow",
    "business_day",
    "day_bounds",
    "list_exceptions",
    "movements",
    "search_payments",
    "span_before",
    "totals",
    "zone_of",
]
