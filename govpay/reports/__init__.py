"""Read-only answers over the mirror: the search, business days, movements and totals."""

from __future__ import annotations

from govpay.reports.search import search_payments

__all__ = ["search_payments"]
