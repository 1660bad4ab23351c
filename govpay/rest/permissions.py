"""Authentication by the host's classes, and the same permissions as in the admin."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.permissions import BasePermission

from govpay import conf


def authenticators() -> list[BaseAuthentication]:
    """Return ``REST_AUTHENTICATION``. The default is session, and also token if DRF's ``authtoken`` is installed."""
    if given := conf.get("REST_AUTHENTICATION"):
        return [import_string(path)() for path in given]
    # The first class decides the response to anonymous users: 401 with the scheme for tokens, else 403.
    tokens = [TokenAuthentication()] if apps.is_installed("rest_framework.authtoken") else []
    return [*tokens, SessionAuthentication()]


class MayAsk(BasePermission):
    """Allows signed-in, active users with the permission that the view requires for this method."""

    def has_permission(self, request: Any, view: Any) -> bool:
        user = request.user
        return bool(user and user.is_authenticated and user.is_active and view.is_allowed(user))
