"""The staff face, on Django's own admin: lists and pages to look at, and confirmation pages for deeds."""

from govpay.admin import events, operations, payments, sessions, syncing, tenants, terminals, wallets

__all__ = ["events", "operations", "payments", "sessions", "syncing", "tenants", "terminals", "wallets"]
