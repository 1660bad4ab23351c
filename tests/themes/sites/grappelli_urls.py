"""URLs of a host with django-grappelli, which needs some of its own."""

from __future__ import annotations

from django.urls import include, path

from project.urls import urlpatterns as own

urlpatterns = [path("grappelli/", include("grappelli.urls")), *own]
