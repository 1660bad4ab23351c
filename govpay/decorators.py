"""Decorators that every view of ours needs, whatever the host has switched on for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpResponse

View = Callable[..., HttpResponse]


def own_view(view: View) -> View:
    """The view, outside transactions and with exact headers. Every view of ours is wrapped by this."""
    return exact_headers(non_atomic(view))


def public(view: View) -> View:
    """The view, for the platform and for payers, who have no account here (``LoginRequiredMiddleware``)."""
    exempt: Any = login_not_required(own_view(view))
    return exempt


def non_atomic(view: View) -> View:
    """The view, exempt from ``ATOMIC_REQUESTS`` of every database."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def exact_headers(view: View) -> View:
    """The view, with response headers of the type ``str`` exactly.

    Django takes a subclass of ``str`` (a ``Secret``, a ``SafeString``, a value of ``TextChoices``) as it is. PEP 3333
    forbids it, and strict servers such as ``runserver`` answer 500.
    """

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> HttpResponse:
        response = view(*args, **kwargs)
        for name, value in response.items():
            if type(value) is not str:
                # str() would give back a SafeString as it is.
                response.headers[name] = str.__str__(value)
        return response

    return answer
