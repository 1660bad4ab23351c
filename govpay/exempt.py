"""What views of ours must be exempt from, whatever the host has switched on for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpResponse

View = Callable[..., HttpResponse]


def outside_transactions(view: View) -> View:
    """The view, exempt from ``ATOMIC_REQUESTS`` of every database."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def public(view: View) -> View:
    """The view, for the platform and for payers, who have no account here (``LoginRequiredMiddleware``)."""
    exempt: Any = login_not_required(outside_transactions(view))
    return exempt
