"""Decorators that every view of ours needs, whatever middleware and settings the host uses."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse

View = Callable[..., HttpResponse]


def own_view(view: View) -> View:
    """Wrap a view so that it runs outside transactions and has exact headers. Every view of ours uses it."""
    return exact_headers(non_atomic(view))


def public(view: View) -> View:
    """Exempt the view from ``LoginRequiredMiddleware``, because the platform and payers have no login."""
    exempt: Any = login_not_required(own_view(view))
    return exempt


def non_atomic(view: View) -> View:
    """Exempt the view from ``ATOMIC_REQUESTS`` of every database."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def retry_read(view: View) -> View:
    """The view, called once more when it only reads and the database has ended the connection meanwhile.

    Only for views whose GET changes nothing on the platform.
    """

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (OperationalError, InterfaceError):
            if request.method not in ("GET", "HEAD") or not _close_lost_connections():
                raise
            return view(request, *args, **kwargs)

    return answer


def _close_lost_connections() -> bool:
    """Close the connections that the database has ended. Returns whether a view may be called again."""
    opened = [each for each in connections.all(initialized_only=True) if each.connection is not None]
    if any(each.in_atomic_block for each in opened):
        return False  # a transaction around the view is lost with its connection
    lost = [each for each in opened if not each.is_usable()]
    for each in lost:
        each.close()
    return bool(lost)


def exact_headers(view: View) -> View:
    """Wrap a view so that all its response headers are exactly of type ``str``.

    Django does not convert a subclass of ``str`` (a ``Secret``, a ``SafeString``, a value of ``TextChoices``).
    PEP 3333 forbids subclasses, and strict servers such as ``runserver`` answer 500.
    """

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> HttpResponse:
        response = view(*args, **kwargs)
        for name, value in response.items():
            if type(value) is not str:
                # str() would return a SafeString unchanged.
                response.headers[name] = str.__str__(value)
        return response

    return answer
