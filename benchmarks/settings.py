"""The site that is measured: the demo's databases without the demo. What varies comes in the environment."""

from __future__ import annotations

import os

import environ

URL = os.environ["BENCH_DATABASE_URL"]
# Connections are kept from request to request, as a site with traffic has it.
DATABASES = {"default": {**environ.Env.db_url_config(URL), "CONN_MAX_AGE": None}}
if URL.startswith("sqlite"):
    # As in the demo.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
SECRET_KEY = "bench-only"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = os.environ.get("BENCH_APPS", "auth contenttypes govpay").split()
INSTALLED_APPS = [name if name == "govpay" or "." in name else f"django.contrib.{name}" for name in INSTALLED_APPS]
GOVPAY = {
    "CLIENT_ID": "sandbox-client",
    "CLIENT_SECRET": "sandbox-secret",
    "API_URL": os.environ.get("BENCH_API_URL", "http://127.0.0.1:9"),
    "TOKEN_URL": os.environ.get("BENCH_API_URL", "http://127.0.0.1:9") + "/oauth2/token",
    "PAGE_SIZE": int(os.environ.get("BENCH_PAGE_SIZE", "100")),
}
ROOT_URLCONF = "benchmarks.urls"
ALLOWED_HOSTS = ["127.0.0.1"]
# Each refusal is a line; where it goes is not what is measured.
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR"}}
