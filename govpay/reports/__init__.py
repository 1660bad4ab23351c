"""Reports over the mirror: business days, movements, totals and the search. They only read, and need no platform."""

from govpay.reports.days import business_day, day_bounds, zone_of
from govpay.reports.movements import Movement, movements
from govpay.reports.search import search_payments
from govpay.reports.totals import TotalsRow, span_before, totals

__all__ = [
    "Movement",
    "TotalsRow",
    "business_day",
    "day_bounds",
    "movements",
    "search_payments",
    "span_before",
    "totals",
    "zone_of",
]
