"""The staff face, on Django's own admin: lists and pages to look at, and confirmation pages for actions."""

from govpay.admin import (
    access,
    doctor,
    events,
    links,
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
    "operations",
    "payments",
    "sessions",
    "syncing",
    "tenants",
    "terminals",
    "transactions",
    "wallets",
]
