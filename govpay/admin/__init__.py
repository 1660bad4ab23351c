"""The interface for staff, built on Django's admin: lists, detail pages, and confirmation pages for actions."""

from govpay.admin import (
    access,
    doctor,
    events,
    links,
    notes,
    operations,
    payments,
    sessions,
    syncing,
    tenants,
    terminals,
    transactions,
    wallets,
)

__all__ = [
    "access",
    "doctor",
    "events",
    "links",
    "notes",
    "operations",
    "payments",
    "sessions",
    "syncing",
    "tenants",
    "terminals",
    "transactions",
    "wallets",
]
